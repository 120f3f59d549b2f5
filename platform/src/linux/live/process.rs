//! A live process, read through its directory in `/proc`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use procfs::process::Stat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::directory::{Directory, is_gone};
use super::facts;
use super::listing::Listing;
use super::memory::LiveMemory;
use super::pages::{Resident, Wanted};
use super::query::{self, Answer, NameResolver};
use super::refused;
use super::scan::Scanner;
use super::sys;
use super::text::Text;
use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::model::ProcessEntry;
use crate::model::{Capabilities, Origin, Reading, SourceInfo, TargetArch};
use crate::model::{Ending, PageSize, ProcessInfo, ProcessTotals, Region};
use crate::options::OpenOptions;
use crate::source::{RegionSource, Regions, find_at};
use crate::warning::Warning;

fn root(options: &OpenOptions) -> PathBuf {
    options.procfs.clone().unwrap_or_else(|| PathBuf::from("/proc"))
}

/// Opens a process by its ID or that of one of its threads.
pub(crate) fn open(pid: u32, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    let procfs = root(options);
    let mut warnings = Vec::new();
    let mut process = open_directory(&procfs, pid)?;
    let group = process.status().ok().and_then(|status| status.thread_group);
    let process_id = match group {
        Some(group) if group != pid && group != 0 => {
            process = open_directory(&procfs, group)?;
            warnings.push(Warning::ThreadOf { thread: pid, pid: group });
            group
        }
        _ => pid,
    };
    // Opened before the process is checked, so that it can't refer to another one.
    let pidfd = match &options.procfs {
        None => pidfd(process_id),
        Some(_) => None,
    };
    let before = process.stat();
    if before.as_ref().is_err_and(is_gone) && procfs.join("self").exists() {
        return Err(if refused::is_hidden(process_id) {
            refused::hidden(process_id)
        } else {
            Error::NoSuchProcess { pid }
        });
    }
    Ok(Box::new(LiveSource {
        info: SourceInfo {
            page_size: PageSize::new(rustix::param::page_size() as u64),
            arch: arch(&process),
            ..SourceInfo::new(
                Origin::Live { pid: process_id },
                "linux",
                Capabilities::of_live(Detail::Pages, true),
            )
        },
        process: Arc::new(process),
        is_of_this_system: options.procfs.is_none(),
        memory: Mutex::default(),
        pidfd,
        procfs,
        pid: process_id,
        is_stat_readable: before.is_ok(),
        with_anonymous: options.with_anonymous,
        max_stall: options.max_stall,
        warnings,
        reading: None,
    }))
}

/// The architecture of the program that a process runs; `None` without `PTRACE_MODE_READ`, and for a kernel thread.
fn arch(process: &Directory) -> Option<TargetArch> {
    let mut start = [0; TargetArch::ELF_START];
    process.file("exe").ok()?.read_exact(&mut start).ok()?;
    TargetArch::from_elf(&start)
}

fn open_directory(procfs: &Path, pid: u32) -> Result<Directory> {
    Directory::open(procfs, pid).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if procfs.is_dir() => Error::NoSuchProcess { pid },
        _ => Error::Io { action: "open", path: procfs.join(pid.to_string()), source },
    })
}

pub(crate) fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A file descriptor that refers to one process only, if the kernel supports it (5.3).
pub(crate) fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(as_pid(pid)?, PidfdFlags::empty()).ok()
}

/// How long to wait for the end of a process whose memory is gone.
const LONGEST_ENDING: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Lists the processes by ID.
pub(crate) fn processes(options: &OpenOptions) -> Result<Vec<ProcessEntry>> {
    let procfs = root(options);
    let listing = std::fs::read_dir(&procfs).map_err(|source| Error::Io {
        action: "list the processes in",
        path: procfs.clone(),
        source,
    })?;
    let mut entries: Vec<_> = listing
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let process = Directory::open(&procfs, pid).ok()?;
            Some(ProcessEntry {
                pid,
                name: process.read("comm").ok()?.trim_ascii_end().into(),
                command: facts::arguments(&process.read("cmdline").unwrap_or_default()),
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.pid);
    Ok(entries)
}

/// A process, identified by its open directory, which never refers to another process with the same ID.
pub(super) struct LiveSource {
    info: SourceInfo,
    pub(super) process: Arc<Directory>,
    /// Whether the process runs on this system, under this ID.
    is_of_this_system: bool,
    memory: Mutex<Option<Arc<LiveMemory>>>,
    /// Reports how the process ended, if the kernel supports it (5.3) and `/proc` is that of this system.
    pidfd: Option<OwnedFd>,
    procfs: PathBuf,
    pub(super) pid: u32,
    /// A saved tree under `--procfs` may lack `stat`; then a missing one means nothing.
    is_stat_readable: bool,
    with_anonymous: bool,
    max_stall: Option<Duration>,
    pub(super) warnings: Vec<Warning>,
    pub(super) reading: Option<Reading>,
}

impl LiveSource {
    pub(super) fn stat(&self) -> Result<Option<Stat>> {
        match self.process.stat() {
            Ok(stat) => Ok(Some(stat)),
            Err(_) if self.is_stat_readable => Err(Error::Vanished { pid: self.pid }),
            Err(_) => Ok(None),
        }
    }

    /// Opens `maps` or `smaps`. The kernel checks the permission at this point, once (`PTRACE_MODE_READ_FSCREDS`).
    fn open_text(&self, name: &'static str) -> Result<File> {
        self.process.file(name).map_err(|error| self.read_error(error, "open", self.process.path(name)))
    }

    pub(super) fn read_error(&self, source: io::Error, action: &'static str, path: PathBuf) -> Error {
        refused::error(&self.process, self.is_stat_readable, source, action, path)
    }

    /// The error of reading the text of the map.
    pub(super) fn listing_error(&self, source: io::Error) -> Error {
        self.read_error(source, "read the memory map in", self.process.own_path())
    }

    /// The error of scanning the pages.
    pub(super) fn scan_error(&self, error: Errno) -> Error {
        self.read_error(error.into(), "scan", self.process.path("pagemap"))
    }

    /// Opens what provides `detail`, with the level of detail that it really has.
    fn open_detail(&mut self, detail: Detail) -> Result<Opened> {
        let layout = |text| Opened { text, scan: None, detail: Detail::Layout };
        if detail == Detail::Layout {
            return Ok(layout(Text::at_once(self.open_text("maps")?)));
        }
        // A gentle reader does not read `smaps` for what a scan provides.
        if detail == Detail::Resident
            && let Some(scan) = self.open_scan(Wanted::Counts, self.with_anonymous)?
        {
            let text = Text::at_once(self.open_text("maps")?);
            return Ok(Opened { text, scan: Some(scan), detail: Detail::Resident });
        }
        let smaps = match self.open_text("smaps") {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let text = Text::at_once(self.open_text("maps")?);
                self.warnings.push(Warning::NoCounts {
                    why: "there is no `smaps` (the kernel was built without CONFIG_PROC_PAGE_MONITOR)"
                        .to_owned(),
                });
                return Ok(layout(text));
            }
            smaps => smaps?,
        };
        let scan = if detail == Detail::Pages { self.open_scan(Wanted::Pages, true)? } else { None };
        let detail = if scan.is_some() { Detail::Pages } else { Detail::Counts };
        let text = match self.max_stall {
            Some(budget) => Text::gently(smaps, "smaps", budget),
            None => Text::new(smaps),
        };
        Ok(Opened { text, scan, detail })
    }

    /// A scanner of this process's pages; `None` if the kernel has no such call (before 6.7).
    fn open_scan(&self, wanted: Wanted, with_file: bool) -> Result<Option<Resident>> {
        let Ok(pagemap) = self.process.file("pagemap") else { return Ok(None) };
        let Some(page_size) = self.info.page_size else { return Ok(None) };
        let Some(scanner) = Scanner::new(pagemap, with_file, page_size, self.max_stall) else {
            return Ok(None);
        };
        let swaps = std::fs::read_to_string(self.procfs.join("swaps")).unwrap_or_default();
        let has_swap = swaps.lines().count() > 1;
        Ok(Some(Resident::new(scanner, wanted, self.open_text("maps")?, page_size, has_swap)))
    }

    /// Resolves the name of a region that the kernel returned.
    fn exact(&self, (mut region, is_name_ambiguous): (Region, bool)) -> Region {
        if is_name_ambiguous {
            NameResolver::default().resolve_region(&self.process, &mut region);
        }
        region
    }
}

/// The sources of a listing.
struct Opened {
    text: Text,
    scan: Option<Resident>,
    detail: Detail,
}

impl RegionSource for LiveSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn process(&mut self) -> Result<ProcessInfo> {
        self.stat()?;
        Ok(facts::read(&self.process, &self.procfs))
    }

    fn identity(&mut self) -> Result<ProcessInfo> {
        let stat = self.stat()?;
        Ok(facts::identity(&self.process, stat.as_ref()))
    }

    fn totals(&mut self) -> Result<ProcessTotals> {
        match self.process.status() {
            Ok(status) => Ok(status.totals),
            Err(_) => self.stat().map(|_| ProcessTotals::default()),
        }
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        let before = self.stat()?;
        if before.as_ref().is_some_and(facts::has_ended) {
            return Err(Error::Zombie { pid: self.pid });
        }
        let Opened { text, scan, detail } = self.open_detail(detail)?;
        crate::logging::info!("reading the map of process {} with detail {}", self.pid, detail.id());
        Ok(Regions::new(detail, Listing::new(self, text, scan, before)))
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        if detail == Detail::Layout {
            let maps = self.open_text("maps")?;
            match query::region_at(&maps, address) {
                Answer::Region(region) => return Ok(Some(self.exact(*region))),
                // The gate page at the top of the address space appears in the listing only.
                Answer::Hole if address < 1 << 63 => return Ok(None),
                _ => {}
            }
        }
        find_at(self.regions(detail)?, address)
    }

    fn memory(&self) -> Option<Arc<dyn Memory>> {
        let page_size = self.info.page_size?;
        let mut held = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // The open files belong to the program that ran when they were opened.
        if held.as_ref().is_none_or(|memory| memory.is_stale()) {
            let process = Arc::clone(&self.process);
            *held = Some(Arc::new(LiveMemory::new(
                process,
                page_size,
                self.is_of_this_system,
                self.is_stat_readable,
            )));
        }
        held.clone().map(|memory| memory as Arc<dyn Memory>)
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    fn ending(&mut self) -> Option<Ending> {
        if let Some(pidfd) = &self.pidfd {
            // Freeing its memory takes time. A pidfd becomes readable when the process has exited.
            let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
            let _ = poll(&mut polled, Some(&LONGEST_ENDING));
        }
        let waited_for = self.pidfd.as_ref().and_then(|pidfd| sys::exit_code(pidfd).ok().flatten());
        let status = waited_for.or_else(|| facts::zombie_status(&self.process));
        status.map(Ending::from_wait_status)
    }

    fn reading(&self) -> Option<Reading> {
        self.reading
    }
}
