//! Starts programs to inspect them from their first mapping to their last.

mod moment;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod trace;

use std::io;
use std::marker::PhantomData;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::model::Ending;

pub use moment::Moment;

#[cfg(target_os = "linux")]
use trace::Trace;

/// A program started by this process.
///
/// On Linux it is traced (`ptrace(2)`, PTRACE_SEIZE), so it stops at two moments that would otherwise pass too fast: when its
/// first mappings exist, and when it exits. Its signals are forwarded, and job control works. A traced program can't be
/// traced by another tracer (a debugger, LeakSanitizer), and a set-user-ID program runs as the user who started it. Only the
/// program's first thread is traced.
///
/// A tracer is a thread, so only the thread that starts the program can control it. A program that is dropped before it ends
/// runs on.
#[derive(Debug)]
pub struct Program {
    child: Child,
    is_mapped: bool,
    #[cfg(target_os = "linux")]
    trace: Option<Trace>,
    /// Keeps it on one thread.
    thread: PhantomData<*const ()>,
}

impl Program {
    /// Starts `command`. With `traced`, traces it if the system supports and permits that.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`], and on Linux of `ptrace(2)` and `wait(2)`.
    pub fn start(mut command: Command, traced: bool) -> io::Result<Program> {
        #[cfg(target_os = "linux")]
        let (child, trace) = if traced { Trace::start(&mut command)? } else { (command.spawn()?, None) };
        #[cfg(not(target_os = "linux"))]
        let (child, _) = (command.spawn()?, traced);
        Ok(Program {
            child,
            is_mapped: false,
            #[cfg(target_os = "linux")]
            trace,
            thread: PhantomData,
        })
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is traced, and so stops at its moments.
    pub fn is_traced(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.trace.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Continues it, and waits for its next moment.
    ///
    /// # Errors
    ///
    /// Those of waiting for it (`wait(2)`).
    pub fn go_on(&mut self) -> io::Result<Moment> {
        #[cfg(target_os = "linux")]
        if let Some(trace) = &mut self.trace {
            return trace.go_on();
        }
        if !std::mem::replace(&mut self.is_mapped, true) {
            return Ok(Moment::Mapped);
        }
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait()?;
        Ok(Moment::Ended(Ending::from_wait_status(status.into_raw())))
    }

    /// A handle that sends it signals, from any thread.
    pub fn signaller(&self) -> Signaller {
        Signaller {
            id: self.id(),
            #[cfg(target_os = "linux")]
            pidfd: crate::linux::live::pidfd(self.id()),
        }
    }
}

/// Sends signals to a program.
#[derive(Debug)]
pub struct Signaller {
    id: u32,
    /// Refers to this process even if its ID is reused, on systems that have it.
    #[cfg(target_os = "linux")]
    pidfd: Option<std::os::fd::OwnedFd>,
}

impl Signaller {
    /// Sends the signal with this number. Does nothing if the program has ended.
    pub fn send(&self, number: i32) {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            trace::signal(pidfd, number);
            return;
        }
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(number)) {
            // It may have ended.
            let _ = kill_process(pid, signal);
        }
    }
}
