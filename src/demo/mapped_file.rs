//! Lesson `mapped-file`, the first one: a file mapping from `mmap` to `munmap`.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mmview_platform::Bytes;
use mmview_platform::own::MappedFile;

use super::Options;
use super::error::{Result, failure};
use super::observer::Observer;
use super::scratch::{Scratch, title};
use super::stage::Stage;
use super::step::{Observation, Quantity, Step};
use crate::error::Context as _;

pub(super) fn run(plan: &Options, stage: &mut Stage<'_>) -> Result<()> {
    match &plan.file {
        Some(path) => {
            let file = open(path)?;
            let times =
                times(&file).with_context(|| format!("failed to read the times of {}", title(path)))?;
            let shown = teach(path, &file, false, stage);
            // The lesson writes the byte that is there already, so only the times change.
            if let Err(error) = file.set_times(times) {
                log::warn!("failed to restore the times of {}: {error}", title(path));
            }
            shown
        }
        None => {
            let scratch = Scratch::new(stage.page()?)
                .context("the lesson can't make a file to map; pass one of yours with --file")?;
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
        return Err(failure(format!("{} is not a regular file; pass a regular file", title(path))));
    }
    if metadata.len() == 0 {
        return Err(failure(format!(
            "{} is empty, and mmap refuses a length of 0 (EINVAL); pass a file with at least one byte",
            title(path)
        )));
    }
    let read_only = || {
        format!(
            "{} can't be opened for writing, and the lesson rewrites its first byte; pass a copy of the file",
            title(path)
        )
    };
    if metadata.permissions().readonly() {
        return Err(failure(read_only()));
    }
    let file = File::options().read(true).write(true).open(path).with_context(read_only)?;
    // Recent writes must not show up as dirty pages of the mapping.
    file.sync_all().with_context(|| format!("failed to flush {} to its disk", title(path)))?;
    Ok(file)
}

/// Shows every step. Unless `may_change`, the lesson writes the byte that is there already.
fn teach(path: &Path, file: &File, may_change: bool, stage: &mut Stage<'_>) -> Result<()> {
    let unreadable = || format!("failed to look up {}", title(path));
    let real = path.canonicalize().with_context(unreadable)?;
    let length = file.metadata().with_context(unreadable)?.len();
    let is_mapped_already = is_mapped(&real)?;
    let size = stage.size(Bytes(length));
    let open = format!("The file has {size}. ");
    stage.show(Step::new("before", format!("open({}, O_RDWR)", title(&real))).why(&[
        &match is_mapped_already {
            false => open + "It is open, but opening a file doesn't map it: no region has it.",
            true => open + "This process maps it already; watch the new region.",
        },
    ]))?;

    let mut map = MappedFile::open(file).with_context(|| format!("failed to map {}", title(path)))?;
    let mut observer = Observer::own("", map.address())?;
    let mapped = observer.observe()?;
    let call = format!(
        "mmap(NULL, {length}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0); in Rust MmapMut::map_mut(&file)"
    );
    let why = match mapped.now(Quantity::Resident) {
        Some(Bytes::ZERO) => {
            "The region exists, but nothing of it is resident: mmap only sets up the mapping, and a page becomes resident \
             when it is touched."
        }
        _ => "The region exists, and some of it is resident already.",
    };
    stage.show(Step::new("mapped", call).region(mapped).why(&[why]))?;

    let byte = map.read(0);
    let read = observer.observe()?;
    let why = read_sentence(stage, &read)?;
    stage.show(Step::new("read", "map[0], a load from the first page").region(read).why(&[&why]))?;

    map.write(0, if may_change { byte ^ 1 } else { byte });
    let written = observer.observe()?;
    let why = written_sentence(&written);
    stage.show(Step::new("written", "map[0] = …, a store to the first page").region(written).why(&[why]))?;

    map.flush().with_context(|| format!("failed to flush {}", title(path)))?;
    let flushed = observer.observe()?;
    let why = flushed_sentence(&flushed);
    let call = format!("msync(addr, {length}, MS_SYNC); in Rust map.flush()");
    stage.show(Step::new("flushed", call).region(flushed).why(&[why]))?;

    drop(map);
    let closed = observer.observe()?;
    let why = match closed.is_gone() {
        true => {
            "The region is gone immediately, although the file is still open. An access to its addresses would raise \
             SIGSEGV now."
        }
        false => "Another mapping now holds the address.",
    };
    let call = format!("munmap(addr, {length}); in Rust drop(map)");
    stage.show(Step::new("closed", call).region(closed).why(&[why]))
}

/// Returns whether this process maps the file.
fn is_mapped(path: &Path) -> crate::error::Result<bool> {
    let path = path.as_os_str().as_bytes();
    Ok(Observer::own("", 0)?
        .regions()?
        .iter()
        .any(|classified| classified.name().is_some_and(|name| name.is_file() && name.bytes() == path)))
}

fn read_sentence(stage: &Stage<'_>, read: &Observation) -> crate::error::Result<String> {
    if read.now(Quantity::Resident).is_none() {
        return Ok("This system doesn't report resident memory.".to_owned());
    }
    let grown = read.grew(Quantity::Resident);
    Ok(if grown > stage.page()? {
        format!(
            "The page was not mapped yet, so the load caused a page fault. The kernel mapped the page and its neighbors \
             from the page cache: {} for one byte.",
            stage.size(grown)
        )
    } else if grown > Bytes::ZERO {
        "The page was not mapped yet, so the load caused a page fault, and the kernel mapped the file's page from the \
         page cache. One byte costs a page."
            .to_owned()
    } else {
        "The page was resident already.".to_owned()
    })
}

fn written_sentence(written: &Observation) -> &'static str {
    if written.grew(Quantity::Dirty) > Bytes::ZERO {
        "The page is dirty: the page cache has newer data than the disk. Every process that maps or reads the file sees \
         the new data already."
    } else if written.now(Quantity::Dirty) > Some(Bytes::ZERO) {
        "The page was dirty before the store: this file system has no disk to write it to."
    } else {
        "This system doesn't count the page as dirty."
    }
}

fn flushed_sentence(flushed: &Observation) -> &'static str {
    if flushed.shrank(Quantity::Dirty) > Bytes::ZERO {
        "The page is on the disk and clean, and stays resident. Without a flush, the kernel writes it some time later; a \
         crash of the machine before that loses the data."
    } else if flushed.now(Quantity::Dirty) > Some(Bytes::ZERO) {
        "The page is still dirty: this file system keeps its pages in memory (tmpfs), so there is nothing to write."
    } else {
        "The page is on the disk."
    }
}
