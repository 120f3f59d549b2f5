//! What a map is made of, by owner: in tables, and in words.
#![cfg(feature = "cli")]
#![allow(missing_docs, clippy::print_stdout)]

mod common;

use common::truth::*;
use common::{output, run};
use serde_json::Value;

const SAVED: &str = "tests/fixtures/linux/python-threads.smaps";

/// Requires that the rows have the sums of the whole.
#[track_caller]
fn assert_adds_up(rows: &Value, total: &Value) {
    for field in ["virtual", "resident", "dirty", "swapped"] {
        assert_eq!(sum(list(rows), field), number(&total[field]), "{field}");
    }
}

#[test]
fn owners_add_up_to_the_whole() {
    Truth::of_each("malloc", &[DYNAMIC], &["--blocks", "200"], |truth| {
        truth.stop();
        let pid = truth.pid();
        let summary = run(["--json", "--by", "owner", &pid]).json();
        assert_adds_up(&summary["rows"], &summary["total"]);
        let explained = run(["explain", "--json", &pid]).json();
        assert_adds_up(&explained["owners"], &explained["total"]);
        let sizes: Vec<u64> = list(&summary["rows"]).iter().map(|row| number(&row["resident"])).collect();
        assert!(sizes.is_sorted_by(|one, other| one >= other), "the largest is first: {sizes:?}");

        // The owner's zones together are what each zone has.
        let (zones, owners) =
            (run(["heap", "--json", &pid]).json(), run(["heap", "--json", "--by", "owner", &pid]).json());
        assert_eq!(owners["total"], zones["total"]);
        let [owner] = list(&owners["owners"]) else { panic!("{owners}") };
        assert_eq!(owner["owner"], "glibc malloc");
        for field in ["virtual", "resident", "dirty", "allocations", "allocated", "free"] {
            assert_eq!(number(&owner[field]), sum(list(&zones["zones"]), field), "{field}");
        }
        let sizes = run(["heap", "--json", "--by", "size", &pid]).json();
        assert_eq!(sum(list(&sizes["sizes"]), "allocations"), number(&owner["allocations"]));
        let row = list(&summary["rows"]).iter().find(|row| row["owner"] == "glibc malloc").expect("a row");
        assert!(number(&row["virtual"]) >= number(&owner["virtual"]), "the owner has its zones and reserves");
    });
}

#[test]
fn an_explanation_says_what_is_there_and_how_that_is_known() {
    Truth::of_each("malloc", &[DYNAMIC], &["--blocks", "200"], |truth| {
        truth.stop();
        let pid = truth.pid();
        let text = output(["explain", &pid]);
        let heap = truth.heap();
        let blocks = number(&heap["total"]["allocations"]);
        assert!(text.contains(&format!("{blocks} blocks of ")), "{text}");
        assert!(text.contains("is glibc malloc: "), "{text}");
        assert!(text.contains("Evidence in memory: its list of arenas"), "{text}");
        assert!(text.contains(&format!("  mmview heap {pid}  ")), "{text}");

        let block = truth.report["samples"][0]["address"].as_str().unwrap().to_owned();
        let text = output(["explain", &pid, &block]);
        for sentence in
            ["It belongs to glibc malloc.", "It can be read and written; it is private", "Its zone is "]
        {
            assert!(text.contains(sentence), "{sentence}: {text}");
        }
    });
}

#[test]
fn a_capture_is_explained_without_what_it_lacks() {
    let text = output(["explain", SAVED]);
    assert!(text.contains("The memory itself was not read."), "{text}");
    assert!(!text.contains("Evidence in memory"), "{text}");
    assert!(!text.contains("mmview diff"), "a capture does not change: {text}");
    let gap = output(["explain", SAVED, "0x8"]);
    assert!(gap.starts_with("0x8 is not in any region"), "{gap}");
    assert!(!gap.contains("It belongs to"), "{gap}");
}

#[test]
fn a_wrong_combination_is_refused() {
    let run_by_owner = run(["--by", "owner", SAVED, "0x8"]);
    assert_eq!(run_by_owner.status, 2, "{run_by_owner:?}");
    let before_a_command = run(["--by", "owner", "regions", SAVED]);
    assert_eq!(before_a_command.status, 2, "{before_a_command:?}");
}
