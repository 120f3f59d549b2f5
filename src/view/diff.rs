//! What is different between two maps: a table of types, one of files, and one of regions.

use std::borrow::Cow;
use std::time::Duration;

use mmview_platform::{Origin, Warning};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::change::sentence;
use super::process::{Origins, local, warnings_value};
use super::regions::{RegionRecord, counted};
use super::{
    Cell, Column, Head, Layout, Record, Role, SCHEMA, Shows, Table, Tail, address_value, name_value,
};
use crate::diff::{
    Change, ChangeKind, Delta, Diff, FileChange, TypeChange, by_file, by_type, is_by_type_only,
};
use crate::kind::Group;
use crate::region::Classified;
use crate::snapshot::Snapshot;
use crate::text::printable;
use crate::units::Units;

const TYPE_COLUMNS: [Column; 7] = [
    Column::text("kind", "", 0).shown(Shows::MachineOnly),
    Column::text("type", "\nREGION TYPE", 0),
    Column::number("virtual", "VIRTUAL\nSIZE", 0),
    Column::number("resident", "RESIDENT\nSIZE", 0),
    Column::number("dirty", "DIRTY\nSIZE", 0),
    Column::number("swapped", "SWAPPED\nSIZE", 0),
    Column::number("regions", "REGION\nCOUNT", 0),
];

const FILE_COLUMNS: [Column; 6] = [
    Column::number("virtual", "VIRTUAL", 9).after(""),
    Column::number("resident", "RESIDENT", 9),
    Column::number("dirty", "DIRTY", 9),
    Column::number("swapped", "SWAPPED", 9),
    Column::number("regions", "COUNT", 6),
    Column::text("path", "FILE", 0).after("  "),
];

const CHANGE_COLUMNS: [Column; 13] = [
    Column::text("change", "", 0).shown(Shows::MachineOnly),
    Column::text("mark", "", 1).after("").shown(Shows::TableOnly),
    Column::number("start", "START", 12),
    Column::text("end", "END", 12).after("-").shown(Shows::Wide),
    Column::text("what", "WHAT CHANGED", 0).after("  ").shown(Shows::TableOnly),
    Column::text("kind", "", 0).shown(Shows::MachineOnly),
    Column::text("type", "", 0).shown(Shows::MachineOnly),
    Column::number("virtual", "", 0).shown(Shows::MachineOnly),
    Column::number("resident", "", 0).shown(Shows::MachineOnly),
    Column::number("dirty", "", 0).shown(Shows::MachineOnly),
    Column::number("swapped", "", 0).shown(Shows::MachineOnly),
    Column::number("regions", "", 0).shown(Shows::MachineOnly),
    Column::text("path", "", 0).shown(Shows::MachineOnly),
];

/// Two processes that are compared are never looked at in the same moment.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// Two maps and what is different between them.
pub struct Comparison<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    diff: &'a Diff,
    types: Vec<TypeChange>,
    total: Delta,
    files: Vec<FileChange>,
    units: Units,
}

impl<'a> Comparison<'a> {
    /// What is different between two maps, of which `diff` says how they differ by region.
    pub fn new(before: &'a Snapshot, after: &'a Snapshot, diff: &'a Diff, units: Units) -> Comparison<'a> {
        let (types, total) = by_type(before, after);
        Comparison { before, after, diff, types, total, files: by_file(before, after), units }
    }

    /// What stands before the rows.
    pub fn head(&self) -> Head {
        let Value::Object(fields) = json!({
            "schema": SCHEMA,
            "view": "diff",
            "before": side_value(self.before),
            "after": side_value(self.after),
        }) else {
            unreachable!("an object literal is an object")
        };
        let table = |rows, columns: &[Column], layout| Table { rows, columns: columns.to_vec(), layout };
        Head {
            view: "diff",
            target: format!("{} {}", self.before.origins().target(), self.after.origins().target()),
            text: vec![side("Before:", self.before), side("After:", self.after) + &self.later()],
            fields,
            tables: vec![
                table(("types", "type"), &TYPE_COLUMNS, Layout::Fitted),
                table(("files", "file"), &FILE_COLUMNS, Layout::Streamed),
                table(("changes", "change"), &CHANGE_COLUMNS, Layout::Streamed),
            ],
        }
    }

    /// How long after the first map the second was read.
    fn later(&self) -> String {
        let times = self.before.taken.zip(self.after.taken);
        let later = times.and_then(|(before, after)| after.duration_since(before).ok());
        let later = later.filter(|later| *later >= WORTH_TELLING);
        later.map_or_else(String::new, |later| format!(", {} later", elapsed(later)))
    }

    /// The rows of each table.
    pub fn records(&self) -> [Vec<Box<dyn Record + '_>>; 3] {
        let mut types: Vec<Box<dyn Record>> = Vec::new();
        if !self.types.is_empty() {
            types.push(Box::new(Line::Rule));
            types.extend(self.types.iter().map(|change| Box::new(change) as Box<dyn Record>));
            types.push(Box::new(Line::Rule));
            types.push(Box::new(Line::Total(self.total)));
        }
        let files = self.files.iter().map(|change| Box::new(change) as Box<dyn Record>);
        let changes = self.diff.biggest().into_iter();
        let changes =
            changes.map(|change| Box::new(ChangeRecord { change, units: self.units }) as Box<dyn Record>);
        [types, files.collect(), changes.collect()]
    }

    /// What stands after the rows.
    pub fn tail(&self, warnings: &[Warning]) -> Tail {
        let count = |kind| self.diff.changes.iter().filter(|change| change.kind == kind).count();
        let moved = self
            .diff
            .changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Moved && !change.is_notable())
            .count();
        let incidental = count(ChangeKind::Incidental);
        let mut notes = Vec::new();
        let is_partly_measured = self.is_partly_measured();
        if self.types.is_empty() && !self.diff.changes.iter().any(Change::is_notable) {
            notes.push(match is_partly_measured {
                true => "There is no difference in what was measured in both.".to_owned(),
                false => "There is no difference.".to_owned(),
            });
        }
        if moved > 0 {
            notes.push(format!("{} at other addresses, otherwise the same.", lie(moved)));
        }
        if incidental > 0 && !is_partly_measured {
            notes.push(format!(
                "{} only in what changes by itself: shares of pages with other processes, references, flags.",
                differ(incidental)
            ));
        }
        if is_partly_measured && !self.types.is_empty() {
            notes.push("- was not measured in both.".to_owned());
        }
        if is_by_type_only(self.before, self.after) {
            notes.push("One of the two lists no regions: only the types can be compared.".to_owned());
        }
        let kinds: serde_json::Map<_, _> =
            ChangeKind::ALL.into_iter().map(|kind| (kind.id().to_owned(), count(kind).into())).collect();
        let fields = json!({
            "total": self.total,
            "unchanged": self.diff.unchanged,
            "counts": kinds,
            "warnings": warnings_value(warnings),
        });
        let Value::Object(fields) = fields else { unreachable!("an object literal is an object") };
        Tail { fields, notes }
    }

    fn is_partly_measured(&self) -> bool {
        let Delta { resident, dirty, swapped, .. } = self.total;
        resident.is_none() || dirty.is_none() || swapped.is_none()
    }
}

fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

fn lie(count: usize) -> String {
    format!("{} {}", counted(count), if count == 1 { "lies" } else { "lie" })
}

fn differ(count: usize) -> String {
    format!("{} {}", counted(count), if count == 1 { "differs" } else { "differ" })
}

/// What is compared, in a line: `Before:  python3 [1333], 2026-11-24 06:00:00.123 +0000, 48 regions (a.mmview)`.
fn side(label: &str, snapshot: &Snapshot) -> String {
    let process = &snapshot.process;
    let name = process.name.as_deref().map(printable);
    let pid = process.pid.map(|pid| format!("[{pid}]"));
    let who: Vec<_> = name.into_iter().chain(pid).collect();
    let path = match &snapshot.source.origin {
        Origin::Capture { path, .. } => Some(printable(path.as_os_str().as_encoded_bytes())),
        _ => None,
    };
    let who = if who.is_empty() { path.clone().unwrap_or_default() } else { who.join(" ") };
    let file = path.filter(|path| *path != who).map(|path| format!(" ({path})"));
    let regions = match snapshot.regions.len() {
        0 => None,
        count => Some(counted(count)),
    };
    let parts = [Some(who), snapshot.taken.map(local), regions];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{label:<17}{}{}", parts.join(", "), file.unwrap_or_default())
}

fn side_value(snapshot: &Snapshot) -> Value {
    let mut fields = snapshot.origins().fields("diff");
    fields.retain(|key, _| key != "schema" && key != "view");
    fields.into()
}

impl Snapshot {
    /// Where it comes from and whose it is, as every view begins.
    pub fn origins(&self) -> Origins {
        Origins {
            source: self.source.clone(),
            process: self.process.clone(),
            taken: self.taken,
            detail: self.detail,
        }
    }
}

/// The cells of the sizes: address space, resident, dirty, swapped, and how many regions.
fn deltas(delta: &Delta) -> [Cell<'static>; 5] {
    [
        Cell::Delta(Some(delta.virtual_size)),
        Cell::Delta(delta.resident),
        Cell::Delta(delta.dirty),
        Cell::Delta(delta.swapped),
        Cell::CountDelta(delta.regions),
    ]
}

impl Record for &TypeChange {
    fn cells(&self) -> Vec<Cell<'_>> {
        let names = [Cell::Text(self.kind.id().into()), Cell::Text(Cow::Borrowed(&self.title))];
        names.into_iter().chain(deltas(&self.delta)).collect()
    }

    fn group(&self) -> Option<Group> {
        Some(self.kind.group())
    }
}

impl Serialize for TypeChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind.id())?;
        map.serialize_entry("type", &self.title)?;
        map.serialize_entry("delta", &self.delta)?;
        map.end()
    }
}

impl Record for &FileChange {
    fn cells(&self) -> Vec<Cell<'_>> {
        deltas(&self.delta).into_iter().chain([Cell::Name(Cow::Borrowed(&self.path))]).collect()
    }
}

impl Serialize for FileChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &name_value(&self.path))?;
        map.serialize_entry("delta", &self.delta)?;
        map.end()
    }
}

/// A line for people under the types: a rule, or the sum.
#[derive(serde::Serialize)]
enum Line {
    Rule,
    Total(Delta),
}

impl Record for Line {
    fn cells(&self) -> Vec<Cell<'_>> {
        match self {
            Line::Rule => TYPE_COLUMNS.iter().map(|_| Cell::Rule).collect(),
            Line::Total(delta) => {
                let names = [Cell::Empty, Cell::Text("TOTAL".into())];
                names.into_iter().chain(deltas(delta)).collect()
            }
        }
    }

    fn role(&self) -> Role {
        Role::Total
    }
}

/// A change in a list.
pub struct ChangeRecord<'a> {
    /// The change.
    pub change: &'a Change,
    /// How sizes are written.
    pub units: Units,
}

impl Record for ChangeRecord<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let classified = self.change.region();
        let region = classified.facts();
        let path = region.name.as_ref().and_then(|name| name.path());
        let mut cells = vec![
            Cell::Text(self.change.kind.id().into()),
            Cell::Text(self.change.kind.mark().into()),
            Cell::Address(self.change.range().start()),
            Cell::Address(self.change.range().end()),
            Cell::Name(sentence(self.change, self.units).into()),
            Cell::Text(classified.kind().id().into()),
            Cell::Text(Cow::Borrowed(classified.title())),
        ];
        cells.extend(deltas(&self.change.delta()));
        cells.push(path.map_or(Cell::Empty, |path| Cell::Name(Cow::Borrowed(path))));
        cells
    }
}

/// What JSON says of a change: what it is, in a word and in a sentence, by how much, and the regions before and after.
pub(super) fn serialize_change<M: SerializeMap>(
    map: &mut M,
    change: &Change,
    units: Units,
) -> Result<(), M::Error> {
    fn records(regions: &[Classified]) -> Vec<RegionRecord<'_>> {
        regions.iter().map(RegionRecord::new).collect()
    }
    map.serialize_entry("change", change.kind.id())?;
    map.serialize_entry("start", &address_value(change.range().start()))?;
    map.serialize_entry("end", &address_value(change.range().end()))?;
    map.serialize_entry("what", &name_value(&sentence(change, units)))?;
    map.serialize_entry("delta", &change.delta())?;
    map.serialize_entry("before", &records(&change.before))?;
    map.serialize_entry("after", &records(&change.after))
}

impl Serialize for ChangeRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_change(&mut map, self.change, self.units)?;
        map.end()
    }
}
