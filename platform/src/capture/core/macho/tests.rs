use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::macos::parse::macho::tests::image as image_bytes;
use crate::model::Name;

const HEADER: usize = 32;
const X86_64: u32 = 0x0100_0007;
const CORE: u32 = 4;

/// A core in the making.
struct Builder {
    cpu: u32,
    kind: u32,
    commands: Vec<Vec<u8>>,
    data: Vec<u8>,
}

/// Where the bytes begin that commands point to.
const DATA: usize = 4096;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

impl Builder {
    fn new() -> Builder {
        Builder { cpu: X86_64, kind: CORE, commands: Vec::new(), data: Vec::new() }
    }

    fn command(mut self, kind: u32, content: &[u8]) -> Builder {
        self.commands.push([&words(&[kind, content.len() as u32 + 8])[..], content].concat());
        self
    }

    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = DATA + self.data.len();
        self.data.extend_from_slice(bytes);
        at as u64
    }

    /// A region with its first bytes.
    fn segment(mut self, start: u64, size: u64, protections: (u32, u32), bytes: &[u8]) -> Builder {
        let at = self.put(bytes);
        let mut content = vec![0; 16];
        content.extend(longs(&[start, size, at, bytes.len() as u64]));
        content.extend(words(&[protections.0, protections.1, 0, 0]));
        self.command(0x19, &content)
    }

    fn thread(self, flavor: u32, state: &[u8]) -> Builder {
        let content = [&words(&[flavor, state.len() as u32 / 4])[..], state].concat();
        self.command(4, &content)
    }

    fn note(mut self, owner: &[u8], content: &[u8]) -> Builder {
        let at = self.put(content);
        let mut command = owner.to_vec();
        command.resize(16, 0);
        command.extend(longs(&[at, content.len() as u64]));
        self.command(0x31, &command)
    }

    fn bytes(&self) -> Vec<u8> {
        let commands = self.commands.concat();
        let header =
            [0xfeed_facf, self.cpu, 3, self.kind, self.commands.len() as u32, commands.len() as u32, 0, 0];
        let mut file = [words(&header), commands].concat();
        assert!(file.len() <= DATA, "the commands reach into the data");
        file.resize(DATA, 0);
        file.extend(&self.data);
        file
    }

    fn dump(&self) -> Dump {
        open(&self.bytes()).map_err(|failure| panic!("{failure:?}")).unwrap()
    }
}

fn open(bytes: &[u8]) -> Result<Dump, Failure> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read(Path::new("x.core"), &Input::File(file))
}

fn problem(bytes: &[u8]) -> String {
    match open(bytes) {
        Err(Failure::Malformed(problem)) => problem,
        Err(Failure::Unreadable(error)) => panic!("{error}"),
        Ok(_) => panic!("it was read"),
    }
}

fn lines(dump: &Dump) -> Vec<String> {
    let line = |region: &Region| {
        let name = region.name.as_ref().map(Name::bytes).unwrap_or_default();
        let segment = region.native.macos().and_then(|native| native.segment.as_deref()).unwrap_or("-");
        format!("{} {} {segment} {}", region.range, region.protection, String::from_utf8_lossy(name))
            .trim_end()
            .to_owned()
    };
    dump.map.regions.iter().map(line).collect()
}

fn warnings(dump: &Dump) -> Vec<String> {
    dump.map.warnings.iter().map(ToString::to_string).collect()
}

/// The state of a thread with this stack pointer.
fn x86_64_state(stack_pointer: u64) -> Vec<u8> {
    let mut state = vec![0; 42 * 4];
    state[56..64].copy_from_slice(&stack_pointer.to_le_bytes());
    state
}

#[test]
fn regions_have_their_current_protection() {
    let dump =
        Builder::new().segment(0x2000, 0x1000, (7, 3), &[1; 16]).segment(0x1000, 0x1000, (5, 5), b"").dump();
    assert_eq!(lines(&dump), ["1000-2000 r-x -", "2000-3000 rw- -"]);
    let most: Vec<_> = dump.map.regions.iter().map(|region| region.max_protection).collect();
    // lldb writes the current one twice.
    assert_eq!(most, [None, Some(Protection::from_rwx(true, true, true))]);
    assert!(dump.map.regions.iter().all(|region| region.share == ShareMode::Unknown));
    assert_eq!(dump.segments, [Segment { range: AddrRange::new(0x2000, 0x2010).unwrap(), offset: 4096 }]);
    assert_eq!(dump.map.source.os, "macos");
}

#[test]
fn threads_have_the_ids_of_the_note_or_numbers() {
    let unified = [words(&[4, 42]), x86_64_state(0x5100)].concat();
    let builder = || {
        let builder = Builder::new().segment(0x5000, 0x1000, (3, 3), b"");
        builder.thread(4, &x86_64_state(0x5008)).thread(7, &unified).thread(5, &[0; 64])
    };
    let threads = |dump: Dump| -> Vec<_> {
        dump.map.process.threads.iter().map(|thread| (thread.id, thread.stack_pointer)).collect()
    };
    assert_eq!(threads(builder().dump()), [(1, Some(0x5008)), (2, Some(0x5100)), (3, None)]);
    let note = br#"{"threads":[{"thread_id":71},{"thread_id":72},{"thread_id":73}]}"#;
    let noted = builder().note(b"process metadata", &[&note[..], b"\0\0"].concat());
    assert_eq!(threads(noted.dump()), [(71, Some(0x5008)), (72, Some(0x5100)), (73, None)]);
    let broken = builder().note(b"process metadata", b"{\"threads\":").dump();
    assert_eq!(warnings(&broken), ["the core's IDs of threads are broken"]);
    let mut arm = [0; 68 * 4];
    arm[248..256].copy_from_slice(&0x5010_u64.to_le_bytes());
    let mut arm64 = Builder::new().segment(0x5000, 0x1000, (3, 3), b"").thread(6, &arm);
    arm64.cpu = 0x0100_000c;
    let dump = arm64.dump();
    assert_eq!(dump.map.source.page_size, PageSize::new(16384));
    assert_eq!(threads(dump), [(1, Some(0x5010))]);
}

/// A list of one image with segments, of which the list has the starts.
fn with_image(builder: Builder, path: &[u8], load_address: u64, segments: &[(&[u8], u64)]) -> Builder {
    let mut builder = builder;
    let path = builder.put(&[path, b"\0"].concat());
    let mut list = Vec::new();
    for (name, start) in segments {
        let mut name = name.to_vec();
        name.resize(16, 0);
        list.extend(name);
        list.extend(longs(&[*start, 0]));
    }
    let segments_at = builder.put(&list);
    let mut entry = longs(&[path, 0, 0, load_address, segments_at]);
    entry.extend(words(&[segments.len() as u32, 0]));
    let entries = builder.put(&entry);
    let mut note = words(&[1, 1]);
    note.extend(longs(&[entries]));
    note.extend(words(&[48, 0]));
    builder.note(b"all image infos", &note)
}

#[test]
fn images_name_segments_by_their_headers() {
    let header = image_bytes(0, &[("__TEXT", 0, 0x2000, 5), ("__DATA", 0x2000, 0x1000, 3)]);
    let builder = Builder::new()
        .segment(0x10000, 0x2000, (5, 5), &header)
        .segment(0x12000, 0x1000, (3, 3), b"")
        .segment(0x20000, 0x1000, (3, 3), b"");
    let named = ["10000-12000 r-x __TEXT", "12000-13000 rw- __DATA", "20000-21000 rw- -"];
    // Without a list, the headers in memory are found, which have no path here.
    assert_eq!(lines(&builder.dump()), named);
    let builder = Builder::new()
        .segment(0x10000, 0x2000, (5, 5), &header)
        .segment(0x12000, 0x1000, (3, 3), b"")
        .segment(0x20000, 0x1000, (3, 3), b"");
    let dump = with_image(builder, b"/Applications/x", 0x10000, &[]).dump();
    assert_eq!(
        lines(&dump)[..2],
        named[..2].iter().map(|line| format!("{line} /Applications/x")).collect::<Vec<_>>()
    );
    assert_eq!(dump.map.process.name.as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_list_names_what_begins_a_segment_if_the_header_was_not_written() {
    let builder = Builder::new().segment(0x12000, 0x1000, (3, 3), b"").segment(0x14000, 0x1000, (3, 3), b"");
    let dump =
        with_image(builder, b"/usr/lib/y", 0x10000, &[(b"__TEXT", 0x10000), (b"__DATA", 0x12000)]).dump();
    assert_eq!(lines(&dump), ["12000-13000 rw- __DATA /usr/lib/y", "14000-15000 rw- -"]);
}

#[test]
fn what_is_no_core_of_a_process_is_refused_by_name() {
    let plain = Builder::new().segment(0x1000, 0x1000, (3, 3), b"");
    let mut program = Builder::new().segment(0x1000, 0x1000, (3, 3), b"");
    program.kind = 2;
    assert_eq!(problem(&program.bytes()), "is a program or library, not a core: there is no process in it");
    let old = "is a Mach-O file of an old Mac: only cores of 64 bits, for Intel and ARM, are read";
    assert_eq!(problem(&[&b"\xce\xfa\xed\xfe"[..], &[0; 28]].concat()), old);
    let fat = [&b"\xca\xfe\xba\xbe\0\0\0\x02"[..], &[0; 24]].concat();
    assert!(is_macho(&fat));
    assert_eq!(problem(&fat), "holds several architectures: it is not a core");
    // A class file of Java.
    assert!(!is_macho(b"\xca\xfe\xba\xbe\0\0\0\x37"));
    let kernel = plain.note(b"kern ver str", b"Darwin Kernel Version 23.1.0\0");
    assert_eq!(problem(&kernel.bytes()), "is a dump of a kernel, not of a process");
    assert_eq!(problem(&Builder::new().bytes()), "is a core without memory regions");
}

#[test]
fn broken_parts_are_named_and_the_rest_is_used() {
    let plain =
        || Builder::new().segment(0x1000, 0x1000, (3, 3), &[1; 64]).segment(0x5000, 0x1000, (3, 3), &[2; 64]);
    let whole = plain().bytes();
    let mut size = whole.clone();
    size[HEADER + 4..HEADER + 8].copy_from_slice(&4_u32.to_le_bytes());
    assert_eq!(problem(&size), "is damaged: load command 0 is broken");
    let mut odd = whole.clone();
    odd[HEADER + 72 + 4..HEADER + 72 + 8].copy_from_slice(&71_u32.to_le_bytes());
    assert_eq!(problem(&odd), "is damaged: load command 1 is broken");
    let mut sum = whole.clone();
    sum[20..24].copy_from_slice(&152_u32.to_le_bytes());
    assert_eq!(problem(&sum), "is damaged: load command 2 is broken");
    let mut room = whole.clone();
    room[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let expected =
        "is damaged: its header promises 4,294,967,295 bytes of load commands, the file has room for 4,192";
    assert_eq!(problem(&room), expected);

    let cut = open(&whole[..whole.len() - 32]).map_err(|failure| panic!("{failure:?}")).unwrap();
    assert_eq!(
        warnings(&cut),
        ["the core is cut: 4,192 of 4,224 bytes; 1 region lacks memory; the map is whole"]
    );
    let overlapping =
        plain().segment(0x1800, 0x1000, (3, 3), b"").segment(u64::MAX - 1, 0x1000, (3, 3), b"").dump();
    assert_eq!(lines(&overlapping).len(), 2);
    assert_eq!(warnings(&overlapping), ["2 regions of the core are impossible and left out"]);
    let images = plain().note(b"all image infos", &words(&[9, 9])).dump();
    assert_eq!(warnings(&images), ["the core's list of images is broken: names may be missing"]);
}

proptest! {
    #[test]
    fn damage_never_breaks_the_order(changes in prop::collection::vec((0..5000_usize, any::<u8>()), 1..12), cut in 0..6000_usize) {
        let header = image_bytes(0, &[("__TEXT", 0, 0x2000, 5), ("__DATA", 0x2000, 0x1000, 3)]);
        let builder = Builder::new().segment(0x10000, 0x2000, (5, 5), &header).segment(0x12000, 0x1000, (3, 3), &[1; 64]);
        let builder = builder.thread(4, &x86_64_state(0x12008)).note(b"process metadata", br#"{"threads":[{"thread_id":71}]}"#);
        let builder = with_image(builder, b"/Applications/x", 0x10000, &[(b"__TEXT", 0x10000), (b"__DATA", 0x12000)]);
        let mut bytes = builder.bytes();
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
