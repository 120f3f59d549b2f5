//! `mmview watch` and `mmview run` through the command line. Tests for Linux are skipped elsewhere.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{ChildStdout, Command};
use std::time::Duration;

use common::{Run, Running, is_linux, mmview, run, skip, temporary};
use serde_json::Value;

/// Maps or unmaps a file for each line of input.
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
fn each_mapping_is_one_event_and_in_order() {
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
        // Python's own memory can grow in between.
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
        // No one has waited for it yet.
        assert_ne!(run(["--json", "self"]).json()["source"]["os"], "linux");
    } else {
        assert_eq!(end["ending"]["exit_status"], 7);
    }
}

#[test]
fn watching_ends_after_the_given_time() {
    let sleeper = Running::sleeper();
    let watch = run(["watch", &sleeper.pid(), "--for", "30ms", "--interval", "5ms"]);
    assert_eq!(watch.status, 0, "{watch:?}");
    assert!(watch.stdout.contains("Watching sleep ["), "{watch:?}");
    assert!(watch.stdout.contains("The time is up. 0 events"), "{watch:?}");
    assert_eq!(run(["watch", "4194305"]).status, 3);
}

#[test]
fn the_signal_that_ended_a_process_is_reported() {
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
fn an_exec_is_one_event() {
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
fn watching_ends_as_soon_as_the_check_holds() {
    if is_python_missing() {
        return;
    }
    let mut mapper = Mapper::start();
    let (pid, until) = (mapper.python.pid(), format!("mapped \"{}\"", mapper.path));
    let missed = run(["watch", &pid, "--until", &until, "--for", "20ms", "--interval", "5ms"]);
    assert_eq!(missed.status, 1, "{missed:?}");
    assert!(
        missed.stdout.contains("The check never held: mapped \"")
            && missed.stdout.contains("Found at the end:")
    );
    let mut watch = Running::start(&mut mmview(["watch", &pid, "--until", &until, "--interval", "2ms"]));
    assert!(watch.line().starts_with("Watching python3 ["));
    writeln!(mapper.python.0.stdin.as_mut().unwrap(), "map").unwrap();
    assert_eq!(watch.0.wait().unwrap().code(), Some(0));
    assert_eq!(run(["watch", &pid, "--until", &until]).status, 0, "the check holds already");
    let wrong = run(["watch", &pid, "--until", "maped \"x\""]);
    assert!(wrong.status == 2 && wrong.stderr.contains("at column 1"), "{wrong:?}");
}

#[test]
fn run_exits_with_the_status_of_the_program() {
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
fn a_short_lived_program_is_sampled() {
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
fn the_peak_is_shown_by_default() {
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
fn run_can_stop_sampling_when_a_check_holds() {
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
fn a_program_that_stops_itself_can_be_continued() {
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
    // The signal can arrive before the program stops, so send it again.
    for _ in 0..2000 {
        if run.0.try_wait().unwrap().is_some() {
            break;
        }
        let _ = Command::new("kill").args(["-CONT", &pid]).output();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(run.0.wait().unwrap().code(), Some(5));
}
