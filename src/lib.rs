//! What a process's memory is for, and what it costs.
//!
//! [`mmview_platform`] tells which regions a process has; this crate tells what each is for ([`classify`]), adds them up
//! ([`summary`]), and draws the result ([`render`]).

pub mod archive;
pub mod check;
pub mod classify;
pub mod cli;
pub mod compat;
pub mod demo;
pub mod diff;
pub mod filter;
pub mod kind;
pub mod render;
pub mod snapshot;
pub mod summary;
pub mod units;
pub mod view;
pub mod watch;

pub use mmview_platform as platform;
pub use snapshot::Snapshot;
