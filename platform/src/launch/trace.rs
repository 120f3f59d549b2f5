//! A child that is traced from its first instruction to its end (`ptrace(2)`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, pidfd_send_signal, waitpid};

use super::moment::Moment;
use super::sys::{self, Resume};
use crate::linux::live::{Directory, as_pid};
use crate::model::Ending;

/// `PTRACE_EVENT_EXIT`: the tracee is ending, and still has its map.
const EVENT_EXIT: i32 = 6;

/// `PTRACE_EVENT_STOP`: a stop of the whole group, by job control.
const EVENT_STOP: i32 = 128;

/// A traced child, and where it stands.
#[derive(Debug)]
pub(crate) struct Trace {
    pid: Pid,
    stands: Stands,
}

/// Why a tracee doesn't run, and how it is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Its image is mapped and it was told to stop; not told to anybody yet.
    Mapped,
    /// The same, told.
    AtStart,
    /// At its end.
    AtExit,
    /// It has ended: how is to be told after it was mapped.
    Ended(Ending),
    /// It runs.
    No,
}

impl Trace {
    /// Starts `command`, which stands still once its image is mapped. No trace where the system refuses one; then it runs.
    ///
    /// A child that asks to be traced stops when it is started, but can't be told from one that job control stops from then on.
    /// So it is let go with a SIGSTOP, and seized while that holds it.
    pub fn start(command: &mut Command) -> io::Result<(Child, Option<Trace>)> {
        sys::trace_me(command);
        let child = command.spawn()?;
        let pid = as_pid(child.id()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        if !is_tracee(pid) {
            log::info!("the program is not traced: the system doesn't permit it");
            return Ok((child, None));
        }
        let mut trace = Trace { pid, stands: Stands::Mapped };
        if let Some(ending) = trace.wait_for_stop(|_| true)? {
            trace.stands = Stands::Ended(ending);
            return Ok((child, Some(trace)));
        }
        sys::ptrace_resume(pid, Resume::Detached, Signal::STOP.as_raw())?;
        if let Err(error) = sys::ptrace_seize(pid) {
            log::info!("the program is not traced: {error}");
            kill_process(pid, Signal::CONT)?;
            return Ok((child, None));
        }
        if let Some(ending) = trace.wait_for_stop(|event| event == EVENT_STOP)? {
            trace.stands = Stands::Ended(ending);
        }
        Ok((child, Some(trace)))
    }

    /// Waits for a stop by an event that `is_wanted`; how it ended, where it did instead.
    fn wait_for_stop(&self, is_wanted: impl Fn(i32) -> bool) -> io::Result<Option<Ending>> {
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => return Ok(Some(Ending::from_wait_status(status.as_raw()))),
                Some((event, _)) if is_wanted(event) => return Ok(None),
                Some((_, signal)) => self.resume(Resume::Running, signal)?,
            }
        }
    }

    /// Lets it go on, and waits for its next moment.
    pub fn go_on(&mut self) -> io::Result<Moment> {
        match std::mem::replace(&mut self.stands, Stands::No) {
            Stands::Mapped => {
                self.stands = Stands::AtStart;
                return Ok(Moment::Mapped);
            }
            Stands::AtStart => {
                kill_process(self.pid, Signal::CONT)?;
                self.resume(Resume::Running, 0)?;
            }
            Stands::AtExit => self.resume(Resume::Running, 0)?,
            Stands::Ended(ending) => {
                self.stands = Stands::Ended(ending);
                return Ok(Moment::Ended(ending));
            }
            Stands::No => {}
        }
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => {
                    let ending = Ending::from_wait_status(status.as_raw());
                    self.stands = Stands::Ended(ending);
                    return Ok(Moment::Ended(ending));
                }
                Some((EVENT_EXIT, _)) => {
                    self.stands = Stands::AtExit;
                    return Ok(Moment::Exiting);
                }
                // What job control stopped stays so until it is told to go on.
                Some((EVENT_STOP, signal)) if is_stopping(signal) => self.resume(Resume::Listening, 0)?,
                // A signal is handed on.
                Some((0, signal)) => self.resume(Resume::Running, signal)?,
                Some(_) => self.resume(Resume::Running, 0)?,
            }
        }
    }

    /// Lets it go on. Where it was killed meanwhile there is nothing to let go on, and waiting tells.
    fn resume(&self, how: Resume, signal: i32) -> io::Result<()> {
        match sys::ptrace_resume(self.pid, how, signal) {
            Err(Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// One that stands still is let go.
impl Drop for Trace {
    fn drop(&mut self) {
        if matches!(self.stands, Stands::Mapped | Stands::AtStart) {
            let _ = kill_process(self.pid, Signal::CONT);
        }
        if !matches!(self.stands, Stands::No | Stands::Ended(_)) {
            let _ = self.resume(Resume::Detached, 0);
        }
    }
}

/// Whether this process traces the child.
fn is_tracee(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero().get().unsigned_abs();
    let status = Directory::open(Path::new("/proc"), pid).and_then(|process| process.status());
    status.is_ok_and(|status| status.tracer == Some(std::process::id()))
}

fn wait(pid: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The event and the signal of a stop; `None` where the process has ended.
fn stop(status: WaitStatus) -> Option<(i32, i32)> {
    let raw = status.as_raw();
    (raw & 0xff == 0x7f).then_some((raw >> 16, (raw >> 8) & 0xff))
}

fn is_stopping(signal: i32) -> bool {
    [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU].iter().any(|stop| stop.as_raw() == signal)
}

/// Sends a signal; a process that has ended gets none.
pub(crate) fn signal(pidfd: &OwnedFd, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}
