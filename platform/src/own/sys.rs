//! The system calls, with plain values in and out.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::mman::{self, MapFlags, MmapAdvise, MsFlags, ProtFlags};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::ForkResult;

/// Address space only, without a claim on memory. FreeBSD has no such flag and needs none.
#[cfg(not(target_os = "freebsd"))]
const NO_RESERVE: MapFlags = MapFlags::MAP_NORESERVE;
#[cfg(target_os = "freebsd")]
const NO_RESERVE: MapFlags = MapFlags::empty();

/// Maps a whole file, shared, for reading and writing.
pub(super) fn map_file(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the only references into the map are those of `MappedFile`, to single bytes, for the length of one volatile access.
    // Another process that changes a byte meanwhile changes what is loaded; one that truncates the file makes an access raise
    // SIGBUS.
    unsafe { MmapMut::map_mut(file) }
}

/// Loads a byte, really: the compiler may not reuse an earlier load.
pub(super) fn load(byte: &u8) -> u8 {
    // SAFETY: a reference is valid for reads.
    unsafe { std::ptr::from_ref(byte).read_volatile() }
}

/// Stores a byte, really.
pub(super) fn store(place: &mut u8, byte: u8) {
    // SAFETY: a unique reference is valid for writes.
    unsafe { std::ptr::from_mut(place).write_volatile(byte) }
}

/// Whole pages that one value of this type owns. Nothing else in the process uses them.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<c_void>,
    length: NonZeroUsize,
    is_mapped: bool,
}

impl Pages {
    /// Maps `length` bytes, whole pages, from the start of `file` or without one, with a hole of one `page` on either side:
    /// Linux merges neighboring regions that are alike.
    pub fn map(
        file: Option<BorrowedFd<'_>>,
        length: NonZeroUsize,
        page: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Pages, Errno> {
        let around = length.get().checked_add(2 * page).and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
        let reserved = MapFlags::MAP_PRIVATE | NO_RESERVE;
        // SAFETY: without MAP_FIXED the kernel chooses addresses that nothing else has.
        let outer = unsafe { mman::mmap_anonymous(None, around, ProtFlags::PROT_NONE, reserved) }?;
        // SAFETY: the reservation is longer than a page.
        let start = unsafe { outer.byte_add(page) };
        let flags = flags | MapFlags::MAP_FIXED;
        let at = Some(start.addr());
        let mapped = match file {
            // SAFETY: the mapping replaces the inner part of the reservation just made, to which nothing else has a pointer.
            Some(file) => unsafe { mman::mmap(at, length, protection, flags, file, 0) },
            // SAFETY: as above.
            None => unsafe { mman::mmap_anonymous(at, length, protection, flags) },
        };
        // SAFETY: the last page of the reservation follows its inner part.
        let last = unsafe { start.byte_add(length.get()) };
        let ends =
            if mapped.is_ok() { vec![(outer, page), (last, page)] } else { vec![(outer, around.get())] };
        for (end, size) in ends {
            // SAFETY: these pages belong to the reservation, and nothing was ever stored there.
            unsafe { mman::munmap(end, size) }?;
        }
        Ok(Pages { start: mapped?, length, is_mapped: true })
    }

    pub fn start(&self) -> u64 {
        self.start.addr().get() as u64
    }

    pub fn length(&self) -> usize {
        self.length.get()
    }

    /// The address of a part, after a check that it lies in these pages and is mapped.
    fn part(&self, offset: usize, size: usize) -> NonNull<c_void> {
        let is_inside = offset.checked_add(size).is_some_and(|end| end <= self.length.get());
        assert!(
            self.is_mapped && is_inside,
            "{size} bytes at {offset} lie outside the mapping, or it is unmapped"
        );
        // SAFETY: the offset is not beyond the end of the mapping.
        unsafe { self.start.byte_add(offset) }
    }

    /// Loads a byte. If the protection forbids it, the process ends by a signal.
    pub fn read(&self, offset: usize) -> u8 {
        let byte = self.part(offset, 1).cast::<u8>();
        // SAFETY: the byte is mapped and belongs to this value's own pages, to which there is no reference. Other mappings of
        // the same object may write it at the same time, hence volatile. A page that can't be read traps and ends the process.
        unsafe { byte.read_volatile() }
    }

    /// Stores a byte. If the protection forbids it, the process ends by a signal.
    pub fn write(&self, offset: usize, value: u8) {
        let byte = self.part(offset, 1).cast::<u8>();
        // SAFETY: as for `read`; a page that can't be written traps.
        unsafe { byte.write_volatile(value) }
    }

    /// Unmaps everything and then loads a byte from its former address.
    pub fn unmap_and_read(&mut self, offset: usize) -> Result<u8, Errno> {
        let byte = self.part(offset, 1).cast::<u8>();
        self.unmap()?;
        // SAFETY: the address is unmapped, so the load traps and ends the process. If another thread has mapped something there
        // in between, one of its bytes is loaded, which changes nothing.
        Ok(unsafe { byte.read_volatile() })
    }

    pub fn protect(&self, offset: usize, size: usize, protection: ProtFlags) -> Result<(), Errno> {
        let part = self.part(offset, size);
        // SAFETY: the pages are this value's own, and nothing but `read` and `write` touches them.
        unsafe { mman::mprotect(part, size, protection) }
    }

    pub fn advise(&self, offset: usize, size: usize, advice: MmapAdvise) -> Result<(), Errno> {
        let part = self.part(offset, size);
        // SAFETY: the pages are this value's own. They hold plain bytes, for which any value is valid, and there is no reference
        // to them.
        unsafe { mman::madvise(part, size, advice) }
    }

    pub fn lock(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own; locking does not change their contents.
        unsafe { mman::mlock(all, self.length.get()) }
    }

    pub fn unlock(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: as for `lock`.
        unsafe { mman::munlock(all, self.length.get()) }
    }

    pub fn sync(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own; MS_SYNC does not change their contents.
        unsafe { mman::msync(all, self.length.get(), MsFlags::MS_SYNC) }
    }

    pub fn unmap(&mut self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own. It is marked as unmapped and never touches them again.
        unsafe { mman::munmap(all, self.length.get()) }?;
        self.is_mapped = false;
        Ok(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.is_mapped {
            // A failure to unmap can't be handled here.
            let _ = self.unmap();
        }
    }
}

/// Forks this process. The child must end by [`exit_now`].
pub(super) fn fork_alone(threads: usize) -> Result<ForkResult, Errno> {
    assert_eq!(threads, 1, "a process with several threads must not be forked");
    // SAFETY: the process has one thread, so no other thread can hold a lock in the child.
    unsafe { nix::unistd::fork() }
}

/// Makes a bad memory access end this process by its signal. Rust's runtime has a handler that reports stack overflows.
pub(super) fn default_signals() {
    for number in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGALRM] {
        // SAFETY: the default action runs no code of this process.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

/// Ends this process without running or flushing anything: buffered output also exists in the parent, which writes it.
pub(super) fn exit_now(status: i32) -> ! {
    // SAFETY: the call ends the process and never returns.
    unsafe { libc::_exit(status) }
}
