//! One row of the listing: a region, as vmmap prints it.
//!
//! `TYPE START-END [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SM=XXX PURGE=N  DETAIL`. The widths of the columns changed with
//! every format, so fields are found by their look: the type ends where `START-END [` begins.

use crate::macos::tags;
use crate::model::{
    AddrRange, Bytes, MacosRegion, Name, NameKind, Native, OffMapRow, PageCounts, PageSize, Protection,
    PurgeState, Region, ShareMode, parse_size,
};

/// The sizes in the brackets, from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<Column>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Size,
    Resident,
    Dirty,
    Swapped,
    Other,
}

impl Columns {
    /// The columns in a header line: `REGION TYPE  START - END  [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX …`.
    pub(super) fn from_head(line: &[u8]) -> Option<Columns> {
        if !line.starts_with(b"REGION TYPE") {
            return None;
        }
        let (inside, _) = brackets(line)?;
        Some(Columns(
            words(inside)
                .map(|word| match word {
                    b"VSIZE" => Column::Size,
                    b"RSDNT" => Column::Resident,
                    b"DIRTY" => Column::Dirty,
                    b"SWAP" => Column::Swapped,
                    _ => Column::Other,
                })
                .collect(),
        ))
    }

    /// The columns of a listing without a header line (formats 2.0 and 2.2), which are always the same.
    fn by_count(count: usize) -> Columns {
        let all = [Column::Size, Column::Resident, Column::Dirty, Column::Swapped];
        Columns(all.into_iter().take(count).collect())
    }

    fn find(&self, column: Column, cells: &[Bytes]) -> Option<Bytes> {
        cells.get(self.0.iter().position(|it| *it == column)?).copied()
    }
}

/// The meaning of a line in the listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A region.
    Region(Box<Region>),
    /// Memory without addresses: `page table in kernel  kernel-kernel  [...]`.
    OffMap(OffMapRow),
}

/// Parses a line of the listing. `None` if it is no row. `page_size` is that of the target, if the report has it.
pub(super) fn parse(line: &[u8], head: Option<&Columns>, page_size: Option<PageSize>) -> Option<Row> {
    // Linux has types in brackets too, without a blank before them: `[vdso]`.
    let open = memchr::memmem::find(line, b" [")? + 1;
    let before = line[..open].trim_ascii_end();
    let blank = before.iter().rposition(|byte| byte.is_ascii_whitespace())?;
    let (kind, place) = (before[..blank].trim_ascii(), &before[blank + 1..]);
    let (inside, rest) = brackets(&line[open..])?;
    if kind.is_empty() {
        return None;
    }
    let kind: Box<str> = String::from_utf8_lossy(kind).into();
    let cells: Vec<Bytes> = words(inside).map(parse_size).collect::<Option<_>>()?;
    let columns = head.filter(|columns| columns.0.len() == cells.len()).cloned();
    let columns = columns.unwrap_or_else(|| Columns::by_count(cells.len()));
    if place == b"kernel-kernel" {
        return Some(Row::OffMap(OffMapRow {
            kind,
            size: columns.find(Column::Size, &cells)?,
            resident: columns.find(Column::Resident, &cells),
            dirty: columns.find(Column::Dirty, &cells),
            swapped: columns.find(Column::Swapped, &cells),
            detail: detail_of(rest).map(|detail| String::from_utf8_lossy(detail).into()),
        }));
    }
    let range = address_range(place)?;
    let (protection, max_protection, share, rest) = access(rest)?;
    let (purge, detail) = purge(rest);
    let unit =
        if is_in_pages(columns.find(Column::Size, &cells)?, range, page_size) { page_size } else { None };
    let measured = |column| {
        let cell = columns.find(column, &cells)?;
        Some(unit.map_or(cell, |page_size| Bytes::from_pages(cell.0, page_size)))
    };
    let counts = PageCounts {
        resident: measured(Column::Resident),
        dirty: measured(Column::Dirty),
        swapped: measured(Column::Swapped),
        ..PageCounts::UNMEASURED
    };
    let segment = kind.starts_with("__").then(|| kind.clone());
    let is_of_image = segment.is_some() || kind.starts_with("unused ");
    let external_pager = &*kind == "mapped file"
        || (is_of_image && matches!(share, ShareMode::CopyOnWrite | ShareMode::Empty));
    let mut native = MacosRegion {
        user_tag: tags::tag_of_name(&kind).unwrap_or(0),
        submap: &*kind == "Submap",
        external_pager,
        segment,
        printed_type: Some(kind),
        ..MacosRegion::default()
    };
    // Only a listing with all four sizes has this column.
    if counts.swapped.is_some() {
        native.set_purge(purge, counts.resident, range.size());
    }
    Some(Row::Region(Box::new(Region {
        range,
        protection,
        max_protection: Some(max_protection),
        share,
        name: detail.map(name_of),
        offset: 0,
        counts,
        pages: None,
        native: Native::Macos(Box::new(native)),
    })))
}

/// Whether the sizes are numbers of pages (`vmmap -pages`). Otherwise a size without a unit is in bytes.
fn is_in_pages(printed: Bytes, range: AddrRange, page_size: Option<PageSize>) -> bool {
    page_size.is_some_and(|page_size| {
        printed != range.size()
            && printed != Bytes::ZERO
            && Bytes::from_pages(printed.0, page_size) == range.size()
    })
}

/// The path of a file, or another detail. A path may be cut to `...` and its end, or have parts replaced by `*`.
fn name_of(detail: &[u8]) -> Name {
    let is_path = detail.starts_with(b"/") || (detail.starts_with(b"...") && detail.contains(&b'/'));
    Name::new(if is_path { NameKind::File } else { NameKind::Other }, detail)
}

/// The text between the first `[` and the `]` after it, and the text after that.
fn brackets(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = memchr::memchr(b'[', line)?;
    let close = open + memchr::memchr(b']', &line[open..])?;
    Some((&line[open + 1..close], &line[close + 1..]))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn address_range(place: &[u8]) -> Option<AddrRange> {
    let hyphen = memchr::memchr(b'-', place)?;
    AddrRange::new(hexadecimal(&place[..hyphen])?, hexadecimal(&place[hyphen + 1..])?)
}

pub(super) fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Parses ` PRT/MAX SM=XXX`. Returns them and the rest.
fn access(text: &[u8]) -> Option<(Protection, Protection, ShareMode, &[u8])> {
    let text = text.trim_ascii_start();
    let (protection, text) = protection(text)?;
    let (max_protection, text) = self::protection(text.strip_prefix(b"/")?)?;
    let text = text.trim_ascii_start().strip_prefix(b"SM=")?;
    let (code, rest) = text.split_first_chunk::<3>()?;
    let share = match code {
        b"COW" => ShareMode::CopyOnWrite,
        b"PRV" => ShareMode::Private,
        b"NUL" => ShareMode::Empty,
        b"SHM" => ShareMode::Shared,
        b"ALI" | b"P/A" => ShareMode::PrivateAliased,
        b"S/A" => ShareMode::SharedAliased,
        b"ZER" => ShareMode::ZeroFilled,
        b"LPG" => ShareMode::LargePage,
        _ => return None,
    };
    Some((protection, max_protection, share, rest))
}

fn protection(text: &[u8]) -> Option<(Protection, &[u8])> {
    let ([r, w, x], rest) = text.split_first_chunk()?;
    let letter = |byte: u8, set: u8| match byte {
        b'-' => Some(false),
        _ if byte == set => Some(true),
        _ => None,
    };
    Some((Protection::from_rwx(letter(*r, b'r')?, letter(*w, b'w')?, letter(*x, b'x')?), rest))
}

/// Parses `PURGE=N`, if present. Returns it and the detail after it.
fn purge(rest: &[u8]) -> (Option<PurgeState>, Option<&[u8]>) {
    if let Some(rest) = rest.trim_ascii_start().strip_prefix(b"PURGE=")
        && let [letter, rest @ ..] = rest
    {
        return (PurgeState::from_letter(*letter), detail_of(rest));
    }
    (None, detail_of(rest))
}

/// The detail without the blanks around it, which are padding.
fn detail_of(rest: &[u8]) -> Option<&[u8]> {
    Some(rest.trim_ascii()).filter(|detail| !detail.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"REGION TYPE                    START - END         [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL";

    fn region(line: &str) -> Region {
        let head = Columns::from_head(HEAD);
        match parse(line.as_bytes(), head.as_ref(), PageSize::new(16384)) {
            Some(Row::Region(region)) => *region,
            other => panic!("`{line}` is a region, not {other:?}"),
        }
    }

    fn native(region: &Region) -> &MacosRegion {
        region.native.macos().unwrap()
    }

    #[test]
    fn a_segment_of_an_image() {
        let region = region(
            "__DATA_CONST                104ea0000-104ea4000    [   16K    16K     0K     0K] r--/rw- SM=COW          /tmp/a b/[x]",
        );
        assert_eq!(region.range.to_string(), "104ea0000-104ea4000");
        assert_eq!(region.protection.to_string(), "r--");
        assert_eq!(region.max_protection.unwrap().to_string(), "rw-");
        assert_eq!(region.share, ShareMode::CopyOnWrite);
        assert_eq!(region.counts.resident, Some(Bytes(16384)));
        assert_eq!(region.counts.swapped, Some(Bytes(0)));
        assert_eq!(region.name.as_ref().unwrap().path(), Some(&b"/tmp/a b/[x]"[..]));
        assert_eq!(native(&region).segment.as_deref(), Some("__DATA_CONST"));
        assert!(native(&region).external_pager);
    }

    #[test]
    fn the_size_is_that_of_the_addresses() {
        let region = region(
            "__DATA  1e1bcc9c0-1e1bcde08 [    5K     0K     0K     5K] rw-/rw- SM=COW    on dirty page",
        );
        assert_eq!(region.size(), Bytes(0x1448));
        assert_eq!(region.name.unwrap().kind(), NameKind::Other);
    }

    #[test]
    fn a_type_may_hold_blanks_digits_and_parentheses() {
        let region = region("Memory Tag 255 (reserved)  1000-5000 [   16K 0K 0K 0K] rw-/rwx SM=NUL  ");
        assert_eq!(native(&region).printed_type.as_deref(), Some("Memory Tag 255 (reserved)"));
        assert_eq!(native(&region).user_tag, 255);
        assert_eq!(region.name, None);
    }

    #[test]
    fn purge_state_is_no_detail() {
        let purgeable = region("CoreAnimation  10000-18000 [ 32K 16K 16K 0K] rw-/rwx SM=PRV PURGE=N  layer");
        assert_eq!(native(&purgeable).purge, Some(PurgeState::Nonvolatile));
        assert_eq!(native(&purgeable).nonvolatile, Some(Bytes(16384)));
        assert_eq!(native(&purgeable).volatile, Some(Bytes(0)));
        assert_eq!(purgeable.name.unwrap().bytes(), b"layer");
        let empty = region("Image IO  10000-14000 [ 16K 0K 0K 0K] rw-/rwx SM=PRV PURGE=E  ");
        assert_eq!(native(&empty).empty, Some(Bytes(16384)));
    }

    #[test]
    fn older_formats_have_fewer_sizes() {
        let without_head = |line: &str| parse(line.as_bytes(), None, None);
        let Some(Row::Region(old)) =
            without_head("VM_ALLOCATE ?          000fa000-000fb000 [    4K] rw-/rwx SM=NUL")
        else {
            panic!("a region of format 2.0");
        };
        assert_eq!(old.counts, PageCounts::UNMEASURED);
        assert_eq!(native(&old).volatile, None);
        let Some(Row::Region(resident)) =
            without_head("STACK GUARD 1000-2000 [    4K     0K] ---/rwx SM=ZER  x")
        else {
            panic!("a region of format 2.2 with -resident");
        };
        assert_eq!(resident.counts.resident, Some(Bytes(0)));
        assert_eq!(resident.counts.dirty, None);
        assert_eq!(resident.share, ShareMode::ZeroFilled);
    }

    #[test]
    fn counts_of_pages_become_bytes() {
        let pages = region("Stack  16a76c000-16af68000 [ 511 2 2 1] rw-/rwx SM=PRV  thread 0");
        assert_eq!(pages.counts.resident, Some(Bytes(2 * 16384)));
        assert_eq!(pages.counts.swapped, Some(Bytes(16384)));
        let bytes = region("__DATA  1000-1030 [ 48 48 0K 0K] rw-/rwx SM=COW  /lib");
        assert_eq!(bytes.counts.resident, Some(Bytes(48)));
    }

    #[test]
    fn memory_without_addresses_is_no_region() {
        let line = b"page table in kernel  kernel-kernel  [ 7996K 7996K 7996K 0K] rw-/rw- SM=PRV  charged";
        let Some(Row::OffMap(row)) = parse(line, None, None) else { panic!("a row off the map") };
        assert_eq!(
            (&*row.kind, row.size, row.swapped),
            ("page table in kernel", Bytes(7996 << 10), Some(Bytes(0)))
        );
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "",
            "...(snip)...",
            "__TEXT 2000-1000 [ 4K] r--/r-- SM=COW",
            "1000-2000 [ 4K] r--/r-- SM=COW",
            "__TEXT 1000-2000 [ 4K] r--/r-- SM=XYZ",
            "__TEXT 1000-2000 [ 4K] r--r-- SM=COW",
            "__TEXT 1000-2000 [ 4Q] r--/r-- SM=COW",
            "__TEXT 1000-2000 [ 4K r--/r-- SM=COW",
            "__TEXT 1000-2000 [] r--/r-- SM=COW",
            "__TEXT 1000_2000 [ 4K] r--/r-- SM=COW",
        ] {
            assert_eq!(parse(line.as_bytes(), None, None), None, "{line}");
        }
    }
}
