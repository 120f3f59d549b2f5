//! Lesson `fork`: a child inherits the mappings of its parent.

use mmview_platform::own::{Child, Mapping, Sharing, Turns};
use mmview_platform::{Bytes, Protection};

use super::Options;
use super::error::Result;
use super::observer::{Family, Observer};
use super::scratch::{GREETING, Scratch};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::error::Context as _;

/// The byte that the child writes over the first one, which makes the greeting `Hello, map`.
const WRITTEN: u8 = b'H';

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let scratch = Scratch::new(stage.page()?)?;
    let access = Protection::READ.with(Protection::WRITE);
    let mut map = Mapping::of_file(scratch.file(), stage.page()?, Sharing::Shared, access)
        .with_context(|| format!("failed to map {}", scratch.title()))?;
    let mut parent = Observer::own("parent", map.address())?;
    mapped(stage, &map, &mut parent)?;
    let child = Child::fork(|turns| in_the_child(turns, &mut map))?;
    let mut family = Family::new(parent, child, map.address())?;
    forked(stage, &mut family)?;
    read(stage, &mut family)?;
    written(stage, &mut family, &map)?;
    closed(stage, &mut family, &map)?;
    ended(stage, &mut family)
}

fn beginning(map: &Mapping) -> Vec<u8> {
    map.read_bytes(Bytes::ZERO, GREETING.len())
}

fn mapped(stage: &mut Stage<'_>, map: &Mapping, parent: &mut Observer) -> Result<()> {
    let read = beginning(map);
    let mapped = parent.observe()?;
    let why = match mapped.now(Quantity::Unique) {
        Some(unique) if unique > Bytes::ZERO => "Its page is resident, and no other process maps it.",
        _ => "Its page is resident.",
    };
    let size = map.size().0;
    let call = format!("mmap(NULL, {size}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0), then a load from it");
    stage.show(
        Step::new("mapped", call)
            .region(mapped)
            .fact(Fact::bytes("parent_reads", "the parent reads", &read))
            .why(&["The parent mapped a file and read its first bytes.", why]),
    )
}

fn forked(stage: &mut Stage<'_>, family: &mut Family) -> Result<()> {
    let pid = family.child.pid();
    let [parent, forked] = family.observe()?;
    let why = forked_sentence(&forked);
    stage.show(
        Step::new("forked", format!("fork(), which returns {pid} in the parent and 0 in the child"))
            .both([parent, forked])
            .fact(Fact::new("child", pid, format!("the child is process {pid}:  mmview {pid}")))
            .why(&[why]),
    )
}

fn read(stage: &mut Stage<'_>, family: &mut Family) -> Result<()> {
    let child_reads = family.turn("read the mapping")?;
    let [parent, child] = family.observe()?;
    let frames = family.frames();
    let why = shared_sentence(&parent, frames);
    stage.show(
        Step::new("read", "in the child: map[0], a load from the mapping that it inherited")
            .both([parent, child])
            .fact(Fact::bytes("child_reads", "the child reads", &child_reads))
            .fact_if(Fact::frames(["parent", "child"], frames))
            .why(&["The child reads the file through a mapping that it didn't make.", &why]),
    )
}

fn written(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    family.turn("write to the mapping")?;
    let seen = beginning(map);
    let why = match seen.first() == Some(&WRITTEN) {
        true => {
            "The parent sees the new byte immediately, without a call or a copy: with MAP_SHARED, every process that maps \
             the file sees the writes of all others."
        }
        false => "The parent doesn't see the new byte.",
    };
    stage.show(
        Step::new("written", "in the child: map[0] = 'H', a store to it")
            .both(family.observe()?)
            .fact(Fact::bytes("parent_reads", "the parent reads", &seen))
            .why(&[why]),
    )
}

fn closed(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    family.turn("close the mapping")?;
    let seen = beginning(map);
    let [lives_on, gone] = family.observe()?;
    let why = match (gone.after.is_none(), lives_on.after.is_some()) {
        (true, true) => {
            "The child's region is gone, and the parent's stays, at the same address: fork copied the map, so munmap in \
             one process doesn't affect the other."
        }
        _ => "The rows show the two maps.",
    };
    let whose = match lives_on.grew(Quantity::Unique) > Bytes::ZERO {
        true => "Only the parent maps the page now: PSS counts all of it, and so does UNIQ.",
        false => "",
    };
    stage.show(
        Step::new("closed", format!("in the child: munmap(addr, {})", map.size().0))
            .both([lives_on, gone])
            .fact(Fact::bytes("parent_reads", "the parent still reads", &seen))
            .why(&[why, whose]),
    )
}

fn ended(stage: &mut Stage<'_>, family: &mut Family) -> Result<()> {
    let end = family.child.finish()?;
    let after = family.parent.observe()?;
    let why = match after.after.is_some() {
        true => "The child's whole map is gone; the parent's mapping stays until the parent unmaps it.",
        false => "The parent's mapping is gone.",
    };
    stage.show(
        Step::new("ended", "in the child: _exit(0); in the parent: waitpid()")
            .region(after)
            .fact(Fact::end(end))
            .why(&[why]),
    )
}

fn in_the_child(turns: &mut Turns, map: &mut Mapping) -> i32 {
    turns.stop(&map.read_bytes(Bytes::ZERO, GREETING.len()));
    map.write(Bytes::ZERO, WRITTEN);
    turns.stop(&[]);
    if map.unmap().is_err() {
        return 1;
    }
    turns.stop(&[]);
    0
}

fn forked_sentence(forked: &Observation) -> &'static str {
    match (&forked.after, forked.now(Quantity::Resident)) {
        (None, _) => "The child has no region at that address.",
        (Some(_), Some(Bytes::ZERO)) => {
            "The child has the same region at the same address, although it never called mmap: fork copies the map. \
             Nothing is resident there yet: fork skips the page table entries of a shared file, whose pages a page fault \
             finds again in the page cache."
        }
        (Some(_), _) => {
            "The child has the same region at the same address, although it never called mmap: fork copies the map."
        }
    }
}

/// Explains whether the two mappings share a page, as far as the system shows it.
fn shared_sentence(parent: &Observation, frames: [Option<u64>; 2]) -> String {
    let halved = match parent.shrank(Quantity::Proportional) > Bytes::ZERO {
        true => "PSS now counts half of the page for each process, and the page is unique to neither.",
        false => "",
    };
    let proof = match frames {
        [Some(one), Some(other)] if one == other => {
            "Both mappings lead to one physical page frame: the page cache holds the file once."
        }
        [Some(_), Some(_)] => "The two mappings have different physical pages.",
        _ => "",
    };
    let sharing = match parent.new_sharing() {
        Some(code) => format!("The share mode {code} shows that another process maps it too."),
        None => String::new(),
    };
    [proof, halved, &sharing].join(" ").trim().to_owned()
}
