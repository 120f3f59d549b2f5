//! Lesson `protect`: the protection of pages, which splits and merges regions.

use mmview_platform::own::{Child, Mapping};
use mmview_platform::{Bytes, Ending, Protection};

use super::Options;
use super::error::Result;
use super::observer::{Observer, within};
use super::stage::Stage;
use super::step::{Fact, Observation, Step};
use crate::region::Classified;

/// The names of the parts, once the mapping has several.
const PARTS: [&str; 3] = ["first", "second", "third"];

/// The mapping and its parts, and the whole map at the last observation.
struct Parts {
    map: Mapping,
    observer: Observer,
    last: Vec<Classified>,
}

impl Parts {
    fn observe(&mut self) -> crate::error::Result<Vec<Observation>> {
        let now = self.observer.regions()?;
        let mut parts = within(self.map.range(), &self.last, &now);
        self.last = now;
        if parts.len() > 1 {
            parts.iter_mut().zip(PARTS).for_each(|(part, name)| part.of = name);
        }
        Ok(parts)
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
        1 => "Three pages, readable and writable, in one region.",
        _ => "Three pages, readable and writable.",
    };
    show(stage, Step::new("mapped", call), mapped, why)?;

    parts.map.protect(page, page, Protection::READ)?;
    let split = parts.observe()?;
    let why = match count(&split) {
        3 => {
            "One call on one page made three regions of one: a region is a range of addresses with the same attributes, \
             and the second page now differs."
        }
        _ => "The page is read-only; the rows show how this system records that.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ) on the second page", page.0);
    show(stage, Step::new("protected", call), split, why)?;
    punished(stage, &mut parts)?;

    parts.map.protect(page, page, Protection::READ.with(Protection::WRITE))?;
    let joined = parts.observe()?;
    let why = match count(&joined) {
        1 => "The three parts have the same attributes again, and the kernel merged them into one region.",
        _ => "The three parts have the same attributes again, but this system keeps them separate.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ|PROT_WRITE)", page.0);
    show(stage, Step::new("restored", call), joined, why)
}

/// Lets a child write to the read-only page.
fn punished(stage: &mut Stage<'_>, parts: &mut Parts) -> Result<()> {
    let page = stage.page()?;
    let mut child = Child::fork(|_| {
        parts.map.write(page, b'!');
        0
    })?;
    let end = child.finish()?;
    let why = match end {
        Ending::Killed(signal) => &format!(
            "The store faulted, and the kernel found that the region forbids writes: it raised {}. A child made the \
             store; the parent's page is unchanged.",
            Ending::signal_name(signal)
        ),
        Ending::Exited(_) => "This system let the child write to a read-only page.",
    };
    let call = format!("in a child: map[{}] = '!', a store to the second page", page.0);
    let byte = parts.map.read(page);
    let text = format!("the parent's byte at that address is {byte}");
    let step = Step::new("punished", call).fact(Fact::end(end)).fact(Fact::new("byte", byte, text));
    show(stage, step, parts.observe()?, why)
}

/// Counts the regions after a step.
fn count(regions: &[Observation]) -> usize {
    regions.iter().filter(|seen| seen.after.is_some()).count()
}
