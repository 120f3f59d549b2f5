//! Looking at regions again and again.

use anyhow::Context as _;
use mmview_platform::own::Child;
use mmview_platform::{AddrRange, Bytes, Detail, OpenOptions, PageState, RegionSource, open_process};

use super::step::Seen;
use crate::classify::classify;
use crate::region::Classified;

/// A place in the map of a process, and what was there when it was last looked at.
pub(crate) struct Watch {
    of: &'static str,
    source: Box<dyn RegionSource>,
    address: u64,
    last: Option<Classified>,
}

impl Watch {
    /// An address of this process, where there is nothing yet.
    pub fn own(of: &'static str, address: u64) -> anyhow::Result<Watch> {
        Watch::of_process(of, std::process::id(), address)
    }

    /// An address of a child.
    pub fn child(of: &'static str, child: &Child, address: u64) -> anyhow::Result<Watch> {
        Watch::of_process(of, child.pid(), address)
    }

    fn of_process(of: &'static str, pid: u32, address: u64) -> anyhow::Result<Watch> {
        let source = open_process(pid, &OpenOptions::default())?;
        Ok(Watch { of, source, address, last: None })
    }

    /// Every region of the process now.
    pub fn map(&mut self) -> anyhow::Result<Vec<Classified>> {
        let snapshot = self.source.read(Detail::Counts)?;
        for warning in &snapshot.warnings {
            log::info!("{warning}");
        }
        Ok(classify(&snapshot))
    }

    /// The region at the address, now and when it was last looked at.
    pub fn look(&mut self) -> anyhow::Result<Seen> {
        let map = self.map()?;
        let after = at(&map, self.address).cloned();
        let before = std::mem::replace(&mut self.last, after.clone());
        Ok(Seen { of: self.of, before, after })
    }

    /// The same once the process has ended, and its map with it.
    pub fn ended(&mut self) -> Seen {
        Seen { of: self.of, before: self.last.take(), after: None }
    }

    /// The physical page frame behind an address, where the system tells.
    pub fn frame(&mut self, address: u64) -> Option<u64> {
        let page = AddrRange::with_size(address, Bytes(1))?;
        self.source.memory()?.frames(page).ok()?.first().copied().flatten()
    }

    /// The state of the page at an address, where the system tells.
    pub fn page(&mut self, address: u64) -> Option<PageState> {
        let region = self.source.region_at(address, Detail::Pages).ok()??;
        let run = region.pages?.iter().copied().find(|run| run.range.contains(address));
        Some(run.map(|run| run.state).unwrap_or_default())
    }
}

/// A parent and its child, each looked at in one place.
pub(crate) struct Family {
    pub parent: Watch,
    pub other: Watch,
    pub child: Child,
}

impl Family {
    /// `child`, to be looked at in `address` beside its parent.
    pub fn new(parent: Watch, child: Child, address: u64) -> anyhow::Result<Family> {
        let other = Watch::of_process("child", child.pid(), address)?;
        Ok(Family { parent, other, child })
    }

    /// The parent's region and the child's.
    pub fn look(&mut self) -> anyhow::Result<[Seen; 2]> {
        Ok([self.parent.look()?, self.other.look()?])
    }

    /// The physical page frames behind both addresses, where the system tells.
    pub fn frames(&mut self) -> [Option<u64>; 2] {
        [self.parent.frame(self.parent.address), self.other.frame(self.other.address)]
    }

    /// Lets the child do its next thing, `what`, and returns what it tells of it.
    pub fn turn(&mut self, what: &str) -> anyhow::Result<Vec<u8>> {
        self.child.step()?.with_context(|| format!("the child ended before it could {what}"))
    }
}

/// The region of `map` that holds `address`.
pub(crate) fn at(map: &[Classified], address: u64) -> Option<&Classified> {
    map.iter().find(|classified| classified.range().contains(address))
}

/// The region that holds `address` after something happened, and what it was before: whatever lay where it lies now. A region
/// that grew or shrank, upwards or downwards, is the same one.
pub(crate) fn between(of: &'static str, before: &[Classified], after: &[Classified], address: u64) -> Seen {
    let overlapping = |map: &[Classified], one: &Classified| {
        map.iter().find(|other| other.range().overlaps(one.range())).cloned()
    };
    match (at(before, address), at(after, address)) {
        (Some(was), is) => {
            let is = is.cloned().or_else(|| overlapping(after, was));
            Seen { of, before: Some(was.clone()), after: is }
        }
        (None, Some(is)) => Seen { of, before: overlapping(before, is), after: Some(is.clone()) },
        (None, None) => Seen { of, ..Seen::default() },
    }
}

/// The regions in `range`, by the address where each starts, before and after something happened.
pub(crate) fn within(range: AddrRange, before: &[Classified], after: &[Classified]) -> Vec<Seen> {
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
        .map(|at| Seen { of: "", before: starting_at(&before, at), after: starting_at(&after, at) })
        .collect()
}
