//! The memory of live processes: reading it brings nothing into memory.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::path::PathBuf;
use std::sync::Arc;

use mmview_platform::own::{Mapping, Sharing};
use mmview_platform::{
    AddrRange, Bytes, Error, Memory, OpenOptions, Piece, Protection, RegionSource, Shortfall, open_process,
    open_self,
};

const ACCESS: Protection = Protection::READ.with(Protection::WRITE);

fn source() -> Box<dyn RegionSource> {
    open_self(&OpenOptions::default()).unwrap()
}

fn page() -> u64 {
    source().info().page_size.unwrap().bytes().0
}

/// This process's memory, opened each way there is: by the system's own `/proc`, and by one that is given.
fn both_ways() -> [Arc<dyn Memory>; 2] {
    let options = OpenOptions::new().procfs(PathBuf::from("/proc"));
    [source().memory().unwrap(), open_self(&options).unwrap().memory().unwrap()]
}

fn mapping(pages: u64) -> Mapping {
    let map = Mapping::anonymous(Bytes(pages * page()), Sharing::Private, ACCESS).unwrap();
    if let Err(Error::Call { .. }) =
        map.advise(Bytes::ZERO, map.size(), mmview_platform::own::Advice::NoHugePages)
    {
        // A kernel without huge pages needs no advice.
    }
    map
}

fn read(memory: &dyn Memory, address: u64, length: usize) -> (Vec<u8>, Option<Shortfall>) {
    let mut buffer = vec![0; length];
    let mut pieces = [Piece::new(address, &mut buffer)];
    memory.read(&mut pieces).unwrap();
    (pieces[0].bytes().to_vec(), pieces[0].shortfall())
}

#[test]
fn own_memory_can_be_read() {
    let text = *b"these bytes";
    let address = std::hint::black_box(&text).as_ptr() as u64;
    for memory in both_ways() {
        assert_eq!(read(&*memory, address, 11), (text.to_vec(), None));
        assert!(memory.cost().bytes == 11 && memory.cost().calls > 0);
    }
}

#[test]
fn a_page_that_is_not_resident_is_not_touched() {
    let page = page();
    let map = mapping(64);
    map.write(Bytes(0), 7);
    map.write(Bytes(2 * page), 9);
    for memory in both_ways() {
        let (bytes, shortfall) = read(&*memory, map.address(), 64 * page as usize);
        assert_eq!((bytes.len() as u64, bytes[0]), (page, 7));
        assert_eq!(shortfall, Some(Shortfall::NotResident));
        let (bytes, shortfall) = read(&*memory, map.address() + 2 * page - 10, 20);
        assert_eq!((bytes.len(), shortfall), (0, Some(Shortfall::NotResident)));
        let (bytes, shortfall) = read(&*memory, map.address() + 3 * page - 10, 20);
        assert_eq!((bytes.len(), shortfall), (10, Some(Shortfall::NotResident)));
        let resident: Vec<_> = memory.resident(map.range()).unwrap();
        let expected =
            [0, 2].map(|index| AddrRange::with_size(map.address() + index * page, Bytes(page)).unwrap());
        assert_eq!(resident, expected, "reading has brought nothing in");
    }
}

#[test]
fn reading_much_that_is_not_resident_does_not_grow_the_region() {
    let map = mapping(32 << 10);
    map.write(Bytes(0), 1);
    let mut source = source();
    let mut buffer = vec![1u8; map.size().0 as usize];
    let mut pieces: Vec<_> = (map.address()..)
        .step_by(page() as usize)
        .zip(buffer.chunks_mut(page() as usize))
        .map(|(address, buffer)| Piece::new(address, buffer))
        .collect();
    source.memory().unwrap().read(&mut pieces).unwrap();
    assert_eq!(pieces.iter().filter(|piece| piece.is_complete()).count(), 1);
    let region = source.region_at(map.address(), mmview_platform::Detail::Counts).unwrap().unwrap();
    assert_eq!((region.range, region.counts.resident), (map.range(), Some(Bytes(page()))));
}

#[test]
fn an_end_and_a_hole_are_not_mapped() {
    let page = page();
    // A mapping has a hole of a page on either side.
    let map = mapping(1);
    map.write_bytes(Bytes(page - 3), b"end");
    for memory in both_ways() {
        let end = read(&*memory, map.range().end() - 3, 10);
        assert_eq!(end, (b"end".to_vec(), Some(Shortfall::NotMapped)));
        for address in [map.range().end(), map.address() - page, 0, 1 << 60, u64::MAX - 5] {
            assert_eq!(read(&*memory, address, 10), (Vec::new(), Some(Shortfall::NotMapped)), "{address:x}");
        }
    }
}

#[test]
fn a_page_without_access_is_read_all_the_same() {
    let page = page();
    let map = mapping(3);
    map.write_bytes(Bytes(0), &vec![5; 3 * page as usize]);
    map.protect(Bytes(page), Bytes(page), Protection::NONE).unwrap();
    for memory in both_ways() {
        let size = 3 * page as usize;
        assert_eq!(read(&*memory, map.address(), size), (vec![5; size], None));
    }
}

#[test]
fn many_pieces_cost_a_call_each() {
    let page = page();
    let map = mapping(64);
    let pattern: Vec<u8> = (0..64 * page).map(|at| (at % 251) as u8).collect();
    map.write_bytes(Bytes(0), &pattern);
    for memory in both_ways() {
        let offsets: Vec<_> = (0..5000u64).map(|index| index * 7919 % (64 * page - 16)).collect();
        let mut buffers = vec![[0u8; 16]; offsets.len()];
        let mut pieces: Vec<_> = offsets
            .iter()
            .zip(&mut buffers)
            .map(|(offset, buffer)| Piece::new(map.address() + offset, buffer))
            .collect();
        memory.read(&mut pieces).unwrap();
        for (piece, offset) in pieces.iter().zip(&offsets) {
            assert!(piece.is_complete());
            assert_eq!(piece.bytes(), &pattern[*offset as usize..*offset as usize + 16]);
        }
        assert!(memory.cost().calls < 5100, "{:?}", memory.cost());
    }
}

#[test]
fn frames_of_a_range_come_in_one_read() {
    let page = page();
    let map = mapping(8);
    map.write(Bytes(3 * page), 1);
    let memory = source().memory().unwrap();
    let before = memory.cost().calls;
    let frames = memory.frames(map.range()).unwrap();
    assert_eq!(frames.len(), 8);
    assert!(frames.iter().enumerate().all(|(index, frame)| index == 3 || frame.is_none()));
    // Checking that the process is there takes two, opening the file one.
    assert!(memory.cost().calls - before <= 4);
    let inside = AddrRange::with_size(map.address() + page + 1, Bytes(page)).unwrap();
    assert_eq!(memory.frames(inside).unwrap().len(), 2);
}

#[test]
fn memory_is_read_while_regions_stream() {
    let text = std::hint::black_box(Box::new(*b"while"));
    let mut source = source();
    let memory = source.memory().unwrap();
    let mut read_too = 0;
    for region in source.regions(mmview_platform::Detail::Layout).unwrap() {
        region.unwrap();
        assert_eq!(read(&*memory, text.as_ptr() as u64, 5).0, b"while");
        read_too += 1;
    }
    assert!(read_too > 1);
    assert!(Arc::ptr_eq(&memory, &source.memory().unwrap()), "opened once");
}

#[test]
fn an_exec_makes_the_memory_another() {
    use std::io::{BufRead, BufReader, Write};
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", "echo first; read line; exec cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let mut source = open_process(child.id(), &OpenOptions::default()).unwrap();
    let stack = |source: &mut Box<dyn RegionSource>| {
        let map = source.read(mmview_platform::Detail::Layout).unwrap();
        let found = map
            .regions
            .iter()
            .find(|region| region.name.as_ref().is_some_and(|name| name.bytes() == b"[stack]"));
        found.unwrap().range
    };
    let memory = source.memory().unwrap();
    let range = stack(&mut source);
    assert!(!memory.resident(range).unwrap().is_empty());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"go\nsecond\n").unwrap();
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "second\n");
    let mut buffer = [0; 8];
    let result = memory.read(&mut [Piece::new(range.end() - 64, &mut buffer)]);
    assert!(matches!(result, Err(Error::Replaced { .. })), "{result:?}");
    let memory = source.memory().unwrap();
    let range = stack(&mut source);
    assert!(!memory.resident(range).unwrap().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let result = memory.read(&mut [Piece::new(range.start(), &mut buffer)]);
    assert!(matches!(result, Err(Error::Vanished { .. })), "{result:?}");
}

#[test]
fn what_has_no_memory_says_so() {
    let saved = tempfile::tempdir().unwrap();
    std::fs::create_dir(saved.path().join("7")).unwrap();
    std::fs::write(saved.path().join("7/maps"), "1000-2000 rw-p 00000000 00:00 0 \n").unwrap();
    let mut source = open_process(7, &OpenOptions::new().procfs(saved.path().to_owned())).unwrap();
    assert_eq!(source.read(mmview_platform::Detail::Layout).unwrap().regions.len(), 1);
    let range = AddrRange::new(0x1000, 0x2000).unwrap();
    let result = source.memory().unwrap().resident(range);
    assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");

    // The second process is a kernel thread; in a container it may be another, or missing.
    let Ok(mut source) = open_process(2, &OpenOptions::new()) else { return };
    if source.read(mmview_platform::Detail::Layout).is_ok_and(|map| map.regions.is_empty()) {
        let result = source.memory().unwrap().resident(range);
        assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
    }
}
