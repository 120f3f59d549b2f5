//! The listing: a row for each region.

use std::borrow::Cow;

use mmview_platform::{AddrRange, NameKind, Native, Warning};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::process::{Origins, warnings_value};
use super::{Cell, Column, Head, Layout, Record, Role, Shows, Table, Tail, address_value, name_value};
use crate::kind::{Group, RegionKind};
use crate::region::Classified;
use crate::units::Units;

const COLUMNS: [Column; 16] = [
    Column::text("kind", "", 0).shown(Shows::MachineOnly),
    Column::text("type", "REGION TYPE", 15).after(""),
    Column::number("start", "START", 12),
    Column::text("end", "END", 12).after("-").shown(Shows::Wide),
    Column::number("size", "VSIZE", 6).after(" ["),
    Column::number("resident", "RSDNT", 6),
    Column::number("dirty", "DIRTY", 6),
    Column::number("swapped", "SWAP", 6),
    Column::number("proportional", "", 0).shown(Shows::MachineOnly),
    Column::number("unique", "", 0).shown(Shows::MachineOnly),
    Column::text("protection", "PRT", 3).after("] "),
    Column::text("max_protection", "MAX", 3).after("/").shown(Shows::Wide),
    Column::text("share", "SHR", 3).after(" "),
    Column::number("offset", "", 0).shown(Shows::MachineOnly),
    Column::text("path", "", 0).shown(Shows::MachineOnly),
    Column::text("detail", "REGION DETAIL", 0).after(" "),
];

/// Where the type stands among the columns, and how wide vmmap's names of types are.
const TYPE: usize = 1;
const MACOS_TYPE_WIDTH: usize = 23;

/// How many regions, in words.
pub fn counted(count: usize) -> String {
    if count == 1 { "1 region".to_owned() } else { format!("{count} regions") }
}

/// The columns alone.
pub fn bare_head() -> Head {
    Head {
        view: "regions",
        target: String::new(),
        text: Vec::new(),
        fields: serde_json::Map::new(),
        tables: vec![Table {
            rows: ("regions", "region"),
            columns: COLUMNS.to_vec(),
            layout: Layout::Streamed,
        }],
    }
}

/// What stands before the rows.
pub fn head(origins: &Origins) -> Head {
    let mut text = origins.header(None);
    text.push(String::new());
    let mut head = Head { target: origins.target(), text, fields: origins.fields("regions"), ..bare_head() };
    if origins.source.os == "macos" {
        head.tables[0].columns[TYPE].width = MACOS_TYPE_WIDTH;
    }
    head
}

/// What stands after the rows.
pub fn tail(warnings: &[Warning], largest_gap: Option<Option<AddrRange>>, units: Units) -> Tail {
    let mut tail = Tail::default();
    if let Some(largest) = largest_gap {
        tail.fields.insert("largest_gap".to_owned(), largest.map_or(Value::Null, gap_value));
        tail.notes.push(match largest {
            Some(gap) => format!("Largest gap: {gap}, {} free.", units.format(gap.size())),
            None => "There is no gap between the regions.".to_owned(),
        });
    }
    tail.fields.insert("warnings".to_owned(), warnings_value(warnings));
    tail
}

fn gap_value(gap: AddrRange) -> Value {
    json!({ "start": address_value(gap.start()), "end": address_value(gap.end()), "size": gap.size() })
}

/// What there is to say of a region beside its type: its name, and what explains it. Not escaped.
pub fn detail(classified: &Classified) -> Cow<'_, [u8]> {
    let name: Cow<'_, [u8]> = match &classified.name() {
        None => Cow::Borrowed(b""),
        Some(name) if name.bytes() == classified.title().as_bytes() => Cow::Borrowed(b""),
        Some(name) => match name.kind() {
            NameKind::Given => Cow::Owned([b"[anon:", name.bytes(), b"]"].concat()),
            NameKind::GivenShared => Cow::Owned([b"[anon_shmem:", name.bytes(), b"]"].concat()),
            _ if name.is_deleted() => Cow::Owned([name.bytes(), b" (deleted)"].concat()),
            _ => Cow::Borrowed(name.bytes()),
        },
    };
    match classified.note() {
        None => name,
        Some(note) if name.is_empty() => Cow::Borrowed(note.as_bytes()),
        Some(note) => Cow::Owned([&name, &b" ("[..], note.as_bytes(), b")"].concat()),
    }
}

/// A region in a listing.
pub struct RegionRecord<'a> {
    classified: &'a Classified,
    role: Role,
}

impl<'a> RegionRecord<'a> {
    /// A region as any other.
    pub fn new(classified: &'a Classified) -> RegionRecord<'a> {
        RegionRecord { classified, role: Role::Row }
    }

    /// The region that was asked for.
    pub fn hit(classified: &'a Classified) -> RegionRecord<'a> {
        RegionRecord { classified, role: Role::Hit }
    }
}

impl Record for RegionRecord<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let classified = self.classified;
        let region = classified.facts();
        let counts = &region.counts;
        let detail = detail(self.classified);
        vec![
            Cell::Text(Cow::Borrowed(classified.kind().id())),
            Cell::Text(Cow::Borrowed(classified.title())),
            Cell::Address(region.range.start()),
            Cell::Address(region.range.end()),
            Cell::Size(Some(region.size())),
            Cell::Size(counts.resident),
            Cell::Size(counts.dirty),
            Cell::Size(counts.swapped),
            Cell::Size(counts.proportional),
            Cell::Size(counts.unique),
            Cell::Text(Cow::Borrowed(region.protection.as_str())),
            region.max_protection.map_or(Cell::Empty, |max| Cell::Text(Cow::Borrowed(max.as_str()))),
            Cell::Text(Cow::Borrowed(region.share.code())),
            Cell::Count(region.offset),
            path(self.classified).map_or(Cell::Empty, |path| Cell::Name(Cow::Borrowed(path))),
            if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) },
        ]
    }

    fn role(&self) -> Role {
        self.role
    }

    fn group(&self) -> Option<Group> {
        Some(self.classified.kind().group())
    }
}

fn path(classified: &Classified) -> Option<&[u8]> {
    classified.name()?.path()
}

impl Serialize for RegionRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classified = self.classified;
        let region = classified.facts();
        let detail = detail(self.classified);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("start", &address_value(region.range.start()))?;
        map.serialize_entry("end", &address_value(region.range.end()))?;
        map.serialize_entry("size", &region.size())?;
        map.serialize_entry("protection", region.protection.as_str())?;
        map.serialize_entry("max_protection", &region.max_protection.map(|max| max.as_str()))?;
        map.serialize_entry("share", region.share.id())?;
        map.serialize_entry("kind", classified.kind().id())?;
        map.serialize_entry("type", classified.title())?;
        map.serialize_entry("path", &path(self.classified).map(name_value))?;
        map.serialize_entry("detail", &(!detail.is_empty()).then(|| name_value(&detail)))?;
        map.serialize_entry("offset", &region.offset)?;
        map.serialize_entry("resident", &region.counts.resident)?;
        map.serialize_entry("dirty", &region.counts.dirty)?;
        map.serialize_entry("swapped", &region.counts.swapped)?;
        map.serialize_entry("proportional", &region.counts.proportional)?;
        map.serialize_entry("unique", &region.counts.unique)?;
        if let Native::Macos(native) = &region.native {
            map.serialize_entry("volatile", &native.volatile)?;
            map.serialize_entry("nonvolatile", &native.nonvolatile)?;
            map.serialize_entry("empty", &native.empty)?;
        }
        if let Some(pages) = &region.pages {
            map.serialize_entry("pages", pages)?;
        }
        map.serialize_entry("native", &region.native)?;
        map.end()
    }
}

/// An unmapped hole in a listing.
pub struct GapRecord(pub AddrRange);

impl Record for GapRecord {
    fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = vec![Cell::Empty; COLUMNS.len()];
        cells[0] = Cell::Text(Cow::Borrowed("gap"));
        cells[1] = Cell::Text(Cow::Borrowed("(unmapped)"));
        cells[2] = Cell::Address(self.0.start());
        cells[3] = Cell::Address(self.0.end());
        cells[4] = Cell::Size(Some(self.0.size()));
        cells
    }

    fn role(&self) -> Role {
        Role::Gap(self.0)
    }

    fn group(&self) -> Option<Group> {
        Some(RegionKind::Reserved.group())
    }
}

impl Serialize for GapRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(fields) = gap_value(self.0) else { unreachable!("a gap is an object") };
        fields.serialize(serializer)
    }
}
