//! The terminal that controls this process.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// Whether this process is in the foreground of a terminal.
///
/// Then a Ctrl-C at that terminal also reaches a program that was started by this process, and must not be forwarded a second
/// time.
pub fn has_terminal() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == getpgrp()))
}

/// Writes `sequence` to standard output before SIGINT, SIGTERM, SIGHUP or SIGQUIT ends this process, so that a terminal is left
/// without a color that a half-written line has set. The signal then has its usual effect. A signal that is ignored, as under
/// `nohup`, stays ignored.
///
/// A terminal that takes no output at that moment gets none: the process must not hang. Call this once, before other handlers
/// of these signals are installed.
///
/// # Errors
///
/// The errors of `sigaction(2)`.
pub fn restore_on_signal(sequence: &'static [u8]) -> io::Result<()> {
    crate::unix::write_on_signal(sequence)
}
