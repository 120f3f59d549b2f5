//! `mmview vmmap`: a saved report is reproduced, and live processes have the same form.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fmt::Write;
use std::fs;

use common::{Run, Running, mmview, skip};
use insta::assert_snapshot;
use proptest::prelude::*;

fn vmmap(arguments: &[&str]) -> Run {
    Run::of(mmview(["vmmap"]).args(arguments).output().expect("mmview starts"))
}

fn report(arguments: &[&str]) -> String {
    let run = vmmap(arguments);
    assert_eq!(run.status, 0, "{}", run.stderr);
    run.stdout
}

fn fixture(name: &str) -> String {
    format!("tests/fixtures/macos/{name}")
}

/// The lines of a text, without trailing blanks and without empty lines at the end.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

#[test]
fn a_complete_report_is_reproduced() {
    for name in ["notebook.vmmap", "notebook-summary.vmmap"] {
        let text = fs::read_to_string(fixture(name)).unwrap();
        assert_eq!(lines(&report(&[&fixture(name)])), lines(&text), "{name}");
    }
}

/// vmmap of 10.12 and 10.13 counts one region too many in each row of its table.
#[test]
fn a_report_of_high_sierra_gets_correct_counts() {
    let text = fs::read_to_string(fixture("clock-10.13.vmmap")).unwrap();
    let ours = report(&["-w", &fixture("clock-10.13.vmmap")]);
    let (ours, text) = (lines(&ours), lines(&text));
    assert_eq!(ours.len(), text.len());
    let table = text.iter().position(|line| line.starts_with("=====")).unwrap() + 1;
    let total = text.iter().position(|line| line.starts_with("TOTAL")).unwrap();
    for (number, (ours, printed)) in ours.iter().zip(&text).enumerate() {
        if !(table..total).contains(&number) || printed.starts_with('=') {
            assert_eq!(ours, printed);
            continue;
        }
        const COUNT: usize = 93;
        let count =
            |line: &str| line[COUNT..].split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap();
        assert_eq!(count(ours) + 1, count(printed), "{printed}");
        assert_eq!(ours[..COUNT], printed[..COUNT]);
    }
}

#[test]
fn options_select_sections_and_order() {
    let notebook = fixture("notebook.vmmap");
    let summary = report(&["-summary", &notebook]);
    assert!(!summary.contains("Virtual Memory Map") && !summary.contains("\n==== "), "{summary}");
    assert!(summary.contains("\nReadOnly portion of Libraries: "));
    let interleaved = report(&["--interleaved", &notebook]);
    assert!(interleaved.contains("(non-writable and writable regions are interleaved)"));
    assert!(!interleaved.contains("==== Writable"));
    let starts: Vec<u64> = interleaved.lines().filter_map(start).collect();
    assert!(starts.len() > 30 && starts.is_sorted(), "{interleaved}");
    assert_snapshot!("vmmap by size", report(&["-sortBySize", "-interleaved", &notebook]));
    assert_snapshot!("vmmap in pages", report(&["-pages", &notebook]));
    assert_snapshot!("vmmap around an address", report(&[&notebook, "0x104c00010"]));
    assert_snapshot!("vmmap around a gap", report(&[&notebook, "104b20000"]));
}

/// The start address of a row.
fn start(row: &str) -> Option<u64> {
    let place = row.get(25..37)?.trim();
    (row.as_bytes().get(37) == Some(&b'-')).then(|| u64::from_str_radix(place, 16).ok())?
}

#[test]
fn a_capture_of_linux_has_the_same_form() {
    // The path of this build of mmview depends on the machine.
    let report = |arguments: &[&str]| {
        let text = report(arguments);
        text.lines()
            .filter(|line| !line.starts_with("Analysis Tool:"))
            .map(|line| line.to_owned() + "\n")
            .collect::<String>()
    };
    assert_snapshot!("vmmap of sleep.smaps", report(&["tests/fixtures/linux/sleep.smaps"]));
    assert_snapshot!("vmmap of names.maps", report(&["-w", "tests/fixtures/linux/names.maps"]));
}

#[test]
fn a_live_process_has_the_same_form() {
    let sleeper = Running::sleeper();
    let text = report(&["-v", &sleeper.pid()]);
    assert!(
        text.starts_with(&format!("Process:         sleep [{}]\nPath:            ", sleeper.pid())),
        "{text}"
    );
    for part in [
        "\nDate/Time:       ",
        "\nPhysical footprint:         ",
        "\n----\n\nVirtual Memory Map of process ",
        "\nOutput report format:  2.4  -- 64-bit process\n",
        "\n==== Non-writable regions for process ",
        "\n==== Writable regions for process ",
        "\n==== Legend\nSM=sharing mode:  \n",
        "\n==== Summary for process ",
        "\nTOTAL ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let rows = text.lines().filter(|line| line.contains("] ") && line.contains(" SM=")).count();
    let regions = mmview(["regions", "--json", &sleeper.pid()]).output().expect("mmview starts");
    assert_eq!(rows, Run::of(regions).json()["regions"].as_array().unwrap().len());
}

#[test]
fn a_report_of_a_live_process_can_be_read_again() {
    if !fs::exists("/proc/self/smaps").unwrap_or(false) {
        skip("this system has no /proc");
        return;
    }
    let sleeper = Running::sleeper();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sleep.vmmap");
    let first = report(&["-w", &sleeper.pid()]);
    fs::write(&file, &first).unwrap();
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.contains(" SM="))
            .map(str::trim_end)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&report(&["-w", &file.to_string_lossy()])), rows(&first));
}

#[test]
fn failures_exit_with_255_and_give_the_reason() {
    let missing = vmmap(&["999999999"]);
    assert_eq!((missing.status, missing.stdout.as_str()), (255, ""));
    assert!(missing.stderr.contains("cannot examine `999999999`"), "{}", missing.stderr);
    for arguments in [&[][..], &["-bogus", "1"], &["1", "2", "3"], &["1", "zz"]] {
        let wrong = vmmap(arguments);
        assert_eq!(wrong.status, 255, "{arguments:?}");
        assert!(wrong.stderr.contains("Usage: vmmap"), "{}", wrong.stderr);
    }
}

#[test]
fn help_lists_the_differences() {
    for option in ["-h", "--help", "-help"] {
        let help = report(&[option]);
        for part in
            ["-sortBySize", "-noCoalesce", "COUNT is the number of regions", "Submaps are never listed"]
        {
            assert!(help.contains(part), "{part} in {help}");
        }
    }
}

/// Rows of a report as vmmap of macOS 11 and later prints them, in order of address.
fn rows() -> impl Strategy<Value = Vec<String>> {
    let row = (
        prop::sample::select(vec![
            "__TEXT",
            "__DATA",
            "MALLOC_TINY",
            "Stack",
            "VM_ALLOCATE",
            "mapped file",
            "Memory Tag 240",
        ]),
        1u64..2000,
        prop::sample::select(vec!["r-x/r-x", "r--/rw-", "rw-/rwx", "---/rwx", "rwx/rwx"]),
        prop::sample::select(vec!["COW", "PRV", "NUL", "ALI", "SHM", "ZER", "S/A"]),
        prop::option::of(prop::sample::select(vec!['V', 'N', 'E'])),
        prop::option::of(
            "/[a-zA-Z0-9._]{1,12}(/[a-zA-Z0-9._ ]{0,20}[a-z]){0,4}|on dirty page  unused [a-z/.]{1,30}",
        ),
        0u64..100,
        0u64..10,
    );
    prop::collection::vec(row, 1..20).prop_map(|rows| {
        let mut start = 0x1_0000_0000u64;
        let mut text = Vec::new();
        for (kind, pages, access, share, purge, detail, resident, gap) in rows {
            let end = start + pages * 0x4000;
            let size = mmview::units::Units::Auto.format(mmview_platform::Bytes(end - start));
            let resident = format!("{}K", resident.min(pages) * 16);
            let mut row = format!("{kind:<24} {start:>12x}-{end:<12x} [{size:>6} {resident:>6}     0K    16K] {access} SM={share}");
            match (purge, &detail) {
                (Some(purge), _) => write!(row, " PURGE={purge}  {}", detail.unwrap_or_default()).unwrap(),
                (None, Some(detail)) => write!(row, "          {detail}").unwrap(),
                (None, None) => row.push_str("  "),
            }
            text.push(row);
            start = end + gap * 0x4000;
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_are_reproduced(rows in rows()) {
        let head = "==== regions for process 7  (non-writable and writable regions are interleaved)\n\
                    REGION TYPE                    START - END         [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL\n";
        let text = format!("{head}{}\n\n==== Legend\n", rows.join("\n"));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let output = report(&["-interleaved", &file.path().to_string_lossy()]);
        let printed: Vec<&str> = output.lines().filter(|line| line.contains(" SM=")).collect();
        let is_same = printed.iter().zip(&rows).all(|(ours, row)| ours.trim_end() == row.trim_end());
        prop_assert!(is_same && printed.len() == rows.len(), "{output}\n---\n{}", rows.join("\n"));
    }
}
