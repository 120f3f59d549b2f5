use proptest::prelude::*;

use super::*;
use crate::model::{Bytes, PageCounts, SmapsField};

fn read(text: &str) -> (Vec<Region>, Pmap, Vec<String>) {
    let mut form = Pmap::default();
    let (mut regions, mut unknown) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match form.line(line.as_bytes()) {
            Line::Region(region) => regions.push(*region),
            Line::Known => {}
            Line::Unknown => unknown.push(line.to_owned()),
        }
    }
    (regions, form, unknown)
}

fn regions(text: &str) -> Vec<Region> {
    let (regions, _, unknown) = read(text);
    assert_eq!(unknown, [""; 0]);
    regions
}

fn shown(region: &Region) -> String {
    let name = region.name.as_ref().map_or("-".into(), |name| format!("{name:?}"));
    format!("{} {} {} {name}", region.range, region.protection, region.share.code())
}

#[test]
fn the_plain_layout() {
    let text = "\
24633:   /usr/bin/sleep 300
00005566a8f87000     20K r-x-- sleep
00005566b6937000    132K rw---   [ anon ]
00007fbe3e136000      8K rw-s- memfd:jit (deleted)
00007fbe3e138000      4K r---- a b (deleted)
00007fbe3e13a000      4K rw-s- zero (deleted)
00007fbe3e13b000      4K rw-s-   [ shmid=0x1002a ]
00007ffccb60c000    132K rw---   [ stack ]
ffffffffff600000      4K --x--   [ anon ]
 total             2924K
";
    let (regions, form, unknown) = read(text);
    assert_eq!(unknown, [""; 0]);
    let shown: Vec<_> = regions.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "5566a8f87000-5566a8f8c000 r-x PRV File(\"sleep\")",
            "5566b6937000-5566b6958000 rw- PRV -",
            "7fbe3e136000-7fbe3e138000 rw- SHM MemoryObject(\"/memfd:jit\")",
            "7fbe3e138000-7fbe3e139000 r-- PRV File(\"a b\" (deleted))",
            "7fbe3e13a000-7fbe3e13b000 rw- SHM MemoryObject(\"/dev/zero\")",
            "7fbe3e13b000-7fbe3e13c000 rw- SHM MemoryObject(\"/SYSV\")",
            "7ffccb60c000-7ffccb62d000 rw- PRV Kernel(\"[stack]\")",
            "ffffffffff600000-ffffffffff601000 --x PRV -",
        ]
    );
    assert_eq!(regions[5].native.linux().unwrap().inode, 0x1002a);
    assert_eq!(regions[0].counts, PageCounts::UNMEASURED);
    let process = form.process().unwrap();
    assert_eq!((process.pid, process.name.as_deref()), (Some(24633), Some(&b"sleep"[..])));
    assert!(form.lack().unwrap().contains("[heap]"));
    assert_eq!(
        read("00400000 4K rw---   [ anon ]\n").1.lack(),
        Some("pmap shows no labels such as [heap]; `pmap -Xp` shows them")
    );
    assert_eq!(read("00400000 4K r-x-- /bin/a\n").1.lack(), None);
}

#[test]
fn the_extended_layout_with_and_without_its_head() {
    let head = "Address           Kbytes     RSS   Dirty Mode  Mapping\n";
    let rows = "00005566a8f8e000       4       4       0 r---- sleep\n\
                00007ffccb60c000     132      16       - rw---   [ stack ]\n";
    let end = "---------------- ------- ------- ------- \ntotal kB            2924    1796     112\n";
    let with_head = regions(&format!("{head}{rows}{end}"));
    assert_eq!(with_head, regions(rows));
    assert_eq!(with_head[0].counts.resident, Some(Bytes(4096)));
    assert_eq!(with_head[0].counts.dirty, Some(Bytes(0)));
    assert_eq!(with_head[1].counts.dirty, None, "not measured is not zero");
}

#[test]
fn devices_and_offsets() {
    let rows = "00005566a8f87000      20 r-x-- 0000000000002000 0fe:00011 sleep\n08047000      16 rw-s- 0000000000000000 000:00000   [ anon ]\n";
    let text = format!(
        "Address           Kbytes Mode  Offset           Device    Mapping\n{rows}mapped: 2924K    writeable/private: 356K    shared: 28K\n"
    );
    let read = regions(&text);
    assert_eq!(read, regions(rows));
    assert_eq!(read[0].offset, 0x2000);
    assert_eq!(read[0].native.linux().unwrap().device, Device { major: 0xfe, minor: 0x11 });
    assert_eq!(shown(&read[1]), "08047000-0804b000 rw- SHM -".replace("08", "8"));
}

const FIELDS: &str = "\
24735:   sleep 300
         Address Perm   Offset Device  Inode Size KernelPageSize  Rss Pss NewKey THPeligible              VmFlags Mapping
    55d57890e000 r-xp 00002000  fe:00 247774    8              4    8   3     12           0       rd ex mr mw me sleep
    55d578910000 rw-p 00000000  00:00      0  132              4   16  16      0           1    rd wr mr mw me zz 
    55d578940000 rw-p 00000000  00:00      0  132              4   16  16      0           1    rd wr mr mw me ac sh
    7fbe3e103000 rw-p 00000000  00:00      0  132              4   16  16      0           1 rd wr mr mw me gd ac [stack]
ffffffffff600000 --xp 00000000  00:00      0    4              4    0   0      0           0                   ex [vsyscall]
                                             ==== ==============  === === ====== =========== \n                                              408             20   56  51     12           3 KB 
";

#[test]
fn every_field_of_smaps() {
    let read = regions(FIELDS);
    let native = |index: usize| read[index].native.linux().unwrap();
    assert_eq!(shown(&read[0]), "55d57890e000-55d578910000 r-x PRV File(\"sleep\")");
    assert_eq!(native(0).inode, 247774);
    assert_eq!(native(0).smaps.get(SmapsField::KernelPageSize), Some(Bytes(4096)));
    assert_eq!(read[0].counts.proportional, Some(Bytes(3072)));
    assert_eq!(read[0].counts.dirty, None);
    assert_eq!((&*native(0).unknown[0].key, &*native(0).unknown[0].value), ("NewKey", "12 kB"));
    assert_eq!(native(0).thp_eligible, Some(false));
    assert_eq!(read[0].max_protection.unwrap().as_str(), "rwx");
    assert_eq!(read[1].name, None);
    assert_eq!(&*native(1).unknown[1].value, "zz");
    assert_eq!(shown(&read[2]), "55d578940000-55d578961000 rw- PRV File(\"sh\")");
    assert_eq!(native(2).has_flag(b"sh"), Some(false), "two letters may be a name");
    assert_eq!(shown(&read[3]), "7fbe3e103000-7fbe3e124000 rw- PRV Kernel(\"[stack]\")");
    assert_eq!(shown(&read[4]), "ffffffffff600000-ffffffffff601000 --x PRV Kernel(\"[vsyscall]\")");
}

#[test]
fn blanks_may_be_lost() {
    let squeezed: String = FIELDS
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join("\t") + "\n")
        .filter(|line| !line.contains("\tsh\n"))
        .collect();
    let expected: Vec<_> =
        regions(FIELDS).into_iter().filter(|region| region.range.start() != 0x55d5_7894_0000).collect();
    assert_eq!(regions(&squeezed), expected);
}

#[test]
fn a_prefix_may_stand_before_the_head_only() {
    let quoted = FIELDS.replace("         Address", "> > Address");
    assert_eq!(read(&quoted).0, regions(FIELDS));
}

#[test]
fn fields_without_a_head() {
    let read = regions("    55d57890e000 r--p 00000000 fe:00 247774    8   8   3  0   8 sleep\n");
    assert_eq!(shown(&read[0]), "55d57890e000-55d578910000 r-- PRV File(\"sleep\")");
    assert_eq!(read[0].counts, PageCounts::UNMEASURED);
}

#[test]
fn busybox_and_toybox() {
    let rows = "000055c4251e2000 1048576 1048576 1048570       8  rw-p  [heap]\n\
                00007fc662fc3000      12       8       4       0  rw-p    [ anon ]\n\
                000000006f04a000    2620    1278    1256       4 rw---  boot.art]\n\
                00007fff655f3000      16       0       0       0 r--s- /root/a.out\n";
    let text = format!(
        "1: mem -n 1024\nAddress\t\t  Kbytes     PSS   Dirty    Swap  Mode  Mapping\n{rows}\
         ----------------  ------  ------  ------  ------\ntotal\t\t 1048760 1048616 1048592       0\n"
    );
    let read = regions(&text);
    assert_eq!(read, regions(rows));
    assert_eq!(read[0].counts.proportional, Some(Bytes(1 << 30)));
    assert_eq!(read[0].counts.resident, None);
    let smaps = &read[0].native.linux().unwrap().smaps;
    assert_eq!(smaps.get(SmapsField::PrivateDirty), Some(Bytes::from_kib(1048570)));
    assert_eq!(read[0].counts.swapped, Some(Bytes(8192)));
    assert_eq!(shown(&read[2]), "6f04a000-6f2d9000 rw- PRV Given(\"boot.art\")");
    let plain = regions(
        "1: sh\n0000000000ab4000     392K rw-p  [heap]\n00405000       8K rw-p    [ anon ]\nmapped: 572K\n",
    );
    assert_eq!(shown(&plain[0]), "ab4000-b16000 rw- PRV Kernel(\"[heap]\")");
}

#[test]
fn old_procps() {
    let read = regions(
        "Address   Kbytes     RSS    Anon  Locked Mode   Mapping\n08048000     488       -       -       - r-x--  bash\n\
         -------- ------- ------- ------- -------\ntotal kB     488       -       -       -\n",
    );
    assert_eq!(shown(&read[0]), "8048000-80c2000 r-x PRV File(\"bash\")");
    assert_eq!(read[0].counts.resident, None);
}

#[test]
fn what_is_no_pmap() {
    for line in [
        "",
        "7fee89557000-7fee89558000 rw-s 0002d000 08:11 2621496 /lib/ld.so",
        "Address of the buffer: 12",
        "00400000 is the start",
        "deadbeef 12 bytes",
        "00400000 12K rq--- x",
        "00400000 12K",
        "00400000 r-xp 00000000 fe:00 12 /bin/x",
        "fffffffffffff000 8K r---- x",
        "00400000 99999999999999999999K r---- x",
        "-----",
        "total 12",
        "12:34 hello",
    ] {
        assert_eq!(Pmap::default().line(line.as_bytes()), Line::Unknown, "{line}");
    }
}

proptest! {
    #[test]
    fn any_text_is_fine(lines in proptest::collection::vec(line(), 0..30)) {
        let mut form = Pmap::default();
        for line in lines {
            form.line(&line);
        }
    }
}

/// Lines that resemble those of pmap, and lines that do not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let likely: Vec<&[u8]> = FIELDS.lines().map(str::as_bytes).collect();
    prop_oneof![
        proptest::sample::select(likely.clone()).prop_map(<[u8]>::to_vec),
        (proptest::sample::select(likely), 0usize..120)
            .prop_map(|(line, end)| line[..end.min(line.len())].to_vec()),
        "[0-9a-f]{8,17}( {1,3}[0-9]{1,30}K?){1,5} [rwxsp-]{3,6} .{0,9}".prop_map(String::into_bytes),
        "Address( (Kbytes|Perm|Mode|Size|VmFlags|Rss|Mapping|é)){1,7}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..80),
    ]
}
