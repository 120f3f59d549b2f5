//! Changes this process's own memory map, and forks children that share it. For lessons and tests; needs the feature
//! `lessons`.
//!
//! Each operation is one system call (`mmap`, `mprotect`, `madvise`, `fork`), behind types that cannot touch memory of
//! anything else.

mod child;
mod mapped_file;
mod mapping;
mod object;
mod sys;

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use child::{Child, Turns};
pub use mapped_file::MappedFile;
pub use mapping::{Advice, Mapping, Sharing};
pub use object::{HugePages, huge_pages, memory_object};

use crate::error::{Error, Result};
use crate::model::Bytes;

/// The maximum size of the main thread's stack (`RLIMIT_STACK`); `None` if it is unlimited.
///
/// # Errors
///
/// [`Error::Call`].
pub fn stack_limit() -> Result<Option<Bytes>> {
    Ok(getrlimit(Resource::Stack).current.map(Bytes))
}

/// Sets the maximum size of the main thread's stack, at most to the hard limit.
///
/// Linux checks the limit when the stack grows (`mm/mmap.c`, `acct_stack_growth`). macOS immediately denies access to the
/// addresses beyond it (xnu, `dosetrlimit`).
///
/// # Errors
///
/// [`Error::Call`].
pub fn set_stack_limit(size: Bytes) -> Result<()> {
    let maximum = getrlimit(Resource::Stack).maximum;
    let current = Some(maximum.map_or(size.0, |maximum| size.0.min(maximum)));
    setrlimit(Resource::Stack, Rlimit { current, maximum }).map_err(failed("setrlimit"))
}

/// Whether standard input has input or reaches its end within `timeout`. A signal ends the wait.
///
/// Uses `select(2)`, because `poll` on macOS does not support terminals.
///
/// # Errors
///
/// [`Error::Call`].
pub fn has_input(timeout: Duration) -> Result<bool> {
    let stdin = std::io::stdin();
    let mut ready = FdSet::new();
    ready.insert(stdin.as_fd());
    let mut timeout = TimeVal::microseconds(i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX));
    match select(None, &mut ready, None, None, &mut timeout) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(failed("select")(errno)),
    }
}

fn failed<E: Into<std::io::Error>>(call: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Call { call, source: error.into() }
}
