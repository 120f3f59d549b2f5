//! The process under inspection: its map, its images, and its memory, read in the words of its machine.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use mmview_platform::{
    AddrRange, ByteOrder, Bytes, Memory, MemoryMap, Name, NameKind, PageSize, Piece, ProcessInfo, Region,
    Result, TargetArch,
};

use super::images::Images;
use super::residency::Residency;

/// The largest piece of memory that [`Target::scan`] reads at once.
const LARGEST_PIECE: usize = 1 << 20;

/// The process under inspection.
pub(super) struct Target<'a> {
    pub regions: &'a [Region],
    pub process: &'a ProcessInfo,
    pub images: Images,
    /// The size of a word: 4 or 8.
    pub word: u64,
    order: ByteOrder,
    page: u64,
    memory: &'a dyn Memory,
    residency: Residency,
    /// Buffers that were used and can be used again: new ones cost a page fault for each page.
    buffers: Buffers,
    /// A buffer for walks through memory.
    pub window: RefCell<Vec<u8>>,
}

impl<'a> Target<'a> {
    pub fn new(map: &'a MemoryMap, memory: &'a dyn Memory, arch: TargetArch, images: Images) -> Target<'a> {
        Target {
            regions: &map.regions,
            process: &map.process,
            images,
            word: arch.word_size.0,
            order: arch.byte_order,
            page: page_of(map.source.page_size),
            memory,
            residency: Residency::default(),
            buffers: Buffers::default(),
            window: RefCell::default(),
        }
    }

    /// The size of a page.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// The region that holds `address`.
    pub fn region_at(&self, address: u64) -> Option<&'a Region> {
        let after = self.regions.partition_point(|region| region.range.end() <= address);
        self.regions.get(after).filter(|region| region.range.contains(address))
    }

    /// Whether all of `range` lies in regions that are `wanted`, without a gap.
    pub fn is_within(&self, range: AddrRange, wanted: impl Fn(&Region) -> bool) -> bool {
        let mut next = range.start();
        while next < range.end() {
            match self.region_at(next) {
                Some(region) if wanted(region) => next = region.range.end(),
                _ => return false,
            }
        }
        true
    }

    /// Whether `address` lies in private writable memory without a file: where allocators keep theirs.
    pub fn is_plain(&self, address: u64) -> bool {
        self.region_at(address).is_some_and(is_plain)
    }

    /// Whether `address` lies in private writable memory, of a file or not.
    pub fn is_writable(&self, address: u64) -> bool {
        let is_own = |region: &Region| region.protection.is_writable() && !region.share.is_shared();
        self.region_at(address).is_some_and(is_own)
    }

    /// The resident parts of `range`, in whole pages.
    pub fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
        self.residency.runs(self.memory, range, self.page)
    }

    /// The memory itself, for what needs the states of pages.
    pub fn memory(&self) -> &'a dyn Memory {
        self.memory
    }

    /// Reads from `address` on into `buffer`. Returns how many bytes are resident and were read.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let Some(range) = self.mapped(address, buffer.len()) else { return Ok(0) };
        self.residency.prepare(self.memory, std::iter::once(range))?;
        let present = self.residency.prefix(range);
        let buffer = &mut buffer[..present.range.size().0 as usize];
        let mut pieces = [Piece::new(address, buffer).own(present.is_own)];
        self.memory.read_present(&mut pieces)?;
        Ok(pieces[0].bytes().len())
    }

    /// What of `size` bytes at `address` the region there has; `None` if there is no region.
    fn mapped(&self, address: u64, size: usize) -> Option<AddrRange> {
        self.region_at(address)?;
        AddrRange::with_size(address, Bytes(size as u64))
    }

    /// Reads up to `size` bytes at `address`: as many as are resident.
    pub fn bytes(&self, address: u64, size: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; size];
        let read = self.read(address, &mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Reads the resident parts of `range`, in pieces of at most [`LARGEST_PIECE`], and passes each with its address.
    pub fn scan(&self, range: AddrRange, mut each: impl FnMut(u64, &[u8])) -> Result<()> {
        let mut buffer = Vec::new();
        for resident in self.resident(range)? {
            let Some(mut rest) = resident.overlap(range) else { continue };
            while !rest.is_empty() {
                buffer.resize((rest.size().0 as usize).min(LARGEST_PIECE), 0);
                let read = self.read(rest.start(), &mut buffer)?;
                each(rest.start(), &buffer[..read]);
                let next = rest.start() + buffer.len() as u64;
                let Some(after) = AddrRange::new(next, rest.end()) else { break };
                rest = after;
            }
        }
        Ok(())
    }

    /// Reads `size` bytes at each address, in few calls.
    pub fn gather(&self, addresses: impl IntoIterator<Item = u64>, size: usize) -> Result<Gathered> {
        let ranges: Vec<_> = addresses.into_iter().map(|address| self.mapped(address, size)).collect();
        self.residency.prepare(self.memory, ranges.iter().flatten().copied())?;
        let needed = ranges.len() * size;
        let mut bytes = self.buffer(needed);
        let mut complete = vec![false; ranges.len()];
        let (mut places, mut pieces) = (Vec::new(), Vec::new());
        for ((place, range), buffer) in ranges.iter().enumerate().zip(bytes[..needed].chunks_exact_mut(size))
        {
            let Some(range) = range else { continue };
            let present = self.residency.prefix(*range);
            if present.range == *range {
                places.push(place);
                pieces.push(Piece::new(range.start(), buffer).own(present.is_own));
            }
        }
        self.memory.read_present(&mut pieces)?;
        for (place, piece) in places.into_iter().zip(&pieces) {
            complete[place] = piece.is_complete();
        }
        Ok(Gathered { bytes, size, complete, buffers: Rc::clone(&self.buffers) })
    }

    /// A buffer of at least this size: a used one, or a new one with room to spare for the next.
    fn buffer(&self, size: usize) -> Vec<u8> {
        let mut buffers = self.buffers.borrow_mut();
        let fitting = buffers.iter().position(|buffer| buffer.len() >= size);
        fitting.map_or_else(|| vec![0; size.next_power_of_two()], |index| buffers.swap_remove(index))
    }

    /// The word at `offset` of `bytes`; `None` if they end before it.
    pub fn word_in(&self, bytes: &[u8], offset: u64) -> Option<u64> {
        if self.word == 8 { self.u64_in(bytes, offset) } else { self.u32_in(bytes, offset).map(u64::from) }
    }

    pub fn u64_in(&self, bytes: &[u8], offset: u64) -> Option<u64> {
        let bytes = part(bytes, offset, 8)?.try_into().ok()?;
        Some(if self.order == ByteOrder::Big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    pub fn u32_in(&self, bytes: &[u8], offset: u64) -> Option<u32> {
        let bytes = part(bytes, offset, 4)?.try_into().ok()?;
        Some(if self.order == ByteOrder::Big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub fn u16_in(&self, bytes: &[u8], offset: u64) -> Option<u16> {
        let bytes = part(bytes, offset, 2)?.try_into().ok()?;
        Some(if self.order == ByteOrder::Big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// The title of a thread, such as `thread 4243 worker`.
    pub fn thread_title(&self, id: u32) -> String {
        let thread = self.process.threads.iter().find(|thread| thread.id == u64::from(id));
        match thread.and_then(|thread| thread.name.as_deref()) {
            Some(name) => format!("thread {id} {}", String::from_utf8_lossy(name)),
            None => format!("thread {id}"),
        }
    }

    pub fn is_thread(&self, id: u32) -> bool {
        self.process.threads.iter().any(|thread| thread.id == u64::from(id))
    }
}

fn part(bytes: &[u8], offset: u64, size: usize) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(size)?)
}

/// The size of a page; if it is unknown, the smallest in use.
pub(super) fn page_of(page_size: Option<PageSize>) -> u64 {
    page_size.map_or(4096, |page| page.bytes().0)
}

/// Whether a region is private writable memory without a file, such as allocators use. The kernel must not refuse or block a
/// read: memory of devices and memory whose faults a program handles (userfaultfd) doesn't count.
pub(super) fn is_plain(region: &Region) -> bool {
    region.protection.is_writable() && is_anonymous(region)
}

/// Whether a region is private readable memory without a file, as [`is_plain`], but maybe not writable (anymore).
pub(super) fn is_anonymous(region: &Region) -> bool {
    let is_anonymous = region.name.as_ref().is_none_or(|name| match name.kind() {
        NameKind::Given => true,
        NameKind::Kernel => name.bytes() == b"[heap]",
        _ => false,
    });
    let has = |flag| region.native.linux().and_then(|native| native.has_flag(flag)).unwrap_or(false);
    is_anonymous
        && region.protection.is_readable()
        && !region.share.is_shared()
        && ![b"io", b"pf", b"um", b"uw"].into_iter().any(has)
}

/// Whether a region is reserved address space: private, without a file, and nothing can access it.
pub(super) fn is_reserved(region: &Region) -> bool {
    region.protection.is_none() && region.is_unnamed() && !region.share.is_shared()
}

/// The address space of neighbors that are private and without a file: what one reserve has become, for example.
pub(super) fn groups(regions: &[Region]) -> Vec<AddrRange> {
    let is_part = |region: &Region| is_reserved(region) || (is_anonymous(region) && !is_brk(region));
    let follow =
        |one: &Region, next: &Region| one.range.end() == next.range.start() && is_part(one) && is_part(next);
    let groups = regions.chunk_by(follow).filter(|group| group.iter().all(is_part));
    groups.filter_map(|group| group.iter().map(|region| region.range).reduce(AddrRange::hull)).collect()
}

/// Whether a region is what the kernel calls the heap.
pub(super) fn is_brk(region: &Region) -> bool {
    region.name.as_ref().is_some_and(|name: &Name| name.bytes() == b"[heap]")
}

/// Pieces of the same size that were read together.
pub(super) struct Gathered {
    bytes: Vec<u8>,
    size: usize,
    complete: Vec<bool>,
    buffers: Buffers,
}

type Buffers = Rc<RefCell<Vec<Vec<u8>>>>;

/// How many buffers are kept, and the largest of them.
const MOST_BUFFERS: usize = 4;
const LARGEST_BUFFER: usize = 32 << 20;

impl Drop for Gathered {
    fn drop(&mut self) {
        if self.bytes.len() > LARGEST_BUFFER {
            return;
        }
        let mut buffers = self.buffers.borrow_mut();
        buffers.push(std::mem::take(&mut self.bytes));
        if buffers.len() > MOST_BUFFERS {
            let smallest = (0..buffers.len()).min_by_key(|index| buffers[*index].len());
            smallest.map(|index| buffers.swap_remove(index));
        }
    }
}

impl Gathered {
    /// The piece of this index, if all of it was read.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.complete.get(index).filter(|complete| **complete)?;
        let range: Range<usize> = index * self.size..(index + 1) * self.size;
        self.bytes.get(range)
    }

    pub fn len(&self) -> usize {
        self.complete.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }
}
