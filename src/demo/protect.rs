//! What may be done with a page.

use mmview_platform::own::{Child, End, Mapping, Sharing};
use mmview_platform::{Bytes, Protection};

use super::stage::Stage;
use super::step::{Fact, Seen, Step};
use super::watch::{Watch, within};
use crate::classify::Classified;
use crate::cli::DemoPlan;

/// What the parts of the mapping are called, where there are several.
const PARTS: [&str; 3] = ["first", "second", "third"];

pub(super) fn run(_: &DemoPlan, stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let page = stage.page()?;
    let access = Protection::READ.with(Protection::WRITE);
    let map = Mapping::anonymous(Bytes(3 * page.0), Sharing::Private, access)?;
    (0..3).for_each(|number| map.write(Bytes(number * page.0), number as u8));
    let mut watch = Watch::own("", map.address())?;
    let mut last: Vec<Classified> = Vec::new();
    let mut look = || -> anyhow::Result<Vec<Seen>> {
        let map_now = watch.map()?;
        let mut seen = within(map.range(), &last, &map_now);
        last = map_now;
        if seen.len() > 1 {
            seen.iter_mut().zip(PARTS).for_each(|(part, name)| part.of = name);
        }
        Ok(seen)
    };
    let show = |stage: &mut Stage<'_>, step: Step, regions: Vec<Seen>, why: &str| {
        stage.show(regions.into_iter().fold(step, Step::region).why(&[why]))
    };

    let call =
        format!("mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)", map.size().0);
    show(stage, Step::new("mapped", call), look()?, "Three pages that may be read and written, one region.")?;

    map.protect(page, page, Protection::READ)?;
    let split = look()?;
    let why = match count(&split) {
        3 => {
            "One call on one page, and there are three regions: a region is a stretch of addresses that the kernel treats \
             alike, and these three are not alike any more."
        }
        _ => "The page is read-only, and the rows say how the system keeps that.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ), the second page", page.0);
    show(stage, Step::new("protected", call), split, why)?;

    let mut child = Child::fork(|_| {
        map.write(page, b'!');
        0
    })?;
    let end = child.finish()?;
    let why = match end {
        End::Killed { signal } => &format!(
            "The processor refused the store, and the kernel found that the region forbids it: {signal}. It was a child that \
             tried; the parent's page is as it was."
        ),
        End::Exited(_) => "This system let the child write to a read-only page.",
    };
    let call = format!("in a child: map[{}] = '!', a store to the second page", page.0);
    let byte = map.read(page);
    let step = Step::new("punished", call).fact(Fact::end(end)).fact(Fact::new(
        "byte",
        byte,
        format!("the parent's byte there is {byte}"),
    ));
    show(stage, step, look()?, why)?;

    map.protect(page, page, access)?;
    let joined = look()?;
    let why = match count(&joined) {
        1 => "The three are alike again, and the kernel has made one region of them.",
        _ => "The three are alike again, and this system keeps them apart all the same.",
    };
    let call = format!("mprotect(addr + {0}, {0}, PROT_READ|PROT_WRITE)", page.0);
    show(stage, Step::new("restored", call), joined, why)
}

/// How many regions there are now.
fn count(regions: &[Seen]) -> usize {
    regions.iter().filter(|seen| seen.after.is_some()).count()
}
