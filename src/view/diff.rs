//! The differences between two maps: a table of types, one of files, and one of regions.

use std::time::Duration;

use mmview_platform::{Origin, Warning};
use serde_json::{Map, Value, json};

use super::column::{Column, Columns, Joint, Row, Shows, ValueType};
use super::origins::{Origins, warnings_value};
use super::section::Side;
use super::{
    Cell, Fact, Head, Label, Layout, Line, Note, Record, Role, SCHEMA, Section, SectionKind, Table, Tail,
    ViewKind, fields, regions,
};
use crate::diff::{
    Change, ChangeKind, Delta, Diff, FileChange, TypeChange, ZoneChange, by_file, by_type, by_zone,
    is_by_type_only,
};
use crate::kind::{Group, RegionKind};
use crate::snapshot::Snapshot;

/// Two processes that are compared are never read at the same moment; less than this is not worth a word.
const WORTH_A_WORD: Duration = Duration::from_millis(100);

/// Something that has a difference in sizes.
trait Differs {
    fn delta(&self) -> Delta;
}

impl Differs for TypeRow {
    fn delta(&self) -> Delta {
        self.delta
    }
}

impl Differs for FileChange {
    fn delta(&self) -> Delta {
        self.delta
    }
}

impl Differs for Change {
    fn delta(&self) -> Delta {
        Change::delta(self)
    }
}

const fn virtual_size<R: Differs>(title: &'static str) -> Column<R> {
    Column::new("virtual", title, ValueType::Delta, |row| Cell::Delta(Some(row.delta().virtual_size)))
}

const fn resident<R: Differs>(title: &'static str) -> Column<R> {
    Column::new("resident", title, ValueType::Delta, |row| Cell::Delta(row.delta().resident))
}

const fn dirty<R: Differs>(title: &'static str) -> Column<R> {
    Column::new("dirty", title, ValueType::Delta, |row| Cell::Delta(row.delta().dirty))
}

const fn swapped<R: Differs>(title: &'static str) -> Column<R> {
    Column::new("swapped", title, ValueType::Delta, |row| Cell::Delta(row.delta().swapped))
}

const fn count<R: Differs>(title: &'static str) -> Column<R> {
    Column::new("regions", title, ValueType::CountDelta, |row| Cell::CountDelta(row.delta().regions))
}

/// All of them, as one JSON object.
const fn delta<R: Differs>() -> Column<R> {
    Column::machine("delta", ValueType::Object("delta"), |row| Cell::Value(json!(row.delta())))
}

/// How a type, or everything, differs.
#[derive(Clone, Debug)]
pub struct TypeRow {
    kind: Option<RegionKind>,
    title: String,
    delta: Delta,
}

const TYPE_KIND: Column<TypeRow> =
    Column::machine("kind", ValueType::Kind, |row| row.kind.map_or(Cell::Empty, Cell::Kind));
const TYPE: Column<TypeRow> =
    Column::new("type", "\nREGION TYPE", ValueType::Type, |row| Cell::text(&row.title));

/// The columns of the types.
pub const TYPES: Columns<TypeRow> = Columns {
    tabular: &[
        TYPE_KIND,
        TYPE,
        virtual_size("VIRTUAL\nSIZE"),
        resident("RESIDENT\nSIZE"),
        dirty("DIRTY\nSIZE"),
        swapped("SWAPPED\nSIZE"),
        count("REGION\nCOUNT"),
    ],
    json: &[TYPE_KIND, TYPE, delta()],
};

type ZoneColumn = Column<ZoneChange>;

const ZONE_OWNER: ZoneColumn = ZoneColumn::machine("owner", ValueType::Text, |zone| Cell::text(&*zone.owner));
const ZONE_VIRTUAL: ZoneColumn = ZoneColumn::new("virtual", "VIRTUAL\nSIZE", ValueType::Delta, |zone| {
    Cell::Delta(Some(zone.virtual_size))
});
const ZONE_RESIDENT: ZoneColumn =
    ZoneColumn::new("resident", "RESIDENT\nSIZE", ValueType::Delta, |zone| Cell::Delta(zone.resident));
const ZONE_ALLOCATIONS: ZoneColumn =
    ZoneColumn::new("allocations", "ALLOCATION\nCOUNT", ValueType::OptionalCountDelta, |zone| {
        zone.allocations.map_or(Cell::Delta(None), Cell::CountDelta)
    });
const ZONE_ALLOCATED: ZoneColumn =
    ZoneColumn::new("allocated", "BYTES\nALLOCATED", ValueType::Delta, |zone| Cell::Delta(zone.allocated));
const ZONE_EXACT: ZoneColumn =
    ZoneColumn::machine("exact", ValueType::Truth, |zone| Cell::Value(zone.is_exact.into()));

/// The columns of the zones.
pub const ZONES: Columns<ZoneChange> = Columns {
    tabular: &[
        ZoneColumn::new("zone", "\nMALLOC ZONE", ValueType::Label, |zone| Cell::text(&*zone.zone)),
        ZONE_OWNER,
        ZONE_VIRTUAL,
        ZONE_RESIDENT,
        ZONE_ALLOCATIONS,
        ZONE_ALLOCATED,
        ZONE_EXACT,
    ],
    json: &[
        ZoneColumn::machine("zone", ValueType::Text, |zone| Cell::text(&*zone.zone)),
        ZONE_OWNER,
        ZONE_VIRTUAL,
        ZONE_RESIDENT,
        ZONE_ALLOCATIONS,
        ZONE_ALLOCATED,
        ZONE_EXACT,
    ],
};

/// A zone's change as a JSON object.
pub fn zone_value(zone: &ZoneChange) -> Value {
    json!({
        "zone": zone.zone,
        "owner": zone.owner,
        "virtual": zone.virtual_size,
        "resident": zone.resident,
        "allocations": zone.allocations,
        "allocated": zone.allocated,
        "exact": zone.is_exact,
    })
}

const FILE: Column<FileChange> =
    Column::<FileChange>::new("path", "FILE", ValueType::Name, |file| Cell::name(Some(&file.path)))
        .joined(Joint::Wide);

/// The columns of the files.
pub const FILES: Columns<FileChange> = Columns {
    tabular: &[
        virtual_size("VIRTUAL"),
        resident("RESIDENT"),
        dirty("DIRTY"),
        swapped("SWAPPED"),
        count("COUNT"),
        FILE,
    ],
    json: &[FILE, delta()],
};

/// What happened to a region, as an identifier.
pub(super) const CHANGE_IDS: &[&str] = &{
    let mut ids = [""; ChangeKind::ALL.len()];
    let mut index = 0;
    while index < ids.len() {
        ids[index] = ChangeKind::ALL[index].id();
        index += 1;
    }
    ids
};

pub(super) const CHANGE: Column<Change> =
    Column::<Change>::machine("change", ValueType::Word(CHANGE_IDS), |change| Cell::text(change.kind.id()));
pub(super) const MARK: Column<Change> =
    Column::<Change>::new("mark", "", ValueType::Mark, |change| Cell::text(change.kind.mark()))
        .shown(Shows::People);
pub(super) const START: Column<Change> =
    Column::<Change>::new("start", "START", ValueType::Address, |change| Cell::Address(change.range().start())).about(
        "Of the first of the regions, before and after; end: of the last. Of a region that has moved, where it is now.",
    );
pub(super) const END: Column<Change> =
    Column::<Change>::new("end", "END", ValueType::Address, |change| Cell::Address(change.range().end()))
        .joined(Joint::Range)
        .shown(Shows::Wide);
pub(super) const WHAT: Column<Change> =
    Column::<Change>::new("what", "WHAT CHANGED", ValueType::Name, |change| Cell::Change(change))
        .shown(Shows::People)
        .about("The change in words.");
pub(super) const KIND: Column<Change> =
    Column::<Change>::machine("kind", ValueType::Kind, |change| Cell::Kind(change.region().kind()));
pub(super) const CHANGE_TYPE: Column<Change> =
    Column::<Change>::machine("type", ValueType::Type, |change| Cell::text(change.region().title()));
pub(super) const PATH: Column<Change> =
    Column::<Change>::machine("path", ValueType::OptionalName, |change| Cell::name(change.region().path()));
pub(super) const BEFORE: Column<Change> =
    Column::<Change>::machine("before", ValueType::List("region"), |change| {
        Cell::Records(regions::records(&change.before))
    });
pub(super) const AFTER: Column<Change> =
    Column::<Change>::machine("after", ValueType::List("region"), |change| {
        Cell::Records(regions::records(&change.after))
    });
pub(super) const VIRTUAL: Column<Change> = virtual_size("").shown(Shows::Machines);
pub(super) const RESIDENT: Column<Change> = resident("").shown(Shows::Machines);
pub(super) const DIRTY: Column<Change> = dirty("").shown(Shows::Machines);
pub(super) const SWAPPED: Column<Change> = swapped("").shown(Shows::Machines);

/// The columns of the changes.
pub const CHANGES: Columns<Change> = Columns {
    tabular: &[
        CHANGE,
        MARK,
        START,
        END,
        WHAT.joined(Joint::Wide),
        KIND,
        CHANGE_TYPE,
        VIRTUAL,
        RESIDENT,
        DIRTY,
        SWAPPED,
        count("").shown(Shows::Machines),
        PATH,
    ],
    json: &[CHANGE, START, END, WHAT, delta(), BEFORE, AFTER],
};

/// Two maps and their differences.
pub struct Comparison<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    diff: &'a Diff,
    types: Vec<TypeChange>,
    total: Delta,
    zones: Vec<ZoneChange>,
    files: Vec<FileChange>,
}

impl<'a> Comparison<'a> {
    /// The differences between two maps; `diff` has those between their regions.
    pub fn new(before: &'a Snapshot, after: &'a Snapshot, diff: &'a Diff) -> Comparison<'a> {
        let (types, total) = by_type(before, after);
        let zones = by_zone(before, after);
        Comparison { before, after, diff, types, total, zones, files: by_file(before, after) }
    }

    /// What comes before the rows.
    pub fn head(&self) -> Head {
        let before = side(self.before, None);
        let after = side(self.after, self.later());
        let lines =
            vec![Line::Fact(Label::Before, Fact::Side(before)), Line::Fact(Label::After, Fact::Side(after))];
        let (before, after) = (Origins::from(self.before), Origins::from(self.after));
        Head {
            view: ViewKind::Diff,
            target: format!("{} {}", before.target(), after.target()),
            sections: vec![Section::new(SectionKind::Process, lines)],
            fields: fields(json!({
                "schema": SCHEMA,
                "view": ViewKind::Diff.id(),
                "before": side_value(&before),
                "after": side_value(&after),
            })),
            tables: vec![
                Table::new(("types", "type"), &TYPES, Layout::Fitted),
                Table::new(("zones", "zone"), &ZONES, Layout::Fitted),
                Table::new(("files", "file"), &FILES, Layout::Streamed),
                Table::new(("changes", "change"), &CHANGES, Layout::Streamed),
            ],
        }
    }

    /// How long after the first map the second was read.
    fn later(&self) -> Option<Duration> {
        let (before, after) = self.before.taken.zip(self.after.taken)?;
        after.duration_since(before).ok().filter(|later| *later >= WORTH_A_WORD)
    }

    /// The rows of each table.
    pub fn records(&self) -> [Vec<Box<dyn Record + '_>>; 4] {
        fn boxed<'a>(record: impl Record + 'a) -> Box<dyn Record + 'a> {
            Box::new(record)
        }
        let mut types = Vec::new();
        if !self.types.is_empty() {
            let line = |kind, title: &str, delta| TypeRow { kind, title: title.to_owned(), delta };
            let rule = || boxed(Row::owned(&TYPES, line(None, "", Delta::default())).role(Role::Rule));
            types.push(rule());
            types.extend(self.types.iter().map(|change| {
                let row = line(Some(change.kind), &change.title, change.delta);
                boxed(Row::owned(&TYPES, row).group(change.kind.group()))
            }));
            types.push(rule());
            types.push(boxed(Row::owned(&TYPES, line(None, "TOTAL", self.total)).role(Role::Total)));
        }
        let files = self.files.iter().map(|file| boxed(Row::new(&FILES, file)));
        let changes = self.diff.biggest().into_iter().map(|change| boxed(Row::new(&CHANGES, change)));
        let zones = self.zones.iter().map(|zone| boxed(Row::new(&ZONES, zone).group(Group::Heap)));
        [types, zones.collect(), files.collect(), changes.collect()]
    }

    /// What comes after the rows.
    pub fn tail(&self, warnings: &[Warning]) -> Tail {
        let count = |kind| self.diff.changes.iter().filter(|change| change.kind == kind).count();
        let is_only_moved = |change: &&Change| change.kind == ChangeKind::Moved && !change.is_notable();
        let moved = self.diff.changes.iter().filter(is_only_moved).count();
        let incidental = count(ChangeKind::Incidental);
        let is_partly_measured = self.is_partly_measured();
        let mut notes = Vec::new();
        if self.types.is_empty() && !self.diff.changes.iter().any(Change::is_notable) {
            notes.push(Note::Same { in_everything: !is_partly_measured });
        }
        if moved > 0 {
            notes.push(Note::OnlyMoved(moved));
        }
        if incidental > 0 && !is_partly_measured {
            notes.push(Note::OnlyIncidental(incidental));
        }
        if is_partly_measured && !self.types.is_empty() {
            notes.push(Note::NotMeasuredInBoth);
        }
        if is_by_type_only(self.before, self.after) {
            notes.push(Note::TypesOnly);
        }
        let kinds: Map<_, _> =
            ChangeKind::ALL.into_iter().map(|kind| (kind.id().to_owned(), count(kind).into())).collect();
        let fields = fields(json!({
            "total": self.total,
            "unchanged": self.diff.unchanged,
            "counts": kinds,
            "warnings": warnings_value(warnings),
        }));
        Tail { fields, notes }
    }

    fn is_partly_measured(&self) -> bool {
        let Delta { resident, dirty, swapped, .. } = self.total;
        resident.is_none() || dirty.is_none() || swapped.is_none()
    }
}

fn side(snapshot: &Snapshot, later: Option<Duration>) -> Side {
    let process = &snapshot.process;
    let path = match &snapshot.source.origin {
        Origin::Capture { path, .. } => Some(path.clone()),
        _ => None,
    };
    let regions = snapshot.regions.len();
    Side { name: process.name.clone(), pid: process.pid, path, taken: snapshot.taken, regions, later }
}

fn side_value(origins: &Origins) -> Value {
    let mut fields = origins.fields(ViewKind::Diff);
    fields.retain(|key, _| key != "schema" && key != "view");
    fields.into()
}
