//! Pages that contradict themselves.

use super::Page;

#[test]
fn a_page_holds_no_more_blocks_than_fit() {
    let page = Page { start: 0, size: 65536, block_size: 1024, used: 10, capacity: 20, reserved: 64 };
    assert!(page.is_possible());
    assert!(!Page { used: 21, ..page }.is_possible());
    assert!(!Page { capacity: 65, ..page }.is_possible());
    assert!(!Page { reserved: 65, ..page }.is_possible());
    assert!(!Page { block_size: u64::MAX, ..page }.is_possible());
}
