//! Lesson `demand-paging`: reserved memory becomes resident when it is touched.

use mmview_platform::own::{Advice, Mapping};
use mmview_platform::{Bytes, PageState};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

/// The size of the reservation.
const RESERVED: Bytes = Bytes(64 << 20);

/// The number of pages that one step touches.
const MANY: u64 = 100;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let mut map = stage.memory(RESERVED)?;
    let mut observer = Observer::own("", map.address())?;
    reserved(stage, &map, &mut observer)?;
    zero_page(stage, &map, &mut observer)?;
    touched(stage, &map, &mut observer)?;
    map.unmap()?;
    let unmapped = observer.observe()?;
    let why = match unmapped.is_gone() {
        true => "munmap frees the addresses and the pages together.",
        false => "Another mapping now holds the address.",
    };
    stage.show(Step::new("unmapped", format!("munmap(addr, {})", RESERVED.0)).region(unmapped).why(&[why]))
}

fn reserved(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    // With huge pages for all memory, one touch would make hundreds of pages resident.
    let is_advised = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages).is_ok();
    let advised = if is_advised { "; madvise(MADV_NOHUGEPAGE)" } else { "" };
    let reserved = observer.observe()?;
    let size = stage.size(RESERVED);
    let why = match reserved.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            format!(
                "mmap reserved {size} of addresses, and not a single page: the kernel supplies pages when they are touched."
            )
        }
        _ => format!("mmap reserved {size} of addresses."),
    };
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0){advised}",
        RESERVED.0
    );
    stage.show(Step::new("reserved", call).region(reserved).why(&[&why]))
}

fn touched(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    let page = stage.page()?;
    map.write(Bytes::ZERO, 1);
    let touched = observer.observe()?;
    let why = touched_sentence(stage, &touched, 1, page);
    stage.show(Step::new("touched", "map[0] = 1, a store to the first page").region(touched).why(&[&why]))?;

    let last = Bytes(RESERVED.0 - 1);
    map.write(last, 1);
    let touched = observer.observe()?;
    let another = match touched.grew(Quantity::Resident) {
        Bytes::ZERO => "No count changed.".to_owned(),
        grown => format!("Resident grew by another {}.", stage.size(grown)),
    };
    let sparse = match touched.now(Quantity::Resident) == Some(Bytes(2 * page.0)) {
        true => {
            "The first page and the last one are resident, and none between them: a mapping can be sparse."
        }
        false => "",
    };
    let call = format!("map[{}] = 1, a store to the last byte", last.0);
    stage.show(Step::new("the last", call).region(touched).why(&[&another, sparse]))?;

    for number in 1..=MANY {
        map.write(Bytes(number * page.0), 1);
    }
    let touched = observer.observe()?;
    let why = touched_sentence(stage, &touched, MANY, page);
    let call = format!("a store to each of the {MANY} pages after the first");
    stage.show(Step::new("page by page", call).region(touched).why(&[&why]))
}

/// Reads memory that was never written.
fn zero_page(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    let byte = map.read(Bytes::ZERO);
    let state = observer.page(map.address());
    let read = observer.observe()?;
    let is_zero_page = state.is_some_and(|state| state.has(PageState::ZERO));
    let grown = read.grew(Quantity::Resident);
    let why = if is_zero_page && grown == Bytes::ZERO {
        "The load returned 0, and still nothing is resident: the kernel mapped the zero page, which all processes share \
         and no count includes."
            .to_owned()
    } else if grown > Bytes::ZERO {
        format!(
            "The load returned 0, and resident grew by {}: this system supplies a page even for a load.",
            stage.size(grown)
        )
    } else {
        "The load returned 0; no count changed.".to_owned()
    };
    let mut step = Step::new("read", "map[0], a load from memory that was never written")
        .region(read)
        .fact(Fact::new("byte", byte, format!("the byte is {byte}")));
    if let Some(state) = state {
        let names: Vec<_> = state.names().collect();
        let text = match names.is_empty() {
            true => "no page is mapped".to_owned(),
            false => format!("the page is {}", names.join(", ")),
        };
        step = step.fact(Fact::new("page", names, text));
    }
    stage.show(step.why(&[&why]))
}

/// Explains what `pages` stores, each to another page, made resident.
fn touched_sentence(stage: &Stage<'_>, touched: &Observation, pages: u64, page: Bytes) -> String {
    let grown = touched.grew(Quantity::Resident);
    let size = stage.size(grown);
    let expected = Bytes(pages * page.0);
    if touched.now(Quantity::Resident).is_none() {
        return "This system doesn't report resident memory.".to_owned();
    }
    if grown == expected && pages == 1 {
        format!("The store faulted, and the kernel supplied a page of zeros: one byte costs {size}.")
    } else if grown == expected {
        format!("{pages} stores touched {pages} pages: exactly {size} became resident.")
    } else if grown > expected {
        format!("More became resident than the program touched: {size}.")
    } else {
        format!("Only {size} became resident: some pages were resident already.")
    }
}
