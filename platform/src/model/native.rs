//! Facts that only one system has.
//!
//! They are plain data on every host, so a capture made on a Mac opens on Linux with its tags.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use std::sync::Arc;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::{Bytes, MacosRegion, Numa, Protection};

/// The facts about a region that only one system has. Boxed, so that a region is small and cheap to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "os", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Native {
    /// From `/proc/PID/maps` and `smaps`.
    Linux(Box<LinuxRegion>),
    /// From Mach's `vm_region_submap_info_64`.
    Macos(Box<MacosRegion>),
    /// From a minidump of Windows.
    Windows(Box<WindowsRegion>),
}

impl Native {
    /// The Linux facts, if this is a Linux region.
    pub fn linux(&self) -> Option<&LinuxRegion> {
        match self {
            Native::Linux(region) => Some(region),
            Native::Macos(_) | Native::Windows(_) => None,
        }
    }

    /// The macOS facts, if this is a macOS region.
    pub fn macos(&self) -> Option<&MacosRegion> {
        match self {
            Native::Macos(region) => Some(region),
            Native::Linux(_) | Native::Windows(_) => None,
        }
    }
}

/// What only Windows reports about a region (`MEMORY_BASIC_INFORMATION`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WindowsRegion {
    /// What is behind it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<WindowsMemory>,
    /// Whether it is address space without memory (`MEM_RESERVE`).
    #[serde(default)]
    pub is_reserved: bool,
    /// Whether the first access to each page is reported (`PAGE_GUARD`): the guards of stacks.
    #[serde(default)]
    pub is_guard: bool,
    /// The start of the allocation that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<u64>,
}

/// What is behind a region of Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WindowsMemory {
    /// Memory of the process alone (`MEM_PRIVATE`).
    Private,
    /// A section: a file, or memory that processes share (`MEM_MAPPED`).
    Mapped,
    /// A program or library (`MEM_IMAGE`).
    Image,
}

impl WindowsMemory {
    pub(crate) fn from_number(number: u32) -> Option<WindowsMemory> {
        match number {
            0x2_0000 => Some(WindowsMemory::Private),
            0x4_0000 => Some(WindowsMemory::Mapped),
            0x100_0000 => Some(WindowsMemory::Image),
            _ => None,
        }
    }
}

/// A device number, which maps prints as `major:minor` in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// The driver; 0 for file systems without a device (tmpfs, overlay, shared memory).
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

impl Device {
    /// A device number.
    pub const fn new(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}", self.major, self.minor)
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Device, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        let device = text
            .split_once(':')
            .and_then(|(major, minor)| Some(Device { major: number(major)?, minor: number(minor)? }));
        device.ok_or_else(|| de::Error::custom(format_args!("`{text}` is not a device number")))
    }
}

/// What only Linux reports about a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinuxRegion {
    /// The device of the file; `00:00` for anonymous memory.
    pub device: Device,
    /// The inode of the file; 0 for anonymous memory, the segment's ID for System V shared memory.
    pub inode: u64,
    /// The counters of smaps that the kernel printed.
    #[serde(default, skip_serializing_if = "SmapsCounters::is_empty")]
    pub smaps: SmapsCounters,
    /// The `VmFlags` line of smaps (3.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_flags: Option<VmFlags>,
    /// `THPeligible`: whether transparent huge pages can be used here (5.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thp_eligible: Option<bool>,
    /// `ProtectionKey`: the memory protection key (4.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_key: Option<u32>,
    /// The build ID of the image that the region is a part of, in hexadecimal, from the ELF notes of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<Arc<str>>,
    /// The name by which other images load that image (`DT_SONAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soname: Option<Arc<str>>,
    /// Whether its offset is unknown, because a listing has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_offset: bool,
    /// Whether it may be a mapping of a file, because a dump has no names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_name: bool,
    /// What numa_maps reports, in captures of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa: Option<Box<Numa>>,
    /// Lines of smaps with a key that this version does not know, in their order.
    #[serde(default, skip_serializing_if = "<[UnknownField]>::is_empty")]
    pub unknown: Box<[UnknownField]>,
}

impl LinuxRegion {
    /// Whether the `VmFlags` line has the two letters; `None` if there was no such line.
    pub fn has_flag(&self, letters: &[u8; 2]) -> Option<bool> {
        self.vm_flags.as_ref().map(|flags| flags.contains(letters))
    }
}

/// A line of smaps that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnknownField {
    /// The text before the colon.
    pub key: Box<str>,
    /// The text after the colon, trimmed.
    pub value: Box<str>,
}

macro_rules! smaps_fields {
    ($($(#[doc = $doc:literal])+ $variant:ident = $key:literal,)+) => {
        /// A counter of smaps. The kernel prints `kB`; here they are in bytes.
        ///
        /// The order is that of Linux 6.18 (`fs/proc/task_mmu.c`, `show_smap`). Kernels differ, so nothing relies on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SmapsField {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl SmapsField {
            /// Every field, in order.
            pub const ALL: &[SmapsField] = &[$(SmapsField::$variant),+];

            /// The key that smaps prints, without the colon.
            pub const fn key(self) -> &'static str {
                match self { $(SmapsField::$variant => $key),+ }
            }
        }
    };
}

smaps_fields! {
    /// Size of the region.
    Size = "Size",
    /// The page size that the kernel uses for it; larger than the base page for hugetlb (2.6.29).
    KernelPageSize = "KernelPageSize",
    /// The page size that the MMU uses; differs on POWER only (2.6.29).
    MmuPageSize = "MMUPageSize",
    /// Resident, without hugetlb, the zero page and device memory.
    Rss = "Rss",
    /// Resident, each page divided by the number of its mappings (2.6.25).
    Pss = "Pss",
    /// The dirty part of `Pss` (6.0).
    PssDirty = "Pss_Dirty",
    /// Resident, clean, mapped more than once. Counts mappings of the *page*, not of the region.
    SharedClean = "Shared_Clean",
    /// Resident, dirty, mapped more than once.
    SharedDirty = "Shared_Dirty",
    /// Resident, clean, mapped once.
    PrivateClean = "Private_Clean",
    /// Resident, dirty, mapped once.
    PrivateDirty = "Private_Dirty",
    /// Resident and accessed since the bits were last cleared (2.6.22).
    Referenced = "Referenced",
    /// Resident and not a file's page. The written pages of a private file mapping count too.
    Anonymous = "Anonymous",
    /// Merged with identical pages by KSM (6.8).
    Ksm = "KSM",
    /// Released with `MADV_FREE` and not yet reclaimed (4.12).
    LazyFree = "LazyFree",
    /// Anonymous memory in transparent huge pages.
    AnonHugePages = "AnonHugePages",
    /// Shared memory mapped by huge pages (4.8).
    ShmemPmdMapped = "ShmemPmdMapped",
    /// File pages mapped by huge pages (5.4).
    FilePmdMapped = "FilePmdMapped",
    /// hugetlb pages mapped more than once; not in `Rss` (4.4).
    SharedHugetlb = "Shared_Hugetlb",
    /// hugetlb pages mapped once; not in `Rss` (4.4).
    PrivateHugetlb = "Private_Hugetlb",
    /// Swapped out. For shared memory, the whole object's pages in this range (2.6.28).
    Swap = "Swap",
    /// Swapped out, divided by the number of its users (4.3).
    SwapPss = "SwapPss",
    /// The part of `Pss` that is locked in memory.
    Locked = "Locked",
}

const FIELD_COUNT: usize = SmapsField::ALL.len();

/// The counters of one region in smaps: which ones the kernel printed, and their values.
///
/// An array and a bit set rather than a map, because every region has one, and reading 40,000 of them must not allocate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SmapsCounters {
    present: u32,
    values: [u64; FIELD_COUNT],
}

const _: () = assert!(FIELD_COUNT <= u32::BITS as usize, "`present` has a bit for every field");

impl SmapsCounters {
    /// The value of a field; `None` if the kernel did not print it.
    pub fn get(&self, field: SmapsField) -> Option<Bytes> {
        (self.present & (1 << field as u32) != 0).then(|| Bytes(self.values[field as usize]))
    }

    /// Sets a field.
    pub fn set(&mut self, field: SmapsField, value: Bytes) {
        self.present |= 1 << field as u32;
        self.values[field as usize] = value.0;
    }

    /// The sum of two fields; `None` if the kernel did not print both.
    pub fn sum(&self, one: SmapsField, other: SmapsField) -> Option<Bytes> {
        Some(self.get(one)? + self.get(other)?)
    }

    /// Whether the kernel printed no field.
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// The printed fields, in the order of [`SmapsField::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (SmapsField, Bytes)> {
        SmapsField::ALL.iter().filter_map(|&field| Some((field, self.get(field)?)))
    }
}

impl Default for SmapsCounters {
    fn default() -> Self {
        SmapsCounters { present: 0, values: [0; FIELD_COUNT] }
    }
}

impl fmt::Debug for SmapsCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(field, value)| (field.key(), value.0))).finish()
    }
}

/// A map from the kernel's key to bytes.
impl Serialize for SmapsCounters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(field, value)| (field.key(), value)))
    }
}

/// Ignores counters that this version does not know.
impl<'de> Deserialize<'de> for SmapsCounters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SmapsCounters, D::Error> {
        let values = BTreeMap::<Cow<'de, str>, Bytes>::deserialize(deserializer)?;
        let mut counters = SmapsCounters::default();
        for &field in SmapsField::ALL {
            if let Some(&value) = values.get(field.key()) {
                counters.set(field, value);
            }
        }
        Ok(counters)
    }
}

macro_rules! vm_flags {
    ($($letters:literal $meaning:literal,)+) => {
        /// The two-letter flags of kernels 3.8 to 6.18 with their meanings, in the order of their bits in the kernel
        /// (`fs/proc/task_mmu.c`, `show_smap_vma_flags`). Retired ones come last.
        const VM_FLAGS: &[(&[u8; 2], &str)] = &[$(($letters, $meaning)),+];
    };
}

vm_flags! {
    b"rd" "readable",
    b"wr" "writable",
    b"ex" "executable",
    b"sh" "shared",
    b"mr" "may be made readable",
    b"mw" "may be made writable",
    b"me" "may be made executable",
    b"ms" "may be made shared",
    b"gd" "grows downwards",
    b"um" "userfaultfd, missing pages",
    b"pf" "page frames without page structures",
    b"gu" "may hold guard pages",
    b"uw" "userfaultfd, write protection",
    b"lo" "locked in memory",
    b"io" "device memory",
    b"sr" "advised to be read in sequence",
    b"rr" "advised to be read at random",
    b"dc" "not copied on fork",
    b"de" "can't be expanded",
    b"lf" "locked when first touched",
    b"ac" "counted against the commit limit",
    b"nr" "no swap space reserved",
    b"ht" "hugetlb pages",
    b"sf" "synchronous page faults",
    b"ar" "architecture's own flag",
    b"wf" "wiped on fork",
    b"dd" "left out of core dumps",
    b"bt" "arm64 branch targets",
    b"sd" "soft-dirty",
    b"mm" "mixed map",
    b"hg" "advised to use huge pages",
    b"nh" "advised not to use huge pages",
    b"mg" "mergeable by KSM",
    b"ui" "userfaultfd, minor faults",
    b"mt" "arm64 memory tags",
    b"ss" "shadow stack",
    b"dp" "droppable",
    b"sl" "sealed",
    b"dw" "write denied to the file",
    b"nl" "non-linear",
    b"mp" "Intel MPX bounds",
    b"??" "a bit that the kernel has no letters for",
}

const _: () = assert!(VM_FLAGS.len() <= u64::BITS as usize, "`VmFlags` has a bit for every flag");

/// The last of [`VM_FLAGS`], and the only one that is not two lower-case letters.
const UNNAMED_BIT: &[u8; 2] = b"??";

const NO_FLAG: u8 = u8::MAX;

/// Maps a pair of letters to an index of [`VM_FLAGS`]. A process with 40,000 regions has 300,000 flags to look up.
static VM_FLAG_INDEX: [u8; 26 * 26] = {
    let mut table = [NO_FLAG; 26 * 26];
    let mut index = 0;
    while index < VM_FLAGS.len() {
        let [first, second] = *VM_FLAGS[index].0;
        if let Some(pair) = letter_pair(first, second) {
            table[pair] = index as u8;
        }
        index += 1;
    }
    table
};

const fn letter_pair(first: u8, second: u8) -> Option<usize> {
    if first.is_ascii_lowercase() && second.is_ascii_lowercase() {
        Some((first - b'a') as usize * 26 + (second - b'a') as usize)
    } else {
        None
    }
}

/// The `VmFlags` of a region: a set of two-letter flags.
///
/// Flags that this version does not know are kept in [`LinuxRegion::unknown`], with the key `VmFlags`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct VmFlags(u64);

impl VmFlags {
    fn index(letters: &[u8]) -> Option<usize> {
        let &[first, second] = letters else { return None };
        if letters == UNNAMED_BIT {
            return Some(VM_FLAGS.len() - 1);
        }
        let index = *VM_FLAG_INDEX.get(letter_pair(first, second)?)?;
        (index != NO_FLAG).then_some(index.into())
    }

    /// Adds a flag by its letters. Returns `false` if it is unknown.
    pub fn insert(&mut self, letters: &[u8]) -> bool {
        let Some(index) = VmFlags::index(letters) else { return false };
        self.0 |= 1 << index;
        true
    }

    /// Whether the flag is set.
    pub fn contains(self, letters: &[u8; 2]) -> bool {
        VmFlags::index(letters).is_some_and(|index| self.0 & (1 << index) != 0)
    }

    /// The maximum protection that they stand for.
    pub(crate) fn max_protection(self) -> Protection {
        Protection::from_rwx(self.contains(b"mr"), self.contains(b"mw"), self.contains(b"me"))
    }

    /// The flags in the set, as letters and meaning.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        VM_FLAGS.iter().enumerate().filter(move |(index, _)| self.0 & (1 << index) != 0).map(
            |(_, (letters, meaning))| (std::str::from_utf8(*letters).expect("the table is ASCII"), *meaning),
        )
    }
}

impl fmt::Debug for VmFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(letters, _)| letters)).finish()
    }
}

/// A list of the letters.
impl Serialize for VmFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(letters, _)| letters))
    }
}

/// Ignores letters that this version does not know.
impl<'de> Deserialize<'de> for VmFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VmFlags, D::Error> {
        let mut flags = VmFlags::default();
        for letters in Vec::<Cow<'de, str>>::deserialize(deserializer)? {
            flags.insert(letters.as_bytes());
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_not_printed_is_not_zero() {
        let mut counters = SmapsCounters::default();
        counters.set(SmapsField::SharedDirty, Bytes(0));
        assert_eq!(counters.get(SmapsField::SharedDirty), Some(Bytes(0)));
        assert_eq!(counters.get(SmapsField::PrivateDirty), None);
        assert_eq!(counters.sum(SmapsField::SharedDirty, SmapsField::PrivateDirty), None);
    }

    #[test]
    fn every_flag_goes_in_and_comes_out() {
        let mut flags = VmFlags::default();
        for (letters, _) in VM_FLAGS {
            assert!(flags.insert(*letters));
            assert!(flags.contains(letters));
        }
        assert_eq!(flags.iter().count(), VM_FLAGS.len());
        assert!(!flags.insert(b"zz"));
        assert!(!flags.insert(b"rdx"));
    }
}
