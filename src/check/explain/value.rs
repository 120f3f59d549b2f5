//! The numbers that a check compares, and the regions that contribute to them.

use std::cmp::Reverse;

use mmview_platform::Zone;

use super::finding::{Finding, FoundRegion, MATCHES, amount};
use crate::check::eval::{Evidence, Span, Verdict, passes};
use crate::check::language::{Allocated, Filter, Op, Value};
use crate::field::{self, Field};
use crate::region::Classified;

/// How many of the regions that make up a sum are listed, and how many of the largest.
const CONTRIBUTORS: usize = 5;
const LARGEST: usize = 3;

/// Finds a value and the regions that make it up; `None` for a literal. `other` is what it is compared with.
pub fn value<'a>(
    value: &Value,
    (op, other): (Op, &Value),
    holds: bool,
    evidence: Evidence<'a>,
) -> Option<Finding<'a>> {
    let span = Span::of(value, evidence);
    let other_number = match other {
        Value::Number(number) => Some(number.value),
        _ => None,
    };
    let size_field = value.size();
    let is_size = size_field.is_some() || matches!(value, Value::Allocated(Allocated::Bytes, _));
    let format = |value: u64| if is_size { amount(value, other_number) } else { value.to_string() };
    let is = match (span.exact(), span.most) {
        (Some(about), _) if is_in_motion(value, evidence) => format!("is about {}", format(about)),
        (Some(exact), _) => format!("is {}", format(exact)),
        (None, Some(most)) => format!("is between {} and {}", format(span.least), format(most)),
        (None, None) => format!("is at least {}", format(span.least)),
    };
    let not = match other {
        Value::Number(number) if !holds && op == Op::Equal => format!(", not {}", number.text),
        Value::Number(number) if !holds => format!(", not {} {}", op.as_str(), number.text),
        _ => String::new(),
    };
    let evidence = evidence.for_filter(value.filter());
    let (first, more) = contributors(value, evidence)?;
    let mut finding = Finding {
        sentence: format!("{value} {is}{not}"),
        value: span.exact(),
        remark: span.exact().filter(|exact| Some(*exact) != other_number).map(format),
        more,
        regions: first.into_iter().map(FoundRegion::plain).collect(),
    };
    if let Some(field) = size_field.filter(|field| **field != field::SIZE) {
        for found in &mut finding.regions {
            let size = field
                .number(found.region)
                .map_or_else(|| "not measured".to_owned(), |size| amount(size, None));
            found.instead.push(format!("{} is {size}", field.name));
        }
    }
    Some(finding)
}

/// Whether a value is that of zones which changed while they were read.
fn is_in_motion(value: &Value, evidence: Evidence<'_>) -> bool {
    let Value::Allocated(_, name) = value else { return false };
    let is_asked = |zone: &&Zone| name.as_ref().is_none_or(|name| name.matches(&zone.name));
    evidence.zones.into_iter().flatten().filter(is_asked).any(|zone| !zone.is_exact())
}

/// The first of the regions that a value is computed from, and how many more contribute to it.
fn contributors<'a>(value: &Value, evidence: Evidence<'a>) -> Option<(Vec<&'a Classified>, usize)> {
    Some(match value {
        Value::Number(_) => return None,
        Value::Allocated(..) => (Vec::new(), 0),
        Value::Count(filter) => {
            let is_counted = |region: &&Classified| passes(filter.as_ref(), region) == Verdict::Holds;
            let mut counted = evidence.regions.iter().filter(is_counted);
            (counted.by_ref().take(MATCHES).collect(), counted.count())
        }
        Value::Sum(field, filter) => {
            let mut all = by_size(field, filter.as_ref(), evidence);
            let more = all.len().saturating_sub(CONTRIBUTORS);
            all.truncate(CONTRIBUTORS);
            (all, more)
        }
        Value::Max(field, filter) => {
            let mut all = by_size(field, filter.as_ref(), evidence);
            all.truncate(LARGEST);
            (all, 0)
        }
    })
}

/// The regions with some of a size, from large to small; equal ones by address.
fn by_size<'a>(
    field: &'static Field,
    filter: Option<&Filter>,
    evidence: Evidence<'a>,
) -> Vec<&'a Classified> {
    let mut all: Vec<(u64, &Classified)> = evidence
        .regions
        .iter()
        .filter_map(|region| Some((field.number(region).filter(|size| *size > 0)?, region)))
        .filter(|(_, region)| passes(filter, region) == Verdict::Holds)
        .collect();
    all.sort_by_key(|(size, _)| Reverse(*size));
    all.into_iter().map(|(_, region)| region).collect()
}
