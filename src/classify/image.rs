//! Images: programs and libraries, which the loader maps segment by segment.

use mmview_platform::{Device, Name, NameKind, Region};

use super::ahead::Ahead;
use crate::kind::RegionKind;

/// The largest hole between segments of one image. Linkers leave holes of at most their largest page size (2 MiB on x86-64,
/// 64 KiB on arm64); older loaders keep the holes mapped without access.
const LARGEST_HOLE: u64 = 4 << 20;

/// The largest page size. Adjacent segments can share a page of the file.
const LARGEST_PAGE: u64 = 64 << 10;

/// The limit of the look-ahead. Real images have four to eight segments.
pub(super) const LONGEST_RUN: usize = 64;

/// Segments of one file that belong together: addresses and file offsets both ascend.
#[derive(Clone, Debug)]
pub(super) struct Run {
    name: Name,
    device: Device,
    inode: u64,
    end: u64,
    /// The file offset up to which the file is mapped.
    file_end: u64,
    /// The end of the image's data if that is the last segment so far: its zero-initialized part can follow.
    pub data_end: Option<u64>,
    has_code: bool,
}

impl Run {
    fn start(region: &Region) -> Option<Run> {
        let name = region.name.as_ref()?;
        if !matches!(name.kind(), NameKind::File | NameKind::MemoryObject) {
            return None;
        }
        let native = region.native.linux()?;
        let mut run = Run {
            name: name.clone(),
            device: native.device,
            inode: native.inode,
            end: 0,
            file_end: region.offset,
            data_end: None,
            has_code: false,
        };
        run.extend(region);
        Some(run)
    }

    /// Whether `region` is the next segment.
    fn continues_with(&self, region: &Region) -> bool {
        let Some(native) = region.native.linux() else { return false };
        region.name.as_ref() == Some(&self.name)
            && (native.device, native.inode) == (self.device, self.inode)
            && region.range.start().checked_sub(self.end).is_some_and(|hole| hole <= LARGEST_HOLE)
            && region.offset.saturating_add(LARGEST_PAGE) >= self.file_end
            && region.offset + region.size().0 >= self.file_end.saturating_sub(LARGEST_PAGE)
    }

    fn extend(&mut self, region: &Region) {
        self.end = region.range.end();
        if !region.protection.is_none() {
            self.file_end = region.offset.saturating_add(region.size().0);
        }
        self.has_code |= region.protection.is_executable();
        self.data_end = region.protection.is_writable().then_some(self.end);
    }
}

/// Returns the kind of the current region as a segment of an image, or `None` if it is not part of one.
///
/// An image is a run of segments, one of them executable. A library that is mapped as data, for example to read its symbols,
/// has no executable segment and is a mapped file. A file in memory (memfd) needs more than one segment: an executable one
/// alone belongs to a JIT compiler.
pub(super) fn segment<I>(
    ahead: &mut Ahead<I>,
    current: &mut Option<Run>,
    region: &Region,
) -> Option<RegionKind>
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    match current {
        Some(run) if run.continues_with(region) => run.extend(region),
        _ => {
            *current = None;
            let (length, has_code) = run_ahead(ahead, region)?;
            let is_memory = region.name.as_ref()?.kind() == NameKind::MemoryObject;
            if !has_code || (is_memory && (length < 2 || region.share.is_shared())) {
                return None;
            }
            *current = Run::start(region);
        }
    }
    Some(segment_kind(ahead, region, current.as_ref()?.has_code))
}

/// Returns the length of the run that starts with `region`, and whether it has an executable segment.
fn run_ahead<I>(ahead: &mut Ahead<I>, region: &Region) -> Option<(usize, bool)>
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    let mut run = Run::start(region)?;
    let mut length = 1;
    while length < LONGEST_RUN
        && let Some(next) = ahead.peek(length - 1)
        && run.continues_with(next)
    {
        run.extend(next);
        length += 1;
        if run.has_code && length > 1 {
            break;
        }
    }
    Some((length, run.has_code))
}

fn segment_kind<I>(ahead: &mut Ahead<I>, region: &Region, has_code_before: bool) -> RegionKind
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    let protection = region.protection;
    if protection.is_none() {
        RegionKind::Reserved
    } else if protection.is_writable() {
        RegionKind::Data
    } else if protection.is_executable() {
        RegionKind::Text
    } else if is_relro(ahead, region, has_code_before) {
        RegionKind::Relro
    } else {
        RegionKind::Rodata
    }
}

/// Whether a read-only segment was writable during relocation.
///
/// Such memory stays accounted against the commit limit (`ac` in VmFlags; `mm/mprotect.c` doesn't undo that). If the flags are
/// unknown, it is the segment after the code that touches the writable one. This is right for the layout of every linker,
/// unless the image was linked without relro.
fn is_relro<I>(ahead: &mut Ahead<I>, region: &Region, has_code_before: bool) -> bool
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    if let Some(is_accounted) = region.native.linux().and_then(|native| native.has_flag(b"ac")) {
        return is_accounted;
    }
    has_code_before
        && ahead.peek(0).is_some_and(|next| {
            next.name == region.name
                && next.protection.is_writable()
                && next.range.start() == region.range.end()
        })
}
