//! Runs each example as a test. Its assertions hold here too, beside other threads.
#![allow(missing_docs)]

#[path = "../examples/dirty.rs"]
mod dirty;
#[path = "../examples/leak.rs"]
mod leak;
#[path = "../examples/mapped.rs"]
mod mapped;

#[test]
fn a_file_is_mapped_shared_and_gone_after_it_is_closed() {
    mapped::main().unwrap();
}

#[test]
fn a_page_became_dirty() {
    dirty::main().unwrap();
}

#[test]
fn a_leak_is_gone() {
    leak::main().unwrap();
}
