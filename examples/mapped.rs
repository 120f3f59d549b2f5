//! Is my file mapped, shared, and gone after it was closed?
//!
//! `cargo run --example mapped`, or the same lines in a `#[test]`.
#![allow(unsafe_code)]

use std::io::Write;

use memmap2::MmapMut;
use mmview::Snapshot;

/// Maps a file, looks, closes it, and looks again.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(b"hello, map\n")?;
    // SAFETY: nobody else has this file, so nobody truncates it.
    let map = unsafe { MmapMut::map_mut(file.as_file())? };

    let snapshot = Snapshot::of_self()?;
    let mapped: Vec<_> = snapshot.regions_of_file(file.path()).collect();
    assert_eq!(mapped.len(), 1, "the file is mapped once");
    assert_eq!(mapped[0].kind().id(), "mapped-file");
    assert!(mapped[0].protection().is_writable());
    // The region that a value lies in is the same one.
    assert_eq!(snapshot.region_of(&*map), Some(mapped[0]));
    // macOS calls a shared mapping that nobody else has private.
    if snapshot.source.os == "linux" {
        assert!(mapped[0].share().is_shared());
    }

    drop(map);
    assert_eq!(Snapshot::of_self()?.regions_of_file(file.path()).count(), 0, "closed is gone");
    Ok(())
}
