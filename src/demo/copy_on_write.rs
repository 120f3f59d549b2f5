//! Lesson `copy-on-write`: what fork shares, and what a write after it costs.

use mmview_platform::Bytes;
use mmview_platform::own::{Advice, Child, Mapping};

use super::Options;
use super::error::Result;
use super::observer::{Family, Observer};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

/// The number of pages, and of those that the child writes to.
const PAGES: u64 = 16;
const WRITTEN: u64 = 4;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let map = stage.memory(Bytes(PAGES * page.0))?;
    // A write would copy a huge page as a whole.
    let _ = map.advise(Bytes::ZERO, map.size(), Advice::NoHugePages);
    let mut parent = Observer::own("parent", map.address())?;
    let fill = |pages, byte| (0..pages).for_each(|number| map.write(Bytes(number * page.0), byte));
    fill(PAGES, b'p');
    written(stage, &map, &mut parent)?;
    let child = Child::fork(|turns| {
        fill(WRITTEN, b'c');
        turns.stop(&[map.read(Bytes::ZERO)]);
        0
    })?;
    let mut family = Family::new(parent, child, map.address())?;
    forked(stage, &mut family)?;
    copied(stage, &mut family, &map)?;
    ended(stage, &mut family, &map)
}

fn written(stage: &mut Stage<'_>, map: &Mapping, parent: &mut Observer) -> Result<()> {
    let written = parent.observe()?;
    let size = stage.size(map.size());
    let why = match written.now(Quantity::Unique) == Some(map.size()) {
        true => format!("The parent wrote to all {size}: every page is dirty, and unique to the parent."),
        false => format!("The parent wrote to all {size}."),
    };
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); 'p' stored in each of its {PAGES} pages",
        map.size().0
    );
    stage.show(Step::new("written", call).region(written).why(&[&why]))
}

fn forked(stage: &mut Stage<'_>, family: &mut Family) -> Result<()> {
    let [parent, child] = family.observe()?;
    let why = forked_sentence(&parent, &child);
    let call = format!("fork(), which returns {} in the parent", family.child.pid());
    let frames = Fact::frames(["parent", "child"], family.frames());
    stage.show(Step::new("forked", call).both([parent, child]).fact_if(frames).why(&[why]))
}

fn copied(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let child_reads = family.turn("write")?;
    let [parent, child] = family.observe()?;
    let read = map.read(Bytes::ZERO);
    let why = written_sentence(stage, &parent, &child, Bytes(WRITTEN * stage.page()?.0));
    stage.show(
        Step::new("copied", format!("in the child: 'c' stored in each of the first {WRITTEN} pages"))
            .both([parent, child])
            .fact(Fact::bytes("parent_reads", "the parent reads", &[read]))
            .fact(Fact::bytes("child_reads", "at the same address, the child reads", &child_reads))
            .fact_if(Fact::frames(["parent", "child"], family.frames()))
            .why(&[&why]),
    )
}

fn ended(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let end = family.child.finish()?;
    let (after, ended) = (family.parent.observe()?, family.other.ended());
    let why = match after.now(Quantity::Unique) == Some(map.size()) {
        true => {
            "No other process maps the parent's pages any more: all are unique again, and the next write copies nothing."
        }
        false => "The child's memory is gone.",
    };
    stage.show(
        Step::new("ended", "in the child: _exit(0); in the parent: waitpid()")
            .both([after, ended])
            .fact(Fact::end(end))
            .why(&[why]),
    )
}

fn forked_sentence(parent: &Observation, child: &Observation) -> &'static str {
    let is_shared =
        parent.now(Quantity::Unique) == Some(Bytes::ZERO) && child.now(Quantity::Unique) == Some(Bytes::ZERO);
    match (is_shared, child.now(Quantity::Resident) == parent.now(Quantity::Resident)) {
        (true, true) => {
            "The child has all pages, and fork copied only the page tables. No page is unique to either process now, and \
             each process carries half of them in PSS. The rows still show rw-, although a store to such a page faults: \
             the kernel write-protects the pages in the page tables, not in the map."
        }
        (_, true) if parent.new_sharing() == Some("COW") => {
            "The child has all pages, and the share mode is COW now: the two processes share the pages until one of them \
             writes."
        }
        (_, true) => "The child has as much resident memory as the parent.",
        _ => "The child has the same region; the rows show how much of it is resident.",
    }
}

/// Explains the cost of the child's stores, which touched `size` of pages.
fn written_sentence(stage: &Stage<'_>, parent: &Observation, child: &Observation, size: Bytes) -> String {
    let copied = stage.size(size);
    match child.grew(Quantity::Unique) == size && parent.grew(Quantity::Unique) == size {
        true => format!(
            "The first store to each page faulted, and the kernel copied the page. In the child {copied} became unique: \
             the copies. In the parent {copied} became unique too: the originals, which only the parent maps now. The \
             other pages are still shared and cost nothing."
        ),
        false => "The two processes see different bytes at the same address: the first store to each page made a copy."
            .to_owned(),
    }
}
