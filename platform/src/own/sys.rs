//! The calls themselves. Plain values in and out; what they are for is decided elsewhere.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{self, MapFlags, MmapAdvise, MsFlags, ProtFlags};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::ForkResult;

/// Whole pages that one value of this type owns: nothing else in the process keeps anything there.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<c_void>,
    length: NonZeroUsize,
    is_mapped: bool,
}

impl Pages {
    /// Maps `length` bytes, whole pages, of `file` from its start, or of nothing, with a hole of a `page` on either side: Linux
    /// would make one region of two that lie side by side and are alike.
    pub fn map(
        file: Option<BorrowedFd<'_>>,
        length: NonZeroUsize,
        page: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Pages, Errno> {
        let around = length.get().checked_add(2 * page).and_then(NonZeroUsize::new).ok_or(Errno::ENOMEM)?;
        let reserved = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED the kernel chooses addresses that nothing else has.
        let outer = unsafe { mman::mmap_anonymous(None, around, ProtFlags::PROT_NONE, reserved) }?;
        // SAFETY: the reservation is longer than a page.
        let start = unsafe { outer.byte_add(page) };
        let flags = flags | MapFlags::MAP_FIXED;
        let at = Some(start.addr());
        let mapped = match file {
            // SAFETY: what is replaced is the inner part of the reservation just made, which nobody else knows of.
            Some(file) => unsafe { mman::mmap(at, length, protection, flags, file, 0) },
            // SAFETY: as above.
            None => unsafe { mman::mmap_anonymous(at, length, protection, flags) },
        };
        // SAFETY: the last page of the reservation follows its inner part.
        let last = unsafe { start.byte_add(length.get()) };
        let ends =
            if mapped.is_ok() { vec![(outer, page), (last, page)] } else { vec![(outer, around.get())] };
        for (end, size) in ends {
            // SAFETY: these pages are of the reservation, and nothing was ever put there.
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

    /// The address of a part, checked to be of these pages and mapped.
    fn part(&self, offset: usize, size: usize) -> NonNull<c_void> {
        let is_inside = offset.checked_add(size).is_some_and(|end| end <= self.length.get());
        assert!(
            self.is_mapped && is_inside,
            "{size} bytes at {offset} are not of the mapping, or it is unmapped"
        );
        // SAFETY: the offset is not beyond the end of the mapping.
        unsafe { self.start.byte_add(offset) }
    }

    /// Loads a byte. Where the pages don't allow it, the process ends by a signal.
    pub fn read(&self, offset: usize) -> u8 {
        let byte = self.part(offset, 1).cast::<u8>();
        // SAFETY: the byte is mapped and of this value's own pages, to which there is no reference; others that map the same
        // object may write it meanwhile, hence volatile. A page that can't be read traps, and the process is at its end.
        unsafe { byte.read_volatile() }
    }

    /// Stores a byte. Where the pages don't allow it, the process ends by a signal.
    pub fn write(&self, offset: usize, value: u8) {
        let byte = self.part(offset, 1).cast::<u8>();
        // SAFETY: as for `read`; a page that can't be written traps.
        unsafe { byte.write_volatile(value) }
    }

    /// Unmaps everything and loads from where it was.
    pub fn unmap_and_read(&mut self, offset: usize) -> Result<u8, Errno> {
        let byte = self.part(offset, 1).cast::<u8>();
        self.unmap()?;
        // SAFETY: there is nothing any more, so the load traps and the process is at its end; should another thread have mapped
        // something there meanwhile, a byte of that is loaded, which changes nothing.
        Ok(unsafe { byte.read_volatile() })
    }

    pub fn protect(&self, offset: usize, size: usize, protection: ProtFlags) -> Result<(), Errno> {
        let part = self.part(offset, size);
        // SAFETY: the pages are this value's own, and nothing but `read` and `write` touches them.
        unsafe { mman::mprotect(part, size, protection) }
    }

    pub fn advise(&self, offset: usize, size: usize, advice: MmapAdvise) -> Result<(), Errno> {
        let part = self.part(offset, size);
        // SAFETY: the pages are this value's own; they hold plain bytes, of which any value will do, and there is no reference
        // to them.
        unsafe { mman::madvise(part, size, advice) }
    }

    pub fn lock(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own; locking changes nothing of what they hold.
        unsafe { mman::mlock(all, self.length.get()) }
    }

    pub fn unlock(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: as for `lock`.
        unsafe { mman::munlock(all, self.length.get()) }
    }

    pub fn sync(&self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own; MS_SYNC changes nothing of what they hold.
        unsafe { mman::msync(all, self.length.get(), MsFlags::MS_SYNC) }
    }

    pub fn unmap(&mut self) -> Result<(), Errno> {
        let all = self.part(0, self.length.get());
        // SAFETY: the pages are this value's own; it is marked as unmapped, and touches none of them afterwards.
        unsafe { mman::munmap(all, self.length.get()) }?;
        self.is_mapped = false;
        Ok(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.is_mapped {
            // Nothing can be done where the system won't unmap its own mapping.
            let _ = self.unmap();
        }
    }
}

/// Splits the process in two, of which the child must end by [`exit_now`].
pub(super) fn fork_alone(threads: usize) -> Result<ForkResult, Errno> {
    assert_eq!(threads, 1, "a process with several threads is not to be forked");
    // SAFETY: the process has one thread, so no other can hold a lock or be half-way through anything in the child.
    unsafe { nix::unistd::fork() }
}

/// Lets a bad access end this process by the signal itself; Rust's runtime has a handler that tells a stack overflow.
pub(super) fn default_signals() {
    for number in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGALRM] {
        // SAFETY: the default action runs no code of this process.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

/// Ends this process with nothing run or flushed: what is buffered is the parent's too, and is the parent's to write.
pub(super) fn exit_now(status: i32) -> ! {
    // SAFETY: it ends the process and returns to nobody.
    unsafe { libc::_exit(status) }
}
