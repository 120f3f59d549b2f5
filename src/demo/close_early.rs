//! Lesson `close-early`: a file that shrinks under its mapping, a mapping dropped without a flush, and a deleted file.

use mmview_platform::own::{Child, Mapping, Sharing};
use mmview_platform::{Bytes, Ending, Protection};

use super::Options;
use super::error::Result;
use super::observer::Observer;
use super::scratch::{GREETING, Scratch};
use super::stage::Stage;
use super::step::{Fact, Quantity, Step};
use crate::error::Context as _;
use crate::view::regions;

/// The bytes that replace the greeting.
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

/// Truncates the file to its first page while both of its pages are mapped.
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
            .why(&["The file has two pages. Both are mapped, and the process has read from both."]),
    )?;

    scratch.file().set_len(page.0).with_context(|| format!("failed to truncate {}", scratch.title()))?;
    let cut = observer.observe()?;
    let lost = cut.shrank(Quantity::Resident);
    let what = if cut.now(Quantity::Size) != Some(size) {
        "The size of the region changed."
    } else if lost == page {
        "The region keeps its size, but its second page is gone: the file no longer has data for those addresses."
    } else if lost > page {
        "The region keeps its size, but no page is left, neither the second nor the first. The kernel can read the first \
         one from the file again; the file no longer has data for the second."
    } else {
        "The region keeps its size, and its counts don't show that the file no longer has data for the second page."
    };
    let call = format!("ftruncate(fd, {}), so the file ends after its first page", page.0);
    stage.show(Step::new("truncated", call).region(cut).why(&[what]))?;

    let mut child = Child::fork(|_| i32::from(map.read(page)))?;
    let end = child.finish()?;
    let read = map.read_bytes(Bytes::ZERO, GREETING.len());
    let why = match end {
        Ending::Killed(_) => {
            "The region allows the load, but there is nothing to load. A load can't return an error, so the kernel sends \
             a signal. A child made the access, so the lesson goes on; the bytes within the file can still be read."
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

/// Unmaps the file without a flush, and uses the mapping after that.
fn not_flushed(stage: &mut Stage<'_>, scratch: &Scratch) -> Result<()> {
    let mut map = map(scratch, stage.page()?)?;
    let size = map.size().0;
    let mut observer = Observer::own("", map.address())?;
    map.read(Bytes::ZERO);
    observer.observe()?;
    map.write_bytes(Bytes::ZERO, WRITTEN);
    let written = observer.observe()?;
    let why = match written.now(Quantity::Dirty) {
        Some(dirty) if dirty > Bytes::ZERO => "The page is dirty, and the lesson doesn't call msync.",
        _ => "The lesson doesn't call msync.",
    };
    let call = "mapped again; map[0..10] = \"HELLO, MAP\", ten stores";
    stage.show(Step::new("written", call).region(written).why(&[why]))?;

    let mut child = Child::fork(|_| map.use_after_unmap(Bytes::ZERO).map_or(1, i32::from))?;
    let end = child.finish()?;
    map.unmap().with_context(|| format!("failed to unmap {}", scratch.title()))?;
    let read = scratch.beginning()?;
    let why = match read == WRITTEN {
        true => {
            "The mapping is gone without a flush, yet the file has the bytes: a store to a shared mapping changes the \
             file's page in the page cache, and read() reads that page. Only a crash of the machine loses what is not on \
             the disk yet."
        }
        false => "The file doesn't have the new bytes.",
    };
    let call = format!("munmap(addr, {size}) without msync; then read(fd)");
    let dropped = observer.observe()?;
    stage.show(
        Step::new("dropped", call)
            .region(dropped)
            .fact(Fact::bytes("file_bytes", "read() returns", &read))
            .why(&[why]),
    )?;

    let why = match end {
        Ending::Killed(_) => {
            "The program can't use a mapping that it closed too early: no region holds the address. Python checks each \
             access and raises ValueError; a pointer has no such check."
        }
        Ending::Exited(_) => "Another mapping held the address by then.",
    };
    let call = format!("in a child, which inherited the mapping: munmap(addr, {size}), then map[0]");
    stage.show(Step::new("used after", call).fact(Fact::end(end)).why(&[why]))
}

/// Deletes the file while it is mapped.
fn deleted(stage: &mut Stage<'_>, scratch: Scratch) -> Result<()> {
    let map = map(&scratch, stage.page()?)?;
    let mut observer = Observer::own("", map.address())?;
    map.read(Bytes::ZERO);
    observer.observe()?;
    let (path, title) = (scratch.path().to_owned(), scratch.title());
    std::fs::remove_file(&path).with_context(|| format!("failed to delete {title}"))?;
    let left = map.read_bytes(Bytes::ZERO, GREETING.len());
    let deleted = observer.observe()?;
    let is_marked =
        deleted.after.as_ref().is_some_and(|after| regions::detail(after).ends_with(b" (deleted)"));
    let why = match (is_marked, left == WRITTEN) {
        (true, true) => {
            "The name is gone from its directory, and the map marks the path as `(deleted)`. The file itself stays as \
             long as a mapping or a descriptor refers to it."
        }
        (false, true) => {
            "The name is gone from its directory, but the file itself stays as long as a mapping or a descriptor refers \
             to it. This system's map doesn't show that the file was deleted."
        }
        (_, false) => "The mapping no longer has the file's bytes.",
    };
    stage.show(
        Step::new("deleted", format!("mapped again; unlink({title})"))
            .region(deleted)
            .fact(Fact::bytes("mapping_bytes", "the mapping contains", &left))
            .fact(Fact::new(
                "path_exists",
                path.exists(),
                match path.exists() {
                    true => "the path still exists",
                    false => "the path no longer exists",
                },
            ))
            .why(&[why]),
    )?;

    drop(map);
    let closed = observer.observe()?;
    let why = match closed.is_gone() {
        true => {
            "The last mapping is gone. Once the descriptor is closed too, nothing refers to the file, and the kernel \
             frees its bytes."
        }
        false => "Another mapping now holds the address.",
    };
    stage.show(Step::new("closed", format!("munmap(addr, {})", stage.page()?.0)).region(closed).why(&[why]))
}
