//! The regions that come nearest to what was to be there, and what they are instead.

use std::collections::BTreeSet;

use mmview_platform::NameKind;

use super::field::{Predicate, Test};
use super::found::{Finding, FoundRegion, amount};
use super::pattern::{Pattern, Quoted};
use super::tree::{Filter, Logic, Op, Perm};
use super::verdict::{Evidence, Verdict, passes};
use crate::filter::last_part;
use crate::region::Classified;

/// How many regions are told that come near.
pub(super) const SHOWN: usize = 3;

/// How far a region is from passing a filter. Ordered by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Miss {
    /// What the parts that fail weigh.
    cost: u32,
    /// By how much numbers differ, to choose among equal costs.
    distance: u64,
    /// What the heaviest part weighs that fails, a number aside.
    missed: u32,
    /// What the heaviest part weighs that is as it should be.
    met: u32,
}

impl Miss {
    /// Whether the region has something to do with what was asked for: what it is told by is right, or only numbers differ.
    fn is_near(self) -> bool {
        (self.met > 0 && self.met >= self.missed) || (self.distance > 0 && self.missed <= LIGHT)
    }

    fn and(self, other: Miss) -> Miss {
        Miss {
            cost: self.cost + other.cost,
            distance: self.distance.saturating_add(other.distance),
            missed: self.missed.max(other.missed),
            met: self.met.max(other.met),
        }
    }
}

/// How far a region is from what a part of a filter asks for, or from the opposite.
fn miss(filter: &Filter, classified: &Classified, is_wanted: bool) -> Miss {
    match (filter, is_wanted) {
        (Logic::Not(inner), _) => miss(inner, classified, !is_wanted),
        (Logic::And(parts), true) | (Logic::Or(parts), false) => {
            parts.iter().map(|part| miss(part, classified, is_wanted)).fold(Miss::default(), Miss::and)
        }
        (Logic::And(parts) | Logic::Or(parts), _) => {
            parts.iter().map(|part| miss(part, classified, is_wanted)).min().unwrap_or_default()
        }
        (Logic::Atom(predicate), _) => miss_of(predicate, classified, is_wanted),
    }
}

fn miss_of(predicate: &Predicate, classified: &Classified, is_wanted: bool) -> Miss {
    let whole = weight(&predicate.test);
    // That something is *not* so tells no region from another.
    if predicate.verdict(classified) == Verdict::from(is_wanted) {
        return Miss { met: if predicate.is_negated == is_wanted { 0 } else { whole }, ..Miss::default() };
    }
    if predicate.is_negated == is_wanted {
        return Miss { cost: whole, missed: whole, ..Miss::default() };
    }
    let likeness = match &predicate.test {
        Test::Path(path) => path_likeness(path, classified),
        _ => None,
    };
    match (likeness, distance(&predicate.test, classified)) {
        (Some(0), _) => Miss { cost: 1, distance: 0, missed: 1, met: whole - 1 },
        (Some(unlike), _) => {
            Miss { cost: whole / 2, distance: unlike as u64, missed: whole / 2, met: whole / 2 }
        }
        (None, 0) => Miss { cost: whole, distance: 0, missed: whole, met: 0 },
        (None, distance) => Miss { cost: whole, distance, missed: LIGHT, met: 0 },
    }
}

/// What a part weighs that doesn't tell a region from others.
const LIGHT: u32 = 2;

/// What a region is told by, weighs more than how it is.
fn weight(test: &Test) -> u32 {
    match test {
        Test::Path(_) | Test::Name(_) | Test::Start(..) | Test::End(..) | Test::Holds(_) => 8,
        Test::Kind(_) | Test::Type(_) => 4,
        _ => LIGHT,
    }
}

fn distance(test: &Test, classified: &Classified) -> u64 {
    let region = classified.facts();
    match test {
        Test::Measured(measure, _, number) => {
            measure.of(classified).map_or(u64::MAX, |size| size.abs_diff(number.value))
        }
        Test::Offset(_, number) => region.offset.abs_diff(number.value),
        Test::Start(_, address) => region.range.start().abs_diff(*address),
        Test::End(_, address) => region.range.end().abs_diff(*address),
        _ => 0,
    }
}

/// What a region is instead of what a filter asks for: of each part that fails.
pub(super) fn instead(filter: &Filter, classified: &Classified) -> Vec<String> {
    let mut all = Vec::new();
    tell_instead(filter, classified, true, &mut all);
    all
}

fn tell_instead(filter: &Filter, classified: &Classified, is_wanted: bool, all: &mut Vec<String>) {
    match (filter, is_wanted) {
        (Logic::Not(inner), _) => tell_instead(inner, classified, !is_wanted, all),
        (Logic::And(parts), true) | (Logic::Or(parts), false) => {
            parts.iter().for_each(|part| tell_instead(part, classified, is_wanted, all))
        }
        (Logic::And(parts) | Logic::Or(parts), _) => {
            let least = parts.iter().min_by_key(|part| miss(part, classified, is_wanted));
            least.into_iter().for_each(|part| tell_instead(part, classified, is_wanted, all))
        }
        (Logic::Atom(predicate), _) => {
            let verdict = predicate.verdict(classified);
            if verdict == Verdict::Unknown {
                let is = if predicate.shows() { "is not known" } else { "was not measured" };
                all.push(format!("{} {is}", predicate.test.unmeasured(classified)));
            } else if verdict != Verdict::from(is_wanted) {
                all.push(otherwise(predicate, classified, is_wanted));
            }
        }
    }
}

/// What a field is that should be otherwise.
fn otherwise(predicate: &Predicate, classified: &Classified, is_wanted: bool) -> String {
    let region = classified.facts();
    let test = &predicate.test;
    let field = test.field();
    // What it should be; nothing, where it only should not be what it is.
    let wanted = |text: &str| match predicate.is_negated == is_wanted {
        true => String::new(),
        false => format!(", not {text}"),
    };
    let ordered = |op: &Op, text: &str| match op {
        Op::Equal => wanted(text),
        _ if is_wanted => format!(", not {} {text}", op.as_str()),
        _ => String::new(),
    };
    match test {
        Test::Kind(kinds) => format!("{field} is {}{}", classified.kind().id(), wanted(kinds[0].id())),
        // The row of the region shows its type and its name.
        Test::Type(_) if predicate.is_negated == is_wanted => format!("{field} is {}", classified.title()),
        Test::Type(glob) => format!("{field} is not {}", Quoted(glob.text().as_bytes())),
        Test::Path(pattern) | Test::Name(pattern) => match &region.name {
            None => format!("it has no {field}"),
            Some(name) if field == "path" && name.path().is_none() => "it has no path".to_owned(),
            Some(_) if predicate.is_negated == is_wanted => format!("{field} is {pattern}"),
            Some(_) => format!("{field} is not {pattern}"),
        },
        Test::Perm(perm) if predicate.is_negated != is_wanted => perm_instead(perm, classified),
        Test::Perm(_) => format!("perm is {}", region.protection),
        Test::Share(_) => {
            let text = predicate.to_string();
            let word = text.rsplit('=').next().unwrap_or_default();
            let is = if word.chars().all(|letter| !letter.is_lowercase()) {
                region.share.code()
            } else {
                region.share.id()
            };
            format!("{field} is {is}{}", wanted(word))
        }
        Test::Measured(measure, op, number) => {
            let size = measure
                .of(classified)
                .map_or_else(|| "-".to_owned(), |size| amount(size, Some(number.value)));
            format!("{field} is {size}{}", ordered(op, &number.text))
        }
        Test::Offset(op, number) => {
            format!("{field} is {}{}", amount(region.offset, Some(number.value)), ordered(op, &number.text))
        }
        Test::Start(op, address) => {
            format!("{field} is {:#x}{}", region.range.start(), ordered(op, &format!("{address:#x}")))
        }
        Test::End(op, address) => {
            format!("{field} is {:#x}{}", region.range.end(), ordered(op, &format!("{address:#x}")))
        }
        Test::Holds(range) => match predicate.is_negated == is_wanted {
            true => format!("it holds {:#x}", range.start()),
            false => format!("it does not hold {:#x}", range.start()),
        },
        Test::Deleted if predicate.is_negated == is_wanted => "its file is deleted".to_owned(),
        Test::Deleted if region.is_file_backed() => "its file is not deleted".to_owned(),
        Test::Deleted => "it has no file".to_owned(),
    }
}

/// What protection a region has that should have another.
pub(super) fn perm_instead(perm: &Perm, classified: &Classified) -> String {
    let region = classified.facts();
    // The fourth letter is told where it was asked for.
    let share = if region.share.is_shared() { "s" } else { "p" };
    let share = if perm.text.len() == 4 || perm.text.contains(['p', 's']) { share } else { "" };
    format!("perm is {}{share}, not {}", region.protection, perm.text)
}

/// What of a region was not measured that a filter asks for.
pub(super) fn unmeasured_of(filter: &Filter, classified: &Classified, all: &mut BTreeSet<&'static str>) {
    filter.atoms(&mut |predicate| {
        if predicate.verdict(classified) == Verdict::Unknown {
            all.insert(predicate.test.unmeasured(classified));
        }
    });
}

/// The regions nearest to a filter that none passes, and the parts of it that none passes at all.
pub(super) fn to_filter<'a>(filter: &Filter, evidence: Evidence<'a>) -> Vec<Finding<'a>> {
    let mut best: Vec<(Miss, &Classified)> = Vec::new();
    let mut ties = 0;
    for classified in evidence.regions {
        let one = miss(filter, classified, true);
        if !one.is_near() {
            continue;
        }
        ties += usize::from(best.first().is_some_and(|(first, _)| first.cost == one.cost));
        let place = best.partition_point(|(other, _)| *other <= one);
        if place < SHOWN {
            if place == 0 && best.first().is_none_or(|(first, _)| one.cost < first.cost) {
                ties = 1;
            }
            best.insert(place, (one, classified));
            best.truncate(SHOWN);
        }
    }
    // Those that miss much more than the nearest would only lead astray.
    let least = best.first().map(|(miss, _)| *miss).unwrap_or_default();
    best.retain(|(miss, _)| match miss.cost == least.cost {
        true => miss.distance <= least.distance.saturating_mul(8).saturating_add(8),
        false => miss.cost <= least.cost * 2 + LIGHT,
    });
    // Of numbers alone, every region is as near as another.
    if best.first().is_some_and(|(miss, _)| miss.met == 0) {
        ties = 0;
    }
    let found = |classified: &'a Classified| FoundRegion { classified, instead: instead(filter, classified) };
    let regions: Vec<_> = best.iter().map(|(_, classified)| found(classified)).collect();
    let mut sentence = lacking(filter, evidence, !regions.is_empty());
    if regions.is_empty() {
        return vec![Finding::said(sentence)];
    }
    sentence.push_str("; nearest");
    vec![Finding { more: ties.saturating_sub(regions.len()), regions, ..Finding::said(sentence) }]
}

/// Which parts no region passes at all, or that none passes all of them.
fn lacking(filter: &Filter, evidence: Evidence<'_>, has_near: bool) -> String {
    let parts: &[Filter] = match filter {
        Logic::And(parts) => parts,
        single => std::slice::from_ref(single),
    };
    let is_lacking = |part: &&Filter| {
        evidence.regions.iter().all(|classified| passes(Some(part), classified) == Verdict::Fails)
    };
    let lacking: Vec<_> = parts.iter().filter(is_lacking).collect();
    if lacking.is_empty() {
        return "no region meets all of it".to_owned();
    }
    let texts: Vec<_> = lacking.iter().map(|part| part.to_string()).collect();
    let mut sentence = format!("no region has {}", texts.join(", none has "));
    let is_about = |of: fn(&Test) -> bool| {
        let is =
            |part: &Filter| matches!(part, Logic::Atom(Predicate { test, is_negated: false }) if of(test));
        lacking.iter().any(|part| is(part))
    };
    if is_about(|test| matches!(test, Test::Path(_))) && !has_near {
        sentence.push_str(&format!(" ({})", none_like(files(evidence).len())));
    }
    if is_about(|test| matches!(test, Test::Kind(_))) {
        let kinds: BTreeSet<_> = evidence.regions.iter().map(|classified| classified.kind().id()).collect();
        let kinds: Vec<_> = kinds.into_iter().collect();
        sentence.push_str(&format!(" (the kinds there are: {})", kinds.join(", ")));
    }
    sentence
}

/// How unlike a region's path is to another: 0 where the last parts are the same, `None` where they have nothing to do with each
/// other.
fn path_likeness(path: &Pattern, classified: &Classified) -> Option<usize> {
    let name = classified.name().filter(|name| name.path().is_some())?;
    let (wanted, last) = (path.last_part(), last_part(name));
    if wanted == last {
        return Some(0);
    }
    let lower = |bytes| String::from_utf8_lossy(bytes).to_lowercase();
    likeness(&lower(wanted), &lower(last))
}

/// The paths that are mapped, and the first region of each.
fn files<'a>(evidence: Evidence<'a>) -> Vec<&'a Classified> {
    let mut seen = BTreeSet::new();
    let path = |classified: &&'a Classified| classified.name().and_then(|name| name.path());
    evidence
        .regions
        .iter()
        .filter(|classified| path(classified).is_some_and(|path| seen.insert(path)))
        .collect()
}

fn none_like(count: usize) -> String {
    let files = if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
    format!("{files} mapped, none of a name like that")
}

/// What is mapped instead of a path that is not: files of the same name elsewhere, or of a name that is nearly the same.
pub(super) fn mapped<'a>(pattern: &Pattern, evidence: Evidence<'a>) -> Finding<'a> {
    let files = files(evidence);
    if let Some(label) = evidence.regions.iter().find(|found| is_label(pattern, found)) {
        let sentence =
            format!("no region maps {pattern}: that is a name, and no path; write any(name={pattern})");
        return Finding { regions: vec![FoundRegion::plain(label)], ..Finding::said(sentence) };
    }
    let likeness = |classified: &&'a Classified| Some((path_likeness(pattern, classified)?, *classified));
    let mut near: Vec<(usize, &Classified)> = files.iter().filter_map(likeness).collect();
    near.sort_by_key(|(unlike, _)| *unlike);
    let count = files.len();
    if near.is_empty() {
        return Finding::said(format!("no region maps {pattern}: {}", none_like(count)));
    }
    let more = near.len().saturating_sub(SHOWN);
    let regions = near.iter().take(SHOWN).map(|(_, classified)| FoundRegion::plain(classified)).collect();
    let sentence = format!("no region maps {pattern}; nearest of {count} files");
    Finding { regions, more, ..Finding::said(sentence) }
}

/// Whether a region has that name, but not as a path.
fn is_label(pattern: &Pattern, classified: &Classified) -> bool {
    let name = classified.name();
    name.is_some_and(|name| !matches!(name.kind(), NameKind::File | NameKind::MemoryObject))
        && pattern.matches_name(classified.facts()) == Verdict::Holds
}

/// How unlike two names of files are that are not the same; `None` where they have nothing to do with each other.
fn likeness(wanted: &str, last: &str) -> Option<usize> {
    // Names are short; what is not is not compared letter by letter.
    if wanted.len() > 255 || last.len() > 255 || wanted.is_empty() {
        return None;
    }
    let length = wanted.chars().count();
    // `libc.so.6` and `libc-2.31.so` are one library.
    let stem = |name: &str| name.split(['.', '-']).next().unwrap_or_default().to_owned();
    if stem(wanted).len() >= 3 && stem(wanted) == stem(last) {
        return Some(2);
    }
    let is_part = length >= 4 && (last.contains(wanted) || wanted.contains(last) && last.len() >= 4);
    // Names that differ more in length than they may in letters needn't be compared.
    if !is_part && last.chars().count().abs_diff(length) > length.div_ceil(4) {
        return None;
    }
    let distance = strsim::damerau_levenshtein(wanted, last);
    (distance <= length.div_ceil(4) || is_part).then_some(distance + 1)
}
