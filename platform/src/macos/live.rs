//! A live process on macOS: its task port where the system grants one, else libproc.

mod facts;
mod sys;
mod task;

pub(crate) use task::{open, processes};
