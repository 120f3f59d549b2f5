//! macOS: what Mach and libproc say of a task's map.
//!
//! [`tags`] and everything else that decides something is pure and compiles everywhere. `live` and what it is made of exist on
//! macOS only.

pub mod tags;
