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

/// `PTRACE_EVENT_EXIT`: the tracee is exiting, and still has its map.
const EVENT_EXIT: i32 = 6;

/// `PTRACE_EVENT_STOP`: a stop of the whole group by job control.
const EVENT_STOP: i32 = 128;

/// A traced child and its state.
#[derive(Debug)]
pub(crate) struct Trace {
    pid: Pid,
    state: State,
}

/// Why a tracee does not run, and so how to continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its image is mapped, and it was stopped. The caller does not know yet.
    Mapped,
    /// The same, and the caller knows.
    AtStart,
    /// It is exiting.
    AtExit,
    /// It has ended. The caller may still expect to hear that it was mapped.
    Ended(Ending),
    /// It runs.
    Running,
}

impl Trace {
    /// Starts `command` and stops it when its image is mapped. Without a trace if the system refuses one; then the program
    /// runs.
    ///
    /// A child that asks to be traced stops at its start, but from then on its stops look like those of job control. It is
    /// therefore released with a SIGSTOP, and seized while that holds it.
    pub fn start(command: &mut Command) -> io::Result<(Child, Option<Trace>)> {
        sys::trace_me(command);
        let child = command.spawn()?;
        let pid = as_pid(child.id()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        if !is_tracee(pid) {
            crate::logging::info!("the program is not traced: the system denies it");
            return Ok((child, None));
        }
        let mut trace = Trace { pid, state: State::Mapped };
        if let Some(ending) = trace.wait_for_stop(|_| true)? {
            trace.state = State::Ended(ending);
            return Ok((child, Some(trace)));
        }
        sys::ptrace_resume(pid, Resume::Detached, Signal::STOP.as_raw())?;
        if let Err(error) = sys::ptrace_seize(pid) {
            crate::logging::info!("the program is not traced: {error}");
            kill_process(pid, Signal::CONT)?;
            return Ok((child, None));
        }
        if let Some(ending) = trace.wait_for_stop(|event| event == EVENT_STOP)? {
            trace.state = State::Ended(ending);
        }
        Ok((child, Some(trace)))
    }

    /// Waits for a stop by an event that `is_awaited` accepts. Returns how the process ended if it ends instead.
    fn wait_for_stop(&self, is_awaited: impl Fn(i32) -> bool) -> io::Result<Option<Ending>> {
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => return Ok(Some(Ending::from_wait_status(status.as_raw()))),
                Some((event, _)) if is_awaited(event) => return Ok(None),
                Some((_, signal)) => self.resume(Resume::Running, signal)?,
            }
        }
    }

    /// Continues it, and waits for its next moment.
    pub fn go_on(&mut self) -> io::Result<Moment> {
        match std::mem::replace(&mut self.state, State::Running) {
            State::Mapped => {
                self.state = State::AtStart;
                return Ok(Moment::Mapped);
            }
            State::AtStart => {
                kill_process(self.pid, Signal::CONT)?;
                self.resume(Resume::Running, 0)?;
            }
            State::AtExit => self.resume(Resume::Running, 0)?,
            State::Ended(ending) => {
                self.state = State::Ended(ending);
                return Ok(Moment::Ended(ending));
            }
            State::Running => {}
        }
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => {
                    let ending = Ending::from_wait_status(status.as_raw());
                    self.state = State::Ended(ending);
                    return Ok(Moment::Ended(ending));
                }
                Some((EVENT_EXIT, _)) => {
                    self.state = State::AtExit;
                    return Ok(Moment::Exiting);
                }
                // A process stopped by job control stays stopped until that continues it.
                Some((EVENT_STOP, signal)) if is_stopping(signal) => self.resume(Resume::Listening, 0)?,
                // Forward a signal.
                Some((0, signal)) => self.resume(Resume::Running, signal)?,
                Some(_) => self.resume(Resume::Running, 0)?,
            }
        }
    }

    /// Continues it. If it was killed in the meantime there is nothing to continue, and the next wait reports its end.
    fn resume(&self, how: Resume, signal: i32) -> io::Result<()> {
        match sys::ptrace_resume(self.pid, how, signal) {
            Err(Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Releases a stopped tracee.
impl Drop for Trace {
    fn drop(&mut self) {
        if matches!(self.state, State::Mapped | State::AtStart) {
            let _ = kill_process(self.pid, Signal::CONT);
        }
        if !matches!(self.state, State::Running | State::Ended(_)) {
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

/// The event and the signal of a stop; `None` if the process has ended.
fn stop(status: WaitStatus) -> Option<(i32, i32)> {
    let raw = status.as_raw();
    (raw & 0xff == 0x7f).then_some((raw >> 16, (raw >> 8) & 0xff))
}

fn is_stopping(signal: i32) -> bool {
    [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU].iter().any(|stop| stop.as_raw() == signal)
}

/// Sends a signal. Does nothing if the process has ended.
pub(crate) fn signal(pidfd: &OwnedFd, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}
