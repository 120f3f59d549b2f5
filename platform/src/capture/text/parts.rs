//! The maps of a text that have ended.

use std::collections::{BTreeMap, HashSet};

use super::part::Part;
use crate::model::{AddrRange, NameKind, Region};

/// How many regions of several maps are kept, so that a long log with a map in every minute takes little memory. One map may have
/// more.
const MOST_REGIONS: usize = 48 << 10;

/// The labels of regions that a process has once.
const ONCE: [&[u8]; 5] = [b"[heap]", b"[stack]", b"[vdso]", b"[vvar]", b"[vsyscall]"];

/// The maps of a text that have ended, in its order.
#[derive(Default)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// What the last one has: the next one can turn out to be more of it.
    seen: Seen,
    /// How many regions are kept.
    regions: usize,
    /// The number of the map that was asked for, from 1.
    wanted: Option<usize>,
}

impl Parts {
    pub fn new(wanted: Option<usize>) -> Parts {
        Parts { wanted, ..Parts::default() }
    }

    /// Adds a part. It is more of the last one if its regions only are not ordered by address: no two of them overlap, and the map
    /// has nothing twice that a process has once.
    pub fn add(&mut self, part: Part) {
        self.regions += part.regions.len();
        match self.parts.last_mut() {
            Some(last) if last.kind == part.kind && last.prefix == part.prefix && self.seen.allows(&part) => {
                self.seen.add(&part);
                last.append(part);
            }
            _ => {
                self.seen = Seen::default();
                self.seen.add(&part);
                self.parts.push(part);
            }
        }
        self.make_room();
    }

    /// Forgets the regions of maps that others have more of.
    fn make_room(&mut self) {
        while self.regions > MOST_REGIONS {
            // The last one may go on.
            let others = &self.parts[..self.parts.len() - 1];
            let can_go =
                |(index, part): &(usize, &Part)| !part.regions.is_empty() && self.wanted != Some(index + 1);
            let places = others.iter().enumerate().rev().filter(can_go);
            let Some((least, _)) = places.min_by_key(|(_, part)| (part.detail(), part.regions.len())) else {
                break;
            };
            self.regions -= std::mem::take(&mut self.parts[least].regions).len();
        }
    }

    pub fn into_vec(self) -> Vec<Part> {
        self.parts
    }
}

/// What a map has so far.
#[derive(Default)]
struct Seen {
    /// The starts and ends of its regions.
    ranges: BTreeMap<u64, u64>,
    labels: HashSet<&'static [u8]>,
}

impl Seen {
    fn allows(&self, part: &Part) -> bool {
        let is_free = |range: AddrRange| {
            let before = self.ranges.range(..range.end()).next_back();
            !range.is_empty() && before.is_none_or(|(_, end)| *end <= range.start())
        };
        !part.regions.is_empty()
            && part.regions.iter().all(|region| {
                is_free(region.range) && label_of(region).is_none_or(|label| !self.labels.contains(label))
            })
    }

    fn add(&mut self, part: &Part) {
        self.ranges.extend(part.regions.iter().map(|region| (region.range.start(), region.range.end())));
        self.labels.extend(part.regions.iter().filter_map(label_of));
    }
}

fn label_of(region: &Region) -> Option<&'static [u8]> {
    let name = region.name.as_ref().filter(|name| name.kind() == NameKind::Kernel)?;
    ONCE.into_iter().find(|label| *label == name.bytes())
}
