//! A live process on macOS: its task port if the system grants one, else libproc.

mod facts;
mod memory;
mod sys;
mod task;

pub(crate) use task::{open, processes};

/// Whether this program runs as root.
fn is_root() -> bool {
    sys::effective_user() == 0
}
