//! What changes in a process, an event a line.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use mmview_platform::{Ending, ProcessInfo, Warning};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::change::sentence;
use super::diff::serialize_change;
use super::process::{Origins, clock, milliseconds, timestamp, warnings_value};
use super::regions::counted;
use super::{Cell, Column, Head, Layout, Record, Shows, Table, Tail, name_value};
use crate::check::Check;
use crate::diff::Change;
use crate::text::{printable, printable_line};
use crate::units::Units;

const COLUMNS: [Column; 13] = [
    Column::text("time", "TIME", 12).after(""),
    Column::text("change", "", 0).shown(Shows::MachineOnly),
    Column::text("mark", "", 1).shown(Shows::TableOnly),
    Column::text("what", "WHAT CHANGED", 0).shown(Shows::TableOnly),
    Column::number("start", "", 0).shown(Shows::MachineOnly),
    Column::number("end", "", 0).shown(Shows::MachineOnly),
    Column::text("kind", "", 0).shown(Shows::MachineOnly),
    Column::text("type", "", 0).shown(Shows::MachineOnly),
    Column::number("virtual", "", 0).shown(Shows::MachineOnly),
    Column::number("resident", "", 0).shown(Shows::MachineOnly),
    Column::number("dirty", "", 0).shown(Shows::MachineOnly),
    Column::number("swapped", "", 0).shown(Shows::MachineOnly),
    Column::text("path", "", 0).shown(Shows::MachineOnly),
];

/// What stands before the events.
pub fn head(origins: &Origins, regions: usize, interval: Duration) -> Head {
    let name = origins.process.name.as_deref().map_or_else(|| "process".to_owned(), printable);
    let line =
        format!("Watching {name} [{}]: {}, a look every {interval:?}.", origins.target(), counted(regions));
    let mut fields = origins.fields("watch");
    fields.insert("region_count".to_owned(), regions.into());
    fields.insert("interval_ms".to_owned(), milliseconds(interval).into());
    Head {
        view: "watch",
        target: origins.target(),
        text: vec![line, String::new()],
        fields,
        tables: vec![Table {
            rows: ("events", "event"),
            columns: COLUMNS.to_vec(),
            layout: Layout::Streamed,
        }],
    }
}

/// Why watching ended.
#[derive(Debug)]
pub enum Stopped {
    /// The process ended.
    Ended(Option<Ending>),
    /// The time was up.
    TimeUp,
    /// What was waited for is so.
    Until,
    /// Somebody interrupted it.
    Interrupted,
    /// The map may not be read any more, or can't.
    Refused(anyhow::Error),
}

impl Stopped {
    /// The identifier in machine formats.
    pub const fn id(&self) -> &'static str {
        match self {
            Stopped::Ended(_) => "ended",
            Stopped::TimeUp => "time-up",
            Stopped::Until => "until",
            Stopped::Interrupted => "interrupted",
            Stopped::Refused(_) => "refused",
        }
    }
}

/// What there is to say at the end.
#[derive(Debug)]
pub struct Account<'a> {
    /// Why it is the end.
    pub stopped: Stopped,
    /// What was waited for, and what was found of it at the end.
    pub until: Option<(&'a Check, String)>,
    /// How long was watched.
    pub watched: Duration,
    /// How many looks there were.
    pub looks: u64,
    /// The longest that one of them took.
    pub longest_look: Duration,
    /// How many events there were.
    pub events: u64,
}

/// How a process ended, in JSON.
pub fn ending_value(ending: Option<Ending>) -> Value {
    match ending {
        None => Value::Null,
        Some(Ending::Exited(status)) => json!({ "exit_status": status, "signal": null }),
        Some(Ending::Killed(signal)) => json!({ "exit_status": null, "signal": signal }),
    }
}

/// What stands after the events.
pub fn tail(account: &Account<'_>, warnings: &[Warning]) -> Tail {
    let how = match &account.stopped {
        Stopped::Ended(Some(ending)) => format!("The process has ended: {ending}"),
        Stopped::Ended(None) => {
            "The process has ended; how is not known to whoever is not its parent".to_owned()
        }
        Stopped::TimeUp => "The time is up".to_owned(),
        Stopped::Until => "It is so".to_owned(),
        Stopped::Interrupted => "Interrupted".to_owned(),
        Stopped::Refused(error) => format!("INCOMPLETE: {}", printable_line(&format!("{error:#}"))),
    };
    let events =
        if account.events == 1 { "1 event".to_owned() } else { format!("{} events", account.events) };
    let note = format!("{how}. {events} in {:.1} s.", account.watched.as_secs_f64());
    let mut notes = vec![note];
    if let Some((check, found)) = &account.until
        && !matches!(account.stopped, Stopped::Until)
    {
        notes.push(format!("It was not so: {}", printable_line(check.text())));
        notes.push(format!("Found at the end: {}.", printable_line(found)));
    }
    let ending = match account.stopped {
        Stopped::Ended(ending) => ending_value(ending),
        _ => Value::Null,
    };
    let fields = json!({
        "stopped": account.stopped.id(),
        "ending": ending,
        "until": account.until.as_ref().map(|(check, found)| json!({ "check": check.text(), "found": found })),
        "watched_ms": milliseconds(account.watched),
        "looks": account.looks,
        "longest_look_ms": milliseconds(account.longest_look),
        "warnings": warnings_value(warnings),
    });
    let Value::Object(fields) = fields else { unreachable!("an object literal is an object") };
    Tail { fields, notes }
}

/// Something that happened.
pub enum Event<'a> {
    /// A part of the map changed.
    Change(&'a Change),
    /// The process started another program.
    Program(&'a ProcessInfo),
}

/// An event, with the time of the look that saw it.
pub struct EventRecord<'a> {
    /// When it was seen.
    pub time: SystemTime,
    /// What it is.
    pub event: Event<'a>,
    /// How sizes are written.
    pub units: Units,
}

fn program(process: &ProcessInfo) -> Vec<u8> {
    [b"started another program  ", program_path(process)].concat()
}

fn program_path(process: &ProcessInfo) -> &[u8] {
    process.path.as_deref().or(process.name.as_deref()).unwrap_or(b"???")
}

impl Record for EventRecord<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let time = Cell::Text(clock(self.time).into());
        let change = match self.event {
            Event::Change(change) => change,
            Event::Program(process) => {
                let mut cells = vec![Cell::Empty; COLUMNS.len()];
                cells[0] = time;
                cells[1] = Cell::Text("program".into());
                cells[2] = Cell::Text("!".into());
                cells[3] = Cell::Name(program(process).into());
                cells[COLUMNS.len() - 1] = Cell::Name(program_path(process).into());
                return cells;
            }
        };
        let (classified, delta) = (change.region(), change.delta());
        let path = classified.name().and_then(|name| name.path());
        vec![
            time,
            Cell::Text(change.kind.id().into()),
            Cell::Text(change.kind.mark().into()),
            Cell::Name(sentence(change, self.units).into()),
            Cell::Address(change.range().start()),
            Cell::Address(change.range().end()),
            Cell::Text(classified.kind().id().into()),
            Cell::Text(Cow::Borrowed(classified.title())),
            Cell::Delta(Some(delta.virtual_size)),
            Cell::Delta(delta.resident),
            Cell::Delta(delta.dirty),
            Cell::Delta(delta.swapped),
            path.map_or(Cell::Empty, |path| Cell::Name(Cow::Borrowed(path))),
        ]
    }
}

impl Serialize for EventRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &timestamp(self.time))?;
        match self.event {
            Event::Change(change) => serialize_change(&mut map, change, self.units)?,
            Event::Program(process) => {
                map.serialize_entry("change", "program")?;
                map.serialize_entry("what", &name_value(&program(process)))?;
            }
        }
        map.end()
    }
}
