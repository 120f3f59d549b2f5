//! Pairs of maps, and their differences.

use proptest::prelude::*;

use super::*;
use crate::classify::tests::{classified, source};

pub(crate) fn snapshot(lines: &str) -> Snapshot {
    let regions = classified(lines).into_iter().map(Classified::into_facts).collect();
    let detail = mmview_platform::Detail::Counts;
    mmview_platform::MemoryMap::new(source(), Default::default(), detail, regions).into()
}

/// The changes between two `maps` texts, as `kind before>after`, with the addresses of the regions.
fn changes(before: &str, after: &str) -> Vec<String> {
    let diff = Diff::between(&snapshot(before), &snapshot(after));
    let ranges = |regions: &[Classified]| {
        regions.iter().map(|region| region.range().to_string()).collect::<Vec<_>>().join(",")
    };
    diff.changes
        .iter()
        .map(|change| format!("{} {}>{}", change.kind.id(), ranges(&change.before), ranges(&change.after)))
        .collect()
}

#[test]
fn added_and_removed_regions() {
    let file = "5000-6000 rw-s 0 08:01 7 /tmp/x\n";
    assert_eq!(changes("", file), ["added >5000-6000"]);
    assert_eq!(changes(file, ""), ["removed 5000-6000>"]);
    assert!(changes(file, file).is_empty());
}

#[test]
fn a_heap_grown_by_brk_is_one_change() {
    let heap = |end: &str| format!("10000-{end} rw-p 0 00:00 0 [heap]\n");
    assert_eq!(changes(&heap("31000"), &heap("52000")), ["grown 10000-31000>10000-52000"]);
    assert_eq!(changes(&heap("52000"), &heap("31000")), ["shrunk 10000-52000>10000-31000"]);
}

#[test]
fn mprotect_splits_and_merges() {
    let whole = "1000-4000 rw-p 0 00:00 0\n";
    let parts = "1000-2000 rw-p 0 00:00 0\n2000-3000 r--p 0 00:00 0\n3000-4000 rw-p 0 00:00 0\n";
    assert_eq!(changes(whole, parts), ["split 1000-4000>1000-2000,2000-3000,3000-4000"]);
    assert_eq!(changes(parts, whole), ["merged 1000-2000,2000-3000,3000-4000>1000-4000"]);
    assert_eq!(changes(whole, "1000-4000 r--p 0 00:00 0\n"), ["reprotected 1000-4000>1000-4000"]);
}

#[test]
fn a_file_is_split_by_its_offsets() {
    let whole = "1000-4000 rw-s 0 08:01 7 /tmp/x\n";
    let parts = "1000-2000 r--s 0 08:01 7 /tmp/x\n2000-4000 rw-s 1000 08:01 7 /tmp/x\n";
    assert_eq!(changes(whole, parts), ["split 1000-4000>1000-2000,2000-4000"]);
    let another_part = "1000-4000 rw-s 9000 08:01 7 /tmp/x\n";
    assert_eq!(changes(whole, another_part), ["removed 1000-4000>", "added >1000-4000"]);
}

#[test]
fn another_object_at_the_same_address_is_not_a_change_of_it() {
    let file = |name: &str, inode: u64| format!("1000-2000 rw-s 0 08:01 {inode} {name}\n");
    let (one, other) = (file("/tmp/x", 7), file("/tmp/y", 8));
    assert_eq!(changes(&one, &other), ["removed 1000-2000>", "added >1000-2000"]);
    let private = "1000-2000 rw-p 0 08:01 7 /tmp/x\n";
    assert_eq!(changes(&one, private), ["removed 1000-2000>", "added >1000-2000"]);
}

#[test]
fn a_new_name_is_a_rename() {
    let anonymous = "1000-2000 rw-p 0 00:00 0\n";
    let named = "1000-2000 rw-p 0 00:00 0 [anon:buffer]\n";
    assert_eq!(changes(anonymous, named), ["renamed 1000-2000>1000-2000"]);
    let file = "1000-2000 rw-s 0 08:01 7 /tmp/x";
    assert_eq!(changes(file, &format!("{file} (deleted)")), ["renamed 1000-2000>1000-2000"]);
    assert_eq!(changes(file, "1000-2000 rw-s 0 08:01 7 /tmp/y"), ["renamed 1000-2000>1000-2000"]);
}

#[test]
fn another_run_has_the_same_regions_elsewhere() {
    let before =
        "1000-3000 r--p 0 08:01 7 /lib/x.so\n4000-6000 r--s 0 00:01 9\n8000-9000 rw-p 0 00:00 0 [stack]\n";
    let after = "41000-43000 r--p 0 08:01 7 /lib/x.so\n54000-56000 r--s 0 00:01 9\n98000-9a000 rw-p 0 00:00 0 [stack]\n";
    let moved = ["moved 1000-3000>41000-43000", "moved 4000-6000>54000-56000", "moved 8000-9000>98000-9a000"];
    assert_eq!(changes(before, after), moved);
    let (mut one, mut other) = (snapshot(before), snapshot(after));
    one.process.pid = Some(7);
    other.process.pid = Some(7);
    let kinds: Vec<_> = Diff::between(&one, &other).changes.iter().map(|change| change.kind).collect();
    use ChangeKind::{Added, Removed};
    assert_eq!(
        kinds,
        [Removed, Removed, Removed, Added, Added, Added],
        "in one process no region moves by itself"
    );
}

#[test]
fn the_same_addresses_are_the_same_run() {
    let file = "1000-3000 r--p 0 08:01 7 /lib/x.so\n8000-9000 rw-p 0 00:00 0 [stack]\n";
    let (before, after) = ("4000-5000 rw-s 0 08:01 9 /tmp/x\n", "6000-7000 rw-s 0 08:01 9 /tmp/x\n");
    let sorted = |extra: &str| {
        let mut lines: Vec<_> = file.lines().chain(extra.lines()).collect();
        lines.sort();
        lines.join("\n") + "\n"
    };
    assert_eq!(changes(&sorted(before), &sorted(after)), ["removed 4000-5000>", "added >6000-7000"]);
}

#[test]
fn counts_are_compared_if_both_maps_have_them() {
    let counted = |resident: u64| format!("1000-3000 rw-p 0 00:00 0\nRss: {resident} kB\nSwap: 0 kB\n");
    assert_eq!(changes(&counted(4), &counted(8)), ["recounted 1000-3000>1000-3000"]);
    assert_eq!(changes(&counted(4), "1000-3000 rw-p 0 00:00 0\n"), ["incidental 1000-3000>1000-3000"]);
}

#[test]
fn types_and_files_have_the_largest_change_first() {
    let lines = |one: u64, other: u64| {
        format!(
            "1000-3000 rw-s 0 08:01 7 /a\nRss: {one} kB\nShared_Dirty: 0 kB\nPrivate_Dirty: 0 kB\nSwap: 0 kB\n\
             5000-9000 rw-s 0 08:01 8 /b\nRss: {other} kB\nShared_Dirty: 0 kB\nPrivate_Dirty: 0 kB\nSwap: 0 kB\n"
        )
    };
    let (before, after) = (snapshot(&lines(4, 16)), snapshot(&lines(8, 4)));
    let files: Vec<_> = by_file(&before, &after)
        .into_iter()
        .map(|file| (String::from_utf8_lossy(&file.path).into_owned(), file.delta.resident))
        .collect();
    assert_eq!(files, [("/b".to_owned(), Some(-12288)), ("/a".to_owned(), Some(4096))]);
    let (types, total) = by_type(&before, &after);
    assert_eq!(types.len(), 1);
    assert_eq!((types[0].title.as_str(), types[0].delta.resident), ("mapped file", Some(-8192)));
    assert_eq!(total, types[0].delta);
}

/// A map of up to 12 regions of a few pages each, with or without gaps between them.
fn map() -> impl Strategy<Value = Vec<Classified>> {
    let protections = prop::sample::select(vec!["rw-p", "r--p", "r-xp", "---p", "rw-s"]);
    let names = prop::sample::select(vec!["", "/lib/a", "/tmp/b", "[heap]", "[stack]", "[anon:x]"]);
    let region = (0..3u64, 0..4u64, protections, names, 0..3u64);
    prop::collection::vec(region, 0..12).prop_map(|regions| {
        let mut start = 0x1000;
        let mut text = String::new();
        for (gap, pages, protection, name, resident) in regions {
            start += gap * 0x1000;
            let end = start + pages * 0x1000;
            let (device, inode) = if name.starts_with('/') { ("08:01", 7) } else { ("00:00", 0) };
            let resident = resident.min(pages) * 4;
            text.push_str(&format!(
                "{start:x}-{end:x} {protection} {start:x} {device} {inode} {name}\nRss: {resident} kB\n"
            ));
            // Several empty regions at one address would be indistinguishable.
            start = if pages == 0 { end + 0x1000 } else { end };
        }
        classified(&text)
    })
}

proptest! {
    #[test]
    fn the_second_map_is_the_first_with_the_difference(before in map(), after in map(), may_move: bool) {
        let diff = Diff::of_regions(&before, &after, may_move);
        prop_assert_eq!(apply(&before, &diff), after.clone());
        let touched: usize = diff.changes.iter().map(|change| change.after.len()).sum();
        prop_assert_eq!(touched as u64 + diff.unchanged, after.len() as u64);
    }

    #[test]
    fn a_map_is_no_different_from_itself(map in map()) {
        prop_assert!(Diff::of_regions(&map, &map, true).changes.is_empty());
    }

    #[test]
    fn the_reverse_difference_removes_what_was_added(before in map(), after in map()) {
        let (there, back) = (Diff::of_regions(&before, &after, false), Diff::of_regions(&after, &before, false));
        prop_assert_eq!(there.unchanged, back.unchanged);
        let regions = |diff: &Diff, of: fn(&Change) -> &Vec<Classified>| {
            diff.changes.iter().map(|change| of(change).len()).sum::<usize>()
        };
        prop_assert_eq!(regions(&there, |change| &change.after), regions(&back, |change| &change.before));
    }
}
