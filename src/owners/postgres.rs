//! The shared memory of PostgreSQL: an anonymous mapping that all its processes share, whose header records its size and the
//! process that made it (`src/include/storage/pg_shmem.h`). What is allocated in it is in an index that nothing leads to, so
//! only the whole is known. The memory of each process itself comes from malloc.

use mmview_platform::{Bytes, Claim, FactValue, Region, Result, Runtime};

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;
use crate::kind::RegionKind;

/// The shared memory of PostgreSQL.
pub(super) struct Postgres;

const OWNER: &str = "PostgreSQL";
const TITLE: &str = "PostgreSQL shared memory";

/// The name of its program. The segment has other names with huge pages and with System V's shared memory.
const PROGRAM: &[u8] = b"postgres";

/// The number that the header begins with.
const MAGIC: u32 = 679_834_894;

/// The offsets in the header: the magic number, the creator's ID, the size, and where the free space begins.
const CREATOR: u64 = 4;
const SIZE: u64 = 8;

/// How many segments are looked at. A server has two.
const MOST_SEGMENTS: usize = 64;

impl Recognizer for Postgres {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.images.all.iter().any(|image| image.file_name() == PROGRAM)
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let segments: Vec<_> =
            target.regions.iter().filter(|region| is_segment(region)).take(MOST_SEGMENTS).collect();
        let free = SIZE + target.word;
        let headers = target
            .gather(segments.iter().map(|region| region.range.start()), (free + target.word) as usize)?;
        for (region, header) in segments.into_iter().zip(headers.iter()) {
            let Some(header) = header else { continue };
            let size =
                target.word_in(header, SIZE).and_then(|size| size.checked_next_multiple_of(target.page()));
            let has_header = target.u32_in(header, 0) == Some(MAGIC) && size == Some(region.size().0);
            let Some(taken) =
                target.word_in(header, free).filter(|taken| has_header && *taken <= region.size().0)
            else {
                continue;
            };
            let is_lock = region.size().0 == target.page();
            let note = if is_lock { "the lock of the data directory" } else { "main segment" };
            let claim =
                Claim::new(region.range, OWNER, RegionKind::SharedMemory.id()).title(TITLE).note(note);
            claims.add(&claim, is_segment);
            if !is_lock {
                let mut runtime = Runtime::new(OWNER, OWNER);
                if let Some(creator) = target.u32_in(header, CREATOR) {
                    runtime = runtime.fact(
                        "creator of the shared memory",
                        FactValue::Text(format!("process {creator}").into()),
                    );
                }
                runtime = runtime
                    .fact("shared memory", FactValue::Size(region.size()))
                    .fact("shared memory given out", FactValue::Size(Bytes(taken)));
                claims.runtime(runtime);
            }
        }
        Ok(())
    }
}

/// Whether a region can be a segment: shared, writable and readable from its start.
fn is_segment(region: &Region) -> bool {
    region.share.is_shared()
        && region.protection.is_writable()
        && region.protection.is_readable()
        && region.offset == 0
}
