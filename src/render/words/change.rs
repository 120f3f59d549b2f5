//! A change of the map, in words: `+ mapped file 4K  /tmp/x`, `~ Heap 132K → 264K`.

use std::borrow::Cow;

use mmview_platform::{Bytes, NameKind};

use super::regions as counted;
use crate::diff::{Change, ChangeKind};
use crate::region::Classified;
use crate::units::Units;
use crate::view::regions::detail;

/// More parts than these are not listed one by one.
const MOST_PARTS: usize = 4;

/// What happened, without the mark before it. Not escaped: it has names in it.
pub fn sentence(change: &Change, units: Units) -> Vec<u8> {
    let region = change.region();
    let titled = match change.kind {
        ChangeKind::Split | ChangeKind::Reshaped => &change.before[0],
        _ => region,
    };
    let mut text = format!("{} ", titled.title()).into_bytes();
    text.extend(what(change, units));
    if !matches!(change.kind, ChangeKind::Added | ChangeKind::Removed) {
        let separator = if change.kind == ChangeKind::Recounted { ": " } else { ", " };
        let counts = counts(&change.before, &change.after, units);
        if !counts.is_empty() {
            text.extend(format!("{separator}{}", counts.join(", ")).into_bytes());
        }
    }
    let name = name(region);
    if !name.is_empty() {
        text.extend(b"  ");
        text.extend(&*name);
    }
    text
}

/// What a region adds to its type. The kernel's label adds nothing.
fn name(classified: &Classified) -> Cow<'_, [u8]> {
    let is_label = classified.name().is_some_and(|name| name.kind() == NameKind::Kernel);
    if is_label && classified.note().is_none() { Cow::Borrowed(b"") } else { detail(classified) }
}

/// What happened to the regions themselves.
fn what(change: &Change, units: Units) -> Vec<u8> {
    let size = |regions: &[Classified]| {
        units.format(regions.iter().map(|classified| classified.size()).sum::<Bytes>())
    };
    let (before, after) = (&change.before[..], &change.after[..]);
    let text = match change.kind {
        ChangeKind::Added => size(after),
        ChangeKind::Removed => size(before),
        ChangeKind::Grown | ChangeKind::Shrunk => {
            let protection = protection(&before[0], &after[0]).unwrap_or_default();
            format!("{} → {}{protection}", size(before), size(after))
        }
        ChangeKind::Split => {
            let sum = |regions: &[Classified]| regions.iter().map(|part| part.size()).sum::<Bytes>();
            let gone = sum(before).saturating_sub(sum(after));
            let unmapped = match gone {
                Bytes::ZERO => String::new(),
                gone => format!(", {} unmapped", units.format(gone)),
            };
            format!("{} split in {}{unmapped}", size(before), parts(after, units))
        }
        ChangeKind::Merged => format!("{} merged into {}", parts(before, units), part(&after[0], units)),
        ChangeKind::Reshaped => format!("{} became {}", parts(before, units), parts(after, units)),
        ChangeKind::Reprotected => {
            let protection = protection(&before[0], &after[0]).unwrap_or_default();
            format!("{}{protection}", size(after))
        }
        ChangeKind::Renamed => {
            return [format!("{} was ", size(after)).into_bytes(), former(&before[0], &after[0])].concat();
        }
        ChangeKind::Moved => {
            let range = |regions: &[Classified]| regions[0].range().start();
            format!("{} moved from {:#x}", size(after), range(before))
        }
        ChangeKind::Recounted | ChangeKind::Incidental => size(after),
    };
    text.into_bytes()
}

fn protection(before: &Classified, after: &Classified) -> Option<String> {
    let (before, after) = (before.protection(), after.protection());
    (before != after).then(|| format!(" {before} → {after}"))
}

/// What a region was called that has another type or another name now.
fn former(before: &Classified, after: &Classified) -> Vec<u8> {
    let (title, name) = (before.title().as_bytes(), detail(before));
    match (before.title() == after.title(), before.name() == after.name()) {
        (false, true) => title.to_owned(),
        (true, false) if !name.is_empty() => name.into_owned(),
        _ => [title, b"  ", &name].concat().trim_ascii_end().to_owned(),
    }
}

fn part(classified: &Classified, units: Units) -> String {
    format!("{} {}", units.format(classified.size()), classified.protection())
}

/// `3: 4K rw-, 4K r--, 4K rw-`, or the number alone where there are many.
fn parts(regions: &[Classified], units: Units) -> String {
    if regions.len() > MOST_PARTS {
        return counted(regions.len());
    }
    let list: Vec<_> = regions.iter().map(|classified| part(classified, units)).collect();
    format!("{} ({})", regions.len(), list.join(", "))
}

/// The differences in what is in memory, each as `resident 0K → 4K`.
pub fn counts(before: &[Classified], after: &[Classified], units: Units) -> Vec<String> {
    let sum = |regions: &[Classified], of: fn(&Classified) -> Option<Bytes>| {
        regions.iter().map(of).sum::<Option<Bytes>>()
    };
    let count = |name: &str, of: fn(&Classified) -> Option<Bytes>| {
        let (before, after) = (sum(before, of)?, sum(after, of)?);
        (before != after).then(|| format!("{name} {} → {}", units.format(before), units.format(after)))
    };
    [
        count("resident", |classified| classified.counts().resident),
        count("dirty", |classified| classified.counts().dirty),
        count("swapped", |classified| classified.counts().swapped),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;
    use crate::diff::Diff;
    use crate::diff::tests::snapshot;
    use crate::text::printable;

    /// The mark and what happened, as a line that is safe to draw.
    fn line(change: &Change) -> String {
        format!("{} {}", change.kind.mark(), printable(&sentence(change, Units::Auto)))
    }

    fn lines(before: &str, after: &str) -> Vec<String> {
        let diff = Diff::between(&snapshot(before), &snapshot(after));
        diff.changes.iter().map(line).collect()
    }

    #[test]
    fn changes_in_words() {
        let file = "1000-2000 rw-s 0 08:01 7 /tmp/x\n";
        assert_eq!(lines("", file), ["+ mapped file 4K  /tmp/x"]);
        assert_eq!(lines(file, ""), ["- mapped file 4K  /tmp/x"]);
        let gone = file.replace("/x", "/x (deleted)");
        assert_eq!(lines(file, &gone), ["~ mapped file 4K was /tmp/x  /tmp/x (deleted)"]);
        let heap = |end: &str| format!("10000-{end} rw-p 0 00:00 0 [heap]\n");
        assert_eq!(lines(&heap("31000"), &heap("52000")), ["~ Heap 132K → 264K"]);
        let whole = "1000-4000 rw-p 0 00:00 0\n";
        let parts = "1000-2000 rw-p 0 00:00 0\n2000-3000 r--p 0 00:00 0\n3000-4000 rw-p 0 00:00 0\n";
        assert_eq!(lines(whole, parts), ["~ anonymous 12K split in 3 (4K rw-, 4K r--, 4K rw-)"]);
        assert_eq!(lines(parts, whole), ["~ anonymous 3 (4K rw-, 4K r--, 4K rw-) merged into 12K rw-"]);
        let hole = "1000-2000 rw-p 0 00:00 0\n3000-4000 rw-p 0 00:00 0\n";
        assert_eq!(lines(whole, hole), ["~ anonymous 12K split in 2 (4K rw-, 4K rw-), 4K unmapped"]);
        assert_eq!(lines(whole, "1000-4000 r--p 0 00:00 0\n"), ["~ anonymous 12K rw- → r--"]);
    }

    #[test]
    fn counts_in_words() {
        let file = |resident: u64, dirty: u64| {
            format!(
                "1000-4000 rw-s 0 08:01 7 /tmp/x\nRss: {resident} kB\nShared_Dirty: {dirty} kB\nPrivate_Dirty: 0 kB\n"
            )
        };
        assert_eq!(
            lines(&file(0, 0), &file(8, 4)),
            ["~ mapped file 12K: resident 0K → 8K, dirty 0K → 4K  /tmp/x"]
        );
        assert!(counts(&classified(&file(4, 0)), &classified(&file(4, 0)), Units::Auto).is_empty());
    }

    #[test]
    fn a_hostile_name_is_escaped() {
        let file = "1000-2000 rw-s 0 08:01 7 /tmp/\x1b[31m\n";
        assert_eq!(lines("", file), [r"+ mapped file 4K  /tmp/\x1b[31m"]);
    }
}
