//! Why a process ended, in words.

use mmview_platform::ThreadInfo;

use crate::crash::{CrashReport, Place, Spot, cause_name};
use crate::region::Classified;
use crate::text::printable;
use crate::units::Units;

/// The cause, in one or two sentences.
pub fn cause(report: &CrashReport, os: &str, pid: Option<u32>) -> String {
    let Some(crash) = report.crash else {
        return "The dump does not say that the process crashed.".to_owned();
    };
    let name = cause_name(os, &crash).unwrap_or_else(|| "The process ended".to_owned());
    let mut text = match (crash.address, &report.place, crash.sender) {
        (Some(address), Some(place), _) => format!("{name} at {address:#x}: {}", at_place(address, place)),
        (_, _, Some(sender)) if Some(sender) == pid => format!("{name}: the process sent it to itself"),
        (_, _, Some(sender)) => format!("{name}: process {sender} sent it"),
        _ => format!("{name}: the dump has no address"),
    };
    text.push('.');
    let at = crash.instruction.map(|at| {
        let region = report.instruction.as_deref();
        region.map_or_else(
            || format!("at {at:#x}, in no region"),
            |region| format!("at {at:#x}, {}", in_region(at, region)),
        )
    });
    match (crash.thread, at) {
        (Some(thread), Some(at)) => text += &format!(" Thread {thread} was {at}."),
        (Some(thread), None) => text += &format!(" It was thread {thread}."),
        (None, Some(at)) => text += &format!(" The process was {at}."),
        (None, None) => {}
    }
    text
}

fn at_place(address: u64, place: &Place) -> String {
    let in_no_region = || {
        let side = |region: Option<&Classified>, distance: fn(&Classified, u64) -> u64, way: &str| {
            region.map(|region| match distance(region, address) {
                0 => format!("directly {way} {}", title(region)),
                distance => format!("{} {way} {}", bytes(distance), title(region)),
            })
        };
        let before = side(place.before.as_deref(), |region, at| at - region.range().end(), "after");
        let after = side(place.after.as_deref(), |region, at| region.range().start() - at, "before");
        let sides: Vec<_> = [before, after].into_iter().flatten().collect();
        match sides.is_empty() {
            true => "in no region".to_owned(),
            false => format!("in no region, {}", sides.join(" and ")),
        }
    };
    match &place.spot {
        Spot::Null if address == 0 => "null page".to_owned(),
        Spot::Null => format!("null page, {} in", bytes(address)),
        Spot::Region => {
            place.region.as_deref().map_or_else(in_no_region, |region| in_region(address, region))
        }
        Spot::BelowStack { thread, distance, is_guard } => {
            let whose = thread
                .as_ref()
                .map_or_else(|| "a stack".to_owned(), |thread| format!("the stack of {}", name(thread)));
            let why = if *is_guard { "overflow of its guard" } else { "likely an overflow" };
            format!("{} below {whose}: {why}", bytes(*distance))
        }
        Spot::Gap => in_no_region(),
    }
}

/// A number of bytes: small ones as people count them, large ones as addresses are written.
fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        0..65536 => format!("{count} bytes"),
        _ => format!("{count:#x} bytes"),
    }
}

/// Where a thread is.
pub fn thread_at(thread: &ThreadInfo, region: Option<&Classified>, units: Units) -> String {
    let place = match (thread.stack_pointer, region) {
        (None, _) => "stack pointer unknown".to_owned(),
        (Some(pointer), None) => format!("stack pointer {pointer:#x}, in no region"),
        (Some(pointer), Some(region)) => {
            let size = units.format(region.size());
            format!("stack pointer {pointer:#x}, in {}, {size}", title(region))
        }
    };
    format!("{}: {place}", name(thread))
}

fn in_region(address: u64, region: &Classified) -> String {
    match address - region.range().start() {
        0 => format!("at the start of {}", title(region)),
        offset => format!("in {}, {offset:#x} bytes in", title(region)),
    }
}

/// The type of a region, its protection and its file.
fn title(region: &Classified) -> String {
    let path = region.path().map(|path| format!(" of {}", printable(path))).unwrap_or_default();
    format!("{}{path} ({})", printable(region.title().as_bytes()), region.protection())
}

fn name(thread: &ThreadInfo) -> String {
    match thread.name.as_deref() {
        Some(name) => format!("thread {} {}", thread.id, printable(name)),
        None => format!("thread {}", thread.id),
    }
}
