//! Erlang and LuaJIT.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::truth::*;
use crate::common::{is_linux, skip};

/// Starts a program by its interpreter, if that is installed.
fn start(interpreter: &str, version: &str, arguments: &[&str]) -> Option<Truth> {
    let mut command = Command::new(interpreter);
    let is_installed = command
        .arg(version)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !is_linux() || !is_installed {
        skip(&format!("{interpreter} is not installed"));
        return None;
    }
    Some(Truth::start(Path::new(interpreter), arguments))
}

fn erlang(arguments: &[&str]) -> Option<Truth> {
    start("escript", "-h", &[&["tests/programs/heap.escript"], arguments].concat())
}

#[test]
fn the_carriers_of_erlang_have_the_sizes_that_it_counts() {
    let Some(truth) = erlang(&[]) else { return };
    let heap = truth.heap();
    assert_zones_are_possible(&heap);
    for (allocator, sizes) in truth.report["allocators"].as_object().unwrap() {
        let name = format!("Erlang {allocator}");
        let found = list(&heap["zones"]).iter().find(|zone| zone["zone"] == *name);
        let size = found.map_or(0, |zone| number(&zone["virtual"]));
        assert_eq!(size, number(&sizes["mapped"]) + number(&sizes["pooled"]), "{name} in {heap}");
        assert!(found.is_none_or(|zone| zone["exact"] == true), "{name} is at rest: {found:?}");
    }
    assert_parts_tile(&truth.regions());
    assert_owned(&truth, 5);
}

#[test]
fn carriers_in_motion_have_no_contradictions() {
    let Some(truth) = erlang(&["churn"]) else { return };
    // While all carriers of an allocator come and go, a look can miss it.
    let mut found = 0;
    for _ in 0..10 {
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        found += list(&heap["zones"]).iter().filter(|zone| zone["zone"] == "Erlang binary_alloc").count();
        assert_parts_tile(&truth.regions());
    }
    assert!(found > 0, "Erlang is found in motion too");
}

fn luajit(arguments: &[&str]) -> Option<Truth> {
    start("luajit", "-v", &[&["tests/programs/heap.lua"], arguments].concat())
}

#[test]
fn the_heap_of_luajit_holds_what_it_counts() {
    let Some(truth) = luajit(&[]) else { return };
    let heap = truth.heap();
    assert_zones_are_possible(&heap);
    let zone =
        list(&heap["zones"]).iter().find(|zone| zone["zone"] == "LuaJIT heap").expect("the heap is found");
    assert_eq!(zone["exact"], true, "{zone}");
    // Each block has a header, and is rounded up.
    let (allocated, used) = (number(&zone["allocated"]), number(&truth.report["used"]));
    let overhead = allocated.checked_sub(used);
    assert!(
        overhead.is_some_and(|overhead| overhead <= 16 * number(&zone["allocations"])),
        "{zone} for {used}"
    );
    assert_parts_tile(&truth.regions());
    assert_owned(&truth, 5);
}

#[test]
fn a_heap_of_luajit_in_motion_has_no_contradictions() {
    let Some(truth) = luajit(&["churn"]) else { return };
    let mut in_motion = 0;
    for _ in 0..10 {
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        in_motion += list(&heap["zones"]).iter().filter(|zone| zone["exact"] == false).count();
        assert_parts_tile(&truth.regions());
    }
    assert!(in_motion > 0, "nothing has moved");
}
