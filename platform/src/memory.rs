//! The memory of a target: its bytes, and which of its pages are resident.

mod scattered;

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::model::{AddrRange, PageRun, PageState, Region};

// Hosts without a backend have no memory to read.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(unused_imports))]
pub(crate) use scattered::{PageCalls, Transfer, joined, read_pieces, read_present};

/// The memory of a target.
///
/// It is independent of the listing of regions: both can be used at the same time, from several threads. Reading never
/// brings a page into memory. Pages that are not resident are skipped and reported ([`Shortfall::NotResident`]), so reading
/// does not change what it measures. A page can still be paged out between the check and the read, which no system can
/// exclude.
///
/// A target runs on while it is read, so its contents may change between two pieces of one call.
pub trait Memory: Send + Sync {
    /// Reads scattered pieces of memory. Many pieces in one call cost far less than many calls.
    ///
    /// Each piece reports how many of its bytes were read, and why there are no more. A piece is read up to its first page
    /// that cannot be read; what lies after that page is not tried.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`](crate::Error::NotPermitted) if this user may not read the target's memory.
    /// [`Error::Vanished`](crate::Error::Vanished) or [`Error::Replaced`](crate::Error::Replaced) if the target exits or starts
    /// another program; then no piece has any bytes. [`Error::Unsupported`](crate::Error::Unsupported) if the system does not
    /// say which pages are resident.
    fn read(&self, pieces: &mut [Piece<'_>]) -> Result<()>;

    /// Reads pieces that are resident, as [`Memory::present`] has answered a moment ago, at a fraction of the cost of
    /// [`Memory::read`]: it asks for nothing again. It neither finds out why a piece came short nor checks whose memory it
    /// read. Call [`Memory::verify`] after the last of many reads, and forget what they read if that fails.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    fn read_present(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        self.read(pieces)
    }

    /// Checks that the target still runs the program that was opened, so that what was read is its memory.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`](crate::Error::Vanished) or [`Error::Replaced`](crate::Error::Replaced) if it does not.
    fn verify(&self) -> Result<()> {
        Ok(())
    }

    /// The resident parts of `range`, in whole pages, ordered by address, with neighbors joined.
    ///
    /// These are the pages that [`Memory::read`] reads. On Linux they include pages of zeros that were read and never written,
    /// which do not count as [resident](crate::PageState::is_resident).
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>>;

    /// The resident parts of `range`, as [`Memory::resident`], and of each whether only the target maps it. For a range that is
    /// about to be read: it costs time for each page, resident or not.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    fn present(&self, range: AddrRange) -> Result<Vec<PresentRun>> {
        let resident = self.resident(range)?.into_iter();
        Ok(resident.map(|range| PresentRun::new(range, false)).collect())
    }

    /// The states of the pages in `range`, as runs ordered by address. Pages that are neither in memory nor in swap are in no
    /// run.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    fn pages(&self, range: AddrRange) -> Result<Vec<PageRun>> {
        let present = self.resident(range)?.into_iter();
        Ok(present.map(|range| PageRun { range, state: PageState::PRESENT }).collect())
    }

    /// Opens the file that `region` maps, to read it without touching the mapped pages. `None` if there is no such file, or
    /// if opening it could have an effect or block: it is no regular file, or a program of a user serves its file system.
    ///
    /// Linux: through `/proc/PID/map_files`, which leads to the very file even if it was deleted or lies in another mount
    /// namespace, and needs `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN`; else by its path below `/proc/PID/root`, if device
    /// and inode are those of the mapping.
    fn open_file(&self, region: &Region) -> Option<File> {
        let _ = region;
        None
    }

    /// The number of the physical page frame of each page in `range`, from the page of its first address to the page of its
    /// last.
    ///
    /// Two mappings whose pages have the same frame number map the same memory. A page has `None` if it is not present or if
    /// its number is a secret. For a huge page, each of its small pages has a number of its own.
    ///
    /// Linux: `/proc/PID/pagemap`, bits 0 to 54 of a present page, which are 0 without `CAP_SYS_ADMIN` (since 4.2;
    /// `Documentation/admin-guide/mm/pagemap.rst`). macOS does not reveal frame numbers.
    ///
    /// Costs one system call for 64 Ki pages, and 16 bytes a page.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    fn frames(&self, range: AddrRange) -> Result<Vec<Option<u64>>>;

    /// What all calls so far have cost.
    fn cost(&self) -> MemoryCost;
}

/// Neighboring pages that are resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresentRun {
    /// Whole pages.
    pub range: AddrRange,
    /// Whether no other process maps the pages; `false` too if that is unknown.
    pub is_own: bool,
}

impl PresentRun {
    /// Pages that are resident, and whether no other process maps them.
    pub const fn new(range: AddrRange, is_own: bool) -> PresentRun {
        PresentRun { range, is_own }
    }
}

/// A piece of memory to read, and the result of reading it.
#[derive(Debug)]
pub struct Piece<'a> {
    address: u64,
    buffer: &'a mut [u8],
    is_own: bool,
    read: usize,
    shortfall: Option<Shortfall>,
}

impl<'a> Piece<'a> {
    /// A piece of `buffer.len()` bytes at `address`.
    pub fn new(address: u64, buffer: &'a mut [u8]) -> Piece<'a> {
        Piece { address, buffer, is_own: false, read: 0, shortfall: None }
    }

    /// The piece, with whether only the target maps its pages ([`PresentRun::is_own`]): there are faster ways to read those.
    #[must_use]
    pub fn own(self, is_own: bool) -> Piece<'a> {
        Piece { is_own, ..self }
    }

    /// The address of its first byte.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The number of bytes that it asks for.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Sets its result, for an implementation of [`Memory`]: the bytes that could be read from the first on, and why there
    /// are no more. It takes no more bytes than it asks for.
    pub fn set(&mut self, bytes: &[u8], shortfall: Option<Shortfall>) {
        self.read = bytes.len().min(self.buffer.len());
        self.buffer[..self.read].copy_from_slice(&bytes[..self.read]);
        self.shortfall = if self.is_complete() { None } else { shortfall };
    }

    /// The bytes that were read, from the first on.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.read]
    }

    /// Whether all bytes were read.
    pub fn is_complete(&self) -> bool {
        self.read == self.buffer.len()
    }

    /// Why the byte after [`Piece::bytes`] was not read; `None` if the piece is complete, was not read yet, or was read by
    /// [`Memory::read_present`].
    pub fn shortfall(&self) -> Option<Shortfall> {
        self.shortfall
    }

    /// The bytes that were read, for as long as the buffer lives.
    pub fn into_bytes(self) -> &'a [u8] {
        let Piece { buffer, read, .. } = self;
        &buffer[..read]
    }
}

/// Why a piece of memory was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shortfall {
    /// No region maps the address.
    NotMapped,
    /// The page is mapped and not in memory: it was never touched, is swapped out, or belongs to a file and was not read yet.
    NotResident,
    /// The capture does not contain the page.
    NotInCapture,
    /// The system refuses to read the page, such as one of a device. Linux reads pages that forbid all access (`PROT_NONE`).
    Refused,
}

impl Shortfall {
    /// The identifier in machine formats, such as `not-resident`.
    pub const fn id(self) -> &'static str {
        match self {
            Shortfall::NotMapped => "not-mapped",
            Shortfall::NotResident => "not-resident",
            Shortfall::NotInCapture => "not-in-capture",
            Shortfall::Refused => "refused",
        }
    }
}

/// What reading a target's memory has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCost {
    /// The number of system calls.
    pub calls: u64,
    /// The number of bytes that were copied.
    pub bytes: u64,
    /// The time that the calls took, the sum over all threads.
    pub time: Duration,
}

/// Adds up costs, for calls from several threads.
#[derive(Debug, Default)]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
pub(crate) struct Meter {
    calls: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
impl Meter {
    /// Runs one system call and counts it.
    pub fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = call();
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
        result
    }

    /// Counts copied bytes.
    pub fn copied(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The sums so far.
    pub fn cost(&self) -> MemoryCost {
        MemoryCost {
            calls: self.calls.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
