//! Programs and libraries, by the headers of their files: the exact bounds of their data.
//!
//! The kernel joins anonymous memory with the zero-initialized data before it, so such a region can hold the memory of
//! others. The headers say where the image's own part ends.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use mmview_platform::{
    AddrRange, Bytes, Claim, Device, Memory, Name, Native, PageSize, Protection, Region, TargetArch,
};

use super::claims::Claims;
use super::elf::{Elf, Segment};
use super::target::{is_brk, page_of};
use crate::kind::RegionKind;

/// How many images are read at most. Chromium has some hundred.
const MOST_IMAGES: usize = 4096;

/// Chromium has more code than this.
const SMALLEST_BROWSER: u64 = 64 << 20;

/// An image in memory.
pub(super) struct Image {
    pub elf: Rc<Elf>,
    /// Its path.
    pub path: Arc<[u8]>,
    /// What the loader adds to the addresses in the file.
    bias: u64,
    file: FileId,
    page: u64,
}

/// A file: its device and inode, or its path where those are unknown, as in a core.
#[derive(Clone, PartialEq, Eq, Hash)]
enum FileId {
    Inode(Device, u64),
    Path(Name),
}

impl FileId {
    /// The file that a region maps.
    fn of(region: &Region) -> Option<FileId> {
        let native = region.native.linux()?;
        match native.inode {
            0 => region.name.clone().filter(Name::is_file).map(FileId::Path),
            inode => Some(FileId::Inode(native.device, inode)),
        }
    }
}

/// The images of a process, by address.
pub(super) struct Images {
    pub all: Vec<Image>,
    /// The places of those that are glibc.
    glibc: OnceCell<Vec<usize>>,
}

impl Images {
    /// Finds the images in a map: files that are mapped from their start, and executable somewhere.
    pub fn find(
        regions: &[Region],
        memory: &dyn Memory,
        arch: TargetArch,
        page_size: Option<PageSize>,
    ) -> Images {
        let file = |region: &Region| if region.share.is_shared() { None } else { FileId::of(region) };
        let is_code = |region: &&Region| region.protection.is_executable() || !region.protection.is_known();
        let executable: HashSet<_> = regions.iter().filter(is_code).filter_map(file).collect();
        let mut read: HashMap<FileId, Option<Rc<Elf>>> = HashMap::new();
        let mut images = Vec::new();
        for region in regions.iter().filter(|region| region.offset == 0) {
            let Some(key) = file(region).filter(|key| executable.contains(key)) else { continue };
            if !read.contains_key(&key) && read.len() >= MOST_IMAGES {
                break;
            }
            let elf = read.entry(key.clone()).or_insert_with(|| {
                let elf = memory.open_file(region).and_then(Elf::read)?;
                (elf.word_size() == arch.word_size.0).then(|| Rc::new(elf))
            });
            let Some(elf) = elf.clone() else { continue };
            let page = page_of(page_size);
            let (first, start) = (elf.segments[0], region.range.start());
            let Some(base) = first.address.checked_sub(first.offset) else { continue };
            images.push(Image {
                bias: start.wrapping_sub(base - base % page),
                path: region.name.as_ref().map_or_else(|| Arc::from(&b""[..]), |name| name.bytes().into()),
                elf,
                file: key,
                page,
            });
        }
        Images { all: images, glibc: OnceCell::new() }
    }

    /// The images that export a symbol, with its address in memory.
    pub fn exporting<'a>(&'a self, symbol: &'a str) -> impl Iterator<Item = (&'a Image, u64)> {
        self.all.iter().filter_map(move |image| {
            let address = image.elf.export(symbol)?;
            Some((image, image.bias.wrapping_add(address)))
        })
    }

    /// The images that are glibc: usually one, none in a static program, several after `dlmopen`.
    pub fn glibc(&self) -> impl Iterator<Item = &Image> {
        let is_glibc = |image: &Image| image.elf.export("gnu_get_libc_version").is_some();
        let places = self.glibc.get_or_init(|| {
            let all = self.all.iter().enumerate();
            all.filter(|(_, image)| is_glibc(image)).map(|(place, _)| place).collect()
        });
        places.iter().map(|place| &self.all[*place])
    }

    /// Whether an image is as large as a browser, which exports nothing of the runtimes in it.
    pub fn has_browser(&self) -> bool {
        let segments = || self.all.iter().flat_map(|image| &image.elf.segments);
        segments().any(|segment| segment.memory_size >= SMALLEST_BROWSER)
    }

    /// Adds to the regions of each image its build ID and its name.
    pub fn describe(&self, regions: &mut [Region]) {
        for image in &self.all {
            let (id, name) = (&image.elf.build_id, &image.elf.soname);
            let (id, name): (Option<Arc<str>>, Option<Arc<str>>) =
                (id.as_deref().map(Into::into), name.as_deref().map(Into::into));
            for range in image.segments().map(|(range, _)| range) {
                let first = regions.partition_point(|region| region.range.end() <= range.start());
                let inside =
                    regions[first..].iter_mut().take_while(|region| region.range.start() < range.end());
                for region in inside {
                    if image.is_of(region)
                        && let Native::Linux(native) = &mut region.native
                    {
                        (native.build_id, native.soname) = (id.clone(), name.clone());
                    }
                }
            }
        }
    }

    /// Claims the data of every image: initialized, read-only after relocation, and zero-initialized.
    pub fn claim(&self, claims: &mut Claims<'_>) {
        for image in &self.all {
            image.claim(claims);
        }
    }
}

impl Image {
    /// Its name for people: the one that others load it by, or the last part of its path.
    pub fn name(&self) -> String {
        let last = self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        self.elf.soname.clone().unwrap_or_else(|| String::from_utf8_lossy(last).into_owned())
    }

    /// The addresses of its segments, in whole pages.
    fn segments(&self) -> impl Iterator<Item = (AddrRange, Segment)> {
        self.elf.segments.iter().filter_map(|segment| {
            let start = self.bias.wrapping_add(segment.address);
            let end = start.checked_add(segment.memory_size)?.checked_next_multiple_of(self.page)?;
            Some((AddrRange::new(start - start % self.page, end)?, *segment))
        })
    }

    /// The addresses of its writable segments, zero-initialized data included.
    pub fn data(&self) -> impl Iterator<Item = AddrRange> {
        self.segments().filter(|(_, segment)| segment.is_writable).map(|(range, _)| range)
    }

    /// The file name of its path.
    pub fn file_name(&self) -> &[u8] {
        self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// Where in memory the loader put what has this address in the file.
    pub fn loaded(&self, address: u64) -> u64 {
        self.bias.wrapping_add(address)
    }

    /// Reads from the file what is loaded at `address` of the memory: constants, which need no look at the memory. Not for
    /// data, which has changed since.
    pub fn constant(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.elf.read_at(address.wrapping_sub(self.bias), buffer)
    }

    /// The zero-terminated string that is loaded at `address` of the memory, by the file.
    pub fn string(&self, address: u64, longest: usize) -> Option<Vec<u8>> {
        let mut bytes = self.elf.read_up_to(address.wrapping_sub(self.bias), longest)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        bytes.truncate(end);
        Some(bytes)
    }

    /// Where a section, such as `.go.buildinfo`, is loaded.
    pub fn section(&self, name: &str) -> Option<AddrRange> {
        let (address, size) = self.elf.section(name)?;
        AddrRange::with_size(self.bias.wrapping_add(address), Bytes(size))
    }

    /// Whether a region maps its file.
    fn is_of(&self, region: &Region) -> bool {
        FileId::of(region).as_ref() == Some(&self.file)
    }

    fn claim(&self, claims: &mut Claims<'_>) {
        let owner = self.name();
        let claim = |range, kind: RegionKind| Claim::new(range, owner.clone(), kind.id());
        let relro = self.elf.relro.and_then(|(address, size)| {
            let start = self.bias.wrapping_add(address);
            let end = start.checked_add(size)?;
            AddrRange::new(start - start % self.page, end - end % self.page)
        });
        // A core lacks the protections of what was never written.
        for (range, segment) in self.segments().filter(|(_, segment)| !segment.is_writable) {
            let kind = if segment.is_executable { RegionKind::Text } else { RegionKind::Rodata };
            claims.add(&claim(range, kind), |region| self.is_of(region) && !region.protection.is_known());
        }
        for (range, segment) in self.segments().filter(|(_, segment)| segment.is_writable) {
            let file_end = self.bias.wrapping_add(segment.address).saturating_add(segment.file_size);
            let file_end = file_end.checked_next_multiple_of(self.page).unwrap_or(file_end);
            let file_end = if segment.file_size == 0 { range.start() } else { file_end.min(range.end()) };
            let is_read_only = |region: &Region| self.is_of(region) && region.protection == Protection::READ;
            if let Some(relro) = relro.and_then(|relro| relro.overlap(range)) {
                claims.add(&claim(relro, RegionKind::Relro), is_read_only);
            }
            if let Some(data) = AddrRange::new(range.start(), file_end) {
                let is_data = |region: &Region| self.is_of(region) && region.protection.is_writable();
                claims.add(&claim(data, RegionKind::Data), is_data);
            }
            if let Some(bss) = AddrRange::new(file_end, range.end()).filter(|bss| !bss.is_empty()) {
                // Without randomized addresses, the kernel's heap begins in the same region.
                let is_bss = |region: &Region| {
                    (region.is_unnamed() || is_brk(region))
                        && !region.share.is_shared()
                        && !region.protection.is_none()
                };
                claims.add(&claim(bss, RegionKind::Bss), is_bss);
            }
        }
    }
}
