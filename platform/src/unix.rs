//! What all Unix systems have in common.

mod sys;

// Hosts without a backend have no processes whose user to name.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(unused_imports))]
pub(crate) use sys::user_name;
#[cfg(feature = "lessons")]
pub(crate) use sys::write_on_signal;
