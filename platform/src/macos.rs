//! macOS: what Mach and libproc report about a task's map.
//!
//! Everything that decides something is pure and compiles on every host ([`tags`] is public). The live half exists on macOS
//! only.

#[cfg(target_os = "macos")]
pub(crate) mod live;
// The live half uses all of it. Other hosts build it to test it.
#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
pub(crate) mod parse;

pub use parse::tags;
