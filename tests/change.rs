//! Snapshots, comparisons, watching and starting programs, from outside. What only Linux has is skipped elsewhere.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Run, Running, is_linux, mmview, run, skip};
use insta::assert_snapshot;
use serde_json::Value;

const BEFORE: &str = "tests/fixtures/linux/python-before.smaps";
const AFTER: &str = "tests/fixtures/linux/python-after.smaps";
const ARCHIVE: &str = "tests/fixtures/linux/python.mmview";
const REPORT: &str = "tests/fixtures/macos/notebook.vmmap";

/// A directory for what a test writes, and a path in it.
fn temporary(name: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join(name).to_str().unwrap().to_owned();
    (directory, path)
}

fn output<const N: usize>(arguments: [&str; N]) -> String {
    let run = run(arguments);
    assert_eq!((run.status, &*run.stderr), (0, ""), "{run:?}");
    run.stdout
}

fn regions(target: &str) -> Value {
    run(["regions", "--json", target]).json()["regions"].clone()
}

// Snapshots.

#[test]
fn an_archive_says_what_its_source_said() {
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
fn an_archive_of_a_process_tells_of_the_process() {
    let sleeper = Running::sleeper();
    let (_directory, archive) = temporary("a.mmview");
    assert_eq!(run(["snapshot", &sleeper.pid(), "-o", &archive]).status, 0);
    let (mut saved, mut live) = (run(["--json", &archive]).json(), run(["--json", &sleeper.pid()]).json());
    assert_eq!(saved["source"]["format"], "archive");
    assert!(saved["source"]["taken"].is_string());
    for view in [&mut saved, &mut live] {
        // What other processes do, and counters that lag.
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
                // What changed between the two readings, and what depends on other processes.
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
fn a_damaged_archive_says_what_is_damaged() {
    let bytes = fs::read(ARCHIVE).unwrap();
    let (_directory, path) = temporary("damaged.mmview");
    let says = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let run = run([&*path]);
        assert_eq!((run.status, &*run.stdout), (5, ""), "{run:?}");
        assert!(run.stderr.contains(what), "{run:?}");
    };
    says(&bytes[..bytes.len() / 2], "damaged archive: it is cut off after");
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    says(&flipped, "damaged archive");
    says(&[&bytes[..], b"more"].concat(), "damaged archive");
    says(&bytes[..12], "damaged");
    says(b"", "is empty");
}

#[test]
fn what_cannot_be_written_leaves_what_was_there() {
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
    assert_eq!(fs::read(&path).unwrap(), b"kept", "no target, no archive");
}

#[test]
fn an_archive_on_standard_output_is_the_same() {
    let output = mmview(["snapshot", BEFORE, "-o", "-"]).output().unwrap();
    assert!(output.status.success());
    let (_directory, path) = temporary("a");
    fs::write(&path, output.stdout).unwrap();
    assert_eq!(regions(&path), regions(BEFORE));
}

#[test]
fn a_compressed_capture_is_read_as_it_is() {
    use flate2::{Compression, write::GzEncoder};
    let (_directory, path) = temporary("smaps.gz");
    let mut file = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(&fs::read(BEFORE).unwrap()).unwrap();
    file.finish().unwrap();
    assert_eq!(regions(&path), regions(BEFORE));
}

#[test]
fn a_kill_at_any_moment_leaves_no_half_an_archive() {
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
        assert!(name.starts_with(".a.mmview.") && name.ends_with(".partial"), "{name}");
    }
    if found.contains(&0) {
        skip("the kills all fell on one side of the renaming");
    }
}

// Comparisons.

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
    assert!(!diff["types"].as_array().unwrap().is_empty());
}

#[test]
fn a_map_is_no_different_from_itself() {
    let same = output(["diff", AFTER, AFTER]);
    assert!(same.contains("There is no difference.") && !same.contains("REGION TYPE"), "{same}");
    let diff = run(["diff", "--json", AFTER, AFTER]).json();
    for table in ["types", "files", "changes"] {
        assert_eq!(diff[table].as_array().unwrap().len(), 0, "{table}");
    }
}

#[test]
fn what_can_not_be_compared() {
    let refused = |arguments: &[&str], status: i32, says: &str| {
        let run = Run::of(mmview([]).args(arguments).output().unwrap());
        assert_eq!(run.status, status, "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    };
    refused(&["diff", AFTER], 2, "compare it with what?");
    refused(&["diff", AFTER, BEFORE, ARCHIVE], 2, "there is a third");
    refused(&["diff", AFTER, BEFORE, "--interval", "1s"], 2, "--interval compares one target");
    refused(&["diff", AFTER, "--interval", "1ms"], 2, "is the same some time later");
    refused(&["diff", AFTER, "4194305"], 3, "4194305: no process with PID 4194305");
    refused(&["watch", AFTER], 2, "a saved map doesn't change");
    refused(&["watch", "1", "2"], 2, "one target at a time");
    refused(&["snapshot", AFTER], 2, "--output");
}

#[test]
fn a_process_is_compared_with_itself_later() {
    let sleeper = Running::sleeper();
    let diff = run(["diff", "--json", "--interval", "10ms", &sleeper.pid()]).json();
    assert_eq!(diff["changes"].as_array().unwrap().len(), 0, "{}", diff["changes"]);
    assert_eq!(diff["before"]["process"]["pid"], diff["after"]["process"]["pid"]);
}

// Watching.

/// Maps and unmaps a file, a line of input at a time.
const MAPPER: &str = "\
import mmap, sys
with open(sys.argv[1], 'r+b') as f:
    print('ready', flush=True)
    for line in sys.stdin:
        if line == 'map\\n':
            mapped = mmap.mmap(f.fileno(), 0)
        else:
            mapped.close()
        print(line, end='', flush=True)
sys.exit(7)
";

fn is_python_missing() -> bool {
    let is_missing = Command::new("python3").arg("--version").output().is_err();
    if is_missing {
        skip("there is no python3");
    }
    is_missing
}

struct Mapper {
    python: Running,
    path: String,
    _file: tempfile::NamedTempFile,
}

impl Mapper {
    fn start() -> Mapper {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(file.path(), b"watched\n").unwrap();
        let path = file.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let mut python = Running::start(Command::new("python3").args(["-c", MAPPER, &path]));
        assert_eq!(python.line(), "ready");
        Mapper { python, path, _file: file }
    }
}

fn records(watch: &mut Running) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(watch.0.stdout.take().unwrap()).lines()
}

fn record(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    serde_json::from_str(&lines.next().expect("there is another record").unwrap()).unwrap()
}

#[test]
fn each_mapping_is_seen_once_and_in_order() {
    if is_python_missing() {
        return;
    }
    let mut mapper = Mapper::start();
    let pid = mapper.python.pid();
    let mut watch = Running::start(&mut mmview(["watch", &pid, "--interval", "2ms", "-f", "ndjson"]));
    let mut lines = records(&mut watch);
    assert_eq!(record(&mut lines)["record"], "head");
    let mut file_event = || loop {
        let event = record(&mut lines);
        // Python's own memory may grow meanwhile.
        let side = if event["change"] == "removed" { &event["before"] } else { &event["after"] };
        if side[0]["path"] == mapper.path || event["record"] == "end" {
            return event;
        }
    };
    for round in 0..10 {
        writeln!(mapper.python.0.stdin.as_mut().unwrap(), "map").unwrap();
        let event = file_event();
        assert_eq!(event["change"], "added", "round {round}: {event}");
        assert!(event["what"].as_str().unwrap().starts_with("mapped file 4K  "), "{event}");
        writeln!(mapper.python.0.stdin.as_mut().unwrap(), "unmap").unwrap();
        let event = file_event();
        assert_eq!(event["change"], "removed", "round {round}: {event}");
    }
    drop(mapper.python.0.stdin.take());
    let end = file_event();
    assert_eq!((&end["record"], &end["stopped"]), (&"end".into(), &"ended".into()), "{end}");
    if end["ending"].is_null() {
        // Nobody has waited for it yet.
        assert_ne!(run(["--json", "self"]).json()["source"]["os"], "linux");
    } else {
        assert_eq!(end["ending"]["exit_status"], 7);
    }
}

#[test]
fn watching_ends_with_its_time() {
    let sleeper = Running::sleeper();
    let watch = run(["watch", &sleeper.pid(), "--for", "30ms", "--interval", "5ms"]);
    assert_eq!(watch.status, 0, "{watch:?}");
    assert!(watch.stdout.contains("Watching sleep ["), "{watch:?}");
    assert!(watch.stdout.contains("The time is up. 0 events"), "{watch:?}");
    assert_eq!(run(["watch", "4194305"]).status, 3);
}

#[test]
fn how_a_process_ended_is_told() {
    if !is_linux() {
        return;
    }
    let mut sleeper = Running::sleeper();
    let mut watch =
        Running::start(&mut mmview(["watch", &sleeper.pid(), "--interval", "2ms", "-f", "ndjson"]));
    let mut lines = records(&mut watch);
    assert_eq!(record(&mut lines)["record"], "head");
    sleeper.0.kill().unwrap();
    let end = record(&mut lines);
    assert_eq!(end["stopped"], "ended", "{end}");
    assert_eq!(end["ending"]["signal"], 9, "{end}");
}

#[test]
fn another_program_is_told_as_one_event() {
    let mut shell = Running::shell("echo ready; read line; exec sleep 1000");
    let mut watch = Running::start(&mut mmview(["watch", &shell.pid(), "--interval", "2ms", "-f", "ndjson"]));
    let mut lines = records(&mut watch);
    assert_eq!(record(&mut lines)["record"], "head");
    writeln!(shell.0.stdin.as_mut().unwrap()).unwrap();
    let program = loop {
        let event = record(&mut lines);
        if event["change"] == "program" {
            break event;
        }
    };
    assert!(program["what"].as_str().unwrap().starts_with("started another program  /"), "{program}");
}

#[test]
fn watching_ends_as_soon_as_something_is_so() {
    if is_python_missing() {
        return;
    }
    let mut mapper = Mapper::start();
    let (pid, until) = (mapper.python.pid(), format!("mapped \"{}\"", mapper.path));
    let missed = run(["watch", &pid, "--until", &until, "--for", "20ms", "--interval", "5ms"]);
    assert_eq!(missed.status, 1, "{missed:?}");
    assert!(
        missed.stdout.contains("It was not so: mapped \"") && missed.stdout.contains("Found at the end:")
    );
    let mut watch = Running::start(&mut mmview(["watch", &pid, "--until", &until, "--interval", "2ms"]));
    assert!(watch.line().starts_with("Watching python3 ["));
    writeln!(mapper.python.0.stdin.as_mut().unwrap(), "map").unwrap();
    assert_eq!(watch.0.wait().unwrap().code(), Some(0));
    assert_eq!(run(["watch", &pid, "--until", &until]).status, 0, "it is so already");
    let wrong = run(["watch", &pid, "--until", "maped \"x\""]);
    assert!(wrong.status == 2 && wrong.stderr.contains("at column 1"), "{wrong:?}");
}

// Starting programs.

#[test]
fn the_exit_status_is_the_programs() {
    let status = |arguments: &[&str]| run_of(arguments).status;
    assert_eq!(status(&["true"]), 0);
    assert_eq!(status(&["sh", "-c", "exit 3"]), 3);
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), 128 + 9);
    assert_eq!(status(&["/no/such/program"]), 127);
    assert_eq!(status(&["/etc/passwd"]), 126);
}

fn run_of(command: &[&str]) -> Run {
    Run::of(mmview(["run", "--"]).args(command).output().unwrap())
}

#[test]
fn a_program_is_seen_however_short_its_life_is() {
    let (_directory, path) = temporary("summary.json");
    let run = run(["run", "--json", "-o", &path, "--", "sh", "-c", "echo mine"]);
    assert_eq!((run.status, &*run.stdout), (0, "mine\n"), "{run:?}");
    if !is_linux() {
        return;
    }
    let summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(summary["view"], "summary");
    assert_eq!(summary["run"]["ending"]["exit_status"], 0);
    assert!(summary["run"]["looks"].as_u64() >= Some(1));
    if summary["run"]["traced"] != true {
        return skip("a program can't be traced here");
    }
    assert_eq!(summary["run"]["seen"], "exit", "{summary}");
    let kinds: Vec<_> = summary["rows"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert!(kinds.contains(&&Value::from("text")), "{kinds:?}");
}

#[test]
fn the_peak_is_shown_and_not_the_end() {
    if is_python_missing() || !is_linux() {
        return;
    }
    const PROGRAM: &str = "import time; x = bytearray(64 << 20); time.sleep(0.5); del x";
    let resident = |at_exit: bool| {
        let (_directory, path) = temporary("summary.json");
        let mut command = mmview(["run", "--json", "-o", &path]);
        if at_exit {
            command.arg("--at-exit");
        }
        let run = Run::of(command.args(["--", "python3", "-c", PROGRAM]).output().unwrap());
        assert_eq!(run.status, 0, "{run:?}");
        let summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (summary["total"]["resident"].as_u64().unwrap(), summary["run"]["traced"] == true)
    };
    assert!(resident(false).0 > 64 << 20);
    let (at_exit, is_traced) = resident(true);
    assert!(at_exit < 64 << 20 || !is_traced, "{at_exit}");
}

#[test]
fn a_program_is_looked_at_until_something_is_so() {
    if !is_linux() {
        return;
    }
    let until = |until: &str| {
        let (_directory, path) = temporary("summary.json");
        let run = run(["run", "--json", "-o", &path, "--until", until, "--", "sleep", "0.2"]);
        let summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (run.status, summary["run"]["until"]["holds"].clone())
    };
    assert_eq!(until("any(kind=stack)"), (0, true.into()));
    assert_eq!(until("any(path=\"/no/such/file\")"), (1, false.into()));
}

#[test]
fn a_program_that_stops_itself_goes_on_when_told() {
    if !is_linux() {
        return;
    }
    let mut run = Running::start(&mut mmview(["run", "--", "sh", "-c", "echo $$; kill -STOP $$; exit 5"]));
    let pid = run.line();
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    for _ in 0..2000 {
        if state().contains(") t ") || state().contains(") T ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    // It may have been told before it stopped: then it is told again.
    for _ in 0..2000 {
        if run.0.try_wait().unwrap().is_some() {
            break;
        }
        let _ = Command::new("kill").args(["-CONT", &pid]).output();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(run.0.wait().unwrap().code(), Some(5));
}
