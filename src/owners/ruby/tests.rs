//! Descriptions of pages, and transient heaps, that contradict themselves.

use super::pages::Page;
use super::transient::{BLOCK, BLOCKS, heap};
use crate::owners::tests::Forged;

const PAGE: u64 = 0x4003_0000;
const SIZE: u64 = 16 << 10;

/// What describes a page of slots of 40 bytes whose first is at `start`.
fn description(slot: u16, slots: u16, free: u16, start: u64) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    for (index, number) in [slot, slots, free].into_iter().enumerate() {
        bytes[2 * index..2 * index + 2].copy_from_slice(&number.to_le_bytes());
    }
    bytes[32..40].copy_from_slice(&start.to_le_bytes());
    bytes
}

fn is_page(page: u64, description: &[u8]) -> bool {
    let forged = Forged::new(vec![0]);
    forged.inspect(8, |target, _| Page::parse(target, SIZE, page, 0x1000_0000, description).is_some())
}

#[test]
fn a_page_is_one_only_if_its_description_leads_back_and_its_slots_fill_it() {
    assert!(is_page(PAGE, &description(40, 409, 7, PAGE + 8)));
    let wrong = [
        description(40, 409, 7, PAGE + SIZE + 8),
        description(40, 409, 7, PAGE - 8),
        description(40, 409, 7, PAGE + 7),
        description(40, 410, 7, PAGE + 8),
        description(40, 300, 7, PAGE + 8),
        description(40, 409, 410, PAGE + 8),
        description(48, 340, 7, PAGE + 8),
        description(0, 409, 7, PAGE + 8),
    ];
    for description in wrong {
        assert!(!is_page(PAGE, &description), "{description:?}");
    }
    // The map has no room for it.
    assert!(!is_page(0x4006_0000 - SIZE / 2, &description(40, 409, 7, 0x4006_0000 - SIZE / 2 + 8)));
}

#[test]
fn a_transient_heap_has_no_gap_and_leads_nowhere_else() {
    let blocks: Vec<(u64, u64)> = (0..BLOCKS as u64)
        .map(|index| (PAGE + index * BLOCK, PAGE + index.saturating_sub(1) * BLOCK))
        .collect();
    assert_eq!(heap(&blocks).map(|heap| heap.start()), Some(PAGE));
    let mut apart = blocks.clone();
    apart[BLOCKS - 1].0 += 1 << 40;
    let mut astray = blocks.clone();
    astray[BLOCKS - 1].1 += 1 << 40;
    let unlinked: Vec<(u64, u64)> = blocks.iter().map(|(block, _)| (*block, 0)).collect();
    for blocks in [apart, astray, unlinked] {
        assert_eq!(heap(&blocks), None);
    }
}
