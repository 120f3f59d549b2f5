//! The kind of every region of captures that were once misunderstood, and how it is known.
#![allow(missing_docs)]

use std::path::Path;

use mmview::Snapshot;
use mmview::kind::RegionKind;
use mmview_platform::{Detail, Evidence, OpenOptions, open_file};

fn snapshot(name: &str) -> Snapshot {
    let path = Path::new("tests/fixtures/linux/kinds").join(name);
    open_file(&path, &OpenOptions::new()).unwrap().read(Detail::Counts).unwrap().into()
}

/// The identifiers of the kinds of a capture, in runs: `2 jit-code`.
fn kinds(name: &str) -> String {
    let mut runs: Vec<(usize, &str)> = Vec::new();
    for region in &snapshot(name).regions {
        match runs.last_mut() {
            Some((count, kind)) if *kind == region.kind().id() => *count += 1,
            _ => runs.push((1, region.kind().id())),
        }
    }
    let run =
        |(count, kind): (usize, &str)| if count == 1 { kind.to_owned() } else { format!("{count} {kind}") };
    runs.into_iter().map(run).collect::<Vec<_>>().join(", ")
}

/// The regions of a kind, with their notes.
fn notes(name: &str, kind: RegionKind) -> Vec<Option<String>> {
    let snapshot = snapshot(name);
    let regions = snapshot.regions.iter().filter(|region| region.kind() == kind);
    regions.map(|region| region.note().map(str::to_owned)).collect()
}

#[test]
fn an_archive_of_classes_is_a_file_and_does_not_hide_code() {
    let expected = "anonymous, reserved, 3 mapped-file, anonymous, reserved, jit-code, reserved, jit-code, reserved, mapped-file";
    assert_eq!(kinds("cds-archive.maps"), expected);
    let code = Some("for code".to_owned());
    assert_eq!(notes("cds-archive.maps", RegionKind::Reserved), [None, None, code.clone(), code]);
    assert_eq!(kinds("jit-far-from-archive.maps"), "2 mapped-file, 20 anonymous, jit-code");
}

#[test]
fn code_with_room_to_grow_is_no_stack() {
    assert_eq!(kinds("code-cache.maps"), "anonymous, guard, jit-code, reserved, jit-code");
}

#[test]
fn a_go_heap_goes_on_as_long_as_it_touches() {
    assert_eq!(kinds("go-heap.maps"), "text, 24 gc-heap, reserved, anonymous");
}

#[test]
fn memory_above_data_that_is_no_bss() {
    assert_eq!(kinds("arena-after-data.maps"), "text, reserved, data, malloc-arena, malloc-reserved");
    assert_eq!(kinds("jit-after-data.maps"), "rodata, text, relro, data, jit-code, guard");
}

#[test]
fn an_image_goes_on_across_a_hole_that_others_fill() {
    assert_eq!(kinds("split-image.maps"), "text, anonymous, relro, data, bss");
}

#[test]
fn arenas_in_a_row() {
    let expected =
        "malloc-arena, malloc-reserved, 2 malloc-arena, malloc-reserved, malloc-arena, malloc-reserved";
    assert_eq!(kinds("full-arena.maps"), expected);
    let expected = "text, data, heap, device, jit-code, malloc-arena, malloc-reserved, stack, vdso";
    assert_eq!(kinds("i386-2.6.maps"), expected);
}

#[test]
fn ashmem_has_the_names_of_private_memory() {
    assert_eq!(kinds("ashmem.maps"), "gc-heap, reserved, gc-heap, 3 jit-code, gc-heap");
    assert!(snapshot("ashmem.maps").regions.iter().all(|region| region.evidence() == Evidence::Kernel));
}

#[test]
fn every_sort_of_stack_has_a_guard() {
    let expected = "2 stack-guard, thread-stack, stack-guard, thread-stack, stack-guard, thread-stack, stack-guard, \
                    thread-stack, stack-guard, thread-stack, stack-guard, stack";
    assert_eq!(kinds("guards.maps"), expected);
}

#[test]
fn objects_of_the_kernel_and_of_drivers() {
    let expected = "text, 4 huge-pages, 2 device, bpf, device, io-uring, perf, 3 device, shared-memory, 9 device, \
                    anonymous, 2 shared-memory, mapped-file, shared-memory, 2 mapped-file, device, socket-ring, 2 aio, \
                    shared-memory, 2 kernel-page, vdso";
    assert_eq!(kinds("objects.maps"), expected);
}

#[test]
fn old_kernels_do_not_count_huge_pages() {
    assert_eq!(kinds("hugetlb-2.6.smaps"), "3 huge-pages, anonymous");
    assert_eq!(kinds("hugetlb-3.10.smaps"), "huge-pages");
    for name in ["hugetlb-2.6.smaps", "hugetlb-3.10.smaps"] {
        for region in snapshot(name).regions.iter().filter(|region| region.kind() == RegionKind::HugePages) {
            assert_eq!((region.counts().resident, region.counts().dirty), (None, None), "{name}");
        }
    }
    assert_eq!(snapshot("hugetlb-3.10.smaps").source.page_size, None, "2 MiB is no page of a processor");
}

#[test]
fn a_capture_knows_nothing_from_memory() {
    for entry in std::fs::read_dir("tests/fixtures/linux/kinds").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(snapshot(&name).regions.iter().all(|region| region.evidence() != Evidence::Memory), "{name}");
    }
}
