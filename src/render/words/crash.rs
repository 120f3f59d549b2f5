//! Why a process ended, in words.

use mmview_platform::ThreadInfo;

use crate::crash::{CrashReport, Spot, signal_name};
use crate::region::Classified;
use crate::text::printable;
use crate::units::Units;

/// The cause, in one or two sentences.
pub fn cause(report: &CrashReport, os: &str, pid: Option<u32>) -> String {
    let crash = report.crash;
    let signal = match (crash.signal, crash.code) {
        (Some(signal), _) => signal_name(os, signal),
        (None, Some(code)) => format!("exception {code:#x}"),
        (None, None) => "The process ended".to_owned(),
    };
    let mut text = match (crash.address, &report.place, crash.sender) {
        (Some(address), Some(spot), _) => format!("{signal} at {address:#x}: {}", place(address, spot)),
        (_, _, Some(sender)) if Some(sender) == pid => format!("{signal}: the process sent it to itself"),
        (_, _, Some(sender)) => format!("{signal}: process {sender} sent it"),
        _ => format!("{signal}: the dump has no address"),
    };
    text.push('.');
    if let Some(thread) = crash.thread {
        let instruction = crash.instruction.map(|at| {
            let region = report.instruction.as_deref().map(|region| in_region(at, region));
            let region = region.unwrap_or_else(|| "where the dump has no region".to_owned());
            format!(" It was at {at:#x}, {region}.")
        });
        text += &format!(" Thread {thread} failed.{}", instruction.unwrap_or_default());
    }
    text
}

fn place(address: u64, spot: &Spot) -> String {
    match spot {
        Spot::Null if address == 0 => "a null pointer".to_owned(),
        Spot::Null => format!("a null pointer, {address} bytes in"),
        Spot::Region(region) => in_region(address, region),
        Spot::BelowStack { thread, distance, is_guard } => {
            let whose = thread
                .as_ref()
                .map_or_else(|| "a stack".to_owned(), |thread| format!("the stack of {}", name(thread)));
            let why = if *is_guard { "overflow into its guard" } else { "likely an overflow" };
            format!("{distance} bytes below {whose}, {why}")
        }
        Spot::Gap { before, after } => {
            let side = |side: &Option<(Box<Classified>, u64)>, way: &str| {
                side.as_ref().map(|(region, distance)| format!("{distance:#x} bytes {way} {}", title(region)))
            };
            let sides: Vec<_> =
                [side(before, "after"), side(after, "before")].into_iter().flatten().collect();
            match sides.is_empty() {
                true => "in no region".to_owned(),
                false => format!("in no region, {}", sides.join(" and ")),
            }
        }
    }
}

/// Where a thread is.
pub fn thread_at(thread: &ThreadInfo, region: Option<&Classified>, units: Units) -> String {
    let place = match (thread.stack_pointer, region) {
        (None, _) => "stack pointer unknown".to_owned(),
        (Some(pointer), None) => format!("stack pointer {pointer:#x}, in no region"),
        (Some(pointer), Some(region)) => {
            let size = units.format(region.size());
            format!("stack pointer {pointer:#x}, in {} ({size})", title(region))
        }
    };
    format!("{}: {place}", name(thread))
}

fn in_region(address: u64, region: &Classified) -> String {
    let offset = address - region.range().start();
    format!("in {}, {offset:#x} bytes in", title(region))
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
