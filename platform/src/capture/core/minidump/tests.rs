use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::model::{Name, Native};

const HEADER: usize = 32;

/// A minidump in the making.
struct Builder {
    order: ByteOrder,
    streams: Vec<(u32, Vec<u8>)>,
    /// What streams point to, and where it begins.
    data: Vec<u8>,
}

/// Where the bytes begin that streams point to.
const DATA: usize = 4096;

impl Builder {
    fn new() -> Builder {
        Builder { order: ByteOrder::Little, streams: Vec::new(), data: Vec::new() }
    }

    fn number(&self, value: u64, size: usize) -> Vec<u8> {
        match self.order {
            ByteOrder::Little => value.to_le_bytes()[..size].to_vec(),
            ByteOrder::Big => value.to_be_bytes()[8 - size..].to_vec(),
        }
    }

    /// A record: values with their sizes, one after the other.
    fn record(&self, fields: &[(u64, usize)]) -> Vec<u8> {
        fields.iter().flat_map(|(value, size)| self.number(*value, *size)).collect()
    }

    fn stream(mut self, kind: u32, bytes: Vec<u8>) -> Builder {
        self.streams.push((kind, bytes));
        self
    }

    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = DATA + self.data.len();
        self.data.extend_from_slice(bytes);
        at as u64
    }

    fn text(&mut self, text: &str) -> u64 {
        let units: Vec<u8> = text.encode_utf16().flat_map(|unit| self.number(unit.into(), 2)).collect();
        let bytes = [self.number(units.len() as u64, 4), units].concat();
        self.put(&bytes)
    }

    fn system(self, machine: u64, platform: u64) -> Builder {
        let bytes = self.record(&[(machine, 2), (0, 6), (10, 4), (0, 4), (19045, 4), (platform, 4), (0, 4)]);
        self.stream(streams::SYSTEM_INFO, bytes)
    }

    fn modules(mut self, modules: &[(u64, u64, &str, &[u8])]) -> Builder {
        let mut bytes = self.number(modules.len() as u64, 4);
        for (base, size, name, build_id) in modules {
            let name = self.text(name);
            let record = [b"LEpB", *build_id].concat();
            let (size_of_id, id) =
                if build_id.is_empty() { (0, 0) } else { (record.len(), self.put(&record)) };
            bytes.extend(self.record(&[(*base, 8), (*size, 4), (0, 8), (name, 4)]));
            bytes.extend([0; 52]);
            bytes.extend(self.record(&[(size_of_id as u64, 4), (id, 4)]));
            bytes.extend([0; 24]);
        }
        self.stream(streams::MODULE_LIST, bytes)
    }

    /// Threads with their stacks: ID, stack pointer, program counter, start of the stack, its bytes. The machine is x86-64.
    fn threads(mut self, threads: &[(u64, u64, u64, u64, &[u8])]) -> Builder {
        let mut bytes = self.number(threads.len() as u64, 4);
        for (id, stack_pointer, program, start, stack) in threads {
            let mut context = vec![0; 1232];
            context[152..160].copy_from_slice(&self.number(*stack_pointer, 8));
            context[248..256].copy_from_slice(&self.number(*program, 8));
            let context = self.put(&context);
            let at = self.put(stack);
            bytes.extend(self.record(&[
                (*id, 4),
                (0, 8),
                (0, 8),
                (0, 4),
                (*start, 8),
                (stack.len() as u64, 4),
                (at, 4),
            ]));
            bytes.extend(self.record(&[(1232, 4), (context, 4)]));
        }
        self.stream(streams::THREAD_LIST, bytes)
    }

    fn memory(mut self, ranges: &[(u64, &[u8])]) -> Builder {
        let mut bytes = self.number(ranges.len() as u64, 4);
        for (start, memory) in ranges {
            let at = self.put(memory);
            bytes.extend(self.record(&[(*start, 8), (memory.len() as u64, 4), (at, 4)]));
        }
        self.stream(streams::MEMORY_LIST, bytes)
    }

    /// Start, size, state, protection, type.
    fn infos(self, infos: &[(u64, u64, u64, u64, u64)]) -> Builder {
        let mut bytes = self.record(&[(16, 4), (48, 4), (infos.len() as u64, 8)]);
        for (start, size, state, protection, kind) in infos {
            let fields = [
                (*start, 8),
                (*start, 8),
                (0, 8),
                (*size, 8),
                (*state, 4),
                (*protection, 4),
                (*kind, 4),
                (0, 4),
            ];
            bytes.extend(self.record(&fields));
        }
        self.stream(streams::MEMORY_INFO_LIST, bytes)
    }

    fn exception(self, thread: u64, code: u64, flags: u64, address: u64, parameters: &[u64]) -> Builder {
        let mut bytes = self.record(&[(thread, 4), (0, 4), (code, 4), (flags, 4), (0, 8), (address, 8)]);
        bytes.extend(self.record(&[(parameters.len() as u64, 4), (0, 4)]));
        for place in 0..15 {
            bytes.extend(self.number(parameters.get(place).copied().unwrap_or_default(), 8));
        }
        bytes.extend(self.record(&[(0, 4), (0, 4)]));
        self.stream(streams::EXCEPTION, bytes)
    }

    fn bytes(&self) -> Vec<u8> {
        let magic = match self.order {
            ByteOrder::Little => MAGICS[0],
            ByteOrder::Big => MAGICS[1],
        };
        let directory = HEADER + self.streams.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let mut file = magic.to_vec();
        let header = [
            (0xa793, 4),
            (self.streams.len() as u64, 4),
            (directory as u64, 4),
            (0, 4),
            (1_778_385_000, 4),
            (0, 8),
        ];
        file.extend(self.record(&header));
        let mut at = HEADER;
        let mut entries = Vec::new();
        for (kind, bytes) in &self.streams {
            entries.extend(self.record(&[((*kind).into(), 4), (bytes.len() as u64, 4), (at as u64, 4)]));
            file.extend(bytes);
            at += bytes.len();
        }
        file.extend(entries);
        assert!(file.len() <= DATA, "the streams reach into the data");
        file.resize(DATA, 0);
        file.extend(&self.data);
        file
    }

    fn open(&self) -> Result<Dump, Failure> {
        open(&self.bytes())
    }

    fn dump(&self) -> Dump {
        self.open().map_err(|failure| panic!("{failure:?}")).unwrap()
    }
}

fn open(bytes: &[u8]) -> Result<Dump, Failure> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read(Path::new("x.dmp"), &Input::File(file))
}

fn problem(result: Result<Dump, Failure>) -> String {
    match result {
        Err(Failure::Malformed(problem)) => problem,
        Err(Failure::Unreadable(error)) => panic!("{error}"),
        Ok(_) => panic!("it was read"),
    }
}

fn lines(dump: &Dump) -> Vec<String> {
    let line = |region: &Region| {
        let name = region.name.as_ref().map(Name::bytes).unwrap_or_default();
        format!("{} {} {}", region.range, region.protection, String::from_utf8_lossy(name))
            .trim_end()
            .to_owned()
    };
    dump.map.regions.iter().map(line).collect()
}

fn warnings(dump: &Dump) -> Vec<String> {
    dump.map.warnings.iter().map(ToString::to_string).collect()
}

const LINUX: u64 = 0x8201;
const WINDOWS: u64 = 2;
const AMD64: u64 = 9;

const MAPS: &[u8] = b"\
00400000-00401000 r-xp 00000000 08:01 7                                  /bin/x
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
";

#[test]
fn the_text_of_maps_is_the_map() {
    let builder = Builder::new().system(AMD64, LINUX).stream(streams::LINUX_MAPS, MAPS.to_vec());
    let builder = builder.infos(&[(0x400000, 0x1000, 0x1000, 0x20, 0x20000)]);
    let dump = builder.memory(&[(0x1000000, b"heap")]).dump();
    assert_eq!(lines(&dump), ["400000-401000 r-x /bin/x", "1000000-1021000 rw- [heap]"]);
    assert_eq!(warnings(&dump), [""; 0]);
    assert_eq!(dump.map.source.os, "linux");
    assert_eq!(dump.map.source.arch.map(|arch| arch.machine), Some(Machine::X86_64));
    assert!(dump.map.taken.is_some());
    assert_eq!(dump.segments.len(), 1);
}

#[test]
fn both_byte_orders_are_read() {
    let mut builder = Builder::new();
    builder.order = ByteOrder::Big;
    let dump = builder.system(3, LINUX).modules(&[(0x400000, 0x1000, "/bin/ü", b"")]).dump();
    assert_eq!(lines(&dump), ["400000-401000 ??? /bin/ü"]);
    assert_eq!(dump.map.source.arch.map(|arch| arch.byte_order), Some(ByteOrder::Big));
}

#[test]
fn a_list_of_regions_is_the_map_and_modules_name_it() {
    let builder = Builder::new().system(AMD64, WINDOWS).modules(&[
        (0x7ff6_0000_0000, 0x3000, "C:\\x\\app.exe", b""),
        (0x7ffa_0000_0000, 0x1000, "C:\\Windows\\ntdll.dll", b""),
    ]);
    let dump = builder
        .infos(&[
            (0x10000, 0x10000, 0x1000, 0x04, 0x40000),
            (0x20000, 0x1000, 0x10000, 0x01, 0),
            (0x50000, 0x10000, 0x2000, 0, 0x20000),
            (0x60000, 0x1000, 0x1000, 0x104, 0x20000),
            (0x61000, 0x3000, 0x1000, 0x04, 0x20000),
            (0x7ff6_0000_0000, 0x1000, 0x1000, 0x02, 0x0100_0000),
            (0x7ff6_0000_1000, 0x1000, 0x1000, 0x20, 0x0100_0000),
            (0x7ff6_0000_2000, 0x1000, 0x1000, 0x08, 0x0100_0000),
        ])
        .threads(&[(12, 0x61100, 0x7ff6_0000_1010, 0x61100, b"stack")])
        .exception(12, 0xc000_0005, 0, 0x7ff6_0000_1010, &[0, 0x45])
        .dump();
    let expected = [
        "10000-20000 rw-",
        "50000-60000 ---",
        "60000-61000 rw-",
        "61000-64000 rw-",
        "7ff600000000-7ff600001000 r-- C:\\x\\app.exe",
        "7ff600001000-7ff600002000 r-x C:\\x\\app.exe",
        "7ff600002000-7ff600003000 rw- C:\\x\\app.exe",
    ];
    assert_eq!(lines(&dump), expected);
    let windows = |place: usize| match &dump.map.regions[place].native {
        Native::Windows(native) => native,
        other => panic!("{other:?}"),
    };
    assert!(windows(1).is_reserved && windows(2).is_guard && !windows(3).is_guard);
    let shares: Vec<_> = dump.map.regions.iter().map(|region| region.share.id()).collect();
    assert_eq!(shares, ["shared", "private", "private", "private", "private", "private", "copy-on-write"]);
    let process = &dump.map.process;
    assert_eq!(process.name.as_deref(), Some(&b"app.exe"[..]));
    assert_eq!(process.threads[0].stack_pointer, Some(0x61100));
    let crash = process.crash.unwrap();
    assert_eq!((crash.signal, crash.code, crash.address), (None, Some(0xc000_0005), Some(0x45)));
    assert_eq!((crash.thread, crash.instruction), (Some(12), Some(0x7ff6_0000_1010)));
    assert_eq!(process.system.as_deref(), Some("Windows 10.0.19045"));
}

#[test]
fn data_of_linux_is_the_file_and_zeros_behind_it_are_not() {
    let private = 0x20000;
    let modules = Builder::new().system(AMD64, LINUX).modules(&[(0x400000, 0x4000, "/bin/x", b"\x01\xab")]);
    let dump = modules
        .infos(&[
            (0x400000, 0x1000, 0x1000, 0x20, private),
            (0x401000, 0x1000, 0x1000, 0x04, private),
            (0x402000, 0x2000, 0x1000, 0x04, private),
            (0x500000, 0x1000, 0x1000, 0x04, private),
        ])
        .dump();
    let expected =
        ["400000-401000 r-x /bin/x", "401000-402000 rw- /bin/x", "402000-404000 rw-", "500000-501000 rw-"];
    assert_eq!(lines(&dump), expected);
    let linux = dump.map.regions[0].native.linux().unwrap();
    assert_eq!(
        (linux.build_id.as_deref(), linux.lacks_offset, linux.lacks_name),
        (Some("01ab"), true, false)
    );
}

#[test]
fn without_a_map_modules_and_memory_are_what_is_known() {
    let builder = Builder::new().system(AMD64, 0x8101);
    let builder =
        builder.modules(&[(0x1000, 0x2000, "/usr/lib/b", b""), (0x2000, 0x2000, "/usr/lib/c", b"")]);
    let dump = builder.memory(&[(0x800, &[1; 0x1000]), (0x9000, &[2; 0x100]), (0x9100, &[3; 0x100])]).dump();
    let expected = ["800-1000 ???", "1000-3000 ??? /usr/lib/b", "3000-4000 ??? /usr/lib/c", "9000-9200 ???"];
    assert_eq!(lines(&dump), expected);
    assert_eq!(
        warnings(&dump),
        ["only a part of the map is in this dump: 2 modules and 3 ranges of saved memory"]
    );
    assert_eq!(dump.map.source.os, "macos");
}

#[test]
fn what_ended_a_process_is_its_system_s() {
    let crash = |platform, code, flags, parameters: &[u64]| {
        let builder = Builder::new().system(AMD64, platform).modules(&[(0x1000, 0x1000, "x", b"")]);
        builder.exception(7, code, flags, 0x10, parameters).dump().map.process.crash
    };
    let facts = |crash: Crash| (crash.signal, crash.code, crash.address);
    assert_eq!(crash(LINUX, 11, 1, &[]).map(facts), Some((Some(11), Some(1), Some(0x10))));
    // Sent by a process, and by the kernel: what stands for the address is none.
    assert_eq!(crash(LINUX, 11, 0, &[]).map(facts), Some((Some(11), Some(0), None)));
    assert_eq!(crash(LINUX, 11, 0x80, &[]).map(facts), Some((Some(11), Some(0x80), None)));
    assert_eq!(crash(LINUX, 6, 1, &[]).map(facts), Some((Some(6), Some(1), None)));
    assert_eq!(crash(0x8101, 1, 1, &[]).map(facts), Some((None, Some(1), Some(0x10))));
    assert_eq!(crash(WINDOWS, 0xc000_0005, 0, &[1]).map(facts), Some((None, Some(0xc000_0005), None)));
    assert_eq!(crash(WINDOWS, 0x8000_0003, 0, &[]).map(facts), Some((None, Some(0x8000_0003), None)));
    for code in [0xffff_ffff, 0x0517_a7ed] {
        assert_eq!(crash(LINUX, code, 0, &[]), None);
    }
}

#[test]
fn broken_parts_are_named_and_the_rest_is_used() {
    let plain = Builder::new().system(AMD64, LINUX).modules(&[(0x1000, 0x1000, "/lib/x", b"")]);
    let whole = plain.bytes();

    let mut directory = whole.clone();
    directory[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let dump = open(&directory).map_err(|failure| panic!("{failure:?}")).unwrap();
    let first = &warnings(&dump)[0];
    assert!(
        first.contains("the directory of the minidump is cut: it promises 4294967295 streams"),
        "{first}"
    );

    let mut far = whole.clone();
    far[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(problem(open(&far)), "has no memory map: no regions, modules or memory");
    assert_eq!(problem(open(&whole[..20])), "is damaged: its header is cut");

    let mut infos = 0x10_0000_0000_u64.to_le_bytes().to_vec();
    infos.splice(0..0, [16_u32.to_le_bytes(), 48_u32.to_le_bytes()].concat());
    let dump = Builder::new().system(AMD64, LINUX).stream(streams::MEMORY_INFO_LIST, infos);
    let dump = dump.modules(&[(0x1000, 0x1000, "/lib/x", b"")]).dump();
    assert_eq!(warnings(&dump)[0], "the stream MemoryInfoList of the minidump is cut");
    assert_eq!(lines(&dump), ["1000-2000 ??? /lib/x"]);

    let odd = [
        (0x3000, 0x1000, 0x1000, 4, 0x20000),
        (0x3800, 0x1000, 0x1000, 4, 0x20000),
        (u64::MAX - 1, 9, 0x1000, 4, 0),
    ];
    let dump = Builder::new().system(AMD64, LINUX).infos(&odd).dump();
    assert_eq!(lines(&dump), ["3000-4000 rw-"]);
    assert_eq!(warnings(&dump), ["2 regions of the minidump are impossible and left out"]);
}

#[test]
fn memory_that_is_cut_off_is_counted() {
    let builder = Builder::new().system(AMD64, LINUX).stream(streams::LINUX_MAPS, MAPS.to_vec());
    let bytes = builder.memory(&[(0x400000, &[7; 64]), (0x1000000, &[8; 64])]).bytes();
    let dump = open(&bytes[..bytes.len() - 16]).map_err(|failure| panic!("{failure:?}")).unwrap();
    assert_eq!(
        warnings(&dump),
        ["the minidump is cut: 4,208 of 4,224 bytes; 1 range of memory is not whole"]
    );
    assert_eq!(dump.segments[1].range.size(), Bytes(48));
    // The 64-bit list has its bytes one after the other.
    let list = [2, 4096, 0x400000, 16, 0x1000000, 32].map(u64::to_le_bytes).concat();
    let mut builder = Builder::new().stream(streams::LINUX_MAPS, MAPS.to_vec());
    builder = builder.stream(streams::MEMORY_64_LIST, list);
    builder.put(&[9; 48]);
    let offsets: Vec<_> = builder.dump().segments.iter().map(|segment| segment.offset).collect();
    assert_eq!(offsets, [4096, 4112]);
}

proptest! {
    #[test]
    fn damage_never_breaks_the_order(changes in prop::collection::vec((0..5000_usize, any::<u8>()), 1..12), cut in 0..6000_usize) {
        let builder = Builder::new().system(AMD64, WINDOWS).modules(&[(0x1000, 0x1000, "a.dll", b""), (0x4000, 0x1000, "b.dll", b"")]);
        let builder = builder.threads(&[(1, 0x9000, 0x1000, 0x9000, &[1; 64])]).memory(&[(0x20000, &[2; 64])]);
        let builder = builder.infos(&[(0x1000, 0x1000, 0x1000, 4, 0x20000), (0x9000, 0x1000, 0x1000, 4, 0x20000)]);
        let mut bytes = builder.exception(1, 0xc000_0005, 0, 0, &[0, 1]).bytes();
        for (place, byte) in changes {
            if let Some(old) = bytes.get_mut(place) {
                *old = byte;
            }
        }
        bytes.truncate(cut.max(8));
        if let Ok(dump) = open(&bytes) {
            for pair in dump.map.regions.windows(2) {
                prop_assert!(pair[0].range.end() <= pair[1].range.start());
            }
            for pair in dump.segments.windows(2) {
                prop_assert!(pair[0].range.end() <= pair[1].range.start());
            }
        }
    }
}
