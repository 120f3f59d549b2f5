//! A memory map at one point in time, with the purpose of each region.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use mmview_platform::{
    AddrRange, Bytes, Detail, Evidence, Findings, MemoryMap, Native, PageCounts, PageState, PrintedSummary,
    ProcessInfo, Region, SourceInfo, Warning,
};

use crate::archive;
use crate::classify::{Classify, Context};
use crate::error::Result;
use crate::region::{Classified, Part, divided, region_at};

/// A memory map at one point in time, with the purpose of each region.
///
/// A test takes one of its own process with [`Snapshot::of_self`]:
///
/// ```
/// use mmview::Snapshot;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let buffer = vec![1_u8; 1 << 20];
/// let snapshot = Snapshot::of_self()?;
/// let region = snapshot.region_of(&*buffer).expect("a buffer is mapped");
/// assert!(region.protection().is_writable());
/// assert!(snapshot.counts_of(&*buffer).resident >= Some((1 << 20).into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Where the map comes from.
    pub source: SourceInfo,
    /// The process.
    pub process: ProcessInfo,
    /// When it was read; `None` if a capture doesn't record that.
    pub taken: Option<SystemTime>,
    /// How much was read of each region.
    pub detail: Detail,
    /// The regions by address. They don't overlap.
    pub regions: Vec<Classified>,
    /// What the target's memory shows.
    pub findings: Findings,
    /// The summary in a saved report. If the report lists no regions, there is nothing else.
    pub printed: Option<PrintedSummary>,
    /// What is doubtful or missing in the map.
    pub warnings: Vec<Warning>,
    /// The regions in their parts, once a check has asked for them.
    pieces: Pieces,
}

/// The regions in their parts, if that was asked for and some have any.
type Pieces = OnceLock<Option<Box<[Classified]>>>;

impl From<MemoryMap> for Snapshot {
    fn from(facts: MemoryMap) -> Snapshot {
        Snapshot::explained(facts, Evidence::Memory)
    }
}

impl Snapshot {
    /// Explains a map by evidence as far as `level`.
    pub(crate) fn explained(facts: MemoryMap, level: Evidence) -> Snapshot {
        let context = Context::new(&facts.process, &facts.source)
            .with_map(&facts.regions)
            .with_findings(&facts.findings)
            .up_to(level);
        let regions = Classify::new(facts.regions.into_iter().map(Ok), context);
        Snapshot {
            regions: regions.map(|region| region.expect("regions that were read are no errors")).collect(),
            taken: facts.taken,
            source: facts.source,
            process: facts.process,
            detail: facts.detail,
            findings: facts.findings,
            printed: facts.printed,
            warnings: facts.warnings,
            pieces: Pieces::new(),
        }
    }
}

impl Snapshot {
    /// Copies the facts, without the purpose of each region: the content of an archive.
    pub fn facts(&self) -> MemoryMap {
        let regions = self.regions.iter().map(|region| region.facts().clone()).collect();
        let (source, process) = (self.source.clone(), self.process.clone());
        let mut map = MemoryMap::new(source, process, self.detail, regions);
        map.taken = self.taken;
        map.findings = self.findings.clone();
        map.printed = self.printed.clone();
        map.warnings = self.warnings.clone();
        map
    }

    /// Saves the facts to an archive, atomically, and returns its size in bytes.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<u64> {
        Ok(archive::save(&self.facts(), path.as_ref())?)
    }

    /// The same map, explained without what the target's memory shows.
    #[cfg(feature = "cli")]
    pub(crate) fn without_findings(&self) -> Snapshot {
        let mut facts = self.facts();
        facts.findings = Findings::default();
        Snapshot::explained(facts, Evidence::Memory)
    }

    /// The regions, each part of one as a region of its own.
    pub(crate) fn pieces(&self) -> &[Classified] {
        self.pieces.get_or_init(|| divided(&self.regions)).as_deref().unwrap_or(&self.regions)
    }

    /// Whether it is a report that has totals only, and lists no regions.
    pub fn is_summary(&self) -> bool {
        self.regions.is_empty() && self.printed.is_some()
    }

    /// Returns the region that contains `address`. Costs a binary search.
    pub fn region_at(&self, address: u64) -> Option<&Classified> {
        region_at(&self.regions, address)
    }

    /// Returns the region that contains the start of `value`, in a map of this process.
    pub fn region_of<T: ?Sized>(&self, value: &T) -> Option<&Classified> {
        self.region_at(std::ptr::from_ref(value).addr() as u64)
    }

    /// Returns whose memory `address` is, if that is known: an allocator, a runtime or a thread by the target's memory, else the
    /// file that is mapped there. Costs a binary search.
    ///
    /// ```
    /// use mmview::Snapshot;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let block = Box::new([0_u8; 4000]);
    /// let owner = Snapshot::of_self()?.owner_of(block.as_ptr().addr() as u64);
    /// # drop(owner);
    /// # Ok(())
    /// # }
    /// ```
    pub fn owner_of(&self, address: u64) -> Option<Owner> {
        let region = self.region_at(address)?;
        let part = region.part_at(address).cloned().unwrap_or_else(|| region.as_part());
        let name = match part.owner() {
            Some(owner) => owner.to_owned(),
            None => String::from_utf8_lossy(region.path()?).into_owned(),
        };
        Some(Owner { name, part })
    }

    /// Returns the regions that map the file at `path`, by address.
    ///
    /// In the map of a live process, a relative path or one with symbolic links matches too: the system lists real paths. In a
    /// capture, the path must be as it was listed.
    pub fn regions_of_file(&self, path: impl AsRef<Path>) -> impl Iterator<Item = &Classified> {
        let path = path.as_ref().to_owned();
        let real = if self.source.capabilities.live { path.canonicalize().ok() } else { None };
        self.regions.iter().filter(move |region| {
            let is_listed = |path: &Path| region.path() == Some(path.as_os_str().as_bytes());
            is_listed(&path) || real.as_deref().is_some_and(is_listed)
        })
    }

    /// Returns how much of an address range is resident, dirty and swapped, in whole pages. Unmapped addresses count as 0.
    ///
    /// For a part of a region this needs the state of its pages ([`Detail::Pages`]), and is `None` if that was not read. Linux
    /// reports dirty memory for regions, not for pages: for a part, `dirty` is `None` unless it follows from other counts.
    pub fn counts(&self, range: AddrRange) -> PageCounts {
        let range = self.source.page_size.map_or(range, |page| range.of_whole_pages(page));
        let mut sum = PageCounts::ZERO;
        let first = self.regions.partition_point(|region| region.range().end() <= range.start());
        let regions = self.regions[first..].iter().map(Classified::facts);
        for region in regions.take_while(|region| region.range.start() < range.end()) {
            sum += match region.range.within(range) {
                true => region.counts,
                false => counts_of_part(region, range),
            };
        }
        sum
    }

    /// Returns how much is resident, dirty and swapped of the pages that contain `value`. See [`Snapshot::counts`].
    pub fn counts_of<T: ?Sized>(&self, value: &T) -> PageCounts {
        let start = std::ptr::from_ref(value).addr() as u64;
        let range = AddrRange::with_size(start, Bytes(size_of_val(value) as u64));
        range.map_or(PageCounts::UNMEASURED, |range| self.counts(range))
    }
}

/// Counts the pages of `region` in `part`.
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
            // A written page of private memory is anonymous and dirty. If there are no other dirty pages, the page states show
            // which are.
            let is_written = |state: PageState| state.is_resident() && !state.has(PageState::FILE);
            match region.counts.dirty {
                Some(dirty) if dirty == count(region.range, &is_written) => Some(count(part, &is_written)),
                Some(dirty) if Some(dirty) == region.counts.resident => Some(resident),
                _ => None,
            }
        }
    };
    let mut counts = PageCounts::UNMEASURED;
    counts.resident = Some(resident);
    counts.dirty = dirty;
    counts.swapped = Some(count(part, &PageState::is_swapped));
    counts
}

/// Whose memory an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The allocator, runtime or image, such as `glibc malloc`, or the path of a mapped file.
    pub name: String,
    /// What it is there: its addresses, type and zone, and how that is known.
    pub part: Part,
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
        assert_eq!(counts.dirty, Some(Bytes(0x1000)), "a written private page is dirty");
        assert_eq!(counts.swapped, Some(Bytes(0x1000)));
    }

    #[test]
    fn dirty_is_unknown_unless_it_follows_from_other_counts() {
        let file = PageState::PRESENT.with(PageState::FILE);
        let some_dirty = region(0x1000, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&some_dirty, range(0x10000, 0x11000)).dirty, None);
        let all_dirty = region(0x3000, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&all_dirty, range(0x10000, 0x11000)).dirty, Some(Bytes(0x1000)));
        let none_dirty = region(0, &[(0x10000, 0x13000, file)]);
        assert_eq!(counts_of_part(&none_dirty, range(0x10000, 0x11000)).dirty, Some(Bytes(0)));
    }
}
