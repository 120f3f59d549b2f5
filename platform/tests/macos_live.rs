//! Live processes on macOS: this one, and children of it. The tests assert relations, never numbers.
#![cfg(target_os = "macos")]
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mmview_platform::{
    AddrRange, Bytes, Detail, Error, MemoryMap, OpenOptions, Piece, RegionSource, ShareMode, Shortfall,
    open_process, open_self, processes,
};

fn own() -> Box<dyn RegionSource> {
    open_self(&OpenOptions::default()).expect("a process may look at itself")
}

fn own_snapshot(detail: Detail) -> MemoryMap {
    own().read(detail).expect("a process may look at itself")
}

/// A file with a page of content, removed when dropped.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str) -> TemporaryFile {
        let path = std::env::temp_dir().join(format!("mmview-{}-{name}", std::process::id()));
        File::create(&path).and_then(|mut file| file.write_all(&[7; 16384])).expect("a temporary file");
        TemporaryFile(path.canonicalize().expect("a file that is there"))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_mapped_file_is_there_until_it_is_unmapped() {
    let file = TemporaryFile::new("mapped");
    let open = File::open(&file.0).unwrap();
    let size = 16384;
    // SAFETY: the system chooses an address for a new mapping, which nothing else uses.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_PRIVATE, open.as_raw_fd(), 0)
    };
    assert_ne!(address, libc::MAP_FAILED);
    drop(open);
    let address = address as u64;
    let region = own_snapshot(Detail::Counts).region_at(address).cloned().expect("what was mapped is mapped");
    let name = region.name.expect("a mapped file has a name");
    assert!(name.is_file());
    assert_eq!(name.bytes(), file.0.as_os_str().as_encoded_bytes());
    assert!(region.range.start() == address && !region.protection.is_writable());
    assert!(region.counts.resident.unwrap() <= region.range.size());
    // SAFETY: the mapping made above, which is no longer used.
    unsafe { libc::munmap(address as *mut libc::c_void, size) };
    let after = own().region_at(address, Detail::Layout).unwrap();
    assert!(after.is_none_or(|region| region.name.is_none_or(|other| other != name)));
}

#[test]
fn the_stack_and_the_code_are_where_they_are() {
    let snapshot = own_snapshot(Detail::Counts);
    let local = 0u8;
    let stack = snapshot.region_at(&raw const local as u64).expect("a local variable is mapped");
    assert!(stack.protection.is_writable());
    let code = the_stack_and_the_code_are_where_they_are as fn() as usize as u64;
    let code = snapshot.region_at(code).expect("a function is mapped");
    assert!(code.protection.is_executable());
    assert_eq!(code.native.macos().unwrap().segment.as_deref(), Some("__TEXT"));
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().as_encoded_bytes();
    assert!(code.name.as_ref().unwrap().bytes().ends_with(program));
    assert_eq!(snapshot.process.images[0].load_address, snapshot.process.load_address.unwrap());
}

#[test]
fn a_look_up_agrees_with_the_listing() {
    let boxed = Box::new([0u8; 64]);
    let address = boxed.as_ptr() as u64;
    let one = own().region_at(address, Detail::Layout).unwrap().expect("the heap is mapped");
    let all = own_snapshot(Detail::Layout);
    let same = all.region_at(address).unwrap();
    assert_eq!(
        (one.range.start(), one.protection, one.share),
        (same.range.start(), same.protection, same.share)
    );
    assert_eq!(own().region_at(0, Detail::Layout).unwrap(), None);
}

#[test]
fn written_memory_is_dirty_and_layout_counts_nothing() {
    let mut written = vec![0u8; 1 << 20];
    written.iter_mut().step_by(512).for_each(|byte| *byte = 1);
    let address = written.as_ptr() as u64 + (1 << 19);
    let counted = own_snapshot(Detail::Counts);
    let region = counted.region_at(address).unwrap();
    assert!(region.counts.dirty.unwrap().0 > 0);
    assert_ne!(region.share, ShareMode::Empty);
    let layout = own_snapshot(Detail::Layout);
    assert_eq!(layout.region_at(address).unwrap().counts.resident, None);
}

#[test]
fn memory_can_be_read_up_to_where_it_ends() {
    let secret = Box::new(*b"what lies here");
    let (mut copy, mut nothing) = ([0; 14], [0; 14]);
    let memory = own().memory().unwrap();
    let mut pieces = [Piece::new(secret.as_ptr() as u64, &mut copy), Piece::new(8, &mut nothing)];
    memory.read(&mut pieces).unwrap();
    assert!(pieces[0].is_complete());
    assert_eq!(pieces[0].bytes(), *secret);
    assert_eq!((pieces[1].bytes(), pieces[1].shortfall()), (&b""[..], Some(Shortfall::NotMapped)));
    assert!(memory.cost().bytes == 14 && memory.cost().calls > 0);
}

#[test]
fn a_page_that_is_not_resident_is_not_touched() {
    let page = own().info().page_size.unwrap().bytes().0;
    let map = memmap2::MmapOptions::new().len(64 * page as usize).map_anon().unwrap();
    let mut map = std::hint::black_box(map);
    map[0] = 7;
    let memory = own().memory().unwrap();
    let range = AddrRange::with_size(map.as_ptr() as u64, Bytes(64 * page)).unwrap();
    let mut buffer = vec![0; 64 * page as usize];
    for _ in 0..2 {
        let mut pieces = [Piece::new(range.start(), &mut buffer)];
        memory.read(&mut pieces).unwrap();
        assert_eq!((pieces[0].bytes().len() as u64, pieces[0].bytes()[0]), (page, 7));
        assert_eq!(pieces[0].shortfall(), Some(Shortfall::NotResident));
        assert_eq!(
            memory.resident(range).unwrap(),
            [AddrRange::with_size(range.start(), Bytes(page)).unwrap()]
        );
    }
    assert_eq!(memory.frames(range).unwrap(), vec![None; 64]);
}

#[test]
fn this_process_knows_itself() {
    let process = own().process().unwrap();
    assert_eq!(process.pid, Some(std::process::id()));
    assert!(process.system.unwrap().starts_with("macOS "));
    assert!(process.started.unwrap() <= std::time::SystemTime::now());
    assert!(!process.threads.is_empty());
    assert!(process.totals.footprint.unwrap().0 > 0);
    assert_eq!(process.command.len(), std::env::args_os().len());
    let listed = processes(&OpenOptions::default()).unwrap();
    assert!(listed.iter().any(|entry| entry.pid == std::process::id()));
}

#[test]
fn a_child_is_read_or_refused_with_hints_and_vanishes() {
    let child = Command::new("/bin/sleep").arg("60").stdout(Stdio::null()).spawn();
    let Ok(mut child) = child else { return };
    let mut source = open_process(child.id(), &OpenOptions::default()).expect("a child that lives");
    match source.read(Detail::Counts) {
        Ok(snapshot) => assert!(!snapshot.regions.is_empty()),
        Err(error @ Error::NotPermitted { .. }) => assert!(!error.hints().is_empty()),
        Err(error) => panic!("neither read nor refused: {error}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(source.read(Detail::Layout), Err(Error::Vanished { .. })));
}

#[test]
fn what_is_not_there_is_refused() {
    let missing = open_process(i32::MAX as u32, &OpenOptions::default());
    assert!(matches!(missing.err(), Some(Error::NoSuchProcess { .. })));
    let elsewhere = open_self(&OpenOptions::new().procfs(PathBuf::from("/proc")));
    assert!(matches!(elsewhere.err(), Some(Error::Unsupported { .. })));
}
