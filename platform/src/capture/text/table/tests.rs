use proptest::prelude::*;

use super::*;
use crate::model::{Bytes, Region};

fn read(text: &str) -> (Vec<Region>, Table, Vec<String>) {
    let mut form = Table::default();
    let (mut regions, mut unknown) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match form.line(line.as_bytes()) {
            Line::Region(region) => regions.push(*region),
            Line::Known => {}
            Line::Unknown => unknown.extend((!line.is_empty()).then(|| line.to_owned())),
        }
    }
    (regions, form, unknown)
}

fn shown(regions: &[Region]) -> Vec<String> {
    let shown = |region: &Region| {
        let name = region.name.as_ref().map_or("-".into(), |name| format!("{name:?}"));
        let resident = region.counts.resident.map_or(-1, |Bytes(size)| size as i64);
        format!("{} {} {} {resident} {name}", region.range, region.protection, region.share.code())
    };
    regions.iter().map(shown).collect()
}

const TABLE: &str = "\
Process:         my tool [29900]
Path:            /usr/bin/my tool
Command:         tool --x /tmp/S
State:           sleeping, 19 threads
OS Version:      Linux 6.18.44

REGION TYPE              START-END          [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHR REGION DETAIL
Java heap (G1)       687400000-69f000000    [380.0M  13.0M  13.0M     0K] rw-/rwx PRV 2 parts, the largest: Java free regions, 91 regions
 Java free regions   687400000-68b000000    [380.0M  13.0M  13.0M     0K]             Java free regions
Java heap reserve    69f000000-7ff800000    [  5.5G     0K     0K     0K] ---/rwx PRV
Java heap (G1)       7ffb00000-7ffb75000    [  468K   468K   464K     0K] rw-/rwx PRV /usr/lib/classes.jsa (Java archived objects, 2 regions)
(unmapped)           800000000-5558e603d000 [ 85.3T                     ]
Heap              555910ce8000-555910d2f000 [  284K   104K   104K     0K] rw-/rwx PRV [heap] (main arena)
mapped file       7fbc00000000-7fbc00001000 [    4K     4K     0K     0K] r--/--- SHM /tmp/a (1) (deleted)
shared memory     7fbc00002000-7fbc00003000 [    4K      -      -      -] rw-/    SHM /memfd:a b
shared memory     7fbc00004000-7fbc00005000 [    4K      -      -      -] rw-     SHM /dev/zero (shared anonymous memory)
MALLOC            7fbc00006000-7fbc00007000 [    4K      -      -      -] ???     PRV [anon:x (y)]
[vsyscall]        ffffffffff600000-ffffffffff601000 [    4K     0K     0K     0K] --x/--- PRV

Largest gap: 800000000-5558e603d000, 85.3T free.
Likely, by size and neighbors alone: .bss, Java heap.
";

const ROWS: [&str; 9] = [
    "687400000-69f000000 rw- PRV 13631488 -",
    "69f000000-7ff800000 --- PRV 0 -",
    "7ffb00000-7ffb75000 rw- PRV 479232 File(\"/usr/lib/classes.jsa\")",
    "555910ce8000-555910d2f000 rw- PRV 106496 Kernel(\"[heap]\")",
    "7fbc00000000-7fbc00001000 r-- SHM 4096 File(\"/tmp/a (1)\" (deleted))",
    "7fbc00002000-7fbc00003000 rw- SHM -1 MemoryObject(\"/memfd:a b\")",
    "7fbc00004000-7fbc00005000 rw- SHM -1 MemoryObject(\"/dev/zero\")",
    "7fbc00006000-7fbc00007000 ??? PRV -1 Given(\"x (y)\")",
    "ffffffffff600000-ffffffffff601000 --x PRV 0 Kernel(\"[vsyscall]\")",
];

#[test]
fn a_table() {
    let (regions, form, unknown) = read(TABLE);
    assert_eq!(unknown, [""; 0]);
    assert_eq!(shown(&regions), ROWS);
    assert_eq!(regions[0].max_protection.unwrap().as_str(), "rwx");
    assert_eq!(regions[0].counts.swapped, Some(Bytes(0)));
    let process = form.process().unwrap();
    assert_eq!((process.pid, process.name.as_deref()), (Some(29900), Some(&b"my tool"[..])));
    assert_eq!(process.command.len(), 3);
    assert!(form.lack().is_some());
}

#[test]
fn rows_alone_and_the_row_of_an_address() {
    let rows: String = TABLE.lines().skip(7).map(|line| format!("{line}\n")).collect();
    assert_eq!(shown(&read(&rows).0), ROWS);
    let (regions, _, unknown) = read(
        "    REGION TYPE              START-END          [ VSIZE] PRT SHR REGION DETAIL\n\
         --> Heap              555910ce8000-555910d2f000 [  284K] rw- PRV [heap] (main arena)\n",
    );
    assert_eq!(shown(&regions), ["555910ce8000-555910d2f000 rw- PRV -1 Kernel(\"[heap]\")"]);
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn a_wide_table() {
    let (regions, form, unknown) = read(
        "REGION TYPE              START-END          [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHR EVID REGION DETAIL BUILD ID\n\
         .text             564f92a2e000-564f92a33000 [   20K    20K     0K     0K] r-x/rwx PRV kernel /usr/bin/a b e3103c603f624119a9e5c025e4e5dc43 libx.so.1\n\
         anonymous         564f92a33000-564f92a35000 [    8K     8K     0K     0K] r--/rwx PRV shape\n",
    );
    assert_eq!(unknown, [""; 0]);
    assert_eq!(
        shown(&regions),
        [
            "564f92a2e000-564f92a33000 r-x PRV 20480 File(\"/usr/bin/a b\")",
            "564f92a33000-564f92a35000 r-- PRV 8192 -"
        ]
    );
    assert_eq!(
        regions[0].native.linux().unwrap().build_id.as_deref(),
        Some("e3103c603f624119a9e5c025e4e5dc43")
    );
    assert!(form.lack().is_some());
}

#[test]
fn a_narrow_table() {
    let (regions, form, unknown) = read(
        "REGION TYPE            START  VSIZE  RSDNT  DIRTY   SWAP PRT SHR REGION DETAIL\n\
         Java heap (G1)     687400000 380.0M  13.0M  13.0M     0K rw- PRV …ns, 91 regions\n\
         .text           5558e603e000     4K     4K     0K     0K r-x PRV …amd64/bin/java\n\
         .text           5558e6040000     4K      -      -      - r-x PRV /usr/l…le-name.so\n\
         Heap            555910ce8000   284K   104K   104K     0K rw- PRV …] (main arena)\n\
         [stack]         7fffe35f3000  1.15M   104K   104K     0K rw- PRV\n",
    );
    assert_eq!(unknown, [""; 0]);
    assert_eq!(
        shown(&regions),
        [
            "687400000-69f000000 rw- PRV 13631488 -",
            "5558e603e000-5558e603f000 r-x PRV 4096 File(\"java\")",
            "5558e6040000-5558e6041000 r-x PRV -1 File(\"/usr/l…le-name.so\")",
            "555910ce8000-555910d2f000 rw- PRV 106496 Kernel(\"[heap]\")",
            "7fffe35f3000-7fffe3719000 rw- PRV 106496 Kernel(\"[stack]\")",
        ]
    );
    assert!(form.lack().unwrap().contains("narrow"));
}

#[test]
fn markdown() {
    let (regions, form, unknown) = read(
        "- Process:         sl\\_eep \\[28616\\]\n- OS Version:      Linux 6.18.44-fc-v669\n\n\
         | REGION TYPE | START | END | VSIZE | RSDNT | DIRTY | SWAP | PRT | MAX | SHR | REGION DETAIL |\n\
         | --- | --: | --- | --: | --: | --: | --: | --- | --- | --- | --- |\n\
         | .rodata | `564f92a2c000` | `564f92a2e000` | 8K | 8K | 8K | 0K | r-- | rwx | PRV | /tmp/a\\|b\\_c\\\\\\\\&lt; |\n\
         | Heap | `564f92a2e000` | `564f92a2f000` | 4K | - | - | - | rw- |  | PRV | \\[heap\\] (main arena) |\n",
    );
    assert_eq!(unknown, [""; 0]);
    assert_eq!(
        shown(&regions),
        [
            "564f92a2c000-564f92a2e000 r-- PRV 8192 File(\"/tmp/a|b_c\\\\<\")",
            "564f92a2e000-564f92a2f000 rw- PRV -1 Kernel(\"[heap]\")"
        ]
    );
    assert_eq!(form.process().unwrap().name.as_deref(), Some(&b"sl_eep"[..]));
}

#[test]
fn csv() {
    let (regions, form, unknown) = read(
        "target,kind,type,start,end,size,resident,dirty,swapped,proportional,unique,protection,max_protection,share,offset,path,evidence,detail,image\n\
         28616,text,.text,0x564f92a2e000,0x564f92a33000,20480,20480,0,0,10240,0,r-x,rwx,PRV,8192,\"/usr/bin/a,\"\"b\",kernel,\"/usr/bin/a,\"\"b (deleted)\",e3103c60 libx\n\
         28616,heap,Heap,0x564f92a33000,0x564f92a35000,8192,,,,,,,,PRV,0,,kernel,[heap],\n\
         28616,gc-heap,Java heap,0x687400000,0x69f000000,398458880,13651968,,,,,rw-,,PRV,0,,memory,\"2 parts, the largest: x\",\n",
    );
    assert_eq!(unknown, [""; 0]);
    assert_eq!(
        shown(&regions),
        [
            "564f92a2e000-564f92a33000 r-x PRV 20480 File(\"/usr/bin/a,\\\"b\" (deleted))",
            "687400000-69f000000 rw- PRV 13651968 -"
        ]
    );
    assert_eq!(regions[0].offset, 8192);
    assert_eq!(regions[0].counts.proportional, Some(Bytes(10240)));
    assert_eq!(form.lack(), None);
}

#[test]
fn a_report_of_macos_is_not_ours() {
    let text = TABLE.replace("Linux 6.18.44", "macOS 14.6.1 (23G93)");
    assert!(read(&text).0.is_empty());
    let row = "__TEXT                 100000000-100004000    [   16K    16K     0K     0K] r-x/rwx SM=COW          /bin/a";
    assert_eq!(Table::default().line(row.as_bytes()), Line::Unknown);
}

#[test]
fn what_is_no_row() {
    for line in [
        "",
        "7fee89557000-7fee89558000 rw-s 0002d000 08:11 2621496 /lib/ld.so",
        "Heap 2000-1000 [ 4K] rw- PRV",
        "Heap 1000-2000 [ 4K] rwxp PRV",
        "Heap 1000-2000",
        "Process: something",
        "a-b [",
    ] {
        assert_eq!(Table::default().line(line.as_bytes()), Line::Unknown, "{line}");
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let likely: Vec<&[u8]> = TABLE.lines().map(str::as_bytes).collect();
    prop_oneof![
        proptest::sample::select(likely.clone()).prop_map(<[u8]>::to_vec),
        (proptest::sample::select(likely), 0usize..150).prop_map(|(line, end)| line[..end.min(line.len())].to_vec()),
        "(\\| )?REGION TYPE( \\|)?( (START|END|START-END|\\[ VSIZE|RSDNT\\]|PRT|SHR|BUILD|REGION|\\|)){1,9}( \\|)?".prop_map(String::into_bytes),
        "[a-z,]{0,5},type,start,end,[a-z,\"]{0,9}".prop_map(String::into_bytes),
        "[A-Z]{1,3} [0-9a-f]{1,17}(-[0-9a-f]{1,17})? \\[?( [0-9.]{1,4}[KMG]?){0,5}\\]? [rwx?-]{3}(/[rwx-]{3})? (PRV|SHM) .{0,12}".prop_map(String::into_bytes),
        "\\|?( [`0-9a-zPRVSHM\\\\-]{0,6} \\|){1,9}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #[test]
    fn any_text_is_fine(lines in proptest::collection::vec(line(), 0..12)) {
        let mut form = Table::default();
        for line in lines {
            form.line(&line);
        }
    }
}
