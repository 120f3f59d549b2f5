//! Opens altered minidumps: the map is in order, and memory can be read.
//!
//! `cargo +nightly fuzz run minidumps`
#![no_main]

mod dumps;

use std::sync::LazyLock;

use dumps::{longs, words};
use libfuzzer_sys::fuzz_target;

/// Where the bytes begin that streams point to.
const DATA: usize = 512;

/// A minidump of Linux with the map, one of Windows with a list of its memory, and one with neither.
static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let map = b"00010000-00012000 r-xp 00000000 08:01 7      /bin/test\n00012000-00015000 rw-p 00000000 00:00 0 [heap]\n";
    let mut linux = Dump::new(0x8201);
    linux.stream(0x4767_0009, map);
    linux.stream(0x4767_0008, &longs(&[6, 4096, 0, 0]));
    let mut windows = Dump::new(2);
    let info = |start: u64, size: u64, state: u32, protection: u32, kind: u32| {
        [longs(&[start, start, 0, size]), words(&[state, protection, kind, 0])].concat()
    };
    let infos = [
        info(0x1_0000, 0x2000, 0x1000, 0x20, 0x100_0000),
        info(0x1_2000, 0x3000, 0x1000, 4, 0x2_0000),
        info(0x1_5000, 0x1000, 0x1_0000, 1, 0),
        info(0x1_6000, 0x2000, 0x2000, 0, 0x2_0000),
        info(0x2_0000, 0x2000, 0x1000, 0x104, 0x4_0000),
    ];
    windows.stream(16, &[words(&[16, 48]), longs(&[infos.len() as u64]), infos.concat()].concat());
    vec![linux.bytes(), windows.bytes(), Dump::new(0x8101).bytes()]
});

/// A dump in the making.
struct Dump {
    streams: Vec<(u32, Vec<u8>)>,
    data: Vec<u8>,
}

impl Dump {
    /// A dump with a module, a thread, memory and an exception.
    fn new(platform: u32) -> Dump {
        let mut dump = Dump { streams: Vec::new(), data: Vec::new() };
        dump.stream(7, &words(&[9, 0, 10, 0, 19045, platform, 0]));
        let name: Vec<u8> = "C:\\test.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let name = dump.put(&[words(&[name.len() as u32]), name].concat());
        let id = dump.put(b"LEpB0123456789abcdef");
        let mut module = [longs(&[0x1_0000]), words(&[0x2000, 0, 0, name])].concat();
        module.extend([0; 52]);
        module.extend(words(&[20, id]));
        module.extend([0; 24]);
        dump.stream(4, &[words(&[1]), module].concat());
        let mut context = vec![0; 1232];
        context[152..160].copy_from_slice(&0x1_2080_u64.to_le_bytes());
        context[248..256].copy_from_slice(&0x1_0010_u64.to_le_bytes());
        let context = dump.put(&context);
        let stack = dump.put(&[1; 256]);
        let thread = [words(&[9, 0, 0, 0, 0, 0]), longs(&[0x1_2000]), words(&[256, stack, 1232, context])];
        dump.stream(3, &[words(&[1]), thread.concat()].concat());
        dump.stream(5, &[words(&[1]), longs(&[0x1_2000]), words(&[256, stack])].concat());
        dump.stream(9, &[longs(&[1, u64::from(stack), 0x1_3000, 256])].concat());
        let mut exception = [words(&[9, 0, 0xc000_0005, 0]), longs(&[0, 0x1_0010]), words(&[2, 0])].concat();
        exception.extend(longs(&[1, 0x10]));
        exception.resize(168, 0);
        dump.stream(6, &exception);
        dump
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = DATA + self.data.len();
        self.data.extend(bytes);
        at as u32
    }

    fn stream(&mut self, kind: u32, bytes: &[u8]) {
        self.streams.push((kind, bytes.to_vec()));
    }

    fn bytes(mut self) -> Vec<u8> {
        let streams = std::mem::take(&mut self.streams);
        let mut dump = b"MDMP\x93\xa7\0\0".to_vec();
        dump.extend(words(&[streams.len() as u32, 32, 0, 0, 0, 0]));
        for (kind, content) in streams {
            let at = self.put(&content);
            dump.extend(words(&[kind, content.len() as u32, at]));
        }
        dump.resize(DATA, 0);
        dump.extend(self.data);
        dump
    }
}

fuzz_target!(|input: &[u8]| {
    if let Some(dump) = dumps::altered(input, &SOUND) {
        dumps::open(&dump);
    }
});
