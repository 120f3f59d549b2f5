//! The first lesson: what a file mapping is, from `mmap` to `munmap`.

use std::fs::{File, FileTimes};
use std::hint::black_box;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Context as _;
use memmap2::MmapMut;
use mmview_platform::Bytes;

use super::Options;
use super::error::{Result, failure};
use super::observer::Observer;
use super::scratch::{Scratch, title};
use super::stage::Stage;
use super::step::{Observation, Quantity, Step};

pub(super) fn run(plan: &Options, stage: &mut Stage<'_>) -> Result<()> {
    match &plan.file {
        Some(path) => {
            let file = open(path)?;
            let times =
                times(&file).with_context(|| format!("failed to read the times of {}", title(path)))?;
            let shown = teach(path, &file, false, stage);
            // The byte written is the one that was there; only the times tell of it.
            if let Err(error) = file.set_times(times) {
                log::warn!("failed to restore the times of {}: {error}", title(path));
            }
            shown
        }
        None => {
            let scratch = Scratch::new(stage.page()?)
                .context("the lesson has no file of its own to map; name one of yours with --file")?;
            teach(scratch.path(), scratch.file(), true, stage)
        }
    }
}

fn times(file: &File) -> io::Result<FileTimes> {
    let metadata = file.metadata()?;
    Ok(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))
}

/// Opens the reader's file for reading and writing.
fn open(path: &Path) -> crate::error::Result<File> {
    let metadata = std::fs::metadata(path).with_context(|| format!("failed to open {}", title(path)))?;
    if !metadata.is_file() {
        return Err(failure(format!(
            "{} is not a regular file: only a file's bytes can be mapped",
            title(path)
        )));
    }
    if metadata.len() == 0 {
        return Err(failure(format!(
            "{} is empty: mmap refuses a length of 0 (EINVAL); use a file with at least one byte",
            title(path)
        )));
    }
    let read_only = || {
        format!(
            "{} can't be opened for writing, and the lesson writes a byte (the one that is there); use a copy of it",
            title(path)
        )
    };
    if metadata.permissions().readonly() {
        return Err(failure(read_only()));
    }
    let file = File::options().read(true).write(true).open(path).with_context(read_only)?;
    // What was written just now must not show as dirty pages of the mapping.
    file.sync_all().with_context(|| format!("failed to write {} to its disk", title(path)))?;
    Ok(file)
}

/// `may_change` says whether the file's bytes may change; else the byte written is the one that is there.
fn teach(path: &Path, file: &File, may_change: bool, stage: &mut Stage<'_>) -> Result<()> {
    let unreadable = || format!("failed to look up {}", title(path));
    let real = path.canonicalize().with_context(unreadable)?;
    let length = file.metadata().with_context(unreadable)?.len();
    let is_mapped_already = is_mapped(&real)?;
    let size = stage.size(Bytes(length));
    let open = format!("The file has {size}. ");
    stage.show(Step::new("before", format!("open({}, O_RDWR)", title(&real))).why(&[
        &match is_mapped_already {
            false => open + "It is open, but an open file is not in the address space: no region has it.",
            true => open + "This process has it mapped already; watch the new region.",
        },
    ]))?;

    let mut map = map(file).with_context(|| format!("failed to map {}", title(path)))?;
    let mut observer = Observer::own("", map.as_ptr() as u64)?;
    let mapped = observer.observe()?;
    // Where something lay before, nobody has looked.
    let call = format!(
        "MmapMut::map_mut(&file), that is mmap(NULL, {length}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)"
    );
    let why = match mapped.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            "The region is there and nothing of it is resident: mmap only made the promise, pages come when they are \
             touched."
        }
        _ => "The region is there; some of it is resident already.",
    };
    stage.show(Step::new("mapped", call).region(mapped).why(&[why]))?;

    let byte = black_box(map[0]);
    let read = observer.observe()?;
    let why = read_sentence(stage, &read)?;
    stage.show(Step::new("read", "map[0], a load from the first page").region(read).why(&[&why]))?;

    map[0] = if may_change { byte ^ 1 } else { byte };
    black_box(&map[0]);
    let written = observer.observe()?;
    let why = written_sentence(&written);
    stage.show(Step::new("written", "map[0] = …, a store to the first page").region(written).why(&[why]))?;

    map.flush().with_context(|| format!("failed to flush {}", title(path)))?;
    let flushed = observer.observe()?;
    let why = flushed_sentence(&flushed);
    let call = format!("map.flush(), that is msync(addr, {length}, MS_SYNC)");
    stage.show(Step::new("flushed", call).region(flushed).why(&[why]))?;

    drop(map);
    let closed = observer.observe()?;
    let why = match closed.is_gone() {
        true => {
            "The region is gone at once, though the file is still open; an access to its addresses would now be a SIGSEGV."
        }
        false => "Something else is mapped there now.",
    };
    let call = format!("drop(map), that is munmap(addr, {length})");
    stage.show(Step::new("closed", call).region(closed).why(&[why]))
}

/// Whether this process has the file mapped.
fn is_mapped(path: &Path) -> crate::error::Result<bool> {
    let path = path.as_os_str().as_bytes();
    Ok(Observer::own("", 0)?
        .regions()?
        .iter()
        .any(|classified| classified.name().is_some_and(|name| name.is_file() && name.bytes() == path)))
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file is the lesson's own, or one that its reader chose; should somebody truncate it meanwhile, the lesson
    // ends by SIGBUS, which is the lesson's subject. No reference into the map outlives it.
    unsafe { MmapMut::map_mut(file) }
}

fn read_sentence(stage: &Stage<'_>, read: &Observation) -> crate::error::Result<String> {
    if read.now(Quantity::Resident).is_none() {
        return Ok("The first access brought the page in.".to_owned());
    }
    let grown = read.grew(Quantity::Resident);
    Ok(if grown > stage.page()? {
        format!(
            "The page was not mapped, so the load trapped into the kernel (a page fault), which mapped it and what lay \
             around it in the page cache: {} for a byte.",
            stage.size(grown)
        )
    } else if grown > Bytes::ZERO {
        "The page was not mapped, so the load trapped into the kernel (a page fault), which mapped the file's page from \
         the page cache. One byte costs a page."
            .to_owned()
    } else {
        "The page was resident before.".to_owned()
    })
}

fn written_sentence(written: &Observation) -> &'static str {
    if written.grew(Quantity::Dirty) > Bytes::ZERO {
        "The page is dirty: the page cache has something that the disk doesn't. Everyone who maps or reads the file sees \
         it already."
    } else if written.now(Quantity::Dirty) > Some(Bytes::ZERO) {
        "The page was dirty before: this file system has no disk to be different from."
    } else {
        "The system doesn't count the page as dirty."
    }
}

fn flushed_sentence(flushed: &Observation) -> &'static str {
    if flushed.shrank(Quantity::Dirty) > Bytes::ZERO {
        "The page is on the disk, and clean; it stays resident. Without a flush the kernel writes it some time later, and \
         a crash of the machine before that loses it."
    } else if flushed.now(Quantity::Dirty) > Some(Bytes::ZERO) {
        "The page is still dirty: this file system keeps its pages in memory (tmpfs), so there is nothing to write."
    } else {
        "The page is on the disk."
    }
}
