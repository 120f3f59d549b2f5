//! A live process on Linux: `/proc/PID` and the calls around it.

mod around;
mod facts;
mod listing;
mod pages;
mod process;
mod query;
mod read_ahead;
mod scan;
mod sys;
mod text;

pub(crate) use process::{as_pid, open, pidfd, processes};
