//! Lesson `huge-pages`: transparent huge pages, if the system has them.

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
            let why = format!("This system has nothing to show: {error}.");
            let step = Step::new("not here", "look for transparent huge pages");
            return stage.show(step.why(&[&why]));
        }
    };
    // Twice the size contains one aligned huge page, wherever the mapping starts.
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

/// Touches one byte without huge pages, then asks for huge pages.
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
        "always" => "wherever they fit",
        "madvise" => "if a program asks for them",
        _ => "never",
    };
    let fact = Fact::new(
        "transparent_huge_pages",
        huge.when.as_str(),
        format!("a huge page has {}; the kernel uses huge pages {when}", stage.size(huge.size)),
    );
    let resident = stage.size(small.now(Quantity::Resident).unwrap_or_default());
    let call = format!(
        "mmap(NULL, {}, …, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); madvise(MADV_NOHUGEPAGE); a store to one byte",
        map.size().0
    );
    let why = format!("Without huge pages, one byte costs {resident}.");
    stage.show(Step::new("a small page", call).region(small).fact(fact).why(&[&why]))?;

    // Only khugepaged turns pages that are already mapped into huge ones, some time later.
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    map.advise(Bytes::ZERO, map.size(), Advice::HugePages)?;
    let advised = observer.observe()?;
    let why = match advised.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            "The small page is freed, and the kernel may use huge pages from now on. Nothing is resident yet."
        }
        _ => "The kernel may use huge pages from now on.",
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
    let resident = stage.size(grown);
    Ok(if touched.grew(Quantity::Huge) == huge.size {
        format!(
            "The same store to the same byte made {resident} resident: one page fault and one page table entry instead of \
             {}. This is fast if the program uses all of it, and wastes {} if the program uses one byte.",
            huge.size.0 / page.0,
            stage.size(grown.saturating_sub(page))
        )
    } else if huge.when == "never" {
        format!("Only {resident} became resident: huge pages are disabled on this system.")
    } else {
        format!(
            "Only {resident} became resident: the kernel found no {} of contiguous memory, or huge pages are disabled for \
             this process.",
            stage.size(huge.size)
        )
    })
}

/// Frees a part of the huge page.
fn split(stage: &mut Stage<'_>, (map, place): (&Mapping, Bytes), observer: &mut Observer) -> Result<()> {
    let page = stage.page()?;
    // Otherwise khugepaged can make the page huge again before the observation.
    map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages)?;
    map.advise(place, page, Advice::DontNeed)?;
    let split = observer.observe()?;
    let why = match (split.shrank(Quantity::Resident) == page, split.now(Quantity::Huge)) {
        (true, Some(Bytes::ZERO)) => {
            "The kernel split the huge page: it freed one small page, and maps the rest with small pages from now on."
        }
        _ => "The kernel freed a part of it; the rows show the result.",
    };
    let call = format!(
        "madvise(MADV_NOHUGEPAGE), to keep it from becoming huge again; madvise(addr, {}, MADV_DONTNEED) on its first page",
        page.0
    );
    stage.show(Step::new("split", call).region(split).why(&[why]))
}
