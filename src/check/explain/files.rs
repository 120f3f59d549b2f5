//! Mapped files with a name similar to one that is not mapped.

use std::collections::BTreeSet;

use mmview_platform::NameKind;

use super::finding::{Finding, FoundRegion, SIMILAR};
use crate::check::eval::{Evidence, Verdict};
use crate::check::language::Pattern;
use crate::criteria::last_part;
use crate::region::Classified;

/// Finds what is mapped instead of a path that is not: files with the same or a similar name.
pub fn similar<'a>(pattern: &Pattern, evidence: Evidence<'a>) -> Finding<'a> {
    if let Some(label) = evidence.regions.iter().find(|region| is_label(pattern, region)) {
        let sentence = format!("no region maps {pattern}: it is a name, not a path; use any(name={pattern})");
        return Finding { regions: vec![FoundRegion::plain(label)], ..Finding::new(sentence) };
    }
    let files = files(evidence);
    let mut near: Vec<(usize, &Classified)> =
        files.iter().filter_map(|region| Some((path_difference(pattern, region)?, *region))).collect();
    near.sort_by_key(|(difference, _)| *difference);
    if near.is_empty() {
        return Finding::new(format!("no region maps {pattern}: {}", none_similar(evidence)));
    }
    let more = near.len().saturating_sub(SIMILAR);
    let regions = near.into_iter().take(SIMILAR).map(|(_, region)| FoundRegion::plain(region)).collect();
    let sentence = format!("no region maps {pattern}; nearest of {} files", files.len());
    Finding { regions, more, ..Finding::new(sentence) }
}

/// Says how many files are mapped, none of them similar.
pub fn none_similar(evidence: Evidence<'_>) -> String {
    match files(evidence).len() {
        0 => "no file is mapped".to_owned(),
        1 => "1 file is mapped, and its name is not similar".to_owned(),
        count => format!("{count} files are mapped, none with a similar name"),
    }
}

/// The first region of each path that is mapped.
fn files<'a>(evidence: Evidence<'a>) -> Vec<&'a Classified> {
    let mut seen = BTreeSet::new();
    evidence.regions.iter().filter(|region| region.path().is_some_and(|path| seen.insert(path))).collect()
}

/// Whether a region has this name, but not as a path.
fn is_label(pattern: &Pattern, region: &Classified) -> bool {
    let name = region.name();
    name.is_some_and(|name| !matches!(name.kind(), NameKind::File | NameKind::MemoryObject))
        && pattern.matches_name(region) == Verdict::Holds
}

/// How much a region's path differs from a pattern: 0 if the last parts are equal, `None` if they are unrelated.
pub fn path_difference(pattern: &Pattern, region: &Classified) -> Option<usize> {
    let name = region.name().filter(|name| name.path().is_some())?;
    let (wanted, last) = (pattern.last_part(), last_part(name));
    if wanted == last {
        return Some(0);
    }
    let lower = |bytes| String::from_utf8_lossy(bytes).to_lowercase();
    difference(&lower(wanted), &lower(last))
}

/// How much two unequal file names differ; `None` if they are unrelated.
fn difference(wanted: &str, last: &str) -> Option<usize> {
    // The comparison costs the product of the lengths, and file names are short.
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
    // The distance is at least the difference of the lengths.
    if !is_part && last.chars().count().abs_diff(length) > length.div_ceil(4) {
        return None;
    }
    let distance = strsim::damerau_levenshtein(wanted, last);
    (distance <= length.div_ceil(4) || is_part).then_some(distance + 1)
}
