//! What the rules know about the process.

use std::sync::Arc;

use mmview_platform::macos::tags::Naming;
use mmview_platform::{
    AddrRange, Bytes, Evidence, Findings, PageSize, ProcessInfo, Region, SourceInfo, ThreadInfo,
};

use super::manner::Manner;
use super::overlay::Overlay;
use super::runtimes::Runtimes;
use crate::kind::RegionKind;

/// A stack, by the stack pointer of its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThreadStack {
    pointer: u64,
    /// The title of the thread.
    pub thread: String,
    /// Whether it is the stack of the main thread or of another.
    pub kind: RegionKind,
}

/// The facts about a process that determine the kinds of its regions.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) page_size: Bytes,
    /// The stack pointers of threads, sorted: of all but the main one where the map has the stack of that. No dump of a Mac or
    /// of Windows has it.
    stacks: Vec<ThreadStack>,
    /// The titles of all threads, by id.
    threads: Vec<(u64, String)>,
    /// How vmmap names types on the target's version of macOS.
    pub(super) naming: Naming,
    /// What the target's memory shows.
    pub(super) overlay: Arc<Overlay>,
    /// The runtimes and allocators that the process has, for rules about shapes; none once its memory was read.
    pub(super) runtimes: Arc<Runtimes>,
    /// How it uses its address space, if the whole map is known.
    pub(super) manner: Manner,
    /// How far the rules may go: with [`Evidence::Kernel`] no shape counts.
    pub(super) level: Evidence,
}

impl Context {
    /// Collects the facts. An unknown page size counts as 4K, the smallest in use.
    pub fn new(process: &ProcessInfo, source: &SourceInfo) -> Context {
        let title = |thread: &ThreadInfo| match thread.name.as_deref().map(String::from_utf8_lossy) {
            Some(name) => format!("thread {} {name}", thread.id),
            None => format!("thread {}", thread.id),
        };
        let threads: Vec<_> = process.threads.iter().map(|thread| (thread.id, title(thread))).collect();
        let is_dump = source.is_dump();
        let main = process.pid.map(u64::from);
        let stack = |(place, thread): (usize, &ThreadInfo)| {
            let is_main = place == 0 && (main.is_none() || main == Some(thread.id));
            let kind = if is_main { RegionKind::Stack } else { RegionKind::ThreadStack };
            Some(ThreadStack { pointer: thread.stack_pointer?, thread: title(thread), kind })
        };
        let threads_shown = process.threads.iter().enumerate().skip(usize::from(!is_dump));
        let mut stacks: Vec<_> = threads_shown.filter_map(stack).collect();
        stacks.sort_by_key(|stack| stack.pointer);
        let page_size = source.page_size.map_or(Bytes(4096), PageSize::bytes);
        let naming = process.system.as_deref().map(Naming::of_system).unwrap_or_default();
        let runtimes = Arc::new(Runtimes::of_process(process));
        let (overlay, level) = (Arc::default(), Evidence::Memory);
        Context { page_size, stacks, threads, naming, overlay, runtimes, manner: Manner::default(), level }
    }

    /// The same facts, and what a whole map says about the process and its runtimes. Rules about shapes need it.
    #[must_use]
    pub fn with_map<'a>(self, regions: impl IntoIterator<Item = &'a Region, IntoIter: Clone>) -> Context {
        let regions = regions.into_iter();
        let manner = Manner::of_map(regions.clone());
        Context { runtimes: Arc::new(Runtimes::of_map(regions)), manner, ..self }
    }

    /// The same facts, and what the target's memory shows.
    #[must_use]
    pub fn with_findings(self, findings: &Findings) -> Context {
        // Where the memory was read, it has said what is a runtime's.
        let was_read = findings.inspection.is_some();
        let runtimes = if was_read { Arc::default() } else { self.runtimes };
        Context { overlay: Arc::new(Overlay::new(findings)), runtimes, ..self }
    }

    /// The same facts, for rules that go as far as `level`.
    #[must_use]
    pub fn up_to(self, level: Evidence) -> Context {
        Context { level, ..self }
    }

    /// Returns the thread whose stack pointer is in `range`.
    pub(super) fn thread_in(&self, range: AddrRange) -> Option<&ThreadStack> {
        let at = self.stacks.partition_point(|stack| stack.pointer < range.start());
        self.stacks.get(at).filter(|stack| range.contains(stack.pointer))
    }

    /// Whether these facts explain `regions` as `others` explain `other_regions`, where those are the same.
    pub(super) fn is_equivalent<'a>(
        &self,
        mut regions: impl Iterator<Item = &'a Region>,
        others: &Context,
        mut other_regions: impl Iterator<Item = &'a Region>,
    ) -> bool {
        // A stack pointer counts by the region that holds it.
        let stacks = |context: &Context, regions: &mut dyn Iterator<Item = &'a Region>| -> Vec<_> {
            let thread = |region: &Region| Some((region.range, context.thread_in(region.range)?.clone()));
            regions.filter_map(thread).collect()
        };
        self.overlay.is_empty()
            && self.overlay == others.overlay
            && self.manner == others.manner
            && self.level == others.level
            && self.page_size == others.page_size
            && self.threads == others.threads
            && self.naming == others.naming
            && self.runtimes == others.runtimes
            && ((self.stacks.is_empty() && others.stacks.is_empty())
                || stacks(self, &mut regions) == stacks(others, &mut other_regions))
    }

    /// Returns the title of the thread with this id.
    pub(super) fn thread_called(&self, id: &str) -> String {
        let known = id.parse().ok().and_then(|id: u64| self.threads.iter().find(|(known, _)| *known == id));
        known.map_or_else(|| format!("thread {id}"), |(_, title)| title.clone())
    }
}
