//! Reading scattered pieces of memory without touching a page that is not resident.
//!
//! Pure, over [`PageCalls`]: first the windows that hold the pieces are searched for resident pages, then the resident part
//! of each piece is copied, then the reason is found for each piece that came short.

// Hosts without a backend build this to test it.
#![cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]

use super::{Piece, PresentRun, Shortfall};
use crate::error::Result;
use crate::model::{AddrRange, Bytes, PageSize};

/// Pieces that lie no farther apart than this many pages are searched for resident pages in one call: walking over so many
/// page table entries costs about as much as another call.
const NEAR_PAGES: u64 = 64;

/// The largest number of pieces that one call copies: `IOV_MAX` of Linux (`include/uapi/linux/uio.h`, `UIO_MAXIOV`).
const MOST_TRANSFERS: usize = 1024;

/// The largest number of bytes in one transfer, and in one call. Linux copies at most 2 GiB less a page in one call.
const LARGEST_TRANSFER: usize = 256 << 20;
const LARGEST_BATCH: usize = 1 << 30;

/// The calls that reading makes.
pub(crate) trait PageCalls {
    /// The present pages in `window`, which consists of whole pages (but for the last of the
    /// address space): runs ordered by address, which may touch.
    fn present(&self, window: AddrRange) -> Result<Vec<PresentRun>>;

    /// Copies transfers in order up to the first byte that faults. Returns the number of bytes copied.
    fn copy(&self, transfers: &mut [Transfer<'_>]) -> Result<usize>;

    /// For each address whether a region maps it. The addresses are in ascending order.
    fn are_mapped(&self, addresses: &[u64]) -> Result<Vec<bool>>;

    /// Checks that the target is still the process that was opened, running the same program.
    fn check_identity(&self) -> Result<()>;
}

/// Bytes to copy.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    pub address: u64,
    pub buffer: &'a mut [u8],
    /// Whether only the target maps its pages. Only Linux has ways to read that differ in this.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub is_own: bool,
}

/// Reads `pieces` as [`Memory::read`](super::Memory::read) promises.
pub(crate) fn read_pieces(
    calls: &impl PageCalls,
    page_size: PageSize,
    pieces: &mut [Piece<'_>],
) -> Result<()> {
    let checked = calls.check_identity();
    let faulted = checked.and_then(|()| read_resident(calls, page_size, pieces));
    let checked = faulted.and_then(|faulted| calls.check_identity().map(|()| faulted));
    let result = checked.and_then(|faulted| explain(calls, pieces, &faulted));
    if result.is_err() {
        forget(pieces);
    }
    result
}

/// The bytes may be another process's.
fn forget(pieces: &mut [Piece<'_>]) {
    for piece in pieces {
        piece.buffer.fill(0);
        (piece.read, piece.shortfall) = (0, None);
    }
}

/// Reads `pieces`, whose pages are present, as [`Memory::read_present`](super::Memory::read_present) promises.
pub(crate) fn read_present(calls: &impl PageCalls, pieces: &mut [Piece<'_>]) -> Result<()> {
    for piece in pieces.iter_mut() {
        (piece.read, piece.shortfall) = (0, None);
    }
    let ranges: Vec<_> = pieces.iter().map(range_of).collect();
    let mut present = ranges.clone();
    present.sort_unstable();
    let result = copy(calls, pieces, &ranges, &joined(present));
    if result.is_err() {
        forget(pieces);
    }
    result.map(|_| ())
}

/// Reads the resident prefix of each of `pieces`. Returns for each whether a page of it faulted.
fn read_resident(calls: &impl PageCalls, page_size: PageSize, pieces: &mut [Piece<'_>]) -> Result<Vec<bool>> {
    for piece in pieces.iter_mut() {
        (piece.read, piece.shortfall) = (0, None);
    }
    let ranges: Vec<_> = pieces.iter().map(range_of).collect();
    let mut present = Vec::new();
    for window in windows(&ranges, page_size) {
        present.extend(calls.present(window)?);
    }
    let own = joined(present.iter().filter(|run| run.is_own).map(|run| run.range).collect());
    let resident = joined(present.into_iter().map(|run| run.range).collect());
    for (piece, range) in pieces.iter_mut().zip(&ranges) {
        piece.is_own = resident_prefix(*range, &own) == range.size().0;
    }
    let result = copy(calls, pieces, &ranges, &resident);
    if result.is_err() {
        forget(pieces);
    }
    result
}

/// The addresses of a piece, up to the top of the address space.
fn range_of(piece: &Piece<'_>) -> AddrRange {
    let size = Bytes(piece.buffer.len() as u64);
    AddrRange::with_size(piece.address, size)
        .or_else(|| AddrRange::new(piece.address, u64::MAX))
        .expect("no address lies above the top of the address space")
}

/// The windows of whole pages that hold all `ranges`, ordered by address, none overlapping another.
fn windows(ranges: &[AddrRange], page_size: PageSize) -> Vec<AddrRange> {
    let near = Bytes::from_pages(NEAR_PAGES, page_size).0;
    let mut pages: Vec<_> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .map(|range| range.of_whole_pages(page_size))
        .collect();
    pages.sort_unstable();
    let mut windows: Vec<AddrRange> = Vec::new();
    for range in pages {
        match windows.last_mut() {
            Some(last) if range.start() <= last.end().saturating_add(near) => *last = last.hull(range),
            _ => windows.push(range),
        }
    }
    windows
}

/// Ranges ordered by address, with those joined that touch.
pub(crate) fn joined(ranges: Vec<AddrRange>) -> Vec<AddrRange> {
    let mut joined: Vec<AddrRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start() <= last.end() => *last = last.hull(range),
            _ => joined.push(range),
        }
    }
    joined
}

/// How many bytes from the start of `range` lie in one of the `resident` ranges, which are ordered and do not touch.
fn resident_prefix(range: AddrRange, resident: &[AddrRange]) -> u64 {
    let after = resident.partition_point(|part| part.end() <= range.start());
    let part = resident.get(after).filter(|part| part.contains(range.start()));
    part.map_or(0, |part| part.end().min(range.end()) - range.start())
}

/// A transfer and the piece that it is a part of.
struct Part {
    piece: usize,
    offset: usize,
    length: usize,
}

/// The parts that the resident prefixes of the pieces are copied in.
fn parts(ranges: &[AddrRange], resident: &[AddrRange]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(ranges.len());
    for (piece, range) in ranges.iter().enumerate() {
        // No longer than its buffer.
        let prefix = resident_prefix(*range, resident) as usize;
        let mut offset = 0;
        while offset < prefix {
            let length = (prefix - offset).min(LARGEST_TRANSFER);
            parts.push(Part { piece, offset, length });
            offset += length;
        }
    }
    parts
}

/// How many of the first `parts` go into one call.
fn batch_size(parts: &[Part]) -> usize {
    let mut bytes = 0;
    let fitting = parts.iter().take(MOST_TRANSFERS).take_while(|part| {
        bytes += part.length;
        bytes <= LARGEST_BATCH
    });
    fitting.count()
}

/// Copies the resident prefix of each piece. Returns for each piece whether a page of it faulted.
fn copy(
    calls: &impl PageCalls,
    pieces: &mut [Piece<'_>],
    ranges: &[AddrRange],
    resident: &[AddrRange],
) -> Result<Vec<bool>> {
    let mut faulted = vec![false; pieces.len()];
    let parts = parts(ranges, resident);
    let mut rest = parts.as_slice();
    while !rest.is_empty() {
        let batch = &rest[..batch_size(rest)];
        let mut transfers = transfers(pieces, batch);
        let mut copied = calls.copy(&mut transfers)?;
        let mut done = batch.len();
        for (index, part) in batch.iter().enumerate() {
            let of_part = copied.min(part.length);
            pieces[part.piece].read += of_part;
            copied -= of_part;
            if of_part < part.length {
                // Step over the rest of this piece, and go on with the next one.
                faulted[part.piece] = true;
                done = index + batch[index..].iter().take_while(|other| other.piece == part.piece).count();
                break;
            }
        }
        rest = &rest[done..];
        while let [first, others @ ..] = rest
            && faulted[first.piece]
        {
            rest = others;
        }
    }
    Ok(faulted)
}

/// The transfers of a batch, whose parts are ordered by piece and offset.
fn transfers<'b>(pieces: &'b mut [Piece<'_>], batch: &[Part]) -> Vec<Transfer<'b>> {
    let first = batch.first().map_or(0, |part| part.piece);
    let mut transfers = Vec::with_capacity(batch.len());
    let mut parts = batch.iter().peekable();
    for (index, piece) in pieces.iter_mut().enumerate().skip(first) {
        let (address, is_own) = (piece.address, piece.is_own);
        let (mut buffer, mut taken) = (&mut *piece.buffer, 0);
        while let Some(part) = parts.next_if(|part| part.piece == index) {
            let (_, from) = buffer.split_at_mut(part.offset - taken);
            let (of_part, after) = from.split_at_mut(part.length);
            transfers.push(Transfer { address: address + part.offset as u64, buffer: of_part, is_own });
            (buffer, taken) = (after, part.offset + part.length);
        }
        if parts.peek().is_none() {
            break;
        }
    }
    transfers
}

/// Finds out why pieces came short.
fn explain(calls: &impl PageCalls, pieces: &mut [Piece<'_>], faulted: &[bool]) -> Result<()> {
    let mut short: Vec<_> = pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| !piece.is_complete())
        .map(|(index, piece)| (piece.address.saturating_add(piece.read as u64), index))
        .collect();
    if short.is_empty() {
        return Ok(());
    }
    short.sort_unstable();
    let addresses: Vec<_> = short.iter().map(|(address, _)| *address).collect();
    let mapped = calls.are_mapped(&addresses)?;
    for ((_, index), is_mapped) in short.into_iter().zip(mapped) {
        pieces[index].shortfall = Some(match is_mapped {
            false => Shortfall::NotMapped,
            true if faulted[index] => Shortfall::Refused,
            true => Shortfall::NotResident,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    const PAGE: u64 = 4096;

    fn page_size() -> PageSize {
        PageSize::new(PAGE).unwrap()
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Page {
        Hole,
        Absent,
        Forbidden,
        Resident,
    }

    /// A target whose pages from address 0 on are in the given states. Each byte is a function of its address.
    struct Target {
        pages: Vec<Page>,
        windows: RefCell<Vec<AddrRange>>,
        checks_left: Cell<usize>,
    }

    fn byte_at(address: u64) -> u8 {
        (address.wrapping_mul(0x9e37_79b9) >> 13) as u8
    }

    impl Target {
        fn new(pages: Vec<Page>) -> Target {
            Target { pages, windows: RefCell::default(), checks_left: Cell::new(usize::MAX) }
        }

        fn page(&self, address: u64) -> Page {
            self.pages.get((address / PAGE) as usize).copied().unwrap_or(Page::Hole)
        }
    }

    impl PageCalls for Target {
        fn present(&self, window: AddrRange) -> Result<Vec<PresentRun>> {
            assert!(
                [window.start(), window.end()].iter().all(|at| at.is_multiple_of(PAGE) || *at == u64::MAX)
            );
            self.windows.borrow_mut().push(window);
            let pages =
                (window.start()..window.end().min(self.pages.len() as u64 * PAGE)).step_by(PAGE as usize);
            Ok(pages
                .filter(|&at| matches!(self.page(at), Page::Resident | Page::Forbidden))
                .map(|at| {
                    PresentRun::new(AddrRange::new(at, at + PAGE).unwrap(), (at / PAGE).is_multiple_of(3))
                })
                .collect())
        }

        fn copy(&self, transfers: &mut [Transfer<'_>]) -> Result<usize> {
            assert!(!transfers.is_empty() && transfers.len() <= MOST_TRANSFERS);
            let mut copied = 0;
            for transfer in transfers {
                let pages =
                    transfer.address / PAGE..(transfer.address + transfer.buffer.len() as u64).div_ceil(PAGE);
                assert!(!transfer.is_own || pages.into_iter().all(|page| page.is_multiple_of(3)));
                for (offset, byte) in transfer.buffer.iter_mut().enumerate() {
                    let address = transfer.address + offset as u64;
                    match self.page(address) {
                        Page::Resident => *byte = byte_at(address),
                        Page::Forbidden => return Ok(copied),
                        Page::Absent | Page::Hole => panic!("{address:x} is touched"),
                    }
                    copied += 1;
                }
            }
            Ok(copied)
        }

        fn are_mapped(&self, addresses: &[u64]) -> Result<Vec<bool>> {
            assert!(addresses.is_sorted());
            Ok(addresses.iter().map(|&address| self.page(address) != Page::Hole).collect())
        }

        fn check_identity(&self) -> Result<()> {
            match self.checks_left.get() {
                0 => Err(Error::Vanished { pid: 1 }),
                left => {
                    self.checks_left.set(left - 1);
                    Ok(())
                }
            }
        }
    }

    /// The result of a piece, found byte by byte.
    fn expected(target: &Target, address: u64, length: usize) -> (usize, Option<Shortfall>) {
        for offset in 0..length {
            let shortfall = match target.page(address.saturating_add(offset as u64)) {
                Page::Resident => continue,
                Page::Hole => Shortfall::NotMapped,
                Page::Absent => Shortfall::NotResident,
                Page::Forbidden => Shortfall::Refused,
            };
            return (offset, Some(shortfall));
        }
        (length, None)
    }

    proptest! {
        #[test]
        fn every_piece_has_its_resident_prefix_and_a_reason(
            pages in prop::collection::vec(
                prop_oneof![
                    1 => Just(Page::Hole), 1 => Just(Page::Absent), 1 => Just(Page::Forbidden), 6 => Just(Page::Resident),
                ],
                1..200,
            ),
            wanted in prop::collection::vec((0..200 * PAGE, 0..3 * PAGE as usize), 0..40),
        ) {
            let target = Target::new(pages);
            let mut buffers: Vec<_> = wanted.iter().map(|(_, length)| vec![0u8; *length]).collect();
            let mut pieces: Vec<_> =
                wanted.iter().zip(&mut buffers).map(|((at, _), buffer)| Piece::new(*at, buffer)).collect();
            read_pieces(&target, page_size(), &mut pieces).unwrap();
            for (piece, (address, length)) in pieces.iter().zip(&wanted) {
                let (read, shortfall) = expected(&target, *address, *length);
                prop_assert_eq!((piece.bytes().len(), piece.shortfall()), (read, shortfall));
                prop_assert!((*address..).zip(piece.bytes()).all(|(at, byte)| *byte == byte_at(at)));
            }
            let windows = target.windows.into_inner();
            prop_assert!(windows.windows(2).all(|pair| pair[0].end() + NEAR_PAGES * PAGE < pair[1].start()));
        }

        #[test]
        fn a_prefix_is_that_of_single_pages(
            resident in prop::collection::btree_set(0u64..60, 0..60),
            start in 0..60 * PAGE,
            length in 0..20 * PAGE,
        ) {
            let pages = resident.iter().map(|&page| AddrRange::new(page * PAGE, (page + 1) * PAGE).unwrap());
            let range = AddrRange::new(start, start + length).unwrap();
            let naive = (start..start + length).take_while(|at| resident.contains(&(at / PAGE))).count() as u64;
            prop_assert_eq!(resident_prefix(range, &joined(pages.collect())), naive);
        }
    }

    #[test]
    fn many_pieces_go_in_several_calls() {
        let target = Target::new(vec![Page::Resident; 4]);
        let mut buffers = vec![[0u8; 3]; MOST_TRANSFERS * 2 + 5];
        let mut pieces: Vec<_> =
            (0..).step_by(5).zip(&mut buffers).map(|(at, buffer)| Piece::new(at, buffer)).collect();
        read_pieces(&target, page_size(), &mut pieces).unwrap();
        assert!(pieces.iter().all(Piece::is_complete));
    }

    #[test]
    fn large_pieces_are_split_and_a_fault_skips_their_rest() {
        let part = |piece, offset, length| Part { piece, offset, length };
        let size = LARGEST_TRANSFER as u64;
        let range = AddrRange::new(0, 2 * size + 7).unwrap();
        let lengths: Vec<_> = parts(&[range], &[range]).iter().map(|part| part.length).collect();
        assert_eq!(lengths, [LARGEST_TRANSFER, LARGEST_TRANSFER, 7]);
        let four = [0, 1, 2, 3, 4].map(|piece| part(piece, 0, LARGEST_TRANSFER));
        assert_eq!(batch_size(&four), 4);
    }

    #[test]
    fn the_bytes_of_a_process_that_has_gone_are_dropped() {
        for checks in 0..2 {
            let target = Target::new(vec![Page::Resident]);
            target.checks_left.set(checks);
            let mut buffer = [0u8; 16];
            let mut pieces = [Piece::new(100, &mut buffer)];
            assert!(matches!(read_pieces(&target, page_size(), &mut pieces), Err(Error::Vanished { .. })));
            assert!(pieces[0].bytes().is_empty());
            assert_eq!(buffer, [0; 16]);
        }
    }

    #[test]
    fn a_piece_may_end_at_the_top_of_the_address_space() {
        let target = Target::new(Vec::new());
        let mut buffer = [0u8; 16];
        let mut pieces = [Piece::new(u64::MAX - 3, &mut buffer), Piece::new(0, &mut [])];
        read_pieces(&target, page_size(), &mut pieces).unwrap();
        assert_eq!(pieces[0].shortfall(), Some(Shortfall::NotMapped));
        assert!(pieces[1].is_complete() && pieces[1].shortfall().is_none());
    }
}
