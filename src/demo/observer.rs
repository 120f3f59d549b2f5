//! Reads regions again after each step of a lesson.

use mmview_platform::own::Child;
use mmview_platform::{AddrRange, Bytes, Detail, OpenOptions, PageState, RegionSource, open_process};

use super::step::Observation;
use crate::classify::classify;
use crate::error::Context as _;
use crate::region::Classified;

/// An address in a process, and the region that held it at the last observation.
pub(crate) struct Observer {
    of: &'static str,
    source: Box<dyn RegionSource>,
    address: u64,
    last: Option<Classified>,
}

impl Observer {
    /// Observes an address of this process. There is no earlier observation yet.
    pub fn own(of: &'static str, address: u64) -> crate::error::Result<Observer> {
        Observer::of_process(of, std::process::id(), address)
    }

    /// Observes an address of a child.
    pub fn child(of: &'static str, child: &Child, address: u64) -> crate::error::Result<Observer> {
        Observer::of_process(of, child.pid(), address)
    }

    fn of_process(of: &'static str, pid: u32, address: u64) -> crate::error::Result<Observer> {
        let source = open_process(pid, &OpenOptions::default())?;
        Ok(Observer { of, source, address, last: None })
    }

    /// Reads every region of the process.
    pub fn regions(&mut self) -> crate::error::Result<Vec<Classified>> {
        let map = self.source.read(Detail::Counts)?;
        for warning in &map.warnings {
            log::info!("{warning}");
        }
        Ok(classify(&map))
    }

    /// Returns the region that holds the address, now and at the last observation.
    pub fn observe(&mut self) -> crate::error::Result<Observation> {
        let map = self.regions()?;
        let after = at(&map, self.address).cloned();
        let before = std::mem::replace(&mut self.last, after.clone());
        Ok(Observation { of: self.of, before, after })
    }

    /// Returns the region at the last observation as gone, after its process ended.
    pub fn ended(&mut self) -> Observation {
        Observation { of: self.of, before: self.last.take(), after: None }
    }

    /// Returns the physical page frame behind an address; `None` if the system hides it.
    pub fn frame(&mut self, address: u64) -> Option<u64> {
        let page = AddrRange::with_size(address, Bytes(1))?;
        self.source.memory()?.frames(page).ok()?.first().copied().flatten()
    }

    /// Returns the state of the page at an address; `None` if the system doesn't report it.
    pub fn page(&mut self, address: u64) -> Option<PageState> {
        let region = self.source.region_at(address, Detail::Pages).ok()??;
        let run = region.pages?.iter().copied().find(|run| run.range.contains(address));
        Some(run.map(|run| run.state).unwrap_or_default())
    }
}

/// A parent and its child, each observed at one address.
pub(crate) struct Family {
    pub parent: Observer,
    pub other: Observer,
    pub child: Child,
}

impl Family {
    /// Observes `child` at `address`, next to its parent.
    pub fn new(parent: Observer, child: Child, address: u64) -> crate::error::Result<Family> {
        let other = Observer::of_process("child", child.pid(), address)?;
        Ok(Family { parent, other, child })
    }

    /// Returns the parent's region and the child's.
    pub fn observe(&mut self) -> crate::error::Result<[Observation; 2]> {
        Ok([self.parent.observe()?, self.other.observe()?])
    }

    /// Returns the physical page frames behind both addresses; `None` where the system hides them.
    pub fn frames(&mut self) -> [Option<u64>; 2] {
        [self.parent.frame(self.parent.address), self.other.frame(self.other.address)]
    }

    /// Lets the child take its next turn, `what`, and returns the bytes that it reports.
    pub fn turn(&mut self, what: &str) -> crate::error::Result<Vec<u8>> {
        self.child.step()?.with_context(|| format!("the child ended before it could {what}"))
    }
}

/// Returns the region of `map` that holds `address`.
pub(crate) fn at(map: &[Classified], address: u64) -> Option<&Classified> {
    map.iter().find(|classified| classified.range().contains(address))
}

/// Compares two maps at `address`: the region that holds it after a step, and the region that overlaps that one before. A region
/// that grew or shrank, at either end, counts as the same region.
pub(crate) fn between(
    of: &'static str,
    before: &[Classified],
    after: &[Classified],
    address: u64,
) -> Observation {
    let overlapping = |map: &[Classified], one: &Classified| {
        map.iter().find(|other| other.range().overlaps(one.range())).cloned()
    };
    match (at(before, address), at(after, address)) {
        (Some(was), is) => {
            let is = is.cloned().or_else(|| overlapping(after, was));
            Observation { of, before: Some(was.clone()), after: is }
        }
        (None, Some(is)) => Observation { of, before: overlapping(before, is), after: Some(is.clone()) },
        (None, None) => Observation { of, ..Observation::default() },
    }
}

/// Compares two maps in `range`, matching regions by their start addresses.
pub(crate) fn within(range: AddrRange, before: &[Classified], after: &[Classified]) -> Vec<Observation> {
    let in_range = |map: &[Classified]| -> Vec<Classified> {
        map.iter().filter(|classified| classified.range().overlaps(range)).cloned().collect()
    };
    let start = |classified: &Classified| classified.range().start();
    let (before, after) = (in_range(before), in_range(after));
    let mut starts: Vec<_> = before.iter().chain(&after).map(start).collect();
    starts.sort();
    starts.dedup();
    let starting_at = |map: &[Classified], at: u64| map.iter().find(|one| start(one) == at).cloned();
    starts
        .into_iter()
        .map(|at| Observation { of: "", before: starting_at(&before, at), after: starting_at(&after, at) })
        .collect()
}
