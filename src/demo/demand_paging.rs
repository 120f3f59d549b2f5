//! Memory that is promised, and comes when it is touched.

use mmview_platform::own::{Advice, Mapping};
use mmview_platform::{Bytes, PageState};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

/// How much is reserved.
const RESERVED: Bytes = Bytes(64 << 20);

/// How many pages are touched in a row.
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
        true => "The addresses and the pages go together.",
        false => "Something else is mapped there now.",
    };
    stage.show(Step::new("unmapped", format!("munmap(addr, {})", RESERVED.0)).region(unmapped).why(&[why]))
}

fn reserved(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    // Where every memory may have huge pages, one page would bring hundreds.
    let is_advised = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages).is_ok();
    let advised = if is_advised { "; madvise(MADV_NOHUGEPAGE)" } else { "" };
    let reserved = observer.observe()?;
    let size = stage.size(RESERVED);
    let why = match reserved.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            format!("{size} of addresses, and not a page behind them: mmap only writes down a promise.")
        }
        _ => format!("{size} of addresses are reserved."),
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
        Bytes::ZERO => "No count has changed.".to_owned(),
        grown => format!("Another {}.", stage.size(grown)),
    };
    let sparse = match touched.now(Quantity::Resident) == Some(Bytes(2 * page.0)) {
        true => {
            "The first page and the last are there, and nothing between them: memory has holes where nobody was."
        }
        false => "",
    };
    let call = format!("map[{}] = 1, a store to the very last byte", last.0);
    stage.show(Step::new("the last", call).region(touched).why(&[&another, sparse]))?;

    for number in 1..=MANY {
        map.write(Bytes(number * page.0), 1);
    }
    let touched = observer.observe()?;
    let why = touched_sentence(stage, &touched, MANY, page);
    let call = format!("a store to each of the {MANY} pages after the first");
    stage.show(Step::new("page by page", call).region(touched).why(&[&why]))
}

/// A read of memory that was never written.
fn zero_page(stage: &mut Stage<'_>, map: &Mapping, observer: &mut Observer) -> Result<()> {
    let byte = map.read(Bytes::ZERO);
    let state = observer.page(map.address());
    let read = observer.observe()?;
    let is_zero_page = state.is_some_and(|state| state.has(PageState::ZERO));
    let grown = read.grew(Quantity::Resident);
    let why = if is_zero_page && grown == Bytes::ZERO {
        "The load got a zero, and still nothing is resident: the kernel has mapped the one page of zeros that everybody \
         shares, which no count includes."
            .to_owned()
    } else if grown > Bytes::ZERO {
        format!(
            "The load got a zero, and {} of zeros for it: this system makes a page even for reading.",
            stage.size(grown)
        )
    } else {
        "The load got a zero; no count has changed.".to_owned()
    };
    let mut step = Step::new("read", "map[0], a load from memory that was never written")
        .region(read)
        .fact(Fact::new("byte", byte, format!("the byte is {byte}")));
    if let Some(state) = state {
        let names: Vec<_> = state.names().collect();
        let text = match names.is_empty() {
            true => "no page is there".to_owned(),
            false => format!("the page is {}", names.join(", ")),
        };
        step = step.fact(Fact::new("page", names, text));
    }
    stage.show(step.why(&[&why]))
}

/// What `pages` stores to as many pages have brought.
fn touched_sentence(stage: &Stage<'_>, touched: &Observation, pages: u64, page: Bytes) -> String {
    let grown = touched.grew(Quantity::Resident);
    let size = stage.size(grown);
    let expected = Bytes(pages * page.0);
    if touched.now(Quantity::Resident).is_none() {
        return "What is resident is not known here.".to_owned();
    }
    if grown == expected && pages == 1 {
        format!("The store faulted, and the kernel gave a page, cleared: one byte costs {size}, and no more.")
    } else if grown == expected {
        format!("{pages} stores, {pages} pages: {size}, exactly.")
    } else if grown > expected {
        format!("The system gave more than was touched: {size}.")
    } else {
        format!("Resident has grown by {size}: some of it was there already.")
    }
}
