//! V8 and Go.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::common::truth::*;
use crate::common::{is_linux, skip, temporary};

/// The zone with this name, or none.
fn zone<'a>(heap: &'a Value, name: &str) -> Option<&'a Value> {
    list(&heap["zones"]).iter().find(|zone| zone["zone"] == name)
}

/// Starts `heap.js`, if there is a Node.
fn node(arguments: &[&str]) -> Option<Truth> {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_linux() || !has_node {
        skip("node is not installed");
        return None;
    }
    let arguments = [&["tests/programs/heap.js"], arguments].concat();
    Some(Truth::start(Path::new("node"), &arguments))
}

/// The name of a zone of V8 for a space of its statistics.
fn zone_of_space(space: &str) -> String {
    match space {
        "code_large_object_space" => "large code objects".to_owned(),
        _ => space.replace("_object_space", "_objects").replace('_', " "),
    }
}

#[test]
fn the_spaces_of_v8_have_the_sizes_that_it_counts() {
    let Some(truth) = node(&[]) else { return };
    let heap = truth.heap();
    assert_zones_are_possible(&heap);
    for (index, isolate) in list(&truth.report["isolates"]).iter().enumerate() {
        let prefix = if index == 0 { "V8".to_owned() } else { format!("V8 {}", index + 1) };
        for (space, size) in isolate.as_object().unwrap() {
            // V8 counts no bytes for the read-only space, which the isolates share.
            if space == "read_only_space" {
                continue;
            }
            let name = format!("{prefix} {}", zone_of_space(space));
            let found = zone(&heap, &name);
            let found_size = found.map_or(0, |zone| number(&zone["virtual"]));
            assert_eq!(found_size, number(size), "{name} of {}", truth.report["version"]);
            let counts = found.and_then(|zone| zone["allocated"].as_u64());
            assert!(counts.is_none_or(|allocated| allocated <= found_size), "{found:?}");
        }
    }
    // A worker has a heap of its own.
    assert!(zone(&heap, "V8 2 old space").is_some());
    assert!(zone(&heap, "V8 3 old space").is_none());
    assert_parts_tile(&truth.regions());
    assert_owned(&truth, 5);
}

#[test]
fn a_heap_of_v8_in_motion_has_no_contradictions() {
    let Some(truth) = node(&["churn"]) else { return };
    let mut in_motion = 0;
    for _ in 0..10 {
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        assert!(zone(&heap, "V8 old space").is_some(), "V8 is found in motion too");
        let has_moved = |zone: &&Value| zone["doubts"].to_string().contains("V8 counts");
        in_motion += list(&heap["zones"]).iter().filter(has_moved).count();
        assert_parts_tile(&truth.regions());
    }
    assert!(in_motion > 0, "nothing has moved");
}

/// `heap.go`, built once with these flags, if there is a Go.
fn build_go(stripped: bool) -> Option<PathBuf> {
    static BUILT: [OnceLock<Option<PathBuf>>; 2] = [OnceLock::new(), OnceLock::new()];
    let build = || {
        let has_go = Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok();
        if !is_linux() || !has_go || !cfg!(target_pointer_width = "64") {
            skip("go is not installed");
            return None;
        }
        let (directory, output) = temporary("heap");
        let mut command = Command::new("go");
        command.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        command.env("GOCACHE", directory.path().join("cache")).args(["build", "-o", &output]);
        command.args(stripped.then_some("-ldflags=-s -w")).arg("tests/programs/heap.go");
        let built = command.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let name = if stripped { "heap-go-stripped" } else { "heap-go" };
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::rename(output, &path).unwrap();
        Some(path)
    };
    BUILT[usize::from(stripped)].get_or_init(build).clone()
}

#[test]
fn the_heap_of_go_is_what_it_counts() {
    for stripped in [false, true] {
        let Some(path) = build_go(stripped) else { return };
        let truth = Truth::start(&path, &[]);
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let counted = |field: &str| number(&truth.report[field]);
        let objects = zone(&heap, "Go heap").expect("Go's heap is found");
        assert_eq!(objects["doubts"], Value::Array(vec![]), "the heap is at rest");
        assert_eq!(number(&objects["virtual"]), counted("heap_inuse"), "HeapInuse");
        assert_eq!(number(&objects["allocated"]), counted("heap_alloc"), "HeapAlloc");
        // Objects of a few bytes without pointers share blocks, and MemStats counts each.
        let (blocks, count) = (number(&objects["allocations"]), counted("heap_objects"));
        assert!(blocks <= count && count - blocks < 100, "{blocks} blocks for {count} objects");
        let classes = list(&objects["sizes"]).iter();
        assert_eq!(sum(classes, "allocated"), counted("heap_alloc"), "size classes");
        let stacks = zone(&heap, "Go stacks").expect("Go's stacks are found");
        assert_eq!(number(&stacks["virtual"]), counted("stack_inuse"), "StackInuse");
        assert_parts_tile(&truth.regions());
        assert_owned(&truth, 5);
    }
}

#[test]
fn a_heap_of_go_in_motion_has_doubts_and_no_contradictions() {
    let Some(path) = build_go(false) else { return };
    let truth = Truth::start(&path, &["churn"]);
    let mut in_motion = 0;
    for _ in 0..10 {
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let objects = zone(&heap, "Go heap").expect("Go's heap is found in motion too");
        in_motion += usize::from(objects["exact"] == false);
        assert_parts_tile(&truth.regions());
    }
    assert!(in_motion > 0, "nothing has moved");
}
