//! The regions that come nearest to passing a filter.

use std::collections::BTreeSet;

use super::files::none_similar;
use super::finding::{Finding, FoundRegion, SIMILAR};
use super::instead::instead;
use super::miss::{LIGHT, Miss, miss};
use crate::check::eval::{Evidence, Verdict, passes};
use crate::check::language::{Filter, Logic, Predicate, Test};
use crate::region::Classified;

/// Finds the regions nearest to a filter that none passes, and the conditions that no region meets.
pub fn nearest<'a>(filter: &Filter, evidence: Evidence<'a>) -> Finding<'a> {
    let mut best: Vec<(Miss, &Classified)> = Vec::new();
    let mut ties = 0;
    for region in evidence.regions {
        let one = miss(filter, region, true);
        if !one.is_near() {
            continue;
        }
        ties += usize::from(best.first().is_some_and(|(first, _)| first.cost == one.cost));
        let place = best.partition_point(|(other, _)| *other <= one);
        if place < SIMILAR {
            if place == 0 && best.first().is_none_or(|(first, _)| one.cost < first.cost) {
                ties = 1;
            }
            best.insert(place, (one, region));
            best.truncate(SIMILAR);
        }
    }
    // Regions much further away than the nearest would be misleading.
    let least = best.first().map(|(miss, _)| *miss).unwrap_or_default();
    best.retain(|(miss, _)| match miss.cost == least.cost {
        true => miss.distance <= least.distance.saturating_mul(8).saturating_add(8),
        false => miss.cost <= least.cost * 2 + LIGHT,
    });
    // If only numbers differ, every region is as near as another.
    if best.first().is_some_and(|(miss, _)| miss.met == 0) {
        ties = 0;
    }
    let regions: Vec<_> =
        best.iter().map(|(_, region)| FoundRegion { region, instead: instead(filter, region) }).collect();
    let mut sentence = lacking(filter, evidence, !regions.is_empty());
    if !regions.is_empty() {
        sentence.push_str("; nearest");
    }
    Finding { more: ties.saturating_sub(regions.len()), regions, ..Finding::new(sentence) }
}

/// Says which conditions no region meets, or that no region meets all of them.
fn lacking(filter: &Filter, evidence: Evidence<'_>, has_near: bool) -> String {
    let parts: &[Filter] = match filter {
        Logic::And(parts) => parts,
        single => std::slice::from_ref(single),
    };
    let is_lacking =
        |part: &&Filter| evidence.regions.iter().all(|region| passes(Some(part), region) == Verdict::Fails);
    let lacking: Vec<_> = parts.iter().filter(is_lacking).collect();
    if lacking.is_empty() {
        return "no region matches all conditions".to_owned();
    }
    let texts: Vec<_> = lacking.iter().map(|part| part.to_string()).collect();
    let mut sentence = format!("no region matches {}", texts.join(", and none matches "));
    let is_about = |of: fn(&Test) -> bool| {
        let is =
            |part: &Filter| matches!(part, Logic::Atom(Predicate { test, is_negated: false }) if of(test));
        lacking.iter().any(|part| is(part))
    };
    if is_about(|test| matches!(test, Test::Path(_))) && !has_near {
        sentence.push_str(&format!(" ({})", none_similar(evidence)));
    }
    if is_about(|test| matches!(test, Test::Kind(_))) {
        let kinds: BTreeSet<_> = evidence.regions.iter().map(|region| region.kind().id()).collect();
        let kinds: Vec<_> = kinds.into_iter().collect();
        sentence.push_str(&format!(" (kinds in this map: {})", kinds.join(", ")));
    }
    sentence
}
