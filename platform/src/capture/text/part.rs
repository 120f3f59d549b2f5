//! A map in a text.

use super::prefix::Prefix;
use super::{Row, label};
use crate::detail::Detail;
use crate::linux::maps::MapsLine;
use crate::linux::names;
use crate::linux::parse::assembler::{Assembler, ReadRegion};
use crate::model::{AddrRange, Device, Name, Native, Numa, PageCounts, ProcessInfo, Region, SmapsCounters};
use crate::warning::{Skipped, Warning};

/// What the rows of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The lines of `maps` and `smaps`.
    Kernel,
    /// Rows of the form with this index.
    Form(usize),
}

/// A map in a text.
pub(super) struct Part {
    pub kind: Kind,
    pub prefix: Prefix,
    /// The number of the line with its first row.
    pub line: u64,
    pub regions: Vec<Region>,
    /// The process, if the text says whose map it is.
    pub process: Option<ProcessInfo>,
    /// The kernel's own totals (`smaps_rollup`).
    pub totals: Option<SmapsCounters>,
    assembler: Assembler,
    /// The line of totals whose facts are being read.
    rollup: Option<Assembler>,
    /// The addresses of the last row.
    last: Option<AddrRange>,
    /// Lines between its rows that are not understood, and those after its last row so far.
    skipped: Skipped,
    after: Skipped,
    /// Whether the last row is the last line that was read, so that a name may follow.
    is_after_row: bool,
    /// Whether the lines since the last row are all facts about it.
    is_unbroken: bool,
    /// Whether it is a map without counts, so that no facts follow its rows.
    is_plain: bool,
    is_cut_off: bool,
    /// Whether the paste has put blanks behind its lines.
    pub has_blanks_at_ends: bool,
    /// Whether the last line of the text has no newline.
    pub is_line_unfinished: bool,
}

impl Part {
    pub fn new(kind: Kind, prefix: Prefix, line: u64) -> Part {
        Part {
            kind,
            prefix,
            line,
            regions: Vec::new(),
            process: None,
            totals: None,
            assembler: Assembler::default(),
            rollup: None,
            last: None,
            skipped: Skipped::default(),
            after: Skipped::default(),
            is_after_row: false,
            is_unbroken: false,
            is_plain: false,
            is_cut_off: false,
            has_blanks_at_ends: false,
            is_line_unfinished: false,
        }
    }

    /// Whether a row belongs to this map. Addresses only ascend, but where the kernel lists a region again that has just grown,
    /// and where it hides them.
    pub fn continues_with(&self, row: &Row<'_>) -> bool {
        let range = match row {
            Row::Kernel(line) if line.name == b"[rollup]" => {
                return self.totals.is_none() && self.rollup.is_none();
            }
            Row::Kernel(line) => line.range,
            Row::Form(_, region) => region.range,
        };
        let Some(last) = self.last else { return true };
        let is_hidden = range.end() == 0 && last.end() == 0;
        is_hidden || range.start() > last.start() || (range != last && range.overlaps(last))
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row<'_>) {
        let after = std::mem::take(&mut self.after);
        self.skipped.append(after);
        (self.is_after_row, self.is_unbroken) = (true, true);
        self.end_rollup();
        match row {
            Row::Kernel(line) if line.name == b"[rollup]" => {
                self.rollup.get_or_insert_default().start(line);
            }
            Row::Kernel(line) => {
                self.last = Some(line.range);
                let finished = self.assembler.start(line);
                self.take(finished);
            }
            Row::Form(_, region) => {
                self.last = Some(region.range);
                self.regions.push(*region);
            }
        }
    }

    fn take(&mut self, finished: Option<ReadRegion>) {
        let Some(ReadRegion { region, .. }) = finished else { return };
        self.is_plain |= region.native.linux().is_some_and(|native| native.smaps.is_empty());
        self.regions.push(region);
    }

    fn end_rollup(&mut self) {
        let Some(ReadRegion { region, .. }) = self.rollup.take().and_then(|mut rollup| rollup.finish())
        else {
            return;
        };
        self.totals = region.native.linux().map(|native| native.smaps);
    }

    /// Reads a line without its prefix that is no row. Returns whether it belongs to this map.
    pub fn fact(&mut self, number: u64, line: &[u8]) -> bool {
        if self.kind != Kind::Kernel {
            return false;
        }
        if self.wrapped_name(line) {
            return true;
        }
        if is_like_row(line) {
            let after = std::mem::take(&mut self.after);
            self.skipped.append(after);
            self.skipped.add(number, line);
            let finished = self.assembler.skip();
            self.take(finished);
            return true;
        }
        match &mut self.rollup {
            Some(rollup) => rollup.field(line, self.is_unbroken),
            None => !self.is_plain && self.assembler.field(line, self.is_unbroken),
        }
    }

    /// Gives the last region its name, if the line is nothing but the name that a terminal or a mail program has wrapped.
    pub fn wrapped_name(&mut self, line: &[u8]) -> bool {
        if !std::mem::take(&mut self.is_after_row) {
            return false;
        }
        let Some(region) = self.assembler.region().filter(|region| region.name.is_none()) else {
            return false;
        };
        let native = region.native.linux();
        let (inode, device) = native.map_or((0, Device::default()), |native| (native.inode, native.device));
        let text = line.trim_ascii();
        let can_be_name = if inode == 0 {
            text.starts_with(b"[") && text.ends_with(b"]")
        } else {
            text.starts_with(b"/") || text.starts_with(b"anon_inode:") || text.starts_with(b"socket:[")
        };
        if !can_be_name {
            return false;
        }
        let parsed = names::parse(label::tidy(text, inode != 0), device);
        region.name = parsed.map(|parsed| parsed.name);
        true
    }

    /// Notes a blank line: what comes after it need not be a fact about the last row.
    pub fn pause(&mut self) {
        self.is_unbroken = false;
    }

    /// Notes a line that does not belong to it.
    pub fn skip(&mut self, number: u64, line: &[u8]) {
        self.is_unbroken = false;
        if !is_fence(line) {
            self.after.add(number, line);
        }
    }

    /// Ends it: nothing follows.
    pub fn end(&mut self) {
        self.end_rollup();
        self.is_cut_off |= self.assembler.is_cut_off();
        let finished = self.assembler.finish();
        self.take(finished);
        self.trim_paths();
    }

    /// Takes blanks off the ends of paths, if all of them have some. A path may really end in blanks, but not each.
    fn trim_paths(&mut self) {
        let is_path = |name: &&Name| name.is_file() && !name.is_deleted();
        let ends_in_blank = |name: &Name| name.bytes().last().is_some_and(u8::is_ascii_whitespace);
        let names = || self.regions.iter().filter_map(|region| region.name.as_ref()).filter(is_path);
        let first = names().next();
        if !names().all(ends_in_blank) || names().all(|name| Some(name) == first) {
            return;
        }
        self.has_blanks_at_ends = true;
        for region in &mut self.regions {
            let name = region.name.as_ref().filter(is_path);
            if let Some(name) = name.map(|name| Name::file(name.bytes().trim_ascii_end())) {
                region.name = Some(name);
            }
        }
    }

    /// Takes the regions of a part that is out of order.
    pub fn append(&mut self, other: Part) {
        self.regions.extend(other.regions);
        self.skipped.append(other.skipped);
        self.totals = self.totals.or(other.totals);
        self.is_cut_off |= other.is_cut_off;
        self.is_line_unfinished |= other.is_line_unfinished;
    }

    /// Whether it is of `numa_maps`, whose rows have starts only.
    pub fn has_nodes(&self) -> bool {
        let numa = |region: &Region| region.native.linux().is_some_and(|native| native.numa.is_some());
        self.regions.first().is_some_and(numa)
    }

    /// What this part of `numa_maps` says about a region.
    pub fn node_of(&self, region: &Region) -> Option<&Numa> {
        let place = self.regions.binary_search_by_key(&region.range.start(), |row| row.range.start()).ok()?;
        self.regions[place].native.linux()?.numa.as_deref()
    }

    /// Adds what a part of `numa_maps` says.
    pub fn add_nodes(&mut self, nodes: &Part) {
        for region in &mut self.regions {
            let numa = nodes.node_of(region).cloned().map(Box::new);
            if let Native::Linux(native) = &mut region.native {
                native.numa = numa;
            }
        }
    }

    /// The level of detail of its regions.
    pub fn detail(&self) -> Detail {
        let has = |count: fn(&PageCounts) -> bool| self.regions.iter().any(|region| count(&region.counts));
        let is_smaps = self.kind == Kind::Kernel && has(|counts| *counts != PageCounts::UNMEASURED);
        if is_smaps || has(|counts| counts.dirty.is_some() || counts.proportional.is_some()) {
            Detail::Counts
        } else if has(|counts| *counts != PageCounts::UNMEASURED) {
            Detail::Resident
        } else {
            Detail::Layout
        }
    }

    /// The doubts about it.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self.skipped.warning().into_iter().collect();
        if self.is_cut_off {
            warnings
                .push(Warning::Truncated { why: "the last region has fewer lines than the others".into() });
        } else if self.is_line_unfinished && self.after.warning().is_none() {
            warnings.push(Warning::Truncated { why: "the last line has no newline".into() });
        }
        warnings
    }
}

/// Whether a line is a damaged row: it starts with two long numbers.
fn is_like_row(line: &[u8]) -> bool {
    let is_long = line.len() >= 4 && line[..4].iter().all(u8::is_ascii_hexdigit);
    is_long && MapsLine::is_start(line)
}

/// Whether a line is the start or the end of a block in Markdown.
fn is_fence(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"```") || line.starts_with(b"~~~")
}
