//! Live processes on Linux: `/proc/PID` and system calls.

mod directory;
mod facts;
mod files;
mod listing;
mod memory;
mod pages;
mod process;
mod query;
mod read_ahead;
mod refused;
mod scan;
mod sys;
mod text;

pub(crate) use directory::Directory;
pub(crate) use process::{as_pid, open, pidfd, processes};
