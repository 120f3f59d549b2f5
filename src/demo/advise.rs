//! Memory that is given back, and memory that is kept.

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
    // A huge page would be given back as one, or not at all.
    let _ = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages);
    let mut observer = Observer::own("", map.address())?;
    fill(&map, page);
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); 'x' stored to each of its {PAGES} pages",
        map.size().0
    );
    let written = observer.observe()?;
    let why = format!("{} of memory, all of it written.", stage.size(map.size()));
    stage.show(Step::new("written", call).region(written).why(&[&why]))?;

    dont_need(stage, &map, &mut observer)?;
    free(stage, &map, &mut observer)?;
    lock(stage, &map, &mut observer)
}

fn fill(map: &Mapping, page: Bytes) {
    (0..PAGES).for_each(|number| map.write(Bytes(number * page.0), b'x'));
}

/// What is told of a byte: the zero, which can't be drawn, as such.
fn byte_fact(byte: u8) -> Fact {
    let text = if byte == 0 { "a zero".to_owned() } else { format!("'{}'", byte.escape_ascii()) };
    Fact::new("byte", byte, format!("the first byte is {text}"))
}

fn dont_need(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    let given = observer.observe()?;
    // The load may bring a page of zeros, hence after the look.
    let byte = map.read(Bytes::ZERO);
    let why = match (given.now(Quantity::Resident), byte) {
        (Some(Bytes::ZERO), 0) => {
            "All of it is given back at once, and the region stays, as on its first day: what is read there is zeros again."
        }
        (_, b'x') => "This system takes it as advice for later: everything is still there, the bytes too.",
        _ => "Some of it is given back.",
    };
    let call = format!("madvise(addr, {}, MADV_DONTNEED); then a load", map.size().0);
    stage.show(Step::new("not needed", call).region(given).fact(byte_fact(byte)).why(&[why]))
}

fn free(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    let page = stage.page()?;
    fill(map, page);
    observer.observe()?;
    if let Err(error) = map.advise(Bytes::ZERO, map.size(), Advice::Free) {
        let why = format!("Memory can't be left for the taking here: {error}.");
        return stage.show(Step::new("free", "madvise(MADV_FREE)").region(observer.observe()?).why(&[&why]));
    }
    let freed = observer.observe()?;
    let why = freed_sentence(&freed);
    let call = format!("written again; madvise(addr, {}, MADV_FREE)", map.size().0);
    stage.show(Step::new("free", call).region(freed).why(&[why]))?;

    map.write(Bytes::ZERO, b'y');
    let taken = observer.observe()?;
    let byte = map.read(Bytes::ZERO);
    let why = match taken.shrank(Quantity::Free) == page || taken.grew(Quantity::Dirty) == page {
        true => {
            "A store takes its page back: the kernel may not take that one any more. No call is needed for it."
        }
        false => "The store has left the counts as they were.",
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
            "Everything is still resident, and none of it is dirty any more: the kernel takes it when it is short of memory, \
             and not before. Cheaper than MADV_DONTNEED where the memory is used again soon."
        }
        (true, false) => {
            "Everything is still resident: the system takes it when it is short of memory, if it does."
        }
        (false, _) => "The system has taken some of it at once.",
    }
}

fn lock(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    // On a fresh start, so that it shows what locking brings in.
    map.advise(Bytes::ZERO, map.size(), Advice::DontNeed)?;
    observer.observe()?;
    let call = format!("MADV_DONTNEED once more; mlock(addr, {})", map.size().0);
    if let Err(error) = map.lock() {
        let why = format!(
            "Memory can't be locked here: {error}{}. How much a user may lock is limited (ulimit -l).",
            cause(&error)
        );
        return stage.show(Step::new("locked", call).region(observer.observe()?).why(&[&why]));
    }
    let locked = observer.observe()?;
    let brought = match locked.grew(Quantity::Resident) > Bytes::ZERO {
        true => format!("{} became resident though nobody touched it: what is locked is there.", {
            stage.size(locked.grew(Quantity::Resident))
        }),
        false => "What is locked is there.".to_owned(),
    };
    stage.show(Step::new("locked", call).region(locked).why(&[
        &brought,
        "It is never swapped out: for secrets, and for those who can't wait for a fault.",
    ]))?;

    let refused = map.advise(Bytes::ZERO, map.size(), Advice::DontNeed).err();
    let kept = observer.observe()?;
    let (fact, why) = match &refused {
        Some(error) => (
            Fact::new("refused", true, format!("{error}{}", cause(error))),
            "Locked memory can't be given back: it must be unlocked first.",
        ),
        None => (
            Fact::new("refused", false, "the call has succeeded"),
            match kept.shrank(Quantity::Resident) > Bytes::ZERO {
                true => "This system gives back even what is locked.",
                false => "The advice was taken, and everything is still resident.",
            },
        ),
    };
    let call = format!("madvise(addr, {}, MADV_DONTNEED)", map.size().0);
    stage.show(Step::new("not needed", call).region(kept).fact(fact).why(&[why]))?;

    map.unlock()?;
    let unlocked = observer.observe()?;
    let why = match unlocked.shrank(Quantity::Resident) == Bytes::ZERO {
        true => "It stays resident, as any memory that was touched, and may be swapped out from now on.",
        false => "Some of it has gone already.",
    };
    stage.show(Step::new("unlocked", format!("munlock(addr, {})", map.size().0)).region(unlocked).why(&[why]))
}

fn cause(error: &mmview_platform::Error) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}
