//! What memory shows about its owners: mmview's figures against those of programs that report on themselves.
#![cfg(feature = "cli")]
#![allow(missing_docs, clippy::print_stdout)]

mod common;

use std::process::Command;

use common::truth::*;
use common::{Running, is_linux, run, temporary};
use serde_json::Value;

const GLIBC: [Way; 4] = [DYNAMIC, STATIC, NARROW, NARROW_STATIC];

/// Options for a heap of a few blocks without large ones.
const SMALL: &[&str] = &["--threads", "0", "--blocks", "20", "--large", "0"];

/// The zones whose name ends so.
fn zones(heap: &Value, are_mapped: bool) -> Vec<&Value> {
    let is_mapped = |zone: &Value| zone["zone"].as_str().unwrap().ends_with("mapped blocks");
    list(&heap["zones"]).iter().filter(|zone| is_mapped(zone) == are_mapped).collect()
}

/// Requires the figures of a heap at rest to be those that glibc has.
#[track_caller]
fn assert_heap_is_exact(truth: &Truth) {
    let heap = truth.heap();
    let (arenas, mapped) = (zones(&heap, false), zones(&heap, true));
    assert_zones_are_possible(&heap);
    for zone in list(&heap["zones"]) {
        assert_eq!(zone["doubts"], Value::Array(vec![]), "{}", zone["zone"]);
        assert_eq!(list(&zone["largest"]).len() as u64, number(&zone["allocations"]).min(10), "{zone}");
    }
    let glibc = |field: &str| truth.number("mallinfo", field);

    // glibc counts fast bins as free, and every top as a free block.
    assert_eq!(sum(arenas.clone(), "free") + glibc("fsmblks"), glibc("fordblks"), "bytes free");
    let tops = arenas.iter().filter(|arena| number(&arena["top"]) > 0).count() as u64;
    assert_eq!(sum(arenas.clone(), "free_blocks") + tops, glibc("ordblks"), "free blocks");
    assert_eq!(arenas.len(), list(&truth.report["malloc_info"]["arenas"]).len(), "arenas");

    assert_eq!(sum(mapped.clone(), "allocations"), glibc("hblks"), "mapped blocks");
    // From 2.43 on, glibc's own sum drifts by a few bytes.
    let drift = sum(mapped.clone(), "allocated").abs_diff(glibc("hblkhd"));
    assert!(drift < PAGE && drift.is_multiple_of(8), "bytes of mapped blocks: {drift}");

    let live = |field: &str| truth.number("live", field);
    // libc's own blocks: a cache and a vector for each thread, and a few more.
    let most = 2 * list(&truth.report["stacks"]).len() as u64 + 12;
    let own = sum(list(&heap["zones"]), "allocations") - live("count");
    assert!((1..=most).contains(&own), "{own} blocks of libc");
    // A block is larger than what can be used of it, by its header of a word.
    let usable = live("usable") - number(&truth.report["live"]["mmapped"]["usable"]);
    let rest = sum(arenas.clone(), "allocated") - usable;
    assert!(rest <= 8 * live("count") + 2048 * most, "{rest} bytes allocated besides {usable}");
    let all: u64 = ["allocated", "cached", "free"].iter().map(|field| sum(arenas.clone(), field)).sum();
    assert!(all <= truth.number("malloc_info", "total_system"), "{all} bytes of arenas");
}

#[test]
fn a_heap_at_rest_is_counted_as_glibc_counts_it() {
    Truth::of_each("malloc", &GLIBC, &[], assert_heap_is_exact);
}

#[test]
fn a_heap_is_counted_around_memory_that_the_program_takes_of_it() {
    Truth::of_each("malloc", &GLIBC, &["--sbrk"], assert_heap_is_exact);
}

#[test]
fn a_heap_is_counted_in_mappings_if_the_break_cannot_grow() {
    Truth::of_each("malloc", &GLIBC, &["--no-brk"], assert_heap_is_exact);
}

#[test]
fn a_small_heap_is_counted() {
    Truth::of_each("malloc", &GLIBC, SMALL, assert_heap_is_exact);
    Truth::of_each("malloc", &GLIBC, &["--threads", "0", "--blocks", "0", "--small", "500"], |truth| {
        assert_heap_is_exact(truth);
        // A block of 64 bytes takes 80, with its header.
        let main = &truth.heap()["zones"][0];
        let class = list(&main["sizes"]).iter().find(|class| class["size"] == 80).expect("its size class");
        assert!(number(&class["allocations"]) >= 500, "{class}");
    });
}

#[test]
fn a_heap_is_counted_with_other_settings_of_malloc() {
    for tunable in ["arena_max=1", "mmap_max=100", "tcache_count=0"] {
        let setting = format!("GLIBC_TUNABLES=glibc.malloc.{tunable}");
        let arguments = [&*setting, "--threads", "60", "--blocks", "200", "--large", "0"];
        Truth::of_each("malloc", &[DYNAMIC, NARROW], &arguments, assert_heap_is_exact);
    }
}

#[test]
fn a_heap_of_an_archive_is_the_live_one() {
    Truth::of_each("malloc", &GLIBC, SMALL, |truth| {
        truth.stop();
        let (_directory, archive) = temporary("a.mmview");
        look(&["snapshot", &truth.pid(), "-o", &archive]);
        let (live, saved) = (truth.heap(), run(["heap", "--json", &archive]).json());
        assert!(!list(&live["zones"]).is_empty());
        assert_eq!((&saved["zones"], &saved["total"]), (&live["zones"], &live["total"]));
        let (live, saved) = (truth.regions(), run(["regions", "--json", &archive]).json());
        for (saved, live) in parts(&saved).into_iter().zip(parts(&live)) {
            for field in ["start", "end", "type", "detail", "evidence"] {
                assert_eq!(saved[field], live[field], "{field} of {live}");
            }
        }
    });
}

#[test]
fn a_heap_in_motion_has_doubts_and_no_contradictions() {
    let churn = ["--churn", "--threads", "0", "--blocks", "200"];
    Truth::of_each("malloc", &[DYNAMIC, NARROW], &churn, |truth| {
        let mut in_motion = 0;
        for _ in 0..25 {
            // The map itself changes too, which may be a warning.
            let heap = truth.heap();
            assert!(!list(&heap["zones"]).is_empty(), "glibc's malloc is found in motion too");
            assert_zones_are_possible(&heap);
            in_motion += list(&heap["zones"]).iter().filter(|zone| zone["exact"] == false).count();
            assert_parts_tile(&truth.regions());
        }
        assert!(in_motion > 0, "nothing has moved");
    });
}

/// Requires a part with the addresses, the type and the title of a stack, and below it its guard.
#[track_caller]
fn assert_has_stack(parts: &[&Value], stack: &Value, end: u64, has_ended: bool) {
    let start = address(&stack["base"]);
    let is_stack = |part: &&&Value| address(&part["start"]) == start && address(&part["end"]) == end;
    let found = *parts.iter().find(is_stack).unwrap_or_else(|| panic!("no part is {stack}"));
    assert_eq!((&found["kind"], &found["evidence"]), (&"thread-stack".into(), &"memory".into()), "{found}");
    assert_eq!(found["type"] == "Stack (ended)", has_ended, "{found}");
    let title = format!("thread {} {}", stack["tid"], stack["name"].as_str().unwrap());
    let detail = found["detail"].as_str().unwrap();
    assert!(has_ended || detail == title || detail.starts_with(&format!("{title}, ")), "{found} of {title}");
    let guard = number(&stack["guard"]);
    if guard > 0 {
        let below = parts.iter().find(|part| address(&part["end"]) == start).expect("a part below the stack");
        assert_eq!((&below["kind"], number(&below["size"])), (&"stack-guard".into(), guard), "{below}");
    }
}

/// Requires the stacks of all threads, living and ended, and no other. Their ends are rounded up to so much.
#[track_caller]
fn assert_stacks_are_exact(truth: &Truth, round: u64) {
    let view = truth.regions();
    assert_parts_tile(&view);
    let parts = parts(&view);
    let (living, ended) = (truth.stacks("stacks"), truth.stacks("ended"));
    for (stacks, have_ended) in [(&living, false), (&ended, true)] {
        for stack in stacks {
            let end = (address(&stack["base"]) + number(&stack["size"])).next_multiple_of(round);
            assert_has_stack(&parts, stack, end, have_ended);
        }
    }
    let count = living.len() + ended.len();
    let stacks = parts.iter().filter(|part| part["kind"] == "thread-stack");
    let titles: Vec<_> = stacks.map(|stack| (&stack["start"], &stack["end"], &stack["detail"])).collect();
    assert_eq!(titles.len(), count, "{titles:?}");
    look(&["check", &truth.pid(), &format!("count(kind=thread-stack) == {count}")]);
}

#[test]
fn stacks_are_those_that_glibc_has_made_and_kept() {
    let is_exact = |truth: &Truth| assert_stacks_are_exact(truth, 1);
    Truth::of_each("malloc", &GLIBC, SMALL, is_exact);
    Truth::of_each("threads", &GLIBC, &[], is_exact);
    // So many neighbors that the kernel joins some of them.
    Truth::of_each("malloc", &GLIBC, &["--threads", "12", "--blocks", "40"], is_exact);
}

#[test]
fn stacks_are_those_that_musl_has_made() {
    // For musl, a stack ends where the thread's own data starts, in the last page.
    Truth::of_each("threads", &[MUSL, MUSL_STATIC], &[], |truth| assert_stacks_are_exact(truth, PAGE));
}

#[test]
fn the_bss_of_the_program_ends_where_the_program_says() {
    Truth::of_each("malloc", &GLIBC, SMALL, |truth| {
        let end = address(&truth.report["bss"]["end"]).next_multiple_of(PAGE);
        let is_end = |part: &Value| part["kind"] == "bss" && address(&part["end"]) == end;
        assert!(parts(&truth.regions()).into_iter().any(is_end), "no part of .bss ends at {end:x}");
    });
}

#[test]
fn memory_moves_sizes_between_types_and_adds_none() {
    Truth::of_each("malloc", &GLIBC, &["--no-brk", "--blocks", "300"], |truth| {
        truth.stop();
        let summary = |level: &str| run(["--json", "--evidence", level, &truth.pid()]).json();
        let (memory, shape) = (summary("memory"), summary("shape"));
        for field in ["virtual", "resident", "dirty", "swapped"] {
            for view in [&memory, &shape] {
                assert_eq!(view["total"][field], shape["total"][field], "{field}");
                assert_eq!(sum(list(&view["rows"]), field), number(&view["total"][field]), "{field}");
            }
        }
        assert_eq!(memory["total"]["regions"], shape["total"]["regions"]);
        assert_ne!(memory["rows"], shape["rows"], "memory shows more than shapes");
        assert!(shape["reading"]["memory"].is_null(), "memory is read only if wanted");
        let types = ["Heap", "MALLOC arena", "MALLOC large"];
        let of_malloc =
            list(&memory["rows"]).iter().filter(|row| types.iter().any(|name| row["type"] == *name));
        assert_eq!(sum(of_malloc, "virtual"), number(&truth.heap()["total"]["virtual"]), "zones own it");
    });
}

#[test]
fn reading_memory_copies_no_page_of_the_process() {
    if !is_linux() {
        return;
    }
    // Both end with the test, which closes their input.
    let shell = Running::shell(
        "exec 3<&0; i=0; p=$(printf %90s); while [ $i -lt 5000 ]; do eval \"v$i=\\$p\"; i=$((i + 1)); done
        (echo forked; read x <&3) & read x <&3",
    );
    let shared = || {
        let regions =
            run(["regions", "--json", "--evidence", "shape", &shell.pid()]).json()["regions"].clone();
        let smaps = list(&regions).iter().map(|region| &region["native"]["smaps"]);
        smaps.map(|smaps| number(&smaps["Shared_Dirty"])).sum::<u64>()
    };
    let before = shared();
    assert!(before > 500_000, "the shells share {before} bytes");
    run(["heap", &shell.pid()]);
    assert!(shared() > before / 2, "{} bytes of {before} are still shared", shared());
}

/// How much a look at a small process reads at most, and in how many calls.
const MOST_BYTES: u64 = 256 << 20;
const MOST_CALLS: u64 = 1 << 20;

#[test]
fn memory_that_lies_neither_hangs_nor_breaks_mmview() {
    let cases = "ring main-ring self-pointers sizes heap pthread mapped fastbins bins tcache";
    for way in [DYNAMIC, STATIC] {
        let Some(path) = build("hostile", way) else { continue };
        // In a static program, the heap starts elsewhere than the program looks for its cache.
        for case in cases.split(' ').filter(|case| way == DYNAMIC || *case != "tcache") {
            println!("{case} by `{}`", way.join(" "));
            let mut program = Running::start(Command::new(&path).arg(case));
            assert_eq!(program.line(), "ready");
            let pid = program.pid();
            look(&[&pid]);
            let heap = look(&["heap", "--json", &pid]).json();
            assert_zones_are_possible(&heap);
            let cost = &heap["reading"]["memory"];
            assert!(number(&cost["bytes"]) < MOST_BYTES && number(&cost["calls"]) < MOST_CALLS, "{cost}");
            let view = look(&["regions", "--json", &pid]).json();
            assert_parts_tile(&view);
            let parts = parts(&view);
            look(&[&pid, parts[parts.len() / 2]["start"].as_str().unwrap()]);
        }
    }
}
