//! Watching a process for changes of its map.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mmview_platform::{
    Detail, Ending, Error as Cause, Evidence, Findings, MemoryMap, ProcessInfo, Region, RegionSource, Warning,
};

use super::retry;
use crate::check::{Check, Verdict};
use crate::classify::{Context, explain_again};
use crate::diff::{Change, ChangeKind, Diff};
use crate::error::{Error, Result};
use crate::owners::{self, Wanted};
use crate::region::Classified;
use crate::snapshot::Snapshot;

/// The pause between two samples is at least this many times as long as a sample usually takes, so that the process hardly
/// notices.
const REST: u32 = 20;

/// What a sample found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Seen {
    /// Nothing that counts has changed.
    Nothing,
    /// These changes, by address.
    Changes(Vec<Change>),
    /// Another program: the process started it (`exec`).
    Program(Box<ProcessInfo>),
    /// The process has ended; how, if the system reports it.
    Ended(Option<Ending>),
}

/// A process that is watched.
pub struct Watch {
    source: Box<dyn RegionSource>,
    detail: Detail,
    wanted: Wanted,
    /// Whether every sample reads the memory, not only one that shows a change of the map.
    is_inspecting: bool,
    last: Arc<Snapshot>,
    /// The facts that the last map was explained by.
    context: Context,
    pace: Pace,
}

/// How long samples take.
#[derive(Debug, Default)]
struct Pace {
    samples: u64,
    /// All samples but the first together, and the last of them.
    total: Duration,
    last: Duration,
    longest: Duration,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("source", self.source.info())
            .field("detail", &self.detail)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch with a first sample. `detail` decides what counts as a change: with [`Detail::Layout`] addresses,
    /// protection and names, which costs least; with more, what becomes resident, dirty or swapped as well.
    ///
    /// # Errors
    ///
    /// The map can't be read.
    pub fn begin(source: Box<dyn RegionSource>, detail: Detail) -> Result<Watch> {
        Watch::up_to(source, detail, Evidence::Memory)
    }

    /// The same with evidence as far as `level`. The memory is read when the map has changed.
    ///
    /// # Errors
    ///
    /// As [`Watch::begin`].
    pub fn up_to(mut source: Box<dyn RegionSource>, detail: Detail, level: Evidence) -> Result<Watch> {
        let wanted = Wanted::up_to(level);
        let last = Snapshot::explained(retry::steady_map(source.as_mut(), detail, wanted)?, level);
        let context = context(&last, level);
        let pace = Pace { samples: 1, ..Pace::default() };
        Ok(Watch { source, detail, wanted, is_inspecting: false, last: Arc::new(last), context, pace })
    }

    /// The map as the last sample has it.
    pub fn last(&self) -> &Arc<Snapshot> {
        &self.last
    }

    /// How many samples there were.
    pub fn samples(&self) -> u64 {
        self.pace.samples
    }

    /// The longest time that a sample took.
    pub fn longest_sample(&self) -> Duration {
        self.pace.longest
    }

    /// How long to wait after a sample if one is wanted every `interval`.
    pub fn rest(&self, interval: Duration) -> Duration {
        let samples = u32::try_from(self.pace.samples.saturating_sub(1)).unwrap_or(u32::MAX);
        let mean = self.pace.total.checked_div(samples).unwrap_or_default();
        // A single slow sample, when something else was running, says little.
        interval.max(mean.min(self.pace.last) * REST)
    }

    /// Takes a sample. Costs one reading of the map; if it changed, the changed regions are explained again.
    ///
    /// # Errors
    ///
    /// The map can't be read any more. That the process has ended is no error.
    pub fn look(&mut self) -> Result<Seen> {
        let began = Instant::now();
        let seen = self.sample();
        self.pace.add(began.elapsed());
        seen
    }

    fn sample(&mut self) -> Result<Seen> {
        match retry::steady_regions(self.source.as_mut(), self.detail) {
            Ok((regions, _)) if !self.is_inspecting && self.is_as_before(&regions) => Ok(Seen::Nothing),
            Ok((regions, warnings)) => self.explain(regions, warnings),
            Err(error) => self.failed(error),
        }
    }

    fn is_as_before(&self, regions: &[Region]) -> bool {
        regions.iter().eq(self.last.regions.iter().map(|region| region.facts()))
    }

    fn failed(&mut self, error: Cause) -> Result<Seen> {
        match error {
            Cause::Vanished { .. } | Cause::Zombie { .. } | Cause::NoSuchProcess { .. } => {
                Ok(Seen::Ended(self.source.ending()))
            }
            // The next sample sees the new program.
            Cause::Replaced { .. } => Ok(Seen::Nothing),
            error => Err(error.into()),
        }
    }

    /// Finds the changes between the last map and `regions`.
    fn explain(&mut self, regions: Vec<Region>, warnings: Vec<Warning>) -> Result<Seen> {
        let process = match self.source.process() {
            Ok(process) => process,
            Err(error) => return self.failed(error),
        };
        let last = Arc::clone(&self.last);
        let mut map = MemoryMap::new(last.source.clone(), process, last.detail, regions);
        map.taken = last.source.time();
        map.warnings = warnings;
        if let Err(error) = owners::inspect(&mut map, self.source.as_ref(), self.wanted) {
            return self.failed(error);
        }
        // That the memory can't be read was said at the beginning.
        map.warnings.retain(|warning| !matches!(warning, Warning::NoMemory { .. }));
        let next = self.explained(map);
        let context = context(&next, self.wanted.level);
        let diff = Diff::in_place(&last.regions, &next.regions);
        let is_another = is_another_program(&last, &next, &diff);
        (self.last, self.context) = (Arc::new(next), context);
        if is_another {
            return Ok(Seen::Program(Box::new(self.last.process.clone())));
        }
        let counts = |change: &Change| change.kind != ChangeKind::Incidental;
        let changes: Vec<_> = diff.changes.into_iter().filter(counts).collect();
        Ok(if changes.is_empty() { Seen::Nothing } else { Seen::Changes(changes) })
    }

    /// Explains a map: what has not changed since the last sample keeps its meaning, unless the memory decides.
    fn explained(&self, mut map: MemoryMap) -> Snapshot {
        let has_claims = |findings: &Findings| !findings.claims.is_empty();
        if has_claims(&map.findings) || has_claims(&self.last.findings) {
            return Snapshot::explained(map, self.wanted.level);
        }
        let context = Context::new(&map.process, &map.source).with_map(&map.regions).up_to(self.wanted.level);
        let regions = std::mem::take(&mut map.regions);
        let mut next = Snapshot::explained(map, self.wanted.level);
        next.regions = explain_again(&self.last.regions, &self.context, regions, &context);
        next
    }

    /// Reads what is allocated now, for [`Watch::last`]. What fails is no error: the last sample stays.
    ///
    /// Costs one reading of the map and of the headers of all blocks of the heap.
    pub fn inspect(&mut self) {
        let is_inspecting = std::mem::replace(&mut self.is_inspecting, true);
        let _ = self.look();
        self.is_inspecting = is_inspecting;
    }

    /// Takes samples until something ends it: the process, the time, the check, `sleep` (which returns whether to go on), or
    /// `event`, which gets what each sample found.
    ///
    /// # Errors
    ///
    /// The errors of `event`.
    pub fn follow<E>(
        &mut self,
        plan: &Follow<'_>,
        mut sleep: impl FnMut(Instant) -> bool,
        mut event: impl FnMut(Seen) -> std::result::Result<(), E>,
    ) -> std::result::Result<Stop, E> {
        self.is_inspecting = plan.until.is_some_and(Check::needs_zones);
        let mut next = Instant::now();
        let mut is_last = false;
        loop {
            if plan.until.is_some_and(|check| self.last.verdict(check) == Verdict::Holds) {
                return Ok(Stop::Held);
            }
            if is_last {
                return Ok(Stop::TimeUp);
            }
            next = (next + self.rest(plan.interval)).max(Instant::now());
            is_last = plan.deadline.is_some_and(|deadline| deadline <= next);
            if !sleep(plan.deadline.map_or(next, |deadline| deadline.min(next))) {
                return Ok(Stop::Interrupted);
            }
            match self.look() {
                Ok(Seen::Nothing) => {}
                Ok(Seen::Ended(ending)) => return Ok(Stop::Ended(ending)),
                Ok(seen) => event(seen)?,
                Err(error) => return Ok(Stop::Failed(error)),
            }
        }
    }
}

/// The facts that `snapshot` is explained by.
fn context(snapshot: &Snapshot, level: Evidence) -> Context {
    let regions = snapshot.regions.iter().map(Classified::facts);
    Context::new(&snapshot.process, &snapshot.source)
        .with_map(regions)
        .with_findings(&snapshot.findings)
        .up_to(level)
}

/// For how long to watch.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Follow<'a> {
    /// The time between two samples.
    pub interval: Duration,
    /// When to stop.
    pub deadline: Option<Instant>,
    /// The check that ends it when it holds.
    pub until: Option<&'a Check>,
}

impl<'a> Follow<'a> {
    /// Until the process ends, with a sample every `interval`.
    pub fn every(interval: Duration) -> Follow<'a> {
        Follow { interval, deadline: None, until: None }
    }
}

/// Why watching ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stop {
    /// The process ended; how, if that is known.
    Ended(Option<Ending>),
    /// The time is up.
    TimeUp,
    /// The check holds.
    Held,
    /// It was interrupted.
    Interrupted,
    /// The map can't be read any more.
    Failed(Error),
}

impl Pace {
    fn add(&mut self, took: Duration) {
        self.samples += 1;
        self.total += took;
        self.last = took;
        self.longest = self.longest.max(took);
    }
}

/// Whether the process has started another program: by the place of its stack, if the system reports it; else if nothing is left
/// of the map but what the kernel maps into every process at the same address.
fn is_another_program(last: &Snapshot, next: &Snapshot, diff: &Diff) -> bool {
    if let Some((before, after)) = last.process.stack_start.zip(next.process.stack_start)
        && before != after
    {
        return true;
    }
    let is_fixed = |start: u64| start >= 1 << 63;
    let fixed = last.regions.iter().filter(|region| is_fixed(region.range().start())).count() as u64;
    let is_whole = |change: &Change| matches!(change.kind, ChangeKind::Added | ChangeKind::Removed);
    last.regions.len() as u64 > fixed + 1 && diff.unchanged <= fixed && diff.changes.iter().all(is_whole)
}
