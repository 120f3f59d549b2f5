//! The images that dyld has loaded: `dyld_all_image_infos` (`mach-o/dyld_images.h`) and the headers that it points to, read
//! from the target's memory.
//!
//! The target runs on and may change them at the same time. An image that can't be read is left out; its regions are then
//! named by their files and tags.

use super::macho::{self, MachHeader, long, word};
use crate::model::Image;

/// The target's memory.
pub(crate) trait ImageMemory {
    /// Reads `size` bytes at `address`. Returns fewer, or none, if not all are readable.
    fn read(&mut self, address: u64, size: usize) -> Vec<u8>;
}

/// The address of `dyld_all_image_infos`, and the width of its pointers (`TASK_DYLD_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DyldInfo {
    pub address: u64,
    /// `all_image_info_format` is `TASK_DYLD_ALL_IMAGE_INFO_64`.
    pub is_64: bool,
}

/// An image and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadedImage {
    pub image: Image,
    pub header: MachHeader,
}

/// More images than any process has. A larger count is garbage.
const MOST_IMAGES: u32 = 1 << 14;

/// More load commands than any image has. The largest of the system's have about 30 KB.
const LARGEST_HEADER: usize = 1 << 18;

/// `PATH_MAX` of macOS.
const LONGEST_PATH: usize = 1024;

/// Pages start at multiples of this on every Mac, so a read that does not cross one succeeds or fails as a whole.
const SMALLEST_PAGE: u64 = 4096;

/// Reads the list, the main program first, dyld itself last. Two reads an image.
///
/// `None` if there is no list. dyld clears its pointer while it changes the list, so trying again soon may help.
pub(crate) fn read(memory: &mut impl ImageMemory, dyld: DyldInfo) -> Option<Vec<LoadedImage>> {
    let width = if dyld.is_64 { 8 } else { 4 };
    let pointer =
        |bytes: &[u8], at: usize| if dyld.is_64 { long(bytes, at) } else { word(bytes, at).map(u64::from) };
    // version, infoArrayCount, infoArray, notification, two flags, dyldImageLoadAddress
    let infos = memory.read(dyld.address, 8 + 4 * width);
    let count = word(&infos, 4)?.min(MOST_IMAGES);
    let list = pointer(&infos, 8).filter(|list| *list != 0)?;
    let entry = 3 * width;
    let entries = memory.read(list, entry * count as usize);
    let mut images: Vec<LoadedImage> = entries
        .chunks_exact(entry)
        .filter_map(|info| {
            let path = read_path(memory, pointer(info, width)?);
            read_image(memory, pointer(info, 0)?, path)
        })
        .collect();
    let dyld_address = pointer(&infos, 8 + 3 * width).filter(|address| *address != 0);
    if let Some(address) = dyld_address
        && images.iter().all(|image| image.image.load_address != address)
    {
        images.extend(read_image(memory, address, b"/usr/lib/dyld".to_vec()));
    }
    Some(images)
}

fn read_image(memory: &mut impl ImageMemory, load_address: u64, path: Vec<u8>) -> Option<LoadedImage> {
    let mut bytes = read_within_page(memory, load_address, SMALLEST_PAGE as usize);
    let total = macho::total_size(&bytes)?;
    if total > bytes.len() && total <= LARGEST_HEADER {
        bytes = memory.read(load_address, total);
    }
    let header = macho::parse(&bytes, load_address)?;
    let image = Image { path: path.into(), load_address, segments: header.segments.clone() };
    Some(LoadedImage { image, header })
}

/// The string at `address` without its NUL, as far as it could be read.
fn read_path(memory: &mut impl ImageMemory, address: u64) -> Vec<u8> {
    let mut path = Vec::new();
    // Most paths are shorter. If this much can't be read, the string may still be readable.
    let mut size = 256;
    while path.len() < LONGEST_PATH && size > 0 {
        let Some(at) = address.checked_add(path.len() as u64) else { break };
        let bytes = read_within_page(memory, at, size);
        if bytes.is_empty() {
            size /= 2;
            continue;
        }
        let end = memchr::memchr(0, &bytes);
        path.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        if end.is_some() {
            break;
        }
    }
    path
}

/// Reads up to `size` bytes within one page.
fn read_within_page(memory: &mut impl ImageMemory, address: u64, size: usize) -> Vec<u8> {
    let left = SMALLEST_PAGE - address % SMALLEST_PAGE;
    memory.read(address, size.min(left as usize))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::macho::tests::image;
    use super::*;

    /// Memory with these bytes and nothing else.
    #[derive(Default)]
    struct FakeMemory {
        bytes: BTreeMap<u64, u8>,
    }

    impl FakeMemory {
        fn put(&mut self, address: u64, bytes: &[u8]) {
            self.bytes.extend((address..).zip(bytes.iter().copied()));
        }

        /// An image in a page of its own.
        fn put_image(&mut self, address: u64, segments: &[(&str, u64, u64, u32)]) {
            self.put(address, &[0; SMALLEST_PAGE as usize]);
            self.put(address, &image(0, segments));
        }

        fn put_longs(&mut self, address: u64, longs: &[u64]) {
            self.put(address, &longs.iter().flat_map(|long| long.to_le_bytes()).collect::<Vec<_>>());
        }
    }

    impl ImageMemory for FakeMemory {
        fn read(&mut self, address: u64, size: usize) -> Vec<u8> {
            let bytes: Vec<u8> =
                self.bytes.range(address..address + size as u64).map(|(_, byte)| *byte).collect();
            // The kernel copies all or nothing.
            if bytes.len() == size { bytes } else { Vec::new() }
        }
    }

    const DYLD: DyldInfo = DyldInfo { address: 0x9000, is_64: true };

    fn memory() -> FakeMemory {
        let mut memory = FakeMemory::default();
        memory.put_longs(0x9000, &[18 | 2 << 32, 0xa000, 0, 0, 0x30000]);
        memory.put_longs(0xa000, &[0x10000, 0xbffe, 0, 0x20000, 0xc100, 0]);
        memory.put(0xbffe, b"/bin/a\0");
        memory.put(0xc100, b"/lib/b\0");
        memory.put_image(0x10000, &[("__TEXT", 0x1000, 0x1000, 5), ("__DATA", 0x2000, 0x1000, 3)]);
        memory.put_image(0x30000, &[("__TEXT", 0, 0x1000, 5)]);
        memory
    }

    #[test]
    fn images_have_paths_and_segments() {
        let images = read(&mut memory(), DYLD).unwrap();
        let paths: Vec<_> = images.iter().map(|image| String::from_utf8_lossy(&image.image.path)).collect();
        // An image that can't be read is left out, and dyld is not in its own list.
        assert_eq!(paths, ["/bin/a", "/usr/lib/dyld"]);
        assert_eq!(images[0].image.segments[1].1.to_string(), "11000-12000");
    }

    #[test]
    fn a_list_that_is_being_changed_is_none() {
        let mut memory = memory();
        memory.put_longs(0x9008, &[0]);
        assert_eq!(read(&mut memory, DYLD), None);
        assert_eq!(read(&mut FakeMemory::default(), DYLD), None);
    }

    #[test]
    fn pointers_of_32_bits() {
        let mut memory = FakeMemory::default();
        memory.put(0x9000, &[14u32, 1, 0xa000, 0, 0, 0].map(u32::to_le_bytes).concat());
        memory.put(0xa000, &[0x10000u32, 0xb000, 0].map(u32::to_le_bytes).concat());
        memory.put(0xb000, b"/bin/old\0");
        memory.put_image(0x10000, &[("__TEXT", 0x1000, 0x1000, 5)]);
        let images = read(&mut memory, DyldInfo { is_64: false, ..DYLD }).unwrap();
        assert_eq!(&*images[0].image.path, b"/bin/old");
    }
}
