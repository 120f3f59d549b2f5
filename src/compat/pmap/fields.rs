//! `-X`, `-XX` and configured columns: the fields of smaps, each column as wide as its widest cell.
//!
//! Output starts only after the last region was read. pmap reads smaps twice, and the kernel walks the page tables each time;
//! this module keeps the regions in memory instead.

use std::io::{self, Write};

use mmview_platform::{Device, LinuxRegion, Region, SmapsField};

use super::line::{Line, decimal_digits, hexadecimal_digits, kib};
use super::names::Naming;
use super::rc::Config;

/// The columns to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every column but the rarely used ones (`-X`).
    Usual,
    /// Every column (`-XX`).
    Everything,
    /// The columns of a configuration (`-c`, `-C`).
    Configured(Config),
}

/// The columns that `-X` leaves out.
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
enum FieldColumn {
    Permissions,
    Offset,
    Device,
    Inode,
    Number(Field),
    Flags,
}

/// A numeric column, which has a total.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Counter(SmapsField),
    /// The size by the addresses, without smaps.
    Size,
    Resident,
    Dirty,
    Swapped,
    HugeEligible,
    ProtectionKey,
    /// A field that this version doesn't know.
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

    /// The value: counters in KiB, other fields unchanged.
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

impl FieldColumn {
    fn title(&self) -> &str {
        match self {
            FieldColumn::Permissions => "Perm",
            FieldColumn::Offset => "Offset",
            FieldColumn::Device => "Device",
            FieldColumn::Inode => "Inode",
            FieldColumn::Number(field) => field.title(),
            FieldColumn::Flags => FLAGS,
        }
    }

    /// The width of a region's cell.
    fn cell_width(&self, region: &Region) -> usize {
        let linux = region.native.linux();
        match self {
            FieldColumn::Permissions => 4,
            FieldColumn::Offset => hexadecimal_digits(region.offset).max(8),
            FieldColumn::Device => {
                let Device { major, minor } = linux.map(|it| it.device).unwrap_or_default();
                hexadecimal_digits(major.into()).max(2) + 1 + hexadecimal_digits(minor.into()).max(2)
            }
            FieldColumn::Inode => decimal_digits(linux.map_or(0, |it| it.inode)),
            FieldColumn::Number(field) => field.value(region).map_or(1, decimal_digits),
            FieldColumn::Flags => linux.and_then(|it| it.vm_flags).map_or(0, |flags| {
                (flags.iter().count() * 3).saturating_sub(1)
                    + unknown_flags(region).map_or(0, |it| it.len() + 1)
            }),
        }
    }

    fn write(&self, region: &Region, width: usize, line: &mut Line) {
        let linux = region.native.linux();
        match self {
            FieldColumn::Permissions => {
                line.pad(4, width).permissions(region.protection, region.share.is_shared());
            }
            FieldColumn::Offset => {
                line.pad(self.cell_width(region), width).hexadecimal(region.offset, 8);
            }
            FieldColumn::Device => {
                let Device { major, minor } = linux.map(|it| it.device).unwrap_or_default();
                line.pad(self.cell_width(region), width);
                line.hexadecimal(major.into(), 2).text(b":").hexadecimal(minor.into(), 2);
            }
            FieldColumn::Inode => {
                line.number(linux.map_or(0, |it| it.inode), width);
            }
            FieldColumn::Number(field) => {
                match field.value(region) {
                    Some(value) => line.number(value, width),
                    None => line.right(b"-", width),
                };
            }
            FieldColumn::Flags => {
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

/// The numeric fields of the regions, in the order of Linux 6.18; unknown fields follow.
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

/// Writes the regions. Without regions, as for a kernel thread, writes nothing.
///
/// # Errors
///
/// Returns the errors of `out`.
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
    let columns = [FieldColumn::Permissions, FieldColumn::Offset, FieldColumn::Device, FieldColumn::Inode]
        .into_iter()
        .chain(fields(regions).into_iter().map(FieldColumn::Number))
        .chain(has_flags.then_some(FieldColumn::Flags))
        .filter(|column| selection.shows(column.title()));
    let columns: Vec<(FieldColumn, usize, u64)> =
        columns.map(|column| measure(column, regions, quiet)).collect();
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

/// The width of the address, which has at least eight digits.
const ADDRESS_WIDTH: usize = 16;

/// Returns a column with its width and its total.
fn measure(column: FieldColumn, regions: &[Region], quiet: bool) -> (FieldColumn, usize, u64) {
    let cells = regions.iter().map(|region| column.cell_width(region)).max().unwrap_or(0);
    let FieldColumn::Number(field) = &column else {
        let width = if quiet { cells } else { cells.max(column.title().len()) };
        return (column, width, 0);
    };
    let values = regions.iter().filter_map(|region| field.value(region));
    let total = values.fold(0, u64::saturating_add);
    let width = if quiet { cells } else { cells.max(field.title().len()).max(decimal_digits(total)) };
    (column, width, total)
}

/// Writes a rule and a total below every numeric column; without such a column, nothing.
fn write_totals(
    columns: &[(FieldColumn, usize, u64)],
    mut line: Line,
    out: &mut dyn Write,
) -> io::Result<()> {
    let is_number = |column: &FieldColumn| matches!(column, FieldColumn::Number(_));
    let Some(last) = columns.iter().rposition(|(column, ..)| is_number(column)) else { return Ok(()) };
    for is_rule in [true, false] {
        line.clear();
        line.repeat(b' ', ADDRESS_WIDTH + 1);
        for (column, width, total) in &columns[..=last] {
            match column {
                FieldColumn::Number(_) if is_rule => line.repeat(b'=', *width),
                FieldColumn::Number(_) => line.number(*total, *width),
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
