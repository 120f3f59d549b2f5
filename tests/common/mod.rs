//! Shared by the test programs: mmview as a command, and processes to examine.
#![allow(dead_code, missing_docs)]

pub mod schema;
#[allow(clippy::print_stdout)]
pub mod truth;

use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Child, Command, Output, Stdio};

/// Reports that a test cannot run here, and why.
#[allow(clippy::print_stdout)]
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Whether this is Linux. If not, reports that the test is skipped.
pub fn is_linux() -> bool {
    let is_linux = run(["--json", "self"]).json()["source"]["os"] == "linux";
    if !is_linux {
        skip("this test is for Linux");
    }
    is_linux
}

/// The mmview command with these arguments, without a terminal.
pub fn mmview<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("mmview"));
    command.args(arguments).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// Runs mmview.
pub fn run<const N: usize>(arguments: [&str; N]) -> Run {
    Run::of(mmview(arguments).output().expect("mmview starts"))
}

/// Runs mmview, asserts that it succeeds without a warning, and returns its output.
#[track_caller]
pub fn output<const N: usize>(arguments: [&str; N]) -> String {
    let run = run(arguments);
    assert_eq!((run.status, &*run.stderr), (0, ""), "{run:?}");
    run.stdout
}

/// A temporary directory, and a path in it.
pub fn temporary(name: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join(name).to_str().unwrap().to_owned();
    (directory, path)
}

/// The exit status and the output of a run.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Run {
        Run {
            status: output.status.code().expect("mmview is not killed by a signal"),
            stdout: String::from_utf8(output.stdout).expect("the output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("the errors are UTF-8"),
        }
    }

    /// The JSON that it printed. Asserts that it succeeded.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A process that is killed when dropped.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        loop {
            match command.spawn() {
                // A child that another test is starting may still have a fresh copy open for writing.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                child => return Running(child.expect("the program starts")),
            }
        }
    }

    /// A process that sleeps.
    pub fn sleeper() -> Running {
        let mut sleeper = Running::start(Command::new("sleep").arg("1000"));
        sleeper.settle();
        sleeper
    }

    /// A shell that runs `script`, after it has printed its first line.
    pub fn shell(script: &str) -> Running {
        let mut shell = Running::start(Command::new("sh").args(["-c", script]));
        shell.line();
        shell
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().expect("its output is a pipe");
        BufReader::with_capacity(1, stdout).read_line(&mut line).expect("it prints a line");
        line.trim_end().to_owned()
    }

    /// Everything that it prints until it ends.
    pub fn output(mut self) -> String {
        let mut text = String::new();
        let stdout = self.0.stdout.as_mut().expect("its output is a pipe");
        std::io::Read::read_to_string(stdout, &mut text).expect("it prints text");
        text
    }

    /// Waits until the child has replaced itself with the program.
    fn settle(&mut self) {
        for _ in 0..200 {
            let has_started = run(["--json", &self.pid()]).stdout.contains("/sleep\"");
            if has_started {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
