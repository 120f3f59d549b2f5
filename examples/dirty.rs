//! Did this page become dirty, and only this one?
//!
//! `cargo run --example dirty`, or the same lines in a `#[test]`.

use memmap2::MmapMut;
use mmview::Snapshot;
use mmview::platform::Bytes;

/// Writes to one page of four, and counts what is resident and dirty before and after.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = Snapshot::of_self()?.source.page_size.expect("this system tells its page size").bytes();
    let size = usize::try_from(page.0)?;
    let mut memory = MmapMut::map_anon(4 * size)?;

    let before = Snapshot::of_self()?.counts_of(&*memory);
    assert_eq!(before.resident, Some(Bytes::ZERO), "nothing was touched, so nothing is there");

    memory[2 * size] = 1;
    let snapshot = Snapshot::of_self()?;
    assert_eq!(snapshot.counts_of(&memory[2 * size..3 * size]).dirty, Some(page));
    assert_eq!(snapshot.counts_of(&memory[..2 * size]).resident, Some(Bytes::ZERO));
    assert_eq!(snapshot.counts_of(&*memory).dirty, Some(page), "of all four pages one is dirty");
    Ok(())
}
