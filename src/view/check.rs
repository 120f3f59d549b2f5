//! Checks: whether each holds, and what was found instead.

use std::borrow::Cow;

use mmview_platform::{CaptureFormat, Detail, Origin, Warning};
use serde_json::{Value, json};

use super::column::{Column, Columns, Row, ValueType};
use super::origins::{Origins, warnings_value};
use super::{Block, Cell, Head, Layout, Note, Record, Remedy, RemedySource, Table, Tail, ViewKind, regions};
use crate::check::{Check, Evidence, Found, FoundRegion, Verdict};
use crate::field::Field;
use crate::region::Classified;

/// A check that was made.
pub struct CheckRecord<'a> {
    check: &'a Check,
    verdict: Verdict,
    found: Found<'a>,
    /// What would decide it.
    remedy: Option<Remedy>,
}

impl<'a> CheckRecord<'a> {
    /// Makes `check` on a map that comes from `origins`.
    pub fn new(check: &'a Check, evidence: Evidence<'a>, origins: &Origins) -> CheckRecord<'a> {
        let (verdict, found) = (check.verdict(evidence), check.explain(evidence));
        let remedy = (verdict == Verdict::Unknown).then(|| remedy(&found, origins)).flatten();
        CheckRecord { check, verdict, found, remedy }
    }

    /// Whether it holds.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The number that it found, if it asked for one.
    fn value(&self) -> Option<u64> {
        let mut values = self.found.findings.iter().filter_map(|finding| finding.value);
        values.next().filter(|_| values.next().is_none())
    }
}

/// Where the measurements are that a check lacks.
fn remedy(found: &Found<'_>, origins: &Origins) -> Option<Remedy> {
    if found.unmeasured.is_empty() {
        return None;
    }
    let is_macos = origins.source.os == "macos";
    let source = match &origins.source.origin {
        _ if let Some(system) = only_elsewhere(found, origins) => RemedySource::Only(system),
        _ if found.unmeasured.contains("deleted") && is_macos => RemedySource::UnlinkedOnMacos,
        Origin::Capture { format: CaptureFormat::Maps, .. } => RemedySource::Smaps,
        Origin::Capture { format: CaptureFormat::Vmmap, .. } if found.unmeasured.contains("whole path") => {
            RemedySource::WholePaths
        }
        Origin::Capture { format: CaptureFormat::Vmmap, .. } => RemedySource::NotInReport,
        Origin::Capture { .. } => RemedySource::NotInCapture,
        _ if is_macos => RemedySource::NotOnMacos,
        _ if origins.detail < Detail::Counts => RemedySource::Detail,
        _ => RemedySource::System,
    };
    Some(Remedy { unmeasured: found.unmeasured.iter().copied().collect(), source })
}

/// The other system, if nothing but facts of it is missing.
fn only_elsewhere(found: &Found<'_>, origins: &Origins) -> Option<&'static str> {
    let is_elsewhere = |name: &&str| {
        let os = Field::named(name).and_then(|field| field.os);
        os.is_some_and(|os| os != origins.source.os)
    };
    let other = if origins.source.os == "linux" { "macOS" } else { "Linux" };
    found.unmeasured.iter().all(is_elsewhere).then_some(other)
}

/// Whether all of them hold.
pub fn is_passed(records: &[CheckRecord<'_>]) -> bool {
    records.iter().all(|record| record.verdict == Verdict::Holds)
}

/// What comes before the checks.
pub fn head(origins: &Origins, records: &[CheckRecord<'_>]) -> Head {
    let mut fields = origins.fields(ViewKind::Check);
    fields.insert("passed".to_owned(), is_passed(records).into());
    Head {
        view: ViewKind::Check,
        target: origins.target(),
        sections: Vec::new(),
        fields,
        tables: vec![Table::new(("checks", "check"), &COLUMNS, Layout::Blocks)],
    }
}

/// What comes after them: if one of them doesn't hold, how many do, and on which map.
pub fn tail(origins: &Origins, records: &[CheckRecord<'_>], regions: usize, warnings: &[Warning]) -> Tail {
    let mut tail = Tail::default();
    tail.fields.insert("warnings".to_owned(), warnings_value(warnings));
    if !is_passed(records) {
        let count = |verdict| records.iter().filter(|record| record.verdict == verdict).count();
        tail.notes.push(Note::Checked {
            hold: count(Verdict::Holds),
            fail: count(Verdict::Fails),
            undecided: count(Verdict::Unknown),
            subject: origins.subject(regions),
        });
    }
    tail
}

type CheckColumn = Column<CheckRow>;

/// The cells of a check, without what they were found by.
#[derive(Clone)]
pub struct CheckRow {
    check: String,
    verdict: Verdict,
    sentence: String,
    value: Option<u64>,
    more: usize,
    unmeasured: Vec<&'static str>,
    remedy: Option<Remedy>,
    regions: Vec<(Classified, Vec<String>)>,
}

impl From<&CheckRecord<'_>> for CheckRow {
    fn from(record: &CheckRecord<'_>) -> CheckRow {
        let findings = &record.found.findings;
        let regions = findings.iter().flat_map(|finding| &finding.regions);
        CheckRow {
            check: record.check.text().to_owned(),
            verdict: record.verdict,
            sentence: record.found.to_string(),
            value: record.value(),
            more: findings.iter().map(|finding| finding.more).sum(),
            unmeasured: record.found.unmeasured.iter().copied().collect(),
            remedy: record.remedy.clone(),
            regions: regions.map(|found| (found.region.clone(), found.instead.clone())).collect(),
        }
    }
}

const VERDICT: CheckColumn =
    CheckColumn::new("verdict", "VERDICT", ValueType::Word(&["holds", "fails", "unknown"]), |row| {
        Cell::text(row.verdict.id())
    });
const CHECK: CheckColumn = CheckColumn::new("check", "CHECK", ValueType::Text, |row| Cell::text(&row.check))
    .about("The check as written.");
const FOUND: CheckColumn = CheckColumn::new("found", "FOUND", ValueType::Text, |row| {
    Cell::Found(row.sentence.clone(), row.remedy.clone())
});
const FOUND_OBJECT: CheckColumn = CheckColumn::machine("found", ValueType::Object("found"), |row| {
    Cell::Record(Box::new(Row::new(&FOUND_COLUMNS, row)))
})
.about("Why the check holds or fails.");

/// The columns of a check.
pub const COLUMNS: Columns<CheckRow> =
    Columns { tabular: &[VERDICT, CHECK, FOUND], json: &[CHECK, VERDICT, FOUND_OBJECT] };

/// What was found, as a JSON object.
pub const FOUND_COLUMNS: Columns<CheckRow> = Columns {
    tabular: &[],
    json: &[
        CheckColumn::machine("sentence", ValueType::Text, |row| Cell::text(&row.sentence)),
        CheckColumn::machine("value", ValueType::OptionalObject("size"), |row| {
            row.value.map_or(Cell::Empty, Cell::Count)
        })
        .about("The measured number of bytes or regions, if the check asks for one and it is known."),
        CheckColumn::machine("regions", ValueType::List("found_region"), |row| {
            Cell::Records(row.regions.iter().map(found_region).collect())
        })
        .about("The regions that decide the check, or else the nearest ones: the first or the largest."),
        CheckColumn::machine("more", ValueType::Count, |row| Cell::Count(row.more as u64))
            .about("Number of further such regions."),
        CheckColumn::machine("unmeasured", ValueType::List("word"), |row| Cell::Value(json!(row.unmeasured)))
            .about("What was not measured, which leaves the check undecided."),
        CheckColumn::machine("way_out", ValueType::OptionalObject("word"), |row| {
            row.remedy.clone().map_or(Cell::Empty, Cell::Remedy)
        })
        .about("How to decide the check."),
    ],
};

fn found_region((region, instead): &(Classified, Vec<String>)) -> Box<dyn Record + '_> {
    Box::new(Instead { region: regions::row(region), instead })
}

/// A region, and what it is instead of what it should be.
struct Instead<'a> {
    region: Row<'a, Classified>,
    instead: &'a [String],
}

impl Record for Instead<'_> {
    fn cell(&self, column: usize) -> Cell<'_> {
        self.region.cell(column)
    }

    fn field_count(&self) -> usize {
        self.region.field_count() + 1
    }

    fn field(&self, index: usize) -> (&'static str, Cell<'_>) {
        match index == self.region.field_count() {
            true => ("instead", Cell::Value(Value::from(self.instead.to_vec()))),
            false => self.region.field(index),
        }
    }
}

/// A check as a row.
pub struct CheckLine<'a> {
    record: &'a CheckRecord<'a>,
    row: Row<'a, CheckRow>,
}

/// A check as a row.
pub fn line<'a>(record: &'a CheckRecord<'a>) -> CheckLine<'a> {
    CheckLine { record, row: Row::owned(&COLUMNS, CheckRow::from(record)) }
}

impl Record for CheckLine<'_> {
    fn cell(&self, column: usize) -> Cell<'_> {
        self.row.cell(column)
    }

    fn field_count(&self) -> usize {
        self.row.field_count()
    }

    fn field(&self, index: usize) -> (&'static str, Cell<'_>) {
        self.row.field(index)
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let CheckRecord { check, verdict, found, remedy } = self.record;
        let is_passed = *verdict == Verdict::Holds;
        let remark = found.remark().filter(|_| is_passed);
        let mut blocks = vec![Block::Check { verdict: *verdict, text: Cow::Borrowed(check.text()), remark }];
        if is_passed {
            return blocks;
        }
        for finding in &found.findings {
            let sentence = Cow::Borrowed(finding.sentence.as_str());
            blocks.push(Block::Found { sentence, has_rows: !finding.regions.is_empty() });
            for FoundRegion { region, instead, .. } in &finding.regions {
                let record = Row::new(&regions::SHORT, region).group(region.kind().group());
                blocks.push(Block::Row { columns: regions::SHORT.specs(), record: Box::new(record) });
                if !instead.is_empty() {
                    blocks.push(Block::Remark(instead.join("; ")));
                }
            }
            if finding.more > 0 {
                blocks.push(Block::More(finding.more));
            }
        }
        blocks.extend(remedy.clone().map(Block::Remedy));
        blocks
    }
}
