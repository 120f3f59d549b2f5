//! The story of a mapped file (`docs/story.md`), on every system: Python maps a file, and a region appears; it closes the file,
//! and the region is gone. A child inherits the mapping, reads and closes it; the parent's mapping stays.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::process::Command;

use common::{Run, Running, mmview, run, skip};

/// Runs commands from standard input, one per line, in itself or in its child.
const PROGRAM: &str = "\
import mmap, os, sys
f = open(sys.argv[1], 'r+b')
mapped = None
def run(line):
    global mapped
    if line == 'map':
        mapped = mmap.mmap(f.fileno(), 0)
    elif line == 'read':
        mapped.seek(0)
        return mapped.readline().decode().strip()
    elif line == 'close':
        mapped.close()
    return line
def serve(lines, out):
    for line in lines:
        if line.strip() == 'fork':
            child, parent = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(parent)
                for line in os.fdopen(child):
                    print(run(line.strip()), file=out, flush=True)
                os._exit(0)
            os.close(child)
            to_child = os.fdopen(parent, 'w')
            print(pid, file=out, flush=True)
        elif line.startswith('child '):
            print(line.split()[1], file=to_child, flush=True)
        else:
            print(run(line.strip()), file=out, flush=True)
print('ready', flush=True)
serve(iter(sys.stdin.readline, ''), sys.stdout)
";

struct Python {
    python: Running,
    path: String,
    _file: tempfile::NamedTempFile,
}

impl Python {
    fn start() -> Option<Python> {
        if Command::new("python3").arg("--version").output().is_err() {
            skip("there is no python3");
            return None;
        }
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(file.path(), b"hello, map\n").unwrap();
        let path = file.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let mut python = Running::start(Command::new("python3").args(["-c", PROGRAM, &path]));
        assert_eq!(python.line(), "ready");
        Some(Python { python, path, _file: file })
    }

    /// Sends a command, and returns the answer.
    fn send(&mut self, command: &str) -> String {
        writeln!(self.python.0.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.python.line()
    }

    /// Whether the process maps the file. Asserts that the check, the summary and the listing agree.
    #[track_caller]
    fn is_mapped(&self, pid: &str) -> bool {
        let check = run(["check", pid, &format!("mapped \"{}\"", self.path)]);
        let regions = run(["regions", "--json", "--path", &self.path, pid]).json();
        let listed = regions["regions"].as_array().unwrap();
        assert_eq!(check.status == 0, !listed.is_empty(), "{check:?}");
        if let Some(region) = listed.first() {
            assert_eq!(region["kind"], "mapped-file");
            assert_eq!(region["size"].as_u64(), Some(page_size()));
            assert!(run([pid]).stdout.lines().any(|line| line.starts_with("mapped file")));
        }
        !listed.is_empty()
    }
}

fn page_size() -> u64 {
    run(["--json", "self"]).json()["source"]["page_size"].as_u64().unwrap()
}

#[test]
fn a_mapping_appears_and_vanishes() {
    let Some(mut python) = Python::start() else { return };
    let pid = python.python.pid();
    assert!(!python.is_mapped(&pid), "an open file is not mapped");
    assert_eq!(python.send("map"), "map");
    assert!(python.is_mapped(&pid));
    assert_eq!(python.send("read"), "hello, map");
    assert_eq!(python.send("close"), "close");
    assert!(!python.is_mapped(&pid));
}

#[test]
fn closing_in_a_child_keeps_the_parents_mapping() {
    let Some(mut python) = Python::start() else { return };
    let parent = python.python.pid();
    assert_eq!(python.send("map"), "map");
    let child = python.send("fork");
    assert!(python.is_mapped(&parent) && python.is_mapped(&child), "fork copies the map");
    assert_eq!(python.send("child read"), "hello, map");
    assert_eq!(python.send("child close"), "close");
    assert!(!python.is_mapped(&child));
    assert!(python.is_mapped(&parent), "the parent's mapping stays");
    assert_eq!(python.send("read"), "hello, map");
    assert_eq!(python.send("close"), "close");
    assert!(!python.is_mapped(&parent));
}

#[test]
fn the_python_examples_show_the_same() {
    let mmview = mmview([]).get_program().to_owned();
    let example = |name: &str| {
        let program = format!("examples/python/{name}");
        Command::new("python3").arg(program).env("MMVIEW", &mmview).output()
    };
    let Ok(output) = example("map_file.py") else { return skip("there is no python3") };
    let map_file = Run::of(output);
    if map_file.stderr.contains("Exec format error") {
        return skip("Python cannot start this build of mmview");
    }
    assert_eq!((map_file.status, &*map_file.stderr), (0, ""), "{map_file:?}");
    let region = map_file.stdout.lines().find(|line| line.starts_with("mapped file")).unwrap();
    assert!(region.contains(" rw-/rwx ") && region.ends_with(".txt"), "{region}");
    assert!(map_file.stdout.contains("After close: the region is gone."), "{map_file:?}");
    let fork_map = Run::of(example("fork_map.py").unwrap());
    assert_eq!((fork_map.status, &*fork_map.stderr), (0, ""), "{fork_map:?}");
    let regions = fork_map.stdout.lines().filter(|line| line.starts_with("mapped file")).count();
    assert_eq!(
        regions, 2,
        "one in the child before it closes the file, one in the parent after that: {fork_map:?}"
    );
    assert!(fork_map.stdout.contains("The parent can still read it: b'Hello'"), "{fork_map:?}");
}
