//! `ptrace(2)`, which rustix lacks. Plain values in and out.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Pid;

/// Makes the child that `command` starts ask to be traced by this thread: it stops once its image is mapped.
pub fn trace_me(command: &mut Command) {
    let ask = || {
        // Where it is refused, the program runs untraced.
        let _ = ptrace(libc::PTRACE_TRACEME, 0, 0);
        Ok(())
    };
    // SAFETY: what runs between `fork` and `exec` is one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

/// Traces a process: it stops when it ends.
///
/// `EPERM` where this user may not, or another traces it.
pub fn ptrace_seize(pid: Pid) -> Result<(), Errno> {
    ptrace(libc::PTRACE_SEIZE, pid.as_raw_nonzero().get(), libc::PTRACE_O_TRACEEXIT)
}

/// How a tracee that stands still goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It runs until the next event.
    Running,
    /// It stays stopped, as job control has it, until that changes.
    Listening,
    /// It runs, and is traced no more.
    Detached,
}

/// Lets a tracee go on, with a signal (0 for none).
///
/// `ESRCH` where it doesn't stand still, or has been killed.
pub fn ptrace_resume(pid: Pid, how: Resume, signal: i32) -> Result<(), Errno> {
    let request = match how {
        Resume::Running => libc::PTRACE_CONT,
        Resume::Listening => libc::PTRACE_LISTEN,
        Resume::Detached => libc::PTRACE_DETACH,
    };
    ptrace(request, pid.as_raw_nonzero().get(), signal)
}

#[cfg(target_env = "musl")]
type PtraceRequest = libc::c_int;
#[cfg(not(target_env = "musl"))]
type PtraceRequest = libc::c_uint;

/// A request whose address argument is 0 and whose data is a number, which C passes as a pointer.
fn ptrace(request: PtraceRequest, pid: i32, data: i32) -> Result<(), Errno> {
    let no_address = std::ptr::null_mut::<libc::c_void>();
    let data = std::ptr::without_provenance_mut::<libc::c_void>(data as usize);
    // SAFETY: none of the requests here reads or writes memory of this process: the data is an option, a signal or 0.
    let result = unsafe { libc::ptrace(request, pid, no_address, data) };
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}
