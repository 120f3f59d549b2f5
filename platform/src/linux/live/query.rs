//! Queries the kernel about a single region: what holds an address, and what its exact name is.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;

use super::directory::Directory;
use super::sys::{self, ProcmapQuery};
use crate::linux::parse::names::{self, Parsed};
use crate::model::{
    AddrRange, Bytes, Device, LinuxRegion, Name, NameKind, Native, PageCounts, Protection, Region, ShareMode,
};

/// The kernel copies names of up to a page (`PATH_MAX`), including the NUL.
const NAME_SIZE: usize = 4096;

/// The kernel's answer about one address.
pub(super) enum Answer {
    /// A region, and whether its name is ambiguous.
    Region(Box<(Region, bool)>),
    /// No region is there.
    Hole,
    /// This kernel has no answer: before 6.11, or because the name of the region is too long for the call.
    Unknown,
}

/// Queries an open `maps` for the region at `address` (`PROCMAP_QUERY`): one system call.
pub(super) fn region_at(maps: &File, address: u64) -> Answer {
    let mut name = vec![0; NAME_SIZE];
    match sys::procmap_query(maps, address, 0, &mut name) {
        Ok(query) => {
            name.truncate((query.vma_name_size as usize).saturating_sub(1));
            let parsed = names::parse_exact(&name, device(&query));
            let is_ambiguous = parsed.as_ref().is_some_and(|parsed| parsed.is_ambiguous);
            let region = into_region(&query, parsed.map(|parsed| parsed.name));
            region.map_or(Answer::Unknown, |region| Answer::Region(Box::new((region, is_ambiguous))))
        }
        Err(Errno::NOENT) => Answer::Hole,
        Err(_) => Answer::Unknown,
    }
}

/// The page size of the region at `address`; `None` if this kernel does not report it.
pub(super) fn page_size_at(maps: &File, address: u64) -> Option<Bytes> {
    sys::procmap_query(maps, address, 0, &mut []).ok().map(|query| Bytes(query.vma_page_size))
}

/// The region in an answer, with the given name.
fn into_region(query: &ProcmapQuery, name: Option<Name>) -> Option<Region> {
    const READ: u64 = 1;
    const WRITE: u64 = 2;
    const EXECUTE: u64 = 4;
    const SHARED: u64 = 8;
    let has = |flag| query.vma_flags & flag != 0;
    Some(Region {
        range: AddrRange::new(query.vma_start, query.vma_end)?,
        protection: Protection::from_rwx(has(READ), has(WRITE), has(EXECUTE)),
        max_protection: None,
        share: if has(SHARED) { ShareMode::Shared } else { ShareMode::Private },
        name,
        offset: query.vma_offset,
        counts: PageCounts::UNMEASURED,
        pages: None,
        native: Native::Linux(Box::new(LinuxRegion {
            device: device(query),
            inode: query.inode,
            ..LinuxRegion::default()
        })),
    })
}

fn device(query: &ProcmapQuery) -> Device {
    Device { major: query.dev_major, minor: query.dev_minor }
}

/// Resolves ambiguous names. Queries each name once.
#[derive(Default)]
pub(super) struct NameResolver {
    maps: Option<File>,
    resolved: HashMap<(Device, u64, Name), Name>,
}

impl NameResolver {
    /// Gives a region its exact name.
    pub fn resolve_region(&mut self, process: &Directory, region: &mut Region) {
        if let Some(likeliest) = region.name.take() {
            region.name = Some(self.resolve(process, region, &likeliest));
        }
    }

    /// The exact name of the region, from the first that answers: PROCMAP_QUERY, the link in `map_files`, the file whose name
    /// would end in ` (deleted)`. If none does, the most likely name stays.
    fn resolve(&mut self, process: &Directory, region: &Region, likeliest: &Name) -> Name {
        let Some(native) = region.native.linux() else { return likeliest.clone() };
        let key = (native.device, native.inode, likeliest.clone());
        if let Some(name) = self.resolved.get(&key) {
            return name.clone();
        }
        let exact = self.queried_name(process, region).or_else(|| linked_name(process, region.range));
        let Parsed { name, is_ambiguous } = exact
            .and_then(|bytes| names::parse_exact(&bytes, native.device))
            .unwrap_or_else(|| Parsed { name: likeliest.clone(), is_ambiguous: likeliest.is_deleted() });
        let name = if is_ambiguous && is_literal(process, region, native, &name) {
            names::literal(&name)
        } else {
            name
        };
        crate::logging::debug!("the exact name of {} is {name:?}", region.range);
        self.resolved.insert(key, name.clone());
        name
    }

    fn queried_name(&mut self, process: &Directory, region: &Region) -> Option<Vec<u8>> {
        if self.maps.is_none() {
            self.maps = process.file("maps").ok();
        }
        let mut name = vec![0; NAME_SIZE];
        let query = sys::procmap_query(self.maps.as_ref()?, region.range.start(), 0, &mut name).ok()?;
        name.truncate((query.vma_name_size as usize).saturating_sub(1));
        (query.vma_start == region.range.start()).then_some(name)
    }
}

fn map_files_entry(range: AddrRange) -> String {
    format!("map_files/{range}")
}

/// The target of the link in `map_files`: the unescaped name, with the ` (deleted)` that the kernel adds.
fn linked_name(process: &Directory, range: AddrRange) -> Option<Vec<u8>> {
    process.link(&map_files_entry(range)).ok()
}

/// Whether the name of a region's file really ends in ` (deleted)`: a file of that name exists and is the mapped one.
///
/// `map_files` leads to the mapped file itself (root, CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE). Without it only the inode
/// numbers are compared, because on btrfs and overlayfs the device in the line differs from that of `stat`.
fn is_literal(process: &Directory, region: &Region, native: &LinuxRegion, name: &Name) -> bool {
    if name.kind() != NameKind::File {
        return false;
    }
    let literal = names::literal(name);
    let path = [b"root", literal.bytes()].concat();
    let Ok(there) = statat(process, std::ffi::OsStr::from_bytes(&path), AtFlags::empty()) else {
        return false;
    };
    match statat(process, map_files_entry(region.range), AtFlags::empty()) {
        Ok(mapped) => is_same_file(&mapped, &there),
        Err(_) => there.st_ino == native.inode,
    }
}

fn is_same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
