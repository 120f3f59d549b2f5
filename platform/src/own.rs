//! This process's own memory, changed by the system's own calls; and children that share it. For lessons and for tests.
//!
//! What an allocator or a file library does is one thing, what `mmap`, `mprotect`, `madvise` or `fork` do to the map is
//! another: here are those calls one by one, behind types that can't touch memory that isn't theirs.

mod child;
mod mapping;
mod object;
mod sys;

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};

pub use child::{Child, Turns};
pub use mapping::{Advice, Mapping, Sharing};
pub use object::{HugePages, huge_pages, memory_object};

use crate::error::{Error, Result};
use crate::model::Bytes;

/// How far the main thread's stack may grow (`RLIMIT_STACK`); `None` for without end.
///
/// # Errors
///
/// [`Error::Call`].
pub fn stack_limit() -> Result<Option<Bytes>> {
    let (soft, _) = getrlimit(Resource::RLIMIT_STACK).map_err(failed("getrlimit"))?;
    Ok((soft != nix::sys::resource::RLIM_INFINITY).then_some(Bytes(soft)))
}

/// Limits how far the main thread's stack may grow from now on.
///
/// Linux looks at the limit whenever the stack grows (`mm/mmap.c`, `acct_stack_growth`); macOS takes the access to what lies
/// beyond away at once (xnu, `dosetrlimit`).
///
/// # Errors
///
/// [`Error::Call`].
pub fn set_stack_limit(size: Bytes) -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_STACK).map_err(failed("getrlimit"))?;
    setrlimit(Resource::RLIMIT_STACK, size.0.min(hard), hard).map_err(failed("setrlimit"))
}

/// Whether there is something to be read from standard input, or its end, within `timeout`.
///
/// By `select(2)`: on macOS `poll` doesn't do for terminals. A signal ends the waiting.
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

fn failed(call: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call { call, source: errno.into() }
}
