//! Finds the resident and swapped pages by `PAGEMAP_SCAN` (6.7) instead of reading `smaps`.
//!
//! One scan over many regions costs a fraction of their text in `smaps` (11 ns a resident page, less for huge ones). Its
//! results are runs of pages that cross the borders of regions, so they are split there. `smaps` counts the same way: `Rss`
//! is present and not the page of zeros, `Swap` is swapped and not a guard, `Anonymous` is resident and not a file's page.
//!
//! Two cases differ, and the caller handles them: `Rss` does not count hugetlb pages, and the page tables do not show swapped
//! shared memory.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::sys::{self, PageRegion};
use crate::model::Reading;
use crate::model::{AddrRange, Bytes, PageRun, PageSize, PageState, join};

const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO: u64 = 1 << 5;
const HUGE: u64 = 1 << 6;
const SOFT_DIRTY: u64 = 1 << 7;
const GUARD: u64 = 1 << 8;

/// The categories of `include/uapi/linux/fs.h` and their meanings here.
const CATEGORIES: [(u64, PageState); 7] = [
    (FILE, PageState::FILE),
    (PRESENT, PageState::PRESENT),
    (SWAPPED, PageState::SWAPPED),
    (ZERO, PageState::ZERO),
    (HUGE, PageState::HUGE),
    (SOFT_DIRTY, PageState::SOFT_DIRTY),
    (GUARD, PageState::GUARD),
];

/// The number of entries that a call may fill. The kernel itself works in portions of 512.
const ENTRIES: usize = 4096;

/// The same for a gentle call, because the kernel keeps the lock for one portion.
const GENTLE_ENTRIES: usize = 512;

/// A gentle scan starts with this many pages a call, and then adapts to the time that a call takes.
const FIRST_PAGES: u64 = 4096;
const FEWEST_PAGES: u64 = 64;

/// After a call a gentle scan sleeps this many times as long as the call took, so that the lock is free most of the time.
const REST: u32 = 4;

/// No sleep is shorter than the kernel's timer slack.
const SHORTEST_SLEEP: Duration = Duration::from_micros(60);

/// Scans the pages of a process.
pub(super) struct Scanner {
    pagemap: File,
    /// The requested categories that this kernel knows.
    returned: u64,
    /// The longest time that a call should hold the lock of the process's map, if limited.
    budget: Option<Duration>,
    /// The maximum number of pages in a gentle call.
    most_pages: u64,
    page_size: Bytes,
    /// What the scans have cost.
    pub reading: Reading,
}

/// The sizes of a region's pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScanCounts {
    pub resident: Bytes,
    pub swapped: Bytes,
    /// Resident and not a file's page. Valid only if file pages were requested.
    pub anonymous: Bytes,
    /// In huge pages of any sort.
    pub huge: Bytes,
}

impl Scanner {
    /// Scans with this open `pagemap`; `None` if the kernel has no such call.
    ///
    /// `with_file` distinguishes file pages from anonymous ones, at three times the cost, because the kernel then looks at
    /// each page itself.
    pub fn new(
        pagemap: File,
        with_file: bool,
        page_size: PageSize,
        budget: Option<Duration>,
    ) -> Option<Scanner> {
        let wanted = PRESENT | SWAPPED | ZERO | HUGE | GUARD | if with_file { FILE | SOFT_DIRTY } else { 0 };
        let returned = known_categories(&pagemap, wanted)?;
        let reading = Reading { budget, ..Reading::new("PAGEMAP_SCAN") };
        let page_size = page_size.bytes();
        Some(Scanner { pagemap, returned, budget, most_pages: FIRST_PAGES, page_size, reading })
    }

    /// Whether anonymous pages are distinguished from file pages.
    pub fn with_files(&self) -> bool {
        self.returned & FILE != 0
    }

    /// The runs of present or swapped pages in `range`, ordered by address. Runs cross the borders of regions.
    pub fn scan(&mut self, range: AddrRange) -> Result<Vec<PageRegion>, Errno> {
        match self.budget {
            Some(budget) => self.scan_gently(range, budget),
            None => self.scan_at_once(range),
        }
    }

    fn scan_at_once(&mut self, range: AddrRange) -> Result<Vec<PageRegion>, Errno> {
        let started = Instant::now();
        let runs = scan_range(&self.pagemap, self.returned, range, &mut self.reading.calls)?;
        self.reading.add(started.elapsed());
        Ok(runs)
    }

    /// Scans the parts of a large range on several threads. The results are ordered by address.
    pub fn scan_in_parallel(&mut self, parts: &[AddrRange]) -> Result<Vec<PageRegion>, Errno> {
        let started = Instant::now();
        let (pagemap, returned) = (&self.pagemap, self.returned);
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = parts
                .iter()
                .map(|&part| {
                    scope.spawn(move || {
                        let mut calls = 0;
                        scan_range(pagemap, returned, part, &mut calls).map(|runs| (runs, calls))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a scan doesn't panic")).collect()
        });
        let mut all = Vec::new();
        for result in results {
            let (runs, calls) = result?;
            all.extend(runs);
            self.reading.calls += calls;
        }
        self.reading.add(started.elapsed());
        Ok(all)
    }

    /// Scans in small steps that each hold the lock for a part of the budget, and sleeps after each.
    ///
    /// A step ends after a number of pages or runs. Regions without pages cost little, and the caller scans a bounded number
    /// of them at a time.
    fn scan_gently(&mut self, range: AddrRange, budget: Duration) -> Result<Vec<PageRegion>, Errno> {
        let goal = budget / 4;
        let mut runs: Vec<PageRegion> = Vec::new();
        let mut buffer = vec![PageRegion::default(); GENTLE_ENTRIES];
        let mut start = range.start();
        while start < range.end() {
            let (any_of, most_pages) = (PRESENT | SWAPPED, self.most_pages);
            let started = Instant::now();
            let filled = sys::pagemap_scan(
                &self.pagemap,
                start,
                range.end(),
                any_of,
                self.returned,
                most_pages,
                &mut buffer,
            )?;
            let took = started.elapsed();
            self.reading.calls += 1;
            self.reading.add(took);
            let filled = &buffer[..filled];
            runs.extend_from_slice(filled);
            let pages = filled.iter().map(|run| run.end - run.start).sum::<u64>() / self.page_size.0;
            let is_cut = pages >= most_pages;
            if took > goal {
                self.most_pages = (most_pages / 2).max(FEWEST_PAGES);
            } else if took < goal / 2 && is_cut {
                self.most_pages = most_pages.saturating_mul(2);
            }
            let rest = (took * REST).max(SHORTEST_SLEEP);
            std::thread::sleep(rest);
            self.reading.slept += rest;
            match filled.last() {
                Some(last) if (is_cut || filled.len() == buffer.len()) && last.end > start => {
                    start = last.end
                }
                _ => break,
            }
        }
        Ok(runs)
    }
}

/// The categories in `wanted` that the kernel knows. One unknown category fails the whole call, and kernels after 6.7 added
/// some.
fn known_categories(pagemap: &File, wanted: u64) -> Option<u64> {
    const SINCE_6_7: u64 = FILE | PRESENT | SWAPPED | ZERO | HUGE | SOFT_DIRTY;
    [wanted, wanted & SINCE_6_7].into_iter().find(|&categories| {
        let mut entry = [PageRegion::default()];
        sys::pagemap_scan(pagemap, 0, 0, categories, categories, 0, &mut entry).is_ok()
    })
}

fn scan_range(
    pagemap: &File,
    returned: u64,
    range: AddrRange,
    calls: &mut u64,
) -> Result<Vec<PageRegion>, Errno> {
    let mut runs: Vec<PageRegion> = Vec::new();
    let mut buffer = vec![PageRegion::default(); ENTRIES];
    let mut start = range.start();
    while start < range.end() {
        *calls += 1;
        let filled =
            sys::pagemap_scan(pagemap, start, range.end(), PRESENT | SWAPPED, returned, 0, &mut buffer)?;
        runs.extend_from_slice(&buffer[..filled]);
        // `walk_end` does not say where to continue: after a complete walk it may still be the end of the kernel's last
        // portion.
        match buffer[..filled].last() {
            Some(last) if filled == buffer.len() && last.end > start => start = last.end,
            _ => break,
        }
    }
    Ok(runs)
}

/// Distributes the runs of a scan over regions.
pub(super) struct Split {
    runs: Vec<PageRegion>,
    next: usize,
}

impl Split {
    pub fn new(runs: Vec<PageRegion>) -> Split {
        Split { runs, next: 0 }
    }

    /// The runs in `range`, cut at its borders. Ranges must be ordered by address.
    pub fn take(&mut self, range: AddrRange) -> impl Iterator<Item = (AddrRange, u64)> {
        while self.runs.get(self.next).is_some_and(|run| run.end <= range.start()) {
            self.next += 1;
        }
        self.runs[self.next..].iter().take_while(move |run| run.start < range.end()).filter_map(move |run| {
            let part = AddrRange::new(run.start.max(range.start()), run.end.min(range.end()))?;
            Some((part, run.categories))
        })
    }
}

/// The sizes of a region's runs.
pub(super) fn count(runs: impl Iterator<Item = (AddrRange, u64)>) -> ScanCounts {
    let mut counts = ScanCounts::default();
    for (range, categories) in runs {
        let state = state(categories);
        let size = range.size();
        if state.is_resident() {
            counts.resident += size;
            if !state.has(PageState::FILE) {
                counts.anonymous += size;
            }
            if state.has(PageState::HUGE) {
                counts.huge += size;
            }
        }
        if state.is_swapped() {
            counts.swapped += size;
        }
    }
    counts
}

/// The runs of a region, as page states.
pub(super) fn page_runs(runs: impl Iterator<Item = (AddrRange, u64)>) -> Box<[PageRun]> {
    join(runs.map(|(range, categories)| PageRun { range, state: state(categories) }))
}

fn state(categories: u64) -> PageState {
    CATEGORIES.iter().fold(PageState::default(), |state, &(category, mark)| {
        state.with_if(mark, categories & category != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64, categories: u64) -> PageRegion {
        PageRegion { start, end, categories }
    }

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(start, end).unwrap()
    }

    #[test]
    fn runs_are_split_at_the_borders_of_regions() {
        let mut split = Split::new(vec![run(0x1000, 0x5000, PRESENT), run(0x8000, 0x9000, SWAPPED)]);
        let take = |split: &mut Split, range| count(split.take(range));
        assert_eq!(take(&mut split, range(0x0, 0x2000)).resident, Bytes(0x1000));
        assert_eq!(take(&mut split, range(0x2000, 0x3000)).resident, Bytes(0x1000));
        assert_eq!(take(&mut split, range(0x4000, 0x8000)).resident, Bytes(0x1000));
        let last = take(&mut split, range(0x8000, 0xa000));
        assert_eq!((last.resident, last.swapped), (Bytes(0), Bytes(0x1000)));
        assert_eq!(take(&mut split, range(0xa000, 0xb000)), ScanCounts::default());
    }

    #[test]
    fn zeros_are_not_resident_and_guards_not_swapped() {
        let runs = [
            (range(0x0, 0x1000), PRESENT | ZERO),
            (range(0x1000, 0x2000), SWAPPED | GUARD),
            (range(0x2000, 0x3000), PRESENT | HUGE),
            (range(0x3000, 0x4000), PRESENT | FILE),
        ];
        let counts = count(runs.into_iter());
        assert_eq!(
            counts,
            ScanCounts {
                resident: Bytes(0x2000),
                swapped: Bytes(0),
                anonymous: Bytes(0x1000),
                huge: Bytes(0x1000),
            }
        );
    }
}
