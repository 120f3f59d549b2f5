//! Listings of other programs, and mmview's own, are read as the map that they show.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::io::Write;
use std::process::{Child, Command, Stdio};

use common::{Run, is_linux, mmview, run};
use serde_json::Value;

/// One process, `sleep 1000`, as each program lists it. The rows of lldb and of the tombstone were made from smaps.
const DIRECTORY: &str = "tests/fixtures/linux/listings";

fn regions(file: &str) -> Vec<Value> {
    let run = run(["regions", "--json", &format!("{DIRECTORY}/{file}")]);
    assert_eq!(run.status, 0, "{file}: {}", run.stderr);
    run.json()["regions"].as_array().unwrap().clone()
}

/// These fields of each region.
fn fields(regions: &[Value], names: &[&str]) -> Vec<Vec<Value>> {
    regions.iter().map(|region| names.iter().map(|name| region[*name].clone()).collect()).collect()
}

#[test]
fn every_listing_has_the_same_regions() {
    let truth = regions("smaps.txt");
    for file in [
        "pmap.txt",
        "pmap-short.txt",
        "pmap-x.txt",
        "pmap-d.txt",
        "pmap-X.txt",
        "pmap-XX.txt",
        "pmap-X.txt.gz",
        "pmap-X.txt.zst",
        "gdb.txt",
        "lldb.txt",
        "tombstone.txt",
        "mmview.txt",
        "mmview.md",
        "mmview.csv",
    ] {
        let names = ["start", "end", "size", "protection"];
        assert_eq!(fields(&regions(file), &names), fields(&truth, &names), "{file}");
    }
}

#[test]
fn listings_with_counts_keep_them() {
    let truth = regions("smaps.txt");
    for (file, names) in [
        ("pmap-x.txt", &["resident", "dirty"][..]),
        ("pmap-X.txt", &["resident", "swapped"]),
        ("pmap-XX.txt", &["resident", "dirty", "swapped"]),
        ("mmview.csv", &["resident", "dirty", "swapped"]),
        ("mmview.txt", &["resident", "dirty", "swapped"]),
    ] {
        assert_eq!(fields(&regions(file), names), fields(&truth, names), "{file}");
    }
}

#[test]
fn listings_with_paths_give_the_same_types() {
    let truth = regions("smaps.txt");
    for file in ["pmap-X.txt", "gdb.txt", "tombstone.txt", "mmview.csv"] {
        let names = ["type", "path"];
        assert_eq!(fields(&regions(file), &names), fields(&truth, &names), "{file}");
    }
}

#[test]
fn memory_nodes_join_the_map_of_their_process() {
    let read = |name: &str| std::fs::read_to_string(format!("{DIRECTORY}/{name}")).unwrap();
    let both =
        with_input(["regions", "--json", "-"], (read("smaps.txt") + &read("numa_maps.txt")).as_bytes());
    let json = both.json();
    assert_eq!(json["regions"].as_array().unwrap().len(), regions("smaps.txt").len());
    assert!(json["warnings"].as_array().unwrap().is_empty(), "{}", json["warnings"]);
    let resident: u64 = json["regions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|region| region["native"]["numa"]["nodes"].as_array().cloned().unwrap_or_default())
        .map(|node| node["size"].as_u64().unwrap())
        .sum();
    assert!(resident > 1 << 20, "{resident}");
    let alone = regions("numa_maps.txt");
    assert!(alone.iter().all(|region| region["size"].is_null() && region["protection"].is_null()));
}

#[test]
fn totals_alone_are_shown() {
    let file = format!("{DIRECTORY}/smaps_rollup.txt");
    let summary = run([&file]);
    assert_eq!(summary.status, 0);
    assert!(summary.stdout.contains("Rss:"), "{}", summary.stdout);
    assert_eq!(run(["check", &file, "none(perm=rwx)"]).status, 1);
}

#[test]
fn crash_logs_of_java_say_whose_stacks_and_heaps_are_there() {
    let map = run(["regions", "--json", "tests/fixtures/linux/hs_err.log"]).json();
    assert_eq!(map["process"]["pid"], 4711);
    assert!(!map["regions"].to_string().contains("\"evidence\":\"memory\""), "a log has no memory");
    let has = |kind: &str| map["regions"].as_array().unwrap().iter().any(|region| region["type"] == kind);
    for kind in ["Stack (thread)", "Java heap (G1)", ".text"] {
        assert!(has(kind), "{kind}");
    }
}

/// Runs mmview with `input` on its standard input.
fn with_input<const N: usize>(arguments: [&str; N], input: &[u8]) -> Run {
    let mut command = mmview(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

struct Sleep(Child);

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn what_mmview_prints_it_reads_back_as_it_was_live() {
    if !is_linux() {
        return;
    }
    let sleep = Sleep(Command::new("sleep").arg("1000").spawn().unwrap());
    let pid = sleep.0.id().to_string();
    // The program is being started, until it sleeps.
    while std::fs::read_to_string(format!("/proc/{pid}/wchan"))
        .is_ok_and(|place| !place.contains("nanosleep"))
    {
        std::thread::yield_now();
    }
    let live = run(["regions", "--json", &pid]).json();
    let live = live["regions"].as_array().unwrap();
    for (arguments, names) in [
        (&["pmap", "-x"][..], &["start", "end", "size", "resident", "dirty"][..]),
        (&["pmap"], &["start", "end", "size"]),
        (&["regions"], &["start", "end", "size", "resident", "dirty", "swapped", "protection"]),
        (&["regions", "--json"], &["start", "end", "resident", "path", "kind"]),
        (&["regions", "-f", "csv"], &["start", "end", "resident", "path"]),
    ] {
        let printed = Run::of(mmview([]).args(arguments).arg(&pid).output().unwrap());
        let read = with_input(["regions", "--json", "-"], printed.stdout.as_bytes()).json();
        assert_eq!(fields(read["regions"].as_array().unwrap(), names), fields(live, names), "{arguments:?}");
    }
}
