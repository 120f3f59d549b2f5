//! Programs that are started to be looked at: from their first mapping to their last.

use std::io;
use std::process::{Child, Command};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::model::Ending;

#[cfg(target_os = "linux")]
use crate::linux::trace::Trace;

/// A moment of a program's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its image is mapped, and nothing of it has run yet. A program that isn't traced doesn't wait there.
    Mapped,
    /// It is ending, and its map is still whole. Told of traced programs only, and not where it is killed by SIGKILL.
    Exiting,
    /// It has ended.
    Ended(Ending),
}

/// A program that was started here.
///
/// On Linux it is traced (`ptrace(2)`, PTRACE_SEIZE), so that it stands still in the two moments that are gone at once else: when
/// its first mappings are made, and when it ends. Its signals are handed on, and job control works. A traced program can't be
/// traced by another (a debugger, LeakSanitizer), and a set-user-ID program runs as the user who started it.
///
/// All of it is done by the thread that starts the program: a tracer is a thread.
#[derive(Debug)]
pub struct Program {
    child: Child,
    is_mapped: bool,
    #[cfg(target_os = "linux")]
    trace: Option<Trace>,
}

impl Program {
    /// Starts `command`; `traced` asks for it to be traced, which is done where the system can and permits it.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`].
    pub fn start(mut command: Command, traced: bool) -> io::Result<Program> {
        #[cfg(target_os = "linux")]
        if traced {
            match Trace::start(&mut command) {
                Ok((child, trace)) => return Ok(Program { child, is_mapped: false, trace }),
                // Some containers refuse to trace; whether that was it shows when it is started without.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    log::info!("the program is not traced: {error}");
                    command = untraced(&command);
                }
                Err(error) => return Err(error),
            }
        }
        let _ = traced;
        let child = command.spawn()?;
        Ok(Program {
            child,
            is_mapped: false,
            #[cfg(target_os = "linux")]
            trace: None,
        })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is traced, and so stands still in its moments.
    pub fn is_traced(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.trace.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Lets it go on, and waits for its next moment.
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

    /// Sends a signal to the process `id`, as one that this process got.
    pub fn signal(id: u32, number: i32) {
        if let (Ok(id), Ok(signal)) = (i32::try_from(id), Signal::try_from(number)) {
            // It may have ended.
            let _ = signal::kill(Pid::from_raw(id), signal);
        }
    }
}

/// The same program, arguments, environment and directory, without what was to happen before it is started.
#[cfg(target_os = "linux")]
fn untraced(command: &Command) -> Command {
    let mut plain = Command::new(command.get_program());
    plain.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => plain.env(name, value),
            None => plain.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        plain.current_dir(directory);
    }
    plain
}
