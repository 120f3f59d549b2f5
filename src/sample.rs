//! Reading maps: one (`retry`), again and again for what changes ([`watch`]), or for the largest (`peak`).

#[cfg(feature = "cli")]
pub(crate) mod peak;
mod read;
pub(crate) mod retry;
pub mod watch;
