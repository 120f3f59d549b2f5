//! The listing: a row for each region.

use std::borrow::Cow;
use std::collections::BTreeSet;

use mmview_platform::{AddrRange, Evidence, NameKind, Native, Warning};
use serde_json::{Value, json};

use super::column::{Column, Columns, EVIDENCE_IDS, Joint, Row, Shows, ValueType};
use super::origins::{Origins, warnings_value};
use super::{Cell, Head, Layout, Note, Record, Role, Spec, Table, Tail, ViewKind, Vocabulary, address_value};
use crate::field::{self, Class, Field, Value as FieldValue};
use crate::kind::Group;
use crate::region::{Classified, Part};

type RegionColumn = Column<Classified>;

/// The column of a field.
pub(super) const fn column(field: &'static Field) -> RegionColumn {
    RegionColumn::of(field, field.title, value)
}

/// The value of a field in a region.
fn value<'a>(region: &'a Classified, field: &'static Field) -> Cell<'a> {
    match field.value(region) {
        FieldValue::Unmeasured if matches!(field.class, Class::Sum | Class::Size) => Cell::Size(None),
        FieldValue::Unmeasured => Cell::Unknown,
        FieldValue::Nothing => Cell::Empty,
        FieldValue::Size(size) => Cell::Size(Some(size)),
        FieldValue::Number(number) => Cell::Count(number),
        FieldValue::Address(address) => Cell::Address(address),
        FieldValue::Truth(is_true) => Cell::text(if is_true { "yes" } else { "no" }),
        FieldValue::Text(text) => Cell::Name(text),
        FieldValue::Kind(kind) => Cell::Kind(kind),
        FieldValue::Protection(protection) => Cell::Protection(protection),
        FieldValue::Share(share) => Cell::Share(share),
    }
}

/// The same, and no field in JSON if the system doesn't report it.
fn value_if_reported<'a>(region: &'a Classified, field: &'static Field) -> Cell<'a> {
    let os = match region.native() {
        Native::Linux(_) => Some("linux"),
        Native::Macos(_) => Some("macos"),
        Native::Windows(_) => Some("windows"),
        _ => None,
    };
    if field.os == os { value(region, field) } else { Cell::Absent }
}

const KIND: RegionColumn = column(&field::KIND).shown(Shows::Machines);
const TYPE: RegionColumn = column(&field::TYPE);
pub(super) const START: RegionColumn = column(&field::START);
pub(super) const END: RegionColumn = column(&field::END).joined(Joint::Range).shown(Shows::Wide);
const SIZE: RegionColumn = column(&field::SIZE);
const RESIDENT: RegionColumn = column(&field::RESIDENT);
const DIRTY: RegionColumn = column(&field::DIRTY);
const SWAPPED: RegionColumn = column(&field::SWAPPED);
const PROPORTIONAL: RegionColumn = column(&field::PSS).shown(Shows::Machines);
const UNIQUE: RegionColumn = column(&field::UNIQUE).shown(Shows::Machines);
const PROTECTION: RegionColumn = column(&field::PERM)
    .typed(ValueType::OptionalProtection)
    .about("The current protection; null if the capture doesn't show it.");
const MAX_PROTECTION: RegionColumn =
    RegionColumn::new("max_protection", "MAX", ValueType::OptionalProtection, |region| {
        region.max_protection().map_or(Cell::Empty, Cell::Protection)
    })
    .joined(Joint::Limit)
    .shown(Shows::Wide)
    .about("The maximum protection that mprotect can set; null if unknown.");
const SHARE: RegionColumn = column(&field::SHARE);
const OFFSET: RegionColumn =
    RegionColumn::machine("offset", ValueType::Offset, |region| match region.facts().has_offset() {
        true => Cell::Count(region.offset()),
        false => Cell::Empty,
    })
    .about("Where it starts in its file, in bytes; null if the capture doesn't show it.");
const PATH: RegionColumn = column(&field::PATH).shown(Shows::Machines);
pub(super) const DETAIL: RegionColumn =
    RegionColumn::new("detail", "REGION DETAIL", ValueType::OptionalName, |region| {
        let detail = detail(region);
        if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) }
    })
    .about("The region's name and what explains it, such as the thread that owns a stack.");

const VOLATILE: RegionColumn = RegionColumn::of(&field::VOLATILE, "", value_if_reported);
const NONVOLATILE: RegionColumn = RegionColumn::of(&field::NONVOLATILE, "", value_if_reported);
const EMPTY: RegionColumn = RegionColumn::of(&field::EMPTY, "", value_if_reported);
const PAGES: RegionColumn = RegionColumn::machine("pages", ValueType::List("page_run"), |region| {
    region.facts().pages.as_ref().map_or(Cell::Absent, |pages| Cell::Data(pages))
})
.about(
    "With --detail pages: runs of pages in the same state, by address. Pages that are neither in memory nor in swap are in no \
     run.",
);
const EVIDENCE: RegionColumn = column(&field::EVIDENCE)
    .shown(Shows::Asked)
    .about(
        "How the purpose is known: from the kernel, from structures in memory or the headers of files, or from a shape, which \
         is likely and not certain.",
    );
pub(super) const IMAGE: RegionColumn =
    RegionColumn::new("image", "BUILD ID", ValueType::OptionalName, |region| {
        let Some(id) = region.native().linux().and_then(|native| native.build_id.as_deref()) else {
            return Cell::Empty;
        };
        let soname = region.native().linux().and_then(|native| native.soname.as_deref());
        let text = soname.map_or_else(|| id.to_owned(), |soname| format!("{id} {soname}"));
        Cell::Name(Cow::Owned(text.into_bytes()))
    })
    .shown(Shows::Asked);
const PARTS_FIELD: RegionColumn =
    RegionColumn::machine("parts", ValueType::List("part"), |region| match region.parts() {
        [] => Cell::Absent,
        parts => Cell::Records(
            parts.iter().map(|part| Box::new(Row::new(&PARTS, part)) as Box<dyn Record>).collect(),
        ),
    })
    .about("What the region consists of, if the kernel joined several things; by address.");
const NATIVE: RegionColumn =
    RegionColumn::machine("native", ValueType::Object("native"), |region| Cell::Data(region.native()));

/// The columns of a region.
pub const COLUMNS: Columns<Classified> = Columns {
    tabular: &[
        KIND,
        TYPE,
        START,
        END,
        SIZE.joined(Joint::Open),
        RESIDENT,
        DIRTY,
        SWAPPED,
        PROPORTIONAL,
        UNIQUE,
        PROTECTION.joined(Joint::Close),
        MAX_PROTECTION,
        SHARE,
        OFFSET,
        PATH,
        EVIDENCE,
        DETAIL,
        IMAGE,
    ],
    json: &[
        START,
        END,
        SIZE,
        PROTECTION,
        MAX_PROTECTION,
        SHARE,
        KIND,
        TYPE,
        EVIDENCE,
        PATH,
        DETAIL,
        OFFSET,
        RESIDENT,
        DIRTY,
        SWAPPED,
        PROPORTIONAL,
        UNIQUE,
        VOLATILE,
        NONVOLATILE,
        EMPTY,
        PARTS_FIELD,
        PAGES,
        NATIVE,
    ],
};

type PartColumn = Column<Part>;

const PART_KIND: PartColumn = PartColumn::machine("kind", ValueType::Kind, |part| Cell::Kind(part.kind()));
const PART_TYPE: PartColumn =
    PartColumn::new("type", "", ValueType::Type, |part| Cell::text(format!(" {}", part.title())));
const PART_TITLE: PartColumn = PartColumn::machine("type", ValueType::Type, |part| Cell::text(part.title()));
const PART_START: PartColumn =
    PartColumn::new("start", "", ValueType::Address, |part| Cell::Address(part.range().start()));
const PART_END: PartColumn =
    PartColumn::new("end", "", ValueType::Address, |part| Cell::Address(part.range().end()));
const PART_SIZE: PartColumn =
    PartColumn::new("size", "", ValueType::Size, |part| Cell::Size(Some(part.range().size())));
const PART_RESIDENT: PartColumn =
    PartColumn::new("resident", "", ValueType::Measured, |part| Cell::Size(part.counts().resident));
const PART_DIRTY: PartColumn =
    PartColumn::new("dirty", "", ValueType::Measured, |part| Cell::Size(part.counts().dirty));
const PART_SWAPPED: PartColumn =
    PartColumn::new("swapped", "", ValueType::Measured, |part| Cell::Size(part.counts().swapped));
pub(super) const PART_NOTHING: PartColumn = PartColumn::new("", "", ValueType::Text, |_| Cell::Empty);
const PART_DETAIL: PartColumn = PartColumn::new("detail", "", ValueType::OptionalName, |part| {
    part.note().map_or(Cell::Empty, |note| Cell::Name(Cow::Borrowed(note.as_bytes())))
});
const PART_EVIDENCE: PartColumn =
    PartColumn::new("evidence", "", ValueType::Word(EVIDENCE_IDS), |part| Cell::text(part.evidence().id()));
const PART_OWNER: PartColumn = PartColumn::machine("owner", ValueType::OptionalName, |part| {
    part.owner().map_or(Cell::Empty, |owner| Cell::Name(Cow::Borrowed(owner.as_bytes())))
});
const PART_ZONE: PartColumn = PartColumn::machine("zone", ValueType::OptionalName, |part| {
    part.zone().map_or(Cell::Empty, |zone| Cell::Name(Cow::Borrowed(zone.as_bytes())))
});

/// A part of a region, under the columns of the regions.
pub const PARTS: Columns<Part> = Columns {
    tabular: &[
        PART_KIND,
        PART_TYPE,
        PART_START,
        PART_END,
        PART_SIZE,
        PART_RESIDENT,
        PART_DIRTY,
        PART_SWAPPED,
        PART_NOTHING,
        PART_NOTHING,
        PART_NOTHING,
        PART_NOTHING,
        PART_NOTHING,
        PART_NOTHING,
        PART_NOTHING,
        PART_EVIDENCE,
        PART_DETAIL,
    ],
    json: &[
        PART_START,
        PART_END,
        PART_SIZE,
        PART_KIND,
        PART_TITLE,
        PART_DETAIL,
        PART_EVIDENCE,
        PART_OWNER,
        PART_ZONE,
        PART_RESIDENT,
        PART_DIRTY,
        PART_SWAPPED,
    ],
};

/// The parts of a region as rows, none if it is one thing.
pub fn parts(region: &Classified) -> impl Iterator<Item = Row<'_, Part>> {
    region.parts().iter().map(|part| Row::new(&PARTS, part).group(part.kind().group()).role(Role::Part))
}

/// The columns of a region that explains something else: no sizes in memory.
pub const SHORT: Columns<Classified> =
    Columns { tabular: &[TYPE, START, END, SIZE, PROTECTION, SHARE, DETAIL], json: COLUMNS.json };

/// A region as a row.
pub fn row(region: &Classified) -> Row<'_, Classified> {
    Row::new(&COLUMNS, region).group(region.kind().group())
}

/// Regions as nested JSON objects.
pub fn records(regions: &[Classified]) -> Vec<Box<dyn Record + '_>> {
    regions.iter().map(|region| Box::new(row(region)) as Box<dyn Record>).collect()
}

/// What comes before the rows; `chosen` are the columns that the user chose.
pub fn head(origins: &Origins, chosen: Option<Vec<Spec>>) -> Head {
    let table = Table::new(("regions", "region"), &COLUMNS, Layout::Streamed);
    let table = match chosen {
        Some(columns) => Table { columns, is_chosen: true, ..table },
        None => table,
    };
    Head {
        view: ViewKind::Regions,
        target: origins.target(),
        sections: vec![origins.section(None)],
        fields: origins.fields(ViewKind::Regions),
        tables: vec![Table { vocabulary: Vocabulary::of(origins.source.os), ..table }],
    }
}

/// What comes after the rows. `largest_gap` is there if gaps were asked for.
pub fn tail(warnings: &[Warning], largest_gap: Option<Option<AddrRange>>) -> Tail {
    let mut tail = Tail::default();
    if let Some(largest) = largest_gap {
        tail.fields.insert("largest_gap".to_owned(), largest.map_or(Value::Null, gap_value));
        tail.notes.push(Note::LargestGap(largest));
    }
    tail.fields.insert("warnings".to_owned(), warnings_value(warnings));
    tail
}

/// The types of listed regions whose purpose size and neighbors alone suggest.
#[derive(Debug, Default)]
pub struct Likely(BTreeSet<String>);

impl Likely {
    /// Adds a region that is listed.
    pub fn add(&mut self, region: &Classified) {
        if region.evidence() == Evidence::Shape && !self.0.contains(region.title()) {
            self.0.insert(region.title().to_owned());
        }
    }

    /// The note about them, if there are any.
    pub fn note(self) -> Option<Note> {
        (!self.0.is_empty()).then(|| Note::ByShape(self.0.into_iter().collect()))
    }
}

fn gap_value(gap: AddrRange) -> Value {
    json!({ "start": address_value(gap.start()), "end": address_value(gap.end()), "size": gap.size() })
}

/// What a region's row adds to its type: its name, and what explains it. Not escaped.
pub fn detail(region: &Classified) -> Cow<'_, [u8]> {
    let name: Cow<'_, [u8]> = match region.name() {
        None => Cow::Borrowed(b""),
        Some(name) if name.bytes() == region.title().as_bytes() => Cow::Borrowed(b""),
        Some(name) => match name.kind() {
            NameKind::Given => Cow::Owned([b"[anon:", name.bytes(), b"]"].concat()),
            NameKind::GivenShared => Cow::Owned([b"[anon_shmem:", name.bytes(), b"]"].concat()),
            _ if name.is_deleted() => Cow::Owned([name.bytes(), b" (deleted)"].concat()),
            _ => Cow::Borrowed(name.bytes()),
        },
    };
    let note = match region.parts().len() {
        0 => region.note().map(Cow::Borrowed),
        count => Some(match region.note() {
            Some(note) => Cow::Owned(format!("{count} parts, the largest: {note}")),
            None => Cow::Owned(format!("{count} parts")),
        }),
    };
    match note {
        None => name,
        Some(Cow::Borrowed(note)) if name.is_empty() => Cow::Borrowed(note.as_bytes()),
        Some(note) if name.is_empty() => Cow::Owned(note.into_owned().into_bytes()),
        Some(note) => Cow::Owned([&name, &b" ("[..], note.as_bytes(), b")"].concat()),
    }
}

const GAP_KIND: Column<AddrRange> = Column::machine("kind", ValueType::Text, |_| Cell::text("gap"));
const GAP_TYPE: Column<AddrRange> = Column::new("type", "", ValueType::Type, |_| Cell::text("(unmapped)"));
const GAP_START: Column<AddrRange> =
    Column::new("start", "", ValueType::Address, |gap| Cell::Address(gap.start()));
const GAP_END: Column<AddrRange> = Column::new("end", "", ValueType::Address, |gap| Cell::Address(gap.end()));
const GAP_SIZE: Column<AddrRange> =
    Column::new("size", "", ValueType::Size, |gap| Cell::Size(Some(gap.size())));

/// An unmapped gap, under the columns of the regions.
pub const GAP: Columns<AddrRange> = Columns {
    tabular: &[GAP_KIND, GAP_TYPE, GAP_START, GAP_END, GAP_SIZE],
    json: &[GAP_START, GAP_END, GAP_SIZE],
};

/// A gap as a row.
pub fn gap(gap: &AddrRange) -> Row<'_, AddrRange> {
    Row::new(&GAP, gap).role(Role::Gap(*gap)).group(Group::Reserved)
}
