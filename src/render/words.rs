//! Words for what the views hold as data: labels, values and notes. Everything here is safe to draw on a terminal.

mod change;
mod crash;
mod explain;
mod fact;
mod note;

pub use change::sentence;
pub use fact::{clock, date, libraries, local, writable};
pub use note::{note, remedy};

use crate::text::printable;
use crate::units::Units;
use crate::view::{Line, Section, SectionKind};

/// The column at which values begin after short labels, as in vmmap's header, and after long ones.
const VALUES: [usize; 2] = [17, 28];

/// The lines of a section.
pub fn lines(section: &Section, units: Units) -> impl Iterator<Item = String> {
    section.lines.iter().map(move |line| match line {
        Line::Fact(label, value) => {
            let label = fact::label(label);
            let is_short = section.kind == SectionKind::Process && label.len() < VALUES[0];
            let column = VALUES[usize::from(!is_short)];
            format!("{label:<column$}{}", fact::fact(value, units))
        }
        Line::Libraries(sizes) => libraries(sizes, units),
        Line::Writable(sizes) => writable(sizes, units),
        Line::Quoted(text) => printable(text.as_bytes()),
        Line::Note(text) => note(text, units),
    })
}

/// A number of regions, in words.
pub fn regions(count: usize) -> String {
    if count == 1 { "1 region".to_owned() } else { format!("{count} regions") }
}

/// A difference of counts, with its sign: `+2`, `-1`, `0`.
pub fn signed(count: i64) -> String {
    if count == 0 { "0".to_owned() } else { format!("{count:+}") }
}
