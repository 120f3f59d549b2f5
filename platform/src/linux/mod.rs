//! Linux: the text of `/proc/PID/maps` and `smaps`, and live processes.
//!
//! [`maps`], [`smaps`] and [`names`] are pure and compile everywhere. `live` and what it is made of exist on Linux only.

pub mod maps;
pub mod names;
pub mod smaps;

#[cfg(target_os = "linux")]
mod ahead;
#[cfg(target_os = "linux")]
mod around;
#[cfg(target_os = "linux")]
mod facts;
#[cfg(target_os = "linux")]
mod listing;
#[cfg(target_os = "linux")]
pub(crate) mod live;
#[cfg(target_os = "linux")]
mod query;
#[cfg(target_os = "linux")]
mod resident;
#[cfg(target_os = "linux")]
mod scan;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod text;
#[cfg(target_os = "linux")]
pub(crate) mod trace;
