use std::fs::File;
use std::io::Write;
use std::ops::Range;

use proptest::prelude::*;

use super::super::Core;
use super::*;
use crate::linux::names;
use crate::memory::{Memory, Piece, Shortfall};
use crate::model::{AddrRange, Protection, ShareMode};
use crate::source::RegionSource;

const PAGE: u64 = 0x1000;
const STACK: u64 = 0x7fff_0000_0000;
/// The first two words of a heap: glibc's cache of a thread.
const FIRST_BLOCK: [u64; 2] = [0, 0x291];

const ET_EXEC: u16 = 2;
const ET_CORE: u16 = 4;

const PRSTATUS: u32 = 1;
const PRPSINFO: u32 = 3;
const AUXV: u32 = 6;
const FILE: u32 = 0x4649_4c45;
const SIGINFO: u32 = 0x5349_4749;

const PHDR: u64 = 3;
const PAGESZ: u64 = 6;
const EXECFN: u64 = 31;
const SYSINFO_EHDR: u64 = 33;

/// A machine: its number in ELF, its words, and where notes have what.
#[derive(Clone, Copy, Debug)]
struct Target {
    machine: u16,
    word: usize,
    is_big: bool,
    /// The size of `NT_PRSTATUS`, and where it has the stack pointer and the program counter.
    status: (usize, usize, usize),
    /// The size of `NT_PRPSINFO`, and where it has the process ID, the name and the command.
    process: (usize, usize, usize, usize),
}

const WIDE_PROCESS: (usize, usize, usize, usize) = (136, 24, 40, 56);
const X86_64: Target =
    Target { machine: 62, word: 8, is_big: false, status: (336, 264, 240), process: WIDE_PROCESS };
const ARM64: Target = Target { machine: 183, status: (392, 360, 368), ..X86_64 };
const I386: Target =
    Target { machine: 3, word: 4, status: (144, 132, 120), process: (124, 12, 28, 44), ..X86_64 };
const POWER_PC: Target =
    Target { machine: 20, word: 4, is_big: true, status: (268, 76, 200), process: (128, 16, 32, 48) };

impl Target {
    fn number(self, value: u64, size: usize) -> Vec<u8> {
        if self.is_big {
            value.to_be_bytes()[8 - size..].to_vec()
        } else {
            value.to_le_bytes()[..size].to_vec()
        }
    }

    fn words(self, values: impl IntoIterator<Item = u64>) -> Vec<u8> {
        values.into_iter().flat_map(|value| self.number(value, self.word)).collect()
    }

    fn put(self, bytes: &mut [u8], at: usize, value: u64, size: usize) {
        bytes[at..at + size].copy_from_slice(&self.number(value, size));
    }
}

/// Builds cores.
#[derive(Clone)]
struct Builder {
    target: Target,
    kind: u16,
    os_abi: u8,
    loads: Vec<TestLoad>,
    notes: Vec<u8>,
    /// Whether notes come last, as gdb writes them.
    notes_last: bool,
    /// Whether a section header has the number of program headers (`PN_XNUM`).
    is_extended: bool,
}

#[derive(Clone)]
struct TestLoad {
    start: u64,
    size: u64,
    protection: &'static str,
    bytes: Vec<u8>,
    /// What the header says of `bytes`, if that is not the truth.
    claimed: Option<u64>,
}

impl Builder {
    fn new(target: Target) -> Builder {
        Builder {
            target,
            kind: ET_CORE,
            os_abi: 0,
            loads: vec![],
            notes: vec![],
            notes_last: false,
            is_extended: false,
        }
    }

    /// A core as the kernel writes it, of a program with a heap and a thread that failed.
    fn usual() -> Builder {
        let names: [(u64, u64, u64, &[u8]); 3] = [
            (0x40_0000, 0x40_1000, 0, b"/bin/victim"),
            (0x40_1000, 0x40_3000, 1, b"/bin/victim"),
            (0x40_3000, 0x40_4000, 3, b"/bin/victim"),
        ];
        let auxv =
            [(PAGESZ, PAGE), (PHDR, 0x40_0040), (EXECFN, STACK + 0x1fe0), (SYSINFO_EHDR, STACK + 0x8000)];
        Builder::new(X86_64)
            .thread(71, 11, STACK + 0x1800, 0x40_1234)
            .process(70, 60, b"victim", b"/bin/victim --now ")
            .signal(11, 1, &[0x10])
            .auxv(&auxv)
            .files(PAGE, &names)
            .thread(70, 0, 0x7f00_0000_2f00, 0x40_1300)
            .load(0x40_0000, 1, "r--", &[1; 0x1000])
            .load(0x40_1000, 2, "r-x", b"")
            .load(0x40_3000, 1, "rw-", &[3; 0x1000])
            .heap(0x40_4000, FIRST_BLOCK)
            .load(0x7f00_0000_0000, 3, "rw-", &[5; 0x3000])
            .load(STACK, 2, "rw-", &[6; 0x2000])
            .load(STACK + 0x3000, 4, "r--", b"")
            .load(STACK + 0x7000, 1, "r--", b"")
            .load(STACK + 0x8000, 1, "r-x", &[7; 0x1000])
            .load(0xffff_ffff_ff60_0000, 1, "--x", b"")
    }

    /// Adds a region of so many pages, of which the core has `bytes`.
    fn load(self, start: u64, pages: u64, protection: &'static str, bytes: &[u8]) -> Builder {
        self.raw_load(start, pages * PAGE, protection, bytes)
    }

    fn raw_load(mut self, start: u64, size: u64, protection: &'static str, bytes: &[u8]) -> Builder {
        self.loads.push(TestLoad { start, size, protection, bytes: bytes.into(), claimed: None });
        self
    }

    /// Adds two writable pages that begin with these words.
    fn heap(self, start: u64, words: impl IntoIterator<Item = u64>) -> Builder {
        let mut bytes = self.target.words(words);
        bytes.resize(0x2000, 0);
        self.load(start, 2, "rw-", &bytes)
    }

    fn note(mut self, name: &[u8], kind: u32, content: &[u8]) -> Builder {
        for number in [name.len() as u64 + 1, content.len() as u64, kind.into()] {
            self.notes.extend(self.target.number(number, 4));
        }
        for part in [&[name, b"\0"].concat(), content] {
            self.notes.extend(part);
            self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        }
        self
    }

    fn files(self, unit: u64, files: &[(u64, u64, u64, &[u8])]) -> Builder {
        self.counted_files(files.len() as u64, unit, files)
    }

    fn counted_files(self, count: u64, unit: u64, files: &[(u64, u64, u64, &[u8])]) -> Builder {
        let mut content = self.target.words([count, unit]);
        for (start, end, offset, _) in files {
            content.extend(self.target.words([*start, *end, *offset]));
        }
        for (_, _, _, name) in files {
            content.extend([name, &b"\0"[..]].concat());
        }
        self.note(b"CORE", FILE, &content)
    }

    fn thread(self, id: u64, signal: u64, stack: u64, program: u64) -> Builder {
        let (target, (size, stack_at, program_at)) = (self.target, self.target.status);
        let mut content = vec![0; size];
        target.put(&mut content, 12, signal, 2);
        target.put(&mut content, if target.word == 8 { 32 } else { 24 }, id, 4);
        target.put(&mut content, stack_at, stack, target.word);
        target.put(&mut content, program_at, program, target.word);
        self.note(b"CORE", PRSTATUS, &content)
    }

    fn process(self, id: u64, parent: u64, name: &[u8], command: &[u8]) -> Builder {
        let (size, id_at, name_at, command_at) = self.target.process;
        let mut content = vec![0; size];
        self.target.put(&mut content, id_at, id, 4);
        self.target.put(&mut content, id_at + 4, parent, 4);
        content[name_at..name_at + name.len()].copy_from_slice(name);
        content[command_at..command_at + command.len()].copy_from_slice(command);
        self.note(b"CORE", PRPSINFO, &content)
    }

    fn auxv(self, pairs: &[(u64, u64)]) -> Builder {
        let pairs = pairs.iter().chain([&(0, 0)]);
        let content = self.target.words(pairs.flat_map(|&(key, value)| [key, value]));
        self.note(b"CORE", AUXV, &content)
    }

    /// `rest` are the words after the code.
    fn signal(self, number: i64, code: i64, rest: &[u64]) -> Builder {
        let target = self.target;
        let mut content = vec![0; 128];
        target.put(&mut content, 0, number.cast_unsigned(), 4);
        target.put(&mut content, 8, code.cast_unsigned() & 0xffff_ffff, 4);
        let rest = target.words(rest.iter().copied());
        let at = if target.word == 8 { 16 } else { 12 };
        content[at..at + rest.len()].copy_from_slice(&rest);
        self.note(b"CORE", SIGINFO, &content)
    }

    /// The size of the file's header, a program header and a section header.
    fn sizes(&self) -> (usize, usize, usize) {
        if self.target.word == 8 { (64, 56, 64) } else { (52, 32, 40) }
    }

    fn bytes(&self) -> Vec<u8> {
        let (target, (header, entry, section)) = (self.target, self.sizes());
        let mut programs = Vec::new();
        let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
        let has_notes = !self.notes.is_empty();
        let count = self.loads.len() + usize::from(has_notes);
        let mut bytes = vec![0; header + count * entry];
        let mut notes_at = bytes.len();
        if !self.notes_last {
            bytes.extend(&self.notes);
        }
        let mut loads = Vec::new();
        for load in &self.loads {
            align(&mut bytes);
            let size = load.claimed.unwrap_or(load.bytes.len() as u64);
            let bit = |letter, bit| if load.protection.contains(letter) { bit } else { 0 };
            let flags = bit('r', 4) | bit('w', 2) | bit('x', 1);
            loads.extend(self.program(1, flags, bytes.len() as u64, load.start, size, load.size));
            bytes.extend(&load.bytes);
        }
        if self.notes_last {
            notes_at = bytes.len();
            bytes.extend(&self.notes);
        }
        if has_notes {
            programs.extend(self.program(4, 0, notes_at as u64, 0, self.notes.len() as u64, 0));
        }
        programs.extend(loads);
        bytes[header..header + programs.len()].copy_from_slice(&programs);
        let (mut sections_at, mut short_count) = (0, count as u64);
        if self.is_extended {
            align(&mut bytes);
            (sections_at, short_count) = (bytes.len(), 0xffff);
            bytes.resize(sections_at + section, 0);
            target.put(&mut bytes, sections_at + if target.word == 8 { 44 } else { 28 }, count as u64, 4);
        }
        let class = if target.word == 8 { 2 } else { 1 };
        let order = if target.is_big { 2 } else { 1 };
        let mut start = [&b"\x7fELF"[..], &[class, order, 1, self.os_abi], &[0; 8]].concat();
        start.extend(
            [(u64::from(self.kind), 2), (target.machine.into(), 2), (1, 4)].map(number_in(target)).concat(),
        );
        start.extend(target.words([0, header as u64, sections_at as u64]));
        let sizes = [(0, 4), (header as u64, 2), (entry as u64, 2), (short_count, 2), (section as u64, 2)];
        start.extend(sizes.map(number_in(target)).concat());
        bytes[..start.len()].copy_from_slice(&start);
        bytes
    }

    fn program(&self, kind: u64, flags: u64, offset: u64, start: u64, stored: u64, size: u64) -> Vec<u8> {
        let fields = match self.target.word {
            8 => [(kind, 4), (flags, 4), (offset, 8), (start, 8), (0, 8), (stored, 8), (size, 8), (PAGE, 8)],
            _ => [(kind, 4), (offset, 4), (start, 4), (0, 4), (stored, 4), (size, 4), (flags, 4), (PAGE, 4)],
        };
        fields.map(number_in(self.target)).concat()
    }

    #[track_caller]
    fn map(&self) -> MemoryMap {
        map(&self.bytes())
    }
}

fn number_in(target: Target) -> impl Fn((u64, usize)) -> Vec<u8> {
    move |(value, size)| target.number(value, size)
}

/// A file with these bytes, except for some holes.
fn file(bytes: &[u8], holes: &[Range<usize>]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    let mut at = 0;
    for hole in holes.iter().cloned().chain(std::iter::once(bytes.len()..bytes.len())) {
        std::io::Seek::seek(&mut file, io::SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&bytes[at..hole.start]).unwrap();
        at = hole.end;
    }
    file.set_len(bytes.len() as u64).unwrap();
    file
}

fn read_file(file: &File) -> Result<Dump, String> {
    read(Path::new("core"), &Input::File(file.try_clone().unwrap())).map_err(|failure| match failure {
        Failure::Malformed(problem) => problem,
        Failure::Unreadable(error) => format!("cannot be read: {error}"),
    })
}

#[track_caller]
fn map(bytes: &[u8]) -> MemoryMap {
    read_file(&file(bytes, &[])).unwrap_or_else(|problem| panic!("{problem}")).map
}

/// Why there is no map.
#[track_caller]
fn problem(bytes: &[u8]) -> String {
    read_file(&file(bytes, &[])).err().expect("a problem")
}

fn row(region: &Region) -> String {
    let name = region.name.as_ref().map(|name| names::escape(name).escape_ascii().to_string());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("{} {} {:x}{name}", region.range, region.protection.as_str(), region.offset)
}

fn rows(map: &MemoryMap) -> Vec<String> {
    map.regions.iter().map(row).collect()
}

fn named(map: &MemoryMap, name: &[u8]) -> Vec<u64> {
    let has_name = |region: &&Region| region.name.as_ref().is_some_and(|known| known.bytes() == name);
    map.regions.iter().filter(has_name).map(|region| region.range.start()).collect()
}

fn warnings(map: &MemoryMap) -> Vec<String> {
    map.warnings.iter().map(|warning| format!("{}: {warning}", warning.id())).collect()
}

#[test]
fn a_core_of_the_kernel_is_a_whole_map() {
    let map = Builder::usual().map();
    assert_eq!(
        rows(&map),
        [
            "400000-401000 r-- 0 /bin/victim",
            "401000-403000 r-x 1000 /bin/victim",
            "403000-404000 rw- 3000 /bin/victim",
            "404000-406000 rw- 0 [heap]",
            "7f0000000000-7f0000003000 rw- 0",
            "7fff00000000-7fff00002000 rw- 0 [stack]",
            "7fff00003000-7fff00007000 r-- 0 [vvar]",
            "7fff00007000-7fff00008000 r-- 0 [vvar_vclock]",
            "7fff00008000-7fff00009000 r-x 0 [vdso]",
            "ffffffffff600000-ffffffffff601000 --x 0 [vsyscall]",
        ]
    );
    assert_eq!(warnings(&map), [""; 0]);
}

#[test]
fn the_process_and_its_threads_are_known() {
    let MemoryMap { process, source, .. } = Builder::usual().map();
    assert_eq!((process.pid, process.parent.map(|parent| parent.pid)), (Some(70), Some(60)));
    assert_eq!(process.name.as_deref(), Some(&b"victim"[..]));
    assert_eq!(process.command, [b"/bin/victim --now".as_slice().into()]);
    assert_eq!(process.path.as_deref(), Some(&b"/bin/victim"[..]));
    let threads: Vec<_> = process.threads.iter().map(|thread| (thread.id, thread.stack_pointer)).collect();
    assert_eq!(threads, [(70, Some(0x7f00_0000_2f00)), (71, Some(STACK + 0x1800))]);
    let crash = Crash {
        signal: Some(11),
        code: Some(1),
        address: Some(0x10),
        sender: None,
        thread: Some(71),
        instruction: Some(0x40_1234),
    };
    assert_eq!(process.crash, Some(crash));
    assert_eq!((source.os, source.page_size), ("linux", PageSize::new(PAGE)));
    assert_eq!(source.arch, Some(TargetArch::from_code_type("X86-64").unwrap()));
}

#[test]
fn what_is_no_core_of_a_process_is_refused() {
    let program = Builder { kind: ET_EXEC, ..Builder::usual() };
    let refused = "is a program or library, not a core: there is no process in it";
    assert_eq!(problem(&program.bytes()), refused);
    let empty = Builder { loads: vec![], ..Builder::usual() };
    assert_eq!(problem(&empty.bytes()), "is a core without memory regions");
    let empty = Builder::new(X86_64).raw_load(0x1000, 0, "rw-", b"");
    assert_eq!(problem(&empty.bytes()), "is a core without memory regions");
    for name in ["VMCOREINFO", "QEMU", "VMCOREINFO_XEN"] {
        let machine = Builder::usual().note(name.as_bytes(), 0, b"OSRELEASE=6.18");
        assert_eq!(problem(&machine.bytes()), "is a dump of a whole machine, not of a process");
    }
    let bytes = Builder::usual().bytes();
    assert_eq!(problem(&bytes[..19]), "is damaged: its ELF header is cut or of an unknown form");
    assert_eq!(problem(&bytes[..40]), "is damaged: its ELF header is cut");
    let mut unknown = bytes;
    unknown[5] = 3;
    assert_eq!(problem(&unknown), "is damaged: its ELF header is cut or of an unknown form");
}

#[test]
fn a_cut_core_of_the_kernel_has_the_whole_map() {
    let bytes = Builder::usual().bytes();
    let whole = map(&bytes);
    // The last region that has bytes is the vDSO; half of the stack before it remains.
    let length = bytes.len() - 0x2000;
    let map = map(&bytes[..length]);
    assert_eq!(rows(&map), rows(&whole));
    assert_eq!(map.process, whole.process);
    let cut = "incomplete: the core is cut: 36,864 of 45,056 bytes; 2 regions lack memory; the map is whole";
    assert_eq!(warnings(&map), [cut]);
}

#[test]
fn a_cut_core_of_gdb_has_lost_its_names() {
    let builder = Builder { notes_last: true, ..Builder::usual() };
    let bytes = builder.bytes();
    let map = map(&bytes[..0x3800]);
    assert_eq!(map.regions.len(), 10);
    assert!(map.regions.iter().all(|region| region.is_unnamed() || region.range.start() > STACK << 1));
    assert!(!map.regions.iter().any(Region::has_offset));
    let cut = format!(
        "missing: the core is cut: 14,336 of {} bytes; 4 regions lack memory; its names were at the end and are lost",
        grouped(bytes.len() as u64)
    );
    assert_eq!(warnings(&map), [cut]);
}

#[test]
fn a_cut_core_without_a_list_of_files_had_none_before() {
    let bytes = Builder::new(X86_64).load(0x1000, 1, "rw-", &[1; 0x1000]).thread(7, 6, 0, 0).bytes();
    let cut = "incomplete: the core is cut: 7,936 of 8,192 bytes; 1 region lacks memory; it has no list of mapped files: \
               names and offsets are unknown";
    assert_eq!(warnings(&map(&bytes[..0x1f00])), [cut]);
    let lacks = "incomplete: the core has no list of mapped files: names and offsets are unknown";
    assert_eq!(warnings(&map(&bytes)), [lacks]);
}

#[test]
fn program_headers_must_be_in_the_file() {
    let bytes = Builder::usual().bytes();
    let promises = |bytes: &[u8], count: u64, room: u64| {
        let expected =
            format!("is damaged: its header promises {count} regions, the file has room for {room}");
        assert_eq!(problem(bytes), expected);
    };
    promises(&bytes[..64 + 3 * 56 + 20], 11, 3);
    let mut far = bytes.clone();
    X86_64.put(&mut far, 32, u64::MAX, 8);
    promises(&far, 11, 0);
    let mut other_size = bytes;
    X86_64.put(&mut other_size, 54, 32, 2);
    assert_eq!(problem(&other_size), "is damaged: its program headers do not have 56 bytes");
}

#[test]
fn a_section_header_may_have_their_number() {
    for target in [X86_64, I386, POWER_PC] {
        let builder = Builder::new(target).load(0x1000, 1, "rw-", &[1; 0x1000]).files(PAGE, &[]);
        let extended = Builder { is_extended: true, ..builder.clone() };
        assert_eq!(rows(&extended.map()), rows(&builder.map()));
        let bytes = extended.bytes();
        let (section, count_at) = (extended.sizes().2, if target.word == 8 { 44 } else { 28 });

        let mut many = bytes.clone();
        target.put(&mut many, bytes.len() - section + count_at, (1 << 24) + 1, 4);
        let room = (bytes.len() - extended.sizes().0) / extended.sizes().1;
        let promise =
            format!("is damaged: its header promises 16777217 regions, the file has room for {room}");
        assert_eq!(problem(&many), promise);

        let silent =
            "is damaged: its header promises 65535 regions or more, and the file does not say how many";
        assert_eq!(problem(&bytes[..bytes.len() - 1]), silent);
        for offset in [0, bytes.len() as u64, u64::MAX] {
            let mut nowhere = bytes.clone();
            target.put(
                &mut nowhere,
                24 + 2 * target.word,
                offset & (u64::MAX >> (64 - 8 * target.word)),
                target.word,
            );
            assert_eq!(problem(&nowhere), silent);
        }
    }
}

#[test]
fn there_is_a_limit_to_their_number() {
    let builder = Builder { is_extended: true, ..Builder::new(X86_64).load(0x1000, 1, "rw-", b"") };
    let bytes = builder.bytes();
    let mut many = bytes.clone();
    X86_64.put(&mut many, bytes.len() - 64 + 44, (1 << 24) + 1, 4);
    let file = file(&many, &[]);
    // There is room, in a hole.
    file.set_len(2 << 30).unwrap();
    let problem = read_file(&file).err().unwrap();
    assert_eq!(problem, "is damaged: its header promises 16777217 regions, the file has room for 16777216");
}

#[test]
fn impossible_regions_are_left_out() {
    let builder = Builder::new(X86_64).files(PAGE, &[]).load(0x1_0000, 4, "rw-", &[1; 0x4000]);
    let one = "missing: 1 region of the core is impossible and was left out";
    let after = |load: Builder| load.load(0x9_0000, 1, "r--", b"").map();
    let cases = [
        // It overlaps, is the same, comes before.
        builder.clone().load(0x1_3000, 2, "r-x", b""),
        builder.clone().load(0x1_0000, 4, "rw-", b""),
        builder.clone().load(0x1000, 1, "r-x", b""),
        // Its end wraps around.
        builder.clone().raw_load(u64::MAX - 0xfff, 0x2000, "r-x", b""),
        // It has more bytes than addresses.
        builder.clone().raw_load(0x2_0000, 0xfff, "r-x", &[1; 0x1000]),
    ];
    for case in cases {
        let map = after(case);
        assert_eq!(rows(&map), ["10000-14000 rw- 0", "90000-91000 r-- 0"]);
        assert_eq!(warnings(&map), [one]);
    }
    let many = builder.load(0x1000, 1, "r-x", b"").load(0x2000, 1, "r-x", b"");
    assert_eq!(warnings(&after(many)), ["missing: 2 regions of the core are impossible and were left out"]);

    let narrow = Builder::new(I386).files(PAGE, &[]).load(0x1000, 1, "rw-", b"");
    assert_eq!(warnings(&narrow.clone().load(0xffff_f000, 2, "r-x", b"").map()), [one]);
    assert_eq!(narrow.load(0xffff_f000, 1, "r-x", b"").map().regions.len(), 2);
}

#[test]
fn a_region_may_claim_bytes_anywhere() {
    let mut builder = Builder::new(X86_64).files(PAGE, &[]).raw_load(0x1000, 1 << 40, "rw-", b"");
    builder.loads[0].claimed = Some(1 << 40);
    let map = builder.map();
    assert_eq!(rows(&map), ["1000-10000001000 rw- 0"]);
    let cut = "incomplete: the core is cut: 4,096 of 1,099,511,631,872 bytes; 1 region lacks memory; the map is whole";
    assert_eq!(warnings(&map), [cut]);
    // Where it has no bytes does not matter.
    let mut elsewhere = builder.clone();
    elsewhere.loads[0].claimed = Some(0);
    let mut bytes = elsewhere.bytes();
    X86_64.put(&mut bytes, 64 + 56 + 8, 1 << 50, 8);
    assert_eq!(warnings(&self::map(&bytes)), [""; 0]);
    builder.loads[0].size = 0x1000;
    builder.loads[0].claimed = Some(u64::MAX);
    let only = "is a core without memory regions";
    assert_eq!(problem(&builder.bytes()), only);
}

#[test]
fn notes_before_a_broken_one_count() {
    let mut builder = Builder::usual();
    let at = builder.notes.len();
    builder = builder.note(b"LINUX", 0x202, &[0; 64]);
    X86_64.put(&mut builder.notes, at + 4, 65, 4);
    let map = builder.map();
    assert_eq!(rows(&map), rows(&Builder::usual().map()));
    assert_eq!(warnings(&map), ["incomplete: a note of the core is broken: names may be missing"]);
    X86_64.put(&mut builder.notes, at, 0xffff_ffff, 4);
    assert_eq!(warnings(&builder.map()), warnings(&map));
}

#[test]
fn a_list_of_files_that_contradicts_itself_is_ignored() {
    let file: (u64, u64, u64, &[u8]) = (0x1000, 0x2000, 0, b"/a");
    let other = |start, end, offset| (start, end, offset, &b"/b"[..]);
    let new = || Builder::new(X86_64);
    let cases = [
        new().counted_files(2, PAGE, &[file]),
        new().counted_files(u64::MAX, PAGE, &[file]),
        new().counted_files(u64::MAX / 3, PAGE, &[file]),
        new().files(0, &[file]),
        new().files(0x1800, &[file]),
        // Fewer names than files.
        new().note(b"CORE", FILE, &X86_64.words([1, PAGE, 0x1000, 0x2000, 0])),
        new().note(b"CORE", FILE, &X86_64.words([1, PAGE, 0x1000, 0x2000])),
        new().note(b"CORE", FILE, b""),
        // Ends before it starts, has an offset that is too large, overlaps.
        new().files(PAGE, &[other(0x2000, 0x1000, 0)]),
        new().files(PAGE, &[other(0x1000, 0x2000, 1 << 52)]),
        new().files(PAGE, &[file, other(0x1fff, 0x3000, 0)]),
        new().files(PAGE, &[(0x1000, 0x9000, 0, b"/a"), other(0x2000, 0x2000, 0), other(0x4000, 0x5000, 0)]),
    ];
    for case in cases {
        // Twice: it says so once.
        let notes = [case.notes.clone(), case.notes.clone()].concat();
        let map = Builder { notes, ..case }.load(0x1000, 1, "r--", b"").map();
        assert_eq!(rows(&map), ["1000-2000 r-- 0"]);
        assert_eq!(map.regions[0].share, ShareMode::Unknown);
        assert!(!map.regions[0].has_offset());
        let broken = "incomplete: the core's list of files is broken: names are missing";
        assert_eq!(warnings(&map), [broken]);
    }
}

#[test]
fn a_region_may_be_a_part_of_a_mapped_file() {
    let file: (u64, u64, u64, &[u8]) = (0x10_0000, 0x10_8000, 5, b"/lib/a.so");
    let map = Builder::new(X86_64)
        .files(PAGE, &[file])
        .load(0x10_0000, 2, "r--", &[1; 0x1000])
        .load(0x10_2000, 6, "r-x", b"")
        .load(0x10_8000, 1, "rw-", b"")
        .map();
    let expected =
        ["100000-102000 r-- 5000 /lib/a.so", "102000-108000 r-x 7000 /lib/a.so", "108000-109000 rw- 0"];
    assert_eq!(rows(&map), expected);
    assert!(map.regions.iter().all(Region::has_offset));
    // A region that reaches beyond the file is not of that file.
    let builder = Builder::new(X86_64).files(PAGE, &[file]).load(0x10_0000, 9, "r--", b"");
    assert_eq!(rows(&builder.map()), ["100000-109000 r-- 0"]);
}

#[test]
fn what_gdb_leaves_out_is_in_the_list_of_files() {
    let files: [(u64, u64, u64, &[u8]); 3] = [
        (0x1_0000, 0x2_0000, 0, b"/bin/a"),
        (0x2_0000, 0x3_0000, 0x1_0000, b"/bin/a"),
        (0x5_0000, 0x6_0000, 0x2000, b"/lib/b"),
    ];
    let builder = Builder { notes_last: true, ..Builder::new(X86_64) }
        .load(0x2_4000, 2, "r--", &[1; 0x2000])
        .load(0x2_8000, 8, "rw-", &[2; 0x8000])
        .load(0x4_0000, 1, "rw-", &[3; 0x1000])
        .load(0x4_1000, 1, "r--", &[0; 0x1000])
        .load(0x4_2000, 1, "r-x", &[4; 0x1000])
        .load(0xffff_ffff_ff60_0000, 1, "r-x", &[5; 0x1000])
        .note(b"GDB", 0xff00_0000, b"<target/>")
        .files(1, &files);
    let map = builder.map();
    let expected = [
        "10000-20000 ??? 0 /bin/a",
        "20000-24000 ??? 10000 /bin/a",
        "24000-26000 r-- 14000 /bin/a",
        "26000-28000 ??? 16000 /bin/a",
        "28000-30000 rw- 18000 /bin/a",
        "40000-41000 rw- 0",
        "41000-42000 ??? 0",
        "42000-43000 r-x 0",
        "50000-60000 ??? 2000 /lib/b",
        "ffffffffff600000-ffffffffff601000 ??? 0 [vsyscall]",
    ];
    assert_eq!(rows(&map), expected);
    let left_out = "missing: gdb wrote this core: it lacks memory that is not to be dumped, and the protections of \
                    unwritten files and of memory without access";
    assert_eq!(warnings(&map), [left_out]);
    assert_eq!(map.source.page_size, None);
}

#[test]
fn sharing_is_known_of_what_only_shared_memory_has() {
    use ShareMode::{Private, Shared, Unknown};
    let cases: [(&[u8], ShareMode); 7] = [
        (b"/dev/zero (deleted)", Shared),
        (b"/memfd:buffer (deleted)", Shared),
        (b"/SYSV0001e240 (deleted)", Shared),
        (b"/dev/shm/queue", Shared),
        (b"/dev/shm/queue (deleted)", Shared),
        (b"/var/cache/a", Unknown),
        (b"/dev/zeros (deleted)", Unknown),
    ];
    for (name, share) in cases {
        let builder = Builder::new(X86_64).files(PAGE, &[(0x1000, 0x2000, 0, name)]);
        let map = builder.load(0x1000, 1, "rw-", b"").load(0x2000, 1, "rw-", b"").map();
        let shares = [map.regions[0].share, map.regions[1].share];
        assert_eq!(shares, [share, Private], "{}", name.escape_ascii());
    }
}

#[test]
fn names_may_have_any_byte_but_zero() {
    let name = b"/tmp/a\nb\x1b[31m\xff \\012 c";
    let map =
        Builder::new(X86_64).files(PAGE, &[(0x1000, 0x2000, 0, name)]).load(0x1000, 1, "r--", b"").map();
    let known = map.regions[0].name.as_ref().unwrap();
    assert_eq!((known.bytes(), known.is_file(), known.is_deleted()), (&name[..], true, false));
    let deleted = Builder::new(X86_64).files(PAGE, &[(0x1000, 0x2000, 0, b"/tmp/a (deleted)")]);
    let map = deleted.load(0x1000, 1, "r--", b"").map();
    let known = map.regions[0].name.as_ref().unwrap();
    assert_eq!((known.bytes(), known.is_deleted()), (&b"/tmp/a"[..], true));
}

#[test]
fn registers_of_some_machines_are_known() {
    for (target, stack) in [(X86_64, STACK), (ARM64, STACK), (I386, 0xbfff_0000)] {
        let threads = Builder::new(target).files(PAGE, &[]).thread(9, 6, stack, 0x1234).thread(10, 0, 8, 9);
        let map = threads.process(9, 1, b"fifteen letters", &[b'a'; 79]).load(stack, 1, "rw-", b"").map();
        let known: Vec<_> =
            map.process.threads.iter().map(|thread| (thread.id, thread.stack_pointer)).collect();
        assert_eq!(known, [(9, Some(stack)), (10, Some(8))], "{target:?}");
        let crash = map.process.crash.unwrap();
        assert_eq!((crash.thread, crash.instruction, crash.signal), (Some(9), Some(0x1234), Some(6)));
        assert_eq!((crash.code, crash.address), (None, None));
        assert_eq!(map.process.name.as_deref(), Some(&b"fifteen letters"[..]));
        assert_eq!(map.process.command, [vec![b'a'; 79].into()]);
        assert_eq!(warnings(&map), [""; 0]);
    }
}

#[test]
fn other_machines_have_a_map_and_no_stacks() {
    let unknown = |machine: &str| {
        format!("incomplete: registers of machine {machine} are not known: thread stacks have no name")
    };
    let files: [(u64, u64, u64, &[u8]); 1] = [(0x1000_0000, 0x1001_0000, 1, b"/bin/a")];
    let map = Builder::new(POWER_PC)
        .files(0x1_0000, &files)
        .thread(9, 11, 0xbfff_0000, 0x1234)
        .process(9, 1, b"a", b"/bin/a")
        .signal(11, 1, &[0x10])
        .auxv(&[(PAGESZ, 0x1_0000), (EXECFN, 0xbfff_0010)])
        .load(0x1000_0000, 16, "r-x", b"")
        .load(0xbfff_0000, 1, "rw-", b"")
        .map();
    let expected = ["10000000-10010000 r-x 10000 /bin/a", "bfff0000-bfff1000 rw- 0 [stack]"];
    assert_eq!(rows(&map), expected);
    assert_eq!(warnings(&map), [unknown("0x14")]);
    assert_eq!(map.source.page_size, PageSize::new(0x1_0000));
    assert_eq!(map.source.arch, TargetArch::from_code_type("PPC"));
    let process = map.process;
    assert_eq!((process.pid, process.threads), (Some(9), vec![ThreadInfo::new(9)]));
    let crash =
        Crash { signal: Some(11), code: Some(1), address: Some(0x10), thread: Some(9), ..Crash::default() };
    assert_eq!(process.crash, Some(crash));

    let vax = Target { machine: 75, ..X86_64 };
    let map = Builder::new(vax).files(PAGE, &[]).thread(9, 11, 1, 2).load(0x1000, 1, "r--", b"").map();
    assert_eq!((map.regions.len(), warnings(&map)), (1, vec![unknown("0x4b")]));
    // The size of a note of another system.
    let odd = Target { status: (340, 264, 240), ..X86_64 };
    let map = Builder::new(odd).files(PAGE, &[]).thread(9, 11, 1, 2).load(0x1000, 1, "r--", b"").map();
    assert_eq!(warnings(&map), [unknown("0x3e")]);
}

#[test]
fn cores_of_other_systems_have_bounds_and_protections() {
    let is_of = |builder: Builder, system: &str| {
        let map = builder.load(0xffff_ffff_ffff_0000, 1, "r--", b"").map();
        let only = format!("incomplete: a core of {system}: only bounds and protections are known");
        assert_eq!(warnings(&map), [only]);
        assert_eq!((map.regions.len(), map.process), (11, ProcessInfo::default()));
        let row = |region: &Region| (region.protection, region.is_unnamed(), region.has_offset());
        assert_eq!(row(&map.regions[1]), (Protection::from_rwx(true, false, true), true, false));
    };
    is_of(Builder::usual().note(b"FreeBSD", 1, b"other registers"), "FreeBSD");
    is_of(Builder { os_abi: 9, ..Builder::usual() }, "FreeBSD");
    is_of(Builder::usual().note(b"OpenBSD", 10, b""), "OpenBSD");
    is_of(Builder::usual().note(b"NetBSD-CORE@1", 1, b""), "NetBSD");
}

/// What a core says of the reason: address and sender.
fn reason(target: Target, number: i64, code: i64, rest: &[u64]) -> (Option<u64>, Option<u32>) {
    let builder = Builder::new(target).signal(number, code, rest).load(0x1000, 1, "rw-", b"");
    let crash = builder.map().process.crash.expect("a reason");
    assert_eq!((crash.signal, crash.code), (Some(number as i32), Some(code)));
    (crash.address, crash.sender)
}

#[test]
fn a_signal_has_an_address_or_a_sender() {
    // The process and its user, as 64-bit and 32-bit machines store them.
    let sender = 1000 << 32 | 0x7056;
    for (target, sender) in [(X86_64, &[sender][..]), (ARM64, &[sender]), (I386, &[0x7056, 1000])] {
        // Sent by kill, sigqueue and abort.
        for code in [0, -1, -6] {
            assert_eq!(reason(target, 11, code, sender), (None, Some(0x7056)));
            assert_eq!(reason(target, 6, code, sender), (None, Some(0x7056)));
        }
        // The kernel sent it, and has no address.
        assert_eq!(reason(target, 11, 0x80, &[0]), (None, None));
        assert_eq!(reason(target, 11, 0x80, sender), (None, None));
        for number in [4, 5, 7, 8, 11] {
            assert_eq!(reason(target, number, 2, &[0xdead_beef]), (Some(0xdead_beef), None));
        }
        assert_eq!(reason(target, 11, 1, &[0]), (Some(0), None));
        // A timer's.
        assert_eq!(reason(target, 14, -2, sender), (None, None));
        // From outside of the process's own namespace.
        assert_eq!(reason(target, 9, 0, &[0, 0]), (None, None));
    }
    assert_eq!(reason(X86_64, 11, 1, &[0xffff_8000_0000_0000]), (Some(0xffff_8000_0000_0000), None));
}

#[test]
fn a_process_that_gdb_only_stopped_has_not_failed() {
    let stopped = |builder: Builder| {
        let builder = builder.note(b"GDB", 0xff00_0000, b"").load(0x1000, 1, "rw-", b"");
        builder.map().process.crash.map(|crash| crash.signal)
    };
    assert_eq!(stopped(Builder::new(X86_64).thread(9, 0, 1, 2)), None);
    assert_eq!(stopped(Builder::new(X86_64).thread(9, 19, 1, 2).signal(19, 0, &[5])), None);
    for stop in [2, 5, 19] {
        assert_eq!(stopped(Builder::new(X86_64).thread(9, stop, 1, 2)), None);
    }
    assert_eq!(stopped(Builder::new(X86_64).thread(9, 11, 1, 2)), Some(Some(11)));
    assert_eq!(stopped(Builder::new(X86_64)), None);
}

const NOWHERE: [u64; 0] = [];

/// Where the heap is, in a core of a program at 0x10000 with these regions after it.
fn heap(target: Target, after: impl Fn(Builder) -> Builder) -> Vec<u64> {
    let program: [(u64, u64, u64, &[u8]); 2] =
        [(0x1_0000, 0x1_1000, 0, b"/bin/a"), (0x9_0000, 0x9_1000, 0, b"/lib/b")];
    let builder = Builder::new(target).files(PAGE, &program).auxv(&[(PHDR, 0x1_0040)]);
    let builder = builder.heap(0x8000, FIRST_BLOCK).load(0x1_0000, 1, "r-x", b"");
    named(&after(builder).load(0x9_0000, 1, "r-x", b"").heap(0x9_1000, FIRST_BLOCK).map(), b"[heap]")
}

#[test]
fn the_heap_begins_with_the_first_block_of_glibc() {
    for target in [X86_64, I386, POWER_PC] {
        assert_eq!(heap(target, |core| core.heap(0x1_1000, FIRST_BLOCK)), [0x1_1000]);
        // Behind the program's own zeroed memory and something that it mapped.
        let data = |core: Builder| core.load(0x1_1000, 1, "rw-", &[0; 0x1000]).load(0x2_0000, 1, "r--", b"");
        assert_eq!(heap(target, |core| data(core).heap(0x3_0000, FIRST_BLOCK)), [0x3_0000]);
    }
    // 32-bit x86 aligns blocks to 16 bytes.
    assert_eq!(heap(I386, |core| core.heap(0x1_1000, [0, 0, 0, 0x191])), [0x1_1000]);
    assert_eq!(heap(I386, |core| core.heap(0x1_1000, [0, 8, 0, 0x191])), NOWHERE);
    assert_eq!(heap(X86_64, |core| core.heap(0x1_1000, [0, 0, 0, 0x191])), NOWHERE);
}

#[test]
fn without_that_block_there_is_no_heap() {
    // Not in use, after something, with another mark, too small, larger than the region.
    for words in [[0, 0x290], [1, 0x291], [0, 0x295], [0, 0x11], [0, 0x2001], [0, 0]] {
        assert_eq!(heap(X86_64, |core| core.heap(0x1_1000, words)), NOWHERE, "{words:x?}");
    }
    let bytes = X86_64.words(FIRST_BLOCK);
    assert_eq!(heap(X86_64, |core| core.load(0x1_1000, 2, "rw-", &bytes)), [0x1_1000]);
    assert_eq!(heap(X86_64, |core| core.load(0x1_1000, 2, "r--", &bytes)), NOWHERE);
    assert_eq!(heap(X86_64, |core| core.load(0x1_1000, 2, "rwx", &bytes)), NOWHERE);
    assert_eq!(heap(X86_64, |core| core.load(0x1_1000, 2, "rw-", &bytes[..15])), NOWHERE);
    assert_eq!(heap(X86_64, |core| core.load(0x1_1000, 2, "rw-", b"")), NOWHERE);
    // No one knows where the program is.
    let builder = Builder::new(X86_64).files(PAGE, &[(0x1_0000, 0x1_1000, 0, b"/bin/a")]);
    let map = builder.load(0x1_0000, 1, "r-x", b"").heap(0x1_1000, FIRST_BLOCK).map();
    assert_eq!(named(&map, b"[heap]"), NOWHERE);
}

#[test]
fn the_auxiliary_vector_names_regions() {
    let core =
        |auxv: &[(u64, u64)]| Builder::new(X86_64).files(PAGE, &[(0x1000, 0x2000, 0, b"/bin/a")]).auxv(auxv);
    // One page of variables, as before Linux 6.13. What lies below it is not next to it.
    let map = core(&[(SYSINFO_EHDR, 0x7_0000), (EXECFN, 0x8_0fff)])
        .load(0x1000, 1, "r--", b"")
        .load(0x6_0000, 1, "r--", b"")
        .load(0x6_c000, 4, "r--", b"")
        .load(0x7_0000, 2, "r-x", b"")
        .load(0x8_0000, 1, "rw-", b"")
        .map();
    let expected = [
        "1000-2000 r-- 0 /bin/a",
        "60000-61000 r-- 0",
        "6c000-70000 r-- 0 [vvar]",
        "70000-72000 r-x 0 [vdso]",
        "80000-81000 rw- 0 [stack]",
    ];
    assert_eq!(rows(&map), expected);
    // Other memory below it is not the kernel's.
    let map =
        core(&[(SYSINFO_EHDR, 0x7_0000)]).load(0x6_f000, 1, "rw-", b"").load(0x7_0000, 2, "r-x", b"").map();
    assert_eq!(rows(&map)[..2], ["1000-2000 ??? 0 /bin/a", "6f000-70000 rw- 0"]);
    // Addresses of a file, of no region, and after the end mark.
    let map = core(&[(EXECFN, 0x1800), (SYSINFO_EHDR, 0x2000), (0, 0), (EXECFN, 0x8_0000)])
        .load(0x1000, 1, "r--", b"")
        .load(0x8_0000, 1, "rw-", b"")
        .map();
    assert_eq!(rows(&map), ["1000-2000 r-- 0 /bin/a", "80000-81000 rw- 0"]);
}

#[test]
fn a_page_has_the_size_that_the_core_says() {
    let size = |core: Builder| core.load(0x1_0000, 16, "rw-", b"").map().source.page_size;
    let new = || Builder::new(ARM64);
    assert_eq!(size(new().auxv(&[(PAGESZ, 0x4000)])), PageSize::new(0x4000));
    assert_eq!(size(new().files(0x1_0000, &[])), PageSize::new(0x1_0000));
    assert_eq!(size(new().files(0x1_0000, &[]).auxv(&[(PAGESZ, 0x4000)])), PageSize::new(0x4000));
    assert_eq!(size(new().auxv(&[(PAGESZ, 0x4000)]).files(1, &[])), PageSize::new(0x4000));
    for nonsense in [0, 1, 0x800, 0x3000] {
        assert_eq!(size(new().auxv(&[(PAGESZ, nonsense)])), None);
    }
}

/// Reads so many bytes at an address. Returns those that the core has, and why there are no more.
fn read_memory(memory: &dyn Memory, address: u64, size: usize) -> (Vec<u8>, Option<Shortfall>) {
    let mut buffer = vec![0xaa; size];
    let mut piece = Piece::new(address, &mut buffer);
    memory.read(std::slice::from_mut(&mut piece)).unwrap();
    (piece.bytes().to_vec(), piece.shortfall())
}

fn memory(file: File) -> std::sync::Arc<dyn Memory> {
    let dump = read_file(&file).unwrap_or_else(|problem| panic!("{problem}"));
    let core = Core::new(Path::new("core"), dump, Input::File(file));
    assert!(core.info().capabilities.memory);
    core.memory().unwrap()
}

fn range(start: u64, end: u64) -> AddrRange {
    AddrRange::new(start, end).unwrap()
}

#[test]
fn memory_is_read_as_far_as_the_core_has_it() {
    const LACKS: Option<Shortfall> = Some(Shortfall::NotInCapture);
    let builder = Builder::new(X86_64)
        .load(0x1_0000, 1, "r--", &[1; 0x1000])
        .load(0x1_1000, 2, "rw-", &[2; 0x1000])
        .load(0x1_3000, 1, "---", b"")
        .load(0x1_4000, 1, "rw-", &[4; 0x1000]);
    let bytes = builder.bytes();
    let memory = memory(file(&bytes, &[]));
    let read = |address, size| read_memory(&*memory, address, size);
    assert_eq!(read(0x1_0000, 4), (vec![1; 4], None));
    // Across two regions, and into what was not dumped.
    assert_eq!(read(0x1_0ffe, 4), (vec![1, 1, 2, 2], None));
    assert_eq!(read(0x1_1ffe, 4), (vec![2, 2], LACKS));
    for address in [0xfffe, 0x1_2000, 0x1_3000, 0x1_5000, u64::MAX] {
        assert_eq!(read(address, 4), (vec![], LACKS), "{address:#x}");
    }
    assert_eq!(read(0x1_4fff, 4), (vec![4], LACKS));
    let resident = |start, end| memory.resident(range(start, end)).unwrap();
    assert_eq!(resident(0, u64::MAX), [range(0x1_0000, 0x1_2000), range(0x1_4000, 0x1_5000)]);
    assert_eq!(resident(0x1_1800, 0x1_4800), [range(0x1_1800, 0x1_2000), range(0x1_4000, 0x1_4800)]);
    assert_eq!(resident(0x1_2000, 0x1_4000), []);

    // Without the second half of the last page.
    let cut = self::memory(file(&bytes[..bytes.len() - 0x800], &[]));
    assert_eq!(read_memory(&*cut, 0x1_47fe, 4), (vec![4; 2], LACKS));
    assert_eq!(cut.resident(range(0x1_4000, 0x1_5000)).unwrap(), [range(0x1_4000, 0x1_4800)]);
}

#[test]
fn a_file_that_shrinks_is_read_as_far_as_it_goes() {
    let bytes = Builder::new(X86_64).load(0x1_0000, 1, "r--", &[1; 0x1000]).bytes();
    let file = file(&bytes, &[]);
    let memory = memory(file.try_clone().unwrap());
    file.set_len(bytes.len() as u64 - 0xffe).unwrap();
    let lacks = Some(Shortfall::NotInCapture);
    assert_eq!(read_memory(&*memory, 0x1_0000, 4), (vec![1; 2], lacks));
}

/// Where the bytes of an address are in a core.
fn place(bytes: &[u8], address: u64) -> usize {
    let dump = read_file(&file(bytes, &[])).unwrap_or_else(|problem| panic!("{problem}"));
    let segment = dump.segments.iter().find(|segment| segment.range.contains(address)).unwrap();
    (segment.offset + (address - segment.range.start())) as usize
}

fn resident(map: &MemoryMap) -> Vec<Option<u64>> {
    map.regions.iter().map(|region| region.counts.resident.map(|size| size.0)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn holes_show_what_was_resident() {
    let bytes = Builder::usual().bytes();
    let page = |address| place(&bytes, address)..place(&bytes, address) + PAGE as usize;
    // The data of the program, the page in the middle of a thread's stack, the second of the stack.
    let holes = [page(0x40_3000), page(0x7f00_0000_1000), page(STACK + 0x1000)];
    let sparse = file(&bytes, &holes);
    let map = read_file(&sparse).unwrap_or_else(|problem| panic!("{problem}")).map;
    let (unknown, known) = (None, Some);
    let expected = [
        unknown,
        unknown,
        unknown,
        known(0x2000),
        known(0x2000),
        known(0x1000),
        unknown,
        unknown,
        unknown,
        unknown,
    ];
    assert_eq!(resident(&map), expected);
    assert_eq!(map.detail, Detail::Resident);
    let memory = memory(sparse);
    let stack = range(0x7f00_0000_0000, 0x7f00_0000_3000);
    let parts = [range(0x7f00_0000_0000, 0x7f00_0000_1000), range(0x7f00_0000_2000, 0x7f00_0000_3000)];
    assert_eq!(memory.resident(stack).unwrap(), parts);
    let lacks = Some(Shortfall::NotInCapture);
    assert_eq!(read_memory(&*memory, 0x7f00_0000_0ffe, 4), (vec![5; 2], lacks));
}

#[test]
fn nothing_is_known_to_be_resident_without_those_holes() {
    let builder = Builder::usual();
    let bytes = builder.bytes();
    let page = |address| place(&bytes, address)..place(&bytes, address) + PAGE as usize;
    let is_unknown = |file: File| {
        let map = read_file(&file).unwrap_or_else(|problem| panic!("{problem}")).map;
        assert_eq!(resident(&map), [None; 10]);
        assert_eq!(map.detail, Detail::Layout);
    };
    // A copy that has no holes.
    is_unknown(file(&bytes, &[]));
    // A copy that has one for each page of zeros, such as the second one of the heap.
    is_unknown(file(&bytes, &[page(0x40_5000)]));
    // A copy whose holes are whole blocks of two pages.
    let blocks = page(0x7f00_0000_1000).start..page(STACK + 0x1000).start;
    assert!(blocks.start.is_multiple_of(2 * PAGE as usize));
    is_unknown(file(&bytes, &[blocks]));
    // Without a list of files, no region is known to be anonymous.
    let hole = [page(STACK + 0x1000)];
    let mut nameless = bytes.clone();
    let name = memchr::memmem::find(&nameless, b"ELIF").unwrap();
    nameless[name..name + 4].copy_from_slice(b"none");
    is_unknown(file(&nameless, &hole));
    // gdb makes no holes.
    is_unknown(file(&builder.note(b"GDB", 0xff00_0000, b"").bytes(), &hole));
}

#[test]
fn there_is_a_limit_to_notes() {
    let mut builder = Builder::usual();
    builder.notes_last = true;
    let bytes = builder.bytes();
    let file = file(&bytes, &[]);
    let size = LARGEST_NOTES + 1;
    let mut header = vec![0; 8];
    X86_64.put(&mut header, 0, size, 8);
    std::io::Seek::seek(&mut &file, io::SeekFrom::Start(64 + 32)).unwrap();
    (&file).write_all(&header).unwrap();
    file.set_len(bytes.len() as u64 + size).unwrap();
    let map = read_file(&file).unwrap_or_else(|problem| panic!("{problem}")).map;
    assert_eq!(rows(&map), rows(&Builder::usual().map()));
    let more = "incomplete: the core has more than 64 MiB of notes: names may be missing";
    assert_eq!(warnings(&map), [more]);
}

/// What is changed in a core: a number of some size at some place.
fn changes() -> impl Strategy<Value = Vec<(usize, u64, usize)>> {
    let value = prop_oneof![
        any::<u64>(),
        0u64..0x2000,
        Just(u64::MAX),
        (0u32..64).prop_map(|bit| 1 << bit),
        proptest::sample::select(vec![0x40_0000, 0x40_1000, STACK, STACK + 0x2000]),
    ];
    // Headers and notes come first.
    let place = prop_oneof![4 => 0usize..0x800, 1 => 0usize..0x2000];
    proptest::collection::vec((place, value, proptest::sample::select(vec![1, 2, 4, 8])), 0..8)
}

proptest! {
    #[test]
    fn a_damaged_core_is_read_or_refused(
        changes in changes(),
        length in prop_oneof![2 => Just(usize::MAX), 1 => 0usize..0x1000, 1 => 0usize..0xc000],
        target in proptest::sample::select(vec![X86_64, I386, POWER_PC]),
        is_usual in any::<bool>(),
        is_extended in any::<bool>(),
        notes_last in any::<bool>(),
    ) {
        let core = if is_usual {
            Builder::usual()
        } else {
            Builder::new(target)
                .files(PAGE, &[(0x1_0000, 0x1_2000, 0, b"/a"), (0x3_0000, 0x3_2000, 0, b"/b")])
                .auxv(&[(PHDR, 0x1_0040), (EXECFN, 0x5_0000), (SYSINFO_EHDR, 0x4_0000)])
                .thread(7, 11, 0x5_0000, 0x1_0000)
                .load(0x1_0000, 1, "r--", &[1; 0x1000])
                .heap(0x1_2000, FIRST_BLOCK)
                .load(0x4_0000, 1, "r-x", b"")
                .load(0x5_0000, 2, "rw-", &[2; 0x1000])
        };
        let mut bytes = Builder { is_extended, notes_last, ..core }.bytes();
        for (place, value, size) in changes {
            let place = place.min(bytes.len() - size);
            target.put(&mut bytes, place, value, size);
        }
        bytes.truncate(length);
        match read_file(&file(&bytes, &[])) {
            Err(problem) => prop_assert!(problem.starts_with("is "), "{problem}"),
            Ok(dump) => {
                let regions = &dump.map.regions;
                prop_assert!(regions.iter().all(|region| !region.range.is_empty()));
                prop_assert!(regions.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
                let segments = &dump.segments;
                prop_assert!(segments.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
                let length = bytes.len() as u64;
                prop_assert!(segments.iter().all(|segment| segment.offset + segment.range.size().0 <= length));
                prop_assert!(dump.map.warnings.len() < 8);
            }
        }
    }
}
