//! CPython, Ruby, and PHP.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::truth::*;
use crate::common::{is_linux, run, skip};

/// The zones of an owner.
fn zones_of<'a>(heap: &'a Value, owner: &str) -> Vec<&'a Value> {
    list(&heap["zones"]).iter().filter(|zone| zone["owner"] == owner).collect()
}

/// Starts a script, which may report more than a line: up to a line that says `end`.
fn start(interpreter: &Path, script: &str, arguments: &[&str]) -> (Truth, String) {
    let script = format!("tests/programs/{script}");
    let settings = arguments.iter().take_while(|argument| argument.contains('=')).count();
    let (settings, arguments) = arguments.split_at(settings);
    let mut truth = Truth::start(interpreter, &[settings, &[&*script], arguments].concat());
    let mut text = String::new();
    loop {
        match truth.program.line() {
            line if line == "end" => break,
            line => text += &format!("{line}\n"),
        }
    }
    (truth, text)
}

/// The interpreters at these paths, each once.
fn installed(paths: impl IntoIterator<Item = PathBuf>, what: &str) -> Vec<PathBuf> {
    if !is_linux() {
        return Vec::new();
    }
    let mut found: Vec<PathBuf> = paths.into_iter().filter_map(|path| path.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        skip(&format!("{what} is not installed"));
    }
    found
}

/// Each Python of 3.8 and later.
fn pythons() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let paths = versions.map(|version| version.path().join("bin/python3"));
    let all = installed(paths.chain(["/usr/bin/python3".into()]), "Python");
    all.into_iter().filter(|python| minor_version(python) >= 8).collect()
}

/// The second number of the version of Python, by the name of its program.
fn minor_version(python: &Path) -> u64 {
    let name = python.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("python3.").and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// The rows of the table in the text of `sys._debugmallocstats()`: class, size, pools, blocks in use, free blocks.
fn classes(text: &str) -> Vec<[u64; 5]> {
    let row = |line: &str| {
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        <[u64; 5]>::try_from(numbers.ok()?).ok()
    };
    text.lines().filter_map(row).collect()
}

/// The number of bytes at the end of the line that begins so.
#[track_caller]
fn total(text: &str, start: &str) -> u64 {
    let line = text.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    let number: String = line.rsplit('=').next().unwrap().chars().filter(char::is_ascii_digit).collect();
    number.parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Requires the figures of the main interpreter's zone to be those that Python printed.
#[track_caller]
fn assert_is_counted_as_python_does(zone: &Value, text: &str) {
    assert_eq!((&zone["zone"], &zone["doubts"]), (&"CPython arenas".into(), &Value::Array(vec![])));
    let classes: Vec<_> = classes(text).into_iter().filter(|class| class[3] > 0).collect();
    assert!(classes.len() > 20, "{text}");
    let sizes = list(&zone["sizes"]).iter();
    let sizes: Vec<_> = sizes.map(|class| (number(&class["size"]), number(&class["allocations"]))).collect();
    let expected: Vec<_> = classes.iter().map(|class| (class[1], class[3])).collect();
    assert_eq!(sizes, expected);
    assert_eq!(number(&zone["allocations"]), classes.iter().map(|class| class[3]).sum::<u64>());
    assert_eq!(number(&zone["allocated"]), total(text, "# bytes in allocated blocks"));
    let free = total(text, "# bytes in available blocks") + total(text, " unused pools * ");
    assert_eq!(number(&zone["free"]), free);
    assert_eq!(number(&zone["virtual"]), total(text, " bytes/arena"));
}

#[test]
fn blocks_of_python_are_those_that_it_counts() {
    for python in pythons() {
        println!("{}", python.display());
        let (truth, text) = start(&python, "heap.py", &[]);
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let zones = zones_of(&heap, "CPython");
        assert_eq!(zones.len(), 1);
        assert_is_counted_as_python_does(zones[0], &text);
        assert_parts_tile(&truth.regions());
        assert_owned(&truth, 1);
    }
}

#[test]
fn each_interpreter_with_an_allocator_of_its_own_has_a_zone() {
    for python in pythons().into_iter().filter(|python| minor_version(python) >= 12) {
        println!("{}", python.display());
        let (truth, text) = start(&python, "heap.py", &["--objects", "20000", "--interpreters", "3"]);
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let zones = zones_of(&heap, "CPython");
        assert_eq!(zones.len(), 4);
        assert_is_counted_as_python_does(zones[0], &text);
        for zone in &zones[1..] {
            assert_eq!(zone["exact"], true, "{zone}");
            // A list and an integer each.
            assert!((50_000..300_000).contains(&number(&zone["allocations"])), "{zone}");
        }
        assert_owned(&truth, 1);
    }
}

#[test]
fn python_in_motion_has_doubts_and_no_contradictions() {
    let pythons = pythons();
    for python in [pythons.first(), pythons.last()].into_iter().flatten() {
        println!("{}", python.display());
        let (truth, text) = start(python, "heap.py", &["--objects", "20000", "--churn"]);
        let least = total(&text, "# bytes in allocated blocks");
        let mut in_motion = 0;
        for _ in 0..5 {
            let heap = truth.heap();
            assert_zones_are_possible(&heap);
            let zones = zones_of(&heap, "CPython");
            assert_eq!(zones.len(), 1, "{zones:?}");
            assert!(number(&zones[0]["allocated"]) > least / 2, "{}", zones[0]);
            in_motion += usize::from(zones[0]["exact"] == false);
            assert_parts_tile(&truth.regions());
        }
        assert!(in_motion > 0, "nothing has moved");
    }
}

#[test]
fn python_without_arenas_has_none() {
    for python in pythons() {
        println!("{}", python.display());
        let (truth, _) = start(&python, "heap.py", &["PYTHONMALLOC=malloc", "--objects", "20000"]);
        let heap = run(["heap", "--json", &truth.pid()]).json();
        assert!(zones_of(&heap, "CPython").is_empty());
    }
}

/// Each Ruby whose garbage collector maps its pages itself: 3.1 and later.
fn rubies() -> Vec<PathBuf> {
    let paths = fs::read_dir("/usr/bin").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ruby = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("ruby3.").is_some_and(|minor| minor.parse::<u32>().is_ok_and(|minor| minor >= 1))
    };
    installed(paths.filter(is_ruby), "Ruby")
}

#[test]
fn slots_of_ruby_are_those_that_it_counts() {
    for ruby in rubies() {
        println!("{}", ruby.display());
        let (truth, text) = start(&ruby, "heap.rb", &[]);
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let zones = zones_of(&heap, "Ruby");
        assert_eq!(zones.len(), 1);
        assert_eq!((&zones[0]["zone"], &zones[0]["exact"]), (&"Ruby heap pages".into(), &true.into()));
        let (live, free) = (number(&zones[0]["allocations"]), number(&zones[0]["free_blocks"]));
        assert_eq!(live + free, number(&truth.report["slots"]));
        let page = number(&zones[0]["virtual"]) / number(&truth.report["pages"]);
        assert!([16 << 10, 64 << 10].contains(&page), "pages of {page} bytes");
        // After the last line, waiting takes a few more.
        let last: u64 = text.lines().last().unwrap().parse().unwrap();
        assert!((last..last + 64).contains(&live), "{live} live slots, and {last} before");

        let view = truth.regions();
        assert_parts_tile(&view);
        assert_owned(&truth, 1);
        let parts = parts(&view);
        let stacks = parts.iter().filter(|part| part["kind"] == "fiber-stack");
        let guards = parts.iter().filter(|part| part["kind"] == "stack-guard");
        let (stacks, guards) = (stacks.count() as u64, guards.count() as u64);
        assert!(stacks >= number(&truth.report["fibers"]) && guards >= stacks, "{stacks}, {guards}");
    }
}

#[test]
fn ruby_in_motion_has_doubts_and_no_contradictions() {
    for ruby in rubies() {
        let (truth, _) = start(&ruby, "heap.rb", &["--objects", "20000", "--churn"]);
        let mut in_motion = 0;
        for _ in 0..5 {
            let heap = truth.heap();
            assert_zones_are_possible(&heap);
            let zones = zones_of(&heap, "Ruby");
            assert_eq!(zones.len(), 1, "{zones:?}");
            in_motion += usize::from(zones[0]["exact"] == false);
            assert_parts_tile(&truth.regions());
        }
        assert!(in_motion > 0, "nothing has moved");
    }
}

/// Each PHP.
fn phps() -> Vec<PathBuf> {
    let paths = fs::read_dir("/usr/bin").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_php = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("php")
            .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    };
    installed(paths.filter(is_php), "PHP")
}

#[test]
fn the_heap_of_php_has_the_sizes_that_it_reports() {
    for php in phps() {
        println!("{}", php.display());
        let (truth, _) = start(&php, "heap.php", &[]);
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let zones = zones_of(&heap, "PHP");
        assert_eq!(zones.len(), 1);
        let zone = zones[0];
        assert_eq!((&zone["zone"], &zone["doubts"]), (&"PHP heap".into(), &Value::Array(vec![])));
        assert_eq!(number(&zone["allocated"]), number(&truth.report["used"]));
        assert_eq!(number(&zone["virtual"]), number(&truth.report["real"]));
        assert_eq!(sum(list(&zone["sizes"]), "allocations"), number(&zone["allocations"]));
        assert_eq!(sum(list(&zone["sizes"]), "allocated"), number(&zone["allocated"]));

        let view = truth.regions();
        assert_parts_tile(&view);
        assert_owned(&truth, 1);
        let huge = parts(&view).into_iter().filter(|part| part["type"] == "PHP huge blocks");
        // Each is one of the large strings, rounded up.
        assert!(sum(huge, "size") >= 3_000_000 * number(&truth.report["large"]));
    }
}

#[test]
fn php_in_motion_has_doubts_and_no_contradictions() {
    for php in phps() {
        let (truth, _) = start(&php, "heap.php", &["--churn"]);
        let mut in_motion = 0;
        for _ in 0..5 {
            let heap = truth.heap();
            assert_zones_are_possible(&heap);
            let zones = zones_of(&heap, "PHP");
            assert_eq!(zones.len(), 1, "{zones:?}");
            in_motion += usize::from(zones[0]["exact"] == false);
            assert_parts_tile(&truth.regions());
        }
        assert!(in_motion > 0, "nothing has moved");
    }
}
