//! The columns of a listing, and the cells under them.

use super::super::cells::{self, Cells};
use crate::linux::parse::counts;
use crate::model::{
    AddrRange, Bytes, LinuxRegion, Name, Protection, Region, ShareMode, SmapsField, UnknownField, VmFlags,
};

/// No layout has more. Kernels print 25 keys.
const MOST_COLUMNS: usize = 64;

/// A column after the address and before the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The size in KiB, in the plain layout with a `K`.
    Size,
    Mode,
    Offset,
    Device,
    Inode,
    /// A counter of smaps in KiB.
    Counter(SmapsField),
    /// `Shared_Dirty` and `Private_Dirty`, in KiB.
    Dirty,
    HugeEligible,
    ProtectionKey,
    Flags,
    /// A key of smaps that this version does not know.
    Other(Box<str>),
    /// A number that no region has.
    Skipped,
}

/// The columns of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// Where the flags of a row begin and its name, in bytes after its address, if a head says so.
    flags: Option<(usize, usize)>,
}

/// The cells of a row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    range: AddrRange,
    size: Bytes,
    protection: Protection,
    pub share: ShareMode,
    offset: Option<u64>,
    pub native: LinuxRegion,
    unknown: Vec<UnknownField>,
    dirty: Option<Bytes>,
    /// The last column.
    pub mapping: &'a [u8],
}

impl Columns {
    /// The columns that a head names. `head` starts with the word `Address`.
    pub fn of_head(head: &[u8]) -> Option<Columns> {
        let mut cells = Cells::new(head);
        if cells.next()? != b"Address" {
            return None;
        }
        let is_busybox = || Cells::new(head).any(|title| title == b"PSS");
        let mut columns = Vec::new();
        let mut flags_from = None;
        let mut mapping_from = None;
        let length = cells.remaining();
        loop {
            let from = length - cells.remaining();
            let name_from = length - cells.rest().len();
            let Some(title) = cells.next() else { break };
            if title == b"Mapping" {
                mapping_from = Some(name_from);
                break;
            }
            if title == b"VmFlags" {
                flags_from = Some(from);
            }
            if columns.len() == MOST_COLUMNS {
                return None;
            }
            columns.push(match title {
                b"Kbytes" => Column::Size,
                b"Mode" | b"Perm" => Column::Mode,
                b"Offset" => Column::Offset,
                b"Device" => Column::Device,
                b"Inode" => Column::Inode,
                b"RSS" => Column::Counter(SmapsField::Rss),
                b"PSS" => Column::Counter(SmapsField::Pss),
                // busybox and toybox call `Private_Dirty` that.
                b"Dirty" if is_busybox() => Column::Counter(SmapsField::PrivateDirty),
                b"Dirty" => Column::Dirty,
                b"Anon" => Column::Counter(SmapsField::Anonymous),
                b"THPeligible" => Column::HugeEligible,
                b"ProtectionKey" => Column::ProtectionKey,
                b"VmFlags" => Column::Flags,
                _ => smaps(title)?,
            });
        }
        let has = |column: Column| columns.contains(&column);
        let has_size = has(Column::Size) || has(Column::Counter(SmapsField::Size));
        let is_head = has(Column::Mode) && (has_size || has(Column::Offset) || mapping_from.is_some());
        is_head.then_some(Columns { columns, flags: flags_from.zip(mapping_from) })
    }

    /// The columns of a row without a head, by its shape.
    pub fn of_shape(row: &[u8]) -> Option<Columns> {
        let mut cells = Cells::new(row);
        address(cells.next()?)?;
        let first = cells.next()?;
        let columns = if first.ends_with(b"K") {
            vec![Column::Size, Column::Mode]
        } else if cells::permissions(first).is_some() {
            // `-qX`: smaps prints its size first. What follows depends on the kernel.
            let rest = cells.skip(3).take_while(|cell| cells::decimal(cell).is_some()).take(MOST_COLUMNS);
            let numbers = rest.count();
            if numbers < 3 {
                return None;
            }
            let known = [Column::Mode, Column::Offset, Column::Device, Column::Inode, Column::Size];
            known.into_iter().chain(std::iter::repeat_n(Column::Skipped, numbers - 1)).collect()
        } else {
            let numbers = 1 + cells.clone().take_while(|cell| is_number(cell)).take(5).count();
            let has_unmeasured = Cells::new(row).take(1 + numbers).any(|cell| cell == b"-");
            match numbers {
                1 => vec![Column::Size, Column::Mode, Column::Offset, Column::Device],
                3 => {
                    vec![Column::Size, Column::Counter(SmapsField::Rss), Column::Dirty, Column::Mode]
                }
                4 if has_unmeasured => vec![
                    Column::Size,
                    Column::Counter(SmapsField::Rss),
                    Column::Counter(SmapsField::Anonymous),
                    Column::Counter(SmapsField::Locked),
                    Column::Mode,
                ],
                4 => vec![
                    Column::Size,
                    Column::Counter(SmapsField::Pss),
                    Column::Counter(SmapsField::PrivateDirty),
                    Column::Counter(SmapsField::Swap),
                    Column::Mode,
                ],
                _ => return None,
            }
        };
        Some(Columns { columns, flags: None })
    }

    /// The cells of a row; `None` if it has others.
    pub fn row<'a>(&self, line: &'a [u8]) -> Option<Row<'a>> {
        let mut cells = Cells::new(line);
        let start = address(cells.next()?)?;
        let after_address = &line[line.len() - cells.remaining()..];
        let mut row = Row {
            range: AddrRange::new(start, start)?,
            size: Bytes::ZERO,
            protection: Protection::NONE,
            share: ShareMode::Private,
            offset: None,
            native: LinuxRegion::default(),
            unknown: Vec::new(),
            dirty: None,
            mapping: &[],
        };
        for column in &self.columns {
            match column {
                Column::Flags => {
                    let (flags, rest) = self.flags(after_address, cells);
                    row.set_flags(flags);
                    cells = Cells::new(rest);
                }
                _ => row.set(column, cells.next()?)?,
            }
        }
        row.mapping = cells.rest();
        row.range = AddrRange::with_size(start, row.size)?;
        Some(row)
    }

    /// The text under `VmFlags`, which is the last column before the name, and what follows. Two letters may also be a name, so
    /// where the head has the columns counts, unless the paste has moved them.
    fn flags<'a>(&self, after_address: &'a [u8], cells: Cells<'a>) -> (&'a [u8], &'a [u8]) {
        let is_flag = |cell: &[u8]| {
            cell.len() == 2 && cell.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'?')
        };
        let from = after_address.len() - cells.remaining();
        if let Some((flags_from, name_from)) = self.flags
            && flags_from == from
            && let Some((before, name)) = after_address.split_at_checked(name_from)
            && let Some(flags) = before.get(from..)
            && Cells::new(flags).all(is_flag)
            && flags.ends_with(b" ")
        {
            return (flags, name);
        }
        let mut rest = cells.clone();
        while rest.clone().next().is_some_and(is_flag) {
            rest.next();
        }
        after_address[from..].split_at(cells.remaining() - rest.remaining())
    }
}

/// The start of a region. Every layout pads it to 8 digits at least.
fn address(cell: &[u8]) -> Option<u64> {
    (8..=16).contains(&cell.len()).then(|| cells::hexadecimal(cell))?
}

/// The column of a key of smaps.
fn smaps(key: &[u8]) -> Option<Column> {
    if let Some(field) = SmapsField::ALL.iter().find(|field| field.key().as_bytes() == key) {
        return Some(Column::Counter(*field));
    }
    let is_key = key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_key.then(|| Column::Other(String::from_utf8_lossy(key).into()))
}

fn is_number(cell: &[u8]) -> bool {
    cell == b"-" || cells::decimal(cell).is_some()
}

impl Row<'_> {
    /// Puts a cell under its column. `None` if it can't stand there.
    fn set(&mut self, column: &Column, cell: &[u8]) -> Option<()> {
        if matches!(column, Column::Mode) {
            (self.protection, self.share) = mode(cell)?;
            return Some(());
        }
        if cell == b"-" {
            return Some(());
        }
        match column {
            Column::Mode | Column::Flags | Column::Skipped => {}
            Column::Size => self.size = kibibytes(cell.strip_suffix(b"K").unwrap_or(cell))?,
            Column::Offset => self.offset = Some(cells::hexadecimal(cell)?),
            Column::Device => self.native.device = cells::device(cell)?,
            Column::Inode => self.native.inode = cells::decimal(cell)?,
            Column::Counter(field) => {
                let value = kibibytes(cell)?;
                self.native.smaps.set(*field, value);
                if *field == SmapsField::Size {
                    self.size = value;
                }
            }
            Column::Dirty => self.dirty = Some(kibibytes(cell)?),
            Column::HugeEligible => self.native.thp_eligible = Some(cells::decimal(cell)? != 0),
            Column::ProtectionKey => {
                self.native.protection_key = Some(cells::decimal(cell)?.try_into().ok()?);
            }
            Column::Other(key) => {
                cells::decimal(cell)?;
                let value = format!("{} kB", String::from_utf8_lossy(cell)).into();
                self.unknown.push(UnknownField { key: key.clone(), value });
            }
        }
        Some(())
    }

    fn set_flags(&mut self, text: &[u8]) {
        let mut flags = VmFlags::default();
        let unknown: Vec<&[u8]> = Cells::new(text).filter(|letters| !flags.insert(letters)).collect();
        self.native.vm_flags = Some(flags);
        if !unknown.is_empty() {
            let value = String::from_utf8_lossy(&unknown.join(&b' ')).into();
            self.unknown.push(UnknownField { key: "VmFlags".into(), value });
        }
    }

    /// The region.
    pub fn region(self, name: Option<Name>, inode: u64) -> Region {
        let mut native = self.native;
        native.lacks_offset = self.offset.is_none();
        native.unknown = self.unknown.into();
        native.inode = native.inode.max(inode);
        let mut counts = counts::of(&native);
        counts.dirty = self.dirty.or(counts.dirty);
        let max_protection = native.vm_flags.map(VmFlags::max_protection);
        let region = cells::region(self.range, self.protection, self.share, native);
        Region { max_protection, name, offset: self.offset.unwrap_or(0), counts, ..region }
    }
}

/// `r-x--` or `rw-s-` as procps and toybox write it, `rw-p` as the kernel does.
fn mode(cell: &[u8]) -> Option<(Protection, ShareMode)> {
    let (letters, share) = cell.split_at_checked(3)?;
    let share = match share {
        b"s" | b"s-" | b"sR" => ShareMode::Shared,
        b"p" | b"-" | b"--" | b"p-" | b"-R" => ShareMode::Private,
        _ => return None,
    };
    Some((cells::protection(letters)?, share))
}

fn kibibytes(cell: &[u8]) -> Option<Bytes> {
    cells::decimal(cell).map(Bytes::from_kib)
}
