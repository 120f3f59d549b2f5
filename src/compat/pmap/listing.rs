//! The plain layout, `-x` and `-d`: one line per region, written as the region is read, and totals.

use std::io::{self, Write};

use mmview_platform::{Bytes, Device, Region};

use super::arguments::Layout;
use super::line::{Line, kib};
use super::names::Naming;

/// A listing under construction.
pub struct Listing<'a> {
    layout: &'a Layout,
    quiet: bool,
    naming: Naming,
    out: &'a mut dyn Write,
    line: Line,
    sums: Sums,
}

/// Sums over the lines written so far.
#[derive(Debug, Default)]
struct Sums {
    size: u64,
    resident: Bytes,
    dirty: Bytes,
    private_writable: u64,
    shared: u64,
}

impl<'a> Listing<'a> {
    /// Writes the header of a listing.
    ///
    /// # Errors
    ///
    /// Returns the errors of `out`.
    pub fn begin(
        layout: &'a Layout,
        quiet: bool,
        naming: Naming,
        out: &'a mut dyn Write,
    ) -> io::Result<Listing<'a>> {
        if !quiet {
            match layout {
                Layout::Extended => writeln!(out, "Address           Kbytes     RSS   Dirty Mode  Mapping")?,
                Layout::Device => {
                    writeln!(out, "Address           Kbytes Mode  Offset           Device    Mapping")?;
                }
                _ => {}
            }
        }
        Ok(Listing { layout, quiet, naming, out, line: Line::default(), sums: Sums::default() })
    }

    /// Writes the line of a region.
    ///
    /// # Errors
    ///
    /// Returns the errors of the output.
    pub fn region(&mut self, region: &Region) -> io::Result<()> {
        self.sums.add(region);
        let size = kib(region.size());
        self.line.clear();
        let line = self.line.hexadecimal(region.range.start(), 16);
        match self.layout {
            Layout::Extended => {
                let counts = &region.counts;
                line.text(b" ").number(size, 7).text(b" ").kib(counts.resident, 7);
                line.text(b" ").kib(counts.dirty, 7).text(b" ").mode(region);
            }
            Layout::Device => {
                let Device { major, minor } = region.native.linux().map(|it| it.device).unwrap_or_default();
                line.text(b" ").number(size, 7).text(b" ").mode(region);
                line.text(b" ").hexadecimal(region.offset, 16);
                line.text(b" ").hexadecimal(major.into(), 3).text(b":").hexadecimal(minor.into(), 5);
            }
            _ => {
                line.text(b" ").number(size, 6).text(b"K ").mode(region);
            }
        }
        line.text(b" ").text(&self.naming.mapping(region));
        self.out.write_all(self.line.finish())
    }

    /// Writes the totals.
    ///
    /// # Errors
    ///
    /// Returns the errors of the output.
    pub fn end(self) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let Sums { size, resident, dirty, private_writable, shared } = self.sums;
        match self.layout {
            Layout::Extended => {
                writeln!(self.out, "---------------- ------- ------- ------- ")?;
                writeln!(self.out, "total kB         {size:>7} {:>7} {:>7}", kib(resident), kib(dirty))
            }
            Layout::Device => writeln!(
                self.out,
                "mapped: {size}K    writeable/private: {private_writable}K    shared: {shared}K"
            ),
            _ => writeln!(self.out, " total {size:>16}K"),
        }
    }
}

impl Sums {
    fn add(&mut self, region: &Region) {
        let size = kib(region.size());
        self.size = self.size.saturating_add(size);
        self.resident += region.counts.resident.unwrap_or_default();
        self.dirty += region.counts.dirty.unwrap_or_default();
        if region.share.is_shared() {
            self.shared = self.shared.saturating_add(size);
        } else if region.protection.is_writable() {
            self.private_writable = self.private_writable.saturating_add(size);
        }
    }
}
