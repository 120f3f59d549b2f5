use proptest::prelude::*;

use super::*;
use crate::linux::maps::MapsLine;
use crate::model::Name;

/// What the notes say of a log, and of the map in it.
fn read(text: &str) -> (Notes, Vec<String>) {
    let mut notes = Notes::default();
    let mut regions = Vec::new();
    for line in text.lines() {
        match MapsLine::parse(line.as_bytes()) {
            Some(line) => {
                let name = (!line.name.is_empty()).then(|| Name::file(line.name));
                regions.push(line.into_region(name));
            }
            None => {
                notes.line(line.as_bytes());
            }
        }
    }
    let shown = |claim: &Claim| {
        let note = claim.note.as_deref().map_or(String::new(), |note| format!(" ({note})"));
        format!(
            "{} {} {}: {}{note}",
            claim.range,
            claim.kind,
            claim.owner,
            claim.title.as_deref().unwrap_or("-")
        )
    };
    let claims = notes.claims(&regions).iter().map(shown).collect();
    (notes, claims)
}

fn threads(notes: &Notes) -> Vec<String> {
    let process = notes.process().unwrap();
    let shown = |thread: &ThreadInfo| {
        let name = String::from_utf8_lossy(thread.name.as_deref().unwrap_or_default()).into_owned();
        format!("{} {name} {:x}", thread.id, thread.stack_pointer.unwrap())
    };
    process.threads.iter().map(shown).collect()
}

const VERSION_17: &str = "\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x00007f27745c6f14 (sent by kill), pid=9449, tid=9450
#
# JRE version: OpenJDK Runtime Environment (17.0.15+6) (build 17.0.15+6-Debian-1deb12u1)
# Java VM: OpenJDK 64-Bit Server VM (17.0.15+6-Debian-1deb12u1, mixed mode, sharing, tiered, compressed oops, g1 gc, linux-amd64)
Command Line: -XX:+UseG1GC -Xmx256m S
Current thread (0x00007f276c018110):  JavaThread \"main\" [_thread_in_native, id=9450, stack(0x00007f2772f00000,0x00007f2773000000)]
Java Threads: ( => current thread )
=>0x00007f276c018110 JavaThread \"main\" [_thread_in_native, id=9450, stack(0x00007f2772f00000,0x00007f2773000000)]
  0x00007f276c11c2c0 JavaThread \"my \\\"own\\\" thread\" daemon [_thread_blocked, id=9457, stack(0x00007f27714a7000,0x00007f27715a7000)]
Other Threads:
  0x00007f276c10e010 VMThread \"VM Thread\" [stack: 0x00007f27715a9000,0x00007f27716a9000] [id=9455]
Heap address: 0x00000000f0000000, size: 256 MB, Compressed Oops mode: 32-bit
CDS archive(s) mapped at: [0x00007f26f7000000-0x00007f26f7bc7000-0x00007f26f7bc7000), size 12349440, SharedBaseAddress: 0x00007f26f7000000, ArchiveRelocationMode: 1.
Compressed class space mapped at: 0x00007f26f8000000-0x00007f2738000000, reserved size: 1073741824
Heap:
 garbage-first heap   total 262144K, used 5764K [0x00000000f0000000, 0x0000000100000000)
CodeHeap 'non-profiled nmethods': size=120036Kb used=321Kb max_used=321Kb free=119714Kb
 bounds [0x00007f275cec7000, 0x00007f275d137000, 0x00007f2764400000]
CodeHeap 'non-nmethods': size=5692Kb used=1137Kb max_used=1155Kb free=4554Kb
 bounds [0x00007f275c938000, 0x00007f275cba8000, 0x00007f275cec7000]
GC Heap History (2 events):
 garbage-first heap   total 262144K, used 12212K [0x00000000e0000000, 0x0000000100000000)
Dynamic libraries:
f0000000-100000000 rw-p 00000000 00:00 0
7f26f7000000-7f26f7bc7000 rw-p 00000000 00:00 0
7f26f8000000-7f26f8120000 rw-p 00000000 00:00 0
7f26f8120000-7f2738000000 ---p 00000000 00:00 0
7f275c938000-7f275cba8000 rwxp 00000000 00:00 0
7f275cba8000-7f275cec7000 ---p 00000000 00:00 0
7f275cec7000-7f275d137000 rwxp 00000000 00:00 0
7f275d137000-7f2764400000 ---p 00000000 00:00 0
7f2772f00000-7f2773000000 rw-p 00000000 00:00 0
";

#[test]
fn version_17() {
    let (notes, claims) = read(VERSION_17);
    assert_eq!(
        threads(&notes),
        ["9450 main 7f2772fffff8", "9457 my \\\"own\\\" thread 7f27715a6ff8", "9455 VM Thread 7f27716a8ff8"]
    );
    let process = notes.process().unwrap();
    assert_eq!((process.pid, process.command.len()), (Some(9449), 3));
    let runtime = notes.runtime().unwrap();
    assert_eq!(&*runtime.name, "HotSpot 17.0.15+6-Debian-1deb12u1");
    assert_eq!(runtime.facts, [("garbage collector".into(), FactValue::Text("G1".into()))]);
    assert_eq!(
        claims,
        [
            "f0000000-100000000 gc-heap Java heap: Java heap (G1)",
            "7f26f7000000-7f26f7bc7000 runtime-data Java metaspace: Java class archive",
            "7f26f8000000-7f26f8120000 runtime-data Java metaspace: Java class space",
            "7f26f8120000-7f2738000000 reserved Java metaspace: Java metaspace reserve",
            "7f275c938000-7f275cba8000 jit-code Java code cache: Java code cache (Java code: non-nmethods)",
            "7f275cba8000-7f275cec7000 reserved Java code cache: Java code reserve (Java code: non-nmethods)",
            "7f275cec7000-7f275d137000 jit-code Java code cache: Java code cache (Java code: non-profiled)",
            "7f275d137000-7f2764400000 reserved Java code cache: Java code reserve (Java code: non-profiled)",
        ]
    );
}

#[test]
fn version_8() {
    let (notes, claims) = read(
        "#  SIGSEGV (0xb) at pc=0x00007f644c92c6f1, pid=29, tid=0x00007f64251b9700\n\
         # Java VM: OpenJDK 64-Bit Server VM (25.292-b10 mixed mode linux-amd64 compressed oops)\n\
         =>0x00007fc4cc003000 JavaThread \"main\" [_thread_in_native, id=6481, stack(0x00007fc4b185c000,0x00007fc4b195d000)]\n\
         \x20 0x00007fc4cc117800 VMThread [stack: 0x00007fc4b8b84000,0x00007fc4b8c84000] [id=6485]\n\
         =>0x00007f01ec05f800 (exited) GCTaskThread [stack: 0x00007f01dc1b7000,0x00007f01dc2b7000] [id=6486]\n\
         heap address: 0x0000000085c00000, size: 1956 MB, Compressed Oops mode: 32-bit\n\
         Compressed class space size: 1073741824 Address: 0x0000000100000000\n\
         Heap:\n\
         \x20PSYoungGen      total 20992K, used 12052K [0x00000000d7400000, 0x00000000d8980000, 0x0000000100000000)\n\
         \x20 eden space 20480K, 58% used [0x00000000d7400000,0x00000000d7f9d3c0,0x00000000d8800000)\n\
         \x20 from space 512K, 31% used [0x00000000d8900000,0x00000000d8928000,0x00000000d8980000)\n\
         \x20 to   space 512K, 0% used [0x00000000d8880000,0x00000000d8880000,0x00000000d8900000)\n\
         \x20ParOldGen       total 25600K, used 20400K [0x0000000085c00000, 0x0000000087500000, 0x00000000d7400000)\n\
         \x20 object space 25600K, 79% used [0x0000000085c00000,0x0000000086fec398,0x0000000087500000)\n\
         \x20Metaspace       used 11117K, capacity 11266K, committed 11648K, reserved 1058816K\n\
         Card table byte_map: [0x00007f6449a2b000,0x00007f6449dfe000] byte_map_base: 0x00007f64495fd000\n\
         CodeCache: size=245760Kb used=4321Kb max_used=4321Kb free=241438Kb\n\
         \x20bounds [0x00007f6435000000, 0x00007f6435270000, 0x00007f6444000000]\n\
         java_command: com.example.Main --x\n\
         85c00000-87500000 rw-p 00000000 00:00 0\n87500000-d7400000 ---p 00000000 00:00 0\n\
         d7400000-d8980000 rw-p 00000000 00:00 0\nd8980000-100000000 ---p 00000000 00:00 0\n\
         100000000-100160000 rw-p 00000000 00:00 0\n\
         7f6435000000-7f6435270000 rwxp 00000000 00:00 0\n",
    );
    assert_eq!(notes.process().unwrap().pid, Some(29));
    assert_eq!(threads(&notes)[1], "6485 VMThread 7fc4b8c83ff8");
    assert_eq!(&*notes.runtime().unwrap().name, "HotSpot 25.292-b10");
    assert_eq!(
        claims,
        [
            "85c00000-87500000 gc-heap Java heap: Java heap (Parallel) (Java old)",
            "87500000-d7400000 reserved Java heap: Java heap reserve",
            "d7400000-d8800000 gc-heap Java heap: Java heap (Parallel) (Java eden)",
            "d8800000-d8880000 gc-heap Java heap: Java heap (Parallel)",
            "d8880000-d8900000 gc-heap Java heap: Java heap (Parallel) (Java survivor)",
            "d8900000-d8980000 gc-heap Java heap: Java heap (Parallel) (Java survivor)",
            "d8980000-100000000 reserved Java heap: Java heap reserve",
            "100000000-100160000 runtime-data Java metaspace: Java class space",
            "7f6435000000-7f6435270000 jit-code Java code cache: Java code cache (Java code)",
        ]
    );
}

#[test]
fn version_21() {
    let (notes, claims) = read(
        "# Java VM: OpenJDK 64-Bit Server VM (21.0.2+13, mixed mode, sharing, tiered, shenandoah gc, linux-amd64)\n\
         =>0x00007f7c14028b80 JavaThread \"main\"                              [_thread_in_native, id=42, stack(0x00007f7c1b000000,0x00007f7c1b100000) (1024K)]\n\
         \x20 0x000000746cbdb490 ConcurrentGCThread \"G1 Refine#0\"               [id=2428, stack(0x0000007478850000,0x0000007478950000) (1024K)]\n\
         Shenandoah Heap\n 256M max, 256M soft max, 256M committed, 13952K used\nReserved region:\n\
         \x20- [0x00000000f0000000, 0x0000000100000000) \n\
         f0000000-100000000 rw-p 00000000 00:00 0\n",
    );
    assert_eq!(threads(&notes), ["42 main 7f7c1b0ffff8", "2428 G1 Refine#0 747894fff8"]);
    assert_eq!(claims, ["f0000000-100000000 gc-heap Java heap: Java heap (Shenandoah)"]);
}

#[test]
fn what_says_nothing() {
    let mut notes = Notes::default();
    for line in [
        "",
        "# something",
        "0x00007f27745c6f14:   00 01",
        " bounds [0x1, 0x2, 0x3]",
        "Heap address: 0x1, size: 99999999999999999999 MB",
        "eden space [",
        "a from space station",
        " - [0x1, 0x2)",
        "CDS archive(s) mapped at: [0x2-0x1)",
        "=>0x1 JavaThread \"x\" [id=, stack(0x1,0x2)]",
    ] {
        assert!(!notes.line(line.as_bytes()), "{line}");
    }
    assert_eq!(notes.process(), None);
    assert_eq!(notes.runtime(), None);
}

proptest! {
    #[test]
    fn any_text_is_fine(lines in proptest::collection::vec(line(), 0..12)) {
        let (_, claims) = read(&lines.join("\n"));
        let starts: Vec<_> = claims.iter().map(|claim| claim.split('-').next().unwrap().len()).collect();
        prop_assert!(starts.is_sorted());
    }
}

/// Lines that resemble those of a log, and lines that do not.
fn line() -> impl Strategy<Value = String> {
    let likely: Vec<&str> = VERSION_17.lines().collect();
    prop_oneof![
        proptest::sample::select(likely.clone()).prop_map(str::to_owned),
        (proptest::sample::select(likely), 0usize..150)
            .prop_map(|(line, end)| line.chars().take(end).collect::<String>()),
        "(=>)?0x[0-9a-f]{1,17} [A-Z]\"?[a-z]\"? (\\[)?id=[0-9]{0,20}, stack\\(0x[0-9a-f]{1,17},0x[0-9a-f]{1,17}\\)",
        "(eden|PSYoungGen|Heap address: 0xf,) (space|size:) [0-9]{1,20} \\[0x[0-9a-f]{1,17}, 0x[0-9a-f]{1,17}\\)",
        "[0-9a-f]{8}-[0-9a-f]{9} [rwx-]{3}p 0 00:00 0",
        any::<String>(),
    ]
}
