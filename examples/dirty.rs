//! Tests that a write makes one page dirty, and only that one.
//!
//! Run it with `cargo run --example dirty`, or copy its lines into a `#[test]`.

use memmap2::MmapMut;
use mmview::Snapshot;
use mmview::platform::Bytes;

/// Writes to one page of four, and compares the resident and dirty sizes before and after.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = Snapshot::of_self()?.source.page_size.expect("a live process has a page size").bytes();
    let size = usize::try_from(page.0)?;
    let mut memory = MmapMut::map_anon(4 * size)?;

    let before = Snapshot::of_self()?.counts_of(&*memory);
    assert_eq!(before.resident, Some(Bytes::ZERO), "no page was touched, so none is resident");

    memory[2 * size] = 1;
    let snapshot = Snapshot::of_self()?;
    assert_eq!(snapshot.counts_of(&memory[2 * size..3 * size]).dirty, Some(page));
    assert_eq!(snapshot.counts_of(&memory[..2 * size]).resident, Some(Bytes::ZERO));
    assert_eq!(snapshot.counts_of(&*memory).dirty, Some(page), "one of the four pages is dirty");
    Ok(())
}
