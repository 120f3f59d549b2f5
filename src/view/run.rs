//! A program that was started to be inspected: what its summary doesn't have.

use std::ffi::OsString;
use std::time::Duration;

use mmview_platform::{Bytes, Ending};
use serde_json::json;

use super::origins::milliseconds;
use super::watch::ending_value;
use super::{Note, Tail, name_value};
use crate::check::Check;
use crate::sample::peak::When;
use crate::summary::Summary;

/// A program and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// When the map that is shown was read.
    pub when: When,
    /// How long that was after the program was started.
    pub after: Duration,
    /// Whether the map at the end was asked for, not the peak.
    pub at_exit: bool,
    /// How often the map was read.
    pub samples: u64,
    /// The most that was ever resident, by the kernel's counter.
    pub resident_peak: Option<Bytes>,
    /// How it ended.
    pub ending: Ending,
    /// The check that was waited for, and whether it ever held.
    pub until: Option<(&'a Check, bool)>,
    /// Whether it was traced, so that it stood still at its start and its end.
    pub is_traced: bool,
}

/// Adds that to the end of a summary.
pub fn add(tail: &mut Tail, execution: &Execution<'_>, summary: &Summary) {
    let Execution { when, is_traced, after, samples, ending, .. } = *execution;
    tail.notes.push(Note::Seen { when, is_traced, after, samples, ending });
    if let Some((check, has_held)) = execution.until {
        let text = check.text().to_owned();
        tail.notes.push(if has_held { Note::HeldThen(text) } else { Note::HeldNever(text) });
    }
    // Samples miss what happens between them; the kernel's counter doesn't.
    let seen = summary.total.resident.value();
    if let Some((seen, peak)) = seen.zip(execution.resident_peak)
        && !execution.at_exit
        && execution.until.is_none_or(|(_, has_held)| !has_held)
        && peak.saturating_sub(seen) > Bytes(peak.0 / 16)
    {
        tail.notes.push(Note::Peak(peak));
    }
    let command: Vec<_> =
        execution.command.iter().map(|argument| name_value(argument.as_encoded_bytes())).collect();
    tail.fields.insert(
        "run".to_owned(),
        json!({
            "command": command,
            "seen": when.id(),
            "after_ms": milliseconds(after),
            "looks": samples,
            "resident_peak": execution.resident_peak,
            "until": execution.until.map(|(check, has_held)| json!({ "check": check.text(), "holds": has_held })),
            "traced": is_traced,
            "ending": ending_value(Some(ending)),
        }),
    );
}
