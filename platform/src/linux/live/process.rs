//! A live process, read through its directory in `/proc`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::ProcError;
use procfs::process::{Process, Stat};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::around;
use super::facts;
use super::listing::Listing;
use super::pages::{Resident, Wanted};
use super::query::{self, Answer, NameResolver};
use super::scan::Scanner;
use super::sys;
use super::text::Text;
use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::model::ProcessEntry;
use crate::model::{Capabilities, Origin, Reading, SourceInfo};
use crate::model::{Ending, PageSize, ProcessInfo, ProcessTotals, Region};
use crate::options::OpenOptions;
use crate::source::{RegionSource, Regions, collect_around, find_at};
use crate::warning::Warning;

fn root(options: &OpenOptions) -> PathBuf {
    options.procfs.clone().unwrap_or_else(|| PathBuf::from("/proc"))
}

/// Opens a process by the id of it or of one of its threads.
pub(crate) fn open(pid: u32, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    let procfs = root(options);
    let mut warnings = Vec::new();
    let mut process = open_directory(&procfs, pid)?;
    let group = process.status().ok().and_then(|status| u32::try_from(status.tgid).ok());
    let process_id = match group {
        Some(group) if group != pid && group != 0 => {
            process = open_directory(&procfs, group)?;
            warnings.push(Warning::ThreadOf { thread: pid, pid: group });
            group
        }
        _ => pid,
    };
    // Held before the process is seen to be there, so that it can't be another's.
    let pidfd = match &options.procfs {
        None => pidfd(process_id),
        Some(_) => None,
    };
    let before = process.stat();
    if matches!(before, Err(ProcError::NotFound(_))) && procfs.join("self").exists() {
        return Err(if is_hidden(process_id) { hidden(process_id) } else { Error::NoSuchProcess { pid } });
    }
    Ok(Box::new(LiveSource {
        info: SourceInfo {
            origin: Origin::Live { pid: process_id },
            os: "linux",
            taken: None,
            page_size: PageSize::new(rustix::param::page_size() as u64),
            capabilities: Capabilities { detail: Detail::Pages, memory: true, live: true },
        },
        process,
        pidfd,
        procfs,
        pid: process_id,
        is_stat_readable: before.is_ok(),
        tell_anonymous: options.tell_anonymous,
        max_stall: options.max_stall,
        warnings,
        reading: None,
    }))
}

fn open_directory(procfs: &Path, pid: u32) -> Result<Process> {
    let path = procfs.join(pid.to_string());
    Process::new_with_root(path.clone()).map_err(|error| match error {
        ProcError::NotFound(_) if procfs.is_dir() => Error::NoSuchProcess { pid },
        error => Error::Io { action: "open", path, source: into_io(error) },
    })
}

pub(crate) fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// What stands for a process and for no other, where the kernel has it (5.3).
pub(crate) fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(as_pid(pid)?, PidfdFlags::empty()).ok()
}

/// Whether a process whose files are not to be found is there all the same: a signal to it would be refused, not lost.
fn is_hidden(pid: u32) -> bool {
    as_pid(pid).is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::PERM))
}

/// The refusal of a `/proc` that is mounted with `hidepid` (`Documentation/filesystems/proc.rst`): the directory can be opened
/// by its number, and nothing in it.
fn hidden(pid: u32) -> Error {
    Error::NotPermitted {
        action: "see anything",
        pid,
        hints: vec![HIDEPID.to_owned()],
        source: io::ErrorKind::PermissionDenied.into(),
    }
}

/// How long the end of a process is waited for whose memory is gone.
const LONGEST_ENDING: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

const HIDEPID: &str = "/proc is mounted with hidepid, which hides the processes of other users: run mmview as the user of \
                       this one, with sudo, or in the group that the mount lets look (gid=)";

/// The processes by id.
pub(crate) fn processes(options: &OpenOptions) -> Result<Vec<ProcessEntry>> {
    let procfs = root(options);
    let listing = procfs::process::all_processes_with_root(&procfs).map_err(|error| Error::Io {
        action: "list the processes in",
        path: procfs,
        source: into_io(error),
    })?;
    let mut entries: Vec<_> = listing
        .flatten()
        .filter_map(|process| {
            Some(ProcessEntry {
                pid: process.pid().try_into().ok()?,
                name: facts::read_file(&process, "comm")?.trim_ascii_end().into(),
                command: facts::arguments(&facts::read_file(&process, "cmdline").unwrap_or_default()),
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.pid);
    Ok(entries)
}

fn into_io(error: ProcError) -> io::Error {
    match error {
        ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        ProcError::Io(error, _) => error,
        error => io::Error::other(error.to_string()),
    }
}

/// A process, by its held directory: an id that is given to another process can't be mistaken for this one.
pub(super) struct LiveSource {
    info: SourceInfo,
    pub(super) process: Process,
    /// What tells how the process ended, where this kernel has it (5.3) and `/proc` is this system's.
    pidfd: Option<OwnedFd>,
    procfs: PathBuf,
    pub(super) pid: u32,
    /// A saved tree under `--procfs` may have no `stat`; then a missing one says nothing.
    is_stat_readable: bool,
    tell_anonymous: bool,
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

    fn vanished(&self) -> Error {
        match self.process.stat() {
            Ok(stat) if facts::has_ended(&stat) => Error::Zombie { pid: self.pid },
            _ => Error::Vanished { pid: self.pid },
        }
    }

    /// Opens `maps` or `smaps`. Whether this user may look is decided here, once and for all (`PTRACE_MODE_READ_FSCREDS`).
    fn open_text(&self, name: &'static str) -> Result<File> {
        self.process.open_relative(name).map_err(|error| {
            let path = self.procfs.join(self.pid.to_string()).join(name);
            self.read_error(into_io(error), "open", path)
        })
    }

    pub(super) fn read_error(&self, source: io::Error, action: &'static str, path: PathBuf) -> Error {
        let is_gone = source.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::SRCH)
            || (source.kind() == io::ErrorKind::NotFound
                && self.is_stat_readable
                && self.process.stat().is_err());
        if is_gone {
            return self.vanished();
        }
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Error::NotPermitted {
                action: "read the memory map",
                pid: self.pid,
                hints: hints(&self.process, &self.procfs),
                source,
            };
        }
        Error::Io { action, path, source }
    }

    /// Why the text of the map can't be read on.
    pub(super) fn listing_error(&self, source: io::Error) -> Error {
        self.read_error(source, "read the memory map in", self.procfs.join(self.pid.to_string()))
    }

    /// Why the pages can't be scanned on.
    pub(super) fn scan_error(&self, error: Errno) -> Error {
        self.read_error(error.into(), "scan", self.procfs.join(self.pid.to_string()).join("pagemap"))
    }

    /// What has `detail`, and the detail that it really has.
    fn open_detail(&mut self, detail: Detail) -> Result<Opened> {
        let layout = |text| Opened { text, scan: None, detail: Detail::Layout };
        if detail == Detail::Layout {
            return Ok(layout(Text::at_once(self.open_text("maps")?)));
        }
        // Whoever wants to be gentle reads no `smaps` for what a scan tells.
        if detail == Detail::Resident
            && let Some(scan) = self.open_scan(Wanted::Counts, self.tell_anonymous)?
        {
            let text = Text::at_once(self.open_text("maps")?);
            return Ok(Opened { text, scan: Some(scan), detail: Detail::Resident });
        }
        let smaps = match self.open_text("smaps") {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let text = Text::at_once(self.open_text("maps")?);
                self.warnings.push(Warning::NoCounts {
                    why: "there is no `smaps` (a kernel built without CONFIG_PROC_PAGE_MONITOR)".to_owned(),
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

    /// A scanner of this process's pages; `None` where the kernel has none (before 6.7).
    fn open_scan(&self, wanted: Wanted, with_file: bool) -> Result<Option<Resident>> {
        let Ok(pagemap) = self.process.open_relative("pagemap") else { return Ok(None) };
        let Some(page_size) = self.info.page_size else { return Ok(None) };
        let Some(scanner) = Scanner::new(pagemap, with_file, page_size, self.max_stall) else {
            return Ok(None);
        };
        let swaps = std::fs::read_to_string(self.procfs.join("swaps")).unwrap_or_default();
        let has_swap = swaps.lines().count() > 1;
        Ok(Some(Resident::new(scanner, wanted, self.open_text("maps")?, page_size, has_swap)))
    }

    /// A region as the kernel answered, with its name settled.
    fn exact(&self, (mut region, is_name_ambiguous): (Region, bool)) -> Region {
        if is_name_ambiguous {
            NameResolver::default().settle_region(&self.process, &mut region);
        }
        region
    }
}

/// What is read for a listing.
struct Opened {
    text: Text,
    scan: Option<Resident>,
    detail: Detail,
}

/// What would let this user read the map of `process`.
fn hints(process: &Process, procfs: &Path) -> Vec<String> {
    let mut ways = Vec::new();
    let me = rustix::process::geteuid().as_raw();
    let owner = process.status().ok().map(|status| status.euid);
    match owner {
        Some(owner) if owner != me => {
            let name = nix::unistd::User::from_uid(owner.into()).ok().flatten().map(|user| user.name);
            let name = name.unwrap_or_else(|| format!("user {owner}"));
            ways.push(format!("it belongs to {name}: run mmview as {name}, or with sudo"));
        }
        None => ways.push(HIDEPID.to_owned()),
        _ => ways.push(
            "it does not let its own user look (a set-user-ID program, or one that made itself undumpable): \
             run mmview with sudo"
                .to_owned(),
        ),
    }
    ways.push(
        "CAP_SYS_PTRACE lets a program look at every process (CAP_PERFMON too, from Linux 6.15)".to_owned(),
    );
    let scope = std::fs::read_to_string(procfs.join("sys/kernel/yama/ptrace_scope")).unwrap_or_default();
    if scope.trim() == "3" {
        ways.push(
            "kernel.yama.ptrace_scope is 3: nobody may attach to a process until the next boot".to_owned(),
        );
    }
    ways
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
            Ok(status) => Ok(facts::totals(&status)),
            Err(_) => self.stat().map(|_| ProcessTotals::default()),
        }
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        let before = self.stat()?;
        if before.as_ref().is_some_and(facts::has_ended) {
            return Err(Error::Zombie { pid: self.pid });
        }
        let Opened { text, scan, detail } = self.open_detail(detail)?;
        log::info!("reading the map of process {} with detail {}", self.pid, detail.id());
        Ok(Regions::new(detail, Listing::new(self, text, scan, before)))
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        if detail == Detail::Layout {
            let maps = self.open_text("maps")?;
            match query::region_at(&maps, address) {
                Answer::Region(region) => return Ok(Some(self.exact(*region))),
                // The gate page at the top of the address space is in the listing only.
                Answer::Hole if address < 1 << 63 => return Ok(None),
                _ => {}
            }
        }
        find_at(self.regions(detail)?, address)
    }

    fn around(&mut self, address: u64) -> Result<Vec<Region>> {
        self.stat()?;
        let maps = self.open_text("maps")?;
        match around::regions(&maps, address) {
            Some(regions) => Ok(regions.into_iter().map(|region| self.exact(region)).collect()),
            None => collect_around(self.regions(Detail::Layout)?, address),
        }
    }

    fn read_memory(&mut self, address: u64, into: &mut [u8]) -> Result<usize> {
        let path = self.procfs.join(self.pid.to_string()).join("mem");
        let memory = match self.process.open_relative("mem") {
            Ok(memory) => memory,
            Err(error) => return Err(self.read_error(into_io(error), "open", path)),
        };
        memory.read_at(into, address).map_err(|source| self.read_error(source, "read", path))
    }

    fn page_frame(&mut self, address: u64) -> Result<Option<u64>> {
        const PRESENT: u64 = 1 << 63;
        const FRAME: u64 = (1 << 55) - 1;
        let Some(page_size) = self.info.page_size else { return Ok(None) };
        let pagemap = self.open_text("pagemap")?;
        let mut entry = [0; size_of::<u64>()];
        let place = address / page_size.bytes().0 * size_of::<u64>() as u64;
        match pagemap.read_at(&mut entry, place) {
            // Beyond the end of the address space there are no entries.
            Ok(read) if read < entry.len() => return Ok(None),
            Ok(_) => {}
            Err(source) => {
                let path = self.procfs.join(self.pid.to_string()).join("pagemap");
                return Err(self.read_error(source, "read", path));
            }
        }
        let entry = u64::from_ne_bytes(entry);
        Ok(Some(entry & FRAME).filter(|&frame| entry & PRESENT != 0 && frame != 0))
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    fn ending(&mut self) -> Option<Ending> {
        if let Some(pidfd) = &self.pidfd {
            // Its memory goes first, which takes its time; a pidfd is readable once it has ended.
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
