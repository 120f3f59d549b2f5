//! Programs that report the truth about their own memory, for tests that compare it with what mmview finds.
//!
//! They are in `tests/programs`. Each is built once in each way, by the compilers of this system.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use super::{Run, Running, is_linux, run, skip, temporary};

/// A way to build a program: a compiler and its flags.
pub type Way = &'static [&'static str];

pub const DYNAMIC: Way = &["cc"];
pub const STATIC: Way = &["cc", "-static"];
pub const NARROW: Way = &["cc", "-m32"];
pub const NARROW_STATIC: Way = &["cc", "-m32", "-static"];
pub const MUSL: Way = &["musl-gcc"];
pub const MUSL_STATIC: Way = &["musl-gcc", "-static"];

pub const PAGE: u64 = 4096;

static BUILT: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());

/// The program, built in this way. `None` and a message if this system can't.
pub fn build(program: &str, way: Way) -> Option<PathBuf> {
    if !is_linux() {
        return None;
    }
    let key = format!("{program} {}", way.join(" "));
    // A test that failed here fails the others too.
    let mut built = BUILT.lock().unwrap();
    built.entry(key).or_insert_with(|| compile(program, way)).clone()
}

pub fn compile(program: &str, way: Way) -> Option<PathBuf> {
    let header = if way[0] == "cc" { "gnu/libc-version.h" } else { "pthread.h" };
    let (directory, probe) = temporary("probe.c");
    fs::write(&probe, format!("#include <{header}>\nint main(void) {{ return 0; }}\n")).unwrap();
    let output = directory.path().join("program");
    let compiles = |source: &str| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["-O1", "-pthread", "-o"]).arg(&output).arg(source);
        command.stderr(Stdio::piped()).output()
    };
    if !cfg!(target_arch = "x86_64") || !compiles(&probe).is_ok_and(|probe| probe.status.success()) {
        skip(&format!("`{}` can't build a program for x86 here", way.join(" ")));
        return None;
    }
    let compiled = compiles(&format!("tests/programs/{program}.c")).unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}{}", way.join("")));
    // Another test process may run the old file.
    fs::rename(output, &path).unwrap();
    Some(path)
}

/// A running program and what it reports of itself.
pub struct Truth {
    pub program: Running,
    pub report: Value,
}

impl Truth {
    /// Starts the program. `arguments` may begin with settings of its environment.
    pub fn start(path: &Path, arguments: &[&str]) -> Truth {
        let settings = arguments.iter().take_while(|argument| argument.contains('=')).count();
        let (settings, arguments) = arguments.split_at(settings);
        let mut program = Running::start(Command::new("env").args(settings).arg(path).args(arguments));
        let line = program.line();
        Truth { report: serde_json::from_str(&line).expect(&line), program }
    }

    /// Each way to build the program that this system has, with these arguments.
    pub fn of_each(program: &str, ways: &[Way], arguments: &[&str], mut check: impl FnMut(&Truth)) {
        for way in ways {
            if let Some(path) = build(program, way) {
                println!("{program} by `{}` with {arguments:?}", way.join(" "));
                check(&Truth::start(&path, arguments));
            }
        }
    }

    pub fn pid(&self) -> String {
        self.program.pid()
    }

    pub fn stop(&self) {
        let pid = Pid::from_child(&self.program.0);
        kill_process(pid, Signal::STOP).unwrap();
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    }

    pub fn heap(&self) -> Value {
        run(["heap", "--json", &self.pid()]).json()
    }

    pub fn regions(&self) -> Value {
        run(["regions", "--json", &self.pid()]).json()
    }

    /// Stacks that it reports, if any, but not that of the main thread, which grows.
    pub fn stacks(&self, field: &str) -> Vec<&Value> {
        let main = self.program.0.id();
        let stacks = self.report[field].as_array().into_iter().flatten();
        stacks.filter(|stack| stack["tid"] != main).collect()
    }

    pub fn number(&self, group: &str, field: &str) -> u64 {
        number(&self.report[group][field])
    }
}

#[track_caller]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

#[track_caller]
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
pub fn address(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(text.unwrap_or_else(|| panic!("{value} is no address")), 16).unwrap()
}

pub fn sum<'a>(values: impl IntoIterator<Item = &'a Value>, field: &str) -> u64 {
    values.into_iter().map(|value| value[field].as_u64().unwrap_or(0)).sum()
}

/// The parts of all regions; a region without parts is one.
pub fn parts(view: &Value) -> Vec<&Value> {
    let regions = list(&view["regions"]).iter();
    regions.flat_map(|region| region.get("parts").map_or(std::slice::from_ref(region), list)).collect()
}

/// Requires that the parts of each region follow each other without a gap and add up to it.
#[track_caller]
pub fn assert_parts_tile(view: &Value) {
    for region in list(&view["regions"]) {
        let Some(parts) = region.get("parts").map(list) else { continue };
        assert!(parts.len() > 1, "{region} has one part");
        let mut next = address(&region["start"]);
        for part in parts {
            assert_eq!(address(&part["start"]), next, "{part} of {region}");
            next = address(&part["end"]);
            assert_eq!(next - address(&part["start"]), number(&part["size"]), "{part}");
            assert!(number(&part["size"]) > 0, "{part} of {region}");
            assert!(part["resident"].as_u64() <= part["size"].as_u64(), "{part}");
        }
        assert_eq!(next, address(&region["end"]), "{region}");
        for field in ["size", "resident", "swapped"] {
            if parts.iter().all(|part| part[field].is_u64()) {
                assert_eq!(sum(parts, field), number(&region[field]), "{field} of {region}");
            }
        }
    }
}

/// Requires that at most so many percent of the private memory without a file that is resident have no certain owner.
#[track_caller]
pub fn assert_owned(truth: &Truth, percent: u64) {
    let view = truth.regions();
    let is_private = |region: &&Value| region["share"] == "private" && region["path"].is_null();
    let (mut all, mut open) = (0, Vec::new());
    for region in list(&view["regions"]).iter().filter(is_private) {
        for part in region.get("parts").map_or(std::slice::from_ref(region), list) {
            let resident = part["resident"].as_u64().unwrap_or(0);
            all += resident;
            if resident > 0 && (part["kind"] == "anonymous" || part["evidence"] == "shape") {
                open.push((&part["start"], &part["end"], resident, &part["type"]));
            }
        }
    }
    let without: u64 = open.iter().map(|part| part.2).sum();
    assert!(without * 100 <= all * percent, "{without} bytes of {all} have no owner: {open:?}");
}

/// Requires that no zone has more than its memory, and that only an exact one is without doubts.
#[track_caller]
pub fn assert_zones_are_possible(heap: &Value) {
    for zone in list(&heap["zones"]) {
        assert_eq!(zone["exact"], list(&zone["doubts"]).is_empty(), "{zone}");
        // What the owner doesn't record is unknown.
        let blocks: u64 =
            ["allocated", "free", "cached"].iter().filter_map(|field| zone[field].as_u64()).sum();
        if zone["exact"] == true {
            assert!(blocks <= number(&zone["virtual"]), "{zone}");
        }
        assert!(zone["resident"].as_u64() <= zone["virtual"].as_u64(), "{zone}");
    }
    let is_exact = list(&heap["zones"]).iter().all(|zone| zone["exact"] == true);
    assert_eq!(heap["total"]["exact"], is_exact, "{}", heap["total"]);
}

/// Requires a run without an error or a warning, and one that is not endless.
#[track_caller]
pub fn look(arguments: &[&str]) -> Run {
    let mmview = assert_cmd::cargo::cargo_bin!("mmview");
    let mut command = Command::new("timeout");
    command.arg("60").arg(mmview).args(arguments).stdin(Stdio::null());
    let run = Run::of(command.output().expect("timeout starts"));
    assert_eq!((run.status, &*run.stderr), (0, ""), "{arguments:?}: {run:?}");
    run
}
