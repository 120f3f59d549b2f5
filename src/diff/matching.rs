//! Matches the regions of two maps.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use mmview_platform::{Name, NameKind, Native, PageCounts, Region};

use super::change::{Change, ChangeKind};
use crate::region::Classified;

/// Compares two lists of regions, each by address. Returns the changes by address, and the number of unchanged regions.
///
/// If they `may_move`, a region that was removed matches one like it that was added elsewhere.
pub(super) fn compare(before: &[Classified], after: &[Classified], may_move: bool) -> (Vec<Change>, u64) {
    let (before, after, unchanged) = without_equal(before, after);
    let mut changes = Vec::new();
    for group in groups(&before, &after) {
        let pick = |from: &[&Classified], places: Vec<usize>| -> Vec<Classified> {
            places.into_iter().map(|place| from[place].clone()).collect()
        };
        let (before, after) = (pick(&before, group.before), pick(&after, group.after));
        changes.push(Change { kind: kind(&before, &after), before, after });
    }
    if may_move {
        match_by_identity(&mut changes);
    }
    changes.sort_by_key(|change: &Change| (change.region().range(), !change.after.is_empty()));
    (changes, unchanged)
}

/// Returns the regions of each list that are not in the other, and the number of those in both.
fn without_equal<'a>(
    before: &'a [Classified],
    after: &'a [Classified],
) -> (Vec<&'a Classified>, Vec<&'a Classified>, u64) {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    let mut equal = 0;
    loop {
        match (before.peek(), after.peek()) {
            (Some(one), Some(other)) if one == other => {
                equal += 1;
                before.next();
                after.next();
            }
            (Some(one), Some(other)) if one.range() <= other.range() => removed.extend(before.next()),
            (Some(_), None) => removed.extend(before.next()),
            (_, Some(_)) => added.extend(after.next()),
            (None, None) => return (removed, added, equal),
        }
    }
}

/// Regions that belong together, by their indices in both lists.
#[derive(Clone, Debug, Default)]
struct Group {
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Groups the regions of two lists that overlap and have the same backing, transitively.
fn groups(before: &[&Classified], after: &[&Classified]) -> Vec<Group> {
    // Numbers the regions of the first list, then those of the second.
    let mut sets = Sets::new(before.len() + after.len());
    let mut first = 0;
    for (place, one) in before.iter().enumerate() {
        while after.get(first).is_some_and(|other| is_below(other.facts(), one.facts())) {
            first += 1;
        }
        let overlapping = after[first..].iter().take_while(|other| !is_below(one.facts(), other.facts()));
        for (offset, other) in overlapping.enumerate() {
            if is_same_object(one.facts(), other.facts()) {
                sets.join(place, before.len() + first + offset);
            }
        }
    }
    let mut groups = vec![Group::default(); before.len() + after.len()];
    for place in 0..before.len() {
        groups[sets.of(place)].before.push(place);
    }
    for place in 0..after.len() {
        groups[sets.of(before.len() + place)].after.push(place);
    }
    groups.retain(|group| !group.before.is_empty() || !group.after.is_empty());
    groups
}

/// Whether `one` lies entirely below `other`. Two empty regions with the same address don't.
fn is_below(one: &Region, other: &Region) -> bool {
    one.range.end() <= other.range.start() && one.range != other.range
}

/// Disjoint sets, joined under the lower number, with path halving.
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Sets {
        Sets((0..count).collect())
    }

    fn of(&mut self, mut item: usize) -> usize {
        while self.0[item] != item {
            self.0[item] = self.0[self.0[item]];
            item = self.0[item];
        }
        item
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of(one), self.of(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// Whether two regions that share addresses have the same backing: the same part of the same file or object, or private memory
/// of any name.
fn is_same_object(one: &Region, other: &Region) -> bool {
    match (&one.native, &other.native) {
        (Native::Linux(first), Native::Linux(second)) => {
            let base = |region: &Region| region.offset.wrapping_sub(region.range.start());
            // A file can be renamed while it is mapped: its device and inode identify it.
            let is_file = |region: &Region| region.name.as_ref().is_some_and(Name::is_file);
            let is_same = match (is_file(one), is_file(other)) {
                // A core has no inodes.
                (true, true) if first.inode != 0 && second.inode != 0 => {
                    (first.device, first.inode) == (second.device, second.inode)
                }
                (true, true) => object(one) == object(other),
                _ => object(one) == object(other) && first.inode == second.inode,
            };
            let is_known = one.share.is_known() && other.share.is_known();
            let has_offsets = object(one).is_some() && !is_label(one);
            is_same
                && (!is_known || one.share.is_shared() == other.share.is_shared())
                && (!has_offsets || base(one) == base(other))
        }
        (Native::Macos(first), Native::Macos(second)) => {
            // A report shows `MALLOC_TINY (empty)` for a zone without allocations.
            let base = |printed: &Option<Box<str>>| {
                printed.as_deref().map(|title| title.split(" (").next().unwrap_or(title).to_owned())
            };
            object(one) == object(other)
                && (first.user_tag, &first.segment) == (second.user_tag, &second.segment)
                && base(&first.printed_type) == base(&second.printed_type)
        }
        _ => false,
    }
}

/// The name of a region's backing; `None` for private memory, which a process can rename at any time.
fn object(region: &Region) -> Option<&[u8]> {
    let name = region.name.as_ref().filter(|name| name.kind() != NameKind::Given)?;
    Some(name.bytes())
}

fn is_label(region: &Region) -> bool {
    region.name.as_ref().is_some_and(|name| name.kind() == NameKind::Kernel)
}

/// What happened to regions that belong together.
fn kind(before: &[Classified], after: &[Classified]) -> ChangeKind {
    let (one, other) = match (before, after) {
        ([], _) => return ChangeKind::Added,
        (_, []) => return ChangeKind::Removed,
        ([one], [other]) => (one, other),
        ([_], _) => return ChangeKind::Split,
        (_, [_]) => return ChangeKind::Merged,
        _ => return ChangeKind::Reshaped,
    };
    let (before, after) = (one.facts(), other.facts());
    if before.range != after.range {
        return match after.size().cmp(&before.size()) {
            Ordering::Greater => ChangeKind::Grown,
            Ordering::Less => ChangeKind::Shrunk,
            Ordering::Equal => ChangeKind::Moved,
        };
    }
    kind_in_place(one, other)
}

/// What happened to a region whose addresses are the same.
fn kind_in_place(one: &Classified, other: &Classified) -> ChangeKind {
    let (before, after) = (one.facts(), other.facts());
    if before.protection != after.protection {
        ChangeKind::Reprotected
    } else if before.name != after.name || one.title() != other.title() {
        ChangeKind::Renamed
    } else if is_recounted(&before.counts, &after.counts) {
        ChangeKind::Recounted
    } else {
        ChangeKind::Incidental
    }
}

/// Whether a size differs that was measured in both.
fn is_recounted(before: &PageCounts, after: &PageCounts) -> bool {
    let pairs =
        [(before.resident, after.resident), (before.dirty, after.dirty), (before.swapped, after.swapped)];
    pairs.into_iter().any(|(before, after)| before.zip(after).is_some_and(|(before, after)| before != after))
}

/// What identifies a region that may have moved: its name, type, offset in the file, size, protection, and whether it is
/// shared.
type Identity<'a> = (Option<&'a Name>, &'a str, u64, u64, &'static str, bool);

fn identity(change: &Change) -> Identity<'_> {
    let region = change.region();
    // There is one `[heap]` and one `[stack]`, of any size.
    let size = if is_label(region.facts()) { 0 } else { region.size().0 };
    (
        region.name(),
        region.title(),
        region.offset(),
        size,
        region.protection().as_str(),
        region.share().is_shared(),
    )
}

/// Joins each removed region with an added one of the same identity, both in the order of their addresses.
fn match_by_identity(changes: &mut Vec<Change>) {
    let mut removed: HashMap<Identity<'_>, VecDeque<usize>> = HashMap::new();
    let is = |change: &Change, kind| change.kind == kind;
    for (place, change) in changes.iter().enumerate().filter(|(_, change)| is(change, ChangeKind::Removed)) {
        removed.entry(identity(change)).or_default().push_back(place);
    }
    let mut pairs = Vec::new();
    for (place, change) in changes.iter().enumerate().filter(|(_, change)| is(change, ChangeKind::Added)) {
        let from = removed.get_mut(&identity(change)).and_then(VecDeque::pop_front);
        pairs.extend(from.map(|from| (from, place)));
    }
    for (from, to) in pairs {
        let before = std::mem::take(&mut changes[from].before);
        changes[to].kind = ChangeKind::Moved;
        changes[to].before = before;
    }
    changes.retain(|change| !change.before.is_empty() || !change.after.is_empty());
}
