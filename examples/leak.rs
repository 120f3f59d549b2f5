//! Tests that a cache of mapped files unmaps them when it is cleared.
//!
//! Run it with `cargo run --example leak`, or copy its lines into a `#[test]`.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::path::Path;

use memmap2::Mmap;
use mmview::Snapshot;
use mmview::diff::{ChangeKind, Diff};

/// Fills the cache, clears it, and looks for files that are still mapped.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let paths: Vec<_> = (0..3).map(|number| directory.path().join(format!("{number}.cached"))).collect();
    let empty = Snapshot::of_self()?;

    let mut cache = Vec::new();
    for path in &paths {
        fs::write(path, b"cached")?;
        // SAFETY: no one else has these files, so no one truncates them.
        cache.push(unsafe { Mmap::map(&File::open(path)?)? });
    }
    let full = Snapshot::of_self()?;
    // The regions that appeared between two snapshots show where a leak comes from, with the path of each file.
    let is_cached = |path: &[u8]| path.ends_with(b".cached");
    let added = Diff::between(&empty, &full).changes.into_iter().filter(|change| {
        let path = change.region().path();
        change.kind == ChangeKind::Added && path.is_some_and(is_cached)
    });
    assert_eq!(added.count(), 3);

    cache.clear();
    let cleared = Snapshot::of_self()?;
    let left = |path: &Path| cleared.regions_of_file(path).count();
    assert!(paths.iter().all(|path| left(path) == 0), "every file was unmapped");
    Ok(())
}
