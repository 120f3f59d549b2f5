//! What memory shows about runtimes and allocators: mmview's figures against those that they have of themselves.
//!
//! Each test runs where its runtime is installed, and skips elsewhere.
#![cfg(feature = "cli")]
#![allow(missing_docs, clippy::print_stdout)]

mod common;

#[path = "runtimes/allocators.rs"]
mod allocators;
#[path = "runtimes/interpreters.rs"]
mod interpreters;
#[path = "runtimes/java.rs"]
mod java;
#[path = "runtimes/machines.rs"]
mod machines;
#[path = "runtimes/others.rs"]
mod others;
