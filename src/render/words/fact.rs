//! Labels and values.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use mmview_platform::Bytes;

use super::regions;
use crate::summary::{Libraries, Writable};
use crate::text::printable;
use crate::units::{Units, percent};
use crate::view::origins::state_id;
use crate::view::{Fact, Label, Side};

/// The label in front of a value, as vmmap has it where vmmap has it.
pub fn label(label: &Label) -> String {
    let text = match label {
        Label::Capture => "Capture",
        Label::Process => "Process",
        Label::Path => "Path",
        Label::LoadAddress => "Load Address",
        Label::CodeType => "Code Type",
        Label::Platform => "Platform",
        Label::Command => "Command",
        Label::User => "User",
        Label::ParentProcess => "Parent Process",
        Label::State => "State",
        Label::Date => "Date/Time",
        Label::LaunchTime => "Launch Time",
        Label::System => "OS Version",
        Label::PageSize => "Page size",
        Label::Mappings => "Mappings",
        Label::Footprint => "Physical footprint",
        Label::FootprintPeak => "Physical footprint (peak)",
        Label::VirtualSize => "Virtual size",
        Label::Resident => "Resident",
        Label::Anonymous => "  anonymous",
        Label::Files => "  files",
        Label::SharedMemory => "  shared memory",
        Label::ResidentPeak => "Resident (peak)",
        Label::Swapped => "Swapped",
        Label::PageTables => "Page tables",
        Label::Before => "Before",
        Label::After => "After",
        Label::Printed(label) => return printable(label.as_bytes()) + ":",
    };
    text.to_owned() + ":"
}

/// A value.
pub fn fact(fact: &Fact, units: Units) -> String {
    match fact {
        Fact::Name(name) => printable(name),
        Fact::Text(text) => printable(text.as_bytes()),
        Fact::Process(name, pid) => format!("{} [{pid}]", named(name.as_deref())),
        Fact::Command(arguments) => command(arguments),
        Fact::User(user) => match &user.name {
            Some(name) => format!("{} ({})", printable(name.as_bytes()), user.id),
            None => user.id.to_string(),
        },
        Fact::State(state, threads) => {
            let threads = match threads {
                0 => None,
                1 => Some("1 thread".to_owned()),
                count => Some(format!("{count} threads")),
            };
            let parts = state.map(|state| state_id(state).to_owned()).into_iter().chain(threads);
            parts.collect::<Vec<_>>().join(", ")
        }
        Fact::Capture(path, format) => {
            format!("{} ({})", printable(path.as_os_str().as_encoded_bytes()), format.id())
        }
        Fact::Size(size) => units.format_measured(*size),
        Fact::Bytes(size) => format!("{} bytes", size.0),
        Fact::Address(address) => format!("{address:#x}"),
        Fact::Time(time) => local(*time),
        Fact::Mappings(count, Some(limit)) => format!("{count} of at most {limit}"),
        Fact::Mappings(count, None) => count.to_string(),
        Fact::Side(side) => self::side(side),
    }
}

/// The name of a process.
pub(super) fn named(name: Option<&[u8]>) -> String {
    name.map_or_else(|| "???".to_owned(), printable)
}

/// A command line, shortened: that of a Java program can fill a screen.
fn command(arguments: &[Box<[u8]>]) -> String {
    const LONGEST: usize = 120;
    let mut text = arguments.iter().map(|argument| printable(argument)).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// One side of a comparison: `python3 [1333], 2026-11-24 06:00:00.123 +0000, 48 regions (a.mmview)`.
fn side(side: &Side) -> String {
    let name = side.name.as_deref().map(printable);
    let pid = side.pid.map(|pid| format!("[{pid}]"));
    let process: Vec<_> = name.into_iter().chain(pid).collect();
    let path = side.path.as_ref().map(|path| printable(path.as_os_str().as_encoded_bytes()));
    let title = if process.is_empty() { path.clone().unwrap_or_default() } else { process.join(" ") };
    let file = path.filter(|path| *path != title).map(|path| format!(" ({path})"));
    let count = (side.regions > 0).then(|| regions(side.regions));
    let parts: Vec<_> = [Some(title), side.taken.map(local), count].into_iter().flatten().collect();
    let later = side.later.map(|later| format!(", {} later", elapsed(later)));
    parts.join(", ") + &file.unwrap_or_default() + &later.unwrap_or_default()
}

fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// A time as vmmap writes it, in the time zone of this machine.
pub fn local(time: SystemTime) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S.%3f %z")
}

/// The time of day in the time zone of this machine: `13:05:01.873`.
pub fn clock(time: SystemTime) -> String {
    formatted(time, "%H:%M:%S.%3f")
}

/// The date and the time of day: `2026-11-26 13:05:01`.
pub fn date(time: SystemTime) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S")
}

fn formatted(time: SystemTime, format: &str) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(TimeZone::system()).strftime(format).to_string(),
        Err(_) => "???".to_owned(),
    }
}

/// The line on the read-only portion of libraries, as vmmap writes it.
pub fn libraries(libraries: &Libraries, units: Units) -> String {
    let size = |size: Option<Bytes>| size.map_or_else(|| "-".to_owned(), |size| units.format(size));
    let total = libraries.total.value();
    let (Some(total), Some(resident)) = (total, libraries.resident.value()) else {
        return format!("ReadOnly portion of Libraries: Total={} resident=-", size(total));
    };
    let rest = total.saturating_sub(resident);
    format!(
        "ReadOnly portion of Libraries: Total={} resident={}({}) swapped_out_or_unallocated={}({})",
        units.format(total),
        units.format(resident),
        percent(resident, total),
        units.format(rest),
        percent(rest, total),
    )
}

/// The line on writable regions, as vmmap writes it.
pub fn writable(writable: &Writable, units: Units) -> String {
    let total = writable.total.value();
    let part = |size: Option<Bytes>| match size.zip(total) {
        Some((size, total)) => format!("{}({})", units.format(size), percent(size, total)),
        None => "-".to_owned(),
    };
    format!(
        "Writable regions: Total={} written={} resident={} swapped_out={} unallocated={}",
        total.map_or_else(|| "-".to_owned(), |total| units.format(total)),
        part(writable.written.value()),
        part(writable.resident.value()),
        part(writable.swapped.value()),
        part(writable.unallocated),
    )
}
