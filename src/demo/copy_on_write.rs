//! What fork shares, and what a write after it costs.

use mmview_platform::Bytes;
use mmview_platform::own::{Advice, Child, Mapping};

use super::Options;
use super::error::Result;
use super::observer::{Family, Observer};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};

/// How many pages there are, and how many of them the child writes.
const PAGES: u64 = 16;
const WRITTEN: u64 = 4;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let map = stage.memory(Bytes(PAGES * page.0))?;
    // A huge page would be copied as one.
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
        true => format!("{size} of the parent's own: dirty, and unique to it."),
        false => format!("{size} that the parent has written."),
    };
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); 'p' stored to each of its {PAGES} pages",
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
    let told = family.turn("write")?;
    let [parent, child] = family.observe()?;
    let read = map.read(Bytes::ZERO);
    let why = written_sentence(stage, &parent, &child, Bytes(WRITTEN * stage.page()?.0));
    stage.show(
        Step::new("copied", format!("in the child: 'c' stored to each of the first {WRITTEN} pages"))
            .both([parent, child])
            .fact(Fact::bytes("parent_reads", "at the same address the parent reads", &[read]))
            .fact(Fact::bytes("child_reads", "and the child", &told))
            .fact_if(Fact::frames(["parent", "child"], family.frames()))
            .why(&[&why]),
    )
}

fn ended(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let end = family.child.finish()?;
    let (after, ended) = (family.parent.observe()?, family.other.ended());
    let why = match after.now(Quantity::Unique) == Some(map.size()) {
        true => {
            "Nobody else has the parent's pages any more: everything is unique again, and the next write copies nothing."
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
            "The child has all of it, and nothing was copied but the page tables: nothing is unique to either now, and each \
             carries half in PSS. The rows still say rw-: that a store to such a page faults first is between the kernel \
             and the processor."
        }
        (_, true) if parent.new_sharing() == Some("COW") => {
            "The child has all of it, and the system calls it COW now: the two share the pages until one of them writes."
        }
        (_, true) => "The child has as much resident as the parent.",
        _ => "The child has the same region; what of it is resident, the rows say.",
    }
}

/// What the child's stores to pages of `size` in all have cost.
fn written_sentence(stage: &Stage<'_>, parent: &Observation, child: &Observation, size: Bytes) -> String {
    let copied = stage.size(size);
    match child.grew(Quantity::Unique) == size && parent.grew(Quantity::Unique) == size {
        true => format!(
            "Each first store to a page faulted, and made a copy. {copied} moved from shared to unique in the child, the \
             copies; and as much in the parent, the originals, which are its alone now. The rest is still shared, and so \
             cost nothing."
        ),
        false => "The two see different bytes at the same address: each first store to a page made a copy."
            .to_owned(),
    }
}
