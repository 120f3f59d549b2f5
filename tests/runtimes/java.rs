//! HotSpot: mmview's figures against those that `jcmd` has of the same process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::truth::*;
use crate::common::{is_linux, run, skip, temporary};

/// The options for each collector.
const COLLECTORS: [&[&str]; 6] = [
    &["-XX:+UseG1GC"],
    &["-XX:+UseSerialGC"],
    &["-XX:+UseParallelGC"],
    &["-XX:+UseShenandoahGC"],
    &["-XX:+UseZGC"],
    &["-XX:+UnlockExperimentalVMOptions", "-XX:+UseEpsilonGC"],
];

const KIB: u64 = 1024;

/// How often both are asked, until nothing moved between them: the compilers and the service threads run now and then.
const ATTEMPTS: usize = 10;

/// How often a VM in motion is looked at.
const LOOKS: usize = 5;

/// An installed JDK, with the program compiled by it.
struct Jdk {
    home: PathBuf,
    classes: tempfile::TempDir,
}

impl Jdk {
    /// Every JDK of the system.
    fn all() -> Vec<Jdk> {
        if !is_linux() {
            return Vec::new();
        }
        let given = std::env::var_os("JAVA_HOME").map(PathBuf::from);
        let installed =
            fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut homes: Vec<_> =
            installed.chain(given).filter_map(|home| home.join("bin/jcmd").canonicalize().ok()).collect();
        homes.sort_unstable();
        homes.dedup();
        if homes.is_empty() {
            skip("no JDK is installed");
        }
        let home = |jcmd: PathBuf| jcmd.ancestors().nth(2).expect("it is in bin").to_owned();
        homes.into_iter().map(home).filter_map(Jdk::compile).collect()
    }

    fn compile(home: PathBuf) -> Option<Jdk> {
        let (classes, _) = temporary("classes");
        let mut javac = Command::new(home.join("bin/javac"));
        javac.arg("-d").arg(classes.path()).arg("tests/programs/Heap.java");
        let is_compiled = javac.status().is_ok_and(|status| status.success());
        if !is_compiled {
            skip(&format!("{} can't compile the program", home.display()));
        }
        is_compiled.then_some(Jdk { home, classes })
    }

    /// Starts the program, unless this JDK lacks what the options select.
    fn start(&self, options: &[&str], arguments: &[&str]) -> Option<Truth> {
        let java = self.home.join("bin/java");
        let mut probe = Command::new(&java);
        probe.args(options).arg("-version").stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            skip(&format!("{} has no {options:?}", self.home.display()));
            return None;
        }
        println!("{} {options:?}", self.home.display());
        let classes = self.classes.path().to_str().expect("the path is UTF-8");
        let settings = ["-Xmx256m", "-XX:NativeMemoryTracking=summary", "-Xlog:disable", "-cp", classes];
        Some(Truth::start(&java, &[&settings, options, &["Heap"], arguments].concat()))
    }
}

fn jcmd(home: &Path, truth: &Truth, command: &[&str]) -> String {
    let output = Command::new(home.join("bin/jcmd")).arg(truth.pid()).args(command).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The number that follows the last of `marks`, which follow each other.
fn after(text: &str, marks: &[&str]) -> Option<u64> {
    let rest = marks.iter().try_fold(text, |rest, mark| Some(rest.split_once(mark)?.1))?;
    let digits = rest.trim_start().split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The bytes in use as `GC.heap_info` reports them, and the sum of its rounding errors.
fn heap_in_use(info: &str) -> Option<(u64, u64)> {
    let info = info.split("Metaspace").next()?;
    if let Some(size) = after(info, &["ZHeap", "used"]) {
        return Some((size * KIB * KIB, 0));
    }
    if let Some((before, _)) = info.split_once("K used") {
        let digits = before.rsplit(|character: char| !character.is_ascii_digit()).next()?;
        return Some((digits.parse::<u64>().ok()? * KIB, KIB));
    }
    if info.contains("Epsilon") {
        let space = info.split_once("used [")?.1;
        let mut bounds =
            space.split(", ").map(|bound| u64::from_str_radix(bound.trim_start_matches("0x"), 16));
        let (start, top) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
        return Some((top - start, 0));
    }
    let generations: Vec<u64> = info.split(", used ").skip(1).filter_map(|rest| after(rest, &[])).collect();
    let sum: u64 = generations.iter().sum();
    (!generations.is_empty()).then_some((sum * KIB, generations.len() as u64 * KIB))
}

fn zones_of<'a>(heap: &'a Value, owner: &str) -> Vec<&'a Value> {
    list(&heap["zones"]).iter().filter(|zone| zone["owner"] == owner).collect()
}

/// A fact that the VM records, as `mmview explain` has it.
fn fact(explained: &Value, label: &str) -> Option<u64> {
    let owners = list(&explained["owners"]).iter();
    let runtimes = owners.flat_map(|owner| owner["runtimes"].as_array().into_iter().flatten());
    let mut facts = runtimes.flat_map(|runtime| list(&runtime["facts"]));
    facts.find(|fact| fact["label"] == label).and_then(|fact| fact["value"].as_u64())
}

/// Compares what both have of a VM at rest. `Err` has the difference.
fn compare(home: &Path, truth: &Truth) -> Result<(), String> {
    let ask = |command: &[&str]| jcmd(home, truth, command);
    let (metaspace, tracked, code) =
        (ask(&["VM.metaspace"]), ask(&["VM.native_memory", "summary"]), ask(&["Compiler.codecache"]));
    let info = ask(&["GC.heap_info"]);
    let heap = truth.heap();
    assert_zones_are_possible(&heap);
    let is_equal = |what: &str, ours: Option<u64>, theirs: Option<u64>, most: u64| {
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Err(format!("{what}: {ours:?}, not {theirs:?}"));
        };
        if ours.abs_diff(theirs) <= most { Ok(()) } else { Err(format!("{what}: {ours}, not {theirs}")) }
    };

    let spaces = zones_of(&heap, "Java heap");
    let in_use = heap_in_use(&info);
    let ours = Some(sum(spaces.iter().copied(), "allocated"));
    is_equal("heap", ours, in_use.map(|(used, _)| used), in_use.map_or(0, |(_, rounding)| rounding))?;
    let committed = after(&tracked, &["Java Heap", "committed="]).map(|size| size * KIB);
    // Between spaces there can be memory that no object is in.
    let explained = run(["explain", "--json", &truth.pid()]).json();
    is_equal("committed heap", fact(&explained, "committed heap"), committed, 0)?;

    let segments = zones_of(&heap, "Java code cache");
    for segment in &segments {
        let name = segment["zone"].as_str().unwrap();
        let mark = match name.strip_prefix("Java code: ") {
            Some("non-nmethods") => "'non-nmethods':".to_owned(),
            Some(name) => format!("'{name} nmethods':"),
            None => "CodeCache:".to_owned(),
        };
        let used = after(&code, &[&mark, " used="]);
        is_equal(name, segment["allocated"].as_u64().map(|size| size / KIB), used, 0)?;
    }
    assert!(!segments.is_empty());

    let places = zones_of(&heap, "Java metaspace");
    let reported: Vec<u64> = ["Metadata:", "Class space:"]
        .iter()
        .filter_map(|part| after(&tracked, &[part, "committed="]))
        .collect();
    let reported = Some(reported.iter().sum::<u64>() * KIB).filter(|_| !reported.is_empty());
    let committed = Some(sum(places.iter().copied(), "committed"));
    is_equal("metaspace", committed, reported, 0)?;
    is_equal("loaders", fact(&explained, "class loaders"), after(&metaspace, &["Total Usage - "]), 0)?;
    is_equal("classes", fact(&explained, "loaded classes"), after(&metaspace, &["loaders,"]), 0)?;

    let doubts: Vec<_> =
        [spaces, segments, places].concat().iter().map(|zone| zone["doubts"].clone()).collect();
    let has_none = doubts.iter().all(|doubts| *doubts == Value::Array(vec![]));
    if has_none { Ok(()) } else { Err(format!("{doubts:?}")) }
}

#[track_caller]
fn assert_is_exact(jdk: &Jdk, options: &[&str]) {
    let Some(truth) = jdk.start(options, &[]) else { return };
    let mut differences = Vec::new();
    while let Err(difference) = compare(&jdk.home, &truth) {
        differences.push(difference);
        assert!(differences.len() < ATTEMPTS, "{options:?}: {differences:#?}");
    }
    assert_parts_tile(&truth.regions());
    assert_owned(&truth, 5);
}

#[test]
fn a_java_heap_at_rest_is_what_the_vm_reports() {
    for jdk in Jdk::all() {
        for collector in COLLECTORS {
            assert_is_exact(&jdk, collector);
        }
    }
}

#[test]
fn the_memory_of_a_vm_is_found_with_other_settings() {
    let settings: [&[&str]; 4] = [
        // Without an archive, the class space can begin where the heap ends.
        &["-XX:+UseSerialGC", "-Xshare:off"],
        &["-XX:+UseSerialGC", "-XX:-UseCompressedOops", "-XX:-UseCompressedClassPointers"],
        &["-XX:+UseG1GC", "-XX:-SegmentedCodeCache", "-XX:G1HeapRegionSize=4m"],
        &["-XX:+UseParallelGC", "-Xms16m", "-XX:CompressedClassSpaceSize=64m", "-XX:+PerfDisableSharedMem"],
    ];
    for jdk in Jdk::all() {
        for options in settings {
            assert_is_exact(&jdk, options);
        }
    }
}

#[test]
fn a_vm_in_motion_has_doubts_and_no_contradictions() {
    for jdk in Jdk::all() {
        // A heap moves when a thread takes the next buffer of it, which can happen between two looks.
        let mut in_motion = 0;
        for collector in &COLLECTORS[..4] {
            let Some(truth) = jdk.start(collector, &["churn"]) else { continue };
            for _ in 0..LOOKS {
                let heap = truth.heap();
                assert_zones_are_possible(&heap);
                let zones = list(&heap["zones"]).iter();
                let is_java =
                    |zone: &&Value| zone["owner"].as_str().is_some_and(|owner| owner.starts_with("Java"));
                in_motion += zones.filter(is_java).filter(|zone| zone["exact"] == false).count();
                assert_parts_tile(&truth.regions());
            }
        }
        assert!(in_motion > 0, "{}: nothing has moved", jdk.home.display());
    }
}
