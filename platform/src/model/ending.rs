//! How a process ended.

use std::borrow::Cow;
use std::fmt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// A signal with this number killed it.
    Killed(i32),
}

impl Ending {
    /// Decodes a status from `wait(2)` (`WIFEXITED` and the other macros).
    pub const fn from_wait_status(status: i32) -> Ending {
        match status & 0x7f {
            0 => Ending::Exited((status >> 8) & 0xff),
            signal => Ending::Killed(signal),
        }
    }

    /// The name of a signal on this system, such as `SIGSEGV`; `signal 34` if it has none.
    pub fn signal_name(signal: i32) -> Cow<'static, str> {
        match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => (*name).into(),
            None => format!("signal {signal}").into(),
        }
    }

    /// The exit status that a shell reports: the status of the process, or 128 plus the signal.
    pub const fn shell_status(self) -> u8 {
        match self {
            Ending::Exited(status) => status as u8,
            Ending::Killed(signal) => 128 | signal as u8,
        }
    }
}

/// As a part of a sentence, with the name of the signal on this system: `exit status 3`, `killed by SIGSEGV`.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(status) => write!(f, "exit status {status}"),
            Ending::Killed(signal) => write!(f, "killed by {}", Ending::signal_name(*signal)),
        }
    }
}

macro_rules! signals {
    ($($(#[$condition:meta])? $name:ident)+) => {
        /// The signals of this system. Their numbers differ between systems and machines.
        #[cfg(unix)]
        const SIGNALS: &[(i32, &str)] = &[$($(#[$condition])? (libc::$name, stringify!($name))),+];
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM
    SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGSYS
    #[cfg(target_os = "linux")] SIGPWR
    #[cfg(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64"))))] SIGSTKFLT
    #[cfg(not(target_os = "linux"))] SIGEMT
    #[cfg(not(target_os = "linux"))] SIGINFO
}

#[cfg(not(unix))]
const SIGNALS: &[(i32, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_wait_are_decoded() {
        assert_eq!(Ending::from_wait_status(0x0300), Ending::Exited(3));
        assert_eq!(Ending::from_wait_status(0x8b), Ending::Killed(11));
        assert_eq!(Ending::Killed(9).shell_status(), 137);
    }

    #[test]
    #[cfg(unix)]
    fn signals_have_names() {
        assert_eq!(Ending::Killed(11).to_string(), "killed by SIGSEGV");
        assert_eq!(Ending::signal_name(6), "SIGABRT");
        assert_eq!(Ending::signal_name(77), "signal 77");
    }
}
