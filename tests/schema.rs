//! Every JSON document that mmview prints matches its schema.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use common::schema::{check, validator};
use common::{Running, mmview, run};
use serde_json::json;

/// Checks of every kind: some hold, some fail, some are unknown.
#[track_caller]
fn checks(target: &str) {
    let run = run([
        "check",
        "--json",
        target,
        "any(perm=x)",
        "mapped \"nothing\"",
        "not any(perm=r)",
        "sum(pss) < 1",
        "count() == 0 or max(dirty) < 1",
        "at 0x10 is (kind=heap)",
        "all(size=4K and not kind=heap)",
    ]);
    assert_eq!(run.status, 1, "{run:?}");
    check(&run.stdout);
}

/// What the map is made of, by owner and in words.
#[track_caller]
fn explanations(target: &str) {
    check(&run(["--json", "--by", "owner", target]).stdout);
    check(&run(["explain", "--json", target]).stdout);
    let regions = run(["regions", "--json", target]).json();
    let somewhere = regions["regions"][0]["start"].as_str().unwrap_or("0x1000").to_owned();
    for address in [&somewhere, "0x8"] {
        check(&run(["explain", "--json", target, address]).stdout);
    }
    for by in ["zone", "owner", "size"] {
        check(&run(["heap", "--json", "--by", by, target]).stdout);
    }
}

#[test]
fn captures_match() {
    for name in ["notebook.vmmap", "notebook-summary.vmmap", "format-2.0.vmmap"] {
        let file = format!("tests/fixtures/macos/{name}");
        check(&run(["--json", &file]).stdout);
        check(&run(["regions", "--json", &file]).stdout);
        explanations(&file);
        checks(&file);
    }
    for name in
        ["sleep.smaps", "python-threads.smaps", "java.maps", "names.maps", "torn.smaps", "swap-16k.smaps"]
    {
        let file = format!("tests/fixtures/linux/{name}");
        check(&run(["--json", &file]).stdout);
        check(&run(["regions", "--json", "--gaps", &file]).stdout);
        check(&run(["--json", &file, "0x600000000000"]).stdout);
        explanations(&file);
        checks(&file);
    }
}

#[test]
fn live_processes_and_failures_match() {
    let sleeper = Running::sleeper();
    check(&run(["--json", &sleeper.pid()]).stdout);
    check(&run(["regions", "--json", &sleeper.pid()]).stdout);
    explanations(&sleeper.pid());
    checks(&sleeper.pid());
    check(&run(["check", "--json", "4194305", "any()"]).stdout);
    check(&run(["--json", "4194305"]).stdout);
    check(&run(["--json", "4194305", &sleeper.pid(), "no-such-program"]).stdout);
}

#[test]
fn lessons_match() {
    check(&run(["demo", "--json"]).stdout);
    check(&run(["demo", "--all", "--json"]).stdout);
    check(&run(["demo", "--list", "--json"]).stdout);
}

#[test]
fn comparisons_match() {
    let linux = |name: &str| format!("tests/fixtures/linux/python-{name}.smaps");
    check(&run(["diff", "--json", &linux("before"), &linux("after")]).stdout);
    check(&run(["diff", "--json", &linux("before"), "tests/fixtures/linux/python.mmview"]).stdout);
    let macos = "tests/fixtures/macos/notebook.vmmap";
    check(&run(["diff", "--json", macos, "tests/fixtures/macos/format-2.0.vmmap"]).stdout);
    check(&run(["diff", "--json", macos, "4194305"]).stdout);
    check(&run(["regions", "--json", "tests/fixtures/linux/python.mmview"]).stdout);
    check(&run(["diff", "--json", "tests/fixtures/linux/names.maps", &linux("after")]).stdout);
    let (_directory, archive) = common::temporary("a");
    check(&run(["snapshot", "--json", macos, "-o", &archive]).stdout);
    check(&run(["snapshot", "--json", "4194305", "-o", &archive]).stdout);
    let sleeper = Running::sleeper();
    check(&run(["regions", "--json", "--detail", "pages", &sleeper.pid()]).stdout);
}

#[test]
fn watching_and_running_match() {
    let sleeper = Running::sleeper();
    check(&run(["watch", "--json", &sleeper.pid(), "--for", "10ms", "--until", "none()"]).stdout);
    let mut shell = Running::shell("echo ready; read line; exec true");
    let mut watch = Running::start(&mut mmview(["watch", "--json", &shell.pid(), "--interval", "1ms"]));
    let begun = watch.line();
    std::io::Write::write_all(shell.0.stdin.as_mut().unwrap(), b"\n").unwrap();
    shell.0.wait().unwrap();
    check(&(begun + &watch.output()));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    if run(["run", "--json", "-o", path, "--until", "count() > 1", "--", "sleep", "0.1"]).status == 0 {
        check(&std::fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_schema_rejects_a_wrong_type() {
    let mut view = run(["--json", "tests/fixtures/linux/sleep.smaps"]).json();
    let validator = validator();
    assert!(validator.is_valid(&view));
    view["rows"][0]["virtual"] = json!("4K");
    assert!(!validator.is_valid(&view));
}
