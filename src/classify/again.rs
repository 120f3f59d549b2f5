//! Explaining a map again after a change: only the regions that changed, and those that a rule relates to them.

use mmview_platform::{Region, Result};

use super::past::Past;
use super::{Classify, Context, image};
use crate::region::Classified;

/// Explains `regions`, which are much like `last`, explained with `before`. The result is that of explaining all of them.
///
/// A region's meaning depends on its facts, on at most [`image::LONGEST_RUN`] regions after it, on the kind of the one before
/// it, and on the images that can go on at its place. Regions far enough before the first change keep their meaning; so do
/// those after the last change, from a place on where nothing of the past matters any more.
pub(crate) fn explain_again(
    last: &[Classified],
    before: &Context,
    regions: Vec<Region>,
    context: &Context,
) -> Vec<Classified> {
    let is_same = |(old, new): &(&Classified, &Region)| old.facts() == *new;
    let is_comparable = before.is_equivalent(last.iter().map(Classified::facts), context, regions.iter());
    let (head, tail) = if is_comparable {
        let head = last.iter().zip(&regions).take_while(is_same).count();
        let rest = last.len().min(regions.len()) - head;
        let tail = last.iter().rev().zip(regions.iter().rev()).take(rest).take_while(is_same).count();
        (head, tail)
    } else {
        (0, 0)
    };
    // As far as no rule looks ahead at the change, and back to a place where no image goes on.
    let mut kept = head.saturating_sub(image::LONGEST_RUN + 1);
    while kept > 0
        && let Some(segment) = image_below(&last[..kept], last[kept].range().start())
    {
        kept = segment;
    }
    let mut past = Past::default();
    if let Some(region) = kept.checked_sub(1).map(|index| &last[index]) {
        past.remember(region.facts(), region.kind());
    }
    let count = regions.len();
    let mut regions = regions.into_iter();
    let mut explained = Vec::with_capacity(count);
    let meanings = last[..kept].iter().map(Classified::meaning);
    explained.extend(
        regions.by_ref().zip(meanings).map(|(facts, meaning)| Classified::new(facts, meaning.clone())),
    );
    let regions = regions.map(Ok as fn(Region) -> Result<Region>);
    let mut classify = Classify::resume(regions, context.clone(), past);
    // The old place of the new region at `index`, once all changes lie behind it.
    let old_place = |index: usize| (index + tail >= count).then(|| last.len() - (count - index));
    for region in classify.by_ref() {
        let region = region.expect("regions in memory can be read");
        let place = old_place(explained.len());
        explained.push(region);
        let Some(place) = place.filter(|&place| last[place].kind() == explained[explained.len() - 1].kind())
        else {
            continue;
        };
        let Some(next) = last.get(place + 1) else { break };
        let start = next.range().start();
        if image_below(&last[..=place], start).is_none() && image_below(&explained, start).is_none() {
            break;
        }
    }
    let rest = explained.len();
    let meanings = (rest..count).filter_map(old_place).map(|place| last[place].meaning());
    explained.extend(
        classify
            .ahead
            .filter_map(Result::ok)
            .zip(meanings)
            .map(|(facts, meaning)| Classified::new(facts, meaning.clone())),
    );
    explained
}

/// The last of `regions` that is a segment of an image which can go on at `start`.
fn image_below(regions: &[Classified], start: u64) -> Option<usize> {
    let first =
        regions.partition_point(|region| region.range().end().saturating_add(image::LARGEST_HOLE) < start);
    let is_segment = |region: &Classified| image::is_segment(region.facts(), region.kind());
    regions[first..].iter().rposition(is_segment).map(|index| first + index)
}

#[cfg(test)]
mod tests {
    use mmview_platform::{ProcessInfo, ThreadInfo};
    use proptest::prelude::*;

    use super::*;
    use crate::classify::tests::{regions, source};

    /// A line of this is a gap, wider than any hole of an image.
    const GAP: &str = "";

    const LINES: [&str; 15] = [
        GAP,
        "---p 1000 08:01 7 /lib/x.so",
        "r-xp 0 08:01 8 /lib/y.so",
        "r--p 0 08:01 7 /lib/x.so",
        "r-xp 1000 08:01 7 /lib/x.so",
        "rw-p 2000 08:01 7 /lib/x.so",
        "rw-p 0 00:00 0",
        "---p 0 00:00 0",
        "rwxp 0 00:00 0",
        "rw-s 0 08:01 9 /tmp/data",
        "rwxp 3000 08:01 7 /lib/x.so",
        "rw-p 0 00:00 0 [heap]",
        "r-xp 0 00:05 3 /memfd:jit (deleted)",
        "rw-p 0 00:00 0 [anon:x]",
        "rw-p 0 00:00 0 [stack]",
    ];

    /// A map of lines, each with as many pages.
    fn text(lines: &[(usize, u64)]) -> String {
        let mut start = 0x1000_0000;
        let mut text = String::new();
        for (line, pages) in lines {
            if LINES[*line] == GAP {
                start += image::LARGEST_HOLE + pages * 0x1000;
                continue;
            }
            let end = start + pages * 0x1000;
            text += &format!("{start:x}-{end:x} {}\n", LINES[*line]);
            start = end;
        }
        text
    }

    fn check(before: &str, after: &str, process: [&ProcessInfo; 2]) {
        let context =
            |process: &ProcessInfo, text: &str| Context::new(process, &source()).with_map(&regions(text));
        let (old, new) = (context(process[0], before), context(process[1], after));
        let whole = |text: &str, context: &Context| -> Vec<_> {
            let regions = regions(text).into_iter().map(Ok);
            Classify::new(regions, context.clone()).map(|region| region.unwrap()).collect()
        };
        let again = explain_again(&whole(before, &old), &old, regions(after), &new);
        assert_eq!(again, whole(after, &new), "{before}\n{after}");
    }

    proptest! {
        #[test]
        fn explaining_again_is_explaining_all(
            head in proptest::collection::vec((0..LINES.len(), 1..40u64), 0..200),
            old in proptest::collection::vec((0..LINES.len(), 1..40u64), 0..6),
            new in proptest::collection::vec((0..LINES.len(), 1..40u64), 0..6),
            tail in proptest::collection::vec((0..LINES.len(), 1..40u64), 0..200),
            pointers in proptest::collection::vec(0x1000_0000..0x1400_0000u64, 0..3),
            moved in any::<bool>(),
        ) {
            let before = text(&[head.clone(), old, tail.clone()].concat());
            let after = text(&[head, new, tail].concat());
            let process = |by: u64| {
                let mut process = ProcessInfo::default();
                for (pointer, id) in pointers.iter().zip(1..) {
                    let mut thread = ThreadInfo::new(id);
                    thread.stack_pointer = Some(pointer + by);
                    process.threads.push(thread);
                }
                process
            };
            check(&before, &after, [&process(0), &process(if moved { 8 } else { 0 })]);
        }
    }
}
