//! What there is to say of a program that was started to be looked at, beside its summary.

use std::ffi::OsString;
use std::time::Duration;

use mmview_platform::{Bytes, Ending};
use serde_json::json;

use super::process::milliseconds;
use super::watch::ending_value;
use super::{Tail, name_value};
use crate::check::Check;
use crate::summary::Summary;
use crate::text::printable_line;
use crate::units::Units;

/// When the map was read that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before anything of the program had run.
    Start,
    /// While it ran.
    Running,
    /// As it ended.
    Exit,
}

impl When {
    const fn id(self) -> &'static str {
        match self {
            When::Start => "start",
            When::Running => "running",
            When::Exit => "exit",
        }
    }
}

/// A program and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// When the map was read that is shown.
    pub when: When,
    /// How long that was after the program was started.
    pub after: Duration,
    /// Whether its end was asked for, not its peak.
    pub at_exit: bool,
    /// How often its map was read.
    pub looks: u64,
    /// The most that was resident at a time, by the kernel's count.
    pub resident_peak: Option<Bytes>,
    /// How it ended.
    pub ending: Ending,
    /// What was waited for, and whether it became so.
    pub until: Option<(&'a Check, bool)>,
    /// Whether it stood still at its start and its end.
    pub is_traced: bool,
}

/// Adds that to what stands after a summary.
pub fn add(tail: &mut Tail, account: &Account<'_>, summary: &Summary, units: Units) {
    let when = match account.when {
        When::Start if account.is_traced => "before anything of it ran",
        When::Start => "right after it was started",
        When::Running => "while it ran",
        When::Exit => "as it ended",
    };
    let looks =
        if account.looks == 1 { "the only look".to_owned() } else { format!("of {} looks", account.looks) };
    tail.notes.push(format!(
        "Seen {when}, {:.3} s after the start, {looks}. The program ended: {}.",
        account.after.as_secs_f64(),
        account.ending
    ));
    if let Some((check, is_so)) = account.until {
        let text = printable_line(check.text());
        tail.notes.push(match is_so {
            true => format!("It was so then: {text}"),
            false => format!("It never was so at any look, and this is the peak: {text}"),
        });
    }
    // What is between two looks is not seen; the kernel's count is without gaps.
    let seen = summary.total.resident.value();
    if let Some((seen, peak)) = seen.zip(account.resident_peak)
        && !account.at_exit
        && account.until.is_none_or(|(_, is_so)| !is_so)
        && peak.saturating_sub(seen) > Bytes(peak.0 / 16)
    {
        tail.notes.push(format!(
            "Its peak was higher at some time between two looks: {} resident, by the kernel's count.",
            units.format(peak)
        ));
    }
    let command: Vec<_> =
        account.command.iter().map(|argument| name_value(argument.as_encoded_bytes())).collect();
    tail.fields.insert(
        "run".to_owned(),
        json!({
            "command": command,
            "seen": account.when.id(),
            "after_ms": milliseconds(account.after),
            "looks": account.looks,
            "resident_peak": account.resident_peak,
            "until": account.until.map(|(check, is_so)| json!({ "check": check.text(), "holds": is_so })),
            "traced": account.is_traced,
            "ending": ending_value(Some(account.ending)),
        }),
    );
}
