//! The memory of a live process: `/proc/PID/pagemap` for what is resident, `process_vm_readv(2)` for the bytes of pages that
//! only this process maps, and `/proc/PID/mem` for those of others.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::process::Pid;

use super::as_pid;
use super::directory::Directory;
use super::facts;
use super::files::{self, Mounts};
use super::query::{self, Answer};
use super::refused;
use super::scan::{Scanner, Split, page_runs};
use super::sys::{self, PageRegion};
use crate::error::{Error, Result};
use crate::linux::parse::maps::MapsLine;
use crate::memory::{
    Memory, MemoryCost, Meter, PageCalls, Piece, PresentRun, Transfer, joined, read_pieces, read_present,
};
use crate::model::{AddrRange, PageRun, PageSize, PageState, Region, join};

/// `PAGE_IS_PRESENT` of `include/uapi/linux/fs.h`.
const PAGE_IS_PRESENT: u64 = 1 << 3;

/// How many runs of pages one scan may report.
const SCAN_ENTRIES: usize = 1024;

/// An entry of `pagemap`, one for each page (`Documentation/admin-guide/mm/pagemap.rst`): bit 63 says that the page is present,
/// bits 0 to 54 are its frame number.
const ENTRY_SIZE: usize = size_of::<u64>();
const ENTRY_PRESENT: u64 = 1 << 63;
const ENTRY_SWAPPED: u64 = 1 << 62;
/// Bit 56: no one else maps the page (4.2).
const ENTRY_EXCLUSIVE: u64 = 1 << 56;
const ENTRY_FRAME: u64 = (1 << 55) - 1;

/// How many entries of `pagemap` one call reads.
const MOST_ENTRIES: u64 = 64 << 10;

/// Addresses from here on are the kernel's.
const USER_END: u64 = 1 << 63;

/// The memory of a process. Its files are opened on first use and stay open.
#[derive(Debug)]
pub(super) struct LiveMemory {
    process: Arc<Directory>,
    /// The ID for `process_vm_readv`; `None` if the process may be one of another system (`--procfs`).
    pid: Option<Pid>,
    /// A saved tree under `--procfs` may lack `stat`; then a missing one means nothing.
    is_stat_readable: bool,
    page_size: PageSize,
    pagemap: OnceLock<File>,
    mem: OnceLock<File>,
    maps: OnceLock<File>,
    mounts: Mounts,
    /// Whether this kernel has no `PAGEMAP_SCAN` (before 6.7).
    lacks_scan: AtomicBool,
    /// Whether `process_vm_readv` was refused.
    lacks_readv: AtomicBool,
    /// Whether the process has started another program since `pagemap` was opened.
    is_stale: AtomicBool,
    meter: Meter,
}

impl LiveMemory {
    /// The memory of `process`, which is one of this system or not.
    pub fn new(
        process: Arc<Directory>,
        page_size: PageSize,
        is_of_this_system: bool,
        is_stat_readable: bool,
    ) -> LiveMemory {
        LiveMemory {
            pid: is_of_this_system.then(|| as_pid(process.pid())).flatten(),
            process,
            is_stat_readable,
            page_size,
            pagemap: OnceLock::new(),
            mem: OnceLock::new(),
            maps: OnceLock::new(),
            mounts: Mounts::default(),
            lacks_scan: AtomicBool::new(false),
            lacks_readv: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            meter: Meter::default(),
        }
    }

    /// Whether the open files belong to a program that the process does not run anymore.
    pub fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    fn open<'a>(&self, held: &'a OnceLock<File>, name: &'static str) -> Result<&'a File> {
        if let Some(file) = held.get() {
            return Ok(file);
        }
        let file = self.meter.call(|| self.process.file(name));
        let file = file.map_err(|source| self.error(source, "open", name))?;
        Ok(held.get_or_init(|| file))
    }

    fn pagemap(&self) -> Result<&File> {
        self.open(&self.pagemap, "pagemap").map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Error::Unsupported {
                what: "finding the resident pages",
                place: "by this kernel (built without CONFIG_PROC_PAGE_MONITOR)",
            },
            error => error,
        })
    }

    fn error(&self, source: io::Error, action: &'static str, name: &str) -> Error {
        if source.raw_os_error() == Some(Errno::SRCH.raw_os_error()) {
            return self.gone();
        }
        refused::memory_error(&self.process, self.is_stat_readable, source, action, self.process.path(name))
    }

    /// The error of an address space that is gone: its process has exited, or started another program.
    fn gone(&self) -> Error {
        let pid = self.process.pid();
        match self.process.stat() {
            Ok(stat) if facts::has_ended(&stat) => Error::Zombie { pid },
            Ok(stat) if facts::is_kernel_thread(&stat) => {
                Error::Unsupported { what: "reading memory", place: "for a kernel thread, which has none" }
            }
            // Between exiting and becoming a zombie a process has no memory anymore, and its addresses read as 0.
            Ok(stat) if (stat.startcode, stat.startstack) == (0, 0) => Error::Vanished { pid },
            Ok(_) => {
                self.is_stale.store(true, Ordering::Relaxed);
                Error::Replaced { pid }
            }
            Err(_) => Error::Vanished { pid },
        }
    }

    /// The entries of `pagemap` for whole pages, as far as there are any.
    fn entries(&self, pages: AddrRange, mut each: impl FnMut(u64, u64)) -> Result<()> {
        let pagemap = self.pagemap()?;
        let page = self.page_size.bytes().0;
        let mut buffer = Vec::new();
        let (mut next, end) = (pages.start() / page, pages.end().min(USER_END).div_ceil(page));
        while next < end {
            let count = (end - next).min(MOST_ENTRIES);
            buffer.resize(count as usize * ENTRY_SIZE, 0);
            let read = self.meter.call(|| pagemap.read_at(&mut buffer, next * ENTRY_SIZE as u64));
            let read = read.map_err(|source| self.error(source, "read", "pagemap"))?;
            let entries = buffer[..read].chunks_exact(ENTRY_SIZE);
            for (index, entry) in (next..).zip(entries) {
                each(index, u64::from_ne_bytes(entry.try_into().expect("chunks have this size")));
            }
            // There are no entries beyond the end of the address space.
            if read < buffer.len() {
                break;
            }
            next += count;
        }
        Ok(())
    }

    fn present_by_scan(&self, window: AddrRange) -> Result<Option<Vec<AddrRange>>> {
        let pagemap = self.pagemap()?;
        let mut present = Vec::new();
        // Pages in runs take an entry for every other page at most.
        let entries = (window.size().0 / self.page_size.bytes().0).div_ceil(2).clamp(1, SCAN_ENTRIES as u64);
        let mut buffer = vec![PageRegion::default(); entries as usize];
        let (mut start, end) = (window.start(), window.end().min(USER_END));
        while start < end {
            let (any_of, returned) = (PAGE_IS_PRESENT, PAGE_IS_PRESENT);
            let scan = || sys::pagemap_scan(pagemap, start, end, any_of, returned, 0, &mut buffer);
            let filled = match self.meter.call(scan) {
                Ok(filled) => filled,
                Err(Errno::NOTTY) => return Ok(None),
                Err(Errno::SRCH) => return Err(self.gone()),
                // Addresses that no process can have.
                Err(Errno::FAULT) => break,
                Err(error) => return Err(self.error(error.into(), "scan", "pagemap")),
            };
            let runs = &buffer[..filled];
            present.extend(runs.iter().filter_map(|run| AddrRange::new(run.start, run.end)));
            match runs.last() {
                Some(last) if filled == buffer.len() && last.end > start => start = last.end,
                _ => break,
            }
        }
        Ok(Some(present))
    }

    /// The present pages by the entries of `pagemap`, in runs.
    fn present_by_entries(&self, window: AddrRange) -> Result<Vec<PresentRun>> {
        let page = self.page_size.bytes();
        let mut present: Vec<PresentRun> = Vec::new();
        self.entries(window, |index, entry| {
            if entry & ENTRY_PRESENT == 0 {
                return;
            }
            let Some(range) = AddrRange::with_size(index * page.0, page) else { return };
            let is_own = entry & ENTRY_EXCLUSIVE != 0;
            match present.last_mut() {
                Some(last) if last.range.end() == range.start() && last.is_own == is_own => {
                    last.range = last.range.hull(range);
                }
                _ => present.push(PresentRun::new(range, is_own)),
            }
        })?;
        Ok(present)
    }

    /// Copies transfers of pages that only this process maps. Returns the number of bytes before the first fault. Pages that
    /// forbid all access are read from `mem`, which can.
    ///
    /// It takes an ID, which the kernel may have given to another process. The held directory is that of the process that was
    /// opened, and an ID is not given away while its process exists: if the directory is alive after reading
    /// ([`Memory::verify`]), the ID was right all the time.
    fn copy_own(&self, transfers: &mut [Transfer<'_>]) -> Result<usize> {
        let Some(pid) = self.pid else { return self.copy_from_file(transfers) };
        let copied = match self.meter.call(|| sys::process_vm_readv(pid, transfers)) {
            Ok(copied) => copied,
            Err(Errno::FAULT) => 0,
            Err(Errno::SRCH) => return Err(self.gone()),
            Err(Errno::PERM | Errno::NOSYS) => {
                self.lacks_readv.store(true, Ordering::Relaxed);
                0
            }
            Err(error) => return Err(self.error(error.into(), "read", "mem")),
        };
        let (mut whole, mut done) = (0, 0);
        for transfer in transfers.iter() {
            if whole + transfer.buffer.len() > copied {
                break;
            }
            whole += transfer.buffer.len();
            done += 1;
        }
        match &mut transfers[done..] {
            [] => Ok(copied),
            rest => Ok(whole + self.copy_from_file(rest)?),
        }
    }

    /// Reads `mem`, transfer by transfer. Its file belongs to the address space, so the bytes can't be another process's.
    fn copy_from_file(&self, transfers: &mut [Transfer<'_>]) -> Result<usize> {
        let mem = self.open(&self.mem, "mem")?;
        let mut copied = 0;
        for transfer in transfers {
            let mut done = 0;
            while done < transfer.buffer.len() {
                let at = transfer.address + done as u64;
                match self.meter.call(|| mem.read_at(&mut transfer.buffer[done..], at)) {
                    Ok(0) => return Err(self.gone()),
                    Ok(read) => done += read,
                    // The kernel says EIO for a page that it can't read.
                    Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                        return Ok(copied + done);
                    }
                    Err(error) => return Err(self.error(error, "read", "mem")),
                }
            }
            copied += done;
        }
        Ok(copied)
    }

    /// The regions of the process, for kernels that can't be asked about a single address.
    fn listed(&self) -> Result<Vec<AddrRange>> {
        let text = self.meter.call(|| self.process.read("maps"));
        let text = text.map_err(|source| self.error(source, "read", "maps"))?;
        let lines = text.split(|&byte| byte == b'\n').filter_map(MapsLine::parse);
        Ok(lines.map(|line| line.range).collect())
    }
}

impl PageCalls for LiveMemory {
    fn present(&self, window: AddrRange) -> Result<Vec<PresentRun>> {
        self.present_by_entries(window)
    }

    /// Reads in runs of transfers that one way of reading is right for.
    ///
    /// `process_vm_readv(2)` copies many pieces in one call, but it pins the pages, and for that the kernel gives the process a
    /// copy of its own of each page that it shares with another since a `fork` (`FAULT_FLAG_UNSHARE` in `mm/gup.c`, 5.19).
    fn copy(&self, transfers: &mut [Transfer<'_>]) -> Result<usize> {
        let can_pin = self.pid.is_some() && !self.lacks_readv.load(Ordering::Relaxed);
        let mut copied = 0;
        for run in transfers.chunk_by_mut(|one, other| one.is_own == other.is_own) {
            let wanted: usize = run.iter().map(|transfer| transfer.buffer.len()).sum();
            let got = if can_pin && run[0].is_own { self.copy_own(run)? } else { self.copy_from_file(run)? };
            copied += got;
            if got < wanted {
                break;
            }
        }
        self.meter.copied(copied);
        Ok(copied)
    }

    fn are_mapped(&self, addresses: &[u64]) -> Result<Vec<bool>> {
        let maps = self.open(&self.maps, "maps")?;
        let mut listed = None;
        let mut mapped = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let is_mapped = match self.meter.call(|| query::region_at(maps, address)) {
                Answer::Region(_) => true,
                Answer::Hole => false,
                Answer::Unknown => {
                    if listed.is_none() {
                        listed = Some(self.listed()?);
                    }
                    listed.iter().flatten().any(|range: &AddrRange| range.contains(address))
                }
            };
            mapped.push(is_mapped);
        }
        Ok(mapped)
    }

    /// An ID is not given away while its process exists, and the held directory is that of the process that was opened. The page
    /// map is that of one address space, so an `exec` shows too.
    fn check_identity(&self) -> Result<()> {
        if self.is_stat_readable && !self.meter.call(|| self.process.is_alive()) {
            return Err(Error::Vanished { pid: self.process.pid() });
        }
        let pagemap = self.pagemap()?;
        let mut entry = [0; ENTRY_SIZE];
        // Reading the page map of an address space that is gone reads nothing.
        match self.meter.call(|| pagemap.read_at(&mut entry, 0)) {
            Ok(0) => Err(self.gone()),
            Ok(_) => Ok(()),
            Err(source) => Err(self.error(source, "read", "pagemap")),
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
        let pages = range.of_whole_pages(self.page_size);
        let resident =
            if self.lacks_scan.load(Ordering::Relaxed) { None } else { self.present_by_scan(pages)? };
        let resident = joined(match resident {
            Some(resident) => resident,
            None => {
                self.lacks_scan.store(true, Ordering::Relaxed);
                self.present_by_entries(pages)?.into_iter().map(|run| run.range).collect()
            }
        });
        // Nothing is resident in an address space that is gone.
        if resident.is_empty() {
            self.check_identity()?;
        }
        Ok(resident)
    }

    fn present(&self, range: AddrRange) -> Result<Vec<PresentRun>> {
        let present = self.present_by_entries(range.of_whole_pages(self.page_size))?;
        if present.is_empty() {
            self.check_identity()?;
        }
        Ok(present)
    }

    fn pages(&self, range: AddrRange) -> Result<Vec<PageRun>> {
        self.check_identity()?;
        let range = range.of_whole_pages(self.page_size);
        let pagemap = self.pagemap()?.try_clone().map_err(|source| self.error(source, "open", "pagemap"))?;
        if let Some(mut scanner) = Scanner::new(pagemap, false, self.page_size, None) {
            let runs = self.meter.call(|| scanner.scan(range));
            let runs = runs.map_err(|error| self.error(error.into(), "scan", "pagemap"))?;
            return Ok(page_runs(Split::new(runs).take(range)).into());
        }
        let mut runs = Vec::new();
        let page = self.page_size.bytes();
        self.entries(range, |index, entry| {
            let state = PageState::default()
                .with_if(PageState::PRESENT, entry & ENTRY_PRESENT != 0)
                .with_if(PageState::SWAPPED, entry & ENTRY_SWAPPED != 0);
            runs.extend(AddrRange::with_size(index * page.0, page).map(|range| PageRun { range, state }));
        })?;
        Ok(join(runs).into())
    }

    fn open_file(&self, region: &Region) -> Option<File> {
        self.meter.call(|| files::open(&self.process, region, &self.mounts))
    }

    fn frames(&self, range: AddrRange) -> Result<Vec<Option<u64>>> {
        self.check_identity()?;
        let page = self.page_size.bytes().0;
        let pages = range.of_whole_pages(self.page_size);
        let first = pages.start() / page;
        let count = pages.size().0.div_ceil(page);
        let mut frames = vec![None; usize::try_from(count).unwrap_or(usize::MAX)];
        self.entries(pages, |index, entry| {
            let frame = entry & ENTRY_FRAME;
            if entry & ENTRY_PRESENT != 0 && frame != 0 {
                frames[(index - first) as usize] = Some(frame);
            }
        })?;
        Ok(frames)
    }

    fn cost(&self) -> MemoryCost {
        self.meter.cost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same_pages() {
        let process = Directory::open(std::path::Path::new("/proc"), std::process::id()).unwrap();
        let page_size = PageSize::new(rustix::param::page_size() as u64).unwrap();
        let page = page_size.bytes().0;
        let map = memmap2::MmapOptions::new().len(300 * page as usize).map_anon().unwrap();
        let mut map = std::hint::black_box(map);
        for index in [0, 1, 7, 130, 131, 132, 299] {
            map[index * page as usize] = 1;
        }
        let range = AddrRange::with_size(map.as_ptr() as u64, crate::model::Bytes(300 * page)).unwrap();
        let memory = LiveMemory::new(Arc::new(process), page_size, true, true);
        let present = memory.present_by_entries(range).unwrap();
        assert!(present.iter().all(|run| run.is_own), "no other process maps them: {present:?}");
        let by_entries = joined(present.into_iter().map(|run| run.range).collect());
        assert!(!by_entries.is_empty());
        // `None` before Linux 6.7.
        if let Some(by_scan) = memory.present_by_scan(range).unwrap() {
            assert_eq!(joined(by_scan), by_entries);
        }
        for beyond in [AddrRange::new(1 << 62, (1 << 62) + page), AddrRange::new(u64::MAX - 5, u64::MAX)] {
            assert!(memory.resident(beyond.unwrap()).unwrap().is_empty());
            assert!(Memory::present(&memory, beyond.unwrap()).unwrap().is_empty());
        }
    }
}
