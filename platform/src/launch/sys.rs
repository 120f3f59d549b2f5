//! `ptrace(2)`, which rustix lacks. Plain values in and out.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Pid;

/// Makes the child that `command` starts ask for this thread to trace it. It stops when its image is mapped.
pub fn trace_me(command: &mut Command) {
    let ask = || {
        // If this is refused, the program runs untraced.
        let _ = ptrace(libc::PTRACE_TRACEME, 0, 0);
        Ok(())
    };
    // SAFETY: the code that runs between `fork` and `exec` is one system call. It allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

/// Traces a process, which then stops when it exits.
///
/// `EPERM` if this user may not, or if another tracer has it.
pub fn ptrace_seize(pid: Pid) -> Result<(), Errno> {
    ptrace(libc::PTRACE_SEIZE, pid.as_raw_nonzero().get(), libc::PTRACE_O_TRACEEXIT)
}

/// How a stopped tracee continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It runs until the next event.
    Running,
    /// It stays stopped by job control until that continues it.
    Listening,
    /// It runs and is no longer traced.
    Detached,
}

/// Continues a tracee, with a signal (0 for none).
///
/// `ESRCH` if it is not stopped, or was killed.
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
    // SAFETY: none of these requests reads or writes memory of this process. The data is an option, a signal or 0.
    let result = unsafe { libc::ptrace(request, pid, no_address, data) };
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}
