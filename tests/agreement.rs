//! Every view has the same answer to what a region is.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Running, mmview};
use mmview::Snapshot;
use mmview_platform::{Detail, OpenOptions, open_file};
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    Run::of(mmview(["--json"]).args(arguments).output().unwrap()).json()
}

/// What is said of a region: its kind, its type, its detail and how that is known.
fn said(region: &Value) -> [&Value; 5] {
    ["start", "kind", "type", "detail", "evidence"].map(|field| &region[field])
}

fn starts(region: &Value) -> &str {
    region["start"].as_str().unwrap()
}

/// Asserts that the views of one address agree with the listing of `target`, for about `count` of its regions.
fn check(target: &str, count: usize) -> Value {
    let listing = json(&["regions", target]);
    let regions = listing["regions"].as_array().unwrap();
    let step = regions.len().div_ceil(count).max(1);
    for (index, region) in regions.iter().enumerate().step_by(step) {
        let start = starts(region);
        let address = json(&[target, start]);
        let around = &regions[index.saturating_sub(1)..regions.len().min(index + 2)];
        for shown in address["regions"].as_array().unwrap() {
            let same = around.iter().find(|region| region["start"] == shown["start"]);
            assert_eq!(Some(said(shown)), same.map(said), "{target} {start}");
        }
        assert_eq!(address["found"], region["size"] != 0, "{target} {start}");
        let listed = json(&["regions", "--addr", start, target]);
        assert_eq!(said(&listed["regions"][0]), said(region), "--addr {target} {start}");
    }
    let is_mapped = |region: &&Value| region["size"] != 0;
    let checks: Vec<String> = regions
        .iter()
        .filter(is_mapped)
        .map(|region| {
            // A check is about the part at the address.
            let part = region.get("parts").and_then(|parts| parts.get(0)).unwrap_or(region);
            format!("at {} is (kind={})", starts(region), part["kind"].as_str().unwrap())
        })
        .collect();
    let run = Run::of(mmview(["check", "--quiet", target]).args(&checks).output().unwrap());
    assert_eq!(run.status, 0, "{target}: {}{}", run.stdout, run.stderr);
    listing
}

/// Asserts that the library agrees, too.
fn check_library(target: &str, listing: &Value, snapshot: &Snapshot) {
    let regions = listing["regions"].as_array().unwrap();
    assert_eq!(regions.len(), snapshot.regions.len(), "{target}");
    for region in regions.iter().filter(|region| region["size"] != 0) {
        let start = u64::from_str_radix(starts(region).trim_start_matches("0x"), 16).unwrap();
        let found = snapshot.region_at(start).unwrap();
        assert_eq!(found.kind().id(), region["kind"], "{target} {start:#x}");
        assert_eq!(found.evidence().id(), region["evidence"], "{target} {start:#x}");
    }
}

fn fixtures(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new("tests/fixtures").join(directory)).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "md"));
    files.sort();
    files
}

fn check_fixtures(directory: &str) {
    for path in fixtures(directory) {
        let target = path.to_str().unwrap();
        let snapshot =
            Snapshot::from(open_file(&path, &OpenOptions::new()).unwrap().read(Detail::Counts).unwrap());
        if snapshot.is_summary() {
            continue;
        }
        check_library(target, &check(target, 24), &snapshot);
    }
}

#[test]
fn captures_of_linux() {
    check_fixtures("linux");
}

#[test]
fn captures_of_hard_cases() {
    check_fixtures("linux/kinds");
}

#[test]
fn reports_of_vmmap() {
    check_fixtures("macos");
}

#[test]
fn a_live_process() {
    let process = Running::start(Command::new("sleep").arg("60"));
    std::thread::sleep(std::time::Duration::from_millis(200));
    check(&process.0.id().to_string(), 24);
}
