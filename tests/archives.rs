//! Archives: what `mmview snapshot` saves, and what the other commands read from it.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Running, is_linux, mmview, output, run, skip, temporary};
use insta::assert_snapshot;
use serde_json::Value;

const BEFORE: &str = "tests/fixtures/linux/python-before.smaps";
const AFTER: &str = "tests/fixtures/linux/python-after.smaps";
const ARCHIVE: &str = "tests/fixtures/linux/python.mmview";
const REPORT: &str = "tests/fixtures/macos/notebook.vmmap";

fn regions(target: &str) -> Value {
    run(["regions", "--json", target]).json()["regions"].clone()
}

#[test]
fn an_archive_has_what_its_source_has() {
    for capture in
        [BEFORE, REPORT, "tests/fixtures/linux/names.maps", "tests/fixtures/macos/notebook-summary.vmmap"]
    {
        let (_directory, archive) = temporary("a.mmview");
        let saved = run(["snapshot", capture, "-o", &archive]);
        assert_eq!(saved.status, 0, "{saved:?}");
        assert_eq!(regions(&archive), regions(capture), "{capture}");
        for field in ["rows", "total", "process", "footprint", "detail", "libraries", "writable"] {
            let (one, other) = (run(["--json", &archive]).json(), run(["--json", capture]).json());
            assert_eq!(one[field], other[field], "{field} of {capture}");
        }
    }
}

#[test]
fn an_archive_of_a_process_keeps_its_facts() {
    let sleeper = Running::sleeper();
    let (_directory, archive) = temporary("a.mmview");
    assert_eq!(run(["snapshot", &sleeper.pid(), "-o", &archive]).status, 0);
    let (mut saved, mut live) = (run(["--json", &archive]).json(), run(["--json", &sleeper.pid()]).json());
    assert_eq!(saved["source"]["format"], "archive");
    assert!(saved["source"]["taken"].is_string());
    for view in [&mut saved, &mut live] {
        // These depend on other processes, or lag behind.
        for field in ["resident", "resident_peak", "virtual", "swapped", "page_tables"] {
            view["process"][field].take();
        }
    }
    assert_eq!(saved["process"], live["process"]);
    assert_eq!(saved["total"]["virtual"], live["total"]["virtual"]);
}

#[test]
fn an_archive_of_the_first_version_can_still_be_read() {
    assert_snapshot!("summary of python.mmview", output([ARCHIVE]));
    let archived = regions(ARCHIVE);
    let captured = regions(AFTER);
    assert_eq!(archived.as_array().unwrap().len(), captured.as_array().unwrap().len());
    for (one, other) in archived.as_array().unwrap().iter().zip(captured.as_array().unwrap()) {
        for field in ["start", "end", "protection", "share", "path", "kind", "dirty", "native"] {
            let (mut one, mut other) = (one[field].clone(), other[field].clone());
            for native in [&mut one, &mut other] {
                // These changed between the two readings, or depend on other processes.
                for counter in ["Pss", "Shared_Clean", "Private_Clean", "Referenced", "Pss_Dirty", "Rss"] {
                    if let Some(smaps) = native.get_mut("smaps").and_then(Value::as_object_mut) {
                        smaps.remove(counter);
                    }
                }
            }
            assert_eq!(one, other, "{field}");
        }
    }
}

#[test]
fn every_command_takes_an_archive() {
    let region = &regions(ARCHIVE)[0];
    let address = region["start"].as_str().unwrap();
    assert_eq!(run([ARCHIVE, address]).status, 0);
    assert_eq!(run(["regions", ARCHIVE]).status, 0);
    assert_eq!(run(["pmap", "-x", ARCHIVE]).status, 0);
    assert_eq!(run(["vmmap", ARCHIVE]).status, 0);
    assert_eq!(run(["diff", ARCHIVE, ARCHIVE]).status, 0);
    let (_directory, again) = temporary("again.mmview");
    assert_eq!(run(["snapshot", ARCHIVE, "-o", &again]).status, 0);
    assert_eq!(run(["--json", &again]).json()["rows"], run(["--json", ARCHIVE]).json()["rows"]);
}

#[test]
fn a_damaged_archive_is_refused_with_the_damage() {
    let bytes = fs::read(ARCHIVE).unwrap();
    let (_directory, path) = temporary("damaged.mmview");
    let is_refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let run = run([&*path]);
        assert_eq!((run.status, &*run.stdout), (5, ""), "{run:?}");
        assert!(run.stderr.contains(what), "{run:?}");
    };
    is_refused(&bytes[..bytes.len() / 2], "damaged archive: it is cut off after");
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    is_refused(&flipped, "damaged archive");
    is_refused(&[&bytes[..], b"more"].concat(), "damaged archive");
    is_refused(&bytes[..12], "damaged");
    is_refused(b"", "is empty");
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    if Path::new("/dev/full").exists() && is_linux() {
        let full = run(["snapshot", ARCHIVE, "-o", "/dev/full"]);
        assert_eq!(full.status, 5, "{full:?}");
        assert!(full.stderr.contains("failed to write `/dev/full`"), "{full:?}");
    }
    let missing = run(["snapshot", ARCHIVE, "-o", "/no/such/directory/a"]);
    assert!(missing.status == 5 && missing.stderr.contains("failed to write `/no/such"), "{missing:?}");
    let directory = run(["snapshot", ARCHIVE, "-o", env!("CARGO_TARGET_TMPDIR")]);
    assert!(directory.status == 5 && directory.stderr.contains("is a directory"), "{directory:?}");
    let (_directory, path) = temporary("kept");
    fs::write(&path, "kept").unwrap();
    assert_eq!(run(["snapshot", "4194305", "-o", &path]).status, 3);
    assert_eq!(fs::read(&path).unwrap(), b"kept", "without a target, nothing is written");
}

#[test]
fn standard_output_gets_the_same_archive() {
    let output = mmview(["snapshot", BEFORE, "-o", "-"]).output().unwrap();
    assert!(output.status.success());
    let (_directory, path) = temporary("a");
    fs::write(&path, output.stdout).unwrap();
    assert_eq!(regions(&path), regions(BEFORE));
}

#[test]
fn a_compressed_capture_reads_like_a_plain_one() {
    use flate2::{Compression, write::GzEncoder};
    let (_directory, path) = temporary("smaps.gz");
    let mut file = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(&fs::read(BEFORE).unwrap()).unwrap();
    file.finish().unwrap();
    assert_eq!(regions(&path), regions(BEFORE));
}

#[test]
fn a_kill_leaves_no_partial_archive() {
    let (directory, path) = temporary("a.mmview");
    let mut found = [0, 0];
    for step in 0..60 {
        let mut child = mmview(["snapshot", AFTER, "-o", &path]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(step * 400));
        let _ = child.kill();
        let _ = child.wait();
        found[usize::from(Path::new(&path).exists())] += 1;
        if Path::new(&path).exists() {
            let run = run([&*path]);
            assert_eq!(run.status, 0, "after {step} steps: {run:?}");
            fs::remove_file(&path).unwrap();
        }
    }
    let others = fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.file_name());
    for name in others {
        let name = name.into_string().unwrap();
        assert!(name.starts_with(".mmview-") && name.ends_with(".partial"), "{name}");
    }
    if found.contains(&0) {
        skip("all kills came before the rename, or all after it");
    }
}
