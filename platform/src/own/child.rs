//! A child of this process that steps in turns with it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, pipe};

use super::{failed, sys};
use crate::error::{Error, Result};
use crate::host::open_self;
use crate::model::Ending;
use crate::options::OpenOptions;

/// The longest that a child may work between two of its stops, in seconds; then `SIGALRM` ends it.
const LONGEST_TURN: u32 = 20;

/// What a child that panicked exits with, as a Rust program does.
const PANICKED: i32 = 101;

/// A child made by `fork`: a copy of this process that shares its memory until one of them writes.
///
/// It does nothing but in its turns ([`Child::step`]), so that its map can be looked at between them. Whatever happens, it
/// doesn't outlive its parent: it ends where the parent has ended, where the `Child` is dropped, and where a turn takes too
/// long.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    to_child: File,
    from_child: File,
    end: Option<Ending>,
}

/// The child's side: its stops between turns.
#[derive(Debug)]
pub struct Turns {
    from_parent: File,
    to_parent: File,
}

impl Turns {
    /// Tells the parent up to 255 bytes, and waits for the next turn. The child ends here where the parent has.
    pub fn stop(&mut self, told: &[u8]) {
        let length = u8::try_from(told.len()).expect("a child tells no more than 255 bytes at a time");
        let message = [&[length], told].concat();
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
    /// Forks. The child runs `work` from its first turn on and exits with what it returns, without running anything else of the
    /// program. A bad access ends it by its signal, and leaves no core.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where this process has more than one thread: the others' locks would stay locked in the child for
    /// ever. [`Error::Call`].
    pub fn fork(work: impl FnOnce(&mut Turns) -> i32) -> Result<Child> {
        let threads = threads()?;
        if threads != 1 {
            return Err(Error::Unsupported { what: "fork", place: "in a process that has other threads" });
        }
        let (from_parent, to_child) = pipe().map_err(failed("pipe"))?;
        let (from_child, to_parent) = pipe().map_err(failed("pipe"))?;
        match sys::fork_alone(threads).map_err(failed("fork"))? {
            ForkResult::Parent { child } => {
                Ok(Child { pid: child, to_child: to_child.into(), from_child: from_child.into(), end: None })
            }
            ForkResult::Child => {
                // So that the end of the parent is the end of the pipe.
                drop((to_child, from_child));
                let mut turns = Turns { from_parent: from_parent.into(), to_parent: to_parent.into() };
                sys::default_signals();
                let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
                turns.wait();
                let status = catch_unwind(AssertUnwindSafe(|| work(&mut turns)));
                sys::exit_now(status.unwrap_or(PANICKED))
            }
        }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Gives it a turn, and waits until it stops and tells something, or has ended: then `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Call`] where the two can't talk.
    pub fn step(&mut self) -> Result<Option<Vec<u8>>> {
        if self.end.is_some() {
            return Ok(None);
        }
        let said = self.to_child.write_all(&[1]).and_then(|()| {
            let mut length = [0];
            self.from_child.read_exact(&mut length)?;
            let mut told = vec![0; usize::from(length[0])];
            self.from_child.read_exact(&mut told)?;
            Ok(told)
        });
        match said {
            Ok(told) => Ok(Some(told)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) =>
            {
                self.end()?;
                Ok(None)
            }
            Err(source) => Err(Error::Call { call: "read", source }),
        }
    }

    /// Gives it turns until it ends, and tells how it did.
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
            match waitpid(self.pid, None) {
                Ok(WaitStatus::Exited(_, status)) => break Ending::Exited(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => break Ending::Killed(signal as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("waitpid")(errno)),
            }
        };
        self.end = Some(end);
        Ok(end)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_none() && kill(self.pid, Signal::SIGKILL).is_ok() {
            let _ = self.end();
        }
    }
}

/// How many threads this process has. The kernel may list one for a moment after it has been joined.
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
