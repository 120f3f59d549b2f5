//! The first lesson: what a file mapping is, from `mmap` to `munmap`.

use std::fs::{File, FileTimes};
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use memmap2::MmapMut;
use mmview_platform::Bytes;

use super::{Stage, Step};
use crate::classify::Classified;
use crate::cli::DemoPlan;
use crate::render::text::printable;

/// Where the lesson's own file goes: a directory that is usually on a disk. `/tmp` is often in memory only, where a page
/// is always dirty and a flush does nothing.
const ON_DISK: &str = "/var/tmp";

pub(super) fn run(plan: &DemoPlan, stage: &mut Stage<'_>) -> anyhow::Result<()> {
    match &plan.file {
        Some(path) => {
            let file = open(path)?;
            let before = file.metadata()?;
            let times = FileTimes::new().set_accessed(before.accessed()?).set_modified(before.modified()?);
            let shown = teach(path, &file, false, stage);
            // The byte written is the one that was there; only the times tell of it.
            if let Err(error) = file.set_times(times) {
                log::warn!("failed to restore the times of {}: {error}", title(path));
            }
            shown
        }
        None => {
            let directory = if Path::new(ON_DISK).is_dir() { ON_DISK.into() } else { std::env::temp_dir() };
            let mut file = tempfile::Builder::new()
                .prefix("mmview-demo-")
                .tempfile_in(&directory)
                .or_else(|_| tempfile::Builder::new().prefix("mmview-demo-").tempfile())
                .context("failed to make a file for the lesson; name one of yours with --file")?;
            let page = stage.source.info().page_size.map_or(Bytes(4096), |size| size.bytes());
            file.write_all(&vec![b'.'; page.0 as usize])?;
            let path = file.path().to_owned();
            teach(&path, file.as_file(), true, stage)
        }
    }
}

fn title(path: &Path) -> String {
    format!("`{}`", printable(path.as_os_str().as_bytes()))
}

/// Opens the reader's file, to read and write.
fn open(path: &Path) -> anyhow::Result<File> {
    let metadata = std::fs::metadata(path).with_context(|| format!("failed to open {}", title(path)))?;
    anyhow::ensure!(
        metadata.is_file(),
        "{} is not a regular file: only a file's bytes can be mapped",
        title(path)
    );
    anyhow::ensure!(
        metadata.len() > 0,
        "{} is empty: mmap refuses a length of 0 (EINVAL); use a file with at least one byte",
        title(path)
    );
    let read_only = || {
        format!(
            "{} can't be opened for writing, and the lesson writes a byte (the one that is there); use a copy of it",
            title(path)
        )
    };
    anyhow::ensure!(!metadata.permissions().readonly(), "{}", read_only());
    File::options().read(true).write(true).open(path).with_context(read_only)
}

/// `may_change` says whether the file's bytes may change; else the byte written is the one that is there.
fn teach(path: &Path, file: &File, may_change: bool, stage: &mut Stage<'_>) -> anyhow::Result<()> {
    // What was written just now must not show as dirty pages of the mapping.
    file.sync_all().with_context(|| format!("failed to write {} to its disk", title(path)))?;
    let real: PathBuf = path.canonicalize()?;
    let length = file.metadata()?.len();
    let open_before = stage.regions_of(real.as_os_str().as_bytes())?;
    let size = stage.size(Bytes(length));
    stage.show(Step {
        name: "before",
        call: format!("open({}, O_RDWR)", title(&real)),
        before: None,
        after: None,
        why: match open_before.len() {
            0 => format!("The file has {size}. It is open, but an open file is not in the address space: no region has it."),
            _ => format!("The file has {size}, and this process has it mapped already; watch the new region."),
        },
    })?;

    let mut map = map(file).with_context(|| format!("failed to map {}", title(path)))?;
    let address = map.as_ptr() as u64;
    let mapped = stage.region_at(address)?;
    stage.show(Step {
        name: "mapped",
        call: format!(
            "MmapMut::map_mut(&file), that is mmap(NULL, {length}, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)"
        ),
        before: None,
        after: mapped.clone(),
        why: match resident(mapped.as_ref()) {
            Some(Bytes(0)) => {
                "The region is there and nothing of it is resident: mmap only made the promise, pages come \
                               when they are touched."
                    .to_owned()
            }
            _ => "The region is there; some of it is resident already.".to_owned(),
        },
    })?;

    black_box(map[0]);
    let read = stage.region_at(address)?;
    stage.show(Step {
        name: "read",
        call: "map[0], a load from the first page".to_owned(),
        before: mapped.clone(),
        after: read.clone(),
        why: read_sentence(stage, mapped.as_ref(), read.as_ref()),
    })?;

    let byte = black_box(map[0]);
    map[0] = if may_change { byte ^ 1 } else { byte };
    black_box(&map[0]);
    let written = stage.region_at(address)?;
    stage.show(Step {
        name: "written",
        call: "map[0] = …, a store to the first page".to_owned(),
        before: read.clone(),
        after: written.clone(),
        why: if grew(dirty(read.as_ref()), dirty(written.as_ref())) {
            "The page is dirty: the page cache has something that the disk doesn't. Everyone who maps or reads the file \
             sees it already."
                .to_owned()
        } else if dirty(written.as_ref()) > Some(Bytes::ZERO) {
            "The page was dirty before: this file system has no disk to be different from.".to_owned()
        } else {
            "The system doesn't count the page as dirty.".to_owned()
        },
    })?;

    map.flush().with_context(|| format!("failed to flush {}", title(path)))?;
    let flushed = stage.region_at(address)?;
    stage.show(Step {
        name: "flushed",
        call: format!("map.flush(), that is msync(addr, {length}, MS_SYNC)"),
        before: written.clone(),
        after: flushed.clone(),
        why: if grew(dirty(flushed.as_ref()), dirty(written.as_ref())) {
            "The page is on the disk, and clean; it stays resident. Without a flush the kernel writes it some time later, \
             and a crash of the machine before that loses it."
                .to_owned()
        } else if dirty(flushed.as_ref()) > Some(Bytes::ZERO) {
            "The page is still dirty: this file system keeps its pages in memory (tmpfs), so there is nothing to write."
                .to_owned()
        } else {
            "The page is on the disk.".to_owned()
        },
    })?;

    drop(map);
    let after = stage.regions_of(real.as_os_str().as_bytes())?;
    let left = after.into_iter().find(|region| region.region.range.contains(address));
    stage.show(Step {
        name: "closed",
        call: format!("drop(map), that is munmap(addr, {length})"),
        before: flushed,
        why: match left {
            None => "The region is gone at once, though the file is still open; an access to its addresses would now be a \
                     SIGSEGV."
                .to_owned(),
            Some(_) => "Something else is mapped there now.".to_owned(),
        },
        after: left,
    })?;
    Ok(())
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file is the lesson's own, or one that its reader chose; should somebody truncate it meanwhile, the lesson
    // ends by SIGBUS, which is the lesson's subject. No reference into the map outlives it.
    unsafe { MmapMut::map_mut(file) }
}

fn resident(classified: Option<&Classified>) -> Option<Bytes> {
    classified?.region.counts.resident
}

fn dirty(classified: Option<&Classified>) -> Option<Bytes> {
    classified?.region.counts.dirty
}

fn grew(before: Option<Bytes>, after: Option<Bytes>) -> bool {
    before.zip(after).is_some_and(|(before, after)| after > before)
}

fn read_sentence(stage: &Stage<'_>, before: Option<&Classified>, after: Option<&Classified>) -> String {
    let page = stage.source.info().page_size.map_or(Bytes(4096), |size| size.bytes());
    let (Some(before), Some(after)) = (resident(before), resident(after)) else {
        return "The first access brought the page in.".to_owned();
    };
    let grown = after.saturating_sub(before);
    if grown > page {
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
    }
}
