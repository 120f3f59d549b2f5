//! The cells of a row by what they mean, and the region that they describe.

use std::borrow::Cow;

use super::super::cells;
use super::unescape;
use crate::linux::names;
use crate::model::{
    AddrRange, Bytes, Device, LinuxRegion, Name, NameKind, PageCounts, Protection, Region, ShareMode,
    parse_size,
};

/// What a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Type,
    Start,
    End,
    Size,
    Resident,
    Dirty,
    Swapped,
    Proportional,
    Unique,
    Protection,
    MaxProtection,
    Share,
    Offset,
    Path,
    Detail,
    BuildId,
    Other,
}

const FIELDS: usize = Field::Other as usize + 1;

impl Field {
    /// The field under a title of a table.
    pub fn of_title(title: &[u8]) -> Field {
        match title {
            b"REGION TYPE" => Field::Type,
            b"START" => Field::Start,
            b"END" => Field::End,
            b"VSIZE" => Field::Size,
            b"RSDNT" => Field::Resident,
            b"DIRTY" => Field::Dirty,
            b"SWAP" => Field::Swapped,
            b"PRT" => Field::Protection,
            b"MAX" => Field::MaxProtection,
            b"SHR" => Field::Share,
            b"REGION DETAIL" => Field::Detail,
            b"BUILD ID" => Field::BuildId,
            _ => Field::Other,
        }
    }

    /// The field in a column of CSV.
    pub fn of_column(id: &[u8]) -> Field {
        match id {
            b"type" => Field::Type,
            b"start" => Field::Start,
            b"end" => Field::End,
            b"size" => Field::Size,
            b"resident" => Field::Resident,
            b"dirty" => Field::Dirty,
            b"swapped" => Field::Swapped,
            b"proportional" => Field::Proportional,
            b"unique" => Field::Unique,
            b"protection" => Field::Protection,
            b"max_protection" => Field::MaxProtection,
            b"share" => Field::Share,
            b"offset" => Field::Offset,
            b"path" => Field::Path,
            b"detail" => Field::Detail,
            b"image" => Field::BuildId,
            _ => Field::Other,
        }
    }

    /// Whether it is one of the sizes in brackets.
    pub fn is_size(self) -> bool {
        matches!(
            self,
            Field::Size
                | Field::Resident
                | Field::Dirty
                | Field::Swapped
                | Field::Proportional
                | Field::Unique
        )
    }
}

/// The cells of a row.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    cells: [Cow<'a, [u8]>; FIELDS],
    is_markdown: bool,
}

/// What a row is about.
#[derive(Debug)]
pub(super) enum Row {
    Region(Box<RegionRow>),
    /// A gap, or a part of a region. They have no protection.
    Other,
}

/// A region, and what its row lacks.
#[derive(Debug)]
pub(super) struct RegionRow {
    pub region: Region,
    pub is_size_rounded: bool,
}

impl<'a> Record<'a> {
    /// A row of Markdown, whose cells are escaped.
    pub fn markdown() -> Record<'a> {
        Record { is_markdown: true, ..Record::default() }
    }

    pub fn set(&mut self, field: Field, cell: Cow<'a, [u8]>) {
        self.cells[field as usize] = cell;
    }

    fn get(&self, field: Field) -> &[u8] {
        &self.cells[field as usize]
    }

    /// Takes the build ID, and the name that may follow it, off the end of the detail.
    pub fn split_build_id(&mut self) {
        let detail = self.cells[Field::Detail as usize].clone();
        let is_id = |word: &[u8]| word.len() >= 16 && word.iter().all(u8::is_ascii_hexdigit);
        let mut end = detail.len();
        for _ in 0..2 {
            let start = memchr::memrchr(b' ', &detail[..end]).map_or(0, |blank| blank + 1);
            if is_id(&detail[start..end]) {
                self.set(Field::BuildId, Cow::Owned(detail[start..end].to_vec()));
                self.set(Field::Detail, Cow::Owned(detail[..start].trim_ascii_end().to_vec()));
                return;
            }
            end = start.saturating_sub(1);
        }
    }

    /// What the row is about; `None` if a cell has something else than it should.
    pub fn into_row(self) -> Option<Row> {
        let start = self.address(Field::Start)?;
        let (range, is_size_rounded) = match self.address(Field::End) {
            Some(end) => (AddrRange::new(start, end)?, false),
            None => {
                let size = parse_size(self.get(Field::Size))?;
                let is_rounded = self.get(Field::Size).contains(&b'.');
                (AddrRange::with_size(start, if is_rounded { whole_pages(size) } else { size })?, is_rounded)
            }
        };
        if self.get(Field::Protection).is_empty() {
            return Some(Row::Other);
        }
        let protection = protection(self.get(Field::Protection))?;
        let share = match self.get(Field::Share) {
            b"PRV" => ShareMode::Private,
            b"SHM" => ShareMode::Shared,
            b"" | b"-" | b"???" => ShareMode::Unknown,
            _ => return None,
        };
        let offset = self.get(Field::Offset);
        let has_offset = !offset.is_empty();
        let offset = if has_offset { cells::decimal(offset)? } else { 0 };
        let counts = PageCounts {
            resident: self.size(Field::Resident)?,
            dirty: self.size(Field::Dirty)?,
            swapped: self.size(Field::Swapped)?,
            proportional: self.size(Field::Proportional)?,
            unique: self.size(Field::Unique)?,
        };
        let max_protection = match self.get(Field::MaxProtection) {
            b"" => None,
            letters => Some(cells::protection(letters)?),
        };
        let build_id = self.get(Field::BuildId);
        let build_id =
            build_id.split(|byte| *byte == b' ').next().and_then(|id| std::str::from_utf8(id).ok());
        let build_id = build_id.filter(|id| !id.is_empty()).map(Into::into);
        let native = LinuxRegion { build_id, lacks_offset: !has_offset, ..LinuxRegion::default() };
        let region = cells::region(range, protection, share, native);
        let name = self.name(share.is_shared());
        let region = Region { name, offset, counts, max_protection, ..region };
        Some(Row::Region(Box::new(RegionRow { region, is_size_rounded })))
    }

    fn address(&self, field: Field) -> Option<u64> {
        let cell = self.get(field);
        cells::hexadecimal(cell.strip_prefix(b"`").and_then(|cell| cell.strip_suffix(b"`")).unwrap_or(cell))
    }

    /// A size that may not have been measured; `None` if it is none.
    fn size(&self, field: Field) -> Option<Option<Bytes>> {
        match self.get(field) {
            b"" | b"-" => Some(None),
            cell => parse_size(cell).map(Some),
        }
    }

    /// The name: the start of the detail, without what explains it, or the type if that is the kernel's label.
    fn name(&self, is_shared: bool) -> Option<Name> {
        let text = |field| unescape::name(self.get(field), self.is_markdown);
        let (detail, kind) = (text(Field::Detail), text(Field::Type));
        match memchr::memmem::find(&detail, CUT) {
            Some(cut) => shortened(&detail, cut, &kind),
            None => name(&text(Field::Path), &detail, &kind, is_shared),
        }
    }
}

/// The name of a region, from its path, if that is known, its detail and its type.
pub(in super::super) fn name(path: &[u8], detail: &[u8], kind: &[u8], is_shared: bool) -> Option<Name> {
    if !path.is_empty() {
        let is_deleted = detail.strip_prefix(path).is_some_and(|rest| rest.starts_with(DELETED));
        return Some(full_name(path, is_deleted, is_shared));
    }
    let is_name = NAMES.iter().any(|start| detail.starts_with(start));
    if !is_name {
        return kind.starts_with(b"[").then(|| cells::name(kind, Device::default()))?;
    }
    let name = without_note(detail);
    match name.strip_suffix(DELETED) {
        Some(name) => Some(full_name(name, true, is_shared)),
        None => Some(full_name(name, false, is_shared)),
    }
}

/// What the detail of a region with a name starts with.
const NAMES: [&[u8]; 6] = [b"/", b"[", b"anon_inode:", b"socket:[", b"pipe:[", b"dmabuf:"];

const DELETED: &[u8] = b" (deleted)";

/// Stands for what a narrow table has cut out of a name.
const CUT: &[u8] = "…".as_bytes();

/// A name as mmview writes it: memory objects without ` (deleted)`.
fn full_name(text: &[u8], is_deleted: bool, is_shared: bool) -> Name {
    let parse = |text: &[u8]| names::parse_exact(text, Device::default()).map(|parsed| parsed.name);
    if !is_deleted && text.starts_with(b"/") && (is_shared || text != b"/dev/zero") {
        let object = parse(&[text, DELETED].concat());
        if let Some(object) = object.filter(|name| name.kind() == NameKind::MemoryObject) {
            return object;
        }
    }
    let name = parse(text).unwrap_or_else(|| Name::file(text));
    if is_deleted { name.deleted() } else { name }
}

/// What is left of a name that is cut. The last part of a path is there if the cut comes before it.
fn shortened(detail: &[u8], cut: usize, kind: &[u8]) -> Option<Name> {
    let name = without_note(detail);
    match memchr::memrchr(b'/', name) {
        Some(slash) if slash > cut => Some(Name::file(&name[slash + 1..])),
        _ if FILES.contains(&kind) || name.starts_with(b"/") => Some(Name::file(name)),
        _ if kind == b"Heap" => Some(Name::new(NameKind::Kernel, &b"[heap]"[..])),
        _ => None,
    }
}

/// The types of regions that have a file.
const FILES: [&[u8]; 5] = [b".text", b".rodata", b".relro", b".data", b"mapped file"];

/// A name without the note in brackets behind it. A single word in brackets belongs to the name: `(deleted)`, `(1)`.
fn without_note(text: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return text,
            _ => {}
        }
        if depth == 0 {
            let note = &text[at..];
            let is_note = text.starts_with(b"[") || note.contains(&b' ');
            return text[..at].strip_suffix(b" ").filter(|_| is_note).unwrap_or(text);
        }
    }
    text
}

fn protection(letters: &[u8]) -> Option<Protection> {
    if letters == Protection::UNKNOWN.as_str().as_bytes() {
        return Some(Protection::UNKNOWN);
    }
    cells::protection(letters)
}

/// A rounded size as whole pages of the smallest page size.
fn whole_pages(size: Bytes) -> Bytes {
    const SMALLEST_PAGE: u64 = 4 << 10;
    Bytes(size.0 / SMALLEST_PAGE * SMALLEST_PAGE)
}
