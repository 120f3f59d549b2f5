//! Memory dumps through the command line: real cores against the map of the same process, and damaged files.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use common::schema;
use common::truth::{DYNAMIC, address, build, list, number};
use common::{Running, is_linux, run, skip, temporary};
use serde_json::Value;

/// A process that ended, or that stands still.
struct Victim {
    directory: tempfile::TempDir,
    /// What it printed of itself.
    report: Value,
}

impl Victim {
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Its map, by itself.
    fn map(&self) -> Vec<Value> {
        regions(&self.path("smaps"))
    }

    /// Its core.
    fn core(&self) -> String {
        let is_core = |name: &str| name == "core" || name.starts_with("core.");
        let names = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> =
            names.map(|name| name.into_string().unwrap()).filter(|name| is_core(name)).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        self.path(&names[0])
    }

    fn number(&self, field: &str) -> u64 {
        number(&self.report[field])
    }
}

fn victim_program() -> Option<PathBuf> {
    if is_linux() { build("victim", DYNAMIC) } else { None }
}

/// A victim that ends in this way, with a core by the kernel. `filter` is what the kernel dumps (`core(5)`).
fn failed(way: &str, filter: u32) -> Option<Victim> {
    let program = victim_program()?;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if !matches!(pattern.trim_end(), "core" | "core.%p") {
        skip("the kernel does not write cores into the working directory");
        return None;
    }
    let (directory, smaps) = temporary("smaps");
    let script = format!(
        "ulimit -c unlimited || exit 99; echo {filter:#x} > /proc/self/coredump_filter || exit 99; exec \"$0\" \"$1\" {way}"
    );
    let victim = Command::new("sh")
        .args(["-c", &script])
        .args([program.as_os_str(), smaps.as_ref()])
        .current_dir(directory.path())
        .output()
        .unwrap();
    if victim.status.code() == Some(99) {
        skip("this system does not allow cores");
        return None;
    }
    let report = serde_json::from_slice(&victim.stdout).unwrap_or_else(|error| panic!("{error}: {victim:?}"));
    Some(Victim { directory, report })
}

#[track_caller]
fn regions(path: &str) -> Vec<Value> {
    list(&run(["regions", "--json", "--file", path]).json()["regions"]).to_vec()
}

/// What a core says of a region as exactly as the kernel.
fn facts(region: &Value) -> [&Value; 6] {
    ["start", "end", "size", "protection", "path", "offset"].map(|field| &region[field])
}

/// Whether anonymous memory of the process alone has no name, or one of the kernel.
fn is_own(region: &Value) -> bool {
    let detail = region["native"]["smaps"]["Anonymous"].as_u64();
    detail.is_some() && region["path"].is_null() && region["share"] == "private"
}

/// Whether the kernel maps it into every process.
fn is_of_kernel(region: &Value) -> bool {
    region["kind"] == "vvar" || region["kind"] == "vdso" || region["kind"] == "vsyscall"
}

fn region_at(regions: &[Value], at: u64) -> &Value {
    let holds = |region: &&Value| (address(&region["start"])..address(&region["end"])).contains(&at);
    regions.iter().find(holds).unwrap_or_else(|| panic!("no region at {at:#x}"))
}

/// Requires the core to have every region of the map, and nothing else.
#[track_caller]
fn assert_same_map(core: &[Value], map: &[Value]) {
    for (core, map) in core.iter().zip(map) {
        assert_eq!(facts(core), facts(map), "{core}\n{map}");
        if core["share"] != Value::Null {
            assert_eq!(core["share"], map["share"], "{core}\n{map}");
        }
        if is_of_kernel(map) || map["kind"] == "stack" || map["kind"] == "shared-memory" {
            assert_eq!(core["kind"], map["kind"], "{core}\n{map}");
        }
    }
    assert_eq!(core.len(), map.len());
}

#[test]
fn a_core_has_the_map_that_the_kernel_had() {
    for filter in [0, 0x33, 0x1ff] {
        let Some(victim) = failed("abort", filter) else { return };
        let (core, map) = (regions(&victim.core()), victim.map());
        assert!(map.len() > 30, "{map:?}");
        assert_same_map(&core, &map);
        assert_eq!(run(["--file", &victim.core()]).stderr, "");
        // The heap is found by what is in it.
        let heap = region_at(&core, victim.number("block"));
        assert_eq!(heap["kind"] == "heap", filter != 0, "{heap}");
    }
}

/// Writes a file with holes for blocks of zeros, as `dd conv=sparse` does.
fn write_blocks(path: &str, content: &[u8], size: usize) {
    let mut file = File::create(path).unwrap();
    for block in content.chunks(size) {
        if block.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(block.len() as i64)).unwrap();
        } else {
            file.write_all(block).unwrap();
        }
    }
    file.set_len(content.len() as u64).unwrap();
}

#[test]
fn its_holes_show_what_was_resident() {
    for filter in [0x33, 0x1ff] {
        let Some(victim) = failed("abort", filter) else { return };
        let (core, map) = (regions(&victim.core()), victim.map());
        if core.iter().all(|region| region["resident"].is_null()) {
            skip("this file system does not keep holes");
            return;
        }
        let mut measured = 0;
        for (core, map) in core.iter().zip(&map) {
            if !is_own(map) || is_of_kernel(map) {
                assert!(core["resident"].is_null(), "{core}\n{map}");
            } else if !core["resident"].is_null() {
                assert_eq!(core["resident"], map["resident"], "{core}\n{map}");
                measured += 1;
            }
        }
        // Its own mapping, what it forbade, the heap, both stacks.
        assert!(measured >= 5, "{measured}");
        let private = region_at(&core, victim.number("private"));
        assert_eq!(number(&private["resident"]), victim.number("resident"));
        assert_eq!(number(&region_at(&core, victim.number("forbidden"))["resident"]), 8192);
        // It asked not to be dumped.
        assert!(region_at(&core, victim.number("secret"))["resident"].is_null());
        // A copy has no holes, or others.
        let content = fs::read(victim.core()).unwrap();
        for block in [usize::MAX, 4096, 32 << 10, 64 << 10] {
            let copy = victim.path("copy");
            write_blocks(&copy, &content, block);
            let copy = regions(&copy);
            assert!(copy.iter().all(|region| region["resident"].is_null()), "{block}");
            assert_same_map(&copy, &map);
        }
    }
}

#[test]
fn nothing_is_resident_by_a_core_without_memory() {
    let Some(victim) = failed("abort", 0) else { return };
    let view = run(["regions", "--json", &victim.core()]).json();
    assert_eq!(view["detail"], "layout");
    assert!(list(&view["regions"]).iter().all(|region| region["resident"].is_null()));
}

#[test]
fn the_cause_comes_first() {
    let Some(victim) = failed("abort", 0x33) else { return };
    let pid = victim.report["pid"].clone();
    let summary = run(["--file", &victim.core()]).stdout;
    let cause = format!("SIGABRT: the process sent it to itself. Thread {pid} was at 0x");
    assert!(summary.starts_with(&cause), "{summary}");

    schema::check(&run(["--json", &victim.core()]).stdout);
    for command in ["crash", "regions", "heap"] {
        schema::check(&run([command, "--json", &victim.core()]).stdout);
    }
    let view = run(["crash", "--json", &victim.core()]).json();
    let crash = &view["crash"];
    let facts = ["signal", "name", "code", "sender", "thread"].map(|field| crash[field].clone());
    assert_eq!(facts, [6.into(), "SIGABRT".into(), 0.into(), pid.clone(), pid.clone()]);
    assert_eq!((&crash["address"], &crash["place"]), (&Value::Null, &Value::Null));
    assert_eq!(view["process"]["pid"], pid);
    assert_eq!(view["process"]["name"], "victimcc");
    let threads = list(&view["threads"]);
    let kinds: Vec<_> = threads.iter().map(|thread| &thread["region"]["kind"]).collect();
    assert_eq!(kinds, ["stack", "thread-stack"], "{view}");
    let map = victim.map();
    for thread in threads {
        let stack = region_at(&map, address(&thread["stack_pointer"]));
        assert_eq!(thread["region"]["start"], stack["start"]);
    }
    assert_eq!(region_at(&map, address(&crash["instruction"]))["protection"], "r-x");
}

#[test]
fn a_bad_address_is_explained() {
    let Some(victim) = failed("segv", 0x33) else { return };
    let summary = run(["--file", &victim.core()]).stdout;
    assert!(summary.starts_with("SIGSEGV at 0x10: null page, 16 bytes in. Thread "), "{summary}");
    let view = run(["crash", "--json", &victim.core()]);
    schema::check(&view.stdout);
    let crash = view.json()["crash"].clone();
    let facts = ["signal", "name", "code", "address", "sender", "place"].map(|field| crash[field].clone());
    assert_eq!(facts, [11.into(), "SIGSEGV".into(), 1.into(), "0x10".into(), Value::Null, "null".into()]);
    // It was in the program, which the map has.
    let map = victim.map();
    let program = region_at(&map, address(&crash["instruction"]));
    assert!(program["path"].as_str().unwrap().ends_with("/victimcc"), "{program}");
}

#[test]
fn a_compressed_core_is_the_plain_one() {
    let Some(victim) = failed("segv", 0x33) else { return };
    let core = fs::read(victim.core()).unwrap();
    let compressed = victim.path("compressed");
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(&compressed).unwrap(), flate2::Compression::fast());
    encoder.write_all(&core).unwrap();
    encoder.finish().unwrap();
    let unpacked = regions(&compressed);
    assert_same_map(&unpacked, &victim.map());
    // The holes are not those of the kernel.
    assert!(unpacked.iter().all(|region| region["resident"].is_null()));
    let crash = |path: &str| run(["crash", "--json", path]).json();
    let (plain, unpacked) = (crash(&victim.core()), crash(&compressed));
    assert_eq!((&plain["crash"], &plain["threads"]), (&unpacked["crash"], &unpacked["threads"]));
    // Its memory too: what malloc holds.
    let heap = |path: &str| run(["heap", "--json", "--file", path]).json();
    let (plain, unpacked) = (heap(&victim.core()), heap(&compressed));
    assert!(number(&plain["total"]["allocated"]) >= 5000, "{plain}");
    let facts = |heap: &Value| {
        let zone = &list(&heap["zones"])[0];
        ["zone", "allocations", "allocated", "free", "largest", "doubts"].map(|field| zone[field].clone())
    };
    assert_eq!(facts(&plain), facts(&unpacked));
    // Up to the damage there is a map, and memory.
    let (damaged, content) = (victim.path("damaged"), fs::read(&compressed).unwrap());
    fs::write(&damaged, &content[..content.len() / 2]).unwrap();
    assert_same_map(&regions(&damaged), &victim.map());
    let summary = run(["--file", &damaged]);
    assert_eq!(summary.status, 0, "{summary:?}");
    let lacks = format!("`{damaged}` lacks memory: it can't be unpacked any further: ");
    assert!(summary.stderr.contains(&lacks), "{}", summary.stderr);
    fs::write(&damaged, &content[..100]).unwrap();
    let refused = run(["--file", &damaged]);
    assert_eq!(refused.status, 5);
    assert!(refused.stderr.contains(" is a damaged gzip file: "), "{}", refused.stderr);
}

#[test]
fn a_cut_core_has_the_whole_map() {
    let Some(victim) = failed("segv", 0x33) else { return };
    let core = fs::read(victim.core()).unwrap();
    let cut = victim.path("cut");
    // The kernel writes notes before memory.
    fs::write(&cut, &core[..core.len() / 2]).unwrap();
    assert_same_map(&regions(&cut), &victim.map());
    let stderr = run(["--file", &cut]).stderr;
    assert!(stderr.contains("the core is cut: ") && stderr.contains("; the map is whole"), "{stderr}");
}

#[test]
fn a_core_by_gdb_invents_nothing() {
    let Some(program) = victim_program() else { return };
    if !Command::new("gcore").arg("-h").output().is_ok_and(|help| help.status.success()) {
        skip("there is no gcore");
        return;
    }
    let (directory, smaps) = temporary("smaps");
    let mut process =
        Running::start(Command::new(&program).args([&*smaps, "wait"]).current_dir(directory.path()));
    let report = serde_json::from_str(&process.line()).unwrap();
    assert_eq!(process.line(), "waiting");
    let victim = Victim { directory, report };
    let gcore = Command::new("gcore").args(["-o", &victim.path("core"), &process.pid()]).output().unwrap();
    if fs::metadata(victim.path(&format!("core.{}", process.pid()))).is_err() {
        skip(&format!("gcore wrote no core: {}", String::from_utf8_lossy(&gcore.stderr)));
        return;
    }
    drop(process);

    let (core, map) = (regions(&victim.core()), victim.map());
    let known: BTreeMap<_, _> = map.iter().map(|region| (address(&region["start"]), region)).collect();
    let mut without_protection = 0;
    for region in &core {
        let Some(true_region) = known.get(&address(&region["start"])) else { panic!("invented: {region}") };
        for field in ["end", "path", "offset"] {
            assert_eq!(region[field], true_region[field], "{region}\n{true_region}");
        }
        without_protection += u32::from(region["protection"].is_null());
        let is_without_access = |letter: char| !true_region["protection"].as_str().unwrap().contains(letter);
        let claims = region["protection"].as_str().unwrap_or_default();
        let invented = claims.chars().find(|letter| *letter != '-' && is_without_access(*letter));
        assert_eq!(invented, None, "{region}\n{true_region}");
        assert!(region["resident"].is_null(), "{region}");
    }
    assert!(without_protection > 0);
    // All that map files are there.
    let starts: Vec<_> = core.iter().map(|region| &region["start"]).collect();
    assert!(starts.is_sorted_by_key(|start| address(start)));
    for region in map.iter().filter(|region| !region["path"].is_null()) {
        assert!(starts.contains(&&region["start"]), "{region}");
    }
    let stderr = run(["--file", &victim.core()]).stderr;
    assert!(stderr.contains("gdb wrote this core: it lacks memory"), "{stderr}");
    // The process goes on, so it did not fail.
    assert_eq!(run(["--json", &victim.core()]).json()["crash"], Value::Null);

    // Cut, it has lost the names, which gdb writes last.
    let whole = fs::read(victim.core()).unwrap();
    let cut = victim.path("cut");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let cut_regions = regions(&cut);
    for region in &cut_regions {
        let true_region = known.get(&address(&region["start"])).expect("a region of the map");
        assert_eq!((&region["end"], &region["path"]), (&true_region["end"], &Value::Null), "{region}");
    }
    let stderr = run(["--file", &cut]).stderr;
    assert!(stderr.contains("its names were at the end and are lost"), "{stderr}");
}

/// A core for x86-64 with one region of `size` bytes at 0x10000, of which the file has `stored`. Then come the notes.
fn small_core(size: u64, stored: u64, notes: &[u8]) -> Vec<u8> {
    let wide = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let narrow = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let short = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let start = 64 + 2 * 56;
    let mut core = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    core.extend(wide(&[0, 64, 0]));
    core.extend(narrow(&[0]));
    core.extend(short(&[64, 56, 2, 64, 0, 0]));
    core.extend(narrow(&[4, 0]));
    core.extend(wide(&[start, 0, 0, notes.len() as u64, 0, 4]));
    core.extend(narrow(&[1, 6]));
    core.extend(wide(&[0x1000, 0x1_0000, 0, stored, size, 0x1000]));
    assert_eq!(core.len() as u64, start);
    core.extend(notes);
    core
}

/// A note without content.
fn note(name: &[u8; 11], kind: u32) -> Vec<u8> {
    [&12u32.to_le_bytes()[..], &[0; 4], &kind.to_le_bytes(), name, b"\0"].concat()
}

#[test]
fn files_that_are_no_core_of_a_process_are_refused() {
    let (_directory, path) = temporary("file");
    let refused = |content: &[u8], problem: &str| {
        fs::write(&path, content).unwrap();
        for arguments in [["--file", &path], ["regions", &path], ["crash", &path]] {
            let run = run(arguments);
            assert_eq!((run.status, &*run.stdout), (5, ""), "{run:?}");
            assert_eq!(run.stderr, format!("mmview: `{path}` {problem}\n"));
        }
    };
    let core = small_core(0x1000, 0, b"");
    let mut program = core.clone();
    program[16] = 3;
    refused(&program, "is a program or library, not a core: there is no process in it");
    refused(&small_core(0, 0, b""), "is a core without memory regions");
    refused(&small_core(0x1000, 0x2000, b""), "is a core without memory regions");
    refused(
        &small_core(0x1000, 0, &note(b"VMCOREINFO\0", 0)),
        "is a dump of a whole machine, not of a process",
    );
    refused(b"KDUMP   and more", "is a dump of a whole machine, not of a process");
    refused(&core[..100], "is damaged: its header promises 2 regions, the file has room for 0");
    refused(&core[..50], "is damaged: its ELF header is cut");
    refused(&core[..8], "is damaged: its ELF header is cut or of an unknown form");
    let mut many = core;
    many[56..58].copy_from_slice(&[0xff; 2]);
    refused(
        &many,
        "is damaged: its header promises 65535 regions or more, and the file does not say how many",
    );
}

#[test]
fn programs_are_refused() {
    let Some(program) = victim_program() else { return };
    let run = run(["--file", program.to_str().unwrap()]);
    assert_eq!(run.status, 5, "{run:?}");
    let problem = "is a program or library, not a core: there is no process in it";
    assert_eq!(run.stderr, format!("mmview: `{}` {problem}\n", program.display()));
}

#[test]
fn doubts_are_told() {
    let (_directory, path) = temporary("core");
    let warned = |content: &[u8], warning: &str| {
        fs::write(&path, content).unwrap();
        let run = run(["regions", "--file", &path]);
        assert_eq!(run.status, 0, "{run:?}");
        assert!(run.stderr.contains(warning), "{run:?}");
    };
    warned(&small_core(0x1000, 0, b"noise of a note"), "a note of the core is broken: names may be missing");
    warned(
        &small_core(0x1000, 0, b""),
        "the core has no list of mapped files: names and offsets are unknown",
    );
    let cut = "the core is cut: 176 of 8,192 bytes; 1 region lacks memory";
    warned(&small_core(0x1000, 0x1000, b""), cut);
    let list = note(b"CORE\0\0\0\0\0\0\0", 0x4649_4c45);
    let list = [&5u32.to_le_bytes()[..], &list[4..20], &list[24..]].concat();
    warned(&small_core(0x1000, 0, &list), "the core's list of files is broken: names are missing");
}

#[test]
fn kept_dumps_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let directory_name = directory.path().to_str().unwrap();
    let none = run(["cores", "--directory", directory_name]);
    assert_eq!((none.status, none.stdout), (0, format!("\n{directory_name} has no dumps.\n")));

    let boot = "0123456789abcdef0123456789abcdef";
    let name = format!("core.sleep.1000.{boot}.4711.1795640000000000");
    fs::write(directory.path().join(&name), small_core(0x1000, 0, b"")).unwrap();
    let listed = run(["cores", "--json", "--directory", directory_name]);
    schema::check(&listed.stdout);
    let dump = &listed.json()["dumps"][0];
    let facts = ["pid", "user", "signal", "name"].map(|field| dump[field].clone());
    assert_eq!(facts, [4711.into(), 1000.into(), Value::Null, "sleep".into()]);
    assert_eq!(dump["time"], "2026-11-25T20:53:20.000Z");
    let listed = run(["cores", "--directory", directory_name]).stdout;
    assert!(listed.contains("2026-11-25 ") || listed.contains("2026-11-26 "), "{listed}");
    assert_eq!(run(["--file", dump["path"].as_str().unwrap()]).status, 0);
}

#[test]
fn a_huge_core_is_read_by_its_headers() {
    if !is_linux() {
        return;
    }
    const SIZE: u64 = 100 << 30;
    let (_directory, path) = temporary("core");
    fs::write(&path, small_core(SIZE, SIZE, b"")).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    if file.set_len(SIZE + 0x1000).is_err() {
        skip("this file system has no such large files");
        return;
    }
    let view = run(["--json", &path]).json();
    assert_eq!(number(&view["total"]["virtual"]), SIZE);
    assert_eq!(number(&view["total"]["regions"]), 1);
}
