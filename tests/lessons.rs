//! The observations of the lessons: `mmview demo LESSON --json`. Counts that only Linux has are tested on Linux; that every
//! lesson finishes, everywhere.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Run, is_linux, mmview, run, skip};
use serde_json::Value;

/// The output of a lesson.
struct Finished {
    view: Value,
}

impl Finished {
    fn lesson(name: &str) -> Finished {
        Finished { view: run(["demo", name, "--json"]).json() }
    }

    fn page(&self) -> u64 {
        self.view["source"]["page_size"].as_u64().unwrap()
    }

    fn names(&self) -> Vec<&str> {
        self.view["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
    }

    #[track_caller]
    fn step(&self, name: &str) -> Step<'_> {
        let mut steps = self.view["steps"].as_array().unwrap().iter();
        let step = steps.find(|step| step["step"] == name);
        Step(step.unwrap_or_else(|| panic!("no step {name:?} among {:?}", self.names())))
    }
}

#[derive(Clone, Copy)]
struct Step<'a>(&'a Value);

impl<'a> Step<'a> {
    /// The region of `of` before and after the step, and how it changed.
    #[track_caller]
    fn of(self, of: &str) -> &'a Value {
        let mut regions = self.0["regions"].as_array().unwrap().iter();
        regions.find(|seen| seen["of"] == of).unwrap_or_else(|| panic!("no region of {of}: {}", self.0))
    }

    /// A size of the main region.
    #[track_caller]
    fn now(self, field: &str) -> u64 {
        size(&self.0["region"], field)
    }

    #[track_caller]
    fn before(self, field: &str) -> u64 {
        size(&self.0["regions"][0]["before"], field)
    }

    fn observed(self, name: &str) -> &'a Value {
        &self.0["observed"][name]
    }

    fn change(self) -> &'a str {
        self.0["change"].as_str().unwrap()
    }

    fn why(self) -> &'a str {
        self.0["why"].as_str().unwrap()
    }
}

/// A size of a region: a count, or a field of smaps.
#[track_caller]
fn size(region: &Value, field: &str) -> u64 {
    let value = match field.starts_with(char::is_uppercase) {
        true => &region["native"]["smaps"][field],
        false => &region[field],
    };
    value.as_u64().unwrap_or_else(|| panic!("{field} is not a size in {region}"))
}

#[test]
fn the_first_lesson_maps_a_file_and_unmaps_it() {
    let demo = run(["demo", "--json"]).json();
    let steps = demo["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["before", "mapped", "read", "written", "flushed", "closed"]);
    let size = |step: usize, field: &str| steps[step]["region"][field].as_u64();
    assert_eq!(steps[0]["region"], Value::Null);
    assert_eq!(steps[1]["change"], "appeared");
    assert_eq!(steps[1]["region"]["kind"], "mapped-file");
    assert_eq!(size(1, "resident"), Some(0));
    assert!(size(2, "resident") > Some(0));
    assert!(size(3, "dirty") > Some(0));
    assert_eq!(steps[5]["change"], "gone");
    assert_eq!(steps[5]["region"], Value::Null);
    let table = run(["demo"]);
    assert!(table.stdout.contains("mmview ") && table.stdout.contains("6. closed"), "{table:?}");
}

#[test]
fn the_readers_file_is_unchanged() {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), b"mine\n").unwrap();
    let before = fs::metadata(file.path()).unwrap().modified().unwrap();
    let path = file.path().to_str().unwrap();
    let run = run(["demo", "--json", "--file", path]);
    assert_eq!(run.json()["steps"].as_array().unwrap().len(), 6);
    assert_eq!(fs::read(file.path()).unwrap(), b"mine\n");
    if run.stderr.contains("failed to restore the times") {
        return skip("this system can't set the times of a file");
    }
    assert_eq!(fs::metadata(file.path()).unwrap().modified().unwrap(), before);
}

#[test]
fn unusable_files_are_refused() {
    let refused = |path: &str, says: &str| {
        let run = run(["demo", "--file", path]);
        assert_eq!(run.status, 5, "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    };
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = file.path().to_str().unwrap();
    refused(path, "is empty");
    fs::write(file.path(), b"x").unwrap();
    let mut permissions = fs::metadata(file.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(file.path(), permissions).unwrap();
    refused(path, "can't be opened for writing");
    refused("/no/such/file", "failed to open");
    refused("src", "is not a regular file");
}

#[test]
fn every_lesson_finishes_in_every_format() {
    let list = run(["demo", "--list", "--json"]).json();
    let names: Vec<_> =
        list["lessons"].as_array().unwrap().iter().map(|lesson| lesson["lesson"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 12, "{names:?}");
    let all = run(["demo", "--all", "--json"]).json();
    let finished: Vec<_> =
        all.as_array().unwrap().iter().map(|view| view["lesson"].as_str().unwrap()).collect();
    assert_eq!(finished, names);
    for view in all.as_array().unwrap() {
        assert_eq!(view["error"], Value::Null, "{view}");
        for step in view["steps"].as_array().unwrap() {
            let why = step["why"].as_str().unwrap();
            assert!(why.ends_with(['.', '!']), "{}: {why:?}", view["lesson"]);
            assert!(!why.contains("  ") && !step["call"].as_str().unwrap().is_empty(), "{step}");
        }
    }
    let steps: usize =
        all.as_array().unwrap().iter().map(|view| view["steps"].as_array().unwrap().len()).sum();
    let table = run(["demo", "--all"]).stdout;
    assert_eq!(table.lines().filter(|line| line.starts_with("Lesson ")).count(), names.len());
    let csv = run(["demo", "--all", "-f", "csv"]).stdout;
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(rows.headers().unwrap().iter().filter(|title| *title == "lesson").count(), 1);
    assert_eq!(rows.records().map(Result::unwrap).count(), steps);
    let ndjson = run(["demo", "--all", "-f", "ndjson"]).stdout;
    let records = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(records.filter(|record| record["record"] == "step").count(), steps);
    let markdown = run(["demo", "--all", "-f", "markdown"]).stdout;
    let is_row =
        |line: &&str| line.starts_with("| ") && !line.starts_with("| STEP") && !line.starts_with("| ---");
    assert_eq!(markdown.lines().filter(is_row).count(), steps);
}

#[test]
fn steps_wait_for_enter_until_the_input_ends() {
    let mut command = mmview(["demo", "protect", "--step"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    // Confirm one step of four, then close the input.
    waiting.stdin.take().unwrap().write_all(b"\n").unwrap();
    let run = Run::of(waiting.wait_with_output().unwrap());
    assert_eq!(run.status, 0);
    assert_eq!(run.stdout.matches("[Enter]").count(), 2, "{}", run.stdout);
    assert!(run.stdout.contains("\n4. restored"), "{}", run.stdout);
}

#[test]
fn a_lesson_that_fails_is_reported_and_the_others_run() {
    if !is_linux() {
        return;
    }
    // Less address space than one of the lessons reserves.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 65536 && exec \"$0\" demo --all --json"]).arg(mmview([]).get_program());
    let run = Run::of(limited.output().unwrap());
    if run.stdout.is_empty() {
        return skip("mmview doesn't start in 64M of address space");
    }
    assert_eq!(run.status, 5, "{}", run.stderr);
    assert!(
        run.stderr.contains("lesson demand-paging: failed to map 64.0M of memory: mmap failed"),
        "{}",
        run.stderr
    );
    let views: Value = serde_json::from_str(&run.stdout).unwrap();
    let failed = |name: &str| {
        let view = views.as_array().unwrap().iter().find(|view| view["lesson"] == name).unwrap();
        !view["error"].is_null()
    };
    assert!(failed("demand-paging") && !failed("fork") && !failed("advise"), "{views}");
}

#[test]
fn conflicting_options_are_refused() {
    let refused = |arguments: &[&str]| {
        let run = Run::of(mmview(["demo"]).args(arguments).output().unwrap());
        assert_eq!(run.status, 2, "{run:?}");
    };
    refused(&["--step", "--hold", "1"]);
    refused(&["--all", "fork"]);
    refused(&["--all", "--list"]);
    refused(&["fork", "--file", "Cargo.toml"]);
}

#[test]
fn a_lesson_leaves_no_file_behind() {
    let lesson = Finished::lesson("fork");
    let path = lesson.step("mapped").0["region"]["path"].as_str().unwrap();
    assert!(path.contains("mmview-demo-"), "{path}");
    assert!(!fs::exists(path).unwrap(), "{path}");
}

#[test]
fn fork_shares_one_page_until_the_child_unmaps_it() {
    let lesson = Finished::lesson("fork");
    let read = lesson.step("read");
    assert_eq!(read.observed("child_reads"), "hello, map");
    assert_eq!(lesson.step("written").observed("parent_reads"), "Hello, map");
    let forked = lesson.step("forked").of("child");
    for field in ["start", "end", "path", "protection"] {
        assert_eq!(forked["region"][field], lesson.step("mapped").0["region"][field], "{field}");
    }
    let closed = lesson.step("closed");
    assert_eq!(closed.of("child")["change"], "gone");
    assert_ne!(closed.of("parent")["region"], Value::Null);
    assert_eq!(closed.observed("parent_reads"), "Hello, map");
    assert_eq!(lesson.step("ended").observed("exit_status"), 0);
    if !is_linux() {
        return;
    }
    let page = lesson.page();
    assert_eq!(lesson.step("mapped").now("proportional"), page);
    for of in ["parent", "child"] {
        let region = &read.of(of)["region"];
        assert_eq!((size(region, "resident"), size(region, "unique")), (page, 0), "{of}");
        assert!(size(region, "proportional").abs_diff(page / 2) <= 1024, "{of}: {region}");
    }
    assert_eq!(size(&closed.of("parent")["region"], "unique"), page);
    let frames = read.observed("page_frame");
    if frames.is_null() {
        return skip("this user can't read page frames");
    }
    assert_eq!(frames["parent"], frames["child"]);
    assert!(read.why().contains("one physical page frame"), "{}", read.why());
}

#[test]
fn unflushed_bytes_reach_the_file_and_truncated_pages_raise_sigbus() {
    let lesson = Finished::lesson("close-early");
    let truncated = lesson.step("truncated");
    assert_eq!(truncated.now("size"), 2 * lesson.page(), "the region keeps its size");
    assert_eq!(lesson.step("touched").observed("signal"), "SIGBUS");
    let dropped = lesson.step("dropped");
    assert_eq!(dropped.change(), "gone");
    assert_eq!(dropped.observed("file_bytes"), "HELLO, MAP");
    assert_eq!(lesson.step("used after").observed("signal"), "SIGSEGV");
    let deleted = lesson.step("deleted");
    assert_eq!(deleted.observed("mapping_bytes"), "HELLO, MAP");
    assert_eq!(deleted.observed("path_exists"), false);
    assert_eq!(lesson.step("closed").change(), "gone");
    if !is_linux() {
        return;
    }
    assert!(truncated.now("resident") < truncated.before("resident"));
    assert!(deleted.0["region"]["detail"].as_str().unwrap().ends_with(" (deleted)"), "{}", deleted.0);
}

#[test]
fn private_writes_stay_private_and_shared_writes_reach_the_file() {
    let lesson = Finished::lesson("private-vs-shared");
    let views = |step: &str| {
        ["private_bytes", "shared_bytes", "file_bytes"].map(|name| lesson.step(step).observed(name).clone())
    };
    assert_eq!(views("mapped"), ["hello, map"; 3]);
    assert_eq!(views("private write"), ["mine!, map", "hello, map", "hello, map"]);
    assert_eq!(views("shared write"), ["mine!, map", "ours!, map", "ours!, map"]);
    assert_eq!(lesson.step("closed").observed("file_bytes"), "ours!, map");
    if !is_linux() {
        return;
    }
    let written = lesson.step("private write").of("private");
    assert_eq!(size(&written["region"], "Anonymous") - size(&written["before"], "Anonymous"), lesson.page());
    assert_eq!(size(&lesson.step("shared write").of("shared")["region"], "Anonymous"), 0);
    let frames = |step: &str| lesson.step(step).observed("page_frame").clone();
    if frames("mapped").is_null() {
        return skip("this user can't read page frames");
    }
    assert_eq!(frames("mapped")["private"], frames("mapped")["shared"]);
    assert_ne!(frames("private write")["private"], frames("private write")["shared"]);
    assert_eq!(frames("shared write"), frames("private write"));
}

#[test]
fn pages_become_resident_when_they_are_touched() {
    let lesson = Finished::lesson("demand-paging");
    assert_eq!(lesson.step("reserved").now("size"), 64 << 20);
    assert_eq!(lesson.step("read").observed("byte"), 0);
    assert_eq!(lesson.step("unmapped").change(), "gone");
    if !is_linux() {
        return;
    }
    let page = lesson.page();
    let resident = |step: &str| lesson.step(step).now("resident");
    assert_eq!((resident("reserved"), resident("read")), (0, 0));
    assert_eq!((resident("touched"), resident("the last")), (page, 2 * page));
    assert_eq!(resident("page by page"), 102 * page);
    let state = lesson.step("read").observed("page");
    if state.is_null() {
        return skip("the kernel can't scan pages (before 6.7)");
    }
    assert!(state.as_array().unwrap().iter().any(|mark| mark == "zero"), "{state}");
}

#[test]
fn a_write_after_fork_makes_pages_unique_on_both_sides() {
    let lesson = Finished::lesson("copy-on-write");
    let copied = lesson.step("copied");
    assert_eq!((copied.observed("parent_reads"), copied.observed("child_reads")), (&"p".into(), &"c".into()));
    assert_eq!(lesson.step("ended").of("child")["change"], "gone");
    if !is_linux() {
        return;
    }
    let page = lesson.page();
    let counts = |step: &str, of: &str| {
        let region = &lesson.step(step).of(of)["region"];
        ["resident", "proportional", "unique"].map(|field| size(region, field) / page)
    };
    assert_eq!(counts("written", "parent"), [16, 16, 16]);
    for of in ["parent", "child"] {
        assert_eq!(counts("forked", of), [16, 8, 0], "{of}");
        assert_eq!(counts("copied", of), [16, 10, 4], "{of}");
        let region = &lesson.step("copied").of(of)["region"];
        assert_eq!((size(region, "Shared_Dirty"), size(region, "Private_Dirty")), (12 * page, 4 * page));
    }
    assert_eq!(counts("ended", "parent"), [16, 16, 16]);
    let frames = |step: &str| lesson.step(step).observed("page_frame").clone();
    if frames("forked").is_null() {
        return skip("this user can't read page frames");
    }
    assert_eq!(frames("forked")["parent"], frames("forked")["child"]);
    assert_ne!(frames("copied")["parent"], frames("copied")["child"]);
}

fn holds(region: &Value, address: &Value) -> bool {
    let number = |value: &Value| {
        u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).expect("an address")
    };
    (number(&region["start"])..number(&region["end"])).contains(&number(address))
}

#[test]
fn blocks_lie_in_the_regions_that_the_lesson_shows() {
    let lesson = Finished::lesson("malloc");
    for step in ["small blocks", "a large block", "another thread"] {
        let step = lesson.step(step);
        assert!(holds(&step.0["region"], step.observed("address")), "{}", step.0);
    }
    if !is_linux() || !cfg!(target_env = "gnu") {
        return;
    }
    let small = lesson.step("small blocks");
    assert_eq!(small.0["region"]["kind"], "heap");
    assert!(small.now("size") - small.before("size") > 1 << 20, "the heap grows by most of 2M: {}", small.0);
    let held = lesson.step("freed but one");
    assert_eq!(held.now("size"), small.now("size"), "one block at the end keeps the heap from shrinking");
    let freed = lesson.step("freed");
    assert!(held.now("size") - freed.now("size") > 1 << 20, "{}", freed.0);
    let large = lesson.step("a large block");
    assert!(large.now("size") >= 40 << 20);
    // With huge pages for all memory, the allocator's header makes a huge page resident.
    assert!(large.now("resident") < 10 << 20, "the block is untouched: {}", large.0);
    assert_ne!(large.0["region"]["kind"], "heap");
    let thread = lesson.step("another thread");
    assert_ne!(thread.of("thread")["region"]["start"], thread.of("main")["region"]["start"]);
    assert_eq!(thread.of("thread")["region"]["kind"], "malloc-arena");
    assert_eq!(thread.0["regions"][1]["region"]["kind"], "malloc-reserved");
}

#[test]
fn a_stack_grows_and_overflows_and_a_thread_has_its_own() {
    let lesson = Finished::lesson("stack");
    let deep = lesson.step("deep");
    assert!(deep.now("resident") > deep.before("resident"), "{}", deep.0);
    let signal = lesson.step("overflow").observed("signal");
    assert!(signal == "SIGSEGV" || signal == "SIGBUS", "{signal}");
    let thread = lesson.step("a thread");
    assert!(holds(&thread.0["region"], thread.observed("address")), "{}", thread.0);
    assert!(thread.now("size") >= 512 << 10);
    if !is_linux() {
        return;
    }
    assert_eq!(lesson.step("before").0["region"]["kind"], "stack");
    assert!(deep.now("size") - deep.before("size") > 512 << 10, "by most of 1M: {}", deep.0);
    let child = lesson.step("a child");
    assert!(child.now("size") > child.before("size"), "{}", child.0);
    if let Some(guard) = thread.0["regions"].get(1) {
        assert_eq!(guard["region"]["protection"], "---");
        assert_eq!(guard["region"]["end"], thread.0["region"]["start"]);
    }
}

#[test]
fn a_read_only_page_is_its_own_region_and_refuses_writes() {
    let lesson = Finished::lesson("protect");
    let protections = |step: &str| -> Vec<String> {
        let regions = lesson.step(step).0["regions"].as_array().unwrap();
        let there = regions.iter().filter(|seen| !seen["region"].is_null());
        there.map(|seen| seen["region"]["protection"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(protections("mapped"), ["rw-"]);
    assert_eq!(protections("protected"), ["rw-", "r--", "rw-"]);
    assert_eq!(lesson.step("protected").now("size"), lesson.page());
    let punished = lesson.step("punished");
    let signal = punished.observed("signal");
    assert!(signal == "SIGSEGV" || signal == "SIGBUS", "{signal}");
    assert_eq!(punished.observed("byte"), 1, "the parent's page is unchanged");
    if !is_linux() {
        return;
    }
    assert_eq!(protections("restored"), ["rw-"]);
    assert_eq!(lesson.step("restored").now("size"), 3 * lesson.page());
}

#[test]
fn shared_memory_carries_a_message_between_processes() {
    let lesson = Finished::lesson("shared-memory");
    let read = lesson.step("read");
    assert_eq!(read.observed("parent_reads"), "hello from the child");
    assert_eq!(lesson.step("ended").observed("parent_reads"), "hello from the child");
    assert_eq!(lesson.step("closed").change(), "gone");
    if !is_linux() {
        return;
    }
    let page = lesson.page();
    assert_eq!(lesson.step("mapped").0["region"]["kind"], "shared-memory");
    let written = lesson.step("written");
    let resident = |of: &str| size(&written.of(of)["region"], "resident");
    assert_eq!((resident("parent"), resident("child")), (0, page));
    for of in ["parent", "child"] {
        assert_eq!(size(&read.of(of)["region"], "resident"), page, "{of}");
        assert!(size(&read.of(of)["region"], "proportional").abs_diff(page / 2) <= 1024, "{of}");
    }
    assert_eq!(size(&lesson.step("ended").of("parent")["region"], "unique"), page);
}

#[test]
fn a_huge_page_is_resident_as_a_whole_or_the_lesson_explains_why_not() {
    let lesson = Finished::lesson("huge-pages");
    if lesson.names() == ["not here"] {
        assert!(lesson.step("not here").why().contains("not supported"), "{}", lesson.step("not here").why());
        return skip("this system has no transparent huge pages");
    }
    let page = lesson.page();
    assert_eq!(lesson.step("a small page").now("resident"), page);
    assert_eq!(lesson.step("advised").now("resident"), 0);
    let huge = lesson.step("a huge page");
    if huge.why().starts_with("Only") {
        assert_eq!(huge.now("AnonHugePages"), 0);
        return skip("the kernel had no free huge page");
    }
    assert_eq!(huge.now("resident"), huge.now("AnonHugePages"));
    assert!(huge.now("resident") > page);
    let split = lesson.step("split");
    assert_eq!(huge.now("resident") - split.now("resident"), page);
    assert_eq!(split.now("AnonHugePages"), 0);
}

#[test]
fn advice_frees_memory_and_locking_makes_it_resident() {
    let lesson = Finished::lesson("advise");
    let last = *lesson.names().last().unwrap();
    if !is_linux() {
        assert!(last == "unlocked" || last == "locked", "{last}");
        return;
    }
    let all = 16 * lesson.page();
    assert_eq!(lesson.step("written").now("resident"), all);
    let given = lesson.step("not needed");
    assert_eq!((given.now("resident"), given.observed("byte")), (0, &0.into()));
    let free = lesson.step("free");
    assert_eq!((free.now("resident"), free.now("dirty")), (all, 0));
    let taken = lesson.step("taken back");
    assert_eq!((taken.now("dirty"), taken.observed("byte")), (lesson.page(), &u64::from(b'y').into()));
    let locked = lesson.step("locked");
    if locked.why().starts_with("Memory can't be locked") {
        return skip("this user can't lock memory");
    }
    assert_eq!((locked.before("resident"), locked.now("resident")), (0, all));
    assert_eq!(locked.now("Locked"), all);
    assert_eq!(lesson.step("unlocked").now("Locked"), 0);
    assert_eq!(lesson.step("unlocked").now("resident"), all);
    let steps = lesson.view["steps"].as_array().unwrap();
    assert!(
        steps.iter().any(|step| step["observed"]["refused"] == true),
        "the kernel doesn't free locked memory"
    );
}
