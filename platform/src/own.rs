//! This process's own memory, changed by the system's own calls; and children that share it. For lessons and for tests.
//!
//! What an allocator or a file library does is one thing, what `mmap`, `mprotect`, `madvise` or `fork` do to the map is
//! another: here are those calls one by one, behind types that can't touch memory that isn't theirs.

mod child;
mod mapping;
mod object;
mod sys;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

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

fn failed(call: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call { call, source: errno.into() }
}
