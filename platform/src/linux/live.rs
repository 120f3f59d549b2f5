//! A live process, read through its directory in `/proc`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use procfs::ProcError;
use procfs::process::{Process, Stat};
use rustix::io::Errno;

use super::facts;
use super::names;
use super::query::{self, Answer, NameResolver};
use super::smaps::SmapsReader;
use crate::error::{Error, Result};
use crate::live::OpenOptions;
use crate::model::{PageSize, ProcessInfo, Region};
use crate::order::Order;
use crate::processes::ProcessEntry;
use crate::source::{Capabilities, Detail, Origin, RegionSource, Regions, SourceInfo, Warning};

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
    let before = process.stat();
    if matches!(before, Err(ProcError::NotFound(_))) && procfs.join("self").exists() {
        return Err(if is_hidden(process_id) { hidden(process_id) } else { Error::NoSuchProcess { pid } });
    }
    Ok(Box::new(LiveSource {
        info: SourceInfo {
            origin: Origin::Live { pid: process_id },
            os: "linux",
            page_size: PageSize::new(rustix::param::page_size() as u64),
            capabilities: Capabilities { detail: Detail::Counts, memory: true, live: true },
        },
        process,
        procfs,
        pid: process_id,
        is_stat_readable: before.is_ok(),
        warnings,
    }))
}

fn open_directory(procfs: &Path, pid: u32) -> Result<Process> {
    let path = procfs.join(pid.to_string());
    Process::new_with_root(path.clone()).map_err(|error| match error {
        ProcError::NotFound(_) => Error::NoSuchProcess { pid },
        error => Error::Io { action: "open", path, source: into_io(error) },
    })
}

/// Whether a process whose files are not to be found is there all the same: a signal to it would be refused, not lost.
fn is_hidden(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::PERM))
}

/// The refusal of a `/proc` that is mounted with `hidepid` (`Documentation/filesystems/proc.rst`): the directory can be opened
/// by its number, and nothing in it.
fn hidden(pid: u32) -> Error {
    Error::NotPermitted {
        action: "see anything",
        pid,
        way_out: vec![HIDEPID.to_owned()],
        source: io::ErrorKind::PermissionDenied.into(),
    }
}

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
struct LiveSource {
    info: SourceInfo,
    process: Process,
    procfs: PathBuf,
    pid: u32,
    /// A saved tree under `--procfs` may have no `stat`; then a missing one says nothing.
    is_stat_readable: bool,
    warnings: Vec<Warning>,
}

/// What shows that a process still runs the same program: where its code and its stack lie. Zero for whoever may not know.
fn program(stat: &Stat) -> (u64, u64) {
    (stat.startcode, stat.startstack)
}

impl LiveSource {
    fn stat(&self) -> Result<Option<Stat>> {
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

    fn read_error(&self, source: io::Error, action: &'static str, path: PathBuf) -> Error {
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
                way_out: way_out(&self.process, &self.procfs),
                source,
            };
        }
        Error::Io { action, path, source }
    }

    /// The text that has `detail`, and the detail that it really has.
    fn open_detail(&mut self, detail: Detail) -> Result<(File, Detail)> {
        if detail == Detail::Layout {
            return Ok((self.open_text("maps")?, Detail::Layout));
        }
        match self.open_text("smaps") {
            Ok(file) => Ok((file, Detail::Counts)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let file = self.open_text("maps")?;
                self.warnings.push(Warning::NoCounts {
                    why: "there is no `smaps` (a kernel built without CONFIG_PROC_PAGE_MONITOR)".to_owned(),
                });
                Ok((file, Detail::Layout))
            }
            Err(error) => Err(error),
        }
    }
}

/// What would let this user read the map of `process`.
fn way_out(process: &Process, procfs: &Path) -> Vec<String> {
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

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        let before = self.stat()?;
        if before.as_ref().is_some_and(facts::has_ended) {
            return Err(Error::Zombie { pid: self.pid });
        }
        let (text, detail) = self.open_detail(detail)?;
        log::info!("reading the map of process {} with detail {}", self.pid, detail.id());
        let regions = LiveRegions {
            reader: SmapsReader::new(text),
            order: Order::default(),
            names: NameResolver::default(),
            before,
            count: 0,
            done: false,
            source: self,
        };
        Ok(Regions::new(detail, regions))
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        if detail == Detail::Layout {
            let maps = self.open_text("maps")?;
            match query::region_at(&maps, address) {
                Answer::Region { query, name: Some(name) } => {
                    let parsed = names::parse_exact(&name, query::device(&query));
                    let is_ambiguous = parsed.as_ref().is_some_and(|parsed| parsed.is_ambiguous);
                    let region = query::into_region(&query, parsed.map(|parsed| parsed.name));
                    return Ok(region.map(|mut region| {
                        if is_ambiguous {
                            settle(&mut NameResolver::default(), &self.process, &mut region);
                        }
                        region
                    }));
                }
                // The gate page at the top of the address space is in the listing only.
                Answer::Hole if address < 1 << 63 => return Ok(None),
                _ => {}
            }
        }
        for region in self.regions(detail)? {
            let region = region?;
            if region.range.contains(address) {
                return Ok(Some(region));
            }
            if region.range.start() > address {
                break;
            }
        }
        Ok(None)
    }

    fn read_memory(&mut self, address: u64, into: &mut [u8]) -> Result<usize> {
        let path = self.procfs.join(self.pid.to_string()).join("mem");
        let memory = match self.process.open_relative("mem") {
            Ok(memory) => memory,
            Err(error) => return Err(self.read_error(into_io(error), "open", path)),
        };
        memory.read_at(into, address).map_err(|source| self.read_error(source, "read", path))
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

fn settle(names: &mut NameResolver, process: &Process, region: &mut Region) {
    if let Some(likeliest) = region.name.take() {
        region.name = Some(names.settle(process, region, &likeliest));
    }
}

/// The regions of a live process as its text is read.
struct LiveRegions<'a> {
    reader: SmapsReader<File>,
    order: Order,
    names: NameResolver,
    before: Option<Stat>,
    count: u64,
    done: bool,
    source: &'a mut LiveSource,
}

impl LiveRegions<'_> {
    fn read(&mut self) -> Result<Option<Region>> {
        loop {
            let read = self.reader.next_region().map_err(|source| {
                let path = self.source.procfs.join(self.source.pid.to_string());
                self.source.read_error(source, "read the memory map in", path)
            })?;
            let Some(mut read) = read else {
                self.check_whole()?;
                return Ok(None);
            };
            self.count += 1;
            if read.is_name_ambiguous {
                settle(&mut self.names, &self.source.process, &mut read.region);
            }
            if let Some(region) = self.order.clip(read.region) {
                return Ok(Some(region));
            }
        }
    }

    /// The text of a process that ends, or starts another program, just stops: an end has to be told from the end.
    fn check_whole(&mut self) -> Result<()> {
        let pid = self.source.pid;
        log::info!("read {} regions of process {pid}", self.count);
        self.source.warnings.extend(self.reader.warnings());
        self.source.warnings.extend(self.order.warning());
        let Some(after) = self.source.stat()? else { return Ok(()) };
        // Between dying and being a zombie a process has no memory any more: its addresses read as 0.
        let has_gone = program(&after) == (0, 0) && self.before.as_ref().map(program) != Some((0, 0));
        if facts::has_ended(&after) || (self.before.is_some() && has_gone) {
            return Err(Error::Vanished { pid });
        }
        if facts::is_kernel_thread(&after) {
            self.source.warnings.push(Warning::KernelThread { pid });
        } else if self.before.as_ref().is_some_and(|before| program(before) != program(&after)) {
            return Err(Error::Replaced { pid });
        } else if self.count == 0 {
            return Err(Error::Vanished { pid });
        }
        Ok(())
    }
}

impl Iterator for LiveRegions<'_> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let region = self.read().transpose();
        self.done = !matches!(region, Some(Ok(_)));
        region
    }
}
