//! Tests of what sizes and neighbors suggest, and of what they must not.

use super::kinds;

const ARENA: &str = "7f1aec000000-7f1aec080000 rw-p 0 00:00 0\n7f1aec080000-7f1af0000000 ---p 0 00:00 0\n";

#[test]
fn a_full_arena_needs_another_one_next_to_it() {
    assert_eq!(kinds("7f1ae8000000-7f1aec000000 rw-p 0 00:00 0\n"), ["anonymous"], "alone");
    let below = format!("7f1ae8000000-7f1aec000000 rw-p 0 00:00 0\n{ARENA}");
    assert_eq!(kinds(&below), ["malloc-arena", "malloc-arena", "malloc-reserved"]);
    let two = format!(
        "7f1ae4000000-7f1ae8000000 rw-p 0 00:00 0\nVmFlags: rd wr\n7f1ae8000000-7f1aec000000 rw-p 0 00:00 0\n{ARENA}"
    );
    assert_eq!(kinds(&two)[..3], ["malloc-arena"; 3]);
    let above = format!("{ARENA}7f1af0000000-7f1af4000000 rw-p 0 00:00 0\n");
    assert_eq!(kinds(&above)[2], "malloc-arena");
    let apart = format!("{ARENA}7f1af4000000-7f1af8000000 rw-p 0 00:00 0\n");
    assert_eq!(kinds(&apart)[2], "anonymous");
    let joined = format!("{ARENA}7f1af0000000-7f1af8000000 rw-p 0 00:00 0\n");
    assert_eq!(kinds(&joined)[2], "anonymous", "two heaps in one region, and nothing above");
    let between = format!(
        "{ARENA}7f1af0000000-7f1af8000000 rw-p 0 00:00 0\nVmFlags: rd wr\n\
         7f1af8000000-7f1af8021000 rw-p 0 00:00 0\n7f1af8021000-7f1afc000000 ---p 0 00:00 0\n"
    );
    assert_eq!(kinds(&between)[2], "malloc-arena");
    let odd = format!("{ARENA}7f1af0000000-7f1af3fff000 rw-p 0 00:00 0\n");
    assert_eq!(kinds(&odd)[2], "anonymous");
}

#[test]
fn the_tail_of_an_arena_is_no_guard_of_a_stack() {
    let text = "\
7f1adc000000-7f1adffff000 rw-p 0 00:00 0
7f1adffff000-7f1ae0000000 ---p 0 00:00 0
7f1ae0000000-7f1ae0800000 rw-p 0 00:00 0
";
    assert_eq!(kinds(text), ["malloc-arena", "malloc-reserved", "anonymous"]);
}

#[test]
fn heaps_at_low_addresses_are_no_arenas() {
    let java = "600000000-7fe000000 rw-p 0 00:00 0\n7fe000000-800000000 ---p 0 00:00 0\n";
    assert_eq!(kinds(java), ["anonymous", "reserved"]);
    let below_4g = "c0000000-fff80000 rw-p 0 00:00 0\nfff80000-100000000 ---p 0 00:00 0\n";
    assert_eq!(
        kinds(&format!("{below_4g}7ffc00000000-7ffc00021000 rw-p 0 00:00 0 [stack]\n"))[0],
        "anonymous"
    );
}

#[test]
fn a_library_has_a_small_bss_and_a_program_a_large_one() {
    let text = |file: &str, end: u64| {
        format!(
            "400000-401000 r-xp 0 08:01 7 {file}\n401000-402000 rw-p 1000 08:01 7 {file}\n402000-{end:x} rw-p 0 00:00 0\n"
        )
    };
    assert_eq!(kinds(&text("/lib/libx.so.1", 0x50_2000))[2], "bss");
    assert_eq!(kinds(&text("/lib/libx.so", 0x650_2000))[2], "anonymous");
    assert_eq!(kinds(&text("/lib/ld-2.31.so", 0x650_2000))[2], "anonymous");
    assert_eq!(kinds(&text("/bin/soft", 0x650_2000))[2], "bss");
    assert_eq!(kinds(&text("/bin/soft", 0x9000_0000))[2], "anonymous");
}

#[test]
fn a_bss_has_the_protection_of_the_data() {
    let text = |program: &str, data: &str, above: &str| {
        format!(
            "400000-401000 r-xp 0 08:01 7 {program}\n401000-402000 {data} 1000 08:01 7 {program}\n402000-403000 {above} 0 00:00 0\n7ffc00000000-7ffc00021000 rw-p 0 00:00 0 [stack]\n"
        )
    };
    assert_eq!(kinds(&text("/bin/x", "rw-p", "rwxp"))[2], "jit-code");
    assert_eq!(kinds(&text("/bin/x", "rwxp", "rwxp"))[2], "bss");
    assert_eq!(kinds(&text("/bin/x", "rwxp", "rw-p"))[2], "anonymous");
    assert_eq!(kinds(&text("/bin/x", "rw-p", "rw-s"))[2], "shared-memory");
    let old = "8048000-8089000 r-xp 0 03:01 7 /bin/tcsh\n8089000-808c000 rw-p 41000 03:01 7 /bin/tcsh\n808c000-8146000 rwxp 0 00:00 0\n";
    assert_eq!(kinds(old)[2], "anonymous", "what brk extends was executable on i386");
}

#[test]
fn executable_memory_is_code_unless_all_memory_is_executable() {
    let data = "10000-20000 r-xp 0 08:01 7 /bin/x\n20000-30000 rwxp 10000 08:01 7 /bin/x\n";
    let kinds_with = |rest: &str| kinds(&format!("{data}100000-110000 rwxp 0 00:00 0\n{rest}"));
    assert_eq!(kinds_with("")[2], "anonymous");
    assert_eq!(kinds_with("200000-210000 rwxp 0 00:00 0 [heap]\n")[2], "anonymous");
    assert_eq!(kinds_with("200000-210000 rw-p 0 00:00 0 [heap]\n")[2], "jit-code");
    assert_eq!(kinds_with("200000-210000 rw-p 0 00:00 0\n")[2], "jit-code");
    assert_eq!(
        kinds_with("200000-210000 r--s 0 08:01 9 /tmp/x\n")[2],
        "anonymous",
        "a file may be on noexec"
    );
    let blob = "10000-20000 rwxp 1000 08:01 7 /opt/blob.bin\n100000-110000 rwxp 0 00:00 0\n";
    assert_eq!(kinds(blob), ["mapped-file", "jit-code"]);
}

#[test]
fn stacks_are_executable_where_the_main_one_is() {
    let thread = "7f0000000000-7f0000001000 ---p 0 00:00 0\n7f0000001000-7f0000801000 rwxp 0 00:00 0\n";
    let stack = |protection| format!("7ffc00000000-7ffc00021000 {protection} 0 00:00 0 [stack]\n");
    assert_eq!(kinds(&format!("{thread}{}", stack("rwxp")))[..2], ["stack-guard", "thread-stack"]);
    assert_eq!(kinds(&format!("{thread}{}", stack("rw-p")))[..2], ["guard", "jit-code"]);
    let room = "7f0000801000-7f0008000000 ---p 0 00:00 0\n";
    assert_eq!(kinds(&format!("{thread}{room}{}", stack("rwxp")))[..3], ["guard", "jit-code", "reserved"]);
}

#[test]
fn a_guard_lies_below_every_sort_of_stack() {
    for stack in ["[stack]", "[stack:12]", "[thread stack: 8192 kB]", "[anon:stack_and_tls:12]"] {
        let text = format!("10000-11000 ---p 0 00:00 0\n11000-99000 rw-p 0 00:00 0 {stack}\n");
        assert_eq!(kinds(&text)[0], "stack-guard", "{stack}");
        let apart = format!("10000-11000 ---p 0 00:00 0\n12000-99000 rw-p 0 00:00 0 {stack}\n");
        assert_eq!(kinds(&apart)[0], "reserved", "{stack}");
    }
    for (name, expected) in [
        ("thread signal stack guard page", "stack-guard"),
        ("cfi shadow guard", "guard"),
        ("glibc: pthread stack: 1", "stack-guard"),
    ] {
        assert_eq!(kinds(&format!("10000-11000 ---p 0 00:00 0 [anon:{name}]\n"))[0], expected, "{name}");
    }
    let heap = "10000-11000 ---p 0 00:00 0\n11000-99000 rw-p 0 00:00 0 [heap]\n";
    assert_eq!(kinds(heap)[0], "guard");
}

#[test]
fn an_image_goes_on_across_other_images() {
    let text = "\
7f0000000000-7f0000026000 r-xp 0 08:01 7 /lib/ld.so
7f0000040000-7f0000041000 r--p 0 08:01 8 /lib/liby.so
7f0000041000-7f0000042000 r-xp 1000 08:01 8 /lib/liby.so
7f0000042000-7f0000043000 rw-p 2000 08:01 8 /lib/liby.so
7f0000100000-7f0000101000 r--s 0 08:01 9 /tmp/x
7f0000225000-7f0000226000 r--p 25000 08:01 7 /lib/ld.so
7f0000226000-7f0000227000 rw-p 26000 08:01 7 /lib/ld.so
7f0000227000-7f0000228000 rw-p 0 00:00 0
";
    let expected = ["text", "rodata", "text", "data", "mapped-file", "relro", "data", "bss"];
    assert_eq!(kinds(text), expected);
}
