//! V8 and Go.
