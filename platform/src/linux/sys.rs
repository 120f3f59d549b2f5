//! The system calls that no crate wraps. Plain values in and out; what they mean is decided elsewhere.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

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

/// `PROCFS_IOCTL_MAGIC` is `'f'`, the number 17.
const PROCMAP_QUERY: Opcode = opcode::read_write::<ProcmapQuery>(b'f', 17);

const _: () = assert!(PROCMAP_QUERY == 0xc068_6611);

/// Asks an open `/proc/PID/maps` for the region that holds `address`, and for its name, unescaped and with the final NUL,
/// into `name`; `vma_name_size` of the answer is its length with the NUL.
///
/// `ENOENT` where no region holds the address, `ENOTTY` before 6.11, `ESRCH` where the process has ended,
/// `ENAMETOOLONG` where the name doesn't fit in a page or in `name`. An empty `name` asks for none.
pub fn procmap_query(maps: impl AsFd, address: u64, name: &mut [u8]) -> Result<ProcmapQuery, Errno> {
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_addr: address,
        vma_name_size: name.len().try_into().unwrap_or(u32::MAX),
        vma_name_addr: if name.is_empty() { 0 } else { name.as_mut_ptr() as u64 },
        ..ProcmapQuery::default()
    };
    // SAFETY: the opcode is the one for this struct, whose size field is right; the kernel writes at most `vma_name_size`
    // bytes at `vma_name_addr`, which are those of `name`, borrowed for the whole call.
    unsafe { ioctl(maps, Updater::<PROCMAP_QUERY, ProcmapQuery>::new(&mut query)) }?;
    Ok(query)
}
