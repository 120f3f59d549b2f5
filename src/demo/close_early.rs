//! What becomes of a mapping whose file changes under it, and of bytes whose mapping is gone.

use crate::error::Context as _;
use mmview_platform::own::{Child, Mapping, Sharing};
use mmview_platform::{Bytes, Ending, Protection};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::scratch::{GREETING, Scratch};
use super::stage::Stage;
use super::step::{Fact, Quantity, Step};
use crate::view::regions;

/// What is written over the greeting.
const WRITTEN: &[u8] = b"HELLO, MAP";

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let page = stage.page()?;
    let scratch = Scratch::new(Bytes(2 * page.0))?;
    truncated(stage, &scratch)?;
    not_flushed(stage, &scratch)?;
    deleted(stage, scratch)
}

fn map(scratch: &Scratch, size: Bytes) -> crate::error::Result<Mapping> {
    let access = Protection::READ.with(Protection::WRITE);
    Mapping::of_file(scratch.file(), size, Sharing::Shared, access)
        .with_context(|| format!("failed to map {}", scratch.title()))
}

/// The file loses its second page while both are mapped.
fn truncated(stage: &mut Stage<'_>, scratch: &Scratch) -> Result<()> {
    let page = stage.page()?;
    let size = Bytes(2 * page.0);
    let map = map(scratch, size)?;
    let mut observer = Observer::own("", map.address())?;
    map.read(Bytes::ZERO);
    map.read(page);
    let call = format!(
        "mmap(NULL, {}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0), then a load from each page",
        size.0
    );
    stage.show(
        Step::new("mapped", call)
            .region(observer.observe()?)
            .why(&["A file of two pages is mapped, and both have been read."]),
    )?;

    scratch.file().set_len(page.0).with_context(|| format!("failed to truncate {}", scratch.title()))?;
    let cut = observer.observe()?;
    let lost = cut.shrank(Quantity::Resident);
    let what = if cut.now(Quantity::Size) != Some(size) {
        "The region has changed its size."
    } else if lost == page {
        "The region is as long as before, but its second page has been taken away: nothing in the file is behind those \
         addresses any more."
    } else if lost > page {
        "The region is as long as before, but its pages have been taken away, the first along with the second. The first \
         can be brought back from the file; behind the second there is nothing any more."
    } else {
        "The region is as long as before, and its counts don't tell that nothing in the file is behind its second page any \
         more."
    };
    let call = format!("ftruncate(fd, {}), the file now ends after its first page", page.0);
    stage.show(Step::new("truncated", call).region(cut).why(&[what]))?;

    let mut child = Child::fork(|_| i32::from(map.read(page)))?;
    let end = child.finish()?;
    let read = map.read_bytes(Bytes::ZERO, GREETING.len());
    let why = match end {
        Ending::Killed(_) => {
            "The region allows the load, and still there is nothing to load: no return value could say so, hence a signal. \
             It was a child that tried, so that the lesson goes on; what is within the file is still there."
        }
        Ending::Exited(_) => "This system let the child read beyond the end of the file.",
    };
    let call = format!("in a child: map[{}], a load from the second page; in the parent: map[0]", page.0);
    stage.show(
        Step::new("touched", call)
            .region(observer.observe()?)
            .fact(Fact::end(end))
            .fact(Fact::bytes("parent_reads", "the parent reads", &read))
            .why(&[why]),
    )
}

/// A mapping is dropped with nothing flushed; and used after that.
fn not_flushed(stage: &mut Stage<'_>, scratch: &Scratch) -> Result<()> {
    let mut map = map(scratch, stage.page()?)?;
    let size = map.size().0;
    let mut observer = Observer::own("", map.address())?;
    map.read(Bytes::ZERO);
    observer.observe()?;
    map.write_bytes(Bytes::ZERO, WRITTEN);
    let written = observer.observe()?;
    let why = match written.now(Quantity::Dirty) {
        Some(dirty) if dirty > Bytes::ZERO => "The page is dirty, and no msync is to follow.",
        _ => "No msync is to follow.",
    };
    let call = "mapped anew; map[0..10] = \"HELLO, MAP\", ten stores";
    stage.show(Step::new("written", call).region(written).why(&[why]))?;

    let mut child = Child::fork(|_| map.use_after_unmap(Bytes::ZERO).map_or(1, i32::from))?;
    let end = child.finish()?;
    map.unmap().with_context(|| format!("failed to unmap {}", scratch.title()))?;
    let read = scratch.beginning()?;
    let why = match read == WRITTEN {
        true => {
            "The mapping is gone and nothing was flushed, and the file has the bytes all the same: a store to a shared \
             mapping goes to the file's page in the page cache, and read() reads there. Only a crash of the machine loses \
             what isn't on the disk yet."
        }
        false => "The file doesn't have the bytes that were written.",
    };
    let call = format!("munmap(addr, {size}), with no msync; then read(fd)");
    let dropped = observer.observe()?;
    stage.show(
        Step::new("dropped", call)
            .region(dropped)
            .fact(Fact::bytes("file_bytes", "read() gives", &read))
            .why(&[why]),
    )?;

    let why = match end {
        Ending::Killed(_) => {
            "What was closed too early can't be used: there is no region at the address. Python would have raised \
             ValueError, since it asks before each access; a pointer asks nobody."
        }
        Ending::Exited(_) => "Something else was mapped there meanwhile.",
    };
    let call = format!("in a child, which inherited the mapping: munmap(addr, {size}), then map[0]");
    stage.show(Step::new("used after", call).fact(Fact::end(end)).why(&[why]))
}

/// The file is deleted while it is mapped.
fn deleted(stage: &mut Stage<'_>, scratch: Scratch) -> Result<()> {
    let map = map(&scratch, stage.page()?)?;
    let mut observer = Observer::own("", map.address())?;
    map.read(Bytes::ZERO);
    observer.observe()?;
    let (path, title) = (scratch.path().to_owned(), scratch.title());
    std::fs::remove_file(&path).with_context(|| format!("failed to delete {title}"))?;
    let left = map.read_bytes(Bytes::ZERO, GREETING.len());
    let deleted = observer.observe()?;
    let is_told = deleted.after.as_ref().is_some_and(|after| regions::detail(after).ends_with(b" (deleted)"));
    let why = match (is_told, left == WRITTEN) {
        (true, true) => {
            "The name is gone from its directory, which the map says by `(deleted)`; the file is not: the mapping holds it, \
             and its bytes are freed when the last mapping and the last descriptor are closed."
        }
        (false, true) => {
            "The name is gone from its directory, and the file is not: the mapping holds it, and its bytes are freed when \
             the last mapping and the last descriptor are closed. This system's map doesn't say that it was deleted."
        }
        (_, false) => "The mapping doesn't have the file's bytes any more.",
    };
    stage.show(
        Step::new("deleted", format!("mapped anew; unlink({title})"))
            .region(deleted)
            .fact(Fact::bytes("mapping_bytes", "the mapping has", &left))
            .fact(Fact::new(
                "path_exists",
                path.exists(),
                match path.exists() {
                    true => "the path is still there",
                    false => "nothing is at the path any more",
                },
            ))
            .why(&[why]),
    )?;

    drop(map);
    let closed = observer.observe()?;
    let why = match closed.is_gone() {
        true => {
            "The last mapping is gone. Once the descriptor is closed too, nobody can reach the bytes, and they are freed."
        }
        false => "Something else is mapped there now.",
    };
    stage.show(Step::new("closed", format!("munmap(addr, {})", stage.page()?.0)).region(closed).why(&[why]))
}
