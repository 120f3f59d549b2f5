//! What is at an address.

use super::finding::{Finding, FoundRegion};
use super::instead::{instead, perm_instead};
use crate::check::eval::{Evidence, Verdict, meets};
use crate::check::language::Condition;
use crate::region::Classified;
use crate::units::Units;

/// Finds the region at an address, or the gap around it and its neighbors.
pub fn place<'a>(address: u64, condition: &Condition, evidence: Evidence<'a>) -> Finding<'a> {
    let evidence = evidence.for_filter(condition.filter());
    let Some(region) = evidence.at(address) else { return gap(address, evidence) };
    let mut found = FoundRegion::plain(region);
    if meets(condition, region) != Verdict::Holds {
        found.instead = match condition {
            Condition::Filter(filter) => instead(filter, region),
            Condition::Perm(perm) => vec![perm_instead(perm, region)],
            Condition::Mapped | Condition::Unmapped => Vec::new(),
        };
    }
    let sentence = match address - region.range().start() {
        0 => format!("a region starts at {address:#x}"),
        offset => format!("{address:#x} is {offset:#x} bytes into a region"),
    };
    Finding { regions: vec![found], ..Finding::new(sentence) }
}

fn gap<'a>(address: u64, evidence: Evidence<'a>) -> Finding<'a> {
    let after = evidence.after(address);
    let before = after.checked_sub(1).and_then(|index| evidence.regions.get(index));
    let after = evidence.regions.get(after);
    let gap = before.zip(after).and_then(|(before, after)| before.range().gap_before(after.range()));
    let mut sentence = format!("{address:#x} is not mapped");
    if let Some(gap) = gap {
        sentence.push_str(&format!(": it is in a gap of {}", Units::Auto.format(gap.size())));
    }
    let neighbor = |region: &'a Classified, distance: String| FoundRegion { region, instead: vec![distance] };
    let before = before.map(|region| {
        neighbor(region, format!("ends {:#x} bytes before it", address - region.range().end()))
    });
    let after = after.map(|region| {
        neighbor(region, format!("starts {:#x} bytes after it", region.range().start() - address))
    });
    Finding { regions: before.into_iter().chain(after).collect(), ..Finding::new(sentence) }
}
