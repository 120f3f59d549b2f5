//! Properties of all checks, maps and texts, on generated ones.

use std::ops::Range;

use mmview_platform::AddrRange;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::Check;
use super::eval::{Evidence, Verdict, decide, passes};
use super::language::{
    Atom, Condition, Expr, Filter, Logic, Number, Op, Pattern, Perm, Predicate, Quantity, Share, Test,
    TypeGlob, Value,
};
use crate::classify::tests::classified;
use crate::completeness::Missing;
use crate::criteria::parse_addresses;
use crate::field::{Class, Field};
use crate::kind::RegionKind;
use crate::region::Classified;
use crate::units::parse_size;

/// A map of up to eight regions, some with counts.
fn maps() -> impl Strategy<Value = Vec<Classified>> {
    const NAMES: [(&str, &str); 5] = [
        ("00:00 0", ""),
        ("00:00 0", "[heap]"),
        ("08:01 7", "/tmp/a"),
        ("08:01 8", "/x/b (deleted)"),
        ("00:00 0", "[stack]"),
    ];
    let region =
        (select(&NAMES[..]), select(&["rw-p", "r-xp", "rw-s", "---p"][..]), proptest::option::of(0u64..3));
    vec(region, 0..8).prop_map(|regions| {
        let mut text = String::new();
        for (index, ((device, name), protection, resident)) in regions.into_iter().enumerate() {
            let start = 0x1000 * (1 + 2 * index);
            text += &format!("{start:x}-{:x} {protection} 00000000 {device} {name}\n", start + 0x1000);
            text += &resident.map(|resident| format!("Rss: {} kB\n", resident * 4)).unwrap_or_default();
        }
        classified(&text)
    })
}

fn ops(range: Range<usize>) -> impl Strategy<Value = Op> {
    const ALL: [Op; 6] = [Op::Unequal, Op::Equal, Op::Less, Op::AtMost, Op::Greater, Op::AtLeast];
    select(&ALL[range])
}

fn numbers() -> impl Strategy<Value = Number> {
    select(&["0", "1", "3", "4096", "4K", "8k", "1.5M", "64M"][..])
        .prop_map(|text| Number { text: text.to_owned(), value: parse_size(text).unwrap().0 })
}

fn perms() -> impl Strategy<Value = Perm> {
    select(&["rw-", "r-xp", "w", "?w?", "rwxs", "---"][..])
        .prop_map(|text| Perm { text: text.to_owned(), permissions: text.parse().unwrap() })
}

fn fields(is_wanted: fn(&Field) -> bool) -> impl Strategy<Value = &'static Field> {
    select(Field::all().filter(|field| field.is_of_region() && is_wanted(field)).collect::<Vec<_>>())
}

fn sums() -> impl Strategy<Value = &'static Field> {
    fields(Field::is_sum)
}

/// Whether conditions on a field compare its text, and have no syntax of their own.
fn is_text(field: &Field) -> bool {
    let has_own = ["path", "name", "perm"].contains(&field.name);
    matches!(field.class, Class::Text | Class::Words | Class::Name | Class::Evidence | Class::Protection)
        && !has_own
}

fn predicates() -> impl Strategy<Value = Predicate> {
    let range = |(start, end): (u64, u64)| AddrRange::new(start, end).filter(|range| !range.is_empty());
    let word = prop_oneof![
        vec(any::<u8>(), 0..8),
        select(&["/tmp/a", "b", "*", "[heap]", "a[", "/x/*"][..]).prop_map(Vec::from)
    ];
    let test = prop_oneof![
        select(RegionKind::ALL).prop_map(|kind| Test::Kind(RegionKind::named(kind.id()).unwrap())),
        ".*".prop_map(|text: String| Test::Type(TypeGlob::new(&text))),
        word.clone().prop_map(|bytes| Test::Path(Pattern::new(bytes))),
        word.prop_map(|bytes| Test::Name(Pattern::new(bytes))),
        perms().prop_map(Test::Perm),
        select(Share::words()).prop_map(|word| Test::Share(Share::named(word).unwrap())),
        (fields(Field::is_number), ops(1..6), numbers())
            .prop_map(|(field, op, number)| Test::Number(field, op, number)),
        (fields(is_text), ".*")
            .prop_map(|(field, text): (_, String)| Test::Text(field, TypeGlob::new(&text))),
        (ops(1..6), any::<u64>()).prop_map(|(op, address)| Test::Start(op, address)),
        (ops(1..6), any::<u64>()).prop_map(|(op, address)| Test::End(op, address)),
        any::<(u64, u64)>().prop_filter_map("a range", range).prop_map(Test::Addr),
        Just(Test::Addr(parse_addresses("1000").unwrap())),
        fields(|field| field.class == Class::Truth).prop_map(Test::Truth),
    ];
    (any::<bool>(), test).prop_map(|(is_negated, test)| {
        let has_order =
            matches!(&test, Test::Number(_, op, _) | Test::Start(op, _) | Test::End(op, _) if op.is_order());
        Predicate { is_negated: is_negated && !has_order, test }
    })
}

fn logic<A: std::fmt::Debug + Clone + 'static>(
    atoms: impl Strategy<Value = A> + 'static,
) -> BoxedStrategy<Logic<A>> {
    let leaf = atoms.prop_map(Logic::Atom);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Logic::Not(Box::new(inner))),
            vec(inner.clone(), 2..4).prop_map(Logic::And),
            vec(inner, 2..4).prop_map(Logic::Or),
        ]
    })
    .boxed()
}

fn filters() -> BoxedStrategy<Filter> {
    logic(predicates())
}

fn values() -> impl Strategy<Value = Value> {
    let filter = || proptest::option::of(filters());
    prop_oneof![
        (sums(), filter()).prop_map(|(field, filter)| Value::Sum(field, filter)),
        (sums(), filter()).prop_map(|(field, filter)| Value::Max(field, filter)),
        filter().prop_map(Value::Count),
        numbers().prop_map(Value::Number),
    ]
}

fn exprs() -> BoxedStrategy<Expr> {
    let quantity = select(&[Quantity::Any, Quantity::All, Quantity::None][..]);
    let what = prop_oneof![
        Just(Condition::Mapped),
        Just(Condition::Unmapped),
        perms().prop_map(Condition::Perm),
        filters().prop_map(Condition::Filter)
    ];
    logic(prop_oneof![
        vec(any::<u8>(), 1..8).prop_map(|bytes| Atom::Mapped(Pattern::new(bytes))),
        (quantity, proptest::option::of(filters()))
            .prop_map(|(quantity, filter)| Atom::Regions(quantity, filter)),
        (values(), ops(0..6), values()).prop_map(|(left, op, right)| Atom::Compare(left, op, right)),
        (any::<u64>(), what).prop_map(|(address, what)| Atom::At(address, what)),
    ])
}

fn evidence(regions: &[Classified], is_whole: bool) -> Evidence<'_> {
    Evidence { missing: (!is_whole).then_some(Missing::Excerpt), ..Evidence::from(regions) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_parses_or_is_an_error(text in ".*") {
        if let Err(error) = text.parse::<Check>() {
            prop_assert!(!error.to_string().contains(char::is_control));
            let (before, after) = error.parts();
            prop_assert_eq!(format!("{before}{after}"), text);
        }
    }

    #[test]
    fn any_tokens_parse_or_are_an_error(words in vec(select(&[
        "any", "all", "none", "sum", "max", "count", "at", "is", "not", "and", "or", "mapped", "(", ")", ",", "=", "!=",
        "<", "kind", "size", "heap", "4K", "\"x", "'y'", "0x10", "rw-", "deleted", "\\", "é",
    ][..]), 0..16)) {
        if let Err(error) = words.join(" ").parse::<Check>() {
            prop_assert!(error.column() <= words.join(" ").chars().count() + 1);
        }
    }

    #[test]
    fn a_displayed_check_parses_to_the_same(expr in exprs()) {
        let text = expr.to_string();
        let read = text.parse::<Check>();
        prop_assert!(read.is_ok(), "{}: {}", text, read.unwrap_err());
        prop_assert_eq!(read.unwrap().expr, expr, "{}", text);
    }

    #[test]
    fn quantities_are_opposites_of_each_other(filter in filters(), map in maps(), is_whole: bool) {
        let evidence = evidence(&map, is_whole);
        let of = |quantity, filter| decide(&Logic::Atom(Atom::Regions(quantity, Some(filter))), evidence);
        let negated = Logic::Not(Box::new(filter.clone()));
        prop_assert_eq!(of(Quantity::None, filter.clone()), !of(Quantity::Any, filter.clone()));
        prop_assert_eq!(of(Quantity::All, filter.clone()), of(Quantity::None, negated));
        let count = |op, number: &str| {
            let number = Number { text: number.to_owned(), value: parse_size(number).unwrap().0 };
            let count = Value::Count(Some(filter.clone()));
            decide(&Logic::Atom(Atom::Compare(count, op, Value::Number(number))), evidence)
        };
        prop_assert_eq!(of(Quantity::None, filter.clone()), count(Op::Equal, "0"));
        prop_assert_eq!(of(Quantity::Any, filter.clone()), count(Op::AtLeast, "1"));
    }

    #[test]
    fn de_morgans_laws_hold(parts in vec(filters(), 2..4), map in maps()) {
        let not = |filter: &Filter| Logic::Not(Box::new(filter.clone()));
        for region in &map {
            let one = Logic::Not(Box::new(Logic::And(parts.clone())));
            let other = Logic::Or(parts.iter().map(not).collect());
            prop_assert_eq!(passes(Some(&one), region), passes(Some(&other), region));
        }
    }

    /// Measuring more never changes a verdict, except an unknown one.
    #[test]
    fn more_counts_never_change_a_verdict(expr in exprs(), map in maps()) {
        let known = decide(&expr, Evidence::from(&map));
        let mut less = map.clone();
        less.iter_mut().for_each(|region| region.facts_mut().counts.resident = None);
        let guessed = decide(&expr, Evidence::from(&less));
        prop_assert!(guessed == Verdict::Unknown || guessed == known, "{}: {:?} {:?}", expr, guessed, known);
        let unsure = decide(&expr, evidence(&map, false));
        prop_assert!(unsure == Verdict::Unknown || unsure == known, "{}: {:?} {:?}", expr, unsure, known);
    }

    #[test]
    fn every_verdict_is_explained(expr in exprs(), map in maps(), is_whole: bool) {
        let evidence = evidence(&map, is_whole);
        let check = Check::new(expr.to_string(), expr);
        let found = check.explain(evidence);
        if check.verdict(evidence) != Verdict::Holds {
            prop_assert!(!found.findings.is_empty(), "{}", check);
            prop_assert!(found.findings.iter().all(|finding| !finding.sentence.is_empty()), "{}", check);
        }
    }
}
