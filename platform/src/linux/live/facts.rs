//! Facts of a live process, from `stat`, `status`, `exe`, `cmdline` and `task`.
//!
//! Each file is read by itself and may be missing: the name of another user's process is readable, but its program is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use procfs::process::Stat;

use super::directory::Directory;
use crate::model::{Parent, ProcessInfo, ProcessState, ThreadInfo, User};
use crate::unix::user_name;

/// `PF_KTHREAD` of `include/linux/sched.h`: set in the flags of a kernel thread.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Whether `stat` is that of a kernel thread.
pub(super) fn is_kernel_thread(stat: &Stat) -> bool {
    stat.flags & KERNEL_THREAD != 0
}

/// Whether `stat` is that of a process that has exited.
pub(super) fn has_ended(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X' | 'x')
}

/// How a zombie ended, as `wait` will report it. For a reader without permission `stat` has 0 instead (`fs/proc/array.c`,
/// `do_task_stat`).
pub(super) fn zombie_status(process: &Directory) -> Option<i32> {
    let stat = process.stat().ok().filter(has_ended)?;
    let me = rustix::process::geteuid();
    let may_know = me.is_root() || process.status().ok()?.real_user == Some(me.as_raw());
    stat.exit_code.filter(|&status| status != 0 || may_know)
}

/// Reads all facts of `process`, whose directory lies in `procfs`.
pub(super) fn read(process: &Directory, procfs: &Path) -> ProcessInfo {
    let stat = process.stat().ok();
    let status = process.status().ok();
    let parent = stat.as_ref().and_then(|stat| u32::try_from(stat.ppid).ok()).filter(|pid| *pid > 0);
    ProcessInfo {
        path: process.link("exe").ok().map(Into::into),
        parent: parent.map(|pid| Parent { pid, name: name_of(procfs, pid) }),
        user: status.as_ref().and_then(|status| status.effective_user).map(user),
        started: stat.as_ref().and_then(|stat| started(stat, procfs)),
        stack_start: stat.as_ref().map(|stat| stat.startstack).filter(|&start| start != 0),
        threads: threads(process),
        mapping_limit: fs::read_to_string(procfs.join("sys/vm/max_map_count"))
            .ok()
            .and_then(|limit| limit.trim().parse().ok()),
        images: Vec::new(),
        totals: status.map(|status| status.totals).unwrap_or_default(),
        system: fs::read_to_string(procfs.join("sys/kernel/osrelease"))
            .ok()
            .map(|release| format!("Linux {}", release.trim()).into()),
        ..identity(process, stat.as_ref())
    }
}

/// Reads the facts that need three small files only: ID, name, command line, and the state in `stat`.
pub(super) fn identity(process: &Directory, stat: Option<&Stat>) -> ProcessInfo {
    ProcessInfo {
        pid: Some(process.pid()),
        name: process.read("comm").ok().map(|name| name.trim_ascii_end().into()),
        command: arguments(&process.read("cmdline").ok().unwrap_or_default()),
        state: stat.map(state),
        ..ProcessInfo::default()
    }
}

/// Splits the text of `cmdline`. A program may overwrite it with anything, so the last NUL may be missing.
pub(super) fn arguments(cmdline: &[u8]) -> Vec<Box<[u8]>> {
    let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    if cmdline.is_empty() {
        return Vec::new();
    }
    cmdline.split(|&byte| byte == 0).map(Into::into).collect()
}

fn name_of(procfs: &Path, pid: u32) -> Option<Box<[u8]>> {
    let name = fs::read(procfs.join(pid.to_string()).join("comm")).ok()?;
    Some(name.trim_ascii_end().into())
}

fn user(id: u32) -> User {
    User { id, name: user_name(id) }
}

fn started(stat: &Stat, procfs: &Path) -> Option<SystemTime> {
    let text = fs::read_to_string(procfs.join("stat")).ok()?;
    let boot = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let since_boot = Duration::from_millis(stat.starttime.checked_mul(1000)? / ticks_per_second);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot))?.checked_add(since_boot)
}

fn state(stat: &Stat) -> ProcessState {
    match stat.state {
        'R' => ProcessState::Running,
        'S' => ProcessState::Sleeping,
        'D' => ProcessState::Blocked,
        'T' => ProcessState::Stopped,
        't' => ProcessState::Traced,
        'I' => ProcessState::Idle,
        'Z' | 'X' | 'x' => ProcessState::Zombie,
        other => ProcessState::Other(other),
    }
}

/// The threads, the main one first. Reads two small files for each.
fn threads(process: &Directory) -> Vec<ThreadInfo> {
    let mut threads: Vec<_> = process
        .numbers("task")
        .unwrap_or_default()
        .into_iter()
        .map(|id| {
            let path = |file: &str| format!("task/{id}/{file}");
            ThreadInfo {
                id: id.into(),
                name: process.read(&path("comm")).ok().map(|name| name.trim_ascii_end().into()),
                stack_pointer: process.read(&path("syscall")).ok().and_then(|text| stack_pointer(&text)),
            }
        })
        .collect();
    threads.sort_by_key(|thread| (thread.id != u64::from(process.pid()), thread.id));
    threads
}

/// The stack pointer in the text of `syscall`, the last but one field. A thread that is on a processor has the word `running`
/// instead.
fn stack_pointer(syscall: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(syscall).ok()?;
    let mut fields = text.split_ascii_whitespace().rev().skip(1);
    u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_pointer_is_the_last_but_one_field() {
        let blocked = b"202 0x7f 0x189 0x0 0x0 0x0 0xffffffff 0x7f3b41aff000 0x7f3b6a0\n";
        assert_eq!(stack_pointer(blocked), Some(0x7f3b_41af_f000));
        assert_eq!(stack_pointer(b"-1 0x7ffc0010 0x7f3b6a0\n"), Some(0x7ffc_0010));
        assert_eq!(stack_pointer(b"running\n"), None);
        assert_eq!(stack_pointer(b""), None);
    }

    #[test]
    fn arguments_may_be_empty_or_overwritten() {
        let split =
            |bytes: &[u8]| arguments(bytes).iter().map(|argument| argument.to_vec()).collect::<Vec<_>>();
        assert_eq!(split(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(split(b"nginx: worker"), [b"nginx: worker"]);
        assert!(split(b"").is_empty());
    }
}
