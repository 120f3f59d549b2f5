//! What was found, instead of what was to be there: for somebody who reads a log and is not at the machine.

use std::collections::BTreeSet;

use mmview_platform::Bytes;

use super::field::Measure;
use super::nearest::{self, unmeasured_of};
use super::pattern::Pattern;
use super::tree::{Atom, Expr, Filter, Logic, Op, Quantity, Value, What};
use super::verdict::{Evidence, Span, Tally, Verdict, decide, decide_atom, is_at, passes};
use crate::region::Classified;
use crate::units::Units;
use crate::view::regions::gap_between;

/// How many regions are told of those that are as they should not be.
const OFFENDERS: usize = 10;

/// How many are told of those that make up a sum, and of those that a maximum comes from.
const CONTRIBUTORS: usize = 5;
const LARGEST: usize = 3;

/// What makes a check hold or fail: something for each of its parts that decides it.
#[derive(Clone, Debug, Default)]
pub struct Found<'a> {
    /// What was found, in the order of the check.
    pub findings: Vec<Finding<'a>>,
    /// What was not measured, so that the check can't be decided: names of fields, `flags` or `whole path`.
    pub unmeasured: BTreeSet<&'static str>,
}

/// A sentence, and the regions that it is about.
#[derive(Clone, Debug, Default)]
pub struct Finding<'a> {
    /// What was found, without a full stop. Not escaped.
    pub sentence: String,
    /// The number that was found, where one was asked for: of bytes or of regions.
    pub value: Option<u64>,
    /// What there is to say beside a check that holds: a value, that a file is deleted.
    pub remark: Option<String>,
    /// The regions that it is about, the first of them.
    pub regions: Vec<FoundRegion<'a>>,
    /// How many more there are.
    pub more: usize,
}

/// A region, and what it is instead of what it should be.
#[derive(Clone, Debug)]
pub struct FoundRegion<'a> {
    /// The region.
    pub classified: &'a Classified,
    /// What it is instead, a part each, as in `size is 8K, not 4K`. Not escaped.
    pub instead: Vec<String>,
}

impl<'a> FoundRegion<'a> {
    pub(super) fn plain(classified: &'a Classified) -> FoundRegion<'a> {
        FoundRegion { classified, instead: Vec::new() }
    }
}

impl<'a> Finding<'a> {
    pub(super) fn said(sentence: impl Into<String>) -> Finding<'a> {
        Finding { sentence: sentence.into(), ..Finding::default() }
    }
}

impl Found<'_> {
    /// All that was found in one line. Not escaped.
    pub fn sentence(&self) -> String {
        let sentences: Vec<_> = self.findings.iter().map(|finding| finding.sentence.as_str()).collect();
        sentences.join("; ")
    }

    /// What there is to say beside a check that holds. Not escaped.
    pub fn remark(&self) -> Option<String> {
        let mut remarks: Vec<_> =
            self.findings.iter().filter_map(|finding| finding.remark.as_deref()).collect();
        remarks.dedup();
        (!remarks.is_empty()).then(|| remarks.join(", "))
    }
}

pub(super) fn explain<'a>(expr: &Expr, evidence: Evidence<'a>) -> Found<'a> {
    let mut explainer = Explainer { evidence, found: Found::default() };
    explainer.expr(expr, true);
    explainer.found
}

struct Explainer<'a> {
    evidence: Evidence<'a>,
    found: Found<'a>,
}

impl<'a> Explainer<'a> {
    /// Tells why `expr` is what it is: by its parts that decide. `is_wanted` says that it should hold.
    fn expr(&mut self, expr: &Expr, is_wanted: bool) {
        let verdict = decide(expr, self.evidence);
        match expr {
            Logic::Atom(atom) => self.atom(atom, verdict, is_wanted),
            Logic::Not(inner) => self.expr(inner, !is_wanted),
            Logic::And(parts) | Logic::Or(parts) => {
                for part in parts {
                    if decide(part, self.evidence) == verdict {
                        self.expr(part, is_wanted);
                    }
                }
            }
        }
    }

    fn say(&mut self, finding: Finding<'a>) {
        self.found.findings.push(finding);
    }

    fn atom(&mut self, atom: &Atom, verdict: Verdict, is_wanted: bool) {
        if verdict == Verdict::Unknown {
            return self.unknown(atom);
        }
        let holds = verdict == Verdict::Holds;
        let is_trouble = holds != is_wanted;
        match atom {
            Atom::Mapped(pattern) if holds => self.mappings(pattern),
            Atom::Mapped(pattern) if is_trouble => self.say(nearest::mapped(pattern, self.evidence)),
            Atom::Mapped(_) => self.say(Finding::said("no region maps it")),
            Atom::Regions(Quantity::All, filter) if !holds => self.unlike(filter.as_ref()),
            Atom::Regions(Quantity::All, _) => {
                let count = self.evidence.regions.len();
                self.say(Finding::said(format!("all {count} regions are so")));
            }
            Atom::Regions(quantity, filter) if holds == (*quantity == Quantity::Any) => {
                self.alike(filter.as_ref())
            }
            Atom::Regions(_, Some(filter)) if is_trouble => self.nearest(filter),
            Atom::Regions(_, filter) => self.say(Finding::said(match filter {
                Some(filter) => format!("no region has {filter}"),
                None => "there are no regions".to_owned(),
            })),
            Atom::Compare(Value::Number(left), op, Value::Number(right)) => {
                let is = if holds { "is" } else { "is not" };
                self.say(Finding::said(format!("{} {is} {} {}", left.text, op.as_str(), right.text)));
            }
            Atom::Compare(left, op, right) => {
                self.value(left, (*op, right), holds, is_trouble);
                self.value(right, (op.mirrored(), left), holds, is_trouble);
            }
            Atom::At(address, what) => self.place(*address, what),
        }
    }

    /// Adds the finding on the regions nearest to a filter that none passes.
    fn nearest(&mut self, filter: &Filter) {
        let findings = nearest::to_filter(filter, self.evidence);
        self.found.findings.extend(findings);
    }

    /// The first of the regions for which `is` holds, and how many and how large all are.
    fn collect(&self, is: impl Fn(&Classified) -> bool, most: usize) -> (Vec<&'a Classified>, Tally) {
        let (mut first, mut tally) = (Vec::new(), Tally::default());
        for classified in self.evidence.regions.iter().filter(|classified| is(classified)) {
            tally += classified;
            if first.len() < most {
                first.push(classified);
            }
        }
        (first, tally)
    }

    /// The regions that map a file.
    fn mappings(&mut self, pattern: &Pattern) {
        let maps = |classified: &Classified| pattern.matches_path(classified.facts()) == Verdict::Holds;
        let (first, tally) = self.collect(maps, OFFENDERS);
        let deleted = first.iter().filter(|found| found.name().is_some_and(|name| name.is_deleted()));
        let remark = (deleted.count() > 0).then(|| "its file is deleted".to_owned());
        let mut sentence = match tally.count {
            1 => format!("1 region maps {pattern}, {}", size(tally.size)),
            count => format!("{count} regions map {pattern}, {} in all", size(tally.size)),
        };
        if let Some(remark) = &remark {
            sentence.push_str(&format!("; {remark}"));
        }
        self.say(Finding { remark, ..listed(sentence, first, tally) });
    }

    /// The regions that pass a filter.
    fn alike(&mut self, filter: Option<&Filter>) {
        let (first, tally) = self.collect(|found| passes(filter, found) == Verdict::Holds, OFFENDERS);
        let what = filter.map(|filter| format!(" with {filter}")).unwrap_or_default();
        let sentence = match tally.count {
            1 => format!("there is 1 region{what}, {}", size(tally.size)),
            count => format!("there are {count} regions{what}, {} in all", size(tally.size)),
        };
        self.say(listed(sentence, first, tally));
    }

    /// The regions that don't pass a filter which all should.
    fn unlike(&mut self, filter: Option<&Filter>) {
        let (first, tally) = self.collect(|found| passes(filter, found) == Verdict::Fails, OFFENDERS);
        let (count, all) = (tally.count, self.evidence.regions.len());
        let is = if count == 1 { "is" } else { "are" };
        let mut finding = listed(
            format!("{count} of {all} regions {is} not so, {} in all", size(tally.size)),
            first,
            tally,
        );
        // Of a single part, the row of the region itself tells what it is instead.
        if let Some(filter) =
            filter.filter(|filter| !matches!(filter, Logic::Atom(predicate) if predicate.shows()))
        {
            finding
                .regions
                .iter_mut()
                .for_each(|found| found.instead = nearest::instead(filter, found.classified));
        }
        self.say(finding);
    }

    /// What a value is, and the regions that make it up; `other` is what it was compared with.
    fn value(&mut self, value: &Value, (op, other): (Op, &Value), holds: bool, is_trouble: bool) {
        let span = Span::of(value, self.evidence);
        let other_number = match other {
            Value::Number(number) => Some(number.value),
            _ => None,
        };
        let (measure, filter, is_sum) = match value {
            Value::Number(_) => return,
            Value::Count(filter) => (None, filter, true),
            Value::Sum(measure, filter) => (Some(*measure), filter, true),
            Value::Max(measure, filter) => (Some(*measure), filter, false),
        };
        let write =
            |value: u64| if measure.is_some() { amount(value, other_number) } else { value.to_string() };
        let is = match (span.exact(), span.most) {
            (Some(exact), _) => format!("is {}", write(exact)),
            (None, Some(most)) => format!("is {} to {}", write(span.least), write(most)),
            (None, None) => format!("is at least {}", write(span.least)),
        };
        let not = match other {
            Value::Number(number) if !holds && op == Op::Equal => format!(", not {}", number.text),
            Value::Number(number) if !holds => format!(", not {} {}", op.as_str(), number.text),
            _ => String::new(),
        };
        let (first, count) = match measure {
            None => {
                let (first, tally) =
                    self.collect(|found| passes(filter.as_ref(), found) == Verdict::Holds, OFFENDERS);
                (first, tally.count)
            }
            Some(measure) => {
                self.largest(measure, filter.as_ref(), if is_sum { CONTRIBUTORS } else { LARGEST })
            }
        };
        let remark = span.exact().filter(|exact| Some(*exact) != other_number).map(write);
        let mut finding = Finding {
            sentence: format!("{value} {is}{not}"),
            value: span.exact(),
            remark,
            more: if is_sum { count - first.len() } else { 0 },
            regions: first.into_iter().map(FoundRegion::plain).collect(),
        };
        if let Some(measure) = measure.filter(|measure| *measure != Measure::Size) {
            for found in &mut finding.regions {
                let size = measure
                    .of(found.classified)
                    .map_or_else(|| "not measured".to_owned(), |size| amount(size, None));
                found.instead.push(format!("{} is {size}", measure.name()));
            }
        }
        let is_empty = finding.regions.is_empty();
        self.say(finding);
        if let Some(filter) = filter.as_ref().filter(|_| is_empty && is_trouble) {
            self.nearest(filter);
        }
    }

    /// The regions with most of a size, and how many have any.
    fn largest(
        &self,
        measure: Measure,
        filter: Option<&Filter>,
        most: usize,
    ) -> (Vec<&'a Classified>, usize) {
        let mut all: Vec<(u64, &Classified)> = self
            .evidence
            .regions
            .iter()
            .filter_map(|found| Some((measure.of(found).filter(|size| *size > 0)?, found)))
            .filter(|(_, found)| passes(filter, found) == Verdict::Holds)
            .collect();
        // Stable: equal ones stay in the order of their addresses.
        all.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        (all.iter().take(most).map(|(_, found)| *found).collect(), all.len())
    }

    /// The region at an address, or the gap around it and the neighbours.
    fn place(&mut self, address: u64, what: &What) {
        let Some(classified) = self.evidence.at(address) else { return self.say(self.gap(address)) };
        let into = address - classified.range().start();
        let mut found = FoundRegion::plain(classified);
        if is_at(what, classified) != Verdict::Holds {
            found.instead = match what {
                What::Filter(filter) => nearest::instead(filter, classified),
                What::Perm(perm) => vec![nearest::perm_instead(perm, classified)],
                What::Mapped | What::Unmapped => Vec::new(),
            };
        }
        let sentence = match into {
            0 => format!("a region starts at {address:#x}"),
            _ => format!("{address:#x} is {into:#x} bytes into a region"),
        };
        self.say(Finding { regions: vec![found], ..Finding::said(sentence) });
    }

    fn gap(&self, address: u64) -> Finding<'a> {
        let after = self.evidence.after(address);
        let before = after.checked_sub(1).and_then(|index| self.evidence.regions.get(index));
        let after = self.evidence.regions.get(after);
        let gap = before.zip(after).and_then(|(before, after)| gap_between(before.range(), after.range()));
        let mut sentence = format!("{address:#x} is in no region");
        if let Some(gap) = gap {
            sentence.push_str(&format!(": it is in a gap of {}", size(gap.size())));
        }
        let near = |classified: &'a Classified, distance: u64, is: &str| FoundRegion {
            classified,
            instead: vec![format!(
                "{is} {distance:#x} bytes {} it",
                if is == "ends" { "before" } else { "after" }
            )],
        };
        let before = before.map(|found| near(found, address - found.range().end(), "ends"));
        let after = after.map(|found| near(found, found.range().start() - address, "starts"));
        Finding { regions: before.into_iter().chain(after).collect(), ..Finding::said(sentence) }
    }

    /// What is not known of an atom, and why.
    fn unknown(&mut self, atom: &Atom) {
        let mut unmeasured = BTreeSet::new();
        let filters: Vec<(Option<&Filter>, Option<Measure>)> = match atom {
            Atom::Regions(_, filter) => vec![(filter.as_ref(), None)],
            Atom::Compare(left, _, right) => [left, right]
                .into_iter()
                .filter_map(|value| match value {
                    Value::Number(_) => None,
                    Value::Count(filter) => Some((filter.as_ref(), None)),
                    Value::Sum(measure, filter) | Value::Max(measure, filter) => {
                        Some((filter.as_ref(), Some(*measure)))
                    }
                })
                .collect(),
            Atom::At(_, What::Filter(filter)) => vec![(Some(filter), None)],
            Atom::Mapped(_) | Atom::At(..) => Vec::new(),
        };
        let only = match atom {
            Atom::At(address, _) => Some(self.evidence.at(*address).map(|found| found.range())),
            _ => None,
        };
        let is_undecided = |classified: &Classified, unmeasured: &mut BTreeSet<&'static str>| {
            if only.is_some_and(|range| range != Some(classified.range())) {
                return false;
            }
            if let Atom::Mapped(pattern) = atom {
                let is_undecided = pattern.matches_path(classified.facts()) == Verdict::Unknown;
                unmeasured.extend(is_undecided.then_some(super::field::PATH));
                return is_undecided;
            }
            filters.iter().fold(false, |is_undecided, (filter, measure)| {
                let verdict = passes(*filter, classified);
                let lacks = measure.filter(|measure| measure.of(classified).is_none());
                if verdict == Verdict::Unknown {
                    filter.iter().for_each(|filter| unmeasured_of(filter, classified, unmeasured));
                }
                if verdict != Verdict::Fails {
                    unmeasured.extend(lacks.map(Measure::name));
                }
                is_undecided || verdict == Verdict::Unknown || (verdict == Verdict::Holds && lacks.is_some())
            })
        };
        let undecided: Vec<_> =
            self.evidence.regions.iter().filter(|found| is_undecided(found, &mut unmeasured)).collect();
        if let Atom::Compare(left, op, right) = atom {
            for (value, op, other) in [(left, *op, right), (right, op.mirrored(), left)] {
                if Span::of(value, self.evidence) != Span::UNKNOWN {
                    self.value(value, (op, other), true, false);
                }
            }
        }
        if !undecided.is_empty() {
            let what = if unmeasured.is_empty() { "what it takes".to_owned() } else { join(&unmeasured) };
            // A size is measured, the rest is known or not.
            let is = match unmeasured.iter().all(|name| Measure::named(name).is_some()) {
                true if unmeasured.len() > 1 => "were not measured",
                true => "was not measured",
                false if unmeasured.len() > 1 => "are not known",
                false => "is not known",
            };
            let mut tally = Tally::default();
            undecided.iter().for_each(|found| tally += *found);
            let is_few = undecided.len() <= OFFENDERS && undecided.len() < self.evidence.regions.len();
            let regions = match undecided.len() {
                1 => "1 region".to_owned(),
                count => format!("{count} regions"),
            };
            let sentence = format!("{what} {is} for {regions}");
            self.say(match is_few {
                true => listed(sentence, undecided, tally),
                false => Finding::said(sentence),
            });
        } else if let Some(why) = self.evidence.missing {
            self.say(Finding::said(format!("there may be regions that were not read: {why}")));
        }
        self.found.unmeasured.extend(unmeasured);
        debug_assert!(decide_atom(atom, self.evidence) == Verdict::Unknown);
    }
}

fn join(names: &BTreeSet<&'static str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(" and ")
}

fn listed<'a>(sentence: String, first: Vec<&'a Classified>, tally: Tally) -> Finding<'a> {
    Finding {
        more: tally.count - first.len(),
        regions: first.into_iter().map(FoundRegion::plain).collect(),
        ..Finding::said(sentence)
    }
}

/// A size as tables write it.
fn size(size: Bytes) -> String {
    Units::Auto.format(size)
}

/// A size as tables write it, and its bytes where that looks like what it is compared with.
pub(super) fn amount(size: u64, other: Option<u64>) -> String {
    let write = |size| Units::Auto.format(Bytes(size));
    let text = write(size);
    match other {
        Some(other) if other != size && write(other) == text => format!("{text} ({size} bytes)"),
        _ => text,
    }
}
