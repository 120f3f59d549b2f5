//! The terminal that controls this process.

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
