//! The command line: what it refuses, with which message and exit status.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use common::{Running, mmview, run, skip};

/// Asserts the exit status, a part of the error message, and an empty standard output.
#[track_caller]
fn refused<const N: usize>(arguments: [&str; N], status: i32, message: &str) {
    let run = run(arguments);
    assert_eq!(run.status, status, "{run:?}");
    assert!(run.stderr.contains(message), "{run:?}");
    assert_eq!(run.stdout, "", "{run:?}");
}

fn temporary(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn no_target_is_a_usage_error() {
    refused([], 2, "which process?");
    refused(["regions"], 2, "which process?");
    refused(["0x1000"], 2, "in which process?");
}

#[test]
fn a_missing_process_has_its_own_status() {
    refused(["4194305"], 3, "no process with PID 4194305");
    refused(["99999999999999999999"], 3, "no process with PID 99999999999999999999");
    refused(["no-such-program-anywhere"], 3, "no process or file matches `no-such-program-anywhere`");
    refused(["--name", "4194305"], 3, "no process or file matches `4194305`");
}

#[test]
fn an_ambiguous_name_lists_the_candidates() {
    let (directory, _) = temporary("x", b"");
    let program = directory.path().join("mmview-twin");
    fs::copy("/bin/sleep", &program).unwrap();
    let start = || Running::start(std::process::Command::new(&program).arg("1000"));
    let (one, other) = (start(), start());
    std::thread::sleep(std::time::Duration::from_millis(200));
    let both = run(["mmview-twin"]);
    if both.status == 3 {
        return skip("a copy of sleep can't be run here");
    }
    assert_eq!(both.status, 2, "{both:?}");
    assert!(both.stderr.contains(&one.pid()) && both.stderr.contains(&other.pid()), "{both:?}");
    drop(other);
    assert_eq!(run(["mmview-tw"]).status, 0, "a part of a name that only one process has");
}

#[test]
fn wrong_options_are_refused_with_a_hint() {
    refused(["regions", "--kind", "nonsense", "1"], 2, "the kinds are");
    refused(["regions", "--perm", "rq", "1"], 2, "invalid protection");
    refused(["regions", "--addr", "zz", "1"], 2, "invalid address");
    refused(["regions", "--min-size", "many", "1"], 2, "invalid size");
    refused(["regions", "--gaps", "--sort", "size", "1"], 2, "cannot be used with");
    refused(["regions", "1", "0x1000"], 2, "--addr 0x1000");
    refused(["1", "0x1000", "0x2000"], 2, "only one ADDRESS");
    refused(["1", "0xyz"], 2, "invalid address");
    refused(["--format", "yaml", "1"], 2, "invalid value");
    refused(["demo", "no-such-lesson"], 2, "mapped-file");
    refused(["--max-stall", "soon", "--gentle", "1"], 2, "is not a time");
}

#[test]
fn global_options_may_come_before_the_command() {
    let file = "tests/fixtures/linux/sleep.smaps";
    assert_eq!(run(["--json", "regions", file]).stdout, run(["regions", "--json", file]).stdout);
    assert_eq!(run(["-f", "csv", "regions", file]).stdout, run(["regions", "-f", "csv", file]).stdout);
    assert_eq!(run([file, "regions"]).status, 3, "after a target it is another one");
    refused(["--pid", "1", "regions"], 2, "a command comes before its targets");
}

#[test]
fn files_that_are_not_captures_are_refused() {
    let (_directory, empty) = temporary("empty", b"");
    refused([&empty], 5, "is empty");
    let (_directory, binary) = temporary("binary", &[0x89, 0, 1, 2, 3, 4, 1, 2]);
    refused([&binary], 5, "is a binary file");
    let (_directory, elf) = temporary("elf", b"\x7fELF\0\0\x01\x02");
    refused([&elf], 5, "its ELF header is cut or of an unknown form");
    let (_directory, text) = temporary("text", b"hello\n");
    refused([&text], 5, "is not a capture");
    refused(["./no/such/file"], 5, "failed to open `./no/such/file`: No such file");
    refused(["--file", "src"], 5, "is a directory");
}

#[test]
fn a_truncated_capture_is_shown_with_a_warning() {
    let whole = fs::read("tests/fixtures/linux/sleep.smaps").unwrap();
    let (_directory, cut) = temporary("cut", &whole[..whole.len() - 300]);
    let run = run([&cut]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("may be cut off"), "{run:?}");
    assert!(run.stdout.contains("about this map on standard error"), "{run:?}");
}

#[test]
fn the_first_failure_sets_the_status_and_the_rest_is_shown() {
    let good = "tests/fixtures/linux/sleep.smaps";
    let (_directory, empty) = temporary("empty", b"");
    let run = run(["4194305", good, &empty]);
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stdout.contains("TOTAL"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
}

#[test]
fn in_json_a_failure_is_an_object_among_the_others() {
    let run = run(["--json", "4194305", "tests/fixtures/linux/sleep.smaps"]);
    assert_eq!(run.status, 3);
    let both: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(both[0]["view"], "error");
    assert_eq!(both[0]["error"]["kind"], "no-such-process");
    assert_eq!(both[1]["view"], "summary");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for format in ["table", "json", "ndjson", "csv", "markdown"] {
        let mut child = mmview(["regions", "-f", format, "tests/fixtures/linux/python-threads.smaps"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert!(output.stderr.is_empty(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn colors_appear_only_on_request() {
    let file = "tests/fixtures/linux/sleep.smaps";
    assert!(!run([file]).stdout.contains('\x1b'));
    assert!(run(["--color", "always", file]).stdout.contains('\x1b'));
    assert!(run(["--color", "always", file]).stdout.contains("Legend:"));
    assert!(!run(["--color", "always", "--json", file]).stdout.contains('\x1b'));
}

/// The terminal's buffer is full somewhere in a colored line; then a signal arrives.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_leaves_the_terminal_without_a_color() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut child = mmview(["regions"])
        .args(["tests/fixtures/linux/python-threads.smaps"; 50])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdout(terminal)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    let mut sleeps = 0;
    while sleeps < 5 {
        std::thread::sleep(Duration::from_millis(20));
        sleeps = if fs::read_to_string(&stat).unwrap().contains(") S ") { sleeps + 1 } else { 0 };
        assert!(child.try_wait().unwrap().is_none(), "it ended before the buffer was full");
    }
    // Stopped, it writes nothing while the buffer is emptied.
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    let drain = |output: &mut Vec<u8>| loop {
        let soon = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let mut terminal = [PollFd::new(&master, PollFlags::IN)];
        let mut bytes = [0; 4096];
        match poll(&mut terminal, Some(&soon)) {
            Ok(0) => break,
            _ => match rustix::io::read(&master, &mut bytes) {
                Ok(read) if read > 0 => output.extend(&bytes[..read]),
                _ => break,
            },
        }
    };
    let mut output = Vec::new();
    drain(&mut output);
    assert!(output.contains(&0x1b), "colors are on");
    kill_process(pid, Signal::TERM).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    drain(&mut output);
    assert!(output.ends_with(b"\x1b[0m"), "{}", String::from_utf8_lossy(&output[output.len() - 40..]));
}

#[test]
fn units_can_be_chosen() {
    let file = "tests/fixtures/linux/swap-16k.smaps";
    assert!(run(["--units", "bytes", file]).stdout.contains("67108864"));
    assert!(run(["--units", "m", file]).stdout.contains("64.0M"));
    assert!(run(["--units", "g", file]).stdout.contains("1.0G"));
}

#[test]
fn help_completions_and_manual_are_built_in() {
    let help = run(["--help"]);
    assert!(help.stdout.contains("physical footprint is"), "{help:?}");
    assert!(run(["--version"]).stdout.starts_with("mmview "));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]);
        assert_eq!(script.status, 0);
        assert!(script.stdout.contains("mmview"));
    }
    assert!(run(["man"]).stdout.starts_with(".ie"));
    assert!(run(["man", "regions"]).stdout.contains("min\\-size"));
    refused(["man", "nonsense"], 2, "the commands are");
}
