//! macOS: what Mach and libproc report about a task's map.
//!
//! All decisions are made in pure code that compiles on every host ([`tags`] is public). The live half exists on macOS only.

#[cfg(target_os = "macos")]
pub(crate) mod live;
// The live half uses all of it. Other hosts build it for its tests.
#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
pub(crate) mod parse;

pub use parse::tags;
