//! The commands, a file each, named after the command.

pub(super) mod check;
pub(super) mod demo;
pub(super) mod diff;
pub(super) mod run;
pub(super) mod snapshot;
pub(super) mod watch;
