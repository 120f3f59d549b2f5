//! A child of this process that steps in turns with it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::unistd::{ForkResult, alarm};
use rustix::io::Errno;
use rustix::pipe::pipe;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, setrlimit, waitpid};

use super::{failed, sys};
use crate::error::{Error, Result};
use crate::host::open_self;
use crate::model::Ending;
use crate::options::OpenOptions;

/// The longest time that a child may work between two stops, in seconds. After that, `SIGALRM` ends it.
const LONGEST_TURN: u32 = 20;

/// The exit status of a child that panicked, as for any Rust program.
const PANICKED: i32 = 101;

/// A child made by `fork`: a copy of this process that shares its memory until one of them writes.
///
/// The child runs only during its turns ([`Child::step`]), so its map can be read between them. It never outlives its
/// parent: it ends when the parent ends, when the `Child` is dropped, and when a turn takes too long.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    to_child: File,
    from_child: File,
    end: Option<Ending>,
}

/// The child's side, which stops between turns.
#[derive(Debug)]
pub struct Turns {
    from_parent: File,
    to_parent: File,
}

impl Turns {
    /// Sends the parent up to 255 bytes, and waits for the next turn. If the parent has ended, so does the child.
    ///
    /// # Panics
    ///
    /// The report is longer.
    pub fn stop(&mut self, report: &[u8]) {
        let length = u8::try_from(report.len()).expect("a report has at most 255 bytes");
        let message = [&[length], report].concat();
        alarm::cancel();
        if self.to_parent.write_all(&message).is_err() {
            sys::exit_now(0);
        }
        self.wait();
    }

    fn wait(&mut self) {
        if self.from_parent.read_exact(&mut [0]).is_err() {
            sys::exit_now(0);
        }
        alarm::set(LONGEST_TURN);
    }
}

impl Child {
    /// Forks. The child runs `work` from its first turn on, and exits with the status that `work` returns, without running
    /// anything else of the program. A bad memory access ends it by its signal and leaves no core file.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if this process has more than one thread, because locks that the other threads hold would stay
    /// locked in the child forever. [`Error::Call`].
    pub fn fork(work: impl FnOnce(&mut Turns) -> i32) -> Result<Child> {
        let threads = threads()?;
        if threads != 1 {
            return Err(Error::Unsupported { what: "fork", place: "in a process with more than one thread" });
        }
        let (from_parent, to_child) = pipe().map_err(failed("pipe"))?;
        let (from_child, to_parent) = pipe().map_err(failed("pipe"))?;
        match sys::fork_alone(threads).map_err(failed("fork"))? {
            ForkResult::Parent { child } => {
                let pid = Pid::from_raw(child.as_raw()).ok_or(Errno::INVAL).map_err(failed("fork"))?;
                Ok(Child { pid, to_child: to_child.into(), from_child: from_child.into(), end: None })
            }
            ForkResult::Child => {
                // Then the pipe ends when the parent does.
                drop((to_child, from_child));
                let mut turns = Turns { from_parent: from_parent.into(), to_parent: to_parent.into() };
                sys::default_signals();
                let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
                turns.wait();
                let status = catch_unwind(AssertUnwindSafe(|| work(&mut turns)));
                sys::exit_now(status.unwrap_or(PANICKED))
            }
        }
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Gives it a turn, and waits until it stops. Returns its report; `None` if it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] if the pipes between the two fail.
    pub fn step(&mut self) -> Result<Option<Vec<u8>>> {
        if self.end.is_some() {
            return Ok(None);
        }
        let report = self.to_child.write_all(&[1]).and_then(|()| {
            let mut length = [0];
            self.from_child.read_exact(&mut length)?;
            let mut report = vec![0; usize::from(length[0])];
            self.from_child.read_exact(&mut report)?;
            Ok(report)
        });
        match report {
            Ok(report) => Ok(Some(report)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) =>
            {
                self.end()?;
                Ok(None)
            }
            Err(source) => Err(Error::Call { call: "read", source }),
        }
    }

    /// Gives it turns until it ends. Returns how it ended.
    ///
    /// # Errors
    ///
    /// As [`Child::step`].
    pub fn finish(&mut self) -> Result<Ending> {
        while self.step()?.is_some() {}
        self.end()
    }

    /// Waits until it has ended.
    fn end(&mut self) -> Result<Ending> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let end = loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) if status.exited() || status.signaled() => {
                    break Ending::from_wait_status(status.as_raw());
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("waitpid")(errno)),
            }
        };
        self.end = Some(end);
        Ok(end)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_none() && kill_process(self.pid, Signal::KILL).is_ok() {
            let _ = self.end();
        }
    }
}

/// The number of threads of this process. The kernel may list a thread for a moment after it was joined.
fn threads() -> Result<usize> {
    let mut source = open_self(&OpenOptions::default())?;
    let mut threads = source.process()?.threads.len();
    for _ in 0..100 {
        if threads == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
        threads = source.process()?.threads.len();
    }
    Ok(threads)
}
