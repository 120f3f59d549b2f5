//! Why a process ended, as data.

use mmview_platform::{ThreadInfo, Warning};
use serde_json::{Value, json};

use super::origins::{Origins, warnings_value};
use super::{Head, Line, Note, Section, SectionKind, Tail, ViewKind, address_value, name_value};
use crate::crash::{CrashReport, Place, Spot, cause_name};
use crate::region::Classified;

/// The report, for people and for programs.
pub fn head(origins: &Origins, report: &CrashReport) -> Head {
    let os = origins.source.os;
    let mut sections = vec![origins.section(None), cause(origins, report)];
    if !report.threads.is_empty() {
        let threads = report.threads.iter().map(|(thread, region)| {
            Line::Note(Note::ThreadAt { thread: Box::new(thread.clone()), region: region.clone() })
        });
        sections.push(Section::new(SectionKind::Text, threads.collect()));
    }
    let mut fields = origins.fields(ViewKind::Crash);
    fields.insert("crash".to_owned(), value(report, os));
    let threads: Vec<Value> =
        report.threads.iter().map(|(thread, region)| thread_value(thread, region.as_deref())).collect();
    fields.insert("threads".to_owned(), threads.into());
    Head { view: ViewKind::Crash, target: origins.target(), sections, fields, tables: Vec::new() }
}

/// The sentence about the cause.
pub fn cause(origins: &Origins, report: &CrashReport) -> Section {
    let report = Box::new(report.clone());
    Section::note(Note::Crash { os: origins.source.os, pid: origins.process.pid, report })
}

/// That a dump has only a part of the map.
pub fn partial(origins: &Origins, warnings: &[Warning]) -> Option<Section> {
    let why = warnings.iter().find_map(|warning| match warning {
        Warning::Missing { why } => Some(why),
        _ => None,
    });
    let why = why.filter(|_| origins.source.is_dump())?;
    Some(Section::note(Note::PartOfMap(why.to_string())))
}

/// What comes after it.
pub fn tail(warnings: &[Warning]) -> Tail {
    let mut tail = Tail::default();
    tail.fields.insert("warnings".to_owned(), warnings_value(warnings));
    tail
}

/// The cause in JSON.
pub fn value(report: &CrashReport, os: &str) -> Value {
    let Some(crash) = report.crash else { return Value::Null };
    let place = report.place.as_ref();
    let spot = place.map(|place| match place.spot {
        Spot::Null => "null",
        Spot::Region => "region",
        Spot::BelowStack { is_guard: true, .. } => "stack-guard",
        Spot::BelowStack { .. } => "below-stack",
        Spot::Gap => "gap",
    });
    let side = |of: fn(&Place) -> Option<&Classified>| place.and_then(of).map(region_value);
    json!({
        "signal": crash.signal,
        "name": cause_name(os, &crash),
        "code": crash.code,
        "address": crash.address.map(address_value),
        "sender": crash.sender,
        "thread": crash.thread,
        "instruction": crash.instruction.map(address_value),
        "place": spot,
        "region": side(|place| place.region.as_deref()),
        "before": side(|place| place.before.as_deref()),
        "after": side(|place| place.after.as_deref()),
    })
}

fn region_value(region: &Classified) -> Value {
    json!({
        "start": address_value(region.range().start()),
        "end": address_value(region.range().end()),
        "kind": region.kind().id(),
        "type": region.title(),
        "path": region.path().map(name_value),
    })
}

fn thread_value(thread: &ThreadInfo, region: Option<&Classified>) -> Value {
    json!({
        "id": thread.id,
        "name": thread.name.as_deref().map(name_value),
        "stack_pointer": thread.stack_pointer.map(address_value),
        "region": region.map(region_value),
    })
}
