//! Records of groups that contradict themselves.

use super::groups::Group;
use crate::owners::tests::Forged;

/// A group of 10 slots of 32 bytes in a page, with these masks of free and freed slots.
fn group(available: u32, freed: u32, last: u64, pages: u64) -> Option<Group> {
    let mut record = vec![0; 16];
    record.extend(0x4000_0000_u64.to_le_bytes());
    record.extend(available.to_le_bytes());
    record.extend(freed.to_le_bytes());
    record.extend((last | 1 << 6 | pages << 12).to_le_bytes());
    Forged::new(vec![0]).inspect(8, |target, _| Group::parse(target, 0x4000_1000, &record))
}

#[test]
fn free_and_freed_slots_are_not_in_use() {
    let group = group(0b11_0000_0000, 0b101, 9, 1).unwrap();
    assert_eq!((group.slots, group.used, group.slot_size), (10, 6, 32));
}

#[test]
fn the_only_slot_of_a_mapping_is_all_of_it() {
    assert_eq!(group(0, 0, 0, 5).unwrap().slot_size, 5 * 4096 - 16);
}

#[test]
fn a_record_that_contradicts_itself_is_no_group() {
    assert_eq!(group(0b1, 0b1, 9, 1), None, "a slot is free twice");
    assert_eq!(group(1 << 10, 0, 9, 1), None, "a slot that there is not is free");
    assert_eq!(group(0, 0, 9, u64::MAX >> 12), None, "the mapping is larger than the address space");
}
