//! Names of allocators.

use super::carriers::name_of;

#[test]
fn an_allocator_has_the_name_that_erlang_reports() {
    assert_eq!(name_of(b"binary_").as_deref(), Some("binary_alloc"));
    assert_eq!(name_of(b"ll_").as_deref(), Some("ll_alloc"));
    for other in [&b"0.9"[..], b"", b"_", b"binary", b"Binary_", b"two_words_"] {
        assert_eq!(name_of(other), None, "{other:?}");
    }
}
