//! Lesson `advise`: memory that a process gives back, and memory that it locks.

use mmview_platform::Bytes;
use mmview_platform::own::{Advice, Mapping};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

const PAGES: u64 = 16;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let map = stage.memory(Bytes(PAGES * page.0))?;
    // The kernel would free a huge page as a whole, or not at all.
    let _ = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages);
    let mut observer = Observer::own("", map.address())?;
    fill(&map, page);
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); 'x' stored in each of its {PAGES} pages",
        map.size().0
    );
    let written = observer.observe()?;
    let why = format!("The process mapped {} of memory and wrote to every page.", stage.size(map.size()));
    stage.show(Step::new("written", call).region(written).why(&[&why]))?;

    dont_need(stage, &map, &mut observer)?;
    free(stage, &map, &mut observer)?;
    lock(stage, &map, &mut observer)
}

fn fill(map: &Mapping, page: Bytes) {
    (0..PAGES).for_each(|number| map.write(Bytes(number * page.0), b'x'));
}

/// The first byte: a letter, or a zero, which is not printable.
fn byte_fact(byte: u8) -> Fact {
    let text = if byte == 0 { "0".to_owned() } else { format!("'{}'", byte.escape_ascii()) };
    Fact::new("byte", byte, format!("the first byte is {text}"))
}

fn dont_need(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    let given = observer.observe()?;
    // The load can map a page of zeros, so it follows the observation.
    let byte = map.read(Bytes::ZERO);
    let why = match (given.now(Quantity::Resident), byte) {
        (Some(Bytes::ZERO), 0) => {
            "The kernel freed all pages immediately. The region stays, and reads as zeros again."
        }
        (_, b'x') => "This system only takes note of the advice: the bytes are still there.",
        _ => "The kernel freed some of the pages.",
    };
    let call = format!("madvise(addr, {}, MADV_DONTNEED); then a load", map.size().0);
    stage.show(Step::new("not needed", call).region(given).fact(byte_fact(byte)).why(&[why]))
}

fn free(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    let page = stage.page()?;
    fill(map, page);
    observer.observe()?;
    if let Err(error) = map.advise(Bytes::ZERO, map.size(), Advice::Free) {
        let why = format!("This system can't free memory lazily: {error}.");
        return stage.show(Step::new("free", "madvise(MADV_FREE)").region(observer.observe()?).why(&[&why]));
    }
    let freed = observer.observe()?;
    let why = freed_sentence(&freed);
    let call = format!("every page written again; madvise(addr, {}, MADV_FREE)", map.size().0);
    stage.show(Step::new("free", call).region(freed).why(&[why]))?;

    map.write(Bytes::ZERO, b'y');
    let taken = observer.observe()?;
    let byte = map.read(Bytes::ZERO);
    let why = match taken.shrank(Quantity::Free) == page || taken.grew(Quantity::Dirty) == page {
        true => {
            "The store cancels the advice for its page: the kernel must keep the page now. No system call was needed."
        }
        false => "The store didn't change the counts.",
    };
    stage.show(
        Step::new("taken back", "map[0] = 'y', a store to the first page")
            .region(taken)
            .fact(byte_fact(byte))
            .why(&[why]),
    )
}

fn freed_sentence(freed: &Observation) -> &'static str {
    let is_resident = freed.shrank(Quantity::Resident) == Bytes::ZERO;
    match (
        is_resident,
        freed.grew(Quantity::Free) > Bytes::ZERO || freed.shrank(Quantity::Dirty) > Bytes::ZERO,
    ) {
        (true, true) => {
            "All pages are still resident but no longer dirty: the kernel frees them only when memory runs short. If the \
             program reuses the memory soon, this is cheaper than MADV_DONTNEED."
        }
        (true, false) => "All pages are still resident: the system may free them when memory runs short.",
        (false, _) => "The system freed some of the pages immediately.",
    }
}

fn lock(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    // Start without resident pages, to show that locking brings them in.
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    observer.observe()?;
    let call = format!("madvise(MADV_DONTNEED) again; mlock(addr, {})", map.size().0);
    if let Err(error) = map.lock() {
        let why = format!(
            "Memory can't be locked here: {error}{}. The amount that a process may lock is limited (ulimit -l).",
            cause(&error)
        );
        return stage.show(Step::new("locked", call).region(observer.observe()?).why(&[&why]));
    }
    let locked = observer.observe()?;
    let brought = match locked.grew(Quantity::Resident) > Bytes::ZERO {
        true => format!("mlock brought the pages in: {} became resident without being touched.", {
            stage.size(locked.grew(Quantity::Resident))
        }),
        false => "Locked pages are resident.".to_owned(),
    };
    stage.show(Step::new("locked", call).region(locked).why(&[
        &brought,
        "The kernel never swaps them out: programs lock secrets, and memory where a page fault would take too long.",
    ]))?;

    let refused = map.advise(Bytes::ZERO, map.size(), Advice::DontNeed).err();
    let kept = observer.observe()?;
    let (fact, why) = match &refused {
        Some(error) => (
            Fact::new("refused", true, format!("{error}{}", cause(error))),
            "The kernel doesn't free locked memory: unlock it first.",
        ),
        None => (
            Fact::new("refused", false, "the call succeeded"),
            match kept.shrank(Quantity::Resident) > Bytes::ZERO {
                true => "This system frees even locked memory.",
                false => "The call succeeded, but all pages are still resident.",
            },
        ),
    };
    let call = format!("madvise(addr, {}, MADV_DONTNEED)", map.size().0);
    stage.show(Step::new("not needed", call).region(kept).fact(fact).why(&[why]))?;

    map.unlock()?;
    let unlocked = observer.observe()?;
    let why = match unlocked.shrank(Quantity::Resident) == Bytes::ZERO {
        true => "The pages stay resident, but the kernel may swap them out again.",
        false => "The kernel has already freed some of the pages.",
    };
    stage.show(Step::new("unlocked", format!("munlock(addr, {})", map.size().0)).region(unlocked).why(&[why]))
}

/// The cause of an error, to follow its text.
fn cause(error: &mmview_platform::Error) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}
