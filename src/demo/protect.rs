//! What may be done with a page.

use mmview_platform::own::{Child, Mapping};
use mmview_platform::{Bytes, Ending, Protection};

use super::Options;
use super::error::Result;
use super::observer::{Observer, within};
use super::stage::Stage;
use super::step::{Fact, Observation, Step};
use crate::region::Classified;

/// What the parts of the mapping are called, where there are several.
const PARTS: [&str; 3] = ["first", "second", "third"];

/// The mapping, page by page, and the whole map as it was when it was last looked at.
struct Parts {
    map: Mapping,
    observer: Observer,
    last: Vec<Classified>,
}

impl Parts {
    fn observe(&mut self) -> crate::error::Result<Vec<Observation>> {
        let now = self.observer.regions()?;
        let mut seen = within(self.map.range(), &self.last, &now);
        self.last = now;
        if seen.len() > 1 {
            seen.iter_mut().zip(PARTS).for_each(|(part, name)| part.of = name);
        }
        Ok(seen)
    }
}

fn show(stage: &mut Stage<'_>, step: Step, regions: Vec<Observation>, why: &str) -> Result<()> {
    stage.show(regions.into_iter().fold(step, Step::region).why(&[why]))
}

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let map = stage.memory(Bytes(3 * page.0))?;
    (0..3).for_each(|number| map.write(Bytes(number * page.0), number as u8));
    let call =
        format!("mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)", map.size().0);
    let observer = Observer::own("", map.address())?;
    let mut parts = Parts { map, observer, last: Vec::new() };
    let mapped = parts.observe()?;
    let why = match count(&mapped) {
        1 => "Three pages that may be read and written, one region.",
        _ => "Three pages that may be read and written.",
    };
    show(stage, Step::new("mapped", call), mapped, why)?;

    parts.map.protect(page, page, Protection::READ)?;
    let split = parts.observe()?;
    let why = match count(&split) {
        3 => {
            "One call on one page, and there are three regions: a region is a stretch of addresses that the kernel treats \
             alike, and these three are not alike any more."
        }
        _ => "The page is read-only, and the rows say how the system keeps that.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ), the second page", page.0);
    show(stage, Step::new("protected", call), split, why)?;
    punished(stage, &mut parts)?;

    parts.map.protect(page, page, Protection::READ.with(Protection::WRITE))?;
    let joined = parts.observe()?;
    let why = match count(&joined) {
        1 => "The three are alike again, and the kernel has made one region of them.",
        _ => "The three are alike again, and this system keeps them apart all the same.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ|PROT_WRITE)", page.0);
    show(stage, Step::new("restored", call), joined, why)
}

/// A child writes to the page.
fn punished(stage: &mut Stage<'_>, parts: &mut Parts) -> Result<()> {
    let page = stage.page()?;
    let mut child = Child::fork(|_| {
        parts.map.write(page, b'!');
        0
    })?;
    let end = child.finish()?;
    let why = match end {
        Ending::Killed(signal) => &format!(
            "The processor refused the store, and the kernel found that the region forbids it: {}. It was a child that \
             tried; the parent's page is as it was.",
            Ending::signal_name(signal)
        ),
        Ending::Exited(_) => "This system let the child write to a read-only page.",
    };
    let call = format!("in a child: map[{}] = '!', a store to the second page", page.0);
    let byte = parts.map.read(page);
    let told = format!("the parent's byte there is {byte}");
    let step = Step::new("punished", call).fact(Fact::end(end)).fact(Fact::new("byte", byte, told));
    show(stage, step, parts.observe()?, why)
}

/// How many regions there are now.
fn count(regions: &[Observation]) -> usize {
    regions.iter().filter(|seen| seen.after.is_some()).count()
}
