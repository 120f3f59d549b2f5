//! vmmap in its report format 2.4, from mmview's model, for processes of Linux and macOS and for saved reports.

pub mod arguments;
mod row;
mod table;

use std::cmp::Reverse;
use std::io::{self, Write};
use std::time::SystemTime;

use mmview_platform::{Bytes, Detail, PageSize, PrintedSummary, ProcessInfo, RegionSource, SourceInfo};

use self::arguments::{Arguments, Request};
use self::row::{RowLayout, RowStyle, Sizes, detail_of};
use self::table::Tables;
use super::{Call, OpenTarget, Tool, report, report_failure, report_warnings};
use crate::classify::{Classify, Context};
use crate::error::Context as _;
use crate::kind::RegionKind;
use crate::region::Classified;
use crate::render::words::local;
use crate::sample::retry;
use crate::summary::{self, Summary};
use crate::text::{printable, printable_line};
use crate::units::Units;
use crate::view::address::Place;

/// The status after any failure.
const FAILED: u8 = 255;

/// The width of the detail if the output is no terminal.
const DETAIL_WIDTH: usize = 95;

/// The least width of the detail; a shorter one shows too little of a path.
const LEAST_DETAIL: usize = 20;

const USAGE: &str = "\
Usage: vmmap [-s|-sortBySize] [-w|-wide] [-v|-verbose] [-pages] [-interleaved] [-submap] [-allSplitLibs] [-noCoalesce]
             [-summary] <pid | partial-process-name | file> [address]
  -s, -sortBySize   sort regions and malloc zones by size (dirty + swapped)
  -w, -wide         do not shorten the details of regions
  -v, -verbose      equivalent to -w -submap -allSplitLibs -noCoalesce
  -pages            print sizes as numbers of pages
  -interleaved      print all regions in order of address instead of the non-writable ones first
  -submap           for compatibility only: the listing always has the parts of submaps, never submaps themselves
  -allSplitLibs     also print the data of system libraries in the shared cache that the process doesn't use
  -noCoalesce       do not merge adjacent regions with the same attributes
  -summary          print the summary only
  address           print only the region that contains this address, and its neighbors
Options may start with one hyphen or two.
";

/// The differences from vmmap of macOS.
const DIFFERENCES: &str = "
This is mmview, which prints vmmap's report format 2.4. Deliberate differences:
 - The target may also be a saved report of vmmap, or a saved /proc/PID/maps or smaps. mmview can't read memory graphs.
 - COUNT is the number of regions. vmmap of macOS 10.12 and 10.13 prints one more in each row, and the correct total.
 - The table of malloc zones is that of a saved report. A live process has none: only code in the process can ask the
   allocator.
 - On Linux the region types are mmview's (see `mmview --help`), and columns that Linux doesn't report are 0K or `-`.
 - Submaps are never listed themselves.
 - Terminal control characters in names are escaped.
";

/// The usage, and the differences from vmmap.
pub fn help() -> String {
    format!("{USAGE}{DIFFERENCES}")
}

/// Imitates vmmap, and returns its exit status.
///
/// # Errors
///
/// Returns the errors of `out`.
pub fn run(call: &Call, open: &OpenTarget<'_>, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let arguments = match arguments::parse(&call.arguments) {
        Ok(Request::Help) => {
            out.write_all(help().as_bytes())?;
            return Ok(0);
        }
        Ok(Request::Show(arguments)) => arguments,
        Err(message) => {
            report(err, Tool::Vmmap, &message);
            // If standard error is closed, the status still reports the failure.
            let _ = err.write_all(USAGE.as_bytes());
            return Ok(FAILED);
        }
    };
    let read = open(&arguments.target).and_then(|mut source| {
        let report = Report::read(source.as_mut(), &arguments, call.terminal_width)?;
        report_warnings(Tool::Vmmap, source.as_mut(), err);
        Ok(report)
    });
    let title = || printable(arguments.target.as_encoded_bytes());
    match read.with_context(|| format!("cannot examine `{}`", title())) {
        Ok(report) => {
            report.write(out)?;
            Ok(0)
        }
        Err(error) => {
            report_failure(err, Tool::Vmmap, &error);
            Ok(FAILED)
        }
    }
}

/// A report to write.
struct Report<'a> {
    arguments: &'a Arguments,
    source: SourceInfo,
    process: ProcessInfo,
    taken: Option<SystemTime>,
    regions: Vec<Classified>,
    summary: Summary,
    printed: Option<PrintedSummary>,
    style: RowStyle,
}

impl<'a> Report<'a> {
    fn read(
        source: &mut dyn RegionSource,
        arguments: &'a Arguments,
        terminal: Option<usize>,
    ) -> crate::Result<Report<'a>> {
        let (process, regions) = retry::unless_replaced(source, |source| {
            let process = source.process()?;
            let context = Context::new(&process, source.info());
            let regions = source.regions(Detail::Counts)?.collect::<Result<Vec<_>, _>>()?;
            let context = context.with_map(&regions);
            let regions = Classify::new(regions.into_iter().map(Ok), context);
            Ok((process, regions.collect::<Result<Vec<_>, _>>()?))
        })?;
        let mut summary = summary::Builder::default();
        regions.iter().for_each(|region| summary.add(region));
        let printed = source.printed().cloned();
        for row in printed.iter().flat_map(|printed| &printed.off_map) {
            summary.add_off_map(row);
        }
        let info = source.info().clone();
        let layout = RowLayout::of(&process);
        // A saved report keeps its details.
        let detail_width = (!arguments.wide && printed.is_none()).then(|| {
            terminal.map_or(DETAIL_WIDTH, |columns| {
                columns.saturating_sub(layout.detail_column()).max(LEAST_DETAIL)
            })
        });
        let page_size = info.page_size.filter(|_| arguments.pages);
        let sizes = page_size.map_or(Sizes::Bytes, Sizes::Pages);
        Ok(Report {
            arguments,
            summary: summary.finish(&process),
            taken: info.time(),
            source: info,
            process,
            regions,
            printed,
            style: RowStyle { layout, sizes, detail_width },
        })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_header(out)?;
        if let Some(printed) = self.printed.as_ref().filter(|_| self.regions.is_empty()) {
            for line in printed.text.lines() {
                writeln!(out, "{}", printable_line(line.trim_end()))?;
            }
            return Ok(());
        }
        if let Some(address) = self.arguments.address {
            self.write_block(out)?;
            return self.write_neighborhood(address, out);
        }
        if !self.arguments.summary {
            self.write_block(out)?;
            self.write_listing(out)?;
            out.write_all(LEGEND.as_bytes())?;
            writeln!(out, "==== Summary for process {}", self.pid())?;
        }
        Tables {
            summary: &self.summary,
            printed: self.printed.as_ref(),
            sizes: self.style.sizes,
            sort_by_size: self.arguments.sort_by_size,
        }
        .write(out)
    }

    fn pid(&self) -> String {
        self.process.pid.map_or_else(|| "???".to_owned(), |pid| pid.to_string())
    }

    fn name(&self) -> String {
        self.process.name.as_deref().map_or_else(|| "???".to_owned(), printable)
    }

    fn write_header(&self, out: &mut dyn Write) -> io::Result<()> {
        let fields = if self.process.printed_header.is_empty() {
            self.own_header()
        } else {
            let printed = self.process.printed_header.iter();
            printed.map(|(label, value)| (label.to_string(), value.to_string())).collect()
        };
        for (label, value) in fields.iter().filter(|(label, _)| !is_of_block(label)) {
            if matches!(label.as_str(), "Date/Time" | "Physical footprint") {
                writeln!(out)?;
            }
            let is_of_costs = label.starts_with("Physical footprint") || label == "Idle exit";
            let column = if is_of_costs { 28 } else { 17 };
            let mut label = format!("{}:", printable_line(label));
            if label.len() >= column {
                label.push_str("  ");
            }
            writeln!(out, "{label:<column$}{}", printable_line(value))?;
        }
        writeln!(out, "----\n")
    }

    /// The header of a process that is not from a saved report.
    fn own_header(&self) -> Vec<(String, String)> {
        let process = &self.process;
        let parent = process.parent.as_ref().map(|parent| {
            let name = parent.name.as_deref().map_or_else(|| "???".to_owned(), printable);
            format!("{name} [{}]", parent.pid)
        });
        let platform = process.platform.as_deref().unwrap_or(match self.source.os {
            "linux" => "Linux",
            "macos" => "macOS",
            other => other,
        });
        let path = process.path.as_deref().map(printable).or_else(|| match &self.source.origin {
            mmview_platform::Origin::Capture { path, .. } => {
                Some(printable(path.as_os_str().as_encoded_bytes()))
            }
            _ => None,
        });
        let footprint = self.summary.footprint.filter(|_| !self.regions.is_empty());
        let tool = std::env::current_exe().ok();
        let size = |size: Bytes| Units::Auto.format(size);
        let field = |label: &str, value: Option<String>| Some((label.to_owned(), value?));
        [
            field("Process", Some(format!("{} [{}]", self.name(), self.pid()))),
            field("Path", path),
            field("Load Address", process.load_address.map(|address| format!("{address:#x}"))),
            field("Identifier", Some(self.name())),
            field("Version", Some("???".to_owned())),
            field("Code Type", process.code_type.as_deref().map(str::to_owned)),
            field("Platform", Some(platform.to_owned())),
            field("Parent Process", parent),
            field("Date/Time", self.taken.map(local)),
            field("Launch Time", process.started.map(local)),
            field("OS Version", process.system.as_deref().map(str::to_owned)),
            field("Report Version", Some("7".to_owned())),
            field("Analysis Tool", tool.map(|tool| printable(tool.as_os_str().as_encoded_bytes()))),
            field("Physical footprint", footprint.map(size)),
            field("Physical footprint (peak)", process.totals.footprint_peak.map(size)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn write_block(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Virtual Memory Map of process {} ({})", self.pid(), self.name())?;
        let printed = |name: &str| {
            let mut fields = self.process.printed_header.iter();
            fields.find(|(label, _)| &**label == name).map(|(_, value)| printable_line(value))
        };
        let is_64_bit = self.regions.last().is_none_or(|last| last.range().end() > u32::MAX.into());
        let own = || format!("2.4  -- {}-bit process", if is_64_bit { 64 } else { 32 });
        writeln!(out, "Output report format:  {}", printed("Output report format").unwrap_or_else(own))?;
        if let Some(size) = self.source.page_size.map(PageSize::bytes) {
            writeln!(out, "VM page size:  {} bytes", size.0)?;
        }
        writeln!(out)
    }

    /// The regions to list, in order: without unused libraries, and with adjacent regions of the same attributes merged.
    fn listed(&self) -> Vec<Classified> {
        let mut listed: Vec<Classified> = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            if !self.arguments.all_split_libs && is_unused(region) {
                continue;
            }
            match listed.last_mut().filter(|last| !self.arguments.no_coalesce && are_alike(last, region)) {
                Some(last) => coalesce(last, region),
                None => listed.push(region.clone()),
            }
        }
        if self.arguments.sort_by_size {
            let counts = |region: &Classified| region.counts();
            let cost = |region: &Classified| {
                counts(region).dirty.unwrap_or_default() + counts(region).swapped.unwrap_or_default()
            };
            listed.sort_by_key(|region| Reverse(cost(region)));
        }
        listed
    }

    fn write_listing(&self, out: &mut dyn Write) -> io::Result<()> {
        let pid = self.pid();
        let listed = self.listed();
        let off_map = self.printed.iter().flat_map(|printed| &printed.off_map);
        if self.arguments.interleaved {
            writeln!(
                out,
                "==== regions for process {pid}  (non-writable and writable regions are interleaved)"
            )?;
            self.write_section(listed.iter(), out)?;
        } else {
            let (writable, others): (Vec<_>, Vec<_>) =
                listed.iter().partition(|region| region.protection().is_writable());
            writeln!(out, "==== Non-writable regions for process {pid}")?;
            self.write_section(others.into_iter(), out)?;
            writeln!(out, "\n==== Writable regions for process {pid}")?;
            self.write_section(writable.into_iter(), out)?;
        }
        for row in off_map {
            self.style.write_off_map(row, out)?;
        }
        writeln!(out)
    }

    fn write_section<'r>(
        &self,
        regions: impl Iterator<Item = &'r Classified>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(out, "{}", self.style.layout.head())?;
        for region in regions {
            self.style.write(region, out)?;
        }
        Ok(())
    }

    /// Writes the region at an address and its neighbors, in the form of a crash report's `VM Region Info`.
    fn write_neighborhood(&self, address: u64, out: &mut dyn Write) -> io::Result<()> {
        let place = Place::find(address, self.regions.iter().cloned().map(Ok));
        let place = place.expect("the regions were read before");
        let range = |region: &Option<Classified>| region.as_ref().map(|region| region.range());
        match range(&place.hit) {
            Some(hit) => writeln!(
                out,
                "{address:#x} is in {:#x}-{:#x};  bytes after start: {}  bytes before end: {}",
                hit.start(),
                hit.end(),
                address - hit.start(),
                hit.end() - address - 1,
            )?,
            None => {
                write!(out, "{address:#x} is not in any region.")?;
                if let Some(before) = range(&place.before) {
                    write!(out, "  Bytes after previous region: {}", address - before.end() + 1)?;
                }
                if let Some(after) = range(&place.after) {
                    write!(out, "  Bytes before following region: {}", after.start() - address)?;
                }
                writeln!(out)?;
            }
        }
        writeln!(out, "      {}", self.style.layout.head())?;
        match &place.before {
            Some(before) => self.write_marked("      ", before, out)?,
            None => writeln!(out, "      UNUSED SPACE AT START")?,
        }
        match &place.hit {
            Some(hit) => self.write_marked("--->  ", hit, out)?,
            None => match range(&place.before).zip(range(&place.after)) {
                Some((before, after)) if let Some(gap) = before.gap_before(after) => {
                    writeln!(out, "--->  GAP OF {:#x} BYTES", gap.size().0)?;
                }
                _ => writeln!(out, "--->  ")?,
            },
        }
        match &place.after {
            Some(after) => self.write_marked("      ", after, out),
            None => writeln!(out, "      UNUSED SPACE AT END"),
        }
    }

    fn write_marked(&self, mark: &str, region: &Classified, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(mark.as_bytes())?;
        self.style.write(region, out)
    }
}

/// Returns whether a field belongs to the block below the header.
fn is_of_block(label: &str) -> bool {
    matches!(label, "Virtual Memory Map of process" | "Output report format" | "VM page size")
}

/// Returns whether a region is data of the shared cache that the process doesn't use, on pages that were never written.
fn is_unused(classified: &Classified) -> bool {
    let Some(native) = classified.native().macos() else { return false };
    let counts = &classified.counts();
    classified.kind() == RegionKind::UnusedLibrary
        && native.printed_type.is_none()
        && [counts.dirty, counts.swapped].iter().all(|size| size.is_none_or(|size| size == Bytes::ZERO))
}

/// Returns whether two regions can be merged: they are adjacent, have the same attributes and are parts of one object. Linux
/// merges such regions itself, and a saved report has merged them.
fn are_alike(one: &Classified, other: &Classified) -> bool {
    let (Some(native), Some(others)) = (one.native().macos(), other.native().macos()) else {
        return false;
    };
    native.object_id != 0
        && native.object_id == others.object_id
        && native.purge == others.purge
        && one.range().end() == other.range().start()
        && one.protection() == other.protection()
        && one.max_protection() == other.max_protection()
        && one.share() == other.share()
        && one.title() == other.title()
        && detail_of(one) == detail_of(other)
}

/// Merges `next` into the region before it.
fn coalesce(one: &mut Classified, next: &Classified) {
    let add =
        |one: &mut Option<Bytes>, next: Option<Bytes>| *one = one.zip(next).map(|(one, next)| one + next);
    let one = one.facts_mut();
    let (start, end) = (one.range.start(), next.range().end());
    if let Some(range) = mmview_platform::AddrRange::new(start, end) {
        one.range = range;
    }
    add(&mut one.counts.resident, next.counts().resident);
    add(&mut one.counts.dirty, next.counts().dirty);
    add(&mut one.counts.swapped, next.counts().swapped);
}

/// vmmap's legend, with its trailing blanks.
const LEGEND: &str = "==== Legend
SM=sharing mode:  \n\tCOW=copy_on_write PRV=private NUL=empty ALI=aliased \n\tSHM=shared ZER=zero_filled S/A=shared_alias
PURGE=purgeable mode:  \n\tV=volatile N=nonvolatile E=empty   otherwise is unpurgeable

";
