//! Why a process can't be read, and hints.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::as_pid;
use super::directory::{Directory, is_gone};
use super::facts;
use crate::error::Error;
use crate::unix::user_name;

/// The error of a failure to `action` a file of a process. `is_stat_readable` says whether `stat` was readable before: if so,
/// a missing one means that the process is gone.
pub(super) fn error(
    process: &Directory,
    is_stat_readable: bool,
    source: io::Error,
    action: &'static str,
    path: PathBuf,
) -> Error {
    let is_lost = source.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::SRCH)
        || (is_gone(&source) && is_stat_readable && process.stat().is_err());
    if is_lost {
        return match process.stat() {
            Ok(stat) if facts::has_ended(&stat) => Error::Zombie { pid: process.pid() },
            _ => Error::Vanished { pid: process.pid() },
        };
    }
    if source.kind() == io::ErrorKind::PermissionDenied {
        let hints = hints(process, CAPABILITIES);
        return Error::NotPermitted { action: "read the memory map", pid: process.pid(), hints, source };
    }
    Error::Io { action, path, source }
}

/// The error of a failure to `action` a file with the contents of memory. That needs more permission than the map does
/// (`PTRACE_MODE_ATTACH`): Yama may deny it to everyone but the parent (`Documentation/admin-guide/LSM/Yama.rst`).
pub(super) fn memory_error(
    process: &Directory,
    is_stat_readable: bool,
    source: io::Error,
    action: &'static str,
    path: PathBuf,
) -> Error {
    let is_denied =
        matches!(source.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::PERM | Errno::ACCESS));
    if !is_denied {
        return error(process, is_stat_readable, source, action, path);
    }
    let mut hints = hints(process, "CAP_SYS_PTRACE allows reading the memory of every process");
    if matches!(yama_scope(process).trim(), "1" | "2") {
        let yama = "kernel.yama.ptrace_scope lets only root, and with scope 1 the parent of a process, read its memory: run \
                    mmview with sudo";
        hints.insert(0, yama.to_owned());
    }
    Error::NotPermitted { action: "read the memory", pid: process.pid(), hints, source }
}

fn yama_scope(process: &Directory) -> String {
    std::fs::read_to_string(process.beside("sys/kernel/yama/ptrace_scope")).unwrap_or_default()
}

/// Whether a process exists although its files are hidden: a signal to it would be denied, not lost.
pub(super) fn is_hidden(pid: u32) -> bool {
    as_pid(pid).is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::PERM))
}

/// The error for a `/proc` that is mounted with `hidepid` (`Documentation/filesystems/proc.rst`): the directory of the
/// process opens by its number, but nothing in it does.
pub(super) fn hidden(pid: u32) -> Error {
    Error::NotPermitted {
        action: "see anything",
        pid,
        hints: vec![HIDEPID.to_owned()],
        source: io::ErrorKind::PermissionDenied.into(),
    }
}

const HIDEPID: &str = "/proc is mounted with hidepid, which hides the processes of other users: run mmview as the owner of \
                       this process, with sudo, or in the group that the mount option gid= names";

/// The capabilities that allow reading a map.
const CAPABILITIES: &str =
    "CAP_SYS_PTRACE allows access to every process (from Linux 6.15 on, CAP_PERFMON does too)";

/// Ways to get access to `process`; `capabilities` is the last of them.
fn hints(process: &Directory, capabilities: &str) -> Vec<String> {
    let mut hints = Vec::new();
    let me = rustix::process::geteuid().as_raw();
    let owner = process.status().ok().and_then(|status| status.effective_user);
    match owner {
        Some(owner) if owner != me => {
            let name = user_name(owner).map_or_else(|| format!("user {owner}"), String::from);
            hints.push(format!("it belongs to {name}: run mmview as {name}, or with sudo"));
        }
        None => hints.push(HIDEPID.to_owned()),
        _ => hints.push(
            "the process denies access even to its own user (a set-user-ID program, or one that made itself undumpable): \
             run mmview with sudo"
                .to_owned(),
        ),
    }
    hints.push(capabilities.to_owned());
    if yama_scope(process).trim() == "3" {
        hints.push(
            "kernel.yama.ptrace_scope is 3: no one may attach to a process until the next boot".to_owned(),
        );
    }
    hints
}
