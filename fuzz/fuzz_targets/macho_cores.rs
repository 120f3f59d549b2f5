//! Opens altered cores of Macs: the map is in order, and memory can be read.
//!
//! `cargo +nightly fuzz run macho_cores`
#![no_main]

mod dumps;

use std::sync::LazyLock;

use dumps::{longs, words};
use libfuzzer_sys::fuzz_target;

/// Where the bytes begin that commands point to.
const DATA: usize = 1024;

/// A core of x86-64, and one of arm64.
static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut intel = vec![0; 42 * 4];
    intel[56..64].copy_from_slice(&0x2_0080_u64.to_le_bytes());
    intel[128..136].copy_from_slice(&0x1_0010_u64.to_le_bytes());
    vec![core(0x0100_0007, 4, &intel), core(0x0100_000c, 6, &[1; 68 * 4])]
});

fn core(cpu: u32, flavor: u32, state: &[u8]) -> Vec<u8> {
    let (mut commands, mut data) = (Vec::new(), Vec::<u8>::new());
    let mut put = |bytes: &[u8]| {
        let at = DATA + data.len();
        data.extend(bytes);
        at as u64
    };
    let command = |kind: u32, content: &[u8]| [&words(&[kind, content.len() as u32 + 8]), content].concat();
    let image = image(cpu);
    for (start, size, protection, bytes) in [
        (0x1_0000, 0x1000, 5, &image[..]),
        (0x1_1000, 0x2000, 3, &[7; 256]),
        (0x2_0000, 0x1000, 3, &[0; 256]),
    ] {
        let at = put(bytes);
        let content = [
            vec![0; 16],
            longs(&[start, size, at, bytes.len() as u64]),
            words(&[protection, protection, 0, 0]),
        ];
        commands.push(command(0x19, &content.concat()));
    }
    commands.push(command(4, &[&words(&[flavor, state.len() as u32 / 4]), state].concat()));
    let path = put(b"/bin/test\0");
    let segments = put(&[&b"__TEXT\0\0\0\0\0\0\0\0\0\0"[..], &longs(&[0x1_0000, 0])].concat());
    let entry = [longs(&[path]), vec![7; 16], longs(&[0x1_0000, segments]), words(&[1, 1])].concat();
    let entries = put(&entry);
    let images = [words(&[1, 1]), longs(&[entries]), words(&[entry.len() as u32, 0])].concat();
    for (owner, content) in [
        (&b"all image infos\0"[..], &images[..]),
        (b"process metadata", b"{\"threads\":[{\"thread_id\":4242}]}"),
        (b"addrable bits\0\0\0", &words(&[4, 47, 47, 0])),
    ] {
        let at = put(content);
        commands.push(command(0x31, &[owner, &longs(&[at, content.len() as u64])].concat()));
    }
    let size: usize = commands.iter().map(Vec::len).sum();
    let mut core = words(&[0xfeed_facf, cpu, 3, 4, commands.len() as u32, size as u32, 0, 0]);
    core.extend(commands.concat());
    core.resize(DATA, 0);
    core.extend(data);
    core
}

/// The start of a program in memory.
fn image(cpu: u32) -> Vec<u8> {
    let segment = |name: &[u8; 16], start: u64, size: u64| {
        [&words(&[0x19, 72])[..], name, &longs(&[start, size, 0, size]), &words(&[5, 5, 0, 0])].concat()
    };
    let segments = [
        segment(b"__TEXT\0\0\0\0\0\0\0\0\0\0", 0, 0x1000),
        segment(b"__DATA\0\0\0\0\0\0\0\0\0\0", 0x1000, 0x2000),
    ];
    [words(&[0xfeed_facf, cpu, 3, 2, 2, 144, 0, 0]), segments.concat()].concat()
}

fuzz_target!(|input: &[u8]| {
    if let Some(core) = dumps::altered(input, &SOUND) {
        dumps::open(&core);
    }
});
