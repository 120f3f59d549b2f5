//! Looking at a process again and again, for what changes in its map.

use std::time::{Duration, Instant};

use mmview_platform::{Detail, Ending, Error, ProcessInfo, Region, RegionSource, Result, Warning};

use crate::diff::{Change, ChangeKind, Diff};
use crate::snapshot::Snapshot;

/// Between two looks is at least this many times what a look usually takes, so that the process hardly feels it.
const REST: u32 = 20;

/// A map that changes all the time is taken as it was read the last of so many times.
const MOST_ATTEMPTS: u32 = 3;

/// What one look found.
#[derive(Debug)]
pub enum Seen {
    /// The same as before, in all that counts.
    Nothing,
    /// These changes, by address.
    Changes(Vec<Change>),
    /// Another program: the process started it (`exec`).
    Program(Box<ProcessInfo>),
    /// The process has ended; how, where the system tells.
    Ended(Option<Ending>),
}

/// A process that is watched.
pub struct Watch {
    source: Box<dyn RegionSource>,
    detail: Detail,
    last: Snapshot,
    /// The map as it was read last, unexplained: what is the same needs no explaining.
    regions: Vec<Region>,
    warnings: Vec<Warning>,
    looks: u64,
    /// What all looks but the first took, and the last of them.
    looking: Duration,
    last_look: Duration,
    longest: Duration,
}

impl Watch {
    /// Begins to watch, with a first look. `detail` says what counts as a change: with [`Detail::Layout`] addresses,
    /// protection and names, which costs least; with more, what becomes resident, dirty or swapped too.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::snapshot`].
    pub fn begin(mut source: Box<dyn RegionSource>, detail: Detail) -> Result<Watch> {
        let mut attempts = 1;
        let mut facts = source.read(detail)?;
        while is_torn(&facts.warnings) && attempts < MOST_ATTEMPTS {
            attempts += 1;
            facts = source.read(detail)?;
        }
        Ok(Watch {
            source,
            detail,
            regions: facts.regions.clone(),
            last: facts.into(),
            warnings: Vec::new(),
            looks: 1,
            looking: Duration::ZERO,
            last_look: Duration::ZERO,
            longest: Duration::ZERO,
        })
    }

    /// The map as it was seen last.
    pub fn last(&self) -> &Snapshot {
        &self.last
    }

    /// How many looks there were.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// The longest that a look took.
    pub fn longest_look(&self) -> Duration {
        self.longest
    }

    /// How long after a look the next is due, of which one is wanted every `interval`.
    pub fn rest(&self, interval: Duration) -> Duration {
        let looks = u32::try_from(self.looks.saturating_sub(1)).unwrap_or(u32::MAX);
        let mean = self.looking.checked_div(looks).unwrap_or_default();
        // One look that took long because something else was running says little.
        interval.max(mean.min(self.last_look) * REST)
    }

    /// Looks again.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`], but that the process has ended is an answer.
    pub fn look(&mut self) -> Result<Seen> {
        let began = Instant::now();
        let read = self.read();
        let took = began.elapsed();
        self.looks += 1;
        self.looking += took;
        self.last_look = took;
        self.longest = self.longest.max(took);
        match read {
            Ok(regions) if regions == self.regions => Ok(Seen::Nothing),
            Ok(regions) => self.explain(regions),
            Err(error) => self.failed(error),
        }
    }

    /// Reads the map; again where it changed meanwhile, so that what was only seen in halves is no event.
    fn read(&mut self) -> Result<Vec<Region>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let regions = self.source.regions(self.detail)?.collect::<Result<Vec<_>>>()?;
            self.warnings = self.source.take_warnings();
            if !is_torn(&self.warnings) || attempts == MOST_ATTEMPTS {
                return Ok(regions);
            }
        }
    }

    fn failed(&mut self, error: Error) -> Result<Seen> {
        match error {
            Error::Vanished { .. } | Error::Zombie { .. } | Error::NoSuchProcess { .. } => {
                Ok(Seen::Ended(self.source.ending()))
            }
            // The next look sees the program whole.
            Error::Replaced { .. } => Ok(Seen::Nothing),
            error => Err(error),
        }
    }

    /// Says what is different in `regions` from what was seen last.
    fn explain(&mut self, regions: Vec<Region>) -> Result<Seen> {
        let process = match self.source.process() {
            Ok(process) => process,
            Err(error) => return self.failed(error),
        };
        self.regions = regions.clone();
        let (source, detail) = (self.last.source.clone(), self.last.detail);
        let mut map = mmview_platform::MemoryMap::new(source, process, detail, regions);
        map.taken = map.source.time();
        map.warnings = std::mem::take(&mut self.warnings);
        let next = Snapshot::from(map);
        let diff = Diff::in_place(&self.last.regions, &next.regions);
        let is_another = is_another_program(&self.last, &next, &diff);
        self.last = next;
        if is_another {
            return Ok(Seen::Program(Box::new(self.last.process.clone())));
        }
        let changes: Vec<_> =
            diff.changes.into_iter().filter(|change| change.kind != ChangeKind::Incidental).collect();
        Ok(if changes.is_empty() { Seen::Nothing } else { Seen::Changes(changes) })
    }
}

fn is_torn(warnings: &[Warning]) -> bool {
    warnings.iter().any(|warning| matches!(warning, Warning::Torn { .. }))
}

/// Whether the process has started another program: by the place of its stack, where the system tells, else where nothing is
/// left of the map but what the kernel maps into every process at the same address.
fn is_another_program(last: &Snapshot, next: &Snapshot, diff: &Diff) -> bool {
    if let Some((before, after)) = last.process.stack_start.zip(next.process.stack_start)
        && before != after
    {
        return true;
    }
    let is_fixed = |classified: &&crate::region::Classified| classified.range().start() >= 1 << 63;
    let fixed = last.regions.iter().filter(is_fixed).count() as u64;
    let is_whole = |change: &Change| matches!(change.kind, ChangeKind::Added | ChangeKind::Removed);
    last.regions.len() as u64 > fixed + 1 && diff.unchanged <= fixed && diff.changes.iter().all(is_whole)
}
