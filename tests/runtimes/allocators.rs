//! jemalloc, mimalloc, tcmalloc, and musl's malloc.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::truth::*;
use crate::common::{Running, is_linux, skip, temporary};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// jemalloc inside of the program.
const WITH_JEMALLOC: Way =
    &["cc", "-rdynamic", "-Wl,--whole-archive,-l:libjemalloc.a,--no-whole-archive", "-lm"];

/// How many blocks libc allocates for itself: a vector for each thread, and a few.
const MOST_OF_LIBC: u64 = 64;

/// Starts the program with a library that takes the place of malloc, if it is installed.
fn with(library: &str, arguments: &[&str]) -> Option<Truth> {
    let path = format!("{LIBRARIES}/{library}");
    if !Path::new(&path).exists() {
        skip(&format!("{library} is not installed"));
        return None;
    }
    let program = build("allocator", DYNAMIC)?;
    let preload = format!("LD_PRELOAD={path}");
    let arguments = [&[&*preload], arguments].concat();
    println!("with {library} and {arguments:?}");
    Some(Truth::start(&program, &arguments))
}

/// The figures of the zones of one allocator, whose names begin with its name.
struct Figures {
    zones: Vec<Value>,
}

impl Figures {
    #[track_caller]
    fn of(truth: &Truth, owner: &str) -> Figures {
        let heap = truth.heap();
        assert_zones_are_possible(&heap);
        let is_own = |zone: &&Value| zone["zone"].as_str().unwrap().starts_with(owner);
        let zones: Vec<Value> = list(&heap["zones"]).iter().filter(is_own).cloned().collect();
        assert!(!zones.is_empty(), "no zone of {owner} in {}", heap["zones"]);
        Figures { zones }
    }

    fn sum(&self, field: &str) -> u64 {
        self.zones.iter().map(|zone| number(&zone[field])).sum()
    }

    #[track_caller]
    fn assert_exact(&self) {
        for zone in &self.zones {
            assert_eq!(zone["doubts"], Value::Array(vec![]), "{}", zone["zone"]);
            let sizes = list(&zone["sizes"]);
            assert_eq!(sum(sizes, "allocations"), number(&zone["allocations"]), "{zone}");
            assert_eq!(sum(sizes, "allocated"), number(&zone["allocated"]), "{zone}");
        }
    }

    /// Requires the blocks of the program, a few of libc, and no others.
    #[track_caller]
    fn assert_live(&self, truth: &Truth) {
        let own = self.sum("allocations").checked_sub(truth.number("live", "count"));
        assert!(own.is_some_and(|own| own <= MOST_OF_LIBC), "{own:?} blocks of libc");
    }
}

#[track_caller]
fn assert_is_as_jemalloc_says(truth: &Truth) {
    let figures = Figures::of(truth, "jemalloc");
    figures.assert_exact();
    let says = |name: &str| truth.number("statistics", name);
    assert_eq!(figures.sum("allocations"), says("blocks"));
    assert_eq!(figures.sum("allocated"), says("stats.allocated"));
    let cached = (says("stats.arenas.4096.pdirty") + says("stats.arenas.4096.pmuzzy")) * PAGE;
    assert_eq!(figures.sum("virtual"), says("stats.active") + cached + says("stats.retained"));
    assert_owned(truth, 5);
}

#[test]
fn jemalloc_has_the_blocks_that_its_statistics_count() {
    for arguments in [&[][..], &["--threads", "20", "--blocks", "400"]] {
        if let Some(truth) = with("libjemalloc.so.2", arguments) {
            assert_is_as_jemalloc_says(&truth);
        }
    }
}

#[test]
fn jemalloc_is_found_inside_of_a_program() {
    if !Path::new(LIBRARIES).join("libjemalloc.a").exists() {
        return skip("libjemalloc.a is not installed");
    }
    if let Some(program) = build("allocator", WITH_JEMALLOC) {
        assert_is_as_jemalloc_says(&Truth::start(&program, &[]));
    }
}

#[test]
fn jemalloc_is_found_in_a_server() {
    if !is_linux() {
        return;
    }
    let mut server = Command::new("redis-server");
    if !server.arg("--version").output().is_ok_and(|run| run.status.success()) {
        return skip("redis-server is not installed");
    }
    let (_directory, socket) = temporary("socket");
    let mut server = Command::new("redis-server");
    server.args(["--port", "0", "--save", "", "--logfile", "", "--unixsocket", &socket]);
    let mut server = Running::start(&mut server);
    let is_ready = (0..100).any(|_| server.line().contains("initialized"));
    assert!(is_ready, "redis-server starts");
    let heap = look(&["heap", "--json", &server.pid()]).json();
    assert_zones_are_possible(&heap);
    // A build for another page size, or with another malloc, is no error.
    if let Some(zone) = list(&heap["zones"]).iter().find(|zone| zone["zone"] == "jemalloc arena 0") {
        assert!(number(&zone["allocated"]) > 500_000, "{zone}");
    }
}

#[test]
fn mimalloc_has_the_blocks_of_the_program() {
    for arguments in [&[][..], &["--threads", "20", "--blocks", "400"], &["--threads", "0", "--blocks", "4"]]
    {
        if let Some(truth) = with("libmimalloc.so.2", arguments) {
            let figures = Figures::of(&truth, "mimalloc");
            figures.assert_exact();
            figures.assert_live(&truth);
            let own = figures.sum("allocated") - truth.number("live", "usable");
            assert!(own <= MOST_OF_LIBC * 4096, "{own} bytes of libc");
            if arguments.is_empty() {
                assert_owned(&truth, 5);
            }
        }
    }
}

#[test]
fn tcmalloc_has_the_bytes_that_its_statistics_count() {
    for library in ["libtcmalloc.so.4", "libtcmalloc_minimal.so.4"] {
        for arguments in [&[][..], &["--threads", "20", "--blocks", "400"]] {
            let Some(truth) = with(library, arguments) else { continue };
            let figures = Figures::of(&truth, "tcmalloc");
            figures.assert_exact();
            let says = |name: &str| truth.number("statistics", name);
            let (transfer, threads) =
                (says("tcmalloc.transfer_cache_free_bytes"), says("tcmalloc.thread_cache_free_bytes"));
            let allocated = says("generic.current_allocated_bytes") + transfer + threads;
            assert_eq!(figures.sum("allocated"), allocated);
            assert_eq!(figures.sum("virtual"), says("generic.heap_size"));
            // Its central cache counts the unused ends of spans too.
            let free = figures.sum("free").checked_sub(says("tcmalloc.pageheap_free_bytes"));
            let central = says("tcmalloc.central_cache_free_bytes");
            assert!(free.is_some_and(|free| free <= central), "{free:?} of {central} bytes are free");
            assert_owned(&truth, 5);
        }
    }
}

#[test]
fn musl_has_the_blocks_of_the_program() {
    for arguments in
        [&[][..], &["--threads", "20", "--blocks", "400"], &["--threads", "0", "--blocks", "2000"]]
    {
        Truth::of_each("allocator", &[MUSL, MUSL_STATIC], arguments, |truth| {
            let figures = Figures::of(truth, "musl malloc");
            figures.assert_exact();
            figures.assert_live(truth);
            assert!(figures.sum("allocated") >= truth.number("live", "usable"));
            if arguments.is_empty() {
                assert_owned(truth, 5);
            }
        });
    }
}

#[test]
fn an_allocator_in_motion_has_doubts_and_no_contradictions() {
    for library in ["libjemalloc.so.2", "libmimalloc.so.2", "libtcmalloc_minimal.so.4"] {
        let Some(truth) = with(library, &["--churn", "--blocks", "2000"]) else { continue };
        let mut found = 0;
        for _ in 0..4 {
            let heap = truth.heap();
            assert_zones_are_possible(&heap);
            assert_parts_tile(&truth.regions());
            found += usize::from(!list(&heap["zones"]).is_empty());
        }
        assert!(found > 0, "{library} is found in motion too");
    }
}
