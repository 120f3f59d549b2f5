//! Memory that two processes share, and that no file has.

use std::fs::File;

use crate::error::Context as _;
use mmview_platform::own::{Child, Mapping, Sharing, Turns, memory_object};
use mmview_platform::{Bytes, Protection};

use super::Options;
use super::error::Result;
use super::observer::{Family, Observer};
use super::stage::Stage;
use super::step::{Fact, Quantity, Step};

/// What the memory is called.
const NAME: &str = "mmview-demo";

/// What the child says.
const SAID: &[u8] = b"hello from the child";

const ACCESS: Protection = Protection::READ.with(Protection::WRITE);

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let size = Bytes(4 * stage.page()?.0);
    let object = memory_object(NAME, size)?;
    let mut map = Mapping::of_file(&object, size, Sharing::Shared, ACCESS)?;
    let mut parent = Observer::own("parent", map.address())?;
    let mapped = parent.observe()?;
    let why = match mapped.now(Quantity::Resident) {
        Some(Bytes::ZERO) => "Nothing of it exists yet but its size.",
        _ => "",
    };
    let what = "A file that has no place in any directory and no disk behind it, mapped as any file is.";
    let call =
        format!("{}; mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)", made_by(stage, size), size.0);
    stage.show(Step::new("mapped", call).region(mapped).why(&[what, why]))?;

    let mut child = Child::fork(|turns| in_the_child(turns, &object, size))?;
    let told = child.step()?.context("the child ended before it could map the memory")?;
    let address = told.try_into().ok().map(u64::from_ne_bytes).context("the child didn't tell an address")?;
    let mut family = Family::new(parent, child, address)?;
    mapped_twice(stage, &mut family, &map, address)?;
    written(stage, &mut family)?;
    read(stage, &mut family, &map)?;
    // The descriptor is closed before the memory is looked at again; the child has a copy of it until it ends.
    family.child.finish()?;
    drop(object);
    ended(stage, &mut family, &map)?;

    map.unmap()?;
    let closed = family.parent.observe()?;
    let why = match closed.is_gone() {
        true => {
            "That was the last mapping, and nobody has a name or a descriptor for the memory: it is freed."
        }
        false => "Something else is mapped there now.",
    };
    stage.show(Step::new("closed", format!("munmap(addr, {})", size.0)).region(closed).why(&[why]))
}

fn mapped_twice(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping, address: u64) -> Result<()> {
    let why = match address == map.address() {
        true => "The child has mapped the same memory, by chance at the same address.",
        false => {
            "The child has mapped the same memory itself, at another address: what two processes share is the memory, not \
             the address, so pointers into it mean nothing to the other."
        }
    };
    let size = map.size().0;
    let call = format!("fork(); in the child: mmap(NULL, {size}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)");
    stage.show(Step::new("a child", call).both(family.observe()?).why(&[why]))
}

fn written(stage: &mut Stage<'_>, family: &mut Family) -> Result<()> {
    family.turn("write")?;
    let [parent, child] = family.observe()?;
    let why = match (parent.now(Quantity::Resident), child.now(Quantity::Resident)) {
        (Some(Bytes::ZERO), Some(resident)) if resident > Bytes::ZERO => {
            "The memory now has a page. The child has it mapped; the parent has not touched it, and so it counts for nothing \
             there."
        }
        _ => "The memory now has a page.",
    };
    let call = format!("in the child: memcpy(map, \"{}\")", String::from_utf8_lossy(SAID));
    stage.show(Step::new("written", call).both([parent, child]).why(&[why]))
}

fn read(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let heard = map.read_bytes(Bytes::ZERO, SAID.len());
    let [parent, child] = family.observe()?;
    let frames = family.frames();
    let said = match heard == SAID {
        true => "The parent has the child's words, and no system call carried them.",
        false => "The parent doesn't have the child's words.",
    };
    let proof = match frames {
        [Some(one), Some(other)] if one == other => "Two addresses, one physical page.",
        _ => "",
    };
    let halved = match child.shrank(Quantity::Proportional) > Bytes::ZERO {
        true => "Each carries half of it in PSS.",
        false => "",
    };
    stage.show(
        Step::new("read", "in the parent: loads from its own mapping")
            .both([parent, child])
            .fact(Fact::bytes("parent_reads", "the parent reads", &heard))
            .fact_if(Fact::frames(["parent", "child"], frames))
            .why(&[said, proof, halved]),
    )
}

fn ended(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let end = family.child.finish()?;
    let heard = map.read_bytes(Bytes::ZERO, SAID.len());
    let (kept, ended) = (family.parent.observe()?, family.other.ended());
    let why = match heard == SAID {
        true => {
            "The one who wrote it is gone, the descriptor is closed, and the memory lives on: the parent's mapping holds it."
        }
        false => "The words are gone with the child.",
    };
    stage.show(
        Step::new("ended", "the child ends; in the parent: close(fd)")
            .both([kept, ended])
            .fact(Fact::bytes("parent_reads", "the parent still reads", &heard))
            .fact(Fact::end(end))
            .why(&[why]),
    )
}

/// The calls that made the memory.
fn made_by(stage: &Stage<'_>, size: Bytes) -> String {
    match stage.os() {
        "linux" => format!("memfd_create(\"{NAME}\"); ftruncate(fd, {})", size.0),
        _ => format!(
            "shm_open(\"/{NAME}-{}\", …); shm_unlink(); ftruncate(fd, {})",
            std::process::id(),
            size.0
        ),
    }
}

fn in_the_child(turns: &mut Turns, object: &File, size: Bytes) -> i32 {
    let Ok(map) = Mapping::of_file(object, size, Sharing::Shared, ACCESS) else { return 1 };
    turns.stop(&map.address().to_ne_bytes());
    map.write_bytes(Bytes::ZERO, SAID);
    turns.stop(&[]);
    0
}
