//! Huge pages, where the system has them.

use mmview_platform::Bytes;
use mmview_platform::own::{Advice, HugePages, Mapping, huge_pages};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let huge = match huge_pages() {
        Ok(huge) => huge,
        Err(error) => {
            let why = format!("There is nothing to show here: {error}.");
            let step = Step::new("not here", "the system is asked for transparent huge pages");
            return stage.show(step.why(&[&why]));
        }
    };
    // Twice the size has a whole one in it, wherever it lies.
    let map = stage.memory(Bytes(2 * huge.size.0))?;
    let place = Bytes(map.address().next_multiple_of(huge.size.0) - map.address());
    let mut observer = Observer::own("", map.address())?;
    small(stage, &huge, (&map, place), &mut observer)?;

    map.write(place, 1);
    let touched = observer.observe()?;
    let is_huge = touched.grew(Quantity::Huge) == huge.size;
    let why = touched_sentence(stage, &huge, &touched)?;
    stage.show(Step::new("a huge page", "a store to the same byte").region(touched).why(&[&why]))?;
    if is_huge { split(stage, (&map, place), &mut observer) } else { Ok(()) }
}

/// One byte without huge pages; then they are asked for.
fn small(
    stage: &mut Stage<'_>,
    huge: &HugePages,
    (map, place): (&Mapping, Bytes),
    observer: &mut Observer,
) -> Result<()> {
    map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages)?;
    map.write(place, 1);
    let small = observer.observe()?;
    let when = match huge.when.as_str() {
        "always" => "always, where it is aligned and large enough",
        "madvise" => "where a program asks for them",
        _ => "never",
    };
    let fact = Fact::new(
        "transparent_huge_pages",
        huge.when.as_str(),
        format!("a huge page has {}; memory gets them: {when}", stage.size(huge.size)),
    );
    let resident = stage.size(small.now(Quantity::Resident).unwrap_or_default());
    let call = format!(
        "mmap(NULL, {}, …, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); madvise(MADV_NOHUGEPAGE); a store to one byte",
        map.size().0
    );
    let why = format!("Without huge pages: one byte, {resident}.");
    stage.show(Step::new("a small page", call).region(small).fact(fact).why(&[&why]))?;

    // What is there already would have to be made huge by the kernel's own thread, some time later.
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    map.advise(Bytes::ZERO, map.size(), Advice::HugePages)?;
    let advised = observer.observe()?;
    let why = match advised.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            "The page is given back, and huge ones are welcome now. Nothing has come of it yet."
        }
        _ => "Huge pages are welcome now.",
    };
    let call = "madvise(MADV_DONTNEED), madvise(MADV_HUGEPAGE)";
    stage.show(Step::new("advised", call).region(advised).why(&[why]))
}

fn touched_sentence(
    stage: &Stage<'_>,
    huge: &HugePages,
    touched: &Observation,
) -> crate::error::Result<String> {
    let page = stage.page()?;
    let grown = touched.grew(Quantity::Resident);
    let came = stage.size(grown);
    Ok(if touched.grew(Quantity::Huge) == huge.size {
        format!(
            "The same store to the same byte, and {came} came at once: one fault and one entry of the page tables for what \
             would take {} of them. Fast where all of it is used, and {} more than needed where one byte is.",
            huge.size.0 / page.0,
            stage.size(grown.saturating_sub(page))
        )
    } else if huge.when == "never" {
        format!("Only {came} came: this system has switched huge pages off.")
    } else {
        format!(
            "Only {came} came: the kernel had no {} in one piece to give, or may not give this process any.",
            stage.size(huge.size)
        )
    })
}

/// A part of the huge page is given back.
fn split(stage: &mut Stage<'_>, (map, place): (&Mapping, Bytes), observer: &mut Observer) -> Result<()> {
    let page = stage.page()?;
    // Else the kernel's own thread (khugepaged) may make it huge again before anybody has looked.
    map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages)?;
    map.advise(place, page, Advice::DontNeed)?;
    let split = observer.observe()?;
    let why = match (split.shrank(Quantity::Resident) == page, split.now(Quantity::Huge)) {
        (true, Some(Bytes::ZERO)) => {
            "One small page of it is given back, and the rest is mapped by small pages from here on: the huge one was split."
        }
        _ => "A part of it is given back; the rows say what that came to.",
    };
    let call = format!(
        "madvise(MADV_NOHUGEPAGE), so that it isn't made huge again; madvise(addr, {}, MADV_DONTNEED), the first page of it",
        page.0
    );
    stage.show(Step::new("split", call).region(split).why(&[why]))
}
