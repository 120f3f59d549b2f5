//! A mapping made by this process.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

use super::failed;
use super::sys::Pages;
use crate::error::{Error, Result};
use crate::model::{AddrRange, Bytes, Protection};

/// Who sees writes to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This process only (`MAP_PRIVATE`).
    Private,
    /// Every process that maps the same object, and its file (`MAP_SHARED`).
    Shared,
}

/// Advice to the system about memory (`madvise`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// The contents are not needed. Linux frees the pages immediately; macOS may keep them with their contents.
    DontNeed,
    /// The contents may be discarded when memory is short; until then a page keeps them (Linux 4.5).
    Free,
    /// Use huge pages. Linux only.
    HugePages,
    /// Use no huge pages. Linux only.
    NoHugePages,
}

/// Whole pages that this process has mapped. They are unmapped on drop.
///
/// Linux merges neighboring mappings that are alike into one region. An unmapped page on either side prevents that, so the
/// region is this mapping and nothing else.
#[derive(Debug)]
pub struct Mapping {
    pages: Pages,
}

impl Mapping {
    /// Maps memory that no file backs: `mmap(NULL, size, protection, sharing | MAP_ANONYMOUS, -1, 0)`. `size` is rounded up to
    /// whole pages.
    ///
    /// # Errors
    ///
    /// [`Error::Call`]; `EINVAL` for a size of 0.
    pub fn anonymous(size: Bytes, sharing: Sharing, protection: Protection) -> Result<Mapping> {
        Mapping::new(None, size, sharing, protection)
    }

    /// Maps the first `size` bytes of a file: `mmap(NULL, size, protection, sharing, fd, 0)`, rounded up to whole pages. A page
    /// beyond the end of the file is mapped, but any access to it faults.
    ///
    /// # Errors
    ///
    /// As [`Mapping::anonymous`].
    pub fn of_file(file: &File, size: Bytes, sharing: Sharing, protection: Protection) -> Result<Mapping> {
        Mapping::new(Some(file), size, sharing, protection)
    }

    fn new(file: Option<&File>, size: Bytes, sharing: Sharing, protection: Protection) -> Result<Mapping> {
        let page = rustix::param::page_size();
        let invalid = || failed("mmap")(nix::errno::Errno::EINVAL);
        let length = usize::try_from(size.0).ok().and_then(|size| size.checked_next_multiple_of(page));
        let length = length.and_then(NonZeroUsize::new).ok_or_else(invalid)?;
        let flags = match sharing {
            Sharing::Private => MapFlags::MAP_PRIVATE,
            Sharing::Shared => MapFlags::MAP_SHARED,
        };
        let pages = Pages::map(file.map(AsFd::as_fd), length, page, flags_of(protection), flags);
        Ok(Mapping { pages: pages.map_err(failed("mmap"))? })
    }

    /// Its addresses; after [`Mapping::unmap`], its former ones.
    pub fn range(&self) -> AddrRange {
        AddrRange::with_size(self.pages.start(), Bytes(self.pages.length() as u64))
            .expect("a mapping doesn't pass the top of the address space")
    }

    /// Its first address.
    pub fn address(&self) -> u64 {
        self.range().start()
    }

    /// Its size: whole pages.
    pub fn size(&self) -> Bytes {
        self.range().size()
    }

    /// Loads the byte at `offset`.
    ///
    /// If its page can't be read, the process ends by `SIGSEGV` or `SIGBUS`; use a [child](super::Child) to show that.
    ///
    /// # Panics
    ///
    /// The offset lies outside the mapping, or it is unmapped; the same holds for the methods below.
    pub fn read(&self, offset: Bytes) -> u8 {
        self.pages.read(index(offset))
    }

    /// Loads `count` bytes from `offset` on, as [`Mapping::read`].
    pub fn read_bytes(&self, offset: Bytes, count: usize) -> Vec<u8> {
        (0..count).map(|place| self.pages.read(index(offset) + place)).collect()
    }

    /// Stores a byte, as [`Mapping::read`] loads one.
    pub fn write(&self, offset: Bytes, byte: u8) {
        self.pages.write(index(offset), byte);
    }

    /// Stores bytes from `offset` on, as [`Mapping::write`].
    pub fn write_bytes(&self, offset: Bytes, bytes: &[u8]) {
        for (place, byte) in bytes.iter().enumerate() {
            self.pages.write(index(offset) + place, *byte);
        }
    }

    /// Changes the protection of `size` bytes from `offset` on, whole pages (`mprotect`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`]: `EINVAL` if the offset is not a multiple of the page size, `EACCES` if the file was opened without the
    /// needed access.
    pub fn protect(&self, offset: Bytes, size: Bytes, protection: Protection) -> Result<()> {
        self.pages.protect(index(offset), index(size), flags_of(protection)).map_err(failed("mprotect"))
    }

    /// Advises the system about `size` bytes from `offset` on, whole pages (`madvise`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`], and [`Error::Unsupported`] for advice that this system does not have.
    pub fn advise(&self, offset: Bytes, size: Bytes, advice: Advice) -> Result<()> {
        let advice = advice
            .into_system()
            .ok_or(Error::Unsupported { what: "this memory advice", place: "on this system" })?;
        self.pages.advise(index(offset), index(size), advice).map_err(failed("madvise"))
    }

    /// Brings all pages into memory and locks them there (`mlock`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`]: `ENOMEM` or `EPERM` above this user's limit (`RLIMIT_MEMLOCK`).
    pub fn lock(&self) -> Result<()> {
        self.pages.lock().map_err(failed("mlock"))
    }

    /// Undoes [`Mapping::lock`] (`munlock`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`].
    pub fn unlock(&self) -> Result<()> {
        self.pages.unlock().map_err(failed("munlock"))
    }

    /// Writes dirty pages to the file, and waits until they are written (`msync` with `MS_SYNC`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`].
    pub fn sync(&self) -> Result<()> {
        self.pages.sync().map_err(failed("msync"))
    }

    /// Unmaps it (`munmap`). Any later access panics.
    ///
    /// # Errors
    ///
    /// [`Error::Call`].
    pub fn unmap(&mut self) -> Result<()> {
        self.pages.unmap().map_err(failed("munmap"))
    }

    /// Unmaps it and then loads the byte that was at `offset`, like a program that uses a mapping after closing it. That ends
    /// the process by a signal, unless another thread has mapped something at the same address in between.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if it can't be unmapped.
    pub fn use_after_unmap(&mut self, offset: Bytes) -> Result<u8> {
        self.pages.unmap_and_read(index(offset)).map_err(failed("munmap"))
    }
}

impl Advice {
    fn into_system(self) -> Option<MmapAdvise> {
        match self {
            Advice::DontNeed => Some(MmapAdvise::MADV_DONTNEED),
            Advice::Free => Some(MmapAdvise::MADV_FREE),
            #[cfg(target_os = "linux")]
            Advice::HugePages => Some(MmapAdvise::MADV_HUGEPAGE),
            #[cfg(target_os = "linux")]
            Advice::NoHugePages => Some(MmapAdvise::MADV_NOHUGEPAGE),
            #[cfg(not(target_os = "linux"))]
            Advice::HugePages | Advice::NoHugePages => None,
        }
    }
}

/// An offset or a size as `usize`. A value that does not fit lies outside every mapping and is refused as such.
fn index(bytes: Bytes) -> usize {
    usize::try_from(bytes.0).unwrap_or(usize::MAX)
}

fn flags_of(protection: Protection) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, protection.is_readable());
    flags.set(ProtFlags::PROT_WRITE, protection.is_writable());
    flags.set(ProtFlags::PROT_EXEC, protection.is_executable());
    flags
}
