//! Facts of a live process, from libproc, `sysctl` and the task port.
//!
//! Each is queried by itself and may be missing: the name and path of another user's process are readable, but its start time
//! and footprint are not.

use std::time::{Duration, SystemTime};

use super::sys::{self, Port};
use crate::macos::parse::arguments;
use crate::macos::parse::images::LoadedImage;
use crate::macos::parse::records::ZOMBIE;
use crate::model::ProcessEntry;
use crate::model::{Bytes, Parent, ProcessInfo, ProcessState, ProcessTotals, ThreadInfo, User};
use crate::unix::user_name;

/// The start time in microseconds, which distinguishes the process from a later one with the same ID. `None` if this user may
/// not know.
pub(super) fn started_at(pid: i32) -> Option<u64> {
    let info = sys::bsd_info(pid).ok()?;
    Some(info.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(info.pbi_start_tvusec))
}

/// Whether the process has exited and only its exit status is left. The error is an `errno`, if there is no such process.
pub(super) fn is_zombie(pid: i32) -> Result<bool, i32> {
    sys::short_bsd_info(pid).map(|info| info.pbsi_status == ZOMBIE)
}

/// Whether the process that started at `started_at` still runs. Assumes so if this user may not ask.
pub(super) fn is_same_process(pid: i32, started: Option<u64>) -> bool {
    if matches!(is_zombie(pid), Ok(true) | Err(libc::ESRCH)) {
        return false;
    }
    let now = started_at(pid);
    started.is_none() || now.is_none() || started == now
}

/// Reads all facts of the process. `port` and `images` are optional.
pub(super) fn read(pid: i32, port: Option<&Port>, images: &[LoadedImage]) -> ProcessInfo {
    let short = sys::short_bsd_info(pid).ok();
    let full = sys::bsd_info(pid).ok();
    let main = images.first();
    let parent = short.as_ref().map(|info| info.pbsi_ppid).filter(|pid| *pid > 0);
    ProcessInfo {
        pid: pid.try_into().ok(),
        name: name(full.as_ref(), short.as_ref()),
        path: sys::program_path(pid).map(Into::into),
        command: command(pid),
        parent: parent.map(|pid| Parent { pid, name: pid.try_into().ok().and_then(name_of) }),
        user: short.as_ref().map(|info| user(info.pbsi_uid)),
        started: full.as_ref().and_then(started),
        state: short.as_ref().map(|info| state(info.pbsi_status)),
        threads: port.map(|port| threads(pid, port)).unwrap_or_default(),
        images: images.iter().map(|loaded| loaded.image.clone()).collect(),
        totals: totals(pid, port),
        system: system().map(Into::into),
        code_type: main.and_then(|main| main.header.code_type).map(Into::into),
        platform: main.and_then(|main| main.header.platform).map(Into::into),
        load_address: main.map(|main| main.image.load_address),
        ..ProcessInfo::default()
    }
}

/// An entry of a listing. `None` if the process has exited in the meantime.
pub(super) fn entry(pid: i32) -> Option<ProcessEntry> {
    Some(ProcessEntry { pid: pid.try_into().ok()?, name: name_of(pid)?, command: command(pid) })
}

/// The name of the program's file, up to 31 bytes, or up to 15 if this user may not read more.
fn name(full: Option<&libc::proc_bsdinfo>, short: Option<&libc::proc_bsdshortinfo>) -> Option<Box<[u8]>> {
    let long = full.map(|info| sys::until_nul(&info.pbi_name)).filter(|name| !name.is_empty());
    Some(long.or_else(|| Some(sys::until_nul(&short?.pbsi_comm)))?.into())
}

fn name_of(pid: i32) -> Option<Box<[u8]>> {
    let full = sys::bsd_info(pid).ok();
    let short = if full.is_none() { sys::short_bsd_info(pid).ok() } else { None };
    name(full.as_ref(), short.as_ref())
}

fn command(pid: i32) -> Vec<Box<[u8]>> {
    sys::process_arguments(pid).map(|bytes| arguments::parse(&bytes)).unwrap_or_default()
}

fn user(id: u32) -> User {
    User { id, name: user_name(id) }
}

fn started(info: &libc::proc_bsdinfo) -> Option<SystemTime> {
    let since_1970 = Duration::from_secs(info.pbi_start_tvsec)
        .checked_add(Duration::from_micros(info.pbi_start_tvusec))?;
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

/// `SIDL` to `SZOMB` of `sys/proc.h`. A process that sleeps is `SRUN` too; only its threads have such a state.
fn state(status: u32) -> ProcessState {
    match status {
        1 => ProcessState::Idle,
        2 => ProcessState::Running,
        3 => ProcessState::Sleeping,
        4 => ProcessState::Stopped,
        ZOMBIE => ProcessState::Zombie,
        _ => ProcessState::Other('?'),
    }
}

/// The threads, the oldest one first, which is the main one. Three calls for each.
fn threads(pid: i32, port: &Port) -> Vec<ThreadInfo> {
    let threads = sys::threads(port).unwrap_or_default();
    threads
        .iter()
        .filter_map(|thread| {
            let identifier = sys::thread_identifier(thread).ok()?;
            let name = sys::thread_name(pid, identifier.handle).ok().filter(|name| !name.is_empty());
            Some(ThreadInfo {
                id: identifier.thread_id,
                name: name.map(Into::into),
                stack_pointer: sys::stack_pointer(thread).ok(),
            })
        })
        .collect()
}

pub(super) fn totals(pid: i32, port: Option<&Port>) -> ProcessTotals {
    let mut totals = ProcessTotals::default();
    if let Ok(info) = sys::task_totals(pid) {
        totals.virtual_size = Some(Bytes(info.pti_virtual_size));
        totals.resident = Some(Bytes(info.pti_resident_size));
    }
    if let Some(info) = port.and_then(|port| sys::vm_info(port).ok()) {
        totals.resident_peak = Some(Bytes(info.resident_size_peak));
        totals.swapped = Some(Bytes(info.compressed));
        totals.anonymous = Some(Bytes(info.internal));
        totals.file = Some(Bytes(info.external));
        totals.footprint = Some(Bytes(info.phys_footprint));
        totals.footprint_peak =
            u64::try_from(info.ledger_phys_footprint_peak).ok().filter(|peak| *peak > 0).map(Bytes);
    }
    // Without a port, and on kernels that lack the newer fields.
    if (totals.footprint.is_none() || totals.footprint_peak.is_none())
        && let Some((footprint, peak)) = sys::footprint(pid)
    {
        totals.footprint = totals.footprint.or(Some(Bytes(footprint)));
        totals.footprint_peak = totals.footprint_peak.or(Some(Bytes(peak)));
    }
    totals
}

/// `macOS 14.6.1 (23G93)`, as in vmmap.
pub(super) fn system() -> Option<String> {
    let version = sys::system_text(c"kern.osproductversion")?;
    Some(match sys::system_text(c"kern.osversion") {
        Some(build) => format!("macOS {version} ({build})"),
        None => format!("macOS {version}"),
    })
}
