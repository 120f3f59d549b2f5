//! Chooses what to say about each part of a check.

use super::files;
use super::finding::{Finding, Found, MATCHES, Tally};
use super::instead::{instead, shows};
use super::nearest::nearest;
use super::place::place;
use super::unknown::unknown;
use super::value::value;
use crate::check::eval::{Evidence, Verdict, decide, passes};
use crate::check::language::{Atom, Expr, Filter, Logic, Pattern, Quantity, Value};
use crate::region::Classified;

/// Explains the verdict of a check by the parts that decide it.
pub fn explain<'a>(expr: &Expr, evidence: Evidence<'a>) -> Found<'a> {
    let mut report = Report { evidence, found: Found::default() };
    report.expr(expr, true);
    report.found
}

struct Report<'a> {
    evidence: Evidence<'a>,
    found: Found<'a>,
}

impl<'a> Report<'a> {
    /// `is_wanted` is false within an odd number of `not`.
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

    fn push(&mut self, finding: Finding<'a>) {
        self.found.findings.push(finding);
    }

    fn say(&mut self, sentence: impl Into<String>) {
        self.push(Finding::new(sentence));
    }

    fn atom(&mut self, atom: &Atom, verdict: Verdict, is_wanted: bool) {
        if verdict == Verdict::Unknown {
            let (findings, unmeasured) = unknown(atom, self.evidence);
            self.found.findings.extend(findings);
            self.found.unmeasured.extend(unmeasured);
            return;
        }
        let whole = self.evidence;
        if let Atom::Regions(_, filter) = atom {
            self.evidence = whole.for_filter(filter.as_ref());
        }
        self.decided(atom, verdict == Verdict::Holds, is_wanted);
        self.evidence = whole;
    }

    fn decided(&mut self, atom: &Atom, holds: bool, is_wanted: bool) {
        let is_trouble = holds != is_wanted;
        match atom {
            Atom::Mapped(pattern) if holds => self.mappings(pattern),
            Atom::Mapped(pattern) if is_trouble => self.push(files::similar(pattern, self.evidence)),
            Atom::Mapped(_) => self.say("no region maps it"),
            Atom::Regions(Quantity::All, filter) if !holds => self.mismatches(filter.as_ref()),
            Atom::Regions(Quantity::All, _) => {
                self.say(format!("all {} regions match", self.evidence.regions.len()));
            }
            Atom::Regions(quantity, filter) if holds == (*quantity == Quantity::Any) => {
                self.matches(filter.as_ref());
            }
            Atom::Regions(_, Some(filter)) if is_trouble => self.push(nearest(filter, self.evidence)),
            Atom::Regions(_, Some(filter)) => self.say(format!("no region matches {filter}")),
            Atom::Regions(_, None) => self.say("the map has no regions"),
            Atom::Compare(Value::Number(left), op, Value::Number(right)) => {
                self.say(format!("{} {} {} is {holds}", left.text, op.as_str(), right.text));
            }
            Atom::Compare(left, op, right) => {
                self.value(left, value(left, (*op, right), holds, self.evidence), is_trouble);
                self.value(right, value(right, (op.mirrored(), left), holds, self.evidence), is_trouble);
            }
            Atom::At(address, condition) => self.push(place(*address, condition, self.evidence)),
        }
    }

    /// Adds a finding on a number, and if no region contributes to it, the regions that come nearest.
    fn value(&mut self, value: &Value, finding: Option<Finding<'a>>, is_trouble: bool) {
        let Some(finding) = finding else { return };
        let is_empty = finding.regions.is_empty();
        self.push(finding);
        if let Some(filter) = value.filter().filter(|_| is_empty && is_trouble) {
            self.push(nearest(filter, self.evidence.for_filter(Some(filter))));
        }
    }

    /// The regions that map a file.
    fn mappings(&mut self, pattern: &Pattern) {
        let (first, tally) = collect(self.evidence, |region| pattern.matches_path(region) == Verdict::Holds);
        let is_deleted = first.iter().any(|region| region.name().is_some_and(|name| name.is_deleted()));
        let remark = is_deleted.then(|| "its file is deleted".to_owned());
        let mut sentence = match tally.count {
            1 => format!("1 region maps {pattern}, {}", tally.size()),
            count => format!("{count} regions map {pattern}, {} in total", tally.size()),
        };
        if let Some(remark) = &remark {
            sentence.push_str(&format!("; {remark}"));
        }
        self.push(Finding { remark, ..Finding::listing(sentence, first, tally) });
    }

    /// The regions that pass a filter.
    fn matches(&mut self, filter: Option<&Filter>) {
        let (first, tally) = collect(self.evidence, |region| passes(filter, region) == Verdict::Holds);
        let sentence = match (filter, tally.count) {
            (Some(filter), 1) => format!("1 region matches {filter}, {}", tally.size()),
            (Some(filter), count) => format!("{count} regions match {filter}, {} in total", tally.size()),
            (None, 1) => format!("the map has 1 region, {}", tally.size()),
            (None, count) => format!("the map has {count} regions, {} in total", tally.size()),
        };
        self.push(Finding::listing(sentence, first, tally));
    }

    /// The regions that don't pass a filter which all must pass.
    fn mismatches(&mut self, filter: Option<&Filter>) {
        let (first, tally) = collect(self.evidence, |region| passes(filter, region) == Verdict::Fails);
        let verb = if tally.count == 1 { "doesn't" } else { "don't" };
        let (count, all) = (tally.count, self.evidence.regions.len());
        let sentence = format!("{count} of {all} regions {verb} match, {} in total", tally.size());
        let mut finding = Finding::listing(sentence, first, tally);
        // The row of a region already shows how it fails a filter with a single condition.
        let filter = filter.filter(|filter| !matches!(filter, Logic::Atom(predicate) if shows(predicate)));
        if let Some(filter) = filter {
            finding.regions.iter_mut().for_each(|found| found.instead = instead(filter, found.region));
        }
        self.push(finding);
    }
}

/// The first of the regions for which `is` holds, and the number and size of all of them.
fn collect<'a>(evidence: Evidence<'a>, is: impl Fn(&Classified) -> bool) -> (Vec<&'a Classified>, Tally) {
    let (mut first, mut tally) = (Vec::new(), Tally::default());
    for region in evidence.regions.iter().filter(|region| is(region)) {
        tally += region;
        if first.len() < MATCHES {
            first.push(region);
        }
    }
    (first, tally)
}
