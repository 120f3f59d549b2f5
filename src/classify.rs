//! How the kind of a region is decided: from its own facts and from its neighbours.
//!
//! Pure, and in one pass with a short look ahead, so that a listing streams. Each rule says what it recognises and where it
//! stops; the tests show both.

mod again;
mod image;
mod linux;
pub(crate) mod macos;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;

pub(crate) use again::explain_again;
use mmview_platform::macos::tags::Naming;
use mmview_platform::{
    AddrRange, Bytes, MemoryMap, Native, PageSize, ProcessInfo, Protection, Region, Result, SourceInfo,
};

use crate::kind::RegionKind;
use crate::region::Classified;

/// The facts of a process that its regions are explained by.
#[derive(Clone, Debug)]
pub struct Context {
    page_size: Bytes,
    /// Stack pointers of all threads but the main one, in order, with what to call the thread.
    stacks: Vec<(u64, String)>,
    /// All threads by id.
    threads: Vec<(u64, String)>,
    /// How macOS' vmmap names types on the target's system.
    naming: Naming,
}

impl Context {
    /// What `process` and `source` tell. Where the page size is not known, it is taken to be the smallest in the field.
    pub fn new(process: &ProcessInfo, source: &SourceInfo) -> Context {
        let title = |thread: &mmview_platform::ThreadInfo| {
            let name = thread.name.as_deref().map(String::from_utf8_lossy);
            match name {
                Some(name) => format!("thread {} {name}", thread.id),
                None => format!("thread {}", thread.id),
            }
        };
        let threads: Vec<_> = process.threads.iter().map(|thread| (thread.id, title(thread))).collect();
        let mut stacks: Vec<_> = process
            .threads
            .iter()
            .skip(1)
            .filter_map(|thread| Some((thread.stack_pointer?, title(thread))))
            .collect();
        stacks.sort();
        let page_size = source.page_size.map_or(Bytes(4096), PageSize::bytes);
        let naming = process.system.as_deref().map(Naming::of_system).unwrap_or_default();
        Context { page_size, stacks, threads, naming }
    }

    /// The thread whose stack pointer lies in `region`, as a note.
    fn thread_in(&self, region: &Region) -> Option<&str> {
        let at = self.stacks.partition_point(|(pointer, _)| *pointer < region.range.start());
        let (pointer, title) = self.stacks.get(at)?;
        region.range.contains(*pointer).then_some(title)
    }

    /// Whether these facts explain `regions` as `others` explain theirs, as far as the regions are the same.
    fn is_equivalent<'a>(
        &self,
        regions: impl Iterator<Item = &'a Region>,
        others: &Context,
        other_regions: impl Iterator<Item = &'a Region>,
    ) -> bool {
        // A stack pointer counts by the region that it lies in.
        let stacks = |context: &Context, regions: &mut dyn Iterator<Item = &'a Region>| -> Vec<_> {
            let thread = |region: &Region| Some((region.range, context.thread_in(region)?.to_owned()));
            regions.filter_map(thread).collect()
        };
        self.page_size == others.page_size
            && self.threads == others.threads
            && self.naming == others.naming
            && ((self.stacks.is_empty() && others.stacks.is_empty())
                || stacks(self, &mut regions.into_iter()) == stacks(others, &mut other_regions.into_iter()))
    }

    fn thread_called(&self, id: &str) -> String {
        let known = id.parse().ok().and_then(|id: u64| self.threads.iter().find(|(known, _)| *known == id));
        known.map_or_else(|| format!("thread {id}"), |(_, title)| title.clone())
    }
}

/// Explains regions as they come. At most a short run of them is held back.
pub struct Classify<I: Iterator<Item = Result<Region>>> {
    ahead: Ahead<I>,
    context: Context,
    past: Past,
}

/// What was decided about the regions before.
#[derive(Default)]
struct Past {
    last: Option<(Shape, RegionKind)>,
    image: Option<image::Run>,
    /// Whether data of an image was executable: then the system makes all memory so (READ_IMPLIES_EXEC, as on old MIPS and
    /// i386), and being executable says nothing.
    is_data_executable: bool,
}

/// What the rules ask of a region's neighbours.
#[derive(Clone, Copy, Debug)]
struct Shape {
    range: AddrRange,
    protection: Protection,
    is_unnamed: bool,
    is_shared: bool,
}

impl From<&Region> for Shape {
    fn from(region: &Region) -> Shape {
        Shape {
            range: region.range,
            protection: region.protection,
            is_unnamed: region.is_unnamed(),
            is_shared: region.share.is_shared(),
        }
    }
}

/// The regions after the current one, read as far as a rule asks.
struct Ahead<I> {
    input: I,
    read: VecDeque<Region>,
    /// How the input ended, to be told after what was read before it.
    end: Option<Option<mmview_platform::Error>>,
}

impl<I: Iterator<Item = Result<Region>>> Ahead<I> {
    /// The `index`th region after the current one, from 0.
    fn peek(&mut self, index: usize) -> Option<&Region> {
        while self.read.len() <= index && self.end.is_none() {
            match self.input.next() {
                Some(Ok(region)) => self.read.push_back(region),
                Some(Err(error)) => self.end = Some(Some(error)),
                None => self.end = Some(None),
            }
        }
        self.read.get(index)
    }
}

impl<I: Iterator<Item = Result<Region>>> Classify<I> {
    /// Explains `regions`, which come by address.
    pub fn new(regions: I, context: Context) -> Classify<I> {
        Classify {
            ahead: Ahead { input: regions, read: VecDeque::new(), end: None },
            context,
            past: Past::default(),
        }
    }

    /// Goes on with `regions` after others, of which `past` has taken note.
    fn resume(regions: I, context: Context, past: Past) -> Classify<I> {
        Classify { past, ..Classify::new(regions, context) }
    }

    /// The regions that were not explained yet, without an error at their end.
    fn into_rest(self) -> impl Iterator<Item = Region> {
        self.ahead.read.into_iter().chain(self.ahead.input.filter_map(Result::ok))
    }
}

impl<I: Iterator<Item = Result<Region>>> Iterator for Classify<I> {
    type Item = Result<Classified>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.peek(0).is_none() {
            return self.ahead.end.as_mut().and_then(Option::take).map(Err);
        }
        let region = self.ahead.read.pop_front()?;
        let meaning = match &region.native {
            Native::Macos(native) => macos::explain(&mut self.ahead, &self.context, &region, native),
            _ => linux::explain(&mut self.ahead, &mut self.past, &self.context, &region),
        };
        let region = Classified::new(region, meaning);
        self.past.note(&region);
        Some(Ok(region))
    }
}

/// Explains a whole snapshot.
pub fn classify(map: &MemoryMap) -> Vec<Classified> {
    let context = Context::new(&map.process, &map.source);
    let regions = map.regions.iter().cloned().map(Ok);
    Classify::new(regions, context).filter_map(Result::ok).collect()
}
