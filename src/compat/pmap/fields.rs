//! `-X`, `-XX` and configured columns: what smaps says, each column as wide as its widest cell.
//!
//! So nothing can be written before everything was read. The regions are kept meanwhile, rather than have the kernel walk the
//! page tables a second time as pmap does.

use std::io::{self, Write};

use mmview_platform::{Device, LinuxRegion, Region, SmapsField};

use super::line::{Line, decimal_digits, hexadecimal_digits, kib};
use super::names::Naming;
use super::rc::Config;

/// Which columns to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that hold something of interest.
    Usual,
    /// All.
    Everything,
    /// Those of a configuration.
    Configured(Config),
}

/// What `-X` leaves out.
const UNUSUAL: &[&str] = &[
    "KernelPageSize",
    "MMUPageSize",
    "Shared_Clean",
    "Shared_Dirty",
    "Private_Clean",
    "Private_Dirty",
    "AnonHugePages",
    FLAGS,
];

const FLAGS: &str = "VmFlags";

impl Selection {
    fn shows(&self, name: &str) -> bool {
        match self {
            Selection::Usual => !UNUSUAL.contains(&name),
            Selection::Everything => true,
            Selection::Configured(config) => config.fields.contains(name),
        }
    }
}

/// A column between the address and the name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Permissions,
    Offset,
    Device,
    Inode,
    Number(Field),
    Flags,
}

/// A number, of which there is a total.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Counter(SmapsField),
    /// The size by the addresses, where there is no smaps.
    Size,
    Resident,
    Dirty,
    Swapped,
    HugeEligible,
    ProtectionKey,
    /// One that this version doesn't know.
    Other(Box<str>),
}

impl Field {
    fn title(&self) -> &str {
        match self {
            Field::Counter(field) => field.key(),
            Field::Size => "Size",
            Field::Resident => "Rss",
            Field::Dirty => "Dirty",
            Field::Swapped => "Swap",
            Field::HugeEligible => "THPeligible",
            Field::ProtectionKey => "ProtectionKey",
            Field::Other(key) => key,
        }
    }

    /// Counters are in KiB, the others as they are.
    fn value(&self, region: &Region) -> Option<u64> {
        let linux = || region.native.linux();
        match self {
            Field::Counter(field) => linux()?.smaps.get(*field).map(kib),
            Field::Size => Some(kib(region.size())),
            Field::Resident => region.counts.resident.map(kib),
            Field::Dirty => region.counts.dirty.map(kib),
            Field::Swapped => region.counts.swapped.map(kib),
            Field::HugeEligible => linux()?.thp_eligible.map(u64::from),
            Field::ProtectionKey => linux()?.protection_key.map(u64::from),
            Field::Other(key) => other(linux()?, key),
        }
    }
}

fn other(region: &LinuxRegion, key: &str) -> Option<u64> {
    let field = region.unknown.iter().find(|field| &*field.key == key)?;
    field.value.split(' ').next()?.parse().ok()
}

impl Column {
    fn title(&self) -> &str {
        match self {
            Column::Permissions => "Perm",
            Column::Offset => "Offset",
            Column::Device => "Device",
            Column::Inode => "Inode",
            Column::Number(field) => field.title(),
            Column::Flags => FLAGS,
        }
    }

    /// How many columns of text the cell of a region takes.
    fn cell_width(&self, region: &Region) -> usize {
        let linux = region.native.linux();
        match self {
            Column::Permissions => 4,
            Column::Offset => hexadecimal_digits(region.offset).max(8),
            Column::Device => {
                let Device { major, minor } = linux.map(|it| it.device).unwrap_or_default();
                hexadecimal_digits(major.into()).max(2) + 1 + hexadecimal_digits(minor.into()).max(2)
            }
            Column::Inode => decimal_digits(linux.map_or(0, |it| it.inode)),
            Column::Number(field) => field.value(region).map_or(1, decimal_digits),
            Column::Flags => linux.and_then(|it| it.vm_flags).map_or(0, |flags| {
                (flags.iter().count() * 3).saturating_sub(1)
                    + unknown_flags(region).map_or(0, |it| it.len() + 1)
            }),
        }
    }

    fn write(&self, region: &Region, width: usize, line: &mut Line) {
        let linux = region.native.linux();
        match self {
            Column::Permissions => {
                line.pad(4, width).permissions(region.protection, region.share.is_shared());
            }
            Column::Offset => {
                line.pad(self.cell_width(region), width).hexadecimal(region.offset, 8);
            }
            Column::Device => {
                let Device { major, minor } = linux.map(|it| it.device).unwrap_or_default();
                line.pad(self.cell_width(region), width);
                line.hexadecimal(major.into(), 2).text(b":").hexadecimal(minor.into(), 2);
            }
            Column::Inode => {
                line.number(linux.map_or(0, |it| it.inode), width);
            }
            Column::Number(field) => {
                match field.value(region) {
                    Some(value) => line.number(value, width),
                    None => line.right(b"-", width),
                };
            }
            Column::Flags => {
                line.pad(self.cell_width(region), width);
                let flags = linux.and_then(|it| it.vm_flags).unwrap_or_default();
                let letters = flags.iter().map(|(letters, _)| letters).chain(unknown_flags(region));
                for (index, letters) in letters.enumerate() {
                    line.repeat(b' ', usize::from(index > 0)).text(letters.as_bytes());
                }
            }
        }
    }
}

/// The letters of `VmFlags` that this version doesn't know.
fn unknown_flags(region: &Region) -> Option<&str> {
    let unknown = &region.native.linux()?.unknown;
    unknown.iter().find(|field| &*field.key == FLAGS).map(|field| &*field.value)
}

/// Which numbers the regions have, in the order in which Linux 6.18 prints them; unknown ones behind.
fn fields(regions: &[Region]) -> Vec<Field> {
    let linux = || regions.iter().filter_map(|region| region.native.linux());
    let has_smaps = linux().any(|region| !region.smaps.is_empty());
    if !has_smaps {
        let measured = [Field::Resident, Field::Dirty, Field::Swapped];
        let is_there = |field: &Field| regions.iter().any(|region| field.value(region).is_some());
        return [Field::Size].into_iter().chain(measured.into_iter().filter(is_there)).collect();
    }
    let mut fields: Vec<_> = SmapsField::ALL
        .iter()
        .filter(|&&field| linux().any(|region| region.smaps.get(field).is_some()))
        .map(|&field| Field::Counter(field))
        .collect();
    if linux().any(|region| region.thp_eligible.is_some()) {
        fields.push(Field::HugeEligible);
    }
    if linux().any(|region| region.protection_key.is_some()) {
        fields.push(Field::ProtectionKey);
    }
    for region in linux() {
        for unknown in region.unknown.iter().filter(|unknown| &*unknown.key != FLAGS) {
            let field = Field::Other(unknown.key.clone());
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
    }
    fields
}

/// Writes the regions; nothing where there are none, as of a thread of the kernel.
///
/// # Errors
///
/// Those of `out`.
pub fn write(
    regions: &[Region],
    selection: &Selection,
    quiet: bool,
    naming: Naming,
    out: &mut dyn Write,
) -> io::Result<()> {
    if regions.is_empty() {
        return Ok(());
    }
    let has_flags =
        regions.iter().any(|region| region.native.linux().is_some_and(|it| it.vm_flags.is_some()));
    let columns = [Column::Permissions, Column::Offset, Column::Device, Column::Inode]
        .into_iter()
        .chain(fields(regions).into_iter().map(Column::Number))
        .chain(has_flags.then_some(Column::Flags))
        .filter(|column| selection.shows(column.title()));
    let columns: Vec<(Column, usize, u64)> = columns.map(|column| measure(column, regions, quiet)).collect();
    let shows_mapping = selection.shows("Mapping");
    let mut line = Line::default();
    if !quiet {
        line.right(b"Address", ADDRESS_WIDTH).text(b" ");
        for (column, width, _) in &columns {
            line.right(column.title().as_bytes(), *width).text(b" ");
        }
        line.text(if shows_mapping { b"Mapping" } else { b"" });
        out.write_all(line.finish())?;
    }
    for region in regions {
        line.clear();
        let start = region.range.start();
        line.pad(hexadecimal_digits(start).max(8), ADDRESS_WIDTH).hexadecimal(start, 8);
        for (column, width, _) in &columns {
            line.text(b" ");
            column.write(region, *width, &mut line);
        }
        if shows_mapping {
            line.text(b" ").text(&naming.text(region));
        }
        out.write_all(line.finish())?;
    }
    if quiet { Ok(()) } else { write_totals(&columns, line, out) }
}

/// The address is printed with at least eight digits, at the right of this many columns.
const ADDRESS_WIDTH: usize = 16;

/// The width and the total of a column.
fn measure(column: Column, regions: &[Region], quiet: bool) -> (Column, usize, u64) {
    let cells = regions.iter().map(|region| column.cell_width(region)).max().unwrap_or(0);
    let Column::Number(field) = &column else {
        let width = if quiet { cells } else { cells.max(column.title().len()) };
        return (column, width, 0);
    };
    let values = regions.iter().filter_map(|region| field.value(region));
    let total = values.fold(0, u64::saturating_add);
    let width = if quiet { cells } else { cells.max(field.title().len()).max(decimal_digits(total)) };
    (column, width, total)
}

/// A rule and a total under every column of numbers; nothing where there is none.
fn write_totals(columns: &[(Column, usize, u64)], mut line: Line, out: &mut dyn Write) -> io::Result<()> {
    let is_number = |column: &Column| matches!(column, Column::Number(_));
    let Some(last) = columns.iter().rposition(|(column, ..)| is_number(column)) else { return Ok(()) };
    for is_rule in [true, false] {
        line.clear();
        line.repeat(b' ', ADDRESS_WIDTH + 1);
        for (column, width, total) in &columns[..=last] {
            match column {
                Column::Number(_) if is_rule => line.repeat(b'=', *width),
                Column::Number(_) => line.number(*total, *width),
                _ => line.repeat(b' ', *width),
            }
            .text(b" ");
        }
        if !is_rule {
            line.text(b"KB ");
        }
        out.write_all(line.finish())?;
        line.clear();
    }
    Ok(())
}
