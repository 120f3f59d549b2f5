//! Lesson `shared-memory`: memory that two processes share without a file on disk.

use std::fs::File;

use mmview_platform::own::{Child, Mapping, Sharing, Turns, memory_object};
use mmview_platform::{Bytes, Protection};

use super::Options;
use super::error::Result;
use super::observer::{Family, Observer};
use super::stage::Stage;
use super::step::{Fact, Quantity, Step};
use crate::error::Context as _;

/// The name of the memory object.
const NAME: &str = "mmview-demo";

/// The message that the child writes.
const MESSAGE: &[u8] = b"hello from the child";

const ACCESS: Protection = Protection::READ.with(Protection::WRITE);

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let size = Bytes(4 * stage.page()?.0);
    let object = memory_object(NAME, size)?;
    let mut map = Mapping::of_file(&object, size, Sharing::Shared, ACCESS)?;
    let mut parent = Observer::own("parent", map.address())?;
    let mapped = parent.observe()?;
    let why = match mapped.now(Quantity::Resident) {
        Some(Bytes::ZERO) => "It has a size, but no page yet.",
        _ => "",
    };
    let what = "This memory is a file without a name in any directory and without a disk; the process maps it like any \
         other file.";
    let call =
        format!("{}; mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)", made_by(stage, size), size.0);
    stage.show(Step::new("mapped", call).region(mapped).why(&[what, why]))?;

    let mut child = Child::fork(|turns| in_the_child(turns, &object, size))?;
    let sent = child.step()?.context("the child ended before it could map the memory")?;
    let address = sent.try_into().ok().map(u64::from_ne_bytes).context("the child sent no address")?;
    let mut family = Family::new(parent, child, address)?;
    mapped_twice(stage, &mut family, &map, address)?;
    written(stage, &mut family)?;
    read(stage, &mut family, &map)?;
    // Close every descriptor before the next observation: the child's copy closes when the child ends.
    family.child.finish()?;
    drop(object);
    ended(stage, &mut family, &map)?;

    map.unmap()?;
    let closed = family.parent.observe()?;
    let why = match closed.is_gone() {
        true => {
            "That was the last mapping, and no name or descriptor refers to the memory: the kernel frees it."
        }
        false => "Another mapping now holds the address.",
    };
    stage.show(Step::new("closed", format!("munmap(addr, {})", size.0)).region(closed).why(&[why]))
}

fn mapped_twice(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping, address: u64) -> Result<()> {
    let why = match address == map.address() {
        true => "The child mapped the same memory, by chance at the same address.",
        false => {
            "The child mapped the same memory at another address. The processes share the memory, not its addresses, so a \
             pointer into it means nothing to the other process."
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
            "The memory now has a page. The child maps it; the parent has not touched it yet, so it is not resident there."
        }
        _ => "The memory now has a page.",
    };
    let call = format!("in the child: memcpy(map, \"{}\")", String::from_utf8_lossy(MESSAGE));
    stage.show(Step::new("written", call).both([parent, child]).why(&[why]))
}

fn read(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let bytes = map.read_bytes(Bytes::ZERO, MESSAGE.len());
    let [parent, child] = family.observe()?;
    let frames = family.frames();
    let message = match bytes == MESSAGE {
        true => "The parent reads the child's message, and no system call carried it.",
        false => "The parent doesn't read the child's message.",
    };
    let proof = match frames {
        [Some(one), Some(other)] if one == other => "Two addresses, one physical page.",
        _ => "",
    };
    let halved = match child.shrank(Quantity::Proportional) > Bytes::ZERO {
        true => "PSS counts half of it for each process.",
        false => "",
    };
    stage.show(
        Step::new("read", "in the parent: loads from its own mapping")
            .both([parent, child])
            .fact(Fact::bytes("parent_reads", "the parent reads", &bytes))
            .fact_if(Fact::frames(["parent", "child"], frames))
            .why(&[message, proof, halved]),
    )
}

fn ended(stage: &mut Stage<'_>, family: &mut Family, map: &Mapping) -> Result<()> {
    let end = family.child.finish()?;
    let bytes = map.read_bytes(Bytes::ZERO, MESSAGE.len());
    let (kept, ended) = (family.parent.observe()?, family.other.ended());
    let why = match bytes == MESSAGE {
        true => {
            "The writer is gone and the descriptor is closed, but the memory stays: the parent's mapping refers to it."
        }
        false => "The message is gone, like the child.",
    };
    stage.show(
        Step::new("ended", "the child ends; in the parent: close(fd)")
            .both([kept, ended])
            .fact(Fact::bytes("parent_reads", "the parent still reads", &bytes))
            .fact(Fact::end(end))
            .why(&[why]),
    )
}

/// The calls that make the memory object.
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
    map.write_bytes(Bytes::ZERO, MESSAGE);
    turns.stop(&[]);
    0
}
