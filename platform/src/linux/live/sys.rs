//! The system calls that no crate wraps, with plain values in and out.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::process::Pid;

use crate::memory::Transfer;

/// `struct procmap_query` of `include/uapi/linux/fs.h` (6.11).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcmapQuery {
    pub size: u64,
    pub query_flags: u64,
    pub query_addr: u64,
    pub vma_start: u64,
    pub vma_end: u64,
    pub vma_flags: u64,
    pub vma_page_size: u64,
    pub vma_offset: u64,
    pub inode: u64,
    pub dev_major: u32,
    pub dev_minor: u32,
    pub vma_name_size: u32,
    pub build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const _: () = assert!(size_of::<ProcmapQuery>() == 104);

/// `PROCFS_IOCTL_MAGIC` is `'f'`, and the number 17.
const PROCMAP_QUERY: Opcode = opcode::read_write::<ProcmapQuery>(b'f', 17);

const _: () = assert!(PROCMAP_QUERY == 0xc068_6611);

/// Queries an open `/proc/PID/maps` for the region that holds `address`, and stores its name in `name`, unescaped and with a
/// final NUL. `vma_name_size` of the answer is the length of the name, including the NUL.
///
/// `ENOENT` if no region holds the address, `ENOTTY` before 6.11, `ESRCH` if the process has exited, `ENAMETOOLONG` if the
/// name is longer than a page or than `name`. An empty `name` requests none.
pub fn procmap_query(
    maps: impl AsFd,
    address: u64,
    flags: u64,
    name: &mut [u8],
) -> Result<ProcmapQuery, Errno> {
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_flags: flags,
        query_addr: address,
        vma_name_size: name.len().try_into().unwrap_or(u32::MAX),
        vma_name_addr: if name.is_empty() { 0 } else { name.as_mut_ptr() as u64 },
        ..ProcmapQuery::default()
    };
    // SAFETY: the opcode is the one for this struct, and the size field is correct. The kernel writes at most `vma_name_size`
    // bytes at `vma_name_addr`, which are those of `name`, borrowed for the whole call.
    unsafe { ioctl(maps, Updater::<PROCMAP_QUERY, ProcmapQuery>::new(&mut query)) }?;
    Ok(query)
}

/// `struct pidfd_info` of `include/uapi/linux/pidfd.h` (6.13), in its first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    group: u32,
    parent: u32,
    /// Real, effective, saved and file system user and group IDs.
    ids: [u32; 8],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// `PIDFS_IOCTL_MAGIC` is 0xff, the number 11.
const PIDFD_GET_INFO: Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);

const _: () = assert!(PIDFD_GET_INFO == 0xc040_ff0b);

/// Queries a pidfd for how its process ended, as a status of `wait`. `None` if it still runs, or is a zombie (6.15 reports
/// the status after the parent has waited).
///
/// `ENOTTY` or `EINVAL` before 6.13, `ESRCH` before 6.15.
pub fn exit_code(pidfd: impl AsFd) -> Result<Option<i32>, Errno> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the opcode is the one for this struct and includes its size. The kernel writes no more than that.
    unsafe { ioctl(pidfd, Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info)) }?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// `struct page_region` of `include/uapi/linux/fs.h` (6.7): a run of pages with the same categories.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRegion {
    pub start: u64,
    pub end: u64,
    pub categories: u64,
}

/// `struct pm_scan_arg` of the same file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<ScanArguments>() == 96);

/// `PAGEMAP_SCAN`, the number 16.
const PAGEMAP_SCAN: Opcode = opcode::read_write::<ScanArguments>(b'f', 16);

const _: () = assert!(PAGEMAP_SCAN == 0xc060_6610);

/// The `ioctl` and its result, the number of regions written.
struct Scan<'a>(&'a mut ScanArguments);

// SAFETY: the opcode is the one for the struct that `as_ptr` points to, and the size field is correct. The result is a count.
unsafe impl rustix::ioctl::Ioctl for Scan<'_> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        PAGEMAP_SCAN
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(
        written: rustix::ioctl::IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> Result<usize, Errno> {
        usize::try_from(written).map_err(|_| Errno::INVAL)
    }
}

/// Queries an open `/proc/PID/pagemap` for the pages between two addresses that have any of the categories in `any_of`, and
/// for which of the categories in `returned` each has. Returns the number of filled entries of `into`. The scan stops after
/// `most_pages` such pages (0 for no limit); otherwise a partly filled `into` means that it reached the end.
///
/// `ENOTTY` before 6.7, `EINVAL` for an unknown category, `ESRCH` if the process has exited.
pub fn pagemap_scan(
    pagemap: impl AsFd,
    start: u64,
    end: u64,
    any_of: u64,
    returned: u64,
    most_pages: u64,
    into: &mut [PageRegion],
) -> Result<usize, Errno> {
    let mut arguments = ScanArguments {
        size: size_of::<ScanArguments>() as u64,
        start,
        end,
        vec: into.as_mut_ptr() as u64,
        vec_len: into.len() as u64,
        max_pages: most_pages,
        category_anyof_mask: any_of,
        return_mask: returned,
        ..ScanArguments::default()
    };
    // SAFETY: the kernel writes at most `vec_len` entries at `vec`, which are those of `into`, borrowed for the whole call.
    let filled = unsafe { ioctl(pagemap, Scan(&mut arguments)) }?;
    Ok(filled.min(into.len()))
}

/// Copies another process's memory (`process_vm_readv(2)`), in at most 1024 transfers. Returns the number of bytes copied
/// before the first one that faulted.
///
/// `EFAULT` if that is the very first one, `EPERM` without `PTRACE_MODE_ATTACH_REALCREDS`, `ENOSYS` without
/// `CONFIG_CROSS_MEMORY_ATTACH` and in some sandboxes, `ESRCH` if there is no such process.
pub fn process_vm_readv(pid: Pid, transfers: &mut [Transfer<'_>]) -> Result<usize, Errno> {
    let remote: Vec<_> = transfers
        .iter()
        .map(|transfer| libc::iovec {
            iov_base: std::ptr::without_provenance_mut(transfer.address as usize),
            iov_len: transfer.buffer.len(),
        })
        .collect();
    let local: Vec<_> = transfers
        .iter_mut()
        .map(|transfer| libc::iovec {
            iov_base: transfer.buffer.as_mut_ptr().cast(),
            iov_len: transfer.buffer.len(),
        })
        .collect();
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: the kernel writes only into the buffers of `transfers`, which are borrowed mutably for the whole call. The
    // remote addresses are not dereferenced in this process, and both counts are those of the vectors.
    let copied = unsafe {
        libc::process_vm_readv(
            pid,
            local.as_ptr(),
            local.len() as libc::c_ulong,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(copied).map_err(|_| {
        let code = std::io::Error::last_os_error().raw_os_error();
        Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
    })
}
