//! Why a part of a check can't be decided.

use std::collections::BTreeSet;

use super::finding::{Finding, MATCHES, Tally};
use super::instead::{PATH, unmeasured_in};
use super::value::value;
use crate::check::eval::{Evidence, Span, Verdict, decide_atom, passes};
use crate::check::language::{Atom, Condition, Filter, Value};
use crate::field::Field;
use crate::region::Classified;

/// What is allocated, as [`Found::unmeasured`](super::Found) names it.
const ZONES: &str = "zones";

/// The same of a protection.
const PERM: &str = "perm";

/// Finds what was not measured, and for which regions; or else why regions may be missing.
pub fn unknown<'a>(atom: &Atom, evidence: Evidence<'a>) -> (Vec<Finding<'a>>, BTreeSet<&'static str>) {
    debug_assert!(decide_atom(atom, evidence) == Verdict::Unknown);
    let mut findings = Vec::new();
    if let Atom::Compare(left, op, right) = atom {
        for (one, op, other) in [(left, *op, right), (right, op.mirrored(), left)] {
            if Span::of(one, evidence) != Span::UNKNOWN {
                findings.extend(value(one, (op, other), true, evidence));
            }
        }
    }
    let mut unmeasured = BTreeSet::new();
    let undecided = undecided(atom, evidence, &mut unmeasured);
    if unmeasured.contains(ZONES) {
        findings.push(Finding::new("what is allocated is unknown: the memory of the process was not read"));
    } else if !undecided.is_empty() {
        findings.push(gaps_in(undecided, &unmeasured, evidence));
    } else if let Some(why) = evidence.missing {
        findings.push(Finding::new(format!("regions may be missing: {why}")));
    }
    (findings, unmeasured)
}

/// The regions that leave `atom` undecided. Adds what was not measured of them to `unmeasured`.
fn undecided<'a>(
    atom: &Atom,
    evidence: Evidence<'a>,
    unmeasured: &mut BTreeSet<&'static str>,
) -> Vec<&'a Classified> {
    if let Atom::Mapped(pattern) = atom {
        let undecided: Vec<_> = evidence
            .regions
            .iter()
            .filter(|region| pattern.matches_path(region) == Verdict::Unknown)
            .collect();
        unmeasured.extend((!undecided.is_empty()).then_some(PATH));
        return undecided;
    }
    if let Atom::At(address, Condition::Perm(_)) = atom {
        unmeasured.insert(PERM);
        return evidence.at(*address).into_iter().collect();
    }
    if let Atom::Compare(left, _, right) = atom {
        let asks_for_zones = [left, right].into_iter().any(|value| matches!(value, Value::Allocated(..)));
        unmeasured.extend((asks_for_zones && evidence.zones.is_none()).then_some(ZONES));
    }
    let needs = needs(atom);
    let candidates: Vec<&Classified> = match atom {
        Atom::At(address, _) => evidence.at(*address).into_iter().collect(),
        _ => evidence.regions.iter().collect(),
    };
    let mut is_undecided = |region: &Classified| {
        // Not `any`: every need adds to what was not measured.
        needs.iter().filter(|need| need.is_undecided(region, unmeasured)).count() > 0
    };
    candidates.into_iter().filter(|region| is_undecided(region)).collect()
}

/// A filter that a part of a check applies to regions, and the size that it takes of those that pass.
struct Need<'e> {
    filter: Option<&'e Filter>,
    size: Option<&'static Field>,
}

impl Need<'_> {
    fn is_undecided(&self, region: &Classified, unmeasured: &mut BTreeSet<&'static str>) -> bool {
        let verdict = passes(self.filter, region);
        if verdict == Verdict::Unknown {
            self.filter.iter().for_each(|filter| unmeasured_in(filter, region, unmeasured));
        }
        let lacking = self.size.filter(|field| field.number(region).is_none());
        if verdict != Verdict::Fails {
            unmeasured.extend(lacking.map(|field| field.name));
        }
        verdict == Verdict::Unknown || (verdict == Verdict::Holds && lacking.is_some())
    }
}

fn needs(atom: &Atom) -> Vec<Need<'_>> {
    match atom {
        Atom::Regions(_, filter) => vec![Need { filter: filter.as_ref(), size: None }],
        Atom::Compare(left, _, right) => [left, right]
            .into_iter()
            .filter(|value| !matches!(value, Value::Number(_) | Value::Allocated(..)))
            .map(|value| Need { filter: value.filter(), size: value.size() })
            .collect(),
        Atom::At(_, Condition::Filter(filter)) => vec![Need { filter: Some(filter), size: None }],
        Atom::Mapped(_) | Atom::At(..) => Vec::new(),
    }
}

/// Says what was not measured. Lists the regions only if they are few, and not all.
fn gaps_in<'a>(
    undecided: Vec<&'a Classified>,
    unmeasured: &BTreeSet<&'static str>,
    evidence: Evidence<'a>,
) -> Finding<'a> {
    let names: Vec<_> = unmeasured.iter().copied().collect();
    let subject = if names.is_empty() { "the answer".to_owned() } else { names.join(" and ") };
    // Sizes are measured, everything else is known.
    let is_measured = names.iter().all(|name| Field::named(name).is_some_and(Field::is_sum));
    let state = match (is_measured, names.len() > 1) {
        (true, true) => "were not measured",
        (true, false) => "was not measured",
        (false, true) => "are unknown",
        (false, false) => "is unknown",
    };
    let count = undecided.len();
    let regions = if count == 1 { "1 region".to_owned() } else { format!("{count} regions") };
    let sentence = format!("{subject} {state} for {regions}");
    if count > MATCHES || count == evidence.regions.len() {
        return Finding::new(sentence);
    }
    let mut tally = Tally::default();
    undecided.iter().for_each(|region| tally += *region);
    Finding::listing(sentence, undecided, tally)
}
