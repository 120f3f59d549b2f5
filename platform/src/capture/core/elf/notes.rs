//! The notes of a Linux core: names of files, threads, the process, and why it ended (`core(5)`; kernel: `fs/binfmt_elf.c`).

use object::Endianness;
use object::read::elf::{FileHeader, NoteIterator};

use super::SMALLEST_PAGE;
use crate::model::{AddrRange, Machine, TargetArch};

const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;
const NT_SIGINFO: u32 = 0x5349_4749;

const AT_PHDR: u64 = 3;
const AT_PAGESZ: u64 = 6;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// What the notes say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The mappings of files (`NT_FILE`), ordered by address, none overlapping another. `None` if there is no such list.
    pub files: Option<Vec<MappedFile>>,
    /// The size of a page, by the auxiliary vector, else by the list of files.
    pub page_size: Option<u64>,
    /// The threads, the one that failed first.
    pub threads: Vec<Thread>,
    pub process: Option<Process>,
    pub addresses: Addresses,
    pub signal: Option<Signal>,
    /// Whether gdb wrote the core (`gcore`).
    pub is_by_gdb: bool,
    /// The system that wrote the core, if that is not Linux.
    pub other_system: Option<&'static str>,
    /// Whether it is a dump of a whole machine.
    pub is_of_machine: bool,
    /// What could not be read, as sentences.
    pub doubts: Vec<&'static str>,
}

/// A range that maps a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MappedFile {
    pub range: AddrRange,
    /// In bytes.
    pub offset: u64,
    pub name: Box<[u8]>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub id: u32,
    pub signal: i32,
    /// The stack pointer and the program counter, if the layout of the registers is known.
    pub registers: Option<(u64, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    pub parent: u32,
    pub name: Box<[u8]>,
    /// The first 79 bytes of the command line, with a space for the end of each argument.
    pub command: Box<[u8]>,
}

/// Addresses in the auxiliary vector (`getauxval(3)`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    pub program_headers: Option<u64>,
    pub program_name: Option<u64>,
    pub vdso: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub number: i32,
    pub code: i32,
    pub address: Option<u64>,
    pub sender: Option<u32>,
}

impl Notes {
    /// Adds the notes in `bytes`, the content of one segment. `false` if one of them is broken, with all that follow.
    pub fn add<E: FileHeader<Endian = Endianness>>(
        &mut self,
        endian: Endianness,
        arch: TargetArch,
        bytes: &[u8],
    ) -> bool {
        // Linux pads both parts to 4 bytes, whatever the segment says about its alignment.
        let Ok(mut notes) = NoteIterator::<E>::new(endian, E::Word::default(), bytes) else { return false };
        loop {
            match notes.next() {
                Ok(Some(note)) => {
                    self.add_note(note.name(), note.n_type(endian).0, Fields { bytes: note.desc(), arch });
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    fn add_note(&mut self, name: &[u8], kind: u32, note: Fields<'_>) {
        match (name, kind) {
            (b"CORE", NT_FILE) if self.files.is_none() => match note.files() {
                Some((unit, files)) => {
                    // gdb counts offsets in bytes.
                    self.page_size = self.page_size.or_else(|| Some(unit).filter(is_page_size));
                    self.files = Some(files);
                }
                None => self.doubt("the core's list of files is broken: names are missing"),
            },
            (b"CORE", NT_PRSTATUS) => self.threads.extend(note.thread()),
            (b"CORE", NT_PRPSINFO) if self.process.is_none() => self.process = note.process(),
            (b"CORE", NT_AUXV) => {
                for (key, value) in note.auxiliary_vector() {
                    match key {
                        AT_PHDR => self.addresses.program_headers = Some(value),
                        AT_PAGESZ if is_page_size(&value) => self.page_size = Some(value),
                        AT_EXECFN => self.addresses.program_name = Some(value),
                        AT_SYSINFO_EHDR => self.addresses.vdso = Some(value),
                        _ => {}
                    }
                }
            }
            (b"CORE", NT_SIGINFO) if self.signal.is_none() => self.signal = note.signal(),
            (b"GDB", _) => self.is_by_gdb = true,
            (b"VMCOREINFO" | b"QEMU" | b"VMCOREINFO_XEN", _) => self.is_of_machine = true,
            (b"FreeBSD", _) => self.other_system = Some("FreeBSD"),
            (b"OpenBSD", _) => self.other_system = Some("OpenBSD"),
            (name, _) if name.starts_with(b"NetBSD-CORE") => self.other_system = Some("NetBSD"),
            _ => {}
        }
    }

    /// Adds a doubt. A forged core may have the same one a million times.
    fn doubt(&mut self, doubt: &'static str) {
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }
}

/// Whether pages can have this size. None are smaller.
fn is_page_size(size: &u64) -> bool {
    size.is_power_of_two() && *size >= SMALLEST_PAGE
}

/// The content of a note, in the words of its machine.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    arch: TargetArch,
}

impl<'a> Fields<'a> {
    /// The number of `size` bytes, up to 8, at `offset`.
    fn number(self, offset: usize, size: usize) -> Option<u64> {
        Some(self.arch.number(self.bytes.get(offset..offset.checked_add(size)?)?))
    }

    fn u32(self, offset: usize) -> Option<u32> {
        self.number(offset, 4)?.try_into().ok()
    }

    fn i32(self, offset: usize) -> Option<i32> {
        self.u32(offset).map(u32::cast_signed)
    }

    fn word_size(self) -> usize {
        if self.is_64() { 8 } else { 4 }
    }

    fn is_64(self) -> bool {
        self.arch.word_size.0 == 8
    }

    /// All whole words.
    fn words(self) -> impl Iterator<Item = u64> + use<'a> {
        let size = self.word_size();
        (0..self.bytes.len() / size).filter_map(move |index| self.number(index * size, size))
    }

    /// The text of at most `size` bytes at `offset`, up to its zero.
    fn text(self, offset: usize, size: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(offset..offset.checked_add(size)?)?;
        bytes.split(|&byte| byte == 0).next()
    }

    /// `NT_FILE`: the unit of its offsets and the mappings. `None` if it contradicts itself.
    fn files(self) -> Option<(u64, Vec<MappedFile>)> {
        let mut words = self.words();
        let (count, unit) = (words.next()?, words.next()?);
        let names_at = count.checked_mul(3)?.checked_add(2)?.checked_mul(self.word_size() as u64)?;
        let mut names = self.bytes.get(usize::try_from(names_at).ok()?..)?;
        if !unit.is_power_of_two() {
            return None;
        }
        let mut files = Vec::new();
        for _ in 0..count {
            let (start, end, offset) = (words.next()?, words.next()?, words.next()?);
            let length = memchr::memchr(0, names)?;
            let (name, rest) = names.split_at(length);
            names = &rest[1..];
            files.push(MappedFile {
                range: AddrRange::new(start, end)?,
                offset: offset.checked_mul(unit)?,
                name: name.into(),
            });
        }
        files.retain(|file| !file.range.is_empty());
        files.sort_by_key(|file| file.range.start());
        let overlap = files.windows(2).any(|pair| pair[0].range.overlaps(pair[1].range));
        (!overlap).then_some((unit, files))
    }

    /// `NT_PRSTATUS`. Its beginning is the same on all machines.
    fn thread(self) -> Option<Thread> {
        let signal = self.number(12, 2)? as u16;
        let id = self.u32(if self.is_64() { 32 } else { 24 })?;
        // Where the stack pointer and the program counter are, in a note of this size.
        let layout = match (self.arch.machine, self.bytes.len()) {
            (Machine::X86_64, 336) => Some((264, 240)),
            (Machine::X86, 144) => Some((132, 120)),
            (Machine::Arm64, 392) => Some((360, 368)),
            _ => None,
        };
        let word = |offset| self.number(offset, self.word_size());
        let registers = layout.and_then(|(stack, program)| Some((word(stack)?, word(program)?)));
        Some(Thread { id, signal: signal.cast_signed().into(), registers })
    }

    /// `NT_PRPSINFO`.
    fn process(self) -> Option<Process> {
        // The user's ID has 16 bits on 32-bit x86 and ARM, and 32 bits elsewhere.
        let (pid, name, command) = match self.bytes.len() {
            136 => (24, 40, 56),
            128 => (16, 32, 48),
            124 => (12, 28, 44),
            _ => return None,
        };
        Some(Process {
            pid: self.u32(pid)?,
            parent: self.u32(pid + 4)?,
            name: self.text(name, 16)?.into(),
            command: self.text(command, 80)?.trim_ascii_end().into(),
        })
    }

    /// `NT_AUXV`: keys and values up to the end mark.
    fn auxiliary_vector(self) -> impl Iterator<Item = (u64, u64)> {
        let mut words = self.words();
        std::iter::from_fn(move || Some((words.next()?, words.next()?))).take_while(|(key, _)| *key != 0)
    }

    /// `NT_SIGINFO` (`sigaction(2)`). What follows the code depends on it: an address, or who sent the signal.
    fn signal(self) -> Option<Signal> {
        const SI_KERNEL: i32 = 0x80;
        // SI_USER, SI_QUEUE, SI_MESGQ, SI_TKILL.
        const SENT: [i32; 4] = [0, -1, -3, -6];
        const ILL: i32 = 4;
        const TRAP: i32 = 5;
        const FPE: i32 = 8;
        const SEGV: i32 = 11;
        let is_mips = self.arch.machine == Machine::Mips;
        let bus = if is_mips { 10 } else { 7 };
        let number = self.i32(0)?;
        let code = self.i32(if is_mips { 4 } else { 8 })?;
        let rest = if self.is_64() { 16 } else { 12 };
        let has_address = [ILL, TRAP, bus, FPE, SEGV].contains(&number) && code > 0 && code != SI_KERNEL;
        let sender = if SENT.contains(&code) { self.u32(rest) } else { None };
        Some(Signal {
            number,
            code,
            address: if has_address { self.number(rest, self.word_size()) } else { None },
            sender: sender.filter(|&pid| pid != 0),
        })
    }
}
