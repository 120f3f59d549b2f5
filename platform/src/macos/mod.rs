//! macOS: what Mach and libproc say of a task's map.
//!
//! [`tags`] and everything else that decides something is pure and compiles everywhere. `live` and what it is made of exist on
//! macOS only.

// The pure half is used by the live half, which other systems don't have; they build it to test it.
#![cfg_attr(not(target_os = "macos"), allow(dead_code))]

#[cfg(test)]
mod apple_layout;
mod arguments;
mod decode;
mod images;
mod kern;
mod macho;
mod records;
mod refusal;
mod segments;
pub mod tags;
mod walk;

#[cfg(target_os = "macos")]
mod facts;
#[cfg(target_os = "macos")]
pub(crate) mod live;
#[cfg(target_os = "macos")]
mod sys;
