//! Snapshots of the output for recorded captures, in every format.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use common::run;
use insta::assert_snapshot;

fn fixture(name: &str) -> String {
    format!("tests/fixtures/linux/{name}")
}

/// The output for a capture, with the warnings.
fn output<const N: usize>(arguments: [&str; N]) -> String {
    let run = run(arguments);
    assert_eq!(run.status, 0, "{}", run.stderr);
    match run.stderr.as_str() {
        "" => run.stdout,
        warnings => format!("{}--- standard error ---\n{warnings}", run.stdout),
    }
}

macro_rules! summaries {
    ($($test:ident: $file:literal;)+) => { $(
        #[test]
        fn $test() {
            assert_snapshot!(concat!("summary of ", $file), output([&fixture($file)]));
            assert_snapshot!(concat!("regions of ", $file), output(["regions", &fixture($file)]));
        }
    )+ };
}

summaries! {
    sleep_is_shown: "sleep.smaps";
    a_threaded_python_is_shown: "python-threads.smaps";
    a_jvm_is_shown: "java.maps";
    every_kind_of_name_is_shown: "names.maps";
    a_torn_capture_is_shown: "torn.smaps";
    swap_and_large_pages_are_shown: "swap-16k.smaps";
}

#[test]
fn reports_of_vmmap_are_shown() {
    for name in ["notebook.vmmap", "notebook-summary.vmmap", "format-2.0.vmmap"] {
        let file = format!("tests/fixtures/macos/{name}");
        assert_snapshot!(format!("summary of {name}"), output([&file]));
        assert_snapshot!(format!("regions of {name}"), output(["regions", &file]));
    }
    assert_snapshot!("report as json", output(["--json", "tests/fixtures/macos/notebook-summary.vmmap"]));
}

#[test]
fn a_report_adds_up_to_its_own_table() {
    let summary = run(["--json", "tests/fixtures/macos/notebook.vmmap"]).json();
    let report = std::fs::read_to_string("tests/fixtures/macos/notebook.vmmap").unwrap();
    let rows = summary["rows"].as_array().unwrap();
    for row in rows {
        let title = row["type"].as_str().unwrap();
        let line = report.lines().filter(|line| line.len() > 32).find(|line| line[..31].trim_end() == title);
        let line = line.unwrap_or_else(|| panic!("the report's table has no {title}"));
        let count = line[31..].split_whitespace().nth(7).unwrap();
        assert_eq!(count.parse::<u64>().ok(), row["regions"].as_u64(), "{line}");
    }
    assert!(rows.len() > 5);
}

#[test]
fn the_summary_in_every_format() {
    for format in ["json", "ndjson", "csv", "markdown"] {
        assert_snapshot!(format!("summary as {format}"), output(["-f", format, &fixture("swap-16k.smaps")]));
    }
}

#[test]
fn the_regions_in_every_format() {
    for format in ["json", "ndjson", "csv", "markdown"] {
        let file = fixture("swap-16k.smaps");
        assert_snapshot!(format!("regions as {format}"), output(["regions", "-f", format, &file]));
    }
}

#[test]
fn hostile_names_in_every_format() {
    for format in ["csv", "markdown", "ndjson"] {
        let output = output(["regions", "-f", format, &fixture("names.maps")]);
        assert!(!output.bytes().any(|byte| byte < 0x20 && byte != b'\n'), "a control character in {format}");
        assert_snapshot!(format!("names as {format}"), output);
    }
}

#[test]
fn gaps_are_listed_with_the_largest() {
    let file = fixture("swap-16k.smaps");
    assert_snapshot!("gaps", output(["regions", "--gaps", &file]));
    assert_snapshot!("gaps as json", output(["regions", "--gaps", "--json", "--kind", "heap", &file]));
}

#[test]
fn an_address_and_its_neighbors() {
    let file = fixture("sleep.smaps");
    let regions = run(["regions", "--json", "--kind", "text", &file]).json();
    let text = regions["regions"][1]["start"].as_str().unwrap().to_owned();
    assert_snapshot!("address in a library", output([&file, &text]));
    assert_snapshot!("address in a gap", output([&file, "0x600000000000"]));
    assert_snapshot!("address before all", output([&file, "0x10"]));
    assert_snapshot!("address after all", output([&file, "0xfffffffffffffff0"]));
    assert_snapshot!("address as json", output(["--json", &fixture("swap-16k.smaps"), "0xaaaac0000001"]));
}

#[test]
fn what_a_shape_suggests_is_likely_in_every_view() {
    let file = fixture("kinds/full-arena.maps");
    let footnote = "Likely, by size and neighbors alone: MALLOC arena, MALLOC reserved.";
    for output in [output([&file]), output(["regions", &file]), output([&file, "0x7f1ae0000010"])] {
        assert!(output.contains(footnote), "{output}");
    }
    assert!(output([&file, "0x7f1ae0000010"]).contains("0x10 bytes into MALLOC arena (likely)."));
    assert!(output(["explain", &file]).contains("Likely, not certain"));
}

#[test]
fn huge_pages_that_are_not_counted_are_not_zero() {
    for name in ["hugetlb-2.6.smaps", "hugetlb-3.10.smaps"] {
        let file = fixture(&format!("kinds/{name}"));
        let summary = output([&file]);
        assert!(
            summary.contains("unallocated=-\n") && summary.contains("Some regions were not measured"),
            "{summary}"
        );
        let huge = run(["regions", "--json", "--kind", "huge-pages", &file]).json();
        for region in huge["regions"].as_array().unwrap() {
            assert!(region["resident"].is_null() && region["dirty"].is_null(), "{region}");
        }
        let check = run(["check", &file, "any(kind=huge-pages and resident=0)"]);
        assert!((check.status, check.stdout.starts_with('?')) == (1, true), "{check:?}");
    }
}

#[test]
fn several_captures_are_an_array() {
    let (one, other) = (fixture("sleep.smaps"), fixture("java.maps"));
    let both = run(["--json", &one, &other]).json();
    assert_eq!(both.as_array().map(Vec::len), Some(2));
    assert_eq!(both[0]["rows"], run(["--json", &one]).json()["rows"]);
    assert_eq!(both[1]["rows"], run(["--json", &other]).json()["rows"]);
}

#[test]
fn filters_and_order_select_regions() {
    let file = fixture("python-threads.smaps");
    let starts = |arguments: &[&str]| -> Vec<String> {
        let mut command = common::mmview(["regions", "--json", &file]);
        let run = common::Run::of(command.args(arguments).output().unwrap());
        let regions = run.json()["regions"].as_array().unwrap().clone();
        regions.iter().map(|region| region["start"].as_str().unwrap().to_owned()).collect()
    };
    let all = starts(&[]);
    let stacks = starts(&["--kind", "thread-stack"]);
    assert_eq!(stacks.len(), 3);
    assert!(stacks.iter().all(|start| all.contains(start)));
    assert_eq!(starts(&["--kind", "thread-stack,shared-memory"]).len(), 5);
    assert_eq!(starts(&["--kind", "stack"]).len(), 4, "the stacks of all threads");
    assert_eq!(starts(&["--kind", "thread-stack,stack"]).len(), 4);
    assert_eq!(starts(&["--path", "mmview-fixture.bin"]).len(), 2, "shared and private");
    assert_eq!(starts(&["--path", "mmview-*", "--perm", "rw-s"]).len(), 1);
    assert_eq!(starts(&["--addr", &stacks[0]]), [stacks[0].clone()]);
    assert_eq!(starts(&["--min-size", "8M", "--kind", "thread-stack"]).len(), 3);
    assert_eq!(starts(&["--min-size", "9M", "--kind", "thread-stack"]).len(), 0);
    let mut reversed = starts(&["--reverse"]);
    reversed.reverse();
    assert_eq!(reversed, all);
}
