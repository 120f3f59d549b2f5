//! `mmview diff` through the command line.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{Run, Running, mmview, output, run, temporary};
use insta::assert_snapshot;

const BEFORE: &str = "tests/fixtures/linux/python-before.smaps";
const AFTER: &str = "tests/fixtures/linux/python-after.smaps";
const ARCHIVE: &str = "tests/fixtures/linux/python.mmview";
const REPORT: &str = "tests/fixtures/macos/notebook.vmmap";

#[test]
fn a_comparison_in_every_format() {
    assert_snapshot!("diff", output(["diff", BEFORE, AFTER]));
    for format in ["json", "ndjson", "csv", "markdown"] {
        assert_snapshot!(format!("diff as {format}"), output(["diff", "-f", format, BEFORE, AFTER]));
    }
}

#[test]
fn reports_of_vmmap_are_compared() {
    let report = fs::read_to_string(REPORT).unwrap();
    let gone = report.lines().find(|line| line.starts_with("mapped file")).unwrap();
    let changed: String =
        report.lines().filter(|line| *line != gone).map(|line| format!("{line}\n")).collect::<String>();
    let (_directory, path) = temporary("later.vmmap");
    fs::write(&path, changed).unwrap();
    let diff = run(["diff", "--json", REPORT, &path]).json();
    let changes = diff["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["change"], "removed");
    assert_eq!(changes[0]["before"][0]["type"], "mapped file");
    assert_eq!(diff["types"].as_array().unwrap().len(), 1);
    assert_eq!(diff["total"]["regions"], -1);
}

#[test]
fn a_report_without_regions_is_compared_by_its_types() {
    let summary = "tests/fixtures/macos/notebook-summary.vmmap";
    assert!(output(["diff", summary, summary]).contains("There is no difference."));
    let diff = run(["diff", "--json", summary, REPORT]).json();
    // Both come from one process; the listing has sizes with more digits.
    assert!(!diff["types"].as_array().unwrap().is_empty());
    for table in ["files", "changes"] {
        assert_eq!(diff[table].as_array().unwrap().len(), 0, "{table}: there are no regions to compare");
    }
}

#[test]
fn unmeasured_sizes_are_not_reported_as_equal() {
    let smaps = fs::read_to_string(AFTER).unwrap();
    let is_region = |line: &&str| line.split_whitespace().next().is_some_and(|word| word.contains('-'));
    let maps: String = smaps.lines().filter(is_region).map(|line| format!("{line}\n")).collect();
    let (_directory, path) = temporary("after.maps");
    fs::write(&path, maps).unwrap();
    for sides in [[AFTER, &*path], [&*path, AFTER]] {
        let diff = output(["diff", sides[0], sides[1]]);
        assert!(diff.contains("There is no difference in what was measured in both."), "{diff}");
        assert!(!diff.contains("by itself"), "{diff}");
    }
}

#[test]
fn a_map_equals_itself() {
    let same = output(["diff", AFTER, AFTER]);
    assert!(same.contains("There is no difference.") && !same.contains("REGION TYPE"), "{same}");
    let diff = run(["diff", "--json", AFTER, AFTER]).json();
    for table in ["types", "files", "changes"] {
        assert_eq!(diff[table].as_array().unwrap().len(), 0, "{table}");
    }
}

#[test]
fn wrong_comparisons_are_refused() {
    let refused = |arguments: &[&str], status: i32, message: &str| {
        let run = Run::of(mmview([]).args(arguments).output().unwrap());
        assert_eq!(run.status, status, "{run:?}");
        assert!(run.stderr.contains(message), "{run:?}");
    };
    refused(&["diff", AFTER], 2, "compare it with what?");
    refused(&["diff", AFTER, BEFORE, ARCHIVE], 2, "there is a third");
    refused(&["diff", AFTER, BEFORE, "--interval", "1s"], 2, "--interval compares one target");
    refused(&["diff", AFTER, "--interval", "1ms"], 2, "a saved map doesn't change");
    refused(&["diff", AFTER, "4194305"], 3, "4194305: no process with PID 4194305");
    refused(&["watch", AFTER], 2, "a saved map doesn't change");
    refused(&["watch", "1", "2"], 2, "takes one target");
    refused(&["snapshot", AFTER], 2, "--output");
}

#[test]
fn a_process_is_compared_with_itself_later() {
    let sleeper = Running::sleeper();
    let diff = run(["diff", "--json", "--interval", "10ms", &sleeper.pid()]).json();
    assert_eq!(diff["changes"].as_array().unwrap().len(), 0, "{}", diff["changes"]);
    assert_eq!(diff["before"]["process"]["pid"], diff["after"]["process"]["pid"]);
}
