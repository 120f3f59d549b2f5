//! The process and the source, as every view begins.

use std::time::{Duration, SystemTime};

use mmview_platform::{
    Bytes, Detail, Findings, Inspection, Origin, PageSize, ProcessInfo, ProcessState, Reading, SourceInfo,
    Warning,
};
use serde_json::{Map, Value, json};

use super::note::Subject;
use super::{
    Fact, Label, Line, Note, SCHEMA, Section, SectionKind, Tail, ViewKind, address_value, fields, name_value,
};
use crate::snapshot::Snapshot;
use crate::text::printable;

/// What every view begins with: where the map comes from, whose it is, and how much of it was read.
#[derive(Clone, Debug)]
pub struct Origins {
    /// Where it comes from.
    pub source: SourceInfo,
    /// The process.
    pub process: ProcessInfo,
    /// When it was read, if known.
    pub taken: Option<SystemTime>,
    /// How much was read of each region.
    pub detail: Detail,
    /// What the target's memory shows.
    pub findings: Findings,
}

impl From<&Snapshot> for Origins {
    fn from(snapshot: &Snapshot) -> Origins {
        Origins {
            source: snapshot.source.clone(),
            process: snapshot.process.clone(),
            taken: snapshot.taken,
            detail: snapshot.detail,
            findings: snapshot.findings.clone(),
        }
    }
}

impl Origins {
    /// The target, short: a PID or a path.
    pub fn target(&self) -> String {
        match &self.source.origin {
            Origin::Live { pid } => pid.to_string(),
            Origin::Capture { path, .. } => printable(path.as_os_str().as_encoded_bytes()),
            _ => String::new(),
        }
    }

    /// The map, for a sentence in a log.
    pub fn subject(&self, regions: usize) -> Subject {
        let capture = match &self.source.origin {
            Origin::Capture { path, format } => Some((path.clone(), *format)),
            _ => None,
        };
        let process = &self.process;
        Subject { capture, name: process.name.clone(), pid: process.pid, regions, taken: self.taken }
    }

    /// The fields that every view's JSON begins with.
    pub fn fields(&self, view: ViewKind) -> Map<String, Value> {
        fields(json!({
            "schema": SCHEMA,
            "view": view.id(),
            "source": source_value(&self.source, self.taken),
            "process": process_value(&self.process),
            "detail": self.detail.id(),
        }))
    }

    /// The process and the source, in the order of vmmap's header. `mappings` is the number of mappings, if known.
    pub fn section(&self, mappings: Option<u64>) -> Section {
        let mut lines = Vec::new();
        let mut add =
            |label: Label, fact: Option<Fact>| lines.extend(fact.map(|fact| Line::Fact(label, fact)));
        let process = &self.process;
        if let Origin::Capture { path, format } = &self.source.origin {
            add(Label::Capture, Some(Fact::Capture(path.clone(), *format)));
        }
        if !process.printed_header.is_empty() {
            let is_footprint = |label: &str| label.starts_with("Physical footprint");
            for (label, value) in process.printed_header.iter().filter(|(label, _)| !is_footprint(label)) {
                add(Label::Printed(label.clone()), Some(Fact::Text(value.clone())));
            }
            return Section::new(SectionKind::Process, lines);
        }
        let text = |text: &Option<Box<str>>| text.clone().map(Fact::Text);
        add(Label::Process, process.pid.map(|pid| Fact::Process(process.name.clone(), pid)));
        add(Label::Path, process.path.clone().map(Fact::Name));
        add(Label::LoadAddress, process.load_address.map(Fact::Address));
        add(Label::CodeType, text(&process.code_type));
        add(Label::Platform, text(&process.platform));
        let says_more = process.command.len() > 1 || process.command.first() != process.path.as_ref();
        let has_command = !process.command.is_empty() && says_more;
        add(Label::Command, has_command.then(|| Fact::Command(process.command.clone())));
        add(Label::User, process.user.clone().map(Fact::User));
        let parent = process.parent.as_ref();
        add(Label::ParentProcess, parent.map(|parent| Fact::Process(parent.name.clone(), parent.pid)));
        let has_state = process.state.is_some() || !process.threads.is_empty();
        add(Label::State, has_state.then_some(Fact::State(process.state, process.threads.len())));
        add(Label::Date, self.taken.map(Fact::Time));
        add(Label::LaunchTime, process.started.map(Fact::Time));
        add(Label::System, text(&process.system));
        add(Label::PageSize, self.source.page_size.map(|size| Fact::Bytes(size.bytes())));
        add(Label::Mappings, mappings.map(|count| Fact::Mappings(count, process.mapping_limit)));
        Section::new(SectionKind::Process, lines)
    }
}

/// The physical footprint, and the most that was ever resident.
pub fn footprint(process: &ProcessInfo, footprint: Option<Bytes>) -> Section {
    let totals = &process.totals;
    let peak = |label: Label, size: Option<Bytes>| size.map(|size| Line::Fact(label, Fact::Size(Some(size))));
    let lines = [
        Some(Line::Fact(Label::Footprint, Fact::Size(footprint))),
        peak(Label::FootprintPeak, totals.footprint_peak),
        peak(Label::ResidentPeak, totals.resident_peak),
    ];
    Section::new(SectionKind::Footprint, lines.into_iter().flatten().collect())
}

/// What is still known about a process whose map is refused: the totals that the kernel keeps.
pub fn totals(process: &ProcessInfo) -> Section {
    let totals = &process.totals;
    let sizes = [
        (Label::VirtualSize, totals.virtual_size),
        (Label::Resident, totals.resident),
        (Label::Anonymous, totals.anonymous),
        (Label::Files, totals.file),
        (Label::SharedMemory, totals.shared_memory),
        (Label::ResidentPeak, totals.resident_peak),
        (Label::Swapped, totals.swapped),
        (Label::PageTables, totals.page_tables),
    ];
    let known = sizes.into_iter().filter(|(_, size)| size.is_some());
    let lines = known.map(|(label, size)| Line::Fact(label, Fact::Size(size))).collect();
    Section::new(SectionKind::Totals, lines)
}

fn source_value(source: &SourceInfo, taken: Option<SystemTime>) -> Value {
    let page_size = source.page_size.map(PageSize::bytes);
    match &source.origin {
        Origin::Live { pid } => json!({
            "kind": "live",
            "os": source.os,
            "pid": pid,
            "page_size": page_size,
            "taken": taken.and_then(timestamp),
        }),
        Origin::Capture { path, format } => json!({
            "kind": "capture",
            "os": source.os,
            "path": name_value(path.as_os_str().as_encoded_bytes()),
            "format": format.id(),
            "page_size": page_size,
            "taken": taken.and_then(timestamp),
        }),
        _ => Value::Null,
    }
}

fn process_value(process: &ProcessInfo) -> Value {
    let name = |name: &Option<Box<[u8]>>| name.as_deref().map(name_value);
    let totals = &process.totals;
    json!({
        "pid": process.pid,
        "name": name(&process.name),
        "path": name(&process.path),
        "command": process.command.iter().map(|argument| name_value(argument)).collect::<Vec<_>>(),
        "parent": process.parent.as_ref().map(|parent| json!({ "pid": parent.pid, "name": name(&parent.name) })),
        "user": process.user.as_ref().map(|user| json!({ "id": user.id, "name": user.name })),
        "state": process.state.map(state_id),
        "started": process.started.map(timestamp),
        "system": process.system,
        "threads": process.threads.iter().map(|thread| json!({
            "id": thread.id,
            "name": name(&thread.name),
            "stack_pointer": thread.stack_pointer.map(address_value),
        })).collect::<Vec<_>>(),
        "code_type": process.code_type,
        "load_address": process.load_address.map(address_value),
        "mapping_limit": process.mapping_limit,
        "virtual": totals.virtual_size,
        "resident": totals.resident,
        "resident_peak": totals.resident_peak,
        "swapped": totals.swapped,
        "page_tables": totals.page_tables,
    })
}

/// What a process is doing, as a word.
pub fn state_id(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Running => "running",
        ProcessState::Sleeping => "sleeping",
        ProcessState::Blocked => "blocked",
        ProcessState::Stopped => "stopped",
        ProcessState::Traced => "traced",
        ProcessState::Idle => "idle",
        ProcessState::Zombie => "zombie",
        _ => "unknown",
    }
}

/// RFC 3339, in UTC, to the millisecond. `None` for a time that the calendar has no place for.
pub fn timestamp(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(format!("{time:.3}"))
}

/// A time in milliseconds, to the microsecond, as the machine formats have it.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Adds how a map was read: gently, if so, and what reading the memory has cost. People see the latter only with `-v`.
pub fn note_reading(
    tail: &mut Tail,
    gently: Option<&Reading>,
    memory: Option<&Inspection>,
    is_verbose: bool,
) {
    let mut fields = Map::new();
    if let Some(reading) = gently {
        tail.notes.push(Note::Gentle(*reading));
        fields = self::fields(json!({
            "method": reading.method,
            "calls": reading.calls,
            "longest_ms": milliseconds(reading.longest),
            "busy_ms": milliseconds(reading.busy),
            "slept_ms": milliseconds(reading.slept),
            "max_stall_ms": reading.budget.map(milliseconds),
        }));
    }
    if let Some(inspection) = memory {
        let time = Duration::from_micros(inspection.microseconds);
        if is_verbose {
            tail.notes.push(Note::MemoryRead { calls: inspection.calls, bytes: inspection.bytes, time });
        }
        let memory = json!({
            "calls": inspection.calls,
            "bytes": inspection.bytes,
            "ms": milliseconds(time),
            "settled": inspection.settled,
        });
        fields.insert("memory".to_owned(), memory);
    }
    if !fields.is_empty() {
        tail.fields.insert("reading".to_owned(), fields.into());
    }
}

/// Adds that there are warnings about the map, which standard error has in full.
pub fn note_warnings(tail: &mut Tail, warnings: &[Warning]) {
    if !warnings.is_empty() {
        tail.notes.push(Note::Warnings(warnings.len()));
    }
}

/// Warnings in JSON: the kind of doubt, and the sentence.
pub fn warnings_value(warnings: &[Warning]) -> Value {
    warnings.iter().map(|warning| json!({ "kind": warning.id(), "message": warning.to_string() })).collect()
}
