//! Meta areas, and the groups that their records lead to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::target::{Target, is_brk, is_plain};

/// A meta area: a page of 4 KiB, whatever the system's. The secret, the next area, the number of records in use.
pub(super) const AREA: u64 = 4096;
const NEXT: u64 = 8;
const SLOTS: u64 = 16;
const RECORDS: u64 = 24;

/// A record: the group is its third word, then the masks of free slots and of freed ones, then the rest in bits.
const RECORD: u64 = 40;
const GROUP: u64 = 16;
const AVAILABLE: u64 = 24;
const FREED: u64 = 28;
const BITS: u64 = 32;
const MOST_RECORDS: u64 = (AREA - RECORDS) / RECORD;

/// The header of a group: a pointer to its record, and the index of the last slot.
pub(super) const HEADER: u64 = 16;

/// The unit of sizes (`UNIT`).
const UNIT: u64 = 16;

/// The sizes of slots in units (`__malloc_size_classes`).
const CLASSES: [u64; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146, 170, 204,
    255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460,
    6552, 8191,
];

/// The class of a group that is a mapping for one block.
const SINGLE: u64 = 63;

/// How many areas are followed at most: records for 100 million groups.
const MOST_AREAS: usize = 1 << 20;

/// How many pages are tried as meta areas at most.
const MOST_PAGES: usize = 1 << 16;

/// A group of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its record.
    record: u64,
    pub address: u64,
    pub slot_size: u64,
    pub slots: u64,
    /// Slots in use.
    pub used: u64,
    /// Those of them that hold other groups.
    pub nested: u64,
    /// The size of its mapping; 0 if it lies in a slot or in donated memory.
    mapped: u64,
}

impl Group {
    /// The group of a record; `None` if the record is unused or contradicts itself.
    pub fn parse(target: &Target<'_>, record: u64, bytes: &[u8]) -> Option<Group> {
        let number = |offset| target.u32_in(bytes, offset).map(u64::from);
        let (address, bits) = (target.u64_in(bytes, GROUP)?, target.u64_in(bytes, BITS)?);
        let (last, class, pages) = (bits & 31, bits >> 6 & 63, bits >> 12);
        let all = (2_u64 << last) - 1;
        let (available, freed) = (number(AVAILABLE)?, number(FREED)?);
        let mapped = pages.checked_mul(AREA)?;
        // The one slot of a mapping is as large as that (`get_stride`), whatever the class.
        let slot_size = match class {
            _ if last == 0 && mapped > 0 => mapped - HEADER,
            SINGLE => return None,
            class => CLASSES.get(class as usize)? * UNIT,
        };
        let slots = last + 1;
        let idle = (available | freed) & all;
        let is_possible = address != 0
            && address.is_multiple_of(UNIT)
            && address.checked_add(mapped).is_some()
            && available & freed == 0
            && (available | freed) & !all == 0
            && (mapped == 0 || HEADER + slots * slot_size <= mapped);
        let used = slots - u64::from(idle.count_ones());
        is_possible.then_some(Group { record, address, slot_size, slots, used, nested: 0, mapped })
    }

    /// Whether it is a mapping for one block.
    pub fn is_single(&self) -> bool {
        self.slots == 1 && self.mapped > 0
    }

    /// The addresses of its slots.
    fn slots(&self) -> Option<AddrRange> {
        AddrRange::with_size(self.address.checked_add(HEADER)?, Bytes(self.slots * self.slot_size))
    }

    /// The memory that it is in; `None` if that is a slot, or donated.
    fn mapping(&self) -> Option<AddrRange> {
        AddrRange::with_size(self.address, Bytes(self.mapped)).filter(|range| !range.is_empty())
    }
}

/// What the meta areas lead to.
pub(super) struct Groups {
    /// Ordered by address.
    pub groups: Vec<Group>,
    /// The meta areas, ascending.
    pub areas: Vec<u64>,
    /// Why the figures may be wrong.
    pub doubts: Vec<String>,
}

/// A page that looks like a meta area.
struct Area {
    secret: u64,
    next: u64,
}

impl Area {
    fn parse(target: &Target<'_>, bytes: &[u8]) -> Option<Area> {
        let (secret, next) = (target.u64_in(bytes, 0)?, target.u64_in(bytes, NEXT)?);
        let slots = u64::from(target.u32_in(bytes, SLOTS)?);
        let is_possible = secret != 0
            && next.is_multiple_of(AREA)
            && next != u64::MAX
            && (1..=MOST_RECORDS).contains(&slots);
        let is_linked = next == 0 || target.is_plain(next);
        (is_possible && is_linked).then_some(Area { secret, next })
    }
}

impl Groups {
    /// Finds every group, from the meta areas in `open`. `None` if there is no meta area.
    pub fn find(target: &Target<'_>, open: &[AddrRange]) -> Result<Option<Groups>> {
        let Some(areas) = areas(target, open)? else { return Ok(None) };
        let mut found = Groups { groups: Vec::new(), areas, doubts: Vec::new() };
        let before = found.read(target)?;
        if before.is_empty() {
            return Ok(None);
        }
        let links = target.gather(before.iter().map(|group| group.address), 8)?;
        let mut torn = 0;
        for (group, link) in before.iter().zip(links.iter()) {
            let is_linked = link.and_then(|link| target.u64_in(link, 0)) == Some(group.record);
            let mapping = group.mapping();
            if is_linked && mapping.is_none_or(|mapping| target.is_within(mapping, is_plain)) {
                found.groups.push(*group);
            } else {
                torn += 1;
            }
        }
        let again: HashMap<u64, Group> =
            found.read(target)?.into_iter().map(|group| (group.record, group)).collect();
        let changed = found.groups.iter().filter(|group| again.get(&group.record) != Some(group)).count();
        for (count, what) in [(torn, "contradict their records"), (changed, "changed while they were read")] {
            if count > 0 {
                found.doubts.push(format!("{count} of {} groups {what}", before.len()));
            }
        }
        found.groups.sort_unstable_by_key(|group| group.address);
        let mut mapped_end = 0;
        found.groups.retain(|group| {
            let is_apart = group.mapped == 0 || group.address >= mapped_end;
            mapped_end = mapped_end.max(group.address + group.mapped);
            is_apart
        });
        found.groups.dedup_by_key(|group| group.address);
        found.nest();
        Ok(Some(found))
    }

    /// The groups of all records that are possible.
    fn read(&self, target: &Target<'_>) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for bytes in target.gather(self.areas.iter().copied(), AREA as usize)?.iter().zip(&self.areas) {
            let (Some(bytes), area) = bytes else { continue };
            let count = target.u32_in(bytes, SLOTS).map_or(0, u64::from).min(MOST_RECORDS);
            for offset in (0..count).map(|index| RECORDS + index * RECORD) {
                let Some(record) = bytes.get(offset as usize..(offset + RECORD) as usize) else { break };
                groups.extend(Group::parse(target, area + offset, record));
            }
        }
        Ok(groups)
    }

    /// Finds for each group that lies in a slot of a larger one the slot, which is no block.
    fn nest(&mut self) {
        let by_start: BTreeMap<u64, usize> =
            self.groups.iter().enumerate().map(|(index, group)| (group.address, index)).collect();
        for index in 0..self.groups.len() {
            let group = self.groups[index];
            if group.mapped > 0 {
                continue;
            }
            // The slots of nested groups lie between, but groups nest a few levels deep only.
            let holds = |outer: &Group| {
                outer.slot_size > group.slot_size
                    && outer.slots().is_some_and(|slots| slots.contains(group.address))
            };
            let before = by_start.range(..group.address).rev().take(MOST_BETWEEN);
            let outer = before.map(|(_, index)| *index).find(|outer| holds(&self.groups[*outer]));
            if let Some(outer) = outer {
                let outer = &mut self.groups[outer];
                outer.nested = (outer.nested + 1).min(outer.used);
            }
        }
    }

    /// The memory of groups that are mappings, ordered by address.
    pub fn mappings(&self) -> Vec<AddrRange> {
        let mut mappings: Vec<AddrRange> = self.groups.iter().filter_map(Group::mapping).collect();
        mappings.sort_unstable();
        mappings
    }
}

/// How many groups can begin between the start of a group and one in its last slot: each slot holds a group that holds others.
const MOST_BETWEEN: usize = 32 * 32;

/// The meta areas: pages with the same secret first, linked by their second words.
fn areas(target: &Target<'_>, open: &[AddrRange]) -> Result<Option<Vec<u64>>> {
    let mut candidates: Vec<AddrRange> = open.to_vec();
    // The break has them first, and small regions are searched before large ones.
    let is_heap = |range: &AddrRange| target.region_at(range.start()).is_some_and(is_brk);
    candidates.sort_by_key(|range| (!is_heap(range), range.size()));
    let mut tried = 0;
    for range in candidates {
        let mut pages = Vec::new();
        for resident in target.resident(range)?.into_iter().filter_map(|run| run.overlap(range)) {
            let room = MOST_PAGES - tried - pages.len();
            pages.extend((resident.start()..resident.end()).step_by(AREA as usize).take(room));
        }
        tried += pages.len();
        if let Some(areas) = areas_among(target, &pages)? {
            return Ok(Some(areas));
        }
        if tried == MOST_PAGES {
            break;
        }
    }
    Ok(None)
}

/// The areas that one of these pages leads to, if there is a proven one.
fn areas_among(target: &Target<'_>, pages: &[u64]) -> Result<Option<Vec<u64>>> {
    let mut votes: HashMap<u64, Vec<u64>> = HashMap::new();
    for (page, bytes) in pages.iter().zip(target.gather(pages.iter().copied(), RECORDS as usize)?.iter()) {
        if let Some(area) = bytes.and_then(|bytes| Area::parse(target, bytes)) {
            votes.entry(area.secret).or_default().push(*page);
        }
    }
    let mut votes: Vec<_> = votes.into_iter().collect();
    votes.sort_by_key(|(secret, areas)| (std::cmp::Reverse(areas.len()), *secret));
    for (secret, pages) in votes.into_iter().take(MOST_SECRETS) {
        if proves(target, &pages)? {
            return Ok(Some(linked(target, secret, pages)?));
        }
    }
    Ok(None)
}

/// How many secrets are tried.
const MOST_SECRETS: usize = 16;

/// Whether a group of one of these areas points back to its record.
fn proves(target: &Target<'_>, areas: &[u64]) -> Result<bool> {
    let areas: Vec<u64> = areas.iter().copied().take(MOST_SECRETS).collect();
    let groups = Groups { groups: Vec::new(), areas, doubts: Vec::new() }.read(target)?;
    let links = target.gather(groups.iter().map(|group| group.address), 8)?;
    let is_link = |(group, link): (&Group, Option<&[u8]>)| {
        link.and_then(|link| target.u64_in(link, 0)) == Some(group.record)
    };
    Ok(groups.iter().zip(links.iter()).any(is_link))
}

/// The areas with this secret that `areas` lead to, themselves included.
fn linked(target: &Target<'_>, secret: u64, areas: Vec<u64>) -> Result<Vec<u64>> {
    let mut seen = BTreeSet::new();
    let mut open = areas;
    while let Some(area) = open.pop() {
        if seen.len() == MOST_AREAS || seen.contains(&area) {
            continue;
        }
        let header = target.bytes(area, RECORDS as usize)?;
        if let Some(found) = Area::parse(target, &header).filter(|found| found.secret == secret) {
            seen.insert(area);
            open.extend(Some(found.next).filter(|next| *next != 0));
        }
    }
    Ok(seen.into_iter().collect())
}
