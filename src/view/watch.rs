//! The changes of a process, an event per line.

use std::time::{Duration, SystemTime};

use mmview_platform::{Ending, ProcessInfo, Warning};
use serde_json::{Value, json};

use super::column::{Column, Columns, Shows, ValueType};
use super::note::StopReason;
use super::origins::{Origins, milliseconds, warnings_value};
use super::{Cell, Head, Layout, Note, Section, Table, Tail, ViewKind, diff, fields, regions};
use crate::check::Check;
use crate::diff::{Change, ZoneChange};

/// Something that happened, at the time of the sample that showed it.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was seen.
    pub time: SystemTime,
    /// What it is.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A part of the map changed.
    Change(Change),
    /// The process started another program.
    Program(Box<ProcessInfo>),
}

impl Event {
    fn program_path(process: &ProcessInfo) -> &[u8] {
        process.path.as_deref().or(process.name.as_deref()).unwrap_or(b"???")
    }

    /// The cell of a change; nothing for another program.
    fn of_change(&self, get: for<'a> fn(&'a Change) -> Cell<'a>) -> Cell<'_> {
        match &self.what {
            Happening::Change(change) => get(change),
            Happening::Program(_) => Cell::Absent,
        }
    }
}

type EventColumn = Column<Event>;

/// The change kinds, and `program`.
const EVENT_IDS: &[&str] = &{
    let mut ids = ["program"; diff::CHANGE_IDS.len() + 1];
    let mut index = 0;
    while index < diff::CHANGE_IDS.len() {
        ids[index] = diff::CHANGE_IDS[index];
        index += 1;
    }
    ids
};

const TIME: EventColumn = EventColumn::new("time", "TIME", ValueType::Time, |event| Cell::Time(event.time));
const CHANGE: EventColumn =
    EventColumn::machine("change", ValueType::Word(EVENT_IDS), |event| match &event.what {
        Happening::Change(change) => Cell::text(change.kind.id()),
        Happening::Program(_) => Cell::text("program"),
    });
const MARK: EventColumn = EventColumn::new("mark", "", ValueType::Mark, |event| match &event.what {
    Happening::Change(change) => Cell::text(change.kind.mark()),
    Happening::Program(_) => Cell::text("!"),
})
.shown(Shows::People);
const WHAT: EventColumn =
    EventColumn::new("what", "WHAT CHANGED", ValueType::Name, |event| match &event.what {
        Happening::Change(change) => Cell::Change(change),
        Happening::Program(process) => {
            Cell::Name([b"started another program  ", Event::program_path(process)].concat().into())
        }
    })
    .shown(Shows::People);
const PATH: EventColumn = EventColumn::machine("path", ValueType::OptionalName, |event| match &event.what {
    Happening::Change(change) => Cell::name(change.region().path()),
    Happening::Program(process) => Cell::name(Some(Event::program_path(process))),
});
const START: EventColumn = EventColumn::machine("start", ValueType::Address, |event| {
    event.of_change(|change| Cell::Address(change.range().start()))
});
const END: EventColumn = EventColumn::machine("end", ValueType::Address, |event| {
    event.of_change(|change| Cell::Address(change.range().end()))
});
const KIND: EventColumn = EventColumn::machine("kind", ValueType::Kind, |event| {
    event.of_change(|change| Cell::Kind(change.region().kind()))
});
const TYPE: EventColumn = EventColumn::machine("type", ValueType::Type, |event| {
    event.of_change(|change| Cell::text(change.region().title()))
});
const VIRTUAL: EventColumn = EventColumn::machine("virtual", ValueType::Delta, |event| {
    event.of_change(|change| Cell::Delta(Some(change.delta().virtual_size)))
});
const RESIDENT: EventColumn = EventColumn::machine("resident", ValueType::Delta, |event| {
    event.of_change(|change| Cell::Delta(change.delta().resident))
});
const DIRTY: EventColumn = EventColumn::machine("dirty", ValueType::Delta, |event| {
    event.of_change(|change| Cell::Delta(change.delta().dirty))
});
const SWAPPED: EventColumn = EventColumn::machine("swapped", ValueType::Delta, |event| {
    event.of_change(|change| Cell::Delta(change.delta().swapped))
});
const DELTA: EventColumn = EventColumn::machine("delta", ValueType::Object("delta"), |event| {
    event.of_change(|change| Cell::Value(json!(change.delta())))
});
const BEFORE: EventColumn = EventColumn::machine("before", ValueType::List("region"), |event| {
    event.of_change(|change| Cell::Records(regions::records(&change.before)))
});
const AFTER: EventColumn = EventColumn::machine("after", ValueType::List("region"), |event| {
    event.of_change(|change| Cell::Records(regions::records(&change.after)))
});

/// The columns of an event.
pub const COLUMNS: Columns<Event> = Columns {
    tabular: &[TIME, CHANGE, MARK, WHAT, START, END, KIND, TYPE, VIRTUAL, RESIDENT, DIRTY, SWAPPED, PATH],
    json: &[TIME, CHANGE, START, END, WHAT, DELTA, BEFORE, AFTER],
};

/// What comes before the events.
pub fn head(origins: &Origins, regions: usize, interval: Duration) -> Head {
    let target = origins.target();
    let name = origins.process.name.clone();
    let mut fields = origins.fields(ViewKind::Watch);
    fields.insert("region_count".to_owned(), regions.into());
    fields.insert("interval_ms".to_owned(), milliseconds(interval).into());
    Head {
        view: ViewKind::Watch,
        sections: vec![Section::note(Note::Watching { name, target: target.clone(), regions, interval })],
        target,
        fields,
        tables: vec![Table::new(("events", "event"), &COLUMNS, Layout::Streamed)],
    }
}

/// How watching went, for the end of the view.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Why it ended.
    pub stop: StopReason,
    /// The check that was waited for, and what was found of it at the end.
    pub until: Option<(&'a Check, String)>,
    /// How long it watched.
    pub watched: Duration,
    /// How many samples there were.
    pub samples: u64,
    /// The longest time that one of them took.
    pub longest_sample: Duration,
    /// How many events there were.
    pub events: u64,
    /// How the zones of malloc changed from the first sample to the last.
    pub zones: Vec<ZoneChange>,
}

impl StopReason {
    /// The identifier in machine formats.
    pub const fn id(&self) -> &'static str {
        match self {
            StopReason::Ended(_) => "ended",
            StopReason::TimeUp => "time-up",
            StopReason::Held => "until",
            StopReason::Interrupted => "interrupted",
            StopReason::Refused(_) => "refused",
        }
    }
}

/// How a process ended, in JSON.
pub fn ending_value(ending: Option<Ending>) -> Value {
    match ending {
        None => Value::Null,
        Some(Ending::Exited(status)) => json!({ "exit_status": status, "signal": null }),
        Some(Ending::Killed(signal)) => json!({ "exit_status": null, "signal": signal }),
    }
}

/// What comes after the events.
pub fn tail(outcome: &Outcome<'_>, warnings: &[Warning]) -> Tail {
    let ending = match outcome.stop {
        StopReason::Ended(ending) => ending_value(ending),
        _ => Value::Null,
    };
    let zones: Vec<Value> = outcome.zones.iter().map(diff::zone_value).collect();
    let fields = fields(json!({
        "stopped": outcome.stop.id(),
        "ending": ending,
        "until": outcome.until.as_ref().map(|(check, found)| json!({ "check": check.text(), "found": found })),
        "watched_ms": milliseconds(outcome.watched),
        "zones": zones,
        "looks": outcome.samples,
        "longest_look_ms": milliseconds(outcome.longest_sample),
        "warnings": warnings_value(warnings),
    }));
    let (stop, events, time) = (outcome.stop.clone(), outcome.events, outcome.watched);
    let mut notes = vec![Note::Watched { stop, events, time }];
    if let Some((check, found)) = &outcome.until
        && !matches!(outcome.stop, StopReason::Held)
    {
        notes.push(Note::NeverHeld(check.text().to_owned()));
        notes.push(Note::FoundAtEnd(found.clone()));
    }
    notes.extend(outcome.zones.iter().cloned().map(Note::ZoneChanged));
    Tail { fields, notes }
}
