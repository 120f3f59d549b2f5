//! The system calls, with plain values in and out.
//!
//! Records that neither `mach2` nor `libc` has are declared in [`records`](crate::macos::parse::records).
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};

use mach2::kern_return::KERN_SUCCESS;
use mach2::mach_port::mach_port_deallocate;
use mach2::message::mach_msg_type_number_t;
use mach2::port::mach_port_t;
use mach2::task::{task_info, task_threads};
use mach2::task_info::{TASK_DYLD_INFO, TASK_VM_INFO, task_dyld_info, task_vm_info};
use mach2::traps::{mach_task_self, task_for_pid};
use mach2::vm::{
    mach_vm_deallocate, mach_vm_purgable_control, mach_vm_read_overwrite, mach_vm_region,
    mach_vm_region_recurse,
};
use mach2::vm_purgable::VM_PURGABLE_GET_STATE;
use mach2::vm_region::{
    VM_REGION_BASIC_INFO_64, VM_REGION_EXTENDED_INFO, vm_region_basic_info_64, vm_region_extended_info,
    vm_region_submap_short_info_64,
};

use crate::macos::parse::kern::KernReturn;
use crate::macos::parse::records::{
    PROC_PIDREGIONPATHINFO, ProcRegionInfo, ProcRegionWithPath, Registers, SubmapInfo64,
    THREAD_IDENTIFIER_INFO, ThreadIdentifier,
};

fn checked(code: i32) -> Result<(), KernReturn> {
    if code == KERN_SUCCESS { Ok(()) } else { Err(KernReturn(code)) }
}

/// The size of a record in words of 4 bytes, as Mach counts.
const fn words<T>() -> mach_msg_type_number_t {
    (size_of::<T>() / 4) as mach_msg_type_number_t
}

/// A right to a task or a thread, released on drop.
#[derive(Debug)]
pub(super) struct Port {
    name: mach_port_t,
    is_own_task: bool,
}

impl Port {
    fn new(name: mach_port_t) -> Port {
        Port { name, is_own_task: false }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if !self.is_own_task {
            // SAFETY: no pointers; the name is a right that this value owns.
            unsafe { mach_port_deallocate(mach_task_self(), self.name) };
        }
    }
}

/// The address of a function that not every release has; `None` if this one does not.
fn function(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// This task. Needs no permission.
pub(super) fn own_task() -> Port {
    // SAFETY: the system sets this variable before a program starts. It has no reference to release.
    Port { name: unsafe { mach_task_self() }, is_own_task: true }
}

/// A port that permits reading the task and nothing else. macOS 11.3; no header declares it.
pub(super) fn task_read_for_pid(pid: i32) -> Result<Port, KernReturn> {
    type TaskReadForPid = unsafe extern "C" fn(mach_port_t, c_int, *mut mach_port_t) -> i32;
    let Some(address) = function(c"task_read_for_pid") else { return Err(KernReturn::NOT_SUPPORTED) };
    // SAFETY: the function of that name has this type (xnu 7195 and later, `task_read_for_pid` of `bsd/vm/vm_unix.c`).
    let call: TaskReadForPid = unsafe { std::mem::transmute::<*mut c_void, TaskReadForPid>(address) };
    let mut port = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    checked(unsafe { call(mach_task_self(), pid, &mut port) })?;
    Ok(Port::new(port))
}

/// A port that permits everything, which is more than necessary.
pub(super) fn control_port(pid: i32) -> Result<Port, KernReturn> {
    let mut port = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    checked(unsafe { task_for_pid(mach_task_self(), pid, &mut port) })?;
    Ok(Port::new(port))
}

/// A record about `size` bytes at `address`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<T> {
    pub address: u64,
    pub size: u64,
    pub info: T,
}

/// Deeper than any submap, so the answer is always a leaf.
const ANY_DEPTH: u32 = 1024;

/// Calls `mach_vm_region_recurse` with the full record, which counts pages. Also returns the depth of the answer, and how
/// many words of the record this kernel fills.
pub(super) fn region_recurse(
    task: &Port,
    address: u64,
) -> Result<(Found<SubmapInfo64>, u32, u32), KernReturn> {
    // SAFETY: this is the full record.
    unsafe { recurse(task, address) }
}

/// The same with the short record, which has no counts and needs no look at the pages.
pub(super) fn region_recurse_short(
    task: &Port,
    address: u64,
) -> Result<(Found<vm_region_submap_short_info_64>, u32), KernReturn> {
    // SAFETY: this is the short record.
    unsafe { recurse(task, address) }.map(|(found, depth, _)| (found, depth))
}

/// Calls `mach_vm_region_recurse`. The size of `T` selects the record.
///
/// # Safety
///
/// `T` is a record of the call, and valid with any content.
unsafe fn recurse<T: Default>(task: &Port, mut address: u64) -> Result<(Found<T>, u32, u32), KernReturn> {
    let (mut size, mut depth, mut count) = (0, ANY_DEPTH, words::<T>());
    let mut info = T::default();
    // SAFETY: all five pointers are to locals that outlive the call; `count` is the size of `info`, a record of the call.
    checked(unsafe {
        let info = (&raw mut info).cast();
        mach_vm_region_recurse(task.name, &mut address, &mut size, &mut depth, info, &mut count)
    })?;
    Ok((Found { address, size, info }, depth, count))
}

/// Calls `mach_vm_region` with `VM_REGION_BASIC_INFO_64`.
pub(super) fn region_basic(task: &Port, address: u64) -> Result<Found<vm_region_basic_info_64>, KernReturn> {
    // SAFETY: the record is that of the flavor.
    unsafe { region(task, address, VM_REGION_BASIC_INFO_64) }
}

/// Calls `mach_vm_region` with `VM_REGION_EXTENDED_INFO`.
pub(super) fn region_extended(
    task: &Port,
    address: u64,
) -> Result<Found<vm_region_extended_info>, KernReturn> {
    // SAFETY: the record is that of the flavor.
    unsafe { region(task, address, VM_REGION_EXTENDED_INFO) }
}

/// Calls `mach_vm_region`.
///
/// # Safety
///
/// `T` is the record of `flavor`, and valid with any content.
unsafe fn region<T: Default>(task: &Port, mut address: u64, flavor: i32) -> Result<Found<T>, KernReturn> {
    let (mut size, mut count, mut object) = (0, words::<T>(), 0);
    let mut info = T::default();
    // SAFETY: all five pointers are to locals that outlive the call; `count` is the size of `info`, the record of `flavor`.
    checked(unsafe {
        let info = (&raw mut info).cast();
        mach_vm_region(task.name, &mut address, &mut size, flavor, info, &mut count, &mut object)
    })?;
    Ok(Found { address, size, info })
}

/// The purgeable state of the object at `address`, with its other bits.
pub(super) fn purgable_state(task: &Port, address: u64) -> Result<i32, KernReturn> {
    let mut state = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    checked(unsafe { mach_vm_purgable_control(task.name, address, VM_PURGABLE_GET_STATE, &mut state) })?;
    Ok(state)
}

/// Queries the dispositions of the pages from `address` on, at most as many as `into` holds. Returns their number.
///
/// `mach_vm_page_range_query` of macOS 10.14, which mach2 lacks.
pub(super) fn page_range_query(
    task: &Port,
    address: u64,
    size: u64,
    into: &mut [i32],
) -> Result<usize, KernReturn> {
    type PageRangeQuery = unsafe extern "C" fn(mach_port_t, u64, u64, u64, *mut u64) -> i32;
    let Some(function) = function(c"mach_vm_page_range_query") else { return Err(KernReturn::NOT_SUPPORTED) };
    // SAFETY: the function of that name has this type (`mach/mach_vm.h`).
    let call: PageRangeQuery = unsafe { std::mem::transmute::<*mut c_void, PageRangeQuery>(function) };
    let mut count = into.len() as u64;
    // SAFETY: the kernel writes at most `count` dispositions at the address given, which are those of `into`.
    checked(unsafe { call(task.name, address, size, into.as_mut_ptr() as u64, &mut count) })?;
    Ok((count as usize).min(into.len()))
}

/// Copies the target's memory at `address` into `into`, all of it or nothing. Returns the number of bytes copied.
pub(super) fn read(task: &Port, address: u64, into: &mut [u8]) -> Result<usize, KernReturn> {
    let mut copied = 0;
    // SAFETY: the kernel writes at most `into.len()` bytes into `into`, which is borrowed for the whole call.
    checked(unsafe {
        let size = into.len() as u64;
        mach_vm_read_overwrite(task.name, address, size, into.as_mut_ptr() as u64, &mut copied)
    })?;
    Ok((copied as usize).min(into.len()))
}

/// `TASK_VM_INFO`. Fields that this kernel does not know stay 0.
pub(super) fn vm_info(task: &Port) -> Result<task_vm_info, KernReturn> {
    let mut info = task_vm_info::default();
    let mut count = words::<task_vm_info>();
    // SAFETY: both pointers are to locals that outlive the call; `count` is the size of `info`, the record of the flavour.
    checked(unsafe { task_info(task.name, TASK_VM_INFO, (&raw mut info).cast(), &mut count) })?;
    Ok(info)
}

/// `TASK_DYLD_INFO`: the address of the dynamic loader's list.
pub(super) fn dyld_info(task: &Port) -> Result<task_dyld_info, KernReturn> {
    let mut info = task_dyld_info::default();
    let mut count = words::<task_dyld_info>();
    // SAFETY: both pointers are to locals that outlive the call; `count` is the size of `info`, the record of the flavour.
    checked(unsafe { task_info(task.name, TASK_DYLD_INFO, (&raw mut info).cast(), &mut count) })?;
    Ok(info)
}

/// The task's threads, the oldest first. Each is a right of its own.
pub(super) fn threads(task: &Port) -> Result<Vec<Port>, KernReturn> {
    let mut list: *mut mach_port_t = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: both pointers are to locals that outlive the call.
    checked(unsafe { task_threads(task.name, &mut list, &mut count) })?;
    // SAFETY: the kernel has mapped an array of `count` names at `list`, which this function must release.
    let threads =
        unsafe { std::slice::from_raw_parts(list, count as usize) }.iter().map(|name| Port::new(*name));
    let threads = threads.collect();
    let size = u64::from(count) * size_of::<mach_port_t>() as u64;
    // SAFETY: the array is not used after this.
    unsafe { mach_vm_deallocate(mach_task_self(), list as u64, size) };
    Ok(threads)
}

/// `THREAD_IDENTIFIER_INFO` of a thread.
pub(super) fn thread_identifier(thread: &Port) -> Result<ThreadIdentifier, KernReturn> {
    let mut info = ThreadIdentifier::default();
    let mut count = words::<ThreadIdentifier>();
    // SAFETY: both pointers are to locals that outlive the call; `count` is the size of `info`, the record of the flavour.
    checked(unsafe {
        libc::thread_info(thread.name, THREAD_IDENTIFIER_INFO, (&raw mut info).cast(), &mut count)
    })?;
    Ok(info)
}

/// The stack pointer of a thread, without stopping it.
///
/// The function is looked up by name, so a system without it just has no stack pointers.
pub(super) fn stack_pointer(thread: &Port) -> Result<u64, KernReturn> {
    type ThreadGetState =
        unsafe extern "C" fn(mach_port_t, c_int, *mut u32, *mut mach_msg_type_number_t) -> i32;
    let Some(function) = function(c"thread_get_state") else { return Err(KernReturn::NOT_SUPPORTED) };
    // SAFETY: the function of that name has this type (`mach/thread_act.h`).
    let call: ThreadGetState = unsafe { std::mem::transmute::<*mut c_void, ThreadGetState>(function) };
    let mut registers = [0u64; Registers::NATIVE.words / 2];
    let mut count = Registers::NATIVE.words as mach_msg_type_number_t;
    // SAFETY: both pointers are to locals that outlive the call; `count` is the size of `registers` in words.
    checked(unsafe {
        call(thread.name, Registers::NATIVE.flavor, registers.as_mut_ptr().cast(), &mut count)
    })?;
    Ok(registers[Registers::NATIVE.stack_pointer])
}

/// Queries libproc for the record of a flavour. The error is an `errno`; `ENOMEM` if the answer is too short.
fn pid_info<T: Copy>(pid: i32, flavor: c_int, argument: u64) -> Result<T, i32> {
    let mut record = MaybeUninit::<T>::zeroed();
    let size = size_of::<T>() as c_int;
    // SAFETY: the kernel writes at most `size` bytes into `record`, which has as many.
    let filled = unsafe { libc::proc_pidinfo(pid, flavor, argument, record.as_mut_ptr().cast(), size) };
    if filled <= 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    if filled < size {
        return Err(libc::ENOMEM);
    }
    // SAFETY: every caller's `T` is a C record of integers, for which any bytes are valid, and all of them are written.
    Ok(unsafe { record.assume_init() })
}

/// The argument that makes `proc_pidinfo` answer for a zombie.
const OF_ZOMBIES_TOO: u64 = 1;

/// `PROC_PIDT_SHORTBSDINFO`. Open to everyone, and works for zombies. The error is an `errno`.
pub(super) fn short_bsd_info(pid: i32) -> Result<libc::proc_bsdshortinfo, i32> {
    pid_info(pid, libc::PROC_PIDT_SHORTBSDINFO, OF_ZOMBIES_TOO)
}

/// `PROC_PIDTBSDINFO`. For the same user or root, and works for zombies.
pub(super) fn bsd_info(pid: i32) -> Result<libc::proc_bsdinfo, i32> {
    pid_info(pid, libc::PROC_PIDTBSDINFO, OF_ZOMBIES_TOO)
}

/// `PROC_PIDTASKINFO`. For the same user or root.
pub(super) fn task_totals(pid: i32) -> Result<libc::proc_taskinfo, i32> {
    pid_info(pid, libc::PROC_PIDTASKINFO, 0)
}

/// The name of a thread, by its handle. Empty if it has none.
pub(super) fn thread_name(pid: i32, handle: u64) -> Result<Vec<u8>, i32> {
    let info: libc::proc_threadinfo = pid_info(pid, libc::PROC_PIDTHREADINFO, handle)?;
    Ok(until_nul(&info.pth_name))
}

/// The region at or after `address`, and the path of the file behind it, empty if there is none (`PROC_PIDREGIONPATHINFO`).
/// For the same user or root; needs no port. Counts the region's pages, so it walks them.
pub(super) fn region_with_path(pid: i32, address: u64) -> Result<(ProcRegionInfo, Vec<u8>), i32> {
    // SAFETY: the record is made of integers, for which zeros are valid.
    let mut record: ProcRegionWithPath = unsafe { MaybeUninit::zeroed().assume_init() };
    let size = size_of::<ProcRegionWithPath>() as c_int;
    // SAFETY: the kernel writes at most `size` bytes into `record`, which has as many.
    let filled =
        unsafe { libc::proc_pidinfo(pid, PROC_PIDREGIONPATHINFO, address, (&raw mut record).cast(), size) };
    if filled <= 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok((record.region, until_nul(&record.path)))
}

/// The path of a process's program. Open to everyone.
pub(super) fn program_path(pid: i32) -> Option<Vec<u8>> {
    let mut path = vec![0u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: libproc writes at most `path.len()` bytes.
    let length = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast(), path.len() as u32) };
    path.truncate(usize::try_from(length).ok().filter(|length| *length > 0)?);
    Some(path)
}

/// The footprint and its maximum (`RUSAGE_INFO_V4`). For the same user or root; needs no port.
pub(super) fn footprint(pid: i32) -> Option<(u64, u64)> {
    let mut usage = MaybeUninit::<libc::rusage_info_v4>::zeroed();
    // SAFETY: libproc writes a record of the flavour, for which `usage` has room.
    let failed = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, usage.as_mut_ptr().cast()) };
    if failed != 0 {
        return None;
    }
    // SAFETY: a C record of integers, zeroed before the call and filled by it.
    let usage = unsafe { usage.assume_init() };
    Some((usage.ri_phys_footprint, usage.ri_lifetime_max_phys_footprint))
}

/// The IDs of all processes.
pub(super) fn all_pids() -> io::Result<Vec<i32>> {
    // SAFETY: a null buffer queries the needed size.
    let room = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let mut pids = vec![0i32; usize::try_from(room).unwrap_or(0) + 64];
    // SAFETY: libproc writes at most as many bytes as `pids` has.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size_of_val(&pids[..]) as c_int) };
    if count <= 0 {
        return Err(io::Error::last_os_error());
    }
    pids.truncate(count as usize);
    Ok(pids)
}

/// The bytes of `KERN_PROCARGS2`. For the same user or root.
pub(super) fn process_arguments(pid: i32) -> Option<Vec<u8>> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    sysctl(&mut name)
}

/// The text of a system variable, such as `kern.osproductversion`.
pub(super) fn system_text(name: &CStr) -> Option<String> {
    let mut size = 0;
    // SAFETY: a null buffer queries the needed size; `name` is a C string, and `size` outlives the call.
    let failed = unsafe {
        libc::sysctlbyname(name.as_ptr(), std::ptr::null_mut(), &mut size, std::ptr::null_mut(), 0)
    };
    if failed != 0 {
        return None;
    }
    let mut text = vec![0u8; size];
    // SAFETY: the kernel writes at most `size` bytes into `text`, which has as many.
    let failed = unsafe {
        libc::sysctlbyname(name.as_ptr(), text.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0)
    };
    if failed != 0 {
        return None;
    }
    text.truncate(size);
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    String::from_utf8(text).ok()
}

/// The maximum size of a program's arguments and environment on macOS (`ARG_MAX`).
const MOST_ARGUMENTS: usize = 1 << 20;

fn sysctl(name: &mut [c_int]) -> Option<Vec<u8>> {
    let mut size = MOST_ARGUMENTS;
    let mut bytes = vec![0u8; size];
    // SAFETY: the kernel reads `name.len()` numbers and writes at most `size` bytes into `bytes`, which has as many.
    let failed = unsafe {
        let (name, length) = (name.as_mut_ptr(), name.len() as u32);
        libc::sysctl(name, length, bytes.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0)
    };
    bytes.truncate(size);
    (failed == 0).then_some(bytes)
}

/// The page size of this system.
pub(super) fn page_size() -> u64 {
    // SAFETY: a constant that the system sets before a program starts.
    unsafe { mach2::vm_page_size::vm_page_size as u64 }
}

/// The effective user of this program.
pub(super) fn effective_user() -> u32 {
    // SAFETY: no arguments, and it can't fail.
    unsafe { libc::geteuid() }
}

/// The bytes of a C string that may fill its whole array.
pub(super) fn until_nul(chars: &[c_char]) -> Vec<u8> {
    chars.iter().take_while(|char| **char != 0).map(|char| *char as u8).collect()
}
