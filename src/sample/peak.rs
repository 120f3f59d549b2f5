//! The largest map of a program, sampled while it runs.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mmview_platform::{
    Bytes, Detail, Ending, Error as Cause, Evidence, Inspection, Moment, OpenOptions, Program, RegionSource,
    open_process,
};

use super::retry;
use crate::check::{Check, Verdict};
use crate::error::{Context as _, Error, Result};
use crate::owners::Wanted;
use crate::snapshot::Snapshot;
use crate::summary::Summary;

/// Between two inspections of the memory, the program is left alone for so many times as long as one takes.
const REST: u32 = 20;

/// What to look for in a program.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// How much to read of each region.
    pub detail: Detail,
    /// What to look for in its memory.
    pub wanted: Wanted,
    /// Whether the map at the end is wanted, not the largest.
    pub at_exit: bool,
    /// The check whose first success is wanted instead.
    pub until: Option<Check>,
    /// The time between two samples.
    pub interval: Duration,
}

/// When a map of a program was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before anything of the program ran.
    Start,
    /// While it ran.
    Running,
    /// As it ended.
    Exit,
}

impl When {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            When::Start => "start",
            When::Running => "running",
            When::Exit => "exit",
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The sample that was wanted, or the error that prevented every sample.
    pub kept: Result<Kept>,
    /// Whether the check held in it.
    pub has_held: bool,
    /// How often the map was read.
    pub samples: u64,
    /// The most that was ever resident, by the kernel's counter.
    pub resident_peak: Option<Bytes>,
    /// Whether the program was traced.
    pub is_traced: bool,
    /// How the program ended.
    pub ending: Ending,
}

/// A sample.
#[derive(Debug)]
pub(crate) struct Kept {
    pub snapshot: Arc<Snapshot>,
    pub summary: Summary,
    /// When it was taken.
    pub when: When,
    /// How long after the start.
    pub after: Duration,
}

impl Kept {
    /// Whether it shows more than another sample: by the footprint, else by what is resident, else by address space.
    fn is_larger_than(&self, other: &Kept) -> bool {
        let sizes = |kept: &Kept| {
            let total = &kept.summary.total;
            [kept.summary.footprint, total.resident.value(), total.virtual_size.value()]
        };
        let measured = sizes(self).into_iter().zip(sizes(other));
        let (mine, others) =
            measured.filter_map(|(mine, others)| mine.zip(others)).next().unwrap_or_default();
        mine > others
    }
}

/// Samples `program` from its first mapping to its end. `began` is when it was started.
pub(crate) fn sample(mut program: Program, began: Instant, goal: &Goal, open: &OpenOptions) -> Result<Found> {
    let id = program.id();
    let is_traced = program.is_traced();
    let samples = Arc::new(Mutex::new(Samples {
        source: None,
        goal: goal.clone(),
        has_held: false,
        began,
        waits_at_exit: is_traced,
        count: 0,
        largest: Bytes::ZERO,
        resident_peak: None,
        inspected: Inspected::default(),
        kept: None,
        failed: None,
    }));
    let mut sampler = None;
    let ending = loop {
        match program.go_on().context("failed to wait for the program")? {
            Moment::Mapped => {
                let mut at_start = lock(&samples);
                match open_process(id, open) {
                    Ok(source) => at_start.source = Some(source),
                    Err(error) => at_start.failed = Some(error.into()),
                }
                at_start.read_totals();
                at_start.take(When::Start);
                sampler = Some(Sampler::start(Arc::clone(&samples), goal.interval));
            }
            Moment::Exiting => {
                let mut at_exit = lock(&samples);
                at_exit.read_totals();
                at_exit.take(When::Exit);
                // If it goes on after all, nothing stops it any more.
                at_exit.waits_at_exit = false;
            }
            Moment::Ended(ending) => break ending,
        }
    };
    // Its thread ends here, and has released the samples.
    drop(sampler);
    let mut samples = lock(&samples);
    let failed = samples.failed.take();
    let kept = samples.kept.take().ok_or_else(|| {
        failed.unwrap_or_else(|| Cause::Vanished { pid: id }.into()).context("there is no summary")
    });
    let (has_held, resident_peak) = (samples.has_held, samples.resident_peak);
    Ok(Found { kept, has_held, samples: samples.count, resident_peak, is_traced, ending })
}

/// The samples so far.
struct Samples {
    source: Option<Box<dyn RegionSource>>,
    goal: Goal,
    /// Whether the check has held; then that sample stays.
    has_held: bool,
    began: Instant,
    /// Whether the program waits at its end for a last sample.
    waits_at_exit: bool,
    count: u64,
    /// The largest that the program's own counters were when its map was read.
    largest: Bytes,
    resident_peak: Option<Bytes>,
    inspected: Inspected,
    kept: Option<Kept>,
    failed: Option<Error>,
}

/// When the memory was last read, and how long that took. To read it can take many times as long as to read the map, and a peak
/// must not be missed meanwhile.
#[derive(Debug, Default)]
struct Inspected {
    last: Option<(Instant, Duration)>,
}

impl Inspected {
    fn note(&mut self, inspection: Option<&Inspection>) {
        if let Some(inspection) = inspection {
            self.last = Some((Instant::now(), Duration::from_micros(inspection.microseconds)));
        }
    }

    /// Whether the program was left alone for long enough.
    fn is_rested(&self) -> bool {
        self.last.is_none_or(|(at, took)| at.elapsed() >= took * REST)
    }

    /// Whether the memory could be read.
    fn is_possible(&self) -> bool {
        self.last.is_some()
    }
}

impl Samples {
    /// Reads the map, and keeps it if it is what is wanted so far.
    fn take(&mut self, when: When) {
        if self.has_held {
            return;
        }
        let Some(source) = &mut self.source else { return };
        let after = self.began.elapsed();
        let reads_memory = self.inspected.is_rested()
            || when == When::Exit
            || self.goal.until.is_some()
            || self.goal.at_exit;
        let wanted = match self.goal.wanted {
            wanted if reads_memory => wanted,
            wanted => Wanted::up_to(wanted.level.min(Evidence::Shape)),
        };
        match retry::map(source.as_mut(), self.goal.detail, wanted) {
            Ok(map) => {
                self.count += 1;
                self.inspected.note(map.findings.inspection.as_ref());
                let snapshot = Arc::new(Snapshot::explained(map, self.goal.wanted.level));
                let summary = Summary::of(&snapshot);
                let until = self.goal.until.as_ref();
                self.has_held = until.is_some_and(|check| snapshot.verdict(check) == Verdict::Holds);
                let sample = Kept { snapshot, summary, when, after };
                let is_larger = self.kept.as_ref().is_none_or(|kept| !kept.is_larger_than(&sample));
                if self.has_held || self.goal.at_exit || is_larger {
                    self.kept = Some(sample);
                }
            }
            // It ends, or starts another program: the last sample stays.
            Err(Cause::Vanished { .. } | Cause::Zombie { .. } | Cause::Replaced { .. }) => {}
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// Reads the program's own counters, and returns whether they have grown by a hundredth since they last did.
    fn read_totals(&mut self) -> bool {
        let Some(totals) = self.source.as_mut().and_then(|source| source.totals().ok()) else { return false };
        self.resident_peak = self.resident_peak.max(totals.resident_peak);
        // Without the counter, only the map shows growth.
        let Some(resident) = totals.resident else { return true };
        let size = resident + totals.swapped.unwrap_or_default();
        let has_grown = size.saturating_sub(self.largest) > Bytes(self.largest.0 / 100);
        if has_grown {
            self.largest = size;
        }
        has_grown
    }

    /// Whether the next sample is wanted even if the program has not grown: the map at the end is the last one if the end
    /// doesn't wait, a check need not show in what is resident, and the memory of the largest may not have been read.
    fn is_wanted(&self) -> bool {
        let lacks_memory =
            |kept: &Kept| self.inspected.is_possible() && kept.snapshot.findings.inspection.is_none();
        self.goal.until.is_some()
            || (self.goal.at_exit && !self.waits_at_exit)
            || (self.inspected.is_rested() && self.kept.as_ref().is_some_and(lacks_memory))
    }
}

fn lock(samples: &Mutex<Samples>) -> MutexGuard<'_, Samples> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that samples a running program. It ends when this is dropped.
struct Sampler {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    fn start(samples: Arc<Mutex<Samples>>, interval: Duration) -> Sampler {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut rest = interval;
            while stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                let mut samples = lock(&samples);
                let has_grown = samples.read_totals();
                if samples.is_wanted() || has_grown {
                    samples.take(When::Running);
                }
                // The program has at least half of the time. It is sampled whenever it has grown by a hundredth, so that all
                // samples together cost no more than a few hundred of the last.
                rest = interval.max(began.elapsed());
            }
        });
        Sampler { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which was reported then.
            let _ = thread.join();
        }
    }
}
