//! `mmview check` as a program: its output, its exit status, and its syntax errors.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Run, Running, is_linux, mmview, run, skip};
use insta::assert_snapshot;

const PYTHON: &str = "tests/fixtures/linux/python-threads.smaps";
const JAVA: &str = "tests/fixtures/linux/java.maps";
const NOTEBOOK: &str = "tests/fixtures/macos/notebook.vmmap";

/// Runs the program, requires this exit status, and returns its standard output.
#[track_caller]
fn output<const N: usize>(arguments: [&str; N], status: i32) -> String {
    let run = run(arguments);
    assert_eq!(run.status, status, "{run:?}");
    run.stdout
}

/// Requires a usage error: status 2, nothing on standard output, and this on standard error.
#[track_caller]
fn refused<const N: usize>(arguments: [&str; N], says: &str) {
    let run = run(arguments);
    assert_eq!(run.status, 2, "{run:?}");
    assert_eq!(run.stdout, "", "{run:?}");
    assert!(run.stderr.contains(says), "{}", run.stderr);
}

#[test]
fn a_line_for_each_check_that_holds() {
    let checks = [
        "check",
        PYTHON,
        "mapped \"mmview-fixture.bin\"",
        "any(kind=mapped-file and path=\"/var/tmp/mmview-fixture.bin\" and size=20K and share=shared)",
        "not mapped \"*.tmp\"",
        "sum(resident, kind=heap) < 64M",
        "count(kind=stack) == 4",
        "none(perm=rwx)",
        "at 0x10 is unmapped",
    ];
    assert_snapshot!("checks that hold", output(checks, 0));
}

#[test]
fn a_mapping_that_is_not_as_it_should_be() {
    let expression = "any(kind=mapped-file and path=\"mmview-fixture.bin\" and size=4K and share=shared)";
    assert_snapshot!("any fails", output(["check", PYTHON, expression], 1));
    assert_snapshot!("any of a kind fails", output(["check", PYTHON, "any(kind=jit-code)"], 1));
    assert_snapshot!(
        "any of a size fails",
        output(["check", PYTHON, "any(size > 1T)", "any(size=748 and kind=heap)"], 1)
    );
}

#[test]
fn a_file_that_is_not_mapped() {
    let checks = [
        "check",
        PYTHON,
        "mapped \"/a/b/mmview-fixture.bin\"",
        "mapped \"mmview-fixtures.bin\"",
        "mapped \"/x/nothing.at.all\"",
        "mapped \"[heap]\"",
    ];
    assert_snapshot!("mapped fails", output(checks, 1));
}

#[test]
fn what_should_not_be_there() {
    assert_snapshot!(
        "none fails",
        output(["check", PYTHON, "none(kind=stack)", "not mapped \"libc.*\"", "all(perm=r)"], 1)
    );
    let deleted = "not mapped \"*hello*\"";
    let names = "tests/fixtures/linux/names.maps";
    assert_snapshot!("not mapped fails", output(["check", names, deleted, "none(deleted)"], 1));
}

#[test]
fn numbers_and_what_makes_them_up() {
    let checks = [
        "check",
        PYTHON,
        "count(kind=stack) == 9",
        "sum(resident, kind=heap) < 64K",
        "max(size) < 1M",
        "count(kind=jit-code and size=4K) > 0",
        "sum(resident) > sum(size)",
    ];
    assert_snapshot!("numbers fail", output(checks, 1));
}

#[test]
fn addresses_and_what_is_there() {
    let checks = [
        "check",
        PYTHON,
        "at 0x400000 is rw-",
        "at 0x400010 is (kind=heap and size=4K)",
        "at 0x400000 is unmapped",
        "at 0x600000000000 is mapped",
        "at 0x10 is mapped",
    ];
    assert_snapshot!("addresses fail", output(checks, 1));
}

#[test]
fn joined_checks_are_explained_by_the_parts_that_decide() {
    let checks = [
        "check",
        PYTHON,
        "any(kind=heap) and none(kind=heap) and count() > 3",
        "mapped \"x.y\" or count(kind=heap) == 17",
        "not (any(kind=vdso) or mapped \"nothing\")",
    ];
    assert_snapshot!("joined checks fail", output(checks, 1));
}

#[test]
fn an_unknown_check_does_not_pass_and_says_what_would_help() {
    let checks =
        ["check", JAVA, "sum(resident) < 64M", "none(kind=huge-pages)", "any(dirty > 4K) or any(kind=stack)"];
    assert_snapshot!("a saved maps", output(checks, 1));
    let checks = [
        "check",
        NOTEBOOK,
        "any(kind=stack)",
        "sum(pss) < 4K",
        "none(deleted)",
        "sum(resident) > 1K",
        "none(offset=4K)",
    ];
    assert_snapshot!("a report", output(checks, 1));
    let summary = "tests/fixtures/macos/notebook-summary.vmmap";
    assert_snapshot!("a summary alone", output(["check", summary, "none(perm=rwx)", "mapped \"x\""], 1));
    let torn = "tests/fixtures/linux/torn.smaps";
    let run = run(["check", torn, "none(perm=rwx)", "any(perm=r)"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("warning: the capture may be cut off"), "{run:?}");
    assert_snapshot!("a doubtful capture", run.stdout);
    let all_listed = "tests/fixtures/macos/clock-10.13.vmmap";
    assert_eq!(output(["check", "-q", all_listed, "none(perm=rwx)", "any(kind=stack)"], 0), "");
}

#[test]
fn every_format() {
    for format in ["json", "ndjson", "csv", "markdown"] {
        let swap = "tests/fixtures/linux/swap-16k.smaps";
        let checks = [
            "check",
            "-f",
            format,
            swap,
            "any(kind=stack)",
            "none(name=\"[heap]\")",
            "sum(size, kind=stack) == 1",
        ];
        assert_snapshot!(format!("checks as {format}"), output(checks, 1));
    }
}

#[test]
fn a_program_reads_the_answer() {
    let run = run([
        "check",
        "--json",
        PYTHON,
        "any(kind=heap)",
        "count(kind=stack) == 9",
        "sum(resident, kind=heap) = 1",
    ]);
    assert_eq!(run.status, 1);
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["view"], "check");
    assert_eq!(answer["passed"], false);
    assert_eq!(answer["checks"][0]["verdict"], "holds");
    assert_eq!(answer["checks"][1]["found"]["value"], 4);
    assert_eq!(answer["checks"][2]["found"]["regions"][0]["path"], serde_json::Value::Null);
    assert_eq!(answer["checks"][2]["found"]["regions"][0]["kind"], "heap");
}

#[test]
fn a_syntax_error_is_shown_with_its_position() {
    let run = run(["check", PYTHON, "any(kind=heap)", "any(kind=mapped-file and sise=4K)"]);
    assert_eq!(run.status, 2, "{run:?}");
    assert_eq!(run.stdout, "");
    assert_snapshot!(run.stderr, @r"
    mmview: invalid check at column 26: unknown field `sise`; did you mean `size`?
      any(kind=mapped-file and sise=4K)
                               ^
    ");
}

#[test]
fn the_caret_is_aligned_and_control_characters_are_escaped() {
    let run = run(["check", "self", "mapped \"日本\x1b[31m\" && any()"]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(!run.stderr.contains('\x1b'), "{run:?}");
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines[1], r#"  mapped "日本\u{1b}[31m" && any()"#);
    // Each of the two wide letters takes two columns.
    assert_eq!(lines[2].len(), lines[1].chars().count() + 2 - "& any()".chars().count());
}

#[test]
fn checks_are_parsed_before_anything_is_read() {
    refused(["check", "4194305", "any("], "column");
    refused(["check", "/no/such/file", "any(", "any()"], "column");
    assert_eq!(run(["check", "4194305", "any()"]).status, 3);
    assert_eq!(run(["check", "./no/such/file", "any()"]).status, 5);
}

#[test]
fn without_a_check_or_a_target_an_example_is_shown() {
    refused(["check"], "which process, and what to check?");
    refused(["check", PYTHON], "what to check of tests/fixtures");
    refused(["check", "--pid", "1"], "mmview check 4242 'mapped");
    refused(["check", "any(kind=heap)"], "which process? Write its PID, name or file before the check");
    refused(["check", "mapped \"/tmp/x\""], "which process?");
    refused(["check", "--pid", "1", "--name", "x", "any()"], "cannot be used with");
    refused(["--pid", "1", "check", "any()"], "a command comes before its targets");
}

#[test]
fn with_a_named_target_every_word_is_a_check() {
    assert_eq!(output(["check", "--file", PYTHON, "any(kind=heap)", "any()"], 0).lines().count(), 2);
    refused(["check", "--file", PYTHON, PYTHON, "any()"], "a check can't start with `tests/fixtures");
}

#[test]
fn checks_are_kept_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write(
        "good",
        b"\xef\xbb\xbf# what our service needs\r\n\r\nany(kind=heap)\r\n  # indented\n  none(perm=rwx)\n",
    );
    assert_eq!(output(["check", PYTHON, "--from", &good], 0), "ok    any(kind=heap)\nok    none(perm=rwx)\n");
    assert_eq!(output(["check", PYTHON, "--from", &good, "any()"], 0).lines().count(), 3);
    assert_eq!(output(["check", "--quiet", PYTHON, "--from", &good], 0), "");
    let bad = write("bad", b"any()\nany(sise=4K)\n");
    refused(["check", PYTHON, "--from", &bad], &format!("line 2 of `{bad}`: invalid check at column 5"));
    refused(["check", PYTHON, "--from", &bad], "  any(sise=4K)\n      ^\n");
    let empty = write("empty", b"# nothing\n");
    refused(["check", PYTHON, "--from", &empty], "there is no check in");
    let binary = write("binary", b"any(path=\"\xff\")\n");
    refused(["check", PYTHON, "--from", &binary], "is not UTF-8");
    let missing = run(["check", PYTHON, "--from", "/no/such/file"]);
    assert_eq!(missing.status, 5);
    assert!(missing.stderr.contains("failed to read `/no/such/file`: No such file"), "{missing:?}");
}

#[test]
fn checks_come_from_standard_input() {
    let mut child = mmview(["check", PYTHON, "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"any(kind=heap)\nnone(kind=heap)\n").unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stdout.starts_with("ok    any(kind=heap)\nFAIL  none(kind=heap)\n"), "{run:?}");
}

#[test]
fn quiet_shows_only_checks_that_do_not_hold() {
    let quiet = output(["check", "-q", PYTHON, "any(kind=heap)", "none(kind=vdso)"], 1);
    assert!(quiet.starts_with("FAIL  none(kind=vdso)\n"), "{quiet}");
    assert!(quiet.contains("Of 2 checks 1 holds, 1 fails."), "{quiet}");
}

#[test]
fn colors_only_where_they_are_asked_for() {
    let plain = output(["check", PYTHON, "any(kind=heap)", "none(kind=heap)"], 1);
    assert!(!plain.contains('\x1b'));
    let colored = output(["check", "--color", "always", PYTHON, "any(kind=heap)", "none(kind=heap)"], 1);
    assert!(
        colored.contains("\x1b[1m\x1b[32mok\x1b[0m") && colored.contains("\x1b[31mFAIL\x1b[0m"),
        "{colored:?}"
    );
    assert!(!colored.contains("Legend"), "{colored}");
}

#[test]
fn no_more_detail_is_read_than_the_checks_need() {
    let sleeper = Running::sleeper();
    let detail = |arguments: &[&str]| {
        let mut command = mmview(["check", "--json", &sleeper.pid()]);
        Run::of(command.args(arguments).output().unwrap()).json()["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail(&["any(perm=x)"]), "layout");
    // On macOS one call returns both resident and dirty sizes.
    assert_ne!(detail(&["any(perm=x)", "sum(resident) > 0"]), "layout");
    assert_eq!(detail(&["any(perm=x)", "--detail", "counts"]), "counts");
    assert_eq!(detail(&["max(dirty) > 0", "--detail", "layout"]), "counts", "raised, never lowered");
}

#[test]
fn a_file_that_a_live_process_maps_and_unlinks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data [1].bin");
    fs::write(&path, [0; 4096]).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let script = "import mmap, sys\nfile = open(sys.argv[1], 'r+b')\nmap = mmap.mmap(file.fileno(), 0)\nprint('mapped', flush=True)\n\
                  sys.stdin.readline()\nmap.close()\nprint('closed', flush=True)\nsys.stdin.readline()";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("there is no python3");
    }
    let mut python = Running::start(Command::new("python3").args(["-c", script, &path]));
    assert_eq!(python.line(), "mapped");
    let pid = python.pid();
    let mapped = format!("mapped \"{path}\"");
    let whole = format!("any(path=\"{path}\" and kind=mapped-file and size=4K and perm=rw-)");
    let both = run(["check", "--pid", &pid, &mapped, &whole]);
    if both.status == 4 {
        return skip("the process may not be looked at");
    }
    assert_eq!(both.status, 0, "{both:?}");
    if is_linux() {
        fs::remove_file(&path).unwrap();
        let deleted = run(["check", &pid, &mapped, "any(deleted and share=shared)"]);
        assert_eq!(deleted.status, 0, "{deleted:?}");
        assert!(deleted.stdout.contains("(its file is deleted)"), "{deleted:?}");
    }
    python.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(python.line(), "closed");
    let closed = run(["check", &pid, &mapped]);
    assert_eq!(closed.status, 1, "{closed:?}");
    assert!(closed.stdout.contains(&format!("[{pid}] had ")), "whose map it was: {closed:?}");
}

#[test]
fn the_language_is_in_the_help_and_in_the_manual() {
    let help = output(["check", "--help"], 0);
    for part in ["mapped \"/path/to/file\"", "share=shared", "--from", "Exit status: 0 all checks hold"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(output(["check", "-h"], 0).contains("Examples:"));
    assert!(output(["man", "check"], 0).contains("sum(FIELD, FILTER)"));
}
