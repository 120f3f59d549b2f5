//! The order of rows.

use std::cmp::{Ordering, Reverse};

use crate::field::{self, Field};
use crate::region::Classified;
use crate::summary::Row;

/// Sorts by a field: amounts from large to small, anything else in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub field: &'static Field,
    /// The other way around.
    pub is_reversed: bool,
}

impl Order {
    /// Sorts regions; equal ones by address.
    pub fn sort_regions(self, regions: &mut [Classified]) {
        let field = self.field;
        regions.sort_by(|one, other| {
            let order = field.compare(&field.value(one), &field.value(other));
            self.directed(order).then(one.range().cmp(&other.range()))
        });
    }

    /// Sorts the rows of a summary; equal ones by name.
    pub fn sort_rows(self, rows: &mut [Row]) {
        rows.sort_by(|one, other| {
            self.directed(self.compare_rows(one, other)).then_with(|| one.title.cmp(&other.title))
        });
    }

    fn compare_rows(self, one: &Row, other: &Row) -> Ordering {
        match self.field {
            field if *field == field::TYPE => one.title.cmp(&other.title),
            field if *field == field::KIND => one.kind.id().cmp(other.kind.id()),
            field if *field == field::EVIDENCE => one.evidence.evidence().cmp(&other.evidence.evidence()),
            field if *field == field::REGIONS => {
                Reverse(one.totals.regions).cmp(&Reverse(other.totals.regions))
            }
            field => Reverse(one.totals.sum(field)).cmp(&Reverse(other.totals.sum(field))),
        }
    }

    fn directed(self, order: Ordering) -> Ordering {
        if self.is_reversed { order.reverse() } else { order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;

    fn sorted(map: &str, name: &str, is_reversed: bool) -> Vec<u64> {
        let mut regions = classified(map);
        Order { field: Field::named(name).unwrap(), is_reversed }.sort_regions(&mut regions);
        regions.iter().map(|region| region.range().start()).collect()
    }

    #[test]
    fn sizes_are_sorted_from_large_to_small_and_equal_ones_by_address() {
        let map = "1000-2000 r--s 0 00:00 0\n3000-5000 r--s 0 00:00 0\n6000-7000 r--s 0 00:00 0\n";
        assert_eq!(sorted(map, "size", false), [0x3000, 0x1000, 0x6000]);
        assert_eq!(sorted(map, "size", true), [0x1000, 0x6000, 0x3000]);
    }

    #[test]
    fn every_field_is_a_key() {
        let map = "1000-2000 rw-p 0 00:00 0\nLazyFree: 0 kB\nVmFlags: rd\n\
                   3000-4000 rw-p 0 08:01 7 /x\nLazyFree: 4 kB\nVmFlags: mr\n\
                   5000-6000 r--p 0 08:01 7 /a\n";
        assert_eq!(sorted(map, "lazyfree", false), [0x3000, 0x1000, 0x5000]);
        assert_eq!(sorted(map, "path", false), [0x1000, 0x5000, 0x3000]);
        assert_eq!(sorted(map, "perm", false), [0x5000, 0x1000, 0x3000]);
        assert_eq!(sorted(map, "flags", false), [0x5000, 0x3000, 0x1000]);
        for field in Field::all() {
            assert_eq!(sorted(map, field.name, false).len(), 3);
        }
    }
}
