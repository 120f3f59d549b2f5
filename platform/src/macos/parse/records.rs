//! Records and numbers of the kernel that neither `mach2` nor `libc` has, with the layout of Apple's headers.
//!
//! They compile on every host, so that `apple_layout` can compare them with those headers everywhere.

use std::ffi::c_char;

/// `vm_region_submap_info_data_64_t` of `mach/vm_region.h`, with its revision 3, which mach2 lacks.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SubmapInfo64 {
    pub protection: i32,
    pub max_protection: i32,
    pub inheritance: u32,
    pub offset: u64,
    pub user_tag: u32,
    pub pages_resident: u32,
    pub pages_shared_now_private: u32,
    pub pages_swapped_out: u32,
    pub pages_dirtied: u32,
    pub ref_count: u32,
    pub shadow_depth: u16,
    pub external_pager: u8,
    pub share_mode: u8,
    pub is_submap: u32,
    pub behavior: i32,
    pub object_id: u32,
    pub user_wired_count: u16,
    /// Padding before macOS 26.
    pub flags: u16,
    /// Revision 1.
    pub pages_reusable: u32,
    /// Revision 2.
    pub object_id_full: u64,
    /// Revision 3.
    pub pages_wired: u32,
    pub wire_tag: u16,
    pub padding0: u16,
}

impl SubmapInfo64 {
    /// The number of words of 4 bytes that a kernel of revision 1 fills.
    pub const V1_COUNT: u32 = 17;
    /// The same for revision 2.
    pub const V2_COUNT: u32 = 19;
    /// The same for revision 3.
    pub const V3_COUNT: u32 = 21;
}

/// `struct proc_regioninfo` of `sys/proc_info.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcRegionInfo {
    pub protection: u32,
    pub max_protection: u32,
    pub inheritance: u32,
    pub flags: u32,
    pub offset: u64,
    pub behavior: u32,
    pub user_wired_count: u32,
    pub user_tag: u32,
    pub pages_resident: u32,
    pub pages_shared_now_private: u32,
    pub pages_swapped_out: u32,
    pub pages_dirtied: u32,
    pub ref_count: u32,
    pub shadow_depth: u32,
    pub share_mode: u32,
    pub private_pages_resident: u32,
    pub shared_pages_resident: u32,
    pub obj_id: u32,
    pub depth: u32,
    pub address: u64,
    pub size: u64,
}

/// `struct proc_regionwithpathinfo` of `sys/proc_info.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ProcRegionWithPath {
    pub region: ProcRegionInfo,
    /// `prp_vip.vip_vi`: like the result of `stat` for the file, and more.
    vnode: [u64; 19],
    pub path: [c_char; 1024],
}

/// `PROC_PIDREGIONPATHINFO` of `sys/proc_info.h`.
pub(crate) const PROC_PIDREGIONPATHINFO: i32 = 8;

/// `PROC_REGION_SUBMAP` of `sys/proc_info.h`, in [`ProcRegionInfo::flags`].
pub(crate) const PROC_REGION_SUBMAP: u32 = 1;

/// `struct thread_identifier_info` of `mach/thread_info.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadIdentifier {
    pub thread_id: u64,
    /// What identifies the thread to `PROC_PIDTHREADINFO`.
    pub handle: u64,
    pub dispatch_queue_address: u64,
}

/// `THREAD_IDENTIFIER_INFO` of `mach/thread_info.h`.
pub(crate) const THREAD_IDENTIFIER_INFO: u32 = 4;

/// The place of the stack pointer among a thread's general registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    /// The flavour for `thread_get_state`.
    pub flavor: i32,
    /// The size of the registers, in words of 4 bytes.
    pub words: usize,
    /// The place of the stack pointer, in words of 8 bytes.
    pub stack_pointer: usize,
}

impl Registers {
    /// `x86_THREAD_STATE64` of `mach/i386/thread_status.h`.
    pub const X86_64: Registers = Registers { flavor: 4, words: 42, stack_pointer: 7 };
    /// `ARM_THREAD_STATE64` of `mach/arm/thread_status.h`.
    pub const ARM64: Registers = Registers { flavor: 6, words: 68, stack_pointer: 31 };
    /// Those of this build, which also work for a translated program.
    pub const NATIVE: Registers =
        if cfg!(target_arch = "aarch64") { Registers::ARM64 } else { Registers::X86_64 };
}

/// `SZOMB` of `sys/proc.h`.
pub(crate) const ZOMBIE: u32 = 5;
