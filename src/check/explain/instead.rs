//! How a region differs from what a filter asks for.

use std::collections::BTreeSet;

use super::finding::amount;
use super::miss::miss;
use crate::check::eval::{Verdict, is_shortened};
use crate::check::language::{Filter, Logic, Op, Perm, Predicate, Quoted, Share, Test};
use crate::field::{self, Class};
use crate::region::Classified;

/// The flags of smaps, as [`Found::unmeasured`](super::Found) names them.
const FLAGS: &str = "VmFlags";

/// The part of a path that a report leaves out, as [`Found::unmeasured`](super::Found) names it.
pub const PATH: &str = "whole path";

/// Whether the row of a region shows the field of a condition.
pub fn shows(predicate: &Predicate) -> bool {
    match predicate.test {
        Test::Number(field, ..) | Test::Text(field, _) => *field == field::SIZE,
        Test::Truth(field) => *field == field::DELETED,
        _ => true,
    }
}

/// Describes each part of a filter that a region fails.
pub fn instead(filter: &Filter, region: &Classified) -> Vec<String> {
    let mut differences = Vec::new();
    collect(filter, region, true, &mut differences);
    differences
}

/// `is_wanted` is false within an odd number of `not`.
fn collect(filter: &Filter, region: &Classified, is_wanted: bool, differences: &mut Vec<String>) {
    match (filter, is_wanted) {
        (Logic::Not(inner), _) => collect(inner, region, !is_wanted, differences),
        (Logic::And(parts), true) | (Logic::Or(parts), false) => {
            parts.iter().for_each(|part| collect(part, region, is_wanted, differences));
        }
        (Logic::And(parts) | Logic::Or(parts), _) => {
            let least = parts.iter().min_by_key(|part| miss(part, region, is_wanted));
            least.into_iter().for_each(|part| collect(part, region, is_wanted, differences));
        }
        (Logic::Atom(predicate), _) => {
            let verdict = predicate.verdict(region);
            if verdict == Verdict::Unknown {
                let state = if shows(predicate) { "is unknown" } else { "was not measured" };
                differences.push(format!("{} {state}", unmeasured(&predicate.test, region)));
            } else if verdict != Verdict::from(is_wanted) {
                differences.push(difference(predicate, region, is_wanted));
            }
        }
    }
}

/// Describes a field that doesn't meet a condition.
fn difference(predicate: &Predicate, region: &Classified, is_wanted: bool) -> String {
    let test = &predicate.test;
    let field = test.field().name;
    // Whether the field should be anything but what the condition names.
    let is_unwanted = predicate.is_negated == is_wanted;
    let wanted = |text: &str| if is_unwanted { String::new() } else { format!(", not {text}") };
    let ordered = |op: &Op, text: &str| match op {
        Op::Equal => wanted(text),
        _ if is_wanted => format!(", not {} {text}", op.as_str()),
        _ => String::new(),
    };
    match test {
        Test::Kind(kinds) => format!("{field} is {}{}", region.kind().id(), wanted(kinds[0].id())),
        // The row of the region shows its type and its name.
        Test::Type(_) if is_unwanted => format!("{field} is {}", region.title()),
        Test::Type(glob) => format!("{field} is not {}", Quoted(glob.text().as_bytes())),
        Test::Path(_) if region.path().is_none() => "it has no path".to_owned(),
        Test::Name(_) if region.name().is_none() => "it has no name".to_owned(),
        Test::Path(pattern) | Test::Name(pattern) if is_unwanted => format!("{field} is {pattern}"),
        Test::Path(pattern) | Test::Name(pattern) => format!("{field} is not {pattern}"),
        Test::Perm(_) if is_unwanted => format!("perm is {}", region.protection()),
        Test::Perm(perm) => perm_instead(perm, region),
        Test::Share(share) => {
            let mode = region.share();
            let is = if matches!(share, Share::Code(_)) { mode.code() } else { mode.id() };
            format!("{field} is {is}{}", wanted(share.word()))
        }
        Test::Number(number_field, op, number) => {
            let value = number_field.number(region).map_or_else(
                || "-".to_owned(),
                |value| match number_field.class {
                    Class::Sum | Class::Size => amount(value, Some(number.value)),
                    _ => value.to_string(),
                },
            );
            format!("{field} is {value}{}", ordered(op, &number.text))
        }
        Test::Text(text_field, glob) => match text_field.value(region).bytes() {
            None => format!("it has no {field}"),
            Some(text) => {
                let text = Quoted(text);
                format!("{field} is {text}{}", wanted(&Quoted(glob.text().as_bytes()).to_string()))
            }
        },
        Test::Start(op, address) => {
            format!("{field} is {:#x}{}", region.range().start(), ordered(op, &format!("{address:#x}")))
        }
        Test::End(op, address) => {
            format!("{field} is {:#x}{}", region.range().end(), ordered(op, &format!("{address:#x}")))
        }
        Test::Addr(range) if is_unwanted => format!("it contains {:#x}", range.start()),
        Test::Addr(range) => format!("it doesn't contain {:#x}", range.start()),
        Test::Truth(truth) if **truth != field::DELETED => {
            format!("{field} is {}", if is_unwanted { "true" } else { "false" })
        }
        Test::Truth(_) if is_unwanted => "its file is deleted".to_owned(),
        Test::Truth(_) if region.is_file_backed() => "its file is not deleted".to_owned(),
        Test::Truth(_) => "it has no file".to_owned(),
    }
}

/// Describes a protection that should be another.
pub fn perm_instead(perm: &Perm, region: &Classified) -> String {
    // The fourth letter matters only if the check has one.
    let share = match region.share() {
        share if !share.is_known() => "?",
        share if share.is_shared() => "s",
        _ => "p",
    };
    let share = if perm.text.len() == 4 || perm.text.contains(['p', 's']) { share } else { "" };
    format!("perm is {}{share}, not {}", region.protection(), perm.text)
}

/// Adds what a filter needs of a region and was not measured.
pub fn unmeasured_in(filter: &Filter, region: &Classified, all: &mut BTreeSet<&'static str>) {
    filter.for_each_atom(&mut |predicate| {
        if predicate.verdict(region) == Verdict::Unknown {
            all.insert(unmeasured(&predicate.test, region));
        }
    });
}

/// Names what was not measured of a region that leaves a test undecided.
fn unmeasured(test: &Test, region: &Classified) -> &'static str {
    match test {
        Test::Kind(..) | Test::Type(_) => FLAGS,
        Test::Path(_) | Test::Name(_) if region.name().is_some_and(|name| is_shortened(name, region)) => PATH,
        test => test.field().name,
    }
}
