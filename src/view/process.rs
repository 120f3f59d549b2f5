//! The process and the source, as every view begins.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use mmview_platform::{
    Bytes, Detail, Origin, PageSize, ProcessInfo, ProcessState, Reading, SourceInfo, Warning,
};
use serde_json::{Map, Value, json};

use super::regions::counted;
use super::{SCHEMA, Tail, address_value, name_value};
use crate::text::printable;
use crate::units::Units;

/// What every view begins with: where the map comes from, whose it is, and how much of it was read.
#[derive(Clone, Debug)]
pub struct Origins {
    /// Where it comes from.
    pub source: SourceInfo,
    /// Whose it is.
    pub process: ProcessInfo,
    /// When it was read, where that is known.
    pub taken: Option<SystemTime>,
    /// How much was read of each region.
    pub detail: Detail,
}

impl Origins {
    /// The target, short: a PID or a path.
    pub fn target(&self) -> String {
        target(&self.source)
    }

    /// Whose map it is, how large and when, in a sentence: for a log.
    pub fn sentence(&self, regions: usize) -> String {
        let what = match (&self.source.origin, self.process.pid) {
            (Origin::Capture { path, format }, _) => {
                format!("{} ({})", printable(path.as_os_str().as_encoded_bytes()), format.id())
            }
            (_, Some(pid)) => format!("{} [{pid}]", named(self.process.name.as_deref())),
            _ => self.target(),
        };
        let regions = counted(regions);
        let taken = self.taken.map(|taken| format!(" at {}", local(taken)));
        format!("{what} had {regions}{}.", taken.unwrap_or_default())
    }

    /// The fields that every view's JSON begins with.
    pub fn fields(&self, view: &'static str) -> Map<String, Value> {
        let Value::Object(fields) = json!({
            "schema": SCHEMA,
            "view": view,
            "source": source_value(&self.source, self.taken),
            "process": process_value(&self.process),
            "detail": self.detail.id(),
        }) else {
            unreachable!("an object literal is an object")
        };
        fields
    }

    /// The header block, in vmmap's form. `mappings` is how many mappings there are, where that is known.
    pub fn header(&self, mappings: Option<u64>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |label: &str, value: Option<String>| {
            if let Some(value) = value {
                let label = format!("{label}:");
                let column = if label.len() < 17 { 17 } else { 28 };
                lines.push(format!("{label:<column$}{value}"));
            }
        };
        let process = &self.process;
        if let Origin::Capture { path, format } = &self.source.origin {
            let path = printable(path.as_os_str().as_encoded_bytes());
            line("Capture", Some(format!("{path} ({})", format.id())));
        }
        if !process.printed_header.is_empty() {
            let is_shown_apart = |label: &str| label.starts_with("Physical footprint");
            for (label, value) in process.printed_header.iter().filter(|(label, _)| !is_shown_apart(label)) {
                line(&printable(label.as_bytes()), Some(printable(value.as_bytes())));
            }
            return lines;
        }
        let pid = process.pid.map(|pid| format!("[{pid}]"));
        line("Process", pid.map(|pid| format!("{} {pid}", named(process.name.as_deref()))));
        line("Path", process.path.as_deref().map(printable));
        line("Load Address", process.load_address.map(|address| format!("{address:#x}")));
        line("Code Type", process.code_type.as_deref().map(str::to_owned));
        line("Platform", process.platform.as_deref().map(str::to_owned));
        let is_telling =
            process.command.len() > 1 || process.command.first().map(|c| &**c) != process.path.as_deref();
        line("Command", (!process.command.is_empty() && is_telling).then(|| command(&process.command)));
        line(
            "User",
            process.user.as_ref().map(|user| match &user.name {
                Some(name) => format!("{name} ({})", user.id),
                None => user.id.to_string(),
            }),
        );
        let parent = process.parent.as_ref();
        line(
            "Parent Process",
            parent.map(|parent| format!("{} [{}]", named(parent.name.as_deref()), parent.pid)),
        );
        let threads = match process.threads.len() {
            0 => None,
            1 => Some("1 thread".to_owned()),
            count => Some(format!("{count} threads")),
        };
        let state = process.state.map(|state| state_title(state).to_owned());
        line(
            "State",
            state.into_iter().chain(threads).reduce(|state, threads| format!("{state}, {threads}")),
        );
        line("Date/Time", self.taken.map(local));
        line("Launch Time", process.started.map(local));
        line("OS Version", process.system.as_deref().map(str::to_owned));
        line("Page size", self.source.page_size.map(|size| format!("{} bytes", size.bytes().0)));
        line(
            "Mappings",
            mappings.map(|count| match process.mapping_limit {
                Some(limit) => format!("{count} of at most {limit}"),
                None => count.to_string(),
            }),
        );
        lines
    }
}

/// The lines on the physical footprint, and on what ever was resident.
pub fn footprint_text(process: &ProcessInfo, footprint: Option<Bytes>, units: Units) -> Vec<String> {
    let totals = &process.totals;
    let peak =
        |label: &str, size: Option<Bytes>| size.map(|size| format!("{label:<28}{}", units.format(size)));
    let footprint = format!("{:<28}{}", "Physical footprint:", units.format_measured(footprint));
    [
        Some(footprint),
        peak("Physical footprint (peak):", totals.footprint_peak),
        peak("Resident (peak):", totals.resident_peak),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn named(name: Option<&[u8]>) -> String {
    name.map_or_else(|| "???".to_owned(), printable)
}

/// Short: the whole command line of a Java program fills a screen.
fn command(arguments: &[Box<[u8]>]) -> String {
    const LONGEST: usize = 120;
    let mut text = arguments.iter().map(|argument| printable(argument)).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What is still known of a process whose map is refused: the totals that the kernel keeps.
pub fn totals_text(process: &ProcessInfo, units: Units) -> Vec<String> {
    let totals = &process.totals;
    let line =
        |label: &str, size: Option<Bytes>| size.map(|size| format!("{label:<28}{}", units.format(size)));
    [
        line("Virtual size:", totals.virtual_size),
        line("Resident:", totals.resident),
        line("  anonymous:", totals.anonymous),
        line("  files:", totals.file),
        line("  shared memory:", totals.shared_memory),
        line("Resident (peak):", totals.resident_peak),
        line("Swapped:", totals.swapped),
        line("Page tables:", totals.page_tables),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn target(source: &SourceInfo) -> String {
    match &source.origin {
        Origin::Live { pid } => pid.to_string(),
        Origin::Capture { path, .. } => printable(path.as_os_str().as_encoded_bytes()),
        _ => String::new(),
    }
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
        "state": process.state.map(state_title),
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

fn state_title(state: ProcessState) -> &'static str {
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

/// RFC 3339, in UTC.
pub(super) fn timestamp(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(format!("{time:.3}"))
}

/// A time as vmmap writes it, in the zone of this machine.
pub fn local(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => {
            time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S.%3f %z").to_string()
        }
        Err(_) => "???".to_owned(),
    }
}

/// The time of day in the zone of this machine: `13:05:01.873`.
pub fn clock(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S.%3f").to_string(),
        Err(_) => "???".to_owned(),
    }
}

/// A time in milliseconds, to the microsecond, as the machine formats have it.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Tells how gently a map was read.
pub fn note_reading(tail: &mut Tail, reading: &Reading) {
    let (longest, busy, slept) =
        (milliseconds(reading.longest), milliseconds(reading.busy), milliseconds(reading.slept));
    let budget = reading.budget.map(milliseconds);
    let within = budget.map(|budget| format!(" of {budget} ms allowed")).unwrap_or_default();
    tail.notes.push(format!(
        "Read gently by {} in {} calls, the longest {longest} ms{within}; {busy} ms busy, {slept} ms asleep.",
        reading.method, reading.calls,
    ));
    tail.fields.insert(
        "reading".to_owned(),
        json!({
            "method": reading.method,
            "calls": reading.calls,
            "longest_ms": longest,
            "busy_ms": busy,
            "slept_ms": slept,
            "max_stall_ms": budget,
        }),
    );
}

/// Warnings in JSON: what kind of doubt, and the sentence.
pub fn warnings_value(warnings: &[Warning]) -> Value {
    warnings.iter().map(|warning| json!({ "kind": warning.id(), "message": warning.to_string() })).collect()
}
