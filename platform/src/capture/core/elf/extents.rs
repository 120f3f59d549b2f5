//! Which parts of a file are stored, and which are holes.
//!
//! The kernel writes a hole for a page that the process did not have. A copy may have lost the holes, or have more of them.

use std::fs::File;

use super::super::Segment;
use super::super::input::read_at;
use super::headers::Load;
use crate::model::AddrRange;

/// How many bytes are searched for a page of zeros.
const LONGEST_SEARCH: u64 = 4 << 20;

/// The stored parts of a core that no one has copied.
#[derive(Debug)]
pub(super) struct Extents(Vec<(u64, u64)>);

impl Extents {
    /// Finds the stored parts. `None` if the file has no holes, or if these can be those of a copy, so they say nothing about
    /// the process. Tools that make holes of single pages leave no stored page of zeros, and the kernel stores those that the
    /// process had. Others look for zeros in larger blocks (zstd: 32 KiB, dd), and their holes start with a block.
    pub fn find(file: &File, length: u64, page: u64) -> Option<Extents> {
        let parts = stored(file, length)?;
        let starts_inside_block = |end: u64| end < length && !end.is_multiple_of(2 * page);
        let has_fine_holes = page <= LONGEST_SEARCH && parts.iter().any(|(_, end)| starts_inside_block(*end));
        (has_fine_holes && has_zeros(file, &parts, page)).then_some(Extents(parts))
    }

    /// The stored parts of a region.
    pub fn segments(&self, load: &Load) -> impl Iterator<Item = Segment> {
        let (start, end, address) = (load.offset, load.file_end(), load.range.start());
        let first = self.0.partition_point(|part| part.1 <= start);
        let inside = self.0[first..].iter().take_while(move |part| part.0 < end);
        inside.filter_map(move |part| {
            let (from, to) = (part.0.max(start), part.1.min(end));
            let range = AddrRange::new(address + (from - start), address + (to - start))?;
            Some(Segment { range, offset: from })
        })
    }
}

#[cfg(target_os = "linux")]
fn stored(file: &File, length: u64) -> Option<Vec<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    /// How many parts a file may have.
    const MOST_PARTS: usize = 1 << 20;
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < length && parts.len() < MOST_PARTS {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data after this.
            Err(Errno::NXIO) => return Some(parts),
            Err(_) => return None,
        };
        let end = seek(file, SeekFrom::Hole(start)).ok()?;
        if end <= start {
            return None;
        }
        parts.push((start, end));
        at = end;
    }
    (at >= length).then_some(parts)
}

#[cfg(not(target_os = "linux"))]
fn stored(_: &File, _: u64) -> Option<Vec<(u64, u64)>> {
    None
}

/// Whether a stored page has only zeros. Searches from the end on, where the memory of libraries and stacks is.
fn has_zeros(file: &File, parts: &[(u64, u64)], page: u64) -> bool {
    let Ok(size) = usize::try_from(page) else { return false };
    if page == 0 || page > LONGEST_SEARCH {
        return false;
    }
    let mut buffer = vec![0; size];
    let pages = parts.iter().rev().flat_map(|&(start, end)| {
        (start.next_multiple_of(page)..end).step_by(size).filter(move |at| end - at >= page)
    });
    pages.take((LONGEST_SEARCH / page) as usize).any(|at| {
        let read = read_at(file, &mut buffer, at);
        read.is_ok_and(|read| read == size) && buffer.iter().all(|byte| *byte == 0)
    })
}
