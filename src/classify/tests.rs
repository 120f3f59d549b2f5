//! Tests of the rules: for each, an example that it recognizes and one that it must not.

use std::path::Path;

use mmview_platform::linux::smaps::SmapsReader;
use mmview_platform::{
    Capabilities, CaptureFormat, Detail, Native, Origin, PageSize, ProcessInfo, Protection, Region,
    ShareMode, SourceInfo, ThreadInfo,
};

use super::{Classified, Classify, Context};

mod names;
mod shapes;

pub(crate) fn source() -> SourceInfo {
    let origin = Origin::Capture { path: Path::new("test").to_owned(), format: CaptureFormat::Maps };
    let mut source = SourceInfo::new(origin, "linux", Capabilities::of_capture(Detail::Counts));
    source.page_size = PageSize::new(4096);
    source
}

pub(crate) fn regions(text: &str) -> Vec<Region> {
    let mut reader = SmapsReader::new(text.as_bytes());
    std::iter::from_fn(|| reader.next_region().unwrap()).map(|read| read.region).collect()
}

fn classified_with(text: &str, process: &ProcessInfo) -> Vec<Classified> {
    let regions = regions(text);
    let context = Context::new(process, &source()).with_map(&regions);
    Classify::new(regions.into_iter().map(Ok), context).map(|region| region.unwrap()).collect()
}

/// The regions of a `maps` or `smaps` text, classified without a process.
pub(crate) fn classified(text: &str) -> Vec<Classified> {
    classified_with(text, &ProcessInfo::default())
}

/// The same regions, as another listing has them.
fn altered(text: &str, alter: impl Fn(&mut Region)) -> Vec<Classified> {
    let mut regions = regions(text);
    regions.iter_mut().for_each(alter);
    let context = Context::new(&ProcessInfo::default(), &source());
    Classify::new(regions.into_iter().map(Ok), context).map(|region| region.unwrap()).collect()
}

/// The same regions, as a listing without protections has them.
pub(crate) fn without_protections(text: &str) -> Vec<Classified> {
    altered(text, |region| region.protection = Protection::UNKNOWN)
}

/// The same, as if the capture did not say which regions are shared.
pub(crate) fn without_share_modes(text: &str) -> Vec<Classified> {
    altered(text, |region| region.share = ShareMode::Unknown)
}

/// The identifiers of their kinds.
fn kinds(text: &str) -> Vec<&'static str> {
    classified(text).iter().map(|region| region.kind().id()).collect()
}

fn notes(regions: &[Classified]) -> Vec<Option<&str>> {
    regions.iter().map(|region| region.note()).collect()
}

/// The kind of one region with this protection and name.
fn kind(protection: &str, device: &str, name: &str) -> &'static str {
    kinds(&format!("7f0000000000-7f0000002000 {protection} 00000000 {device} 42 {name}"))[0]
}

const LIBRARY: &str = "\
7fee89308000-7fee8932d000 r--p 00000000 08:11 7   /lib/libc-2.31.so
7fee8932d000-7fee894a5000 r-xp 00025000 08:11 7   /lib/libc-2.31.so
7fee894a5000-7fee894ef000 r--p 0019d000 08:11 7   /lib/libc-2.31.so
7fee894ef000-7fee894f0000 ---p 001e7000 08:11 7   /lib/libc-2.31.so
7fee894f0000-7fee894f3000 r--p 001e7000 08:11 7   /lib/libc-2.31.so
7fee894f3000-7fee894f6000 rw-p 001ea000 08:11 7   /lib/libc-2.31.so
7fee894f6000-7fee894fa000 rw-p 00000000 00:00 0
";

#[test]
fn a_library_without_offsets_has_its_segments() {
    let regions = altered(LIBRARY, |region| {
        region.offset = 0;
        if let Native::Linux(native) = &mut region.native {
            native.lacks_offset = true;
        }
    });
    let kinds: Vec<_> = regions.iter().map(|region| region.kind().id()).collect();
    assert_eq!(kinds, ["rodata", "text", "rodata", "reserved", "relro", "data", "bss"]);
}

#[test]
fn a_library_has_its_segments() {
    assert_eq!(kinds(LIBRARY), ["rodata", "text", "rodata", "reserved", "relro", "data", "bss"]);
    assert_eq!(notes(&classified(LIBRARY))[3], Some("hole between segments"));
}

#[test]
fn an_old_linkers_library_starts_with_code() {
    let text = "\
7f7d00000000-7f7d00108000 r-xp 00000000 08:01 7   /lib/libm-2.23.so
7f7d00108000-7f7d00307000 ---p 00108000 08:01 7   /lib/libm-2.23.so
7f7d00307000-7f7d00308000 r--p 00107000 08:01 7   /lib/libm-2.23.so
7f7d00308000-7f7d00309000 rw-p 00108000 08:01 7   /lib/libm-2.23.so
";
    assert_eq!(kinds(text), ["text", "reserved", "relro", "data"]);
}

#[test]
fn the_accounting_flag_identifies_relro() {
    let segments = |flags: &str| {
        format!(
            "1000-2000 r-xp 0 08:01 7 /bin/x\nVmFlags: rd ex mr mw me\n\
             2000-3000 r--p 1000 08:01 7 /bin/x\nVmFlags: {flags}\n\
             3000-4000 rw-p 2000 08:01 7 /bin/x\nVmFlags: rd wr mr mw me ac\n"
        )
    };
    assert_eq!(kinds(&segments("rd mr mw me ac"))[1], "relro");
    assert_eq!(kinds(&segments("rd mr mw me"))[1], "rodata", "linked without relro");
}

#[test]
fn a_library_mapped_as_data_is_a_mapped_file() {
    assert_eq!(kind("r--p", "08:11", "/lib/libc-2.31.so"), "mapped-file");
    let data_below =
        format!("7fee89108000-7fee89308000 r--p 00000000 08:11 7   /lib/libc-2.31.so\n{LIBRARY}");
    assert_eq!(kinds(&data_below)[..3], ["mapped-file", "rodata", "text"]);
    let data_above =
        format!("{LIBRARY}7fee894fa000-7fee896fa000 r--p 00000000 08:11 7   /lib/libc-2.31.so\n");
    assert_eq!(kinds(&data_above).last(), Some(&"mapped-file"));
}

#[test]
fn an_image_ends_where_another_file_or_a_wide_hole_begins() {
    let text = "\
1000-2000 r-xp 00000000 08:01 7   /bin/x
2000-3000 r--p 00000000 08:01 8   /bin/data
9000000-9001000 r--p 00001000 08:01 7   /bin/x
";
    assert_eq!(kinds(text), ["text", "mapped-file", "mapped-file"]);
}

#[test]
fn data_files_are_mapped_files_private_or_shared() {
    assert_eq!(kind("r--p", "08:11", "/usr/lib/locale/locale-archive"), "mapped-file");
    assert_eq!(kind("rw-s", "08:11", "/tmp/data"), "mapped-file");
    assert_eq!(kind("rw-p", "08:11", "/tmp/data"), "mapped-file");
    assert_eq!(kind("---p", "08:11", "/tmp/data"), "mapped-file");
    assert_eq!(kind("rw-s", "08:11", "/tmp/data (deleted)"), "mapped-file");
}

#[test]
fn bss_touches_the_data_before_it() {
    let apart = LIBRARY.replace("7fee894f6000-7fee894fa000 rw-p", "7fee894f7000-7fee894fa000 rw-p");
    assert_eq!(kinds(&apart).last(), Some(&"anonymous"));
    let after_a_data_file = "1000-2000 rw-p 0 08:01 7 /tmp/data\n2000-3000 rw-p 0 00:00 0\n";
    assert_eq!(kinds(after_a_data_file), ["mapped-file", "anonymous"]);
}

#[test]
fn the_kernels_labels() {
    for (label, expected) in [
        ("[heap]", "heap"),
        ("[stack]", "stack"),
        ("[stack:999]", "thread-stack"),
        ("[thread stack: 8192 kB]", "thread-stack"),
        ("[vdso]", "vdso"),
        ("[vvar]", "vvar"),
        ("[vvar_vclock]", "vvar"),
        ("[vsyscall]", "vsyscall"),
        ("[uprobes]", "kernel-page"),
        ("[sigpage]", "kernel-page"),
    ] {
        assert_eq!(kind("rw-p", "00:00", label), expected, "{label}");
    }
    assert_eq!(kind("rw-p", "08:01", "/tmp/[heap]"), "mapped-file");
}

#[test]
fn an_arena_and_its_tail_end_at_the_next_multiple_of_64m() {
    let text = "\
7ff6b8000000-7ff6bbf26000 rw-p 00000000 00:00 0
7ff6bbf26000-7ff6bc000000 ---p 00000000 00:00 0
7ff6bc000000-7ff6bc05a000 rw-p 00000000 00:00 0
7ff6bc05a000-7ff6c0000000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(text), ["malloc-arena", "malloc-reserved", "malloc-arena", "malloc-reserved"]);
    let odd_start = "\
7ff6b8001000-7ff6bbf26000 rw-p 00000000 00:00 0
7ff6bbf26000-7ff6bc000000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(odd_start), ["anonymous", "reserved"]);
    let odd_end = "\
7ff6b8000000-7ff6bbf26000 rw-p 00000000 00:00 0
7ff6bbf26000-7ff6bbfff000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(odd_end), ["anonymous", "reserved"]);
    let java_heap = "\
100000000-102b82000 rw-p 00000000 00:00 0
102b82000-140000000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(java_heap), ["anonymous", "reserved"]);
}

#[test]
fn arenas_of_32_bit_programs_are_smaller() {
    let text = "\
b6100000-b6121000 rw-p 00000000 00:00 0
b6121000-b6200000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(text), ["malloc-arena", "malloc-reserved"]);
}

#[test]
fn a_thread_stack_lies_on_its_guard() {
    let pthread = "\
7f2c4effe000-7f2c4efff000 ---p 00000000 00:00 0
7f2c4efff000-7f2c4f7ff000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(pthread), ["stack-guard", "thread-stack"]);
    let java = "\
7f3b41903000-7f3b41907000 ---p 00000000 00:00 0
7f3b41907000-7f3b41a03000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(java), ["stack-guard", "thread-stack"]);
    let small = "\
7f2c56347000-7f2c56348000 ---p 00000000 00:00 0
7f2c56348000-7f2c56350000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(small), ["stack-guard", "thread-stack"]);
}

#[test]
fn memory_that_only_resembles_a_stack() {
    let odd_size = "\
7f2c4effe000-7f2c4efff000 ---p 00000000 00:00 0
7f2c4efff000-7f2c4f7f1000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(odd_size), ["guard", "anonymous"]);
    let no_guard = "7f2c4efff000-7f2c4f7ff000 rw-p 00000000 00:00 0\n";
    assert_eq!(kinds(no_guard), ["anonymous"]);
    let apart = "\
7f2c4effd000-7f2c4effe000 ---p 00000000 00:00 0
7f2c4efff000-7f2c4f7ff000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(apart), ["reserved", "anonymous"]);
    let partition_alloc = "\
7f2c4e202000-7f2c4e204000 ---p 00000000 00:00 0
7f2c4e204000-7f2c4e224000 rw-p 00000000 00:00 0
";
    assert_eq!(kinds(partition_alloc), ["guard", "anonymous"]);
}

#[test]
fn a_stack_pointer_identifies_the_thread() {
    let thread = |id: u64, stack_pointer| {
        let mut thread = ThreadInfo::new(id);
        thread.name = Some(format!("worker-{id}").into_bytes().into());
        thread.stack_pointer = stack_pointer;
        thread
    };
    let mut process = ProcessInfo::default();
    process.threads = vec![thread(1, Some(0x1800)), thread(2, Some(0x3800)), thread(3, None)];
    let text = "\
1000-2000 rw-p 00000000 00:00 0
2000-3000 ---p 00000000 00:00 0
3000-4000 rw-p 00000000 00:00 0
5000-6000 rw-p 00000000 00:00 0
";
    let regions = classified_with(text, &process);
    let kinds: Vec<_> = regions.iter().map(|region| region.kind().id()).collect();
    assert_eq!(kinds, ["anonymous", "stack-guard", "thread-stack", "anonymous"]);
    assert_eq!(notes(&regions), [None, Some("thread 2 worker-2"), Some("thread 2 worker-2"), None]);
}

#[test]
fn a_small_region_without_access_next_to_memory_in_use_is_a_guard() {
    let guards = "\
1000-2000 ---p 00000000 00:00 0
2000-3000 r--s 00000000 00:00 0
3000-4000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(guards), ["guard", "shared-memory", "guard"]);
    let alone = "1000-2000 ---p 00000000 00:00 0\n3000-4000 r--s 00000000 00:00 0\n";
    assert_eq!(kinds(alone)[0], "reserved");
    let large = "1000-21000 ---p 00000000 00:00 0\n21000-22000 r--s 00000000 00:00 0\n";
    assert_eq!(kinds(large)[0], "reserved");
}

#[test]
fn memory_objects_by_their_name() {
    for (protection, name, expected) in [
        ("rw-s", "/memfd:pulseaudio (deleted)", "shared-memory"),
        ("rw-s", "/SYSV0001e240 (deleted)", "shared-memory"),
        ("rw-s", "/dev/zero (deleted)", "shared-memory"),
        ("rw-s", "/anon_hugepage (deleted)", "huge-pages"),
        ("rw-s", "/[aio] (deleted)", "aio"),
        ("r-xs", "/memfd:anything (deleted)", "jit-code"),
        ("rw-s", "/memfd:jit-cache (deleted)", "jit-code"),
        ("rw-s", "/memfd:doublemapper (deleted)", "jit-code"),
        ("rw-s", "/memfd:bijita (deleted)", "shared-memory"),
    ] {
        assert_eq!(kind(protection, "00:01", name), expected, "{name}");
    }
    let system_v = classified("1000-2000 rw-s 0 00:01 42 /SYSV0001e240 (deleted)");
    assert_eq!(notes(&system_v), [Some("System V shared memory, id 42")]);
}

#[test]
fn a_program_run_from_memory_is_an_image() {
    let text = "\
1000-2000 r--p 00000000 00:01 42 /memfd:prog (deleted)
2000-3000 r-xp 00001000 00:01 42 /memfd:prog (deleted)
3000-4000 rw-p 00002000 00:01 42 /memfd:prog (deleted)
";
    assert_eq!(kinds(text), ["rodata", "text", "data"]);
}

#[test]
fn files_under_dev() {
    for (protection, path, expected) in [
        ("rw-s", "/dev/nvidia0", "device"),
        ("rw-s", "/dev/dri/renderD128", "device"),
        ("rw-s", "/dev/shm/sem.x", "shared-memory"),
        ("rw-p", "/dev/shm/data", "mapped-file"),
        ("rw-p", "/dev/zero", "anonymous"),
        ("rw-s", "/dev/hugepages/pool", "huge-pages"),
        ("r--p", "/dev/__properties__/x", "mapped-file"),
        ("rw-s", "/dev/ashmem/x", "shared-memory"),
        ("rw-s", "/dmabuf:", "device"),
        ("rw-s", "/devices/x", "mapped-file"),
    ] {
        assert_eq!(kind(protection, "00:05", path), expected, "{path}");
    }
}

#[test]
fn huge_pages_and_shadow_stacks_by_their_flags() {
    let with_flags = |flags: &str| kinds(&format!("0-200000 rw-p 0 00:00 0\nVmFlags: {flags}\n"))[0];
    assert_eq!(with_flags("rd wr mr mw me ht"), "huge-pages");
    assert_eq!(with_flags("rd wr mr mw me ss"), "shadow-stack");
    assert_eq!(with_flags("rd wr mr mw me hg"), "anonymous", "transparent ones are ordinary memory");
}

#[test]
fn inodes_without_a_path() {
    for (name, expected) in [
        ("anon_inode:[io_uring]", "io-uring"),
        ("anon_inode:[perf_event]", "perf"),
        ("anon_inode:[bpf-map]", "bpf"),
        ("anon_inode:[kvm-vcpu:0]", "device"),
        ("socket:[4242]", "socket-ring"),
        ("anon_inode:[something]", "kernel-object"),
    ] {
        assert_eq!(kind("rw-s", "00:0e", name), expected, "{name}");
    }
}

#[test]
fn generated_code_is_anonymous_and_executable() {
    assert_eq!(kind("r-xp", "00:00", ""), "jit-code");
    assert_eq!(kind("rwxp", "00:00", ""), "jit-code");
    assert_eq!(kind("rw-p", "00:00", ""), "anonymous");
    let everything_executable = "\
00010000-00164000 r-xp 00000000 08:17 55 /home/x
00170000-0018c000 rwxp 00160000 08:17 55 /home/x
0018c000-001bc000 rwxp 00000000 00:00 0
ffd0a38000-ffd0a3c000 rwxp 00000000 00:00 0
";
    assert_eq!(kinds(everything_executable), ["text", "data", "bss", "anonymous"]);
}

#[test]
fn the_go_heap_starts_at_a_known_address() {
    let text = "\
c000000000-c000400000 rw-p 00000000 00:00 0
c000400000-c004000000 ---p 00000000 00:00 0
";
    assert_eq!(kinds(text), ["gc-heap", "reserved"]);
    assert_eq!(notes(&classified(text)), [Some("Go heap"), Some("Go heap")]);
    assert_eq!(kinds("c000001000-c000400000 rw-p 00000000 00:00 0\n"), ["anonymous"]);
}

#[test]
fn names_that_runtimes_set() {
    for (protection, name, expected) in [
        ("rw-p", "[anon: glibc: malloc arena]", "malloc-arena"),
        ("rw-p", "[anon: glibc: malloc]", "malloc"),
        ("rw-p", "[anon: glibc: pthread stack: 12]", "thread-stack"),
        ("rw-p", "[anon:stack_and_tls:12]", "thread-stack"),
        ("---p", "[anon:thread stack guard]", "stack-guard"),
        ("---p", "[anon:bionic TLS guard]", "guard"),
        ("rw-p", "[anon:.bss]", "bss"),
        ("rw-p", "[anon:libc_malloc]", "malloc"),
        ("rw-p", "[anon:scudo:primary]", "malloc"),
        ("rw-p", "[anon:partition_alloc]", "malloc"),
        ("rw-p", "[anon: Go: heap]", "gc-heap"),
        ("rw-p", "[anon:v8]", "gc-heap"),
        ("r-xp", "[anon:v8]", "jit-code"),
        ("rw-p", "[anon:dalvik-main space]", "gc-heap"),
        ("r-xp", "[anon:dalvik-zygote-jit-code-cache]", "jit-code"),
        ("rw-p", "[anon:dalvik-/system/framework/boot.art]", "named"),
        ("---p", "[anon:dalvik-Boot image reservation]", "reserved"),
        ("rw-s", "[anon_shmem:OTEL_CTX]", "shared-memory"),
        ("r-xs", "[anon_shmem:dalvik-jit-code-cache]", "jit-code"),
        ("rw-p", "[anon:mine]", "named"),
    ] {
        assert_eq!(kind(protection, "00:00", name), expected, "{name}");
    }
}

#[test]
fn an_error_comes_after_what_was_read_before_it() {
    let mut input: Vec<_> = regions(LIBRARY).into_iter().map(Ok).collect();
    input.truncate(2);
    input.push(Err(mmview_platform::Error::Vanished { pid: 7 }));
    let context = Context::new(&ProcessInfo::default(), &source());
    let results: Vec<_> = Classify::new(input.into_iter(), context).collect();
    assert_eq!(results.len(), 3);
    assert!(results[..2].iter().all(Result::is_ok));
    assert!(results[2].is_err());
}

#[test]
fn a_listing_holds_back_a_few_regions_only() {
    let text: String = (0..1000u64)
        .map(|index| {
            format!("{:x}-{:x} r--p {:x} 08:01 7 /tmp/x\n", index << 12, (index + 1) << 12, index << 12)
        })
        .collect();
    let mut taken = 0;
    let regions = regions(&text);
    let input = regions.into_iter().map(Ok).inspect(|_| taken += 1);
    let context = Context::new(&ProcessInfo::default(), &source());
    let mut classify = Classify::new(input, context);
    assert!(classify.next().unwrap().is_ok());
    drop(classify);
    assert!(taken <= 65, "{taken} regions read for the first");
}

/// The titles of the regions of a map, as its files allow.
fn titles(text: &str) -> Vec<String> {
    let regions = regions(text);
    let context = Context::new(&ProcessInfo::default(), &source()).with_map(&regions);
    let regions = Classify::new(regions.into_iter().map(Ok), context).map(|region| region.unwrap());
    regions.map(|region| region.title().to_owned()).collect()
}

#[test]
fn a_runtime_names_memory_only_where_its_file_is_mapped() {
    let text = |library: &str| {
        format!(
            "680000000-684000000 rw-p 0 00:00 0\n684000000-800000000 ---p 0 00:00 0\n\
             7f0000000000-7f0000270000 rwxp 0 00:00 0\n7f0000270000-7f000f000000 ---p 0 00:00 0\n\
             7f1000000000-7f1000001000 r-xp 0 08:01 7 {library}\n"
        )
    };
    let java = titles(&text("/opt/jdk/lib/server/libjvm.so"));
    assert_eq!(java[..4], ["Java heap", "Java heap reserve", "Java code cache", "Java code reserve"]);
    assert_eq!(titles(&text("/lib/libc.so.6"))[..3], ["anonymous", "reserved", "JIT code"]);
}

#[test]
fn pages_of_v8_are_those_that_a_fork_does_not_copy() {
    let text = |flags: &str| {
        format!(
            "00400000-00b6f000 r-xp 0 08:01 7 /usr/bin/node\n\
             b91f3c0000-b91f400000 rw-p 0 00:00 0\nVmFlags: rd wr mr mw me ac {flags}\n"
        )
    };
    assert_eq!(titles(&text("dc sd"))[1], "V8 heap");
    assert_eq!(titles(&text("sd"))[1], "anonymous");
}

#[test]
fn arenas_of_python_have_the_size_of_its_version() {
    let text = |program: &str, size: u64| {
        format!(
            "55d000000000-55d000001000 r-xp 0 08:01 7 {program}\n7f0000001000-{:x} rw-p 0 00:00 0\n",
            0x7f0000001000 + size
        )
    };
    assert_eq!(titles(&text("/usr/bin/python3.11", 3 << 20))[1], "CPython arenas");
    assert_eq!(titles(&text("/usr/bin/python3.8", 768 << 10))[1], "CPython arenas");
    assert_eq!(titles(&text("/usr/bin/python3.11", 768 << 10))[1], "anonymous");
    assert_eq!(titles(&text("/usr/bin/perl", 3 << 20))[1], "anonymous");
}

#[test]
fn an_arena_of_mimalloc_lies_where_those_of_glibc_never_do() {
    let text = |start: u64| {
        let (used, end) = (start + (13 << 20), start + (64 << 20));
        format!("{start:x}-{used:x} rw-p 0 00:00 0\n{used:x}-{end:x} ---p 0 00:00 0\n")
    };
    assert_eq!(titles(&text(0x334_4000_0000))[0], "mimalloc");
    assert_eq!(titles(&text(0x7f34_4000_0000))[0], "MALLOC arena");
}

#[test]
fn shared_memory_of_postgres_is_the_largest() {
    let text = "\
7f0000000000-7f0000008000 rw-s 0 00:01 3 /dev/zero (deleted)
7f0001000000-7f0009000000 rw-s 0 00:01 4 /dev/zero (deleted)
7f1000000000-7f1000001000 r-xp 0 08:01 7 /usr/lib/postgresql/15/bin/postgres
";
    assert_eq!(titles(text)[..2], ["shared memory", "PostgreSQL memory"]);
}

#[test]
fn chunks_of_php_and_stacks_of_ruby_have_their_sizes() {
    let php = "\
55d000000000-55d000001000 r-xp 0 08:01 7 /usr/bin/php8.2
7f0000200000-7f0000600000 rw-p 0 00:00 0
7f0000800000-7f0000b01000 rw-p 0 00:00 0
7f0000c01000-7f0000e01000 rw-p 0 00:00 0
";
    assert_eq!(titles(php)[1..], ["PHP chunks", "PHP huge blocks", "anonymous"]);
    let ruby = "\
55d000000000-55d000001000 r-xp 0 08:01 7 /usr/bin/ruby3.1
7f0000000000-7f0000001000 ---p 0 00:00 0
7f0000001000-7f00000a2000 rw-p 0 00:00 0
7f0000100000-7f0002100000 rw-p 0 00:00 0
";
    assert_eq!(titles(ruby)[2..], ["Ruby fiber stacks", "Ruby transient"]);
}
