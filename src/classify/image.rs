//! Images: programs and libraries, which the loader maps segment by segment.

use mmview_platform::{Bytes, Device, Name, NameKind, Protection, Region};

use super::ahead::Ahead;
use crate::kind::RegionKind;

/// The largest hole between segments of one image. Linkers leave holes of at most their largest page size (2 MiB on x86-64,
/// 64 KiB on arm64); older loaders keep the holes mapped without access.
pub(super) const LARGEST_HOLE: u64 = 4 << 20;

/// The largest page size. Adjacent segments can share a page of the file.
const LARGEST_PAGE: u64 = 64 << 10;

/// The limit of the look-ahead. Real images have four to eight segments.
pub(super) const LONGEST_RUN: usize = 64;

/// The largest zero-initialized part of an image that is likely: of a library and of a program.
const LARGEST_LIBRARY_BSS: Bytes = Bytes(16 << 20);
const LARGEST_BSS: Bytes = Bytes(1 << 30);

/// Segments of one file that belong together: addresses and file offsets both ascend.
#[derive(Clone, Debug)]
struct Run {
    name: Name,
    device: Device,
    inode: u64,
    end: u64,
    /// The file offset up to which the file is mapped.
    file_end: u64,
    /// The end of the image's data and its protection, if that is the last segment so far.
    data: Option<(u64, Protection)>,
    has_code: bool,
    /// Whether parts of it can be code, because their protection is unknown.
    has_unknown: bool,
}

impl Run {
    fn start(region: &Region) -> Option<Run> {
        let name = region.name.as_ref()?;
        // The loader maps every segment privately.
        if !matches!(name.kind(), NameKind::File | NameKind::MemoryObject) || region.share.is_shared() {
            return None;
        }
        let native = region.native.linux()?;
        let mut run = Run {
            name: name.clone(),
            device: native.device,
            inode: native.inode,
            end: 0,
            file_end: region.offset,
            data: None,
            has_code: false,
            has_unknown: false,
        };
        run.extend(region);
        Some(run)
    }

    /// Whether `region` is the next segment.
    fn continues_with(&self, region: &Region) -> bool {
        let Some(native) = region.native.linux() else { return false };
        (native.device, native.inode) == (self.device, self.inode)
            && region.name.as_ref() == Some(&self.name)
            && !region.share.is_shared()
            && self.reaches(region.range.start())
            && (!region.has_offset() || self.is_at_end_of_file(region))
    }

    /// Whether a segment at `start` can belong to it.
    fn reaches(&self, start: u64) -> bool {
        start.checked_sub(self.end).is_some_and(|hole| hole <= LARGEST_HOLE)
    }

    /// Whether `region` goes on in the file where the last segment ends.
    fn is_at_end_of_file(&self, region: &Region) -> bool {
        region.offset.saturating_add(LARGEST_PAGE) >= self.file_end
            && region.offset.saturating_add(region.size().0) >= self.file_end.saturating_sub(LARGEST_PAGE)
    }

    fn extend(&mut self, region: &Region) {
        self.end = region.range.end();
        if !region.protection.is_none() {
            self.file_end = region.offset.saturating_add(region.size().0);
        }
        self.has_unknown |= !region.protection.is_known();
        // A core lacks the protections of code. Only images have data next to it.
        self.has_code |= is_code(region) || (self.has_unknown && region.protection.is_writable());
        self.data = region.protection.is_writable().then_some((self.end, region.protection));
    }

    /// Whether its file is a library by its name, such as `libc.so.6` or `ld-2.31.so`.
    fn is_library(&self) -> bool {
        let file = self.name.bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        file.ends_with(b".so") || file.windows(4).any(|part| part == b".so.")
    }
}

/// Whether a segment holds the code of an image. Code that can be written is such only with the header of the file (a program
/// linked with `ld -N`): elsewhere it is what a runtime keeps in a file of its own, such as the JVM's archive of classes.
fn is_code(region: &Region) -> bool {
    let protection = region.protection;
    protection.is_executable() && (!protection.is_writable() || region.offset == 0)
}

/// The images that the next regions can belong to.
#[derive(Default)]
pub(super) struct Images {
    /// Other mappings can lie in the holes of an image, even other images.
    runs: Vec<Run>,
}

impl Images {
    /// Forgets the images that end too far below `start`.
    fn forget_before(&mut self, start: u64) {
        self.runs.retain(|run| run.reaches(start));
    }

    /// Whether the data of a program ends at `start`.
    pub fn have_program_before(&self, start: u64) -> bool {
        let is_it = |run: &Run| run.data.is_some_and(|(end, _)| end == start) && !run.is_library();
        self.runs.iter().any(is_it)
    }

    /// Whether `region` can be the zero-initialized part of an image: it lies directly above the data, has the same protection,
    /// and its size is plausible. Other memory can lie there by chance, but not above a program, which is alone at its place.
    pub fn have_bss(&self, region: &Region) -> bool {
        let is_bss_of = |run: &Run| {
            let largest = if run.is_library() { LARGEST_LIBRARY_BSS } else { LARGEST_BSS };
            run.data == Some((region.range.start(), region.protection)) && region.size() <= largest
        };
        region.protection.is_writable() && !region.share.is_shared() && self.runs.iter().any(is_bss_of)
    }
}

/// Whether a region that was explained as `kind` is a segment of an image.
pub(super) fn is_segment(region: &Region, kind: RegionKind) -> bool {
    const SEGMENTS: [RegionKind; 6] = [
        RegionKind::Text,
        RegionKind::Rodata,
        RegionKind::Relro,
        RegionKind::Data,
        RegionKind::Reserved,
        RegionKind::Image,
    ];
    region.name.as_ref().is_some_and(|name| name.path().is_some()) && SEGMENTS.contains(&kind)
}

/// Returns the kind of the current region as a segment of an image, or `None` if it is not part of one.
///
/// An image is a run of segments, one of them code. A library that is mapped as data, for example to read its symbols, has no
/// executable segment and is a mapped file. A file in memory (memfd) needs more than one segment: an executable one alone
/// belongs to a JIT compiler.
pub(super) fn segment<I>(ahead: &mut Ahead<I>, images: &mut Images, region: &Region) -> Option<RegionKind>
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    images.forget_before(region.range.start());
    let current = images.runs.iter().rposition(|run| run.continues_with(region));
    let had_code = match current {
        Some(index) => {
            let run = &mut images.runs[index];
            run.extend(region);
            run.has_code || run.has_unknown
        }
        None => {
            let (length, has_code) = run_ahead(ahead, region)?;
            let is_memory = region.name.as_ref()?.kind() == NameKind::MemoryObject;
            if !has_code || (is_memory && length < 2) {
                return None;
            }
            let run = Run::start(region)?;
            let has_code = run.has_code || run.has_unknown;
            images.runs.push(run);
            has_code
        }
    };
    Some(segment_kind(ahead, region, had_code))
}

/// Returns the length of the run that starts with `region`, and whether it has code. Stops once it has.
fn run_ahead<I>(ahead: &mut Ahead<I>, region: &Region) -> Option<(usize, bool)>
where
    I: Iterator<Item = mmview_platform::Result<Region>>,
{
    let mut run = Run::start(region)?;
    let mut length = 1;
    for index in 0..LONGEST_RUN {
        let Some(next) = ahead.peek(index).filter(|next| run.reaches(next.range.start())) else { break };
        if run.continues_with(next) {
            run.extend(next);
            length += 1;
        }
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
    if !protection.is_known() {
        RegionKind::Image
    } else if protection.is_none() {
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
