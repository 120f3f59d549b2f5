//! Maps as people paste them: every text is read as the map in it.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Run, mmview, run};
use serde_json::Value;

fn file(name: &str) -> String {
    format!("tests/fixtures/linux/pastes/{name}.maps")
}

fn regions(name: &str, arguments: &[&str]) -> Value {
    let run = Run::of(mmview(["regions", "--json", &file(name)]).args(arguments).output().unwrap());
    assert_eq!(run.status, 0, "{name}: {}", run.stderr);
    run.json()
}

/// Runs mmview with `input` on its standard input.
fn run_with_input<const N: usize>(arguments: [&str; N], input: &[u8]) -> Run {
    let mut command = mmview(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

/// The types of the regions of a capture.
fn types(map: &Value) -> Vec<&str> {
    map["regions"].as_array().unwrap().iter().map(|region| region["type"].as_str().unwrap()).collect()
}

/// The kinds of its warnings.
fn warnings(map: &Value) -> Vec<&str> {
    map["warnings"].as_array().unwrap().iter().map(|warning| warning["kind"].as_str().unwrap()).collect()
}

#[test]
fn totals_are_no_region() {
    for name in ["smaps-plus-rollup", "rollup-first"] {
        let map = regions(name, &[]);
        assert_eq!(types(&map), [".text", ".data", "Heap"]);
        assert!(warnings(&map).is_empty());
        let summary = run(["--json", &file(name)]).json();
        assert_eq!(summary["total"]["resident"], 72 << 10, "{name}");
    }
}

#[test]
fn the_part_with_counts_is_shown_and_another_can_be_chosen() {
    let map = regions("maps-then-smaps", &[]);
    assert_eq!((types(&map).len(), warnings(&map)), (3, vec!["parts"]));
    let resident =
        map["regions"].as_array().unwrap().iter().map(|region| region["resident"].as_u64().unwrap());
    assert_eq!(resident.sum::<u64>(), 72 << 10);
    let layout = regions("maps-then-smaps", &["--part", "1"]);
    assert_eq!((types(&layout).len(), warnings(&layout)), (3, vec![]));
    assert_eq!(layout["regions"][0]["resident"], Value::Null);
}

#[test]
fn two_processes_are_two_maps() {
    let heap = |arguments: &[&str]| {
        let map = regions("two-processes", arguments);
        assert_eq!(types(&map), [".text", "Heap", "Stack", "[vsyscall]"]);
        map["regions"][1]["start"].as_str().unwrap().to_owned()
    };
    assert_eq!((heap(&[]), heap(&["--part", "2"])), ("0xbe2000".to_owned(), "0x969000".to_owned()));
    let missing = run([&file("two-processes"), "--part", "3"]);
    assert_eq!(missing.status, 5);
    assert!(missing.stderr.contains("has only 2 memory maps"), "{}", missing.stderr);
    assert_eq!(run([&file("two-processes"), "--part", "0"]).status, 2);
}

#[test]
fn marks_of_a_paste_are_taken_off() {
    let plain = regions("smaps-plus-rollup", &[]);
    let ranges = |map: &Value| -> Vec<(Value, Value)> {
        let regions = map["regions"].as_array().unwrap().iter();
        regions.map(|region| (region["end"].clone(), region["path"].clone())).collect()
    };
    for name in ["bom", "utf16", "mixed-crlf", "crcrlf", "nbsp", "numbered"] {
        let map = regions(name, &[]);
        assert_eq!(ranges(&map), ranges(&plain), "{name}");
        assert_eq!(warnings(&map), ["cleaned"], "{name}");
    }
    assert_eq!(types(&regions("upper", &[])), [".text", ".data", "Heap"]);
}

#[test]
fn labels_end_where_the_kernel_ends_them() {
    assert_eq!(
        types(&regions("trailing-blanks", &[])),
        ["Heap", "Stack", "[vdso]", "MALLOC", "shared memory"]
    );
}

#[test]
fn wrapped_names_and_prose_are_told_apart() {
    let wrapped = regions("wrapped", &[]);
    assert_eq!(types(&wrapped)[1..], [".text", ".data"]);
    assert_eq!(wrapped["regions"][0]["detail"], "anon_inode:bpf-map");
    let prose = regions("prose-swallowed", &[]);
    assert_eq!((types(&prose).len(), warnings(&prose)), (4, vec!["malformed"]));
    assert!(prose["warnings"][0]["message"].as_str().unwrap().starts_with("skipped 2 lines"));
}

#[test]
fn a_map_is_found_behind_anything() {
    let map = regions("map-after-100-lines", &[]);
    assert!(!types(&map).is_empty());
    assert!(warnings(&map).is_empty());
}

#[test]
fn standard_input_is_a_target_wherever_a_file_is() {
    let smaps = std::fs::read("tests/fixtures/linux/sleep.smaps").unwrap();
    let file = run(["--json", "tests/fixtures/linux/sleep.smaps"]).json();
    let input = run_with_input(["--json", "-"], &smaps);
    assert_eq!(input.json()["total"], file["total"]);
    let check = run_with_input(["check", "-", "any(kind=heap)"], &smaps);
    assert_eq!(check.status, 0, "{}", check.stderr);
    let diff = run_with_input(["diff", "-", "tests/fixtures/linux/sleep.smaps"], &smaps);
    assert_eq!(diff.status, 0, "{}", diff.stderr);
    let nothing = run_with_input(["-"], b"");
    assert_eq!((nothing.status, nothing.stderr.as_str()), (5, "mmview: `standard input` is empty\n"));
}

#[test]
fn hidden_addresses_are_no_sizes() {
    let text =
        b"00000000-00000000 r-xp 00000000 08:01 7 /bin/x\n00000000-00000000 rw-p 00000000 00:00 0 [heap]\n";
    let map = run_with_input(["regions", "--json", "-"], text).json();
    assert_eq!(map["regions"][0]["size"], Value::Null);
    assert_eq!(warnings(&map), ["hidden-addresses"]);
    let summary = run_with_input(["--json", "-"], text).json();
    assert_eq!(summary["total"]["virtual"], Value::Null);
    let check = run_with_input(["check", "-", "sum(size) > 1M"], text);
    assert_eq!((check.status, check.stdout.starts_with('?')), (1, true), "{}", check.stdout);
}
