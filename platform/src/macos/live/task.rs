//! A live process, read through its task port if the system grants one, else through libproc.

use std::sync::{Arc, Mutex, PoisonError};

use super::facts;
use super::is_root;
use super::memory::LiveMemory;
use super::sys::{self, Port};
use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::macos::parse::decode::{RawPages, RawRegion};
use crate::macos::parse::images::{self, DyldInfo, ImageMemory, LoadedImage};
use crate::macos::parse::kern::{KernReturn, Refusal};
use crate::macos::parse::segments::{Disposition, SegmentMap};
use crate::macos::parse::walk::{Method, Plan, ProcessRegion, TaskCalls, Walk};
use crate::memory::Memory;
use crate::model::ProcessEntry;
use crate::model::{AddrRange, PageSize, ProcessInfo, ProcessTotals, PurgeState, Region};
use crate::model::{Capabilities, Origin, SourceInfo, TargetArch};
use crate::options::OpenOptions;
use crate::source::{RegionSource, Regions, find_at};
use crate::warning::Warning;

/// Opens a process by its ID.
pub(crate) fn open(pid: u32, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    refuse_procfs(options)?;
    let id = i32::try_from(pid).map_err(|_| Error::NoSuchProcess { pid })?;
    if let Err(libc::ESRCH) = facts::is_zombie(id) {
        return Err(Error::NoSuchProcess { pid });
    }
    let mut task = Task::new(id);
    task.open_port();
    Ok(Box::new(LiveSource {
        info: SourceInfo {
            page_size: Some(task.page_size),
            ..SourceInfo::new(
                Origin::Live { pid },
                "macos",
                Capabilities::of_live(given(Detail::Pages, task.port.is_some()), task.port.is_some()),
            )
        },
        pid,
        task,
        images: None,
        memory: Mutex::default(),
        warnings: Vec::new(),
    }))
}

/// Lists the processes by ID.
pub(crate) fn processes(options: &OpenOptions) -> Result<Vec<ProcessEntry>> {
    refuse_procfs(options)?;
    let pids = sys::all_pids().map_err(|source| Error::Io {
        action: "list",
        path: "the processes of this system".into(),
        source,
    })?;
    let mut entries: Vec<_> = pids.into_iter().filter_map(facts::entry).collect();
    entries.sort_by_key(|entry| entry.pid);
    Ok(entries)
}

fn refuse_procfs(options: &OpenOptions) -> Result<()> {
    match options.procfs {
        Some(_) => Err(Error::Unsupported { what: "another /proc", place: "on macOS, which has none" }),
        None => Ok(()),
    }
}

/// A task, and the access that the system grants.
struct Task {
    pid: i32,
    port: Option<Arc<Port>>,
    /// Why there is no port.
    refused: KernReturn,
    /// When the process started, in microseconds, which distinguishes it from a later one with the same ID.
    started_at: Option<u64>,
    /// The size of its pages. A translated task on Apple silicon has smaller ones than the machine. Without a port that is
    /// unknown, and the machine's size is used.
    page_size: PageSize,
}

impl Task {
    fn new(pid: i32) -> Task {
        let page_size =
            PageSize::new(sys::page_size()).unwrap_or(const { PageSize::new(4096).expect("a power of two") });
        Task { pid, port: None, refused: KernReturn::FAILURE, started_at: facts::started_at(pid), page_size }
    }

    fn is_own(&self) -> bool {
        u32::try_from(self.pid) == Ok(std::process::id())
    }

    /// Requests the port with the least permissions first. Some refusals are final, and asking twice costs little.
    fn open_port(&mut self) {
        let port = if self.is_own() {
            Ok(sys::own_task())
        } else {
            sys::task_read_for_pid(self.pid).or_else(|_| sys::control_port(self.pid))
        };
        match port {
            Ok(port) => {
                let of_task = sys::vm_info(&port).ok().and_then(|info| u64::try_from(info.page_size).ok());
                self.page_size = of_task.and_then(PageSize::new).unwrap_or(self.page_size);
                self.port = Some(Arc::new(port));
            }
            Err(code) => {
                crate::logging::debug!("process {}: no task port: {code}", self.pid);
                self.refused = code;
            }
        }
    }

    fn port(&self) -> Result<&Port, KernReturn> {
        self.port.as_deref().ok_or(self.refused)
    }

    /// The meaning of `code`. Drops the port of a task that is gone: the process may have become another task (`exec`), which
    /// has another port.
    fn refusal(&mut self, code: KernReturn) -> Refusal {
        let refusal = Refusal::from(code);
        if matches!(refusal, Refusal::Gone) {
            self.port = None;
        }
        refusal
    }

    fn read_images(&mut self) -> Vec<LoadedImage> {
        let Ok(info) = self.port().and_then(sys::dyld_info) else { return Vec::new() };
        if info.all_image_info_addr == 0 {
            return Vec::new();
        }
        const TASK_DYLD_ALL_IMAGE_INFO_64: i32 = 1;
        let dyld = DyldInfo {
            address: info.all_image_info_addr,
            is_64: info.all_image_info_format == TASK_DYLD_ALL_IMAGE_INFO_64,
        };
        // dyld clears the pointer to its list while it changes the list.
        let mut images = (0..3).find_map(|_| images::read(self, dyld)).unwrap_or_default();
        if let Some(program) = images.first_mut().filter(|program| program.image.path.is_empty()) {
            program.image.path = sys::program_path(self.pid).unwrap_or_default().into();
        }
        images
    }
}

impl ImageMemory for Task {
    fn read(&mut self, address: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        let copied = self.port().and_then(|port| sys::read(port, address, &mut bytes)).unwrap_or(0);
        bytes.truncate(copied);
        bytes
    }
}

impl TaskCalls for Task {
    fn recurse(&mut self, address: u64, with_pages: bool) -> Result<RawRegion, Refusal> {
        let answer = self.port().and_then(|port| {
            if with_pages {
                let (found, depth, count) = sys::region_recurse(port, address)?;
                Ok(RawRegion::from_submap(found.address, found.size, &found.info, depth, count))
            } else {
                let (found, depth) = sys::region_recurse_short(port, address)?;
                Ok(short(found, depth))
            }
        });
        answer.map_err(|code| self.refusal(code))
    }

    fn region(&mut self, address: u64, with_pages: bool) -> Result<RawRegion, Refusal> {
        let answer = self.port().and_then(|port| {
            let basic = sys::region_basic(port, address)?;
            let extended = sys::region_extended(port, basic.address)?;
            Ok(plain(basic, extended.info, with_pages))
        });
        answer.map_err(|code| self.refusal(code))
    }

    fn process_region(&mut self, address: u64) -> Result<ProcessRegion, Refusal> {
        let (info, path) = sys::region_with_path(self.pid, address).map_err(Refusal::from_proc_errno)?;
        let path = Some(path).filter(|path| !path.is_empty());
        Ok(ProcessRegion { raw: RawRegion::from_process(&info, path.is_some()), path: path.map(Into::into) })
    }

    fn purge_state(&mut self, address: u64) -> Option<PurgeState> {
        const STATE_MASK: i32 = 3;
        let state = self.port().and_then(|port| sys::purgable_state(port, address)).ok()?;
        match state & STATE_MASK {
            0 => Some(PurgeState::Nonvolatile),
            1 => Some(PurgeState::Volatile),
            2 => Some(PurgeState::Empty),
            _ => None,
        }
    }

    fn dispositions(&mut self, range: AddrRange) -> Option<Vec<Disposition>> {
        // A quarter of a megabyte at a time, whatever the size of the region.
        const AT_A_TIME: u64 = 1 << 16;
        // About four times the shared cache. Whatever the target's list says, more is not images.
        const MOST_PAGES: u64 = 1 << 21;
        let page = self.page_size.bytes().0;
        let pages = range.size().0.div_ceil(page);
        if pages > MOST_PAGES {
            return None;
        }
        let mut states = Vec::with_capacity(usize::try_from(pages).ok()?);
        let mut buffer = vec![0; pages.min(AT_A_TIME) as usize];
        while (states.len() as u64) < pages {
            let left = (pages - states.len() as u64).min(AT_A_TIME);
            let from = range.start() + states.len() as u64 * page;
            let into = &mut buffer[..left as usize];
            let filled = sys::page_range_query(self.port().ok()?, from, left * page, into).ok()?;
            if filled == 0 {
                return None;
            }
            states.extend(into[..filled].iter().map(|state| Disposition(*state)));
        }
        Some(states)
    }

    fn is_alive(&mut self) -> bool {
        if self.is_own() {
            return true;
        }
        facts::is_same_process(self.pid, self.started_at)
    }
}

fn short(found: sys::Found<mach2::vm_region::vm_region_submap_short_info_64>, depth: u32) -> RawRegion {
    let info = found.info;
    RawRegion {
        address: found.address,
        size: found.size,
        protection: info.protection as u32,
        max_protection: info.max_protection as u32,
        offset: info.offset,
        user_tag: info.user_tag,
        ref_count: info.ref_count,
        shadow_depth: info.shadow_depth.into(),
        external_pager: info.external_pager != 0,
        share_mode: info.share_mode,
        is_submap: info.is_submap != 0,
        depth,
        object_id: info.object_id.into(),
        flags: info.flags,
        pages: None,
    }
}

/// Converts both records of `mach_vm_region`. There, `reserved` is the kernel's name for the submap bit.
fn plain(
    basic: sys::Found<mach2::vm_region::vm_region_basic_info_64>,
    extended: mach2::vm_region::vm_region_extended_info,
    with_pages: bool,
) -> RawRegion {
    let info = basic.info;
    RawRegion {
        address: basic.address,
        size: basic.size,
        protection: info.protection as u32,
        max_protection: info.max_protection as u32,
        offset: info.offset,
        user_tag: extended.user_tag,
        ref_count: extended.ref_count,
        shadow_depth: extended.shadow_depth.into(),
        external_pager: extended.external_pager != 0,
        share_mode: extended.share_mode,
        is_submap: info.reserved != 0,
        pages: with_pages.then_some(RawPages {
            resident: extended.pages_resident,
            dirtied: extended.pages_dirtied,
            swapped_out: extended.pages_swapped_out,
            shared_now_private: extended.pages_shared_now_private,
            reusable: Some(extended.pages_reusable),
            wired: None,
        }),
        ..RawRegion::default()
    }
}

/// A live process.
struct LiveSource {
    info: SourceInfo,
    pid: u32,
    task: Task,
    /// The images of the last read, until a walk has used them.
    images: Option<Vec<LoadedImage>>,
    memory: Mutex<Option<Arc<LiveMemory>>>,
    warnings: Vec<Warning>,
}

impl LiveSource {
    fn check_alive(&mut self) -> Result<()> {
        let pid = self.pid;
        match facts::is_zombie(self.task.pid) {
            Ok(true) => Err(Error::Zombie { pid }),
            Ok(false) if self.task.is_alive() => Ok(()),
            Err(errno) if errno != libc::ESRCH => Ok(()),
            _ => Err(Error::Vanished { pid }),
        }
    }

    fn walk(&mut self, detail: Detail, from: u64) -> Walk<'_, Task> {
        if self.task.port.is_none() {
            self.task.open_port();
        }
        let images = self.images.take().unwrap_or_else(|| self.task.read_images());
        let method = if self.task.port.is_some() { Method::Recurse } else { Method::Process };
        if self.task.port.is_none() {
            self.warnings.extend(method.limit(&std::io::Error::other(self.task.refused)));
        }
        let plan = Plan {
            pid: self.pid,
            method,
            with_counts: detail > Detail::Layout,
            with_states: detail == Detail::Pages,
            page_size: self.task.page_size,
            segments: SegmentMap::new(&images, self.task.page_size),
            is_root: is_root(),
            from,
        };
        Walk::new(&mut self.task, plan, &mut self.warnings)
    }
}

/// The actual level of detail: counting pages yields all counts, and the state of each page needs a task port.
fn given(detail: Detail, has_port: bool) -> Detail {
    match detail {
        Detail::Layout => Detail::Layout,
        Detail::Pages if has_port => Detail::Pages,
        _ => Detail::Counts,
    }
}

impl RegionSource for LiveSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn process(&mut self) -> Result<ProcessInfo> {
        self.check_alive().or_else(|error| match error {
            Error::Zombie { .. } => Ok(()),
            error => Err(error),
        })?;
        let images = self.task.read_images();
        let code_type = images.first().and_then(|main| main.header.code_type);
        self.info.arch = code_type.and_then(TargetArch::from_code_type);
        let process = facts::read(self.task.pid, self.task.port.as_deref(), &images);
        self.images = Some(images);
        Ok(process)
    }

    fn totals(&mut self) -> Result<ProcessTotals> {
        self.check_alive()?;
        Ok(facts::totals(self.task.pid, self.task.port.as_deref()))
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        self.check_alive()?;
        let detail = given(detail, self.task.port.is_some());
        Ok(Regions::new(detail, self.walk(detail, 0)))
    }

    /// Costs one region call, and two reads an image to name the segment.
    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        self.check_alive()?;
        find_at(self.walk(given(detail, self.task.port.is_some()), address), address)
    }

    fn memory(&self) -> Option<Arc<dyn Memory>> {
        let port = self.task.port.as_ref();
        let mut held = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|memory| !memory.is_of(port)) {
            let port = port.cloned().ok_or(self.task.refused);
            let Task { pid, started_at, page_size, .. } = self.task;
            *held = Some(Arc::new(LiveMemory::new(pid, port, started_at, page_size)));
        }
        held.clone().map(|memory| memory as Arc<dyn Memory>)
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}
