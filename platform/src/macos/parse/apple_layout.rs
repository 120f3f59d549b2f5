//! Compares the records and numbers of this backend with Apple's own headers.
//!
//! The test generates a C file of assertions and compiles it with a compiler that has those headers: zig (for example from
//! PyPI's `ziglang`), found as `$ZIG`, as `zig` in the path or as a module of python3; on a Mac also `cc`. Without one, the
//! test is skipped with a message.

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::{offset_of, size_of};
use std::process::{Command, Stdio};

use super::records::{
    PROC_PIDREGIONPATHINFO, PROC_REGION_SUBMAP, ProcRegionInfo, ProcRegionWithPath, Registers, SubmapInfo64,
    THREAD_IDENTIFIER_INFO, ThreadIdentifier, ZOMBIE,
};
use super::{kern, macho, segments, tags};

/// The start of the C file.
const HEADERS: &str = "\
#include <stddef.h>
#include <sys/types.h>
#include <sys/param.h>
#include <sys/proc.h>
#include <sys/proc_info.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/vm_region.h>
#include <mach/vm_statistics.h>
#include <mach/vm_purgable.h>
#include <mach/task_info.h>
#include <mach/thread_info.h>
#include <mach/thread_status.h>
#include <mach-o/loader.h>
#include <mach-o/dyld_images.h>
";

/// Assertions, in C.
#[derive(Default)]
struct Assertions(String);

impl Assertions {
    fn equal(&mut self, expression: &str, value: u64) {
        writeln!(
            self.0,
            "_Static_assert((unsigned long long)({expression}) == {value}ull, \"{expression} is {value}\");"
        )
        .expect("a string takes what is written");
    }

    fn size(&mut self, theirs: &str, ours: usize) {
        self.equal(&format!("sizeof({theirs})"), ours as u64);
    }

    fn offset(&mut self, theirs: &str, field: &str, ours: usize) {
        self.equal(&format!("offsetof({theirs}, {field})"), ours as u64);
    }
}

/// Asserts size and offsets: `check!(out, Ours, "theirs", field = "their field", …)`.
macro_rules! check_record {
    ($out:expr, $ours:ty, $theirs:literal, $($field:ident = $their_field:literal),+ $(,)?) => {
        $out.size($theirs, size_of::<$ours>());
        $( $out.offset($theirs, $their_field, offset_of!($ours, $field)); )+
    };
}

fn records(out: &mut Assertions) {
    check_record!(
        out,
        SubmapInfo64,
        "vm_region_submap_info_data_64_t",
        protection = "protection",
        max_protection = "max_protection",
        inheritance = "inheritance",
        offset = "offset",
        user_tag = "user_tag",
        pages_resident = "pages_resident",
        pages_shared_now_private = "pages_shared_now_private",
        pages_swapped_out = "pages_swapped_out",
        pages_dirtied = "pages_dirtied",
        ref_count = "ref_count",
        shadow_depth = "shadow_depth",
        external_pager = "external_pager",
        share_mode = "share_mode",
        is_submap = "is_submap",
        behavior = "behavior",
        object_id = "object_id",
        user_wired_count = "user_wired_count",
        flags = "flags",
        pages_reusable = "pages_reusable",
        object_id_full = "object_id_full",
        pages_wired = "pages_wired",
        wire_tag = "wire_tag",
    );
    out.equal("VM_REGION_SUBMAP_INFO_V1_COUNT_64", SubmapInfo64::V1_COUNT.into());
    out.equal("VM_REGION_SUBMAP_INFO_V2_COUNT_64", SubmapInfo64::V2_COUNT.into());
    out.equal("VM_REGION_SUBMAP_INFO_V3_COUNT_64", SubmapInfo64::V3_COUNT.into());
    check_record!(
        out,
        ProcRegionInfo,
        "struct proc_regioninfo",
        protection = "pri_protection",
        max_protection = "pri_max_protection",
        inheritance = "pri_inheritance",
        flags = "pri_flags",
        offset = "pri_offset",
        behavior = "pri_behavior",
        user_wired_count = "pri_user_wired_count",
        user_tag = "pri_user_tag",
        pages_resident = "pri_pages_resident",
        pages_shared_now_private = "pri_pages_shared_now_private",
        pages_swapped_out = "pri_pages_swapped_out",
        pages_dirtied = "pri_pages_dirtied",
        ref_count = "pri_ref_count",
        shadow_depth = "pri_shadow_depth",
        share_mode = "pri_share_mode",
        private_pages_resident = "pri_private_pages_resident",
        shared_pages_resident = "pri_shared_pages_resident",
        obj_id = "pri_obj_id",
        depth = "pri_depth",
        address = "pri_address",
        size = "pri_size",
    );
    check_record!(
        out,
        ProcRegionWithPath,
        "struct proc_regionwithpathinfo",
        region = "prp_prinfo",
        path = "prp_vip.vip_path",
    );
    check_record!(
        out,
        ThreadIdentifier,
        "struct thread_identifier_info",
        thread_id = "thread_id",
        handle = "thread_handle",
        dispatch_queue_address = "dispatch_qaddr",
    );
}

/// What is read from the target's memory, by offset.
fn memory_layout(out: &mut Assertions) {
    for (field, offset) in [
        ("infoArrayCount", 4),
        ("infoArray", 8),
        ("notification", 16),
        ("processDetachedFromSharedRegion", 24),
        ("dyldImageLoadAddress", 32),
    ] {
        out.offset("struct dyld_all_image_infos", field, offset);
    }
    out.size("struct dyld_image_info", 24);
    out.offset("struct dyld_image_info", "imageLoadAddress", 0);
    out.offset("struct dyld_image_info", "imageFilePath", 8);
    out.size("struct mach_header_64", macho::HEADER_SIZE);
    out.size("struct mach_header", 28);
    for (field, offset) in
        [("magic", 0), ("cputype", 4), ("cpusubtype", 8), ("ncmds", 16), ("sizeofcmds", 20), ("flags", 24)]
    {
        out.offset("struct mach_header_64", field, offset);
    }
    for (field, offset) in [("segname", 8), ("vmaddr", 24), ("vmsize", 32), ("maxprot", 56)] {
        out.offset("struct segment_command_64", field, offset);
    }
    for (field, offset) in [("segname", 8), ("vmaddr", 24), ("vmsize", 28), ("maxprot", 40)] {
        out.offset("struct segment_command", field, offset);
    }
    out.offset("struct build_version_command", "platform", 8);
}

fn numbers(out: &mut Assertions) {
    out.equal("PROC_PIDREGIONPATHINFO", PROC_PIDREGIONPATHINFO as u64);
    out.equal("PROC_REGION_SUBMAP", PROC_REGION_SUBMAP.into());
    out.equal("THREAD_IDENTIFIER_INFO", THREAD_IDENTIFIER_INFO.into());
    out.equal("SZOMB", ZOMBIE.into());
    out.equal("ESRCH", 3);
    out.equal("EINVAL", 22);
    out.equal("MAXPATHLEN", 1024);
    out.equal("TASK_DYLD_ALL_IMAGE_INFO_64", 1);
    for (name, code) in [
        ("KERN_INVALID_ADDRESS", kern::KernReturn::INVALID_ADDRESS),
        ("KERN_NO_SPACE", kern::KernReturn::NO_SPACE),
        ("KERN_INVALID_ARGUMENT", kern::KernReturn::INVALID_ARGUMENT),
        ("KERN_FAILURE", kern::KernReturn::FAILURE),
        ("KERN_INVALID_TASK", kern::KernReturn::INVALID_TASK),
        ("KERN_TERMINATED", kern::KernReturn::TERMINATED),
        ("KERN_NOT_SUPPORTED", kern::KernReturn::NOT_SUPPORTED),
        ("MACH_SEND_INVALID_DEST", kern::KernReturn::SEND_INVALID_DEST),
    ] {
        out.equal(name, code.0 as u64);
    }
    for (name, value) in macho::NUMBERS {
        out.equal(name, (*value).into());
    }
    for (name, value) in segments::Disposition::NUMBERS {
        out.equal(name, *value as u64);
    }
    for (name, value) in [
        ("VM_PROT_READ", 1),
        ("VM_PROT_WRITE", 2),
        ("VM_PROT_EXECUTE", 4),
        ("SM_COW", 1),
        ("SM_PRIVATE", 2),
        ("SM_EMPTY", 3),
        ("SM_SHARED", 4),
        ("SM_TRUESHARED", 5),
        ("SM_PRIVATE_ALIASED", 6),
        ("SM_SHARED_ALIASED", 7),
        ("SM_LARGE_PAGE", 8),
        ("VM_PURGABLE_NONVOLATILE", 0),
        ("VM_PURGABLE_VOLATILE", 1),
        ("VM_PURGABLE_EMPTY", 2),
        ("VM_PURGABLE_STATE_MASK", 3),
    ] {
        out.equal(name, value);
    }
}

/// The tags by their constants. Headers older than the table lack the newest.
fn user_tags(out: &mut Assertions) {
    for tag in (0..256).filter_map(tags::tag).filter(|tag| !tag.constant.is_empty()) {
        writeln!(out.0, "#ifdef VM_MEMORY_{}", tag.constant).expect("a string takes what is written");
        out.equal(&format!("VM_MEMORY_{}", tag.constant), tag.number.into());
        writeln!(out.0, "#endif").expect("a string takes what is written");
    }
}

/// What only one of the processors has.
fn registers(out: &mut Assertions, arch: &str) {
    let (flavor, count, state, field, ours) = match arch {
        "x86_64" => (
            "x86_THREAD_STATE64",
            "x86_THREAD_STATE64_COUNT",
            "x86_thread_state64_t",
            "__rsp",
            Registers::X86_64,
        ),
        _ => (
            "ARM_THREAD_STATE64",
            "ARM_THREAD_STATE64_COUNT",
            "arm_thread_state64_t",
            "__sp",
            Registers::ARM64,
        ),
    };
    out.equal(flavor, ours.flavor as u64);
    out.equal(count, ours.words as u64);
    out.offset(state, field, ours.stack_pointer * 8);
}

/// The records of `mach2` and `libc` that the backend uses. They exist on macOS only.
#[cfg(target_os = "macos")]
fn foreign_records(out: &mut Assertions) {
    use mach2::task_info::{task_dyld_info, task_vm_info};
    use mach2::vm_region::{
        vm_region_basic_info_64, vm_region_extended_info, vm_region_submap_short_info_64,
    };
    check_record!(
        out,
        vm_region_submap_short_info_64,
        "vm_region_submap_short_info_data_64_t",
        protection = "protection",
        max_protection = "max_protection",
        offset = "offset",
        user_tag = "user_tag",
        ref_count = "ref_count",
        shadow_depth = "shadow_depth",
        external_pager = "external_pager",
        share_mode = "share_mode",
        is_submap = "is_submap",
        object_id = "object_id",
        flags = "flags",
    );
    check_record!(
        out,
        vm_region_basic_info_64,
        "vm_region_basic_info_data_64_t",
        protection = "protection",
        max_protection = "max_protection",
        reserved = "reserved",
        offset = "offset",
    );
    check_record!(
        out,
        vm_region_extended_info,
        "vm_region_extended_info_data_t",
        user_tag = "user_tag",
        pages_resident = "pages_resident",
        pages_shared_now_private = "pages_shared_now_private",
        pages_swapped_out = "pages_swapped_out",
        pages_dirtied = "pages_dirtied",
        ref_count = "ref_count",
        shadow_depth = "shadow_depth",
        external_pager = "external_pager",
        share_mode = "share_mode",
        pages_reusable = "pages_reusable",
    );
    check_record!(
        out,
        task_vm_info,
        "struct task_vm_info",
        page_size = "page_size",
        resident_size_peak = "resident_size_peak",
        internal = "internal",
        external = "external",
        compressed = "compressed",
        phys_footprint = "phys_footprint",
        ledger_phys_footprint_peak = "ledger_phys_footprint_peak",
    );
    check_record!(
        out,
        task_dyld_info,
        "struct task_dyld_info",
        all_image_info_addr = "all_image_info_addr",
        all_image_info_format = "all_image_info_format",
    );
    check_record!(
        out,
        libc::proc_bsdshortinfo,
        "struct proc_bsdshortinfo",
        pbsi_ppid = "pbsi_ppid",
        pbsi_status = "pbsi_status",
        pbsi_comm = "pbsi_comm",
        pbsi_uid = "pbsi_uid",
    );
    check_record!(
        out,
        libc::proc_bsdinfo,
        "struct proc_bsdinfo",
        pbi_name = "pbi_name",
        pbi_start_tvsec = "pbi_start_tvsec",
        pbi_start_tvusec = "pbi_start_tvusec",
    );
    check_record!(
        out,
        libc::proc_taskinfo,
        "struct proc_taskinfo",
        pti_virtual_size = "pti_virtual_size",
        pti_resident_size = "pti_resident_size",
    );
    check_record!(out, libc::proc_threadinfo, "struct proc_threadinfo", pth_name = "pth_name");
    check_record!(
        out,
        libc::rusage_info_v4,
        "struct rusage_info_v4",
        ri_phys_footprint = "ri_phys_footprint",
        ri_lifetime_max_phys_footprint = "ri_lifetime_max_phys_footprint",
    );
    for (name, ours) in [
        ("TASK_VM_INFO", mach2::task_info::TASK_VM_INFO),
        ("TASK_DYLD_INFO", mach2::task_info::TASK_DYLD_INFO),
        ("VM_PURGABLE_GET_STATE", mach2::vm_purgable::VM_PURGABLE_GET_STATE as u32),
        ("VM_REGION_BASIC_INFO_64", mach2::vm_region::VM_REGION_BASIC_INFO_64 as u32),
        ("VM_REGION_EXTENDED_INFO", mach2::vm_region::VM_REGION_EXTENDED_INFO as u32),
        ("PROC_PIDT_SHORTBSDINFO", libc::PROC_PIDT_SHORTBSDINFO as u32),
        ("PROC_PIDTBSDINFO", libc::PROC_PIDTBSDINFO as u32),
        ("PROC_PIDTASKINFO", libc::PROC_PIDTASKINFO as u32),
        ("PROC_PIDTHREADINFO", libc::PROC_PIDTHREADINFO as u32),
        ("PROC_PIDPATHINFO_MAXSIZE", libc::PROC_PIDPATHINFO_MAXSIZE as u32),
        ("RUSAGE_INFO_V4", libc::RUSAGE_INFO_V4 as u32),
        ("KERN_PROCARGS2", libc::KERN_PROCARGS2 as u32),
    ] {
        out.equal(name, ours.into());
    }
}

#[cfg(not(target_os = "macos"))]
fn foreign_records(_out: &mut Assertions) {}

/// A C compiler with Apple's headers for `arch`, reading from its input.
fn compilers(arch: &str) -> Vec<Command> {
    let zig = |program: &str, before: &[&str]| {
        let mut command = Command::new(program);
        command.args(before).args(["cc", "-target", &format!("{arch}-macos")]);
        command
    };
    let mut candidates = Vec::new();
    candidates.extend(std::env::var("ZIG").ok().map(|path| zig(&path, &[])));
    candidates.push(zig("zig", &[]));
    candidates.push(zig("python3", &["-m", "ziglang"]));
    if cfg!(target_os = "macos") {
        let mut cc = Command::new("cc");
        cc.args(["-target", &format!("{arch}-apple-macos11")]);
        candidates.push(cc);
    }
    for candidate in &mut candidates {
        candidate.args(["-S", "-o", "/dev/null", "-x", "c", "-"]);
    }
    candidates
}

/// The compiler's messages; `None` if there is no compiler or it lacks the headers.
fn compile(command: &mut Command, text: &str) -> Option<Result<(), String>> {
    // zig leaves a file in the current directory, whatever its output is.
    let directory = tempfile::tempdir().ok()?;
    command.current_dir(directory.path());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let written = child.stdin.take()?.write_all(text.as_bytes());
    let output = child.wait_with_output().ok()?;
    if output.status.success() {
        return written.ok().map(Ok);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.contains("error:").then_some(Err(said))
}

fn first_answer(arch: &str, text: &str) -> Option<Result<(), String>> {
    compilers(arch).iter_mut().find_map(|command| compile(command, text))
}

#[test]
fn records_and_numbers_are_apples() {
    let mut common = Assertions::default();
    records(&mut common);
    memory_layout(&mut common);
    numbers(&mut common);
    user_tags(&mut common);
    foreign_records(&mut common);
    for arch in ["x86_64", "aarch64"] {
        if !matches!(first_answer(arch, HEADERS), Some(Ok(()))) {
            let _ = writeln!(
                std::io::stderr(),
                "skipped for {arch}: no C compiler with Apple's headers (set $ZIG)"
            );
            continue;
        }
        let mut own = Assertions::default();
        registers(&mut own, arch);
        let text = format!("{HEADERS}{}{}", common.0, own.0);
        if let Some(Err(said)) = first_answer(arch, &text) {
            panic!("not as in Apple's headers for {arch}:\n{said}");
        }
    }
}
