//! Columns that the user chooses, sort keys, and the same names in checks.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use common::{Run, mmview, output, run};

const SWAP: &str = "tests/fixtures/linux/swap-16k.smaps";
const LAZY: &str = "tests/fixtures/linux/lazyfree.smaps";
const MAPS: &str = "tests/fixtures/linux/java.maps";
const REPORT: &str = "tests/fixtures/macos/notebook.vmmap";

/// The names in a list of columns.
fn names(list: &str) -> Vec<&str> {
    list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect()
}

/// The words of each line from the titles of a table on.
fn table<'a>(output: &'a str, title: &str) -> Vec<Vec<&'a str>> {
    let lines = output.lines().skip_while(|line| !line.contains(title)).take_while(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn the_listing_has_the_chosen_columns_in_order() {
    let output = output(["regions", SWAP, "--columns", "Address,size,RSS,swap_pss,LazyFree,locked,path"]);
    let rows = table(&output, "START");
    assert_eq!(rows[0], ["START-END", "VSIZE", "RSDNT", "SWAPPSS", "LAZYFREE", "LOCKED", "PATH"]);
    assert_eq!(rows[1], ["aaaab0000000-aaaab0010000", "64K", "64K", "0K", "-", "0K", "/usr/bin/app"]);
    assert_eq!(rows[4], ["fffff0000000-fffff0010000", "64K", "16K", "16K", "-", "16K"]);
}

#[test]
fn added_columns_come_to_the_usual_ones() {
    let listing = output(["regions", SWAP, "--columns", "+locked,+thp"]);
    let rows = table(&listing, "REGION TYPE");
    assert_eq!(
        rows[0].join(" "),
        "REGION TYPE START-END [ VSIZE RSDNT DIRTY SWAP] PRT/MAX SHR LOCKED THP REGION DETAIL"
    );
    let summary = output([SWAP, "--columns", "+lazyfree"]);
    assert_eq!(
        table(&summary, "REGION TYPE")[0],
        ["REGION", "TYPE", "SIZE", "SIZE", "SIZE", "SIZE", "SIZE", "SIZE", "COUNT"]
    );
}

#[test]
fn a_summary_has_the_chosen_columns_after_its_type() {
    let summary = output([SWAP, "--columns", "locked,lazyfree,hugetlb,swap-pss", "--sort", "locked"]);
    let rows = table(&summary, "REGION TYPE");
    assert_eq!(rows[0], ["REGION", "TYPE", "SIZE", "SIZE", "SIZE", "PSS"]);
    assert_eq!(rows[2], ["shadow", "stack", "16K", "-", "-", "16K"]);
    // A sum leaves out what was not measured.
    assert_eq!(rows.last().unwrap(), &["TOTAL", "16K", "-", "512.0M", "48.0M"]);
    let csv = output(["-f", "csv", SWAP, "--columns", "resident,type"]);
    assert!(csv.starts_with("target,resident,type\n") && csv.contains(",65536,.text\n"), "{csv}");
    let by_owner = output(["--by", "owner", "-f", "csv", SWAP, "--columns", "thp"]);
    assert!(by_owner.starts_with("target,owner,thp\n"), "{by_owner}");
}

#[test]
fn rows_are_sorted_by_any_column() {
    let types = |arguments: [&str; 2]| {
        let json = run(["--json", SWAP, arguments[0], arguments[1]]).json();
        let rows = json["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types(["--sort", "type"]), ["text", "heap", "huge-pages", "shadow-stack"]);
    assert_eq!(types(["--sort", "SwapPss"]), ["heap", "shadow-stack", "text", "huge-pages"]);
    assert_eq!(types(["--sort=swap-pss", "--reverse"]), ["text", "huge-pages", "shadow-stack", "heap"]);
    let starts = |key: &str| {
        let json = run(["regions", "--json", SWAP, "--sort", key]).json();
        let regions = json["regions"].as_array().unwrap().clone();
        regions.iter().map(|region| region["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(starts("private-dirty"), ["heap", "shadow-stack", "text", "huge-pages"]);
    assert_eq!(starts("max-perm")[0], "text");
}

#[test]
fn json_has_everything_whatever_the_columns() {
    for arguments in [&["--json", SWAP][..], &["regions", "--json", SWAP]] {
        let json = |more: &[&str]| Run::of(mmview([]).args(arguments).args(more).output().unwrap()).json();
        assert_eq!(json(&[]), json(&["--columns", "size"]));
    }
    let json = run(["--json", LAZY]).json();
    assert_eq!(json["total"]["lazyfree"], 819_200_000);
    assert!(json["total"].get("wired").is_none(), "only macOS reports it");
}

#[test]
fn much_of_what_the_kernel_treats_in_its_own_way_has_a_footnote() {
    let lazy = output([LAZY]);
    assert!(
        lazy.contains("\n781.2M is LazyFree") && lazy.contains("\n800.0M is in transparent huge pages"),
        "{lazy}"
    );
    assert!(!lazy.contains("is locked"), "{lazy}");
    let swap = output([SWAP]);
    // 16K of 8272K are not much.
    assert!(!swap.contains("is locked") && swap.contains("512.0M in huge pages (hugetlb)"), "{swap}");
}

#[test]
fn what_was_not_measured_is_a_dash_in_tables_and_empty_in_csv() {
    let listing = output(["regions", MAPS, "--columns", "thp,flags,thp-eligible,max-perm,user-tag"]);
    assert_eq!(table(&listing, "THP")[1], ["-", "-", "-", "-", "-"]);
    let csv = output(["regions", "-f", "csv", MAPS, "--columns", "thp,flags,thp-eligible,start"]);
    assert!(csv.lines().nth(1).unwrap().starts_with(&format!("{MAPS},,,,0x")), "{csv}");
    let markdown = output(["regions", "-f", "markdown", MAPS, "--columns", "thp,flags"]);
    assert!(markdown.contains("\n| --: | --- |\n| - | - |\n"), "{markdown}");
    let report = output(["regions", REPORT, "--columns", "lazyfree,wired,depth,segment"]);
    assert!(table(&report, "LAZYFREE").contains(&vec!["-", "-", "-", "__TEXT"]), "{report}");
}

#[test]
fn every_column_can_be_chosen_and_is_listed_in_the_help() {
    for (command, has_address) in [(&["regions"][..], true), (&[], false)] {
        let print = |more: &[&str]| {
            let run = Run::of(mmview([]).args(command).args(more).output().unwrap());
            assert_eq!(run.status, 0, "{more:?}: {}", run.stderr);
            run.stdout
        };
        let list = print(&["--columns", "help"]);
        assert_eq!(names(&list).contains(&"address"), has_address);
        let help = print(&["--help"]);
        for name in names(&list) {
            assert!(help.contains(&format!("\n  {name} ")), "{name}");
            for file in [SWAP, REPORT] {
                for format in ["table", "csv", "markdown"] {
                    let shown = print(&[file, "-f", format, "--columns", name, "--sort", name]);
                    assert!(shown.lines().count() > 4, "{name}: {shown}");
                }
            }
        }
    }
}

#[test]
fn checks_take_the_names_of_columns() {
    let list = output(["regions", "--columns", "help"]);
    // What only tables have, and what is no number, text or truth of its own.
    let is_other =
        |name: &str| ["detail", "image", "kind", "share", "perm", "start", "end", "address"].contains(&name);
    for name in names(&list).into_iter().filter(|name| !is_other(name)) {
        let check = ["=1", "=x", "=true"].map(|value| format!("any({name}{value})"));
        let decided = check.iter().filter(|check| run(["check", SWAP, check]).status != 2);
        assert!(decided.count() > 0, "{name}");
    }
    assert_eq!(run(["check", LAZY, "sum(lazyfree) >= 781M", "any(thp=800M)", "none(locked>0)"]).status, 0);
}

#[test]
fn a_wrong_name_is_refused() {
    let refused = |arguments: [&str; 3], message: &str| {
        let run = run(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains(message), "{run:?}");
    };
    refused([SWAP, "--columns", "lazyfre"], "did you mean `lazyfree`?");
    refused([SWAP, "--columns", "elephant"], "the names are kind, type");
    refused([SWAP, "--sort", "path"], "a summary has no `path`");
    refused([SWAP, "--columns", "size,+thp"], "begin the list with `+`");
    refused(["regions", SWAP, "--columns=regions"], "only a summary has `regions`");
    refused([SWAP, "0xaaaab0000000", "--columns=size"], "leave out the ADDRESS");
    refused(["--columns=size", "regions", SWAP], "write them after it");
}
