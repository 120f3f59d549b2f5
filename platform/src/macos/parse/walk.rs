//! Walks the whole map of a task, with one kernel call a region.
//!
//! Pure, over [`TaskCalls`]: whatever a real kernel may answer, including torn maps and dying tasks, can be tested on every
//! host.

use std::collections::{HashMap, VecDeque};
use std::io;

use super::decode::RawRegion;
use super::kern::Refusal;
use super::refusal;
use super::segments::{Disposition, PageStates, SegmentMap};
use crate::error::{Error, Result};
use crate::model::{AddrRange, Name, Native, PageSize, PurgeState, Region};
use crate::order::Order;
use crate::warning::Warning;

/// A map entry and, if the call looks for one, the path of the file behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessRegion {
    pub raw: RawRegion,
    pub path: Option<Box<[u8]>>,
}

impl From<RawRegion> for ProcessRegion {
    fn from(raw: RawRegion) -> ProcessRegion {
        ProcessRegion { raw, path: None }
    }
}

/// The calls of a walk, one system call each.
pub(crate) trait TaskCalls {
    /// The leaf at or after `address`, however many submaps deep (`mach_vm_region_recurse`). Counts its pages only
    /// `with_pages`, because counting looks at every page.
    fn recurse(&mut self, address: u64, with_pages: bool) -> Result<RawRegion, Refusal>;

    /// The region at or after `address` in the task's own map (`mach_vm_region`). A submap is one region.
    fn region(&mut self, address: u64, with_pages: bool) -> Result<RawRegion, Refusal>;

    /// The same without a task port (`PROC_PIDREGIONPATHINFO`), and the path if a file backs it. Always counts pages.
    fn process_region(&mut self, address: u64) -> Result<ProcessRegion, Refusal>;

    /// The state of the region at `address` if it is purgeable (`mach_vm_purgable_control`).
    fn purge_state(&mut self, address: u64) -> Option<PurgeState>;

    /// The state of every page in `range` (`mach_vm_page_range_query`).
    fn dispositions(&mut self, range: AddrRange) -> Option<Vec<Disposition>>;

    /// Whether the process that was opened still exists.
    fn is_alive(&mut self) -> bool;
}

/// The call that is made for each region, from the most to the least detailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// With a task port; enters submaps.
    Recurse,
    /// With a task port; skips submaps.
    Region,
    /// Without a port. For the same user or root.
    Process,
}

impl Method {
    fn next(self) -> Option<Method> {
        match self {
            Method::Recurse => Some(Method::Region),
            Method::Region => Some(Method::Process),
            Method::Process => None,
        }
    }

    /// A warning about what this method lacks, which was necessary because of `cause`.
    pub fn limit(self, cause: &io::Error) -> Option<Warning> {
        let why = match self {
            Method::Recurse => return None,
            Method::Region => format!(
                "mach_vm_region_recurse failed ({cause}); with mach_vm_region the shared cache is one region"
            ),
            Method::Process => format!(
                "no task port is usable ({cause}); with proc_pidinfo the shared cache is one region without counts, and \
                 segments, purgeable and reusable memory are unknown"
            ),
        };
        Some(Warning::Limited { why })
    }
}

/// The parameters of a walk.
pub(crate) struct Plan {
    pub pid: u32,
    pub method: Method,
    /// Whether to count pages and query purge states.
    pub with_counts: bool,
    /// Whether to query the state of every page too.
    pub with_states: bool,
    pub page_size: PageSize,
    pub segments: SegmentMap,
    /// Whether this program runs as root, for which other hints apply.
    pub is_root: bool,
    /// The address to start at; 0 for the whole map.
    pub from: u64,
}

/// Entries without a size, which no kernel should have, are skipped. This many in one map are a sign of garbage.
const MOST_EMPTY_ENTRIES: u32 = 64;

/// A walk over a task's map.
pub(crate) struct Walk<'a, C> {
    calls: &'a mut C,
    warnings: &'a mut Vec<Warning>,
    plan: Plan,
    next: u64,
    order: Order,
    /// Parts of the last region that are not returned yet.
    parts: VecDeque<Region>,
    /// The paths of objects that were looked up, shared by all regions of one file.
    names: HashMap<u64, Option<Name>>,
    empty_entries: u32,
    count: u64,
    done: bool,
}

impl<'a, C: TaskCalls> Walk<'a, C> {
    pub fn new(calls: &'a mut C, plan: Plan, warnings: &'a mut Vec<Warning>) -> Walk<'a, C> {
        Walk {
            calls,
            warnings,
            next: plan.from,
            plan,
            order: Order::default(),
            parts: VecDeque::new(),
            names: HashMap::new(),
            empty_entries: 0,
            count: 0,
            done: false,
        }
    }

    fn read(&mut self) -> Result<Option<Region>> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(Some(part));
            }
            let Some(ProcessRegion { raw, path }) = self.next_raw()? else { return Ok(None) };
            let Some(end) = self.advance(&raw) else {
                self.warnings.push(Warning::Limited {
                    why: format!(
                        "the system's answers do not advance past {:x}, so regions above may be missing",
                        self.next
                    ),
                });
                return self.end().map(|()| None);
            };
            self.next = end;
            if raw.is_footprint_record() || raw.size == 0 {
                continue;
            }
            self.count += 1;
            if let Some(region) = self.region(raw, path).and_then(|region| self.order.clip(region)) {
                self.parts = self.cut(region).into();
            }
        }
    }

    /// The next record, by the best method that still works; `None` at the end of the map.
    fn next_raw(&mut self) -> Result<Option<ProcessRegion>> {
        loop {
            let with_pages = self.plan.with_counts;
            let answer = match self.plan.method {
                Method::Recurse => self.calls.recurse(self.next, with_pages).map(Into::into),
                Method::Region => self.calls.region(self.next, with_pages).map(Into::into),
                Method::Process => self.calls.process_region(self.next),
            };
            let cause = match answer {
                Ok(answer) => return Ok(Some(answer)),
                Err(Refusal::End) => return self.end().map(|()| None),
                Err(Refusal::Gone) => return Err(self.gone()),
                Err(Refusal::Denied(cause)) => cause,
            };
            if !self.calls.is_alive() {
                return Err(Error::Vanished { pid: self.plan.pid });
            }
            let Some(next) = self.plan.method.next() else { return Err(self.denied(cause)) };
            crate::logging::debug!(
                "process {}: {:?} failed at {:#x}: {cause}",
                self.plan.pid,
                self.plan.method,
                self.next
            );
            self.plan.method = next;
            self.warnings.extend(next.limit(&cause));
        }
    }

    /// The address after `raw`, where the walk continues; `None` if the answers do not advance.
    fn advance(&mut self, raw: &RawRegion) -> Option<u64> {
        if raw.size == 0 {
            self.empty_entries += 1;
            let end = raw.address.max(self.next).checked_add(self.plan.page_size.bytes().0)?;
            return (self.empty_entries <= MOST_EMPTY_ENTRIES).then_some(end);
        }
        let end = raw.address.checked_add(raw.size)?;
        (end > self.next).then_some(end)
    }

    /// The map of a task that has just ended is empty, or ends early. Distinguishes that end from a complete one.
    fn end(&mut self) -> Result<()> {
        self.warnings.extend(self.order.warning());
        if self.calls.is_alive() { Ok(()) } else { Err(Error::Vanished { pid: self.plan.pid }) }
    }

    /// The port is dead. If the process is not, it has started another program, which is another task.
    fn gone(&mut self) -> Error {
        let pid = self.plan.pid;
        if self.calls.is_alive() { Error::Replaced { pid } } else { Error::Vanished { pid } }
    }

    fn denied(&self, cause: io::Error) -> Error {
        Error::NotPermitted {
            action: "read the memory map",
            pid: self.plan.pid,
            hints: refusal::hints(self.plan.is_root),
            source: cause,
        }
    }

    fn region(&mut self, raw: RawRegion, path: Option<Box<[u8]>>) -> Option<Region> {
        let range = raw.range()?;
        let name = match path {
            Some(path) => Some(Name::file(path.into_vec())),
            None if self.plan.method != Method::Process
                && raw.may_have_file()
                && self.plan.segments.is_clear(range) =>
            {
                self.path_of(&raw)
            }
            None => None,
        };
        let mut region = raw.into_region(self.plan.page_size, name)?;
        let asks_purge = self.plan.with_counts && self.plan.method != Method::Process;
        if asks_purge && let Native::Macos(native) = &mut region.native {
            let state = if raw.may_be_purgeable() { self.calls.purge_state(raw.address) } else { None };
            native.set_purge(state, region.counts.resident, region.range.size());
        }
        Some(region)
    }

    /// The path of the file behind a region. One look-up an object.
    fn path_of(&mut self, raw: &RawRegion) -> Option<Name> {
        if let Some(name) = self.names.get(&raw.object_id).filter(|_| raw.object_id != 0) {
            return name.clone();
        }
        // The answer is about the region at the address or the next one. Only the former's path is this region's.
        let name = match self.calls.process_region(raw.address) {
            Ok(ProcessRegion { raw: found, path: Some(path) })
                if found.range().is_some_and(|range| range.contains(raw.address)) =>
            {
                Some(Name::file(path.into_vec()))
            }
            _ => None,
        };
        self.names.insert(raw.object_id, name.clone());
        name
    }

    /// The parts of a region by segment.
    fn cut(&mut self, region: Region) -> Vec<Region> {
        let with_states = self.plan.with_states && self.plan.method != Method::Process;
        let needs_states =
            with_states || (region.counts.resident.is_some() && self.plan.segments.cuts(&region));
        let dispositions = if needs_states { self.calls.dispositions(region.range) } else { None };
        let pages = dispositions
            .as_deref()
            .map(|dispositions| PageStates { dispositions, page_size: self.plan.page_size });
        let start = region.range.start();
        let mut parts = self.plan.segments.cut(region, pages);
        if with_states && let Some(pages) = pages {
            parts.iter_mut().for_each(|part| part.pages = Some(pages.runs(start, part.range)));
        }
        parts
    }
}

impl<C: TaskCalls> Iterator for Walk<'_, C> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let region = self.read().transpose();
        self.done = !matches!(region, Some(Ok(_)));
        if self.done {
            crate::logging::debug!(
                "process {}: {} regions by {:?}",
                self.plan.pid,
                self.count,
                self.plan.method
            );
        }
        region
    }
}

#[cfg(test)]
mod tests;
