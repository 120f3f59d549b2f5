//! Opens altered ELF cores: the map is in order, and memory can be read.
//!
//! `cargo +nightly fuzz run elf_cores`
#![no_main]

mod dumps;

use std::sync::LazyLock;

use dumps::{longs, words};
use libfuzzer_sys::fuzz_target;

/// A core of x86-64, with the notes at its front as the kernel writes them or at its end as gdb does; and one whose count of
/// regions is in a section header.
static SOUND: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| vec![core(false, false), core(true, false), core(false, true)]);

fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = words(&[name.len() as u32 + 1, content.len() as u32, kind]);
    bytes.extend(name);
    bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn notes(is_by_gdb: bool) -> Vec<u8> {
    let mut status = vec![0; 336];
    status[12] = 11;
    status[32] = 9;
    status[112 + 16 * 8..][..8].copy_from_slice(&0x1_0123_u64.to_le_bytes());
    status[112 + 19 * 8..][..8].copy_from_slice(&0x7_0100_u64.to_le_bytes());
    let mut process = vec![0; 136];
    process[24] = 9;
    process[40..44].copy_from_slice(b"test");
    process[56..62].copy_from_slice(b"test x");
    let signal = [words(&[11, 0, 1, 0]), longs(&[0x10, 0, 0])].concat();
    let vector = longs(&[6, 4096, 3, 0x1_0040, 9, 0x1_0100, 31, 0x7_0200, 33, 0x6_0000, 0, 0]);
    let unit = if is_by_gdb { 1 } else { 4096 };
    let files = longs(&[2, unit, 0x1_0000, 0x1_2000, 0, 0x2_0000, 0x3_0000, 1]);
    let files = [&files[..], b"/bin/test\0/dev/shm/x (deleted)\0"].concat();
    let mut notes = [
        note(b"CORE", 1, &status),
        note(b"CORE", 3, &process),
        note(b"CORE", 0x5349_4749, &signal),
        note(b"CORE", 6, &vector),
        note(b"CORE", 0x4649_4c45, &files),
    ]
    .concat();
    if is_by_gdb {
        notes.extend(note(b"GDB", 0xff00_0000, b"<target/>"));
    }
    notes
}

fn core(is_by_gdb: bool, is_count_elsewhere: bool) -> Vec<u8> {
    const REGIONS: [(u64, u64, u64, u32); 6] = [
        (0x1_0000, 0x2000, 0x1000, 5),
        (0x1_2000, 0x3000, 0x3000, 6),
        (0x2_0000, 0x4000, 0, 6),
        (0x5_f000, 0x1000, 0, 4),
        (0x6_0000, 0x1000, 0x1000, 5),
        (0x7_0000, 0x2000, 0x2000, 6),
    ];
    let notes = notes(is_by_gdb);
    let sections: u64 = if is_count_elsewhere { 64 } else { 0 };
    let headers = 64 + 56 * (REGIONS.len() as u64 + 1);
    let data: u64 = REGIONS.iter().map(|region| region.2).sum();
    let (first, at) = match is_by_gdb {
        false => (headers + sections + notes.len() as u64, headers + sections),
        true => (headers + sections, headers + sections + data),
    };
    let count = REGIONS.len() as u16 + 1;
    let mut core = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    core.extend(longs(&[0, 64, if is_count_elsewhere { headers } else { 0 }]));
    core.extend(words(&[0]));
    let shown = if is_count_elsewhere { 0xffff } else { count };
    for short in [64, 56, shown, 64, u16::from(is_count_elsewhere), 0] {
        core.extend(short.to_le_bytes());
    }
    core.extend(words(&[4, 0]));
    core.extend(longs(&[at, 0, 0, notes.len() as u64, 0, 4]));
    let mut offset = first;
    for (start, size, stored, flags) in REGIONS {
        core.extend(words(&[1, flags]));
        core.extend(longs(&[offset, start, 0, stored, size, 4096]));
        offset += stored;
    }
    if is_count_elsewhere {
        let mut section = vec![0; 64];
        section[44..48].copy_from_slice(&u32::from(count).to_le_bytes());
        core.extend(section);
    }
    // Memory with a block of glibc's malloc at the start of each page.
    let memory: Vec<u8> =
        (0..data / 8).flat_map(|place| if place % 512 == 1 { 0x291_u64 } else { 0 }.to_le_bytes()).collect();
    if is_by_gdb {
        core.extend(memory);
        core.extend(notes);
    } else {
        core.extend(notes);
        core.extend(memory);
    }
    core
}

fuzz_target!(|input: &[u8]| {
    if let Some(core) = dumps::altered(input, &SOUND) {
        dumps::open(&core);
    }
});
