//! Headers of large blocks.

use crate::owners::tests::Forged;

use super::heap::Heap;

#[test]
fn a_large_block_alone_is_no_heap() {
    // Each page looks like the start of a large block of one page, and no state leads to them.
    let mut page = vec![0; 512];
    (page[0], page[1], page[509]) = (1, 4064 | 2, 11);
    let found = Forged::new(page).inspect(8, |target, claims| Heap::find(target, claims).unwrap());
    assert!(found.states.is_empty() && found.blocks.is_empty(), "{found:?}");
}
