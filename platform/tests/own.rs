//! This process's own mappings: every change shows in the map.
#![cfg(any(target_os = "linux", target_os = "macos"))]
#![allow(missing_docs)]

use std::io::{Read, Seek, SeekFrom, Write};

use mmview_platform::own::{Advice, Child, Mapping, Sharing, memory_object, stack_limit};
use mmview_platform::{
    AddrRange, Bytes, Detail, Error, OpenOptions, Protection, Region, RegionSource, open_self,
};

const ACCESS: Protection = Protection::READ.with(Protection::WRITE);

fn source() -> Box<dyn RegionSource> {
    open_self(&OpenOptions::default()).unwrap()
}

fn page() -> Bytes {
    source().info().page_size.unwrap().bytes()
}

fn region_at(address: u64) -> Option<Region> {
    source().region_at(address, Detail::Counts).unwrap()
}

#[test]
fn a_mapping_is_a_region_of_its_own_until_it_is_unmapped() {
    let page = page();
    // Mappings that other tests make beside it at the same time are writable, and so are never merged with it.
    let read_only = || Mapping::anonymous(Bytes(3 * page.0), Sharing::Private, Protection::READ).unwrap();
    let (mut one, other) = (read_only(), read_only());
    for map in [&one, &other] {
        let region = region_at(map.address()).unwrap();
        assert_eq!((region.range, region.protection), (map.range(), Protection::READ));
    }
    assert_eq!(one.read(Bytes(page.0 * 3 - 1)), 0);
    one.unmap().unwrap();
    // Another thread may have mapped something there in between, but hardly the same range.
    assert!(region_at(one.address()).is_none_or(|region| region.range != one.range()));
}

#[test]
fn sizes_are_rounded_up_to_pages() {
    let map = Mapping::anonymous(Bytes(1), Sharing::Private, ACCESS).unwrap();
    assert_eq!(map.size(), page());
    assert!(matches!(
        Mapping::anonymous(Bytes::ZERO, Sharing::Private, ACCESS),
        Err(Error::Call { call: "mmap", .. })
    ));
    assert!(Mapping::anonymous(Bytes(u64::MAX), Sharing::Private, ACCESS).is_err());
}

#[test]
#[should_panic(expected = "lie outside the mapping")]
fn nothing_is_read_beyond_a_mapping() {
    let map = Mapping::anonymous(page(), Sharing::Private, ACCESS).unwrap();
    map.read(page());
}

#[test]
#[should_panic(expected = "it is unmapped")]
fn nothing_is_written_to_what_is_unmapped() {
    let mut map = Mapping::anonymous(page(), Sharing::Private, ACCESS).unwrap();
    map.unmap().unwrap();
    map.write(Bytes::ZERO, 1);
}

#[test]
fn a_shared_write_is_in_the_file_and_a_private_one_is_not() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"abc").unwrap();
    let shared = Mapping::of_file(&file, Bytes(3), Sharing::Shared, ACCESS).unwrap();
    let private = Mapping::of_file(&file, Bytes(3), Sharing::Private, ACCESS).unwrap();
    private.write(Bytes(0), b'P');
    shared.write(Bytes(1), b'S');
    shared.sync().unwrap();
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "aSc");
    assert_eq!(private.read(Bytes(0)), b'P');
}

#[test]
fn a_memory_object_is_one_memory_for_all_its_mappings() {
    let size = Bytes(2 * page().0);
    let object = memory_object("mmview-test", size).unwrap();
    let map = || Mapping::of_file(&object, size, Sharing::Shared, ACCESS).unwrap();
    let (one, other) = (map(), map());
    one.write_bytes(Bytes(page().0), b"shared");
    assert_eq!(other.read_bytes(Bytes(page().0), 6), b"shared");
}

#[test]
fn protection_and_advice_show_in_the_map() {
    let page = page();
    let map = Mapping::anonymous(Bytes(3 * page.0), Sharing::Private, ACCESS).unwrap();
    map.write(Bytes::ZERO, 1);
    map.protect(page, page, Protection::READ).unwrap();
    assert_eq!(region_at(map.address() + page.0).unwrap().protection, Protection::READ);
    assert!(matches!(map.protect(Bytes(1), page, ACCESS), Err(Error::Call { call: "mprotect", .. })));
    if !cfg!(target_os = "linux") {
        return;
    }
    map.advise(Bytes::ZERO, page, Advice::DontNeed).unwrap();
    assert_eq!(map.read(Bytes::ZERO), 0, "what is not needed is gone");
}

#[test]
fn a_page_that_is_present_has_a_frame() {
    let map = Mapping::anonymous(Bytes(2 * page().0), Sharing::Private, ACCESS).unwrap();
    let memory = source().memory().unwrap();
    let frame_at = |address| {
        let range = AddrRange::with_size(address, Bytes(1)).or(AddrRange::new(address, u64::MAX));
        memory.frames(range.unwrap()).unwrap().first().copied().flatten()
    };
    assert_eq!(frame_at(map.address()), None, "nothing is there yet");
    assert_eq!(frame_at(u64::MAX), None);
    map.write(Bytes::ZERO, 1);
    // `None` for a user without permission.
    if let Some(frame) = frame_at(map.address()) {
        let object = memory_object("mmview-test", page()).unwrap();
        let map = || Mapping::of_file(&object, page(), Sharing::Shared, ACCESS).unwrap();
        let (one, other) = (map(), map());
        one.write(Bytes::ZERO, 1);
        other.read(Bytes::ZERO);
        let frames = [one.address(), other.address()].map(frame_at);
        assert_eq!(frames[0], frames[1], "one page, mapped twice");
        assert_ne!(frames[0], Some(frame));
    }
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let (to_thread, from_test) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || from_test.recv());
    assert!(matches!(Child::fork(|_| 0), Err(Error::Unsupported { what: "fork", .. })));
    drop(to_thread);
    let _ = thread.join().unwrap();
}

#[test]
fn the_limit_of_the_stack_is_more_than_is_used() {
    assert!(stack_limit().unwrap().is_none_or(|limit| limit > page()));
}
