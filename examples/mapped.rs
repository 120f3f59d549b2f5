//! Tests that a file is mapped shared, and no longer mapped after it is closed.
//!
//! Run it with `cargo run --example mapped`, or copy its lines into a `#[test]`.
#![allow(unsafe_code)]

use std::io::Write;

use memmap2::MmapMut;
use mmview::Snapshot;

/// Maps a file, takes a snapshot, closes the file, and takes another.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(b"hello, map\n")?;
    // SAFETY: no one else has this file, so no one truncates it.
    let map = unsafe { MmapMut::map_mut(file.as_file())? };

    let snapshot = Snapshot::of_self()?;
    let mapped: Vec<_> = snapshot.regions_of_file(file.path()).collect();
    assert_eq!(mapped.len(), 1, "the file is mapped once");
    assert_eq!(mapped[0].kind().id(), "mapped-file");
    assert!(mapped[0].protection().is_writable());
    // The region that holds the value is the same one.
    assert_eq!(snapshot.region_of(&*map), Some(mapped[0]));
    // macOS reports a shared mapping as private if no other process has it.
    if snapshot.source.os == "linux" {
        assert!(mapped[0].share().is_shared());
    }

    drop(map);
    assert_eq!(Snapshot::of_self()?.regions_of_file(file.path()).count(), 0, "a closed file is not mapped");
    Ok(())
}
