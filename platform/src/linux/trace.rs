//! A child that is traced from its first instruction to its end (`ptrace(2)`).

use std::io;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use super::sys::{self, Resume};
use crate::launch::Moment;
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
    /// It runs.
    No,
}

impl Trace {
    /// Starts `command`, which stands still once its image is mapped. No trace where the system took it back.
    ///
    /// A child that asks to be traced stops when it is started, but can't be told from one that job control stops from then on.
    /// So it is let go with a SIGSTOP, and seized while that holds it.
    pub fn start(command: &mut Command) -> io::Result<(Child, Option<Trace>)> {
        sys::trace_me(command);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        wait(pid)?;
        sys::ptrace_resume(pid, Resume::Detached, Signal::STOP.as_raw())?;
        let trace = Trace { pid, stands: Stands::Mapped };
        let is_seized = sys::ptrace_seize(pid).is_ok() && trace.wait_for_stop()?;
        if !is_seized {
            kill_process(pid, Signal::CONT)?;
        }
        Ok((child, is_seized.then_some(trace)))
    }

    /// Waits until the SIGSTOP holds it; `false` where something else ended it.
    fn wait_for_stop(&self) -> io::Result<bool> {
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => return Ok(false),
                Some((EVENT_STOP, _)) => return Ok(true),
                Some((_, signal)) => sys::ptrace_resume(self.pid, Resume::Running, signal)?,
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
            Stands::No => {}
        }
        loop {
            let status = wait(self.pid)?;
            match stop(status) {
                None => return Ok(Moment::Ended(Ending::from_wait_status(status.as_raw()))),
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
