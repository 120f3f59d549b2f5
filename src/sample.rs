//! Reading a map again and again.

pub mod watch;
