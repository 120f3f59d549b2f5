//! Huge pages, where the system has them.

use mmview_platform::own::{Advice, HugePages, Mapping, Sharing, huge_pages};
use mmview_platform::{Bytes, Protection};

use super::stage::Stage;
use super::step::{Fact, Measure, Step};
use super::watch::Watch;
use crate::cli::DemoPlan;

pub(super) fn run(_: &DemoPlan, stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let huge = match huge_pages() {
        Ok(huge) => huge,
        Err(error) => {
            let why = format!("There is nothing to show here: {error}.");
            return stage
                .show(Step::new("not here", "the system is asked for transparent huge pages").why(&[&why]));
        }
    };
    let access = Protection::READ.with(Protection::WRITE);
    // Twice the size has a whole one in it, wherever it lies.
    let map = Mapping::anonymous(Bytes(2 * huge.size.0), Sharing::Private, access)?;
    let place = Bytes(map.address().next_multiple_of(huge.size.0) - map.address());
    let mut watch = Watch::own("", map.address())?;
    let size = stage.size(huge.size);
    let fact = Fact::new(
        "transparent_huge_pages",
        huge.when.as_str(),
        format!("huge pages are of {size}, and memory gets them: {}", when(&huge)),
    );
    let _ = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages);
    map.write(place, 1);
    let small = watch.look()?;
    let resident = stage.size(small.now(Measure::Resident).unwrap_or_default());
    let call = format!(
        "mmap(NULL, {}, …, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); madvise(MADV_NOHUGEPAGE); a store to one byte",
        map.size().0
    );
    let why = format!("Without huge pages: one byte, {resident}.");
    stage.show(Step::new("a small page", call).region(small).fact(fact).why(&[&why]))?;

    // What is there already would have to be made huge by the kernel's own thread, some time later.
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    map.advise(Bytes::ZERO, map.size(), Advice::HugePages)?;
    let advised = watch.look()?;
    let why = match advised.now(Measure::Resident) {
        Some(Bytes::ZERO) => {
            "The page is given back, and huge ones are welcome now. Nothing has come of it yet."
        }
        _ => "Huge pages are welcome now.",
    };
    stage.show(
        Step::new("advised", "madvise(MADV_DONTNEED), madvise(MADV_HUGEPAGE)").region(advised).why(&[why]),
    )?;

    map.write(place, 1);
    let touched = watch.look()?;
    let grown = touched.grew(Measure::Resident);
    let why = if touched.grew(Measure::Huge) == huge.size {
        format!(
            "The same store to the same byte, and {} came at once: one fault and one entry of the page tables for what would \
             take {} of them. Fast where all of it is used, and {} more than needed where one byte is.",
            stage.size(grown),
            huge.size.0 / stage.page()?.0,
            stage.size(grown.saturating_sub(stage.page()?))
        )
    } else if huge.when == "never" {
        format!("Only {} came: this system has switched them off.", stage.size(grown))
    } else {
        format!(
            "Only {} came: the kernel had no {size} in one piece to give, or didn't want to.",
            stage.size(grown)
        )
    };
    stage.show(Step::new("a huge page", "a store to the same byte").region(touched).why(&[&why]))?;

    let part = Bytes(stage.page()?.0);
    map.advise(place, part, Advice::DontNeed)?;
    let split = watch.look()?;
    let why = match (split.shrank(Measure::Resident) == part, split.now(Measure::Huge)) {
        (true, Some(Bytes::ZERO)) => {
            "One small page of it is given back, and the rest is mapped by small pages from here on: the huge one was split."
        }
        _ => "A part of it is given back; the rows say what that came to.",
    };
    let call = format!("madvise(addr, {}, MADV_DONTNEED), the first page of it", part.0);
    stage.show(Step::new("split", call).region(split).why(&[why]))
}

fn when(huge: &HugePages) -> &'static str {
    match huge.when.as_str() {
        "always" => "always, where it is aligned and large enough",
        "madvise" => "where a program asks for them",
        _ => "never",
    }
}
