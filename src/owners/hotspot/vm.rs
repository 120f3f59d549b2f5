//! Reading the objects of the VM, by the names of their fields.

use std::cell::RefCell;
use std::collections::HashMap;

use mmview_platform::{AddrRange, Bytes, Region};

use super::tables::Tables;
use super::{Fault, Read};
use crate::owners::images::Image;
use crate::owners::target::Target;

/// How many pages around a word are read with it: the next object is often near.
const WINDOW_PAGES: u64 = 4;

/// How many such windows are kept. Then they are dropped, and read again if they are needed again.
const MOST_KEPT: usize = 4 << 10;

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
    /// What was read, by its address.
    windows: RefCell<HashMap<u64, Window>>,
}

impl<'t, 'a> Vm<'t, 'a> {
    pub fn attach(target: &'t Target<'a>, image: &'t Image) -> Read<Vm<'t, 'a>> {
        let tables = Tables::read(target, image)?;
        let mut vm = Vm { target, tables, image, flags: HashMap::new(), windows: RefCell::default() };
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
        let pointers = rows().filter_map(|row| target.word_in(row, name)).filter(|name| *name != 0);
        let names = self.tables.names.extended(self.image, pointers)?;
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
        self.windows.borrow_mut().clear();
    }

    /// Requires that `pointer` leads to memory of the process that the VM can have objects in: private, readable, and without
    /// a device or a handler behind it.
    pub fn check(&self, pointer: u64) -> Read<()> {
        let region = self.target.region_at(pointer).filter(|region| is_readable(region));
        region.map(|_| ()).ok_or(Fault::Absent)
    }

    /// Fills `buffer`; all of it must be resident.
    fn fill(&self, address: u64, buffer: &mut [u8]) -> Read<()> {
        let mut done = 0;
        while done < buffer.len() {
            let next = address.checked_add(done as u64).ok_or(Fault::Absent)?;
            let window = self.load(next)?;
            let windows = self.windows.borrow();
            let part = windows.get(&window).and_then(|window| window.part(next)).ok_or(Fault::Absent)?;
            let size = part.len().min(buffer.len() - done);
            buffer[done..done + size].copy_from_slice(&part[..size]);
            done += size;
        }
        Ok(())
    }

    /// Reads `size` bytes, all of which must be resident.
    pub fn bytes(&self, address: u64, size: usize) -> Read<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.fill(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether the page of `address` is resident.
    pub fn is_resident(&self, address: u64) -> Read<bool> {
        let window = self.load(address)?;
        let windows = self.windows.borrow();
        Ok(windows.get(&window).is_some_and(|window| window.part(address).is_some()))
    }

    /// Reads the pages around `address` that are in the same region, unless they were read. Returns where they start.
    fn load(&self, address: u64) -> Read<u64> {
        let target = self.target;
        let region = target.region_at(address).filter(|region| is_readable(region)).ok_or(Fault::Absent)?;
        let size = WINDOW_PAGES * target.page();
        let around = AddrRange::with_size(address - address % size, Bytes(size));
        let range = around.and_then(|around| around.overlap(region.range)).ok_or(Fault::Absent)?;
        let mut windows = self.windows.borrow_mut();
        if !windows.contains_key(&range.start()) {
            if windows.len() >= MOST_KEPT {
                windows.clear();
            }
            windows.insert(range.start(), Window::read(target, range)?);
        }
        Ok(range.start())
    }

    pub fn word(&self, address: u64) -> Read<u64> {
        let mut bytes = [0; 8];
        self.fill(address, &mut bytes[..self.target.word as usize])?;
        self.target.word_in(&bytes, 0).ok_or(Fault::Absent)
    }

    pub fn u32(&self, address: u64) -> Read<u32> {
        let mut bytes = [0; 4];
        self.fill(address, &mut bytes)?;
        self.target.u32_in(&bytes, 0).ok_or(Fault::Absent)
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

/// Neighboring pages that were read together.
struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// The parts of it that were resident.
    resident: Vec<AddrRange>,
}

impl Window {
    fn read(target: &Target<'_>, range: AddrRange) -> Read<Window> {
        let start = range.start();
        let mut bytes = vec![0; range.size().0 as usize];
        let read = target.read(start, &mut bytes)?;
        if read == bytes.len() {
            return Ok(Window { start, bytes, resident: vec![range] });
        }
        let mut resident = Vec::new();
        for run in target.resident(range)?.into_iter().filter_map(|run| run.overlap(range)) {
            let place = (run.start() - start) as usize..(run.end() - start) as usize;
            let read = target.read(run.start(), &mut bytes[place])?;
            resident.extend(AddrRange::with_size(run.start(), Bytes(read as u64)));
        }
        Ok(Window { start, bytes, resident })
    }

    /// What was read from `address` on; `None` if its page was not resident.
    fn part(&self, address: u64) -> Option<&[u8]> {
        let run = self.resident.iter().find(|run| run.contains(address))?;
        self.bytes.get((address - self.start) as usize..(run.end() - self.start) as usize)
    }
}

/// Whether the VM can have an object in a region: a private one that may be read, without a device or a handler of faults.
fn is_readable(region: &Region) -> bool {
    let has = |flag| region.native.linux().and_then(|native| native.has_flag(flag)).unwrap_or(false);
    region.protection.is_readable()
        && !region.share.is_shared()
        && ![b"io", b"pf", b"um", b"uw"].into_iter().any(has)
}
