//! A map at one time, explained: what a program, a test or a comparison looks at.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use mmview_platform::{
    AddrRange, Bytes, Detail, Native, OpenOptions, PageCounts, PageState, PrintedSummary, ProcessInfo,
    Region, RegionSource, SourceInfo, Warning, open_file, open_process, open_self,
};

use crate::archive;
use crate::classify::{Classify, Context};
use crate::region::{Classified, region_at};

/// A map at one time, each region with what it is for.
///
/// A program that checks itself looks at [`Snapshot::of_self`]:
///
/// ```
/// use mmview::Snapshot;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let buffer = vec![1_u8; 1 << 20];
/// let snapshot = Snapshot::of_self()?;
/// let region = snapshot.region_of(&*buffer).expect("a buffer lies in a region");
/// assert!(region.protection().is_writable());
/// assert!(snapshot.counts_of(&*buffer).resident >= Some((1 << 20).into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where it comes from.
    pub source: SourceInfo,
    /// Whose it is.
    pub process: ProcessInfo,
    /// When it was read; `None` for a capture that doesn't say.
    pub taken: Option<SystemTime>,
    /// How much was read of each region.
    pub detail: Detail,
    /// The regions by address, none overlapping another.
    pub regions: Vec<Classified>,
    /// What a saved report says in its own summary: all there is where it lists no regions.
    pub printed: Option<PrintedSummary>,
    /// What is doubtful or missing.
    pub warnings: Vec<Warning>,
}

impl From<mmview_platform::MemoryMap> for Snapshot {
    fn from(facts: mmview_platform::MemoryMap) -> Snapshot {
        let context = Context::new(&facts.process, &facts.source);
        let regions = Classify::new(facts.regions.into_iter().map(Ok), context);
        Snapshot {
            regions: regions.map(|region| region.expect("what was read doesn't fail any more")).collect(),
            taken: facts.taken,
            source: facts.source,
            process: facts.process,
            detail: facts.detail,
            printed: facts.printed,
            warnings: facts.warnings,
        }
    }
}

impl Snapshot {
    /// This process, with everything that the system tells. On Linux its page tables are walked twice, at some 40 ns a
    /// resident page.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    pub fn of_self() -> mmview_platform::Result<Snapshot> {
        Snapshot::read(open_self(&OpenOptions::default())?.as_mut(), Detail::Pages)
    }

    /// A process of this machine.
    ///
    /// # Errors
    ///
    /// There is no such process, or this user may not look.
    pub fn of_process(pid: u32, detail: Detail) -> mmview_platform::Result<Snapshot> {
        Snapshot::read(open_process(pid, &OpenOptions::default())?.as_mut(), detail)
    }

    /// A saved map: `maps` or `smaps`, a report of vmmap, an archive.
    ///
    /// # Errors
    ///
    /// It can't be read, or is none.
    pub fn of_file(path: impl AsRef<Path>) -> mmview_platform::Result<Snapshot> {
        Snapshot::read(open_file(path.as_ref())?.as_mut(), Detail::Pages)
    }

    /// Reads `source`, and explains what it says.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::snapshot`].
    pub fn read(source: &mut dyn RegionSource, detail: Detail) -> mmview_platform::Result<Snapshot> {
        source.read(detail).map(Snapshot::from)
    }

    /// The same without what each region is for: what an archive holds.
    pub fn facts(&self) -> mmview_platform::MemoryMap {
        mmview_platform::MemoryMap {
            source: self.source.clone(),
            process: self.process.clone(),
            taken: self.taken,
            detail: self.detail,
            regions: self.regions.iter().map(|classified| classified.facts().clone()).collect(),
            printed: self.printed.clone(),
            warnings: self.warnings.clone(),
        }
    }

    /// Saves it as an archive, and returns how many bytes that takes.
    ///
    /// # Errors
    ///
    /// As [`archive::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> mmview_platform::Result<u64> {
        archive::save(&self.facts(), path.as_ref())
    }

    /// Whether it is a report that lists no regions, only what they come to.
    pub fn is_summary(&self) -> bool {
        self.regions.is_empty() && self.printed.is_some()
    }

    /// The region that holds `address`. Costs a binary search.
    pub fn region_at(&self, address: u64) -> Option<&Classified> {
        region_at(&self.regions, address)
    }

    /// The region in which `value` begins: of the map that is this process's own.
    pub fn region_of<T: ?Sized>(&self, value: &T) -> Option<&Classified> {
        self.region_at(std::ptr::from_ref(value).addr() as u64)
    }

    /// The regions of the file at `path`, by address. In the map of a live process a file that is there is looked for by its real
    /// path too, as the system lists it; in a capture, by the path as it is given.
    pub fn regions_of_file(&self, path: impl AsRef<Path>) -> impl Iterator<Item = &Classified> {
        let path = path.as_ref().to_owned();
        let real = if self.source.capabilities.live { path.canonicalize().ok() } else { None };
        self.regions.iter().filter(move |classified| {
            let listed = classified.name().and_then(|name| name.path());
            let is_listed = |path: &Path| listed == Some(path.as_os_str().as_bytes());
            is_listed(&path) || real.as_deref().is_some_and(is_listed)
        })
    }

    /// What is resident, dirty and swapped of a range of addresses, in whole pages; what is not mapped there counts as none.
    ///
    /// Of a part of a region only the state of its pages ([`Detail::Pages`]) tells; `None` where it wasn't read. Linux tells of
    /// regions, not of pages, how much is dirty: for a part that is `None` too where it can't be concluded.
    pub fn counts(&self, range: AddrRange) -> PageCounts {
        let range = self.source.page_size.map_or(range, |page| range.of_whole_pages(page));
        let mut sum = PageCounts::ZERO;
        let first = self.regions.partition_point(|classified| classified.range().end() <= range.start());
        let regions = self.regions[first..].iter().map(|classified| classified.facts());
        for region in regions.take_while(|region| region.range.start() < range.end()) {
            sum += match region.range.within(range) {
                true => region.counts,
                false => counts_of_part(region, range),
            };
        }
        sum
    }

    /// What is resident, dirty and swapped of the pages that `value` lies on; see [`Snapshot::counts`].
    pub fn counts_of<T: ?Sized>(&self, value: &T) -> PageCounts {
        let start = std::ptr::from_ref(value).addr() as u64;
        let range = AddrRange::with_size(start, Bytes(size_of_val(value) as u64));
        range.map_or(PageCounts::UNMEASURED, |range| self.counts(range))
    }
}

/// The counts of the pages of `region` that lie in `part`.
fn counts_of_part(region: &Region, part: AddrRange) -> PageCounts {
    let Some(runs) = &region.pages else { return PageCounts::UNMEASURED };
    let count = |range: AddrRange, is_counted: &dyn Fn(PageState) -> bool| -> Bytes {
        let counted = runs.iter().filter(|run| is_counted(run.state));
        counted.filter_map(|run| run.range.overlap(range)).map(AddrRange::size).sum()
    };
    let resident = count(part, &PageState::is_resident);
    let dirty = match region.native {
        Native::Macos(_) => Some(count(part, &|state| state.has(PageState::DIRTY))),
        _ => {
            // Private memory that was written is anonymous and dirty. Where that is all that is dirty, it is known page by page.
            let is_written = |state: PageState| state.is_resident() && !state.has(PageState::FILE);
            match region.counts.dirty {
                Some(dirty) if dirty == count(region.range, &is_written) => Some(count(part, &is_written)),
                Some(dirty) if Some(dirty) == region.counts.resident => Some(resident),
                _ => None,
            }
        }
    };
    PageCounts {
        resident: Some(resident),
        dirty,
        swapped: Some(count(part, &PageState::is_swapped)),
        ..PageCounts::UNMEASURED
    }
}

#[cfg(test)]
mod tests {
    use mmview_platform::PageRun;

    use super::*;
    use crate::classify::tests::classified;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(start, end).unwrap()
    }

    fn region(dirty: u64, pages: &[(u64, u64, PageState)]) -> Region {
        let mut region = classified("10000-20000 rw-p 0 00:00 0\n").remove(0).into_facts();
        let resident = pages.iter().filter(|page| page.2.is_resident());
        region.counts.resident = Some(Bytes(resident.map(|(start, end, _)| end - start).sum()));
        region.counts.dirty = Some(Bytes(dirty));
        let run = |&(start, end, state)| PageRun { range: range(start, end), state };
        region.pages = Some(pages.iter().map(run).collect());
        region
    }

    #[test]
    fn a_part_of_a_region_is_counted_by_its_pages() {
        let (present, swapped) = (PageState::PRESENT, PageState::SWAPPED);
        let region = region(0x3000, &[(0x10000, 0x13000, present), (0x14000, 0x15000, swapped)]);
        let counts = counts_of_part(&region, range(0x12000, 0x15000));
        assert_eq!(counts.resident, Some(Bytes(0x1000)));
        assert_eq!(counts.dirty, Some(Bytes(0x1000)), "what is private and written is dirty");
        assert_eq!(counts.swapped, Some(Bytes(0x1000)));
    }

    #[test]
    fn what_cannot_be_concluded_is_not_known() {
        let file = PageState::PRESENT.with(PageState::FILE);
        let some_dirty = region(0x1000, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&some_dirty, range(0x10000, 0x11000)).dirty, None);
        let all_dirty = region(0x3000, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&all_dirty, range(0x10000, 0x11000)).dirty, Some(Bytes(0x1000)));
        let none_dirty = region(0, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&none_dirty, range(0x10000, 0x11000)).dirty, Some(Bytes(0)));
    }
}
