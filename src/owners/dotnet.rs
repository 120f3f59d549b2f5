//! .NET (CoreCLR) until version 6: the segments of its garbage-collected heap.
//!
//! Each segment has a record at its start; `src/coreclr/gc/gcpriv.h` documents it (`heap_segment`). Since version 7, regions make
//! up the heap. Their records lie elsewhere, so only the shape of the reserve shows it.

#[cfg(test)]
mod tests;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::target::{Target, is_plain, is_reserved};
use crate::kind::RegionKind;

/// The name of the owner.
const OWNER: &str = ".NET";

/// The names of the types of its memory in tables. The first is that of the zone too.
const HEAP: &str = ".NET heap";
const RESERVE: &str = ".NET heap reserve";

/// The file name of the runtime.
const LIBRARY: &[u8] = b"libcoreclr.so";

/// The record of a segment: where the objects, the committed memory and the reserve end, and where the objects begin.
const ALLOCATED: u64 = 0;
const COMMITTED: u64 = 8;
const RESERVED: u64 = 16;
const FIRST: u64 = 32;
const RECORD: usize = 40;

/// Where the objects begin in a segment.
const FIRST_OBJECT: u64 = 4096;

/// .NET.
pub(super) struct DotNet;

/// A segment of the heap.
struct Segment {
    committed: AddrRange,
    reserved: AddrRange,
    allocated: Bytes,
}

impl Recognizer for DotNet {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.all.iter().any(|image| image.file_name() == LIBRARY)
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let segments = segments(target)?;
        if segments.is_empty() {
            return Ok(());
        }
        let mut zone = Zone::new(OWNER, HEAP);
        for segment in &segments {
            let heap = Claim::new(segment.committed, OWNER, RegionKind::GcHeap.id()).title(HEAP);
            claims.add(&heap.zone(&zone.name).note("segment"), is_plain);
            let reserve = Claim::new(segment.reserved, OWNER, RegionKind::Reserved.id()).title(RESERVE);
            claims.add(&reserve, is_reserved);
        }
        zone.committed = Some(segments.iter().map(|segment| segment.committed.size()).sum());
        zone.allocated = Some(segments.iter().map(|segment| segment.allocated).sum());
        zone.doubts.push("holes between objects count as allocated".into());
        claims.zone(zone);
        let count = FactValue::Count(segments.len() as u64);
        claims.runtime(Runtime::new(OWNER, OWNER).fact("segments", count));
        Ok(())
    }
}

/// The segments: committed memory before a reserve.
fn segments(target: &Target<'_>) -> Result<Vec<Segment>> {
    let pairs = target.regions.windows(2).filter(|pair| {
        pair[0].range.end() == pair[1].range.start() && is_plain(&pair[0]) && is_reserved(&pair[1])
    });
    let pairs: Vec<(AddrRange, AddrRange)> = pairs.map(|pair| (pair[0].range, pair[1].range)).collect();
    let records = target.gather(pairs.iter().map(|(committed, _)| committed.start()), RECORD)?;
    let segments = pairs.iter().zip(records.iter());
    Ok(segments.filter_map(|(pair, record)| segment(target, pair.0, pair.1, record?)).collect())
}

/// The segment with this record, if it agrees with the map.
fn segment(target: &Target<'_>, committed: AddrRange, rest: AddrRange, record: &[u8]) -> Option<Segment> {
    let word = |offset| target.u64_in(record, offset);
    let (allocated, first, end) = (word(ALLOCATED)?, word(FIRST)?, word(RESERVED)?);
    let agrees = word(COMMITTED)? == committed.end()
        && first == committed.start().checked_add(FIRST_OBJECT)?
        && (first..=committed.end()).contains(&allocated)
        && (rest.start()..=rest.end()).contains(&end);
    let reserved = AddrRange::new(rest.start(), end).filter(|_| agrees)?;
    Some(Segment { committed, reserved, allocated: Bytes(allocated - first) })
}
