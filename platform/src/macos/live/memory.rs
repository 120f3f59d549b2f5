//! The memory of a live process: `mach_vm_page_range_query` for what is resident, `mach_vm_read_overwrite` for its bytes.

use std::sync::Arc;

use super::facts;
use super::sys::{self, Port};
use crate::error::{Error, Result};
use crate::macos::parse::kern::{KernReturn, Refusal};
use crate::macos::parse::refusal;
use crate::macos::parse::segments::Disposition;
use crate::memory::{
    Memory, MemoryCost, Meter, PageCalls, Piece, PresentRun, Transfer, joined, read_pieces, read_present,
};
use crate::model::{AddrRange, Bytes, PageSize};

/// How many pages one query asks about: a quarter of a megabyte of answers.
const MOST_PAGES: u64 = 1 << 16;

/// Addresses from here on are the kernel's.
const USER_END: u64 = 1 << 63;

/// The memory of a task.
#[derive(Debug)]
pub(super) struct LiveMemory {
    pid: i32,
    /// The task port, or why there is none.
    port: Result<Arc<Port>, KernReturn>,
    /// When the process started, which differs for another process with the same ID. `None` if that is unknown.
    started_at: Option<u64>,
    page_size: PageSize,
    meter: Meter,
}

impl LiveMemory {
    /// The memory behind a task port.
    pub fn new(
        pid: i32,
        port: Result<Arc<Port>, KernReturn>,
        started_at: Option<u64>,
        page_size: PageSize,
    ) -> LiveMemory {
        LiveMemory { pid, port, started_at, page_size, meter: Meter::default() }
    }

    /// Whether this memory is that of a task port.
    pub fn is_of(&self, port: Option<&Arc<Port>>) -> bool {
        match (&self.port, port) {
            (Ok(own), Some(port)) => Arc::ptr_eq(own, port),
            (Err(_), None) => true,
            _ => false,
        }
    }

    fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    fn port(&self) -> Result<&Port> {
        self.port.as_deref().map_err(|&code| Error::NotPermitted {
            action: "read the memory",
            pid: self.pid(),
            hints: refusal::hints(super::is_root()),
            source: std::io::Error::other(code),
        })
    }

    /// The error of a task port that is dead: the process has exited, or runs another program, which is another task.
    fn gone(&self) -> Error {
        let pid = self.pid();
        if facts::is_same_process(self.pid, self.started_at) {
            Error::Replaced { pid }
        } else {
            Error::Vanished { pid }
        }
    }
}

impl PageCalls for LiveMemory {
    /// Who else maps a page is not asked: there is one way to read all of them.
    fn present(&self, window: AddrRange) -> Result<Vec<PresentRun>> {
        let port = self.port()?;
        let page = self.page_size.bytes();
        let mut present = Vec::new();
        let mut states = Vec::new();
        let (mut start, end) = (window.start(), window.end().min(USER_END));
        while start < end {
            let pages = (end - start).div_ceil(page.0).min(MOST_PAGES);
            states.resize(pages as usize, 0);
            let query = || sys::page_range_query(port, start, pages * page.0, &mut states);
            let filled = match self.meter.call(query) {
                Ok(filled) => filled,
                Err(code) => match Refusal::from(code) {
                    Refusal::Gone => return Err(self.gone()),
                    // Addresses that no task can have.
                    Refusal::End => break,
                    // Before macOS 10.14, and for a task whose pages differ in size from this program's (see `records`).
                    Refusal::Denied(_) => {
                        return Err(Error::Unsupported {
                            what: "finding the resident pages",
                            place: "for this process on this macOS",
                        });
                    }
                },
            };
            for (index, state) in (0u64..).zip(&states[..filled]) {
                if Disposition(*state).is_resident() {
                    let range = AddrRange::with_size(start + index * page.0, page);
                    present.extend(range.map(|range| PresentRun::new(range, false)));
                }
            }
            if filled == 0 {
                break;
            }
            start += filled as u64 * page.0;
        }
        Ok(present)
    }

    /// `mach_vm_read_overwrite` copies all or nothing: a transfer that fails is tried again page by page.
    fn copy(&self, transfers: &mut [Transfer<'_>]) -> Result<usize> {
        let port = self.port()?;
        let page = self.page_size.bytes().0;
        let mut copied = 0;
        for transfer in transfers {
            if let Ok(read) = self.meter.call(|| sys::read(port, transfer.address, transfer.buffer))
                && read == transfer.buffer.len()
            {
                copied += read;
                continue;
            }
            let mut done = 0;
            while done < transfer.buffer.len() {
                let at = transfer.address + done as u64;
                let left = usize::try_from(page - at % page).unwrap_or(usize::MAX);
                let left = left.min(transfer.buffer.len() - done);
                let part = &mut transfer.buffer[done..done + left];
                match self.meter.call(|| sys::read(port, at, part)) {
                    Ok(read) if read > 0 => done += read,
                    _ => break,
                }
            }
            copied += done;
            if done < transfer.buffer.len() {
                break;
            }
        }
        self.meter.copied(copied);
        Ok(copied)
    }

    fn are_mapped(&self, addresses: &[u64]) -> Result<Vec<bool>> {
        let port = self.port()?;
        let mut mapped = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let is_mapped = match self.meter.call(|| sys::region_recurse_short(port, address)) {
                // The call finds the region at the address or the next one.
                Ok((found, _)) => found.address <= address,
                Err(code) => match Refusal::from(code) {
                    Refusal::Gone => return Err(self.gone()),
                    Refusal::End => false,
                    Refusal::Denied(_) => true,
                },
            };
            mapped.push(is_mapped);
        }
        Ok(mapped)
    }

    /// A task port is that of one task for good, so it can't be mistaken. A dead one shows when it is used.
    fn check_identity(&self) -> Result<()> {
        let port = self.port()?;
        match self.meter.call(|| sys::region_recurse_short(port, 0)) {
            Err(code) if matches!(Refusal::from(code), Refusal::Gone) => Err(self.gone()),
            // The map of a task that has just ended is empty.
            Err(code) if matches!(Refusal::from(code), Refusal::End) => Err(self.gone()),
            _ => Ok(()),
        }
    }
}

impl Memory for LiveMemory {
    fn read(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        read_pieces(self, self.page_size, pieces)
    }

    fn read_present(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        read_present(self, pieces)
    }

    fn verify(&self) -> Result<()> {
        self.check_identity()
    }

    fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
        self.check_identity()?;
        let present = PageCalls::present(self, range.of_whole_pages(self.page_size))?;
        Ok(joined(present.into_iter().map(|run| run.range).collect()))
    }

    fn frames(&self, range: AddrRange) -> Result<Vec<Option<u64>>> {
        self.check_identity()?;
        let Bytes(size) = range.of_whole_pages(self.page_size).size();
        let pages = size.div_ceil(self.page_size.bytes().0);
        Ok(vec![None; usize::try_from(pages).unwrap_or(usize::MAX)])
    }

    fn cost(&self) -> MemoryCost {
        self.meter.cost()
    }
}
