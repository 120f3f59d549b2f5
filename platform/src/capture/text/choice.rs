//! Chooses a map of a text.

use std::path::Path;

use super::form::Form;
use super::hotspot::Notes;
use super::part::{Kind, Part};
use super::{Found, Marks};
use crate::detail::Detail;
use crate::linux::parse::counts::LARGEST_BASE_PAGE;
use crate::memory_map::MemoryMap;
use crate::model::{
    Bytes, Capabilities, CaptureFormat, Origin, PageSize, PrintedSummary, Region, SmapsCounters, SmapsField,
    SourceInfo,
};
use crate::order::in_order;
use crate::warning::Warning;

/// The maps of a text.
pub(super) struct Choice {
    parts: Vec<Part>,
    forms: Vec<Box<dyn Form>>,
    marks: Marks,
    notes: Option<Notes>,
}

impl Choice {
    pub fn new(parts: Vec<Part>, forms: Vec<Box<dyn Form>>, marks: Marks, notes: Option<Notes>) -> Choice {
        Choice { parts: with_nodes(parts), forms, marks, notes }
    }

    /// The map that was asked for, or the one with the most facts.
    pub fn map(mut self, path: &Path, wanted: Option<usize>) -> Found {
        let count = self.parts.len();
        let index = match wanted {
            None => self.best(),
            Some(number) if (1..=self.parts.len()).contains(&number) => number - 1,
            Some(_) => return Found::TooFew(count),
        };
        let part = self.parts.swap_remove(index);
        let mut warnings: Vec<Warning> = self.marks.warning(&part).into_iter().collect();
        if count > 1 && wanted.is_none() {
            let (parts, shown) = (count as u64, index as u64 + 1);
            warnings.push(Warning::Parts { parts, shown, line: part.line });
        }
        warnings.extend(part.warnings());
        let form = match part.kind {
            Kind::Kernel => None,
            Kind::Form(index) => self.forms.get(index),
        };
        let lack = form.and_then(|form| form.lack());
        warnings.extend(lack.map(|lack| Warning::Incomplete { lack: lack.into() }));
        let mut map = map(path, part, form.map(|form| form.id()), warnings);
        if let Some(notes) = self.notes {
            add_notes(&mut map, &notes);
        }
        Found::Map(Box::new(map))
    }

    /// The first map of those with the most facts: counts come first. A lone row in a log is no match for a map.
    fn best(&self) -> usize {
        let detail = |part: &Part| (!part.regions.is_empty()).then(|| part.detail());
        let best = self.parts.iter().map(detail).max().flatten();
        let candidates = || self.parts.iter().enumerate().filter(|(_, part)| detail(part) == best);
        let largest = candidates().map(|(_, part)| part.regions.len()).max().unwrap_or(0);
        let is_substantial = |(_, part): &(usize, &Part)| part.regions.len() >= largest.div_ceil(4);
        candidates().find(is_substantial).map_or(0, |(index, _)| index)
    }
}

/// The parts, with the memory nodes of `numa_maps` in the regions of the map of the same process. Its own rows have no ends.
fn with_nodes(parts: Vec<Part>) -> Vec<Part> {
    let (nodes, mut maps): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.has_nodes());
    let mut alone = Vec::new();
    for part in nodes {
        let starts = |map: &Part| -> usize {
            let numa = map.regions.iter().filter(|region| part.node_of(region).is_some());
            numa.count()
        };
        // While a process runs, a few of its regions change.
        let map = maps.iter_mut().max_by_key(|map| starts(map));
        match map.filter(|map| starts(map) * 2 > part.regions.len()) {
            Some(map) => map.add_nodes(&part),
            None => alone.push(part),
        }
    }
    maps.extend(alone);
    maps.sort_by_key(|part| part.line);
    maps
}

/// Adds what a crash log says besides its map.
fn add_notes(map: &mut MemoryMap, notes: &Notes) {
    if let Some(process) = notes.process() {
        map.process = process;
    }
    map.findings.claims = notes.claims(&map.regions);
    map.findings.runtimes.extend(notes.runtime());
}

impl Marks {
    /// What was taken off the lines of a part.
    fn warning(&self, part: &Part) -> Option<Warning> {
        let mut what: Vec<String> = Vec::new();
        what.extend((!part.prefix.is_empty()).then(|| part.prefix.to_string()));
        what.extend(self.encoding.map(str::to_owned));
        for (was_found, name) in [
            (self.byte_order_mark, "a byte order mark"),
            (self.carriage_returns, "carriage returns"),
            (self.colors, "colors"),
            (self.no_break_spaces, "no-break spaces"),
            (part.has_blanks_at_ends, "blanks at the ends of paths"),
        ] {
            what.extend(was_found.then(|| name.to_owned()));
        }
        (!what.is_empty()).then(|| Warning::Cleaned { what: what.join(", ") })
    }
}

/// The map of a part, which is in the kernel's form or in that with the identifier `form`.
fn map(path: &Path, part: Part, form: Option<&'static str>, mut warnings: Vec<Warning>) -> MemoryMap {
    let is_only_totals = part.regions.is_empty();
    let detail = if is_only_totals { Detail::Counts } else { part.detail() };
    let format = match form {
        Some(form) => CaptureFormat::Listing(form),
        None if is_only_totals => CaptureFormat::SmapsRollup,
        None if detail == Detail::Layout => CaptureFormat::Maps,
        None => CaptureFormat::Smaps,
    };
    let page_size = page_size(&part.regions);
    let are_hidden = part.regions.len() > 1 && part.regions.iter().all(|region| region.range.end() == 0);
    warnings.extend(are_hidden.then_some(Warning::HiddenAddresses));
    let mut process = part.process.unwrap_or_default();
    if let Some(totals) = part.totals {
        process.totals.resident = totals.get(SmapsField::Rss);
        process.totals.anonymous = totals.get(SmapsField::Anonymous);
        process.totals.swapped = totals.get(SmapsField::Swap);
    }
    let (regions, disorder) = in_order(part.regions);
    warnings.extend(disorder);
    let source = SourceInfo {
        page_size,
        ..SourceInfo::new(
            Origin::Capture { path: path.to_owned(), format },
            "linux",
            Capabilities::of_capture(detail),
        )
    };
    let printed = part.totals.filter(|_| is_only_totals).map(|totals| printed(&totals));
    MemoryMap { printed, warnings, ..MemoryMap::new(source, process, detail, regions) }
}

/// The totals of `smaps_rollup`, as the summary of a report that lists no regions.
fn printed(totals: &SmapsCounters) -> PrintedSummary {
    let line = |(field, size): (SmapsField, Bytes)| {
        format!("{:<16} {:>10} kB\n", format!("{}:", field.key()), size.0 >> 10)
    };
    PrintedSummary { text: totals.iter().map(line).collect::<String>().into(), ..PrintedSummary::default() }
}

/// The page size of the machine where a capture was taken: the smallest that a region reports, unless all regions have huge
/// pages. If none reports one, the largest usual one that divides every address.
fn page_size(regions: &[Region]) -> Option<PageSize> {
    let reported = regions
        .iter()
        .filter_map(|region| region.native.linux()?.smaps.get(SmapsField::KernelPageSize))
        .min();
    if let Some(smallest) = reported {
        return PageSize::new(smallest.0).filter(|_| smallest <= LARGEST_BASE_PAGE);
    }
    let alignment = regions
        .iter()
        .filter(|region| !region.range.is_empty())
        .map(|region| region.range.start() | region.range.end())
        .fold(0, |bits, address| bits | address)
        .trailing_zeros();
    (12..u64::BITS)
        .contains(&alignment)
        .then(|| PageSize::new((1 << alignment).min(LARGEST_BASE_PAGE.0)))
        .flatten()
}
