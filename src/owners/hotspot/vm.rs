//! Reading the objects of the VM, by the names of their fields.

use std::cell::RefCell;
use std::collections::HashMap;

use mmview_platform::{AddrRange, Region};

use super::tables::{Names, Tables};
use super::{Fault, Read};
use crate::owners::images::Image;
use crate::owners::target::Target;

/// How many pages around a word are read with it: the next object is often near.
const WINDOW_PAGES: u64 = 4;

/// How many pages are kept. More are dropped and read again.
const MOST_KEPT: usize = 16 << 10;

/// How many flags are searched. Real ones are up to 1,500.
const MOST_FLAGS: u64 = 5000;

/// The longest string of the VM that is read, such as its version.
const LONGEST_TEXT: usize = 128;

/// The flags that matter here.
const FLAGS: [&str; 11] = [
    "UseSerialGC",
    "UseParallelGC",
    "UseParallelOldGC",
    "UseConcMarkSweepGC",
    "UseG1GC",
    "UseShenandoahGC",
    "UseZGC",
    "UseEpsilonGC",
    "ZGenerational",
    "MaxHeapSize",
    "CompressedClassSpaceSize",
];

/// A VM in memory.
pub(super) struct Vm<'t, 'a> {
    pub target: &'t Target<'a>,
    pub tables: Tables,
    image: &'t Image,
    /// The address of each flag's value.
    flags: HashMap<&'static str, u64>,
    /// Pages that were read; `None` for those that are not resident.
    pages: RefCell<HashMap<u64, Option<Box<[u8]>>>>,
}

impl<'t, 'a> Vm<'t, 'a> {
    pub fn attach(target: &'t Target<'a>, image: &'t Image) -> Read<Vm<'t, 'a>> {
        let tables = Tables::read(target, image)?;
        let mut vm = Vm { target, tables, image, flags: HashMap::new(), pages: RefCell::default() };
        vm.flags = match vm.read_flags() {
            Err(Fault::Absent) => HashMap::new(),
            flags => flags?,
        };
        Ok(vm)
    }

    fn read_flags(&self) -> Read<HashMap<&'static str, u64>> {
        let target = self.target;
        let size = self.tables.size(&["JVMFlag", "Flag"])?;
        let name = self.tables.offset(&["JVMFlag::_name", "Flag::_name"])?;
        let address = self.tables.offset(&["JVMFlag::_addr", "Flag::_addr"])?;
        let start = self.value(&["JVMFlag::flags", "Flag::flags"])?;
        let count = self.value(&["JVMFlag::numFlags", "Flag::numFlags"])?.min(MOST_FLAGS);
        self.check(start)?;
        let bytes = target.bytes(start, (count * size) as usize)?;
        let rows = || bytes.chunks_exact(size as usize);
        let names = rows().filter_map(|row| target.word_in(row, name)).filter(|name| *name != 0);
        let names = Names::read(self.image, names)?;
        let wanted = rows().filter_map(|row| {
            let text = names.get(target.word_in(row, name)?)?;
            let flag = FLAGS.into_iter().find(|flag| *flag == text)?;
            Some((flag, target.word_in(row, address)?))
        });
        Ok(wanted.collect())
    }

    /// Whether the flag is set; `None` if the version doesn't have it.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let byte = self.bytes(*self.flags.get(name)?, 1).ok()?;
        byte.first().map(|byte| *byte != 0)
    }

    /// The value of a flag that is a size.
    pub fn size_flag(&self, name: &str) -> Option<u64> {
        self.word(*self.flags.get(name)?).ok()
    }

    /// The version, such as `17.0.15+6-Debian-1deb12u1`.
    pub fn version(&self) -> Read<String> {
        let text = self.text(self.value(&["Abstract_VM_Version::_s_vm_release"])?).ok_or(Fault::Absent)?;
        let is_version = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_version { Ok(text) } else { Err(Fault::Absent) }
    }

    /// A string in the constants of libjvm.
    pub fn text(&self, pointer: u64) -> Option<String> {
        String::from_utf8(self.image.string(pointer, LONGEST_TEXT)?).ok()
    }

    /// Forgets what was read, to see what has changed.
    pub fn forget(&self) {
        self.pages.borrow_mut().clear();
    }

    /// Requires that `pointer` leads to memory of the process that the VM can have objects in: private, readable, and without
    /// a device or a handler behind it.
    pub fn check(&self, pointer: u64) -> Read<()> {
        let region = self.target.region_at(pointer).filter(|region| is_readable(region));
        region.map(|_| ()).ok_or(Fault::Absent)
    }

    /// Reads `size` bytes, all of which must be resident.
    pub fn bytes(&self, address: u64, size: usize) -> Read<Vec<u8>> {
        let page = self.target.page();
        let end = address.checked_add(size as u64).ok_or(Fault::Absent)?;
        let mut bytes = Vec::with_capacity(size);
        let mut next = address;
        while next < end {
            let start = next - next % page;
            let stop = end.min(start.saturating_add(page));
            self.load(start)?;
            let pages = self.pages.borrow();
            let content = pages.get(&start).and_then(Option::as_ref).ok_or(Fault::Absent)?;
            bytes.extend_from_slice(&content[(next - start) as usize..(stop - start) as usize]);
            next = stop;
        }
        Ok(bytes)
    }

    /// Whether the page of `address` is resident.
    pub fn is_resident(&self, address: u64) -> Read<bool> {
        let start = address - address % self.target.page();
        self.load(start)?;
        Ok(self.pages.borrow().get(&start).is_some_and(Option::is_some))
    }

    /// Reads the page at `start` and its neighbors, unless they were read.
    fn load(&self, start: u64) -> Read<()> {
        if self.pages.borrow().contains_key(&start) {
            return Ok(());
        }
        self.check(start)?;
        let page = self.target.page();
        let window = start - start % (WINDOW_PAGES * page);
        let is_wanted = |address: &u64| self.target.region_at(*address).is_some_and(is_readable);
        let addresses: Vec<_> =
            (0..WINDOW_PAGES).map(|index| window.saturating_add(index * page)).filter(is_wanted).collect();
        let read = self.target.gather(addresses.iter().copied(), page as usize)?;
        let mut pages = self.pages.borrow_mut();
        if pages.len() >= MOST_KEPT {
            pages.clear();
        }
        pages.extend(addresses.into_iter().zip(read.iter().map(|bytes| bytes.map(Box::from))));
        Ok(())
    }

    pub fn word(&self, address: u64) -> Read<u64> {
        let bytes = self.bytes(address, self.target.word as usize)?;
        self.target.word_in(&bytes, 0).ok_or(Fault::Absent)
    }

    pub fn u32(&self, address: u64) -> Read<u32> {
        self.target.u32_in(&self.bytes(address, 4)?, 0).ok_or(Fault::Absent)
    }

    /// The pointer at `address`, which must lead to an object.
    pub fn pointer(&self, address: u64) -> Read<u64> {
        let pointer = self.word(address)?;
        if !pointer.is_multiple_of(self.target.word) {
            return Err(Fault::Absent);
        }
        self.check(pointer)?;
        Ok(pointer)
    }

    /// The value of a variable.
    pub fn value(&self, names: &[&str]) -> Read<u64> {
        self.word(self.tables.variable(names)?)
    }

    /// The address of a field of the object at `object`.
    pub fn field(&self, object: u64, names: &[&str]) -> Read<u64> {
        object.checked_add(self.tables.offset(names)?).ok_or(Fault::Absent)
    }

    /// The word in a field of an object.
    pub fn word_of(&self, object: u64, names: &[&str]) -> Read<u64> {
        self.word(self.field(object, names)?)
    }

    /// The object that a field of an object points to.
    pub fn object_of(&self, object: u64, names: &[&str]) -> Read<u64> {
        self.pointer(self.field(object, names)?)
    }

    /// The range between two fields of an object, such as the bottom and the end of a space. It may be empty.
    pub fn range_of(&self, object: u64, start: &[&str], end: &[&str]) -> Read<AddrRange> {
        AddrRange::new(self.word_of(object, start)?, self.word_of(object, end)?).ok_or(Fault::Absent)
    }
}

/// Whether the VM can have an object in a region: a private one that may be read, without a device or a handler of faults.
fn is_readable(region: &Region) -> bool {
    let has = |flag| region.native.linux().and_then(|native| native.has_flag(flag)).unwrap_or(false);
    region.protection.is_readable()
        && !region.share.is_shared()
        && ![b"io", b"pf", b"um", b"uw"].into_iter().any(has)
}
