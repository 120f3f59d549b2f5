//! The headers of an ELF core: its regions, and where its notes are.

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, pod};

use super::super::{Failure, Input, Segment};
use crate::model::{AddrRange, Protection};

/// How many regions a core may have: far more than a process can (`vm.max_map_count`).
const MOST_HEADERS: u64 = 1 << 24;

/// How many program headers are read at once.
const AT_ONCE: u64 = 4096;

/// A region and its bytes in the file (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub range: AddrRange,
    pub protection: Protection,
    pub offset: u64,
    /// How many bytes the file has, from the first on. What lies beyond is unknown, not zero.
    pub size: u64,
}

impl Load {
    /// Whether all of its memory is in the core.
    pub fn is_whole(&self) -> bool {
        self.size == self.range.size().0
    }

    /// Where its bytes end in the file.
    pub fn file_end(&self) -> u64 {
        self.offset + self.size
    }

    /// Its bytes in a file of this length.
    pub fn segment(&self, length: u64) -> Option<Segment> {
        let size = self.size.min(length.checked_sub(self.offset)?);
        let range = AddrRange::new(self.range.start(), self.range.start() + size)?;
        (!range.is_empty()).then_some(Segment { range, offset: self.offset })
    }
}

/// What the headers say.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// Ordered by address, none overlapping another, none empty.
    pub loads: Vec<Load>,
    /// How many regions contradict themselves or those before them, and are left out.
    pub impossible: u64,
    /// Where the notes are: offset and size.
    pub notes: Vec<(u64, u64)>,
}

impl Headers {
    /// Reads the program headers of `input`.
    pub fn read<E: FileHeader<Endian = Endianness>>(input: &Input, header: &E) -> Result<Headers, Failure> {
        let damaged = |what: String| Failure::Malformed(format!("is damaged: {what}"));
        let endian = header.endian().map_err(|_| damaged("the order of its bytes is unknown".into()))?;
        let count = count(input, header, endian)?;
        let size = size_of::<E::ProgramHeader>() as u64;
        let start = header.e_phoff(endian).into();
        if count != 0 && u64::from(header.e_phentsize(endian)) != size {
            return Err(damaged(format!("its program headers do not have {size} bytes")));
        }
        let room = input.room(start, count.min(MOST_HEADERS) * size)? / size;
        if count > room {
            return Err(damaged(format!(
                "its header promises {count} regions, the file has room for {room}"
            )));
        }
        let mut headers = Headers::default();
        let mut buffer = Vec::new();
        for first in (0..count).step_by(AT_ONCE as usize) {
            let number = AT_ONCE.min(count - first) as usize;
            buffer.resize(number * size as usize, 0);
            let read = input.read_at(&mut buffer, start + first * size)?;
            let read = pod::slice_from_bytes::<E::ProgramHeader>(&buffer, read / size as usize);
            for header in read.map(|(read, _)| read).unwrap_or_default() {
                headers.add(header, endian);
            }
        }
        Ok(headers)
    }

    fn add<P: ProgramHeader<Endian = Endianness>>(&mut self, header: &P, endian: Endianness) {
        let (offset, size) = (header.p_offset(endian).into(), header.p_filesz(endian).into());
        match header.p_type(endian) {
            elf::PT_NOTE => self.notes.push((offset, size)),
            elf::PT_LOAD => {
                let flags = header.p_flags(endian).0;
                let has = |flag: u32| flags & flag != 0;
                let protection = Protection::from_rwx(has(elf::PF_R.0), has(elf::PF_W.0), has(elf::PF_X.0));
                let start: u64 = header.p_vaddr(endian).into();
                let range = start.checked_add(header.p_memsz(endian).into());
                let most = if size_of::<P::Word>() == 8 { u64::MAX } else { 1 << 32 };
                let range = range.filter(|end| *end <= most).and_then(|end| AddrRange::new(start, end));
                self.add_load(range.map(|range| Load { range, protection, offset, size }));
            }
            _ => {}
        }
    }

    fn add_load(&mut self, load: Option<Load>) {
        let end = self.loads.last().map_or(0, |last| last.range.end());
        let possible = load.filter(|load| {
            load.range.start() >= end
                && load.size <= load.range.size().0
                && load.offset.checked_add(load.size).is_some()
        });
        match possible {
            Some(load) if load.range.is_empty() => {}
            Some(load) => self.loads.push(load),
            None => self.impossible += 1,
        }
    }
}

/// The number of program headers. If it does not fit into the header, the first section header has it (`PN_XNUM`).
fn count<E: FileHeader<Endian = Endianness>>(
    input: &Input,
    header: &E,
    endian: Endianness,
) -> Result<u64, Failure> {
    let count = header.e_phnum(endian);
    if count != elf::PN_XNUM {
        return Ok(count.into());
    }
    let mut section = vec![0; size_of::<E::SectionHeader>()];
    let offset: u64 = header.e_shoff(endian).into();
    let read = if offset == 0 { 0 } else { input.read_at(&mut section, offset)? };
    match pod::from_bytes::<E::SectionHeader>(&section[..read]) {
        Ok((section, _)) => Ok(section.sh_info(endian).into()),
        Err(()) => {
            let problem =
                "is damaged: its header promises 65535 regions or more, and the file does not say how many";
            Err(Failure::Malformed(problem.into()))
        }
    }
}
