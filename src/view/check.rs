//! Checks: whether each holds, and what was found instead.

use std::borrow::Cow;

use mmview_platform::{CaptureFormat, Detail, Origin, Warning};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::{Value, json};

use super::process::{Origins, warnings_value};
use super::regions::{self, RegionRecord};
use super::{Cell, Column, Head, Layout, Record, Shows, Table, Tail, Told, Tone};
use crate::check::{Check, Evidence, Found, FoundRegion, Verdict};
use crate::kind::Group;
use crate::region::Classified;
use crate::text::printable_line;

/// A line for each check, in the formats that have columns.
const COLUMNS: [Column; 3] = [
    Column::text("verdict", "VERDICT", 0),
    Column::text("check", "CHECK", 0),
    Column::text("found", "FOUND", 0),
];

/// The regions that were found, by which a check is explained. Widths as in a listing.
const FOUND: [Column; 7] = [
    Column::text("type", "", 15).after(""),
    Column::number("start", "", 12),
    Column::text("end", "", 12).after("-").shown(Shows::Wide),
    Column::number("size", "", 6),
    Column::text("protection", "", 3),
    Column::text("share", "", 3),
    Column::text("detail", "", 0),
];

/// How far the text of a check stands in, what was found, and the rows of that.
const INDENT: [usize; 3] = [6, 6, 8];

/// A check that was made.
pub struct CheckRecord<'a> {
    check: &'a Check,
    verdict: Verdict,
    found: Found<'a>,
    /// What would help, where it could not be decided.
    way_out: Option<String>,
}

impl<'a> CheckRecord<'a> {
    /// Makes `check` on a map that comes from `origins`.
    pub fn new(check: &'a Check, evidence: Evidence<'a>, origins: &Origins) -> CheckRecord<'a> {
        let (verdict, found) = (check.verdict(evidence), check.explain(evidence));
        let way_out = (verdict == Verdict::Unknown).then(|| way_out(&found, origins)).flatten();
        CheckRecord { check, verdict, found, way_out }
    }

    /// What it came to.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

/// What would tell what was not measured.
fn way_out(found: &Found<'_>, origins: &Origins) -> Option<String> {
    if found.unmeasured.is_empty() {
        return None;
    }
    let names: Vec<_> = found.unmeasured.iter().copied().collect();
    let names = names.join(" and ");
    let is_macos = origins.source.os == "macos";
    Some(match &origins.source.origin {
        _ if found.unmeasured.contains("deleted") && is_macos => {
            "macOS doesn't tell whether a file has been unlinked".to_owned()
        }
        Origin::Capture { format: CaptureFormat::Maps, .. } => {
            format!("a saved maps doesn't tell {names}; save /proc/PID/smaps")
        }
        Origin::Capture { format: CaptureFormat::Vmmap, .. } if found.unmeasured.contains("whole path") => {
            "the report shortens paths; `vmmap -w` writes them whole".to_owned()
        }
        Origin::Capture { format: CaptureFormat::Vmmap, .. } => {
            format!("a report of vmmap doesn't tell {names}")
        }
        Origin::Capture { .. } => format!("this capture doesn't tell {names}"),
        _ if is_macos => format!("macOS doesn't tell {names} here"),
        _ if origins.detail < Detail::Counts => format!("--detail counts tells {names}"),
        _ => format!("the system didn't tell {names}; warnings on standard error may say why"),
    })
}

/// Whether all hold.
pub fn is_passed(records: &[CheckRecord<'_>]) -> bool {
    records.iter().all(|record| record.verdict == Verdict::Holds)
}

/// What stands before the checks.
pub fn head(origins: &Origins, records: &[CheckRecord<'_>]) -> Head {
    let mut fields = origins.fields("check");
    fields.insert("passed".to_owned(), is_passed(records).into());
    Head {
        view: "check",
        target: origins.target(),
        text: Vec::new(),
        fields,
        tables: vec![Table { rows: ("checks", "check"), columns: COLUMNS.to_vec(), layout: Layout::Told }],
    }
}

/// What stands after them: in tables, where one was not passed, how many, and of what.
pub fn tail(origins: &Origins, records: &[CheckRecord<'_>], regions: usize, warnings: &[Warning]) -> Tail {
    let mut tail = Tail::default();
    tail.fields.insert("warnings".to_owned(), warnings_value(warnings));
    if is_passed(records) {
        return tail;
    }
    let count = |verdict| records.iter().filter(|record| record.verdict == verdict).count();
    let part = |verdict, one: &str, several: &str| match count(verdict) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {several}")),
    };
    let parts = [
        part(Verdict::Holds, "holds", "hold"),
        part(Verdict::Fails, "fails", "fail"),
        part(Verdict::Unknown, "can't be decided", "can't be decided"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let checks = match records.len() {
        1 => String::new(),
        count => format!("Of {count} checks {}. ", parts.join(", ")),
    };
    tail.notes.push(format!("{checks}{}", origins.sentence(regions)));
    tail
}

impl Record for CheckRecord<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let found = match &self.way_out {
            Some(way_out) => format!("{} ({way_out})", self.found.sentence()),
            None => self.found.sentence(),
        };
        vec![
            Cell::Text(Cow::Borrowed(self.verdict.id())),
            Cell::Text(Cow::Borrowed(self.check.text())),
            Cell::Text(Cow::Owned(found)),
        ]
    }

    fn told(&self) -> Vec<Told<'_>> {
        let lead = match self.verdict {
            Verdict::Holds => ("ok", Tone::Good),
            Verdict::Fails => ("FAIL", Tone::Bad),
            Verdict::Unknown => ("?", Tone::Doubtful),
        };
        let mut text = printable_line(self.check.text());
        let is_passed = self.verdict == Verdict::Holds;
        if let Some(remark) = self.found.remark().filter(|_| is_passed) {
            text.push_str(&format!("  ({})", printable_line(&remark)));
        }
        let mut told = vec![Told::Line { lead: Some(lead), indent: INDENT[0], text }];
        if is_passed {
            return told;
        }
        for finding in &self.found.findings {
            let end = if finding.regions.is_empty() { "." } else { ":" };
            told.push(line(INDENT[1], &format!("{}{end}", finding.sentence)));
            for region in &finding.regions {
                told.push(Told::Row {
                    indent: INDENT[2],
                    columns: &FOUND,
                    record: Box::new(FoundRecord(region.region)),
                });
                if !region.instead.is_empty() {
                    told.push(line(INDENT[2] + 2, &region.instead.join("; ")));
                }
            }
            if finding.more > 0 {
                told.push(line(INDENT[2], &format!("and {} more", finding.more)));
            }
        }
        told.extend(self.way_out.iter().map(|way_out| line(INDENT[1], &format!("{way_out}."))));
        told
    }
}

fn line<'a>(indent: usize, text: &str) -> Told<'a> {
    Told::Line { lead: None, indent, text: printable_line(text) }
}

impl Serialize for CheckRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let findings = &self.found.findings;
        let regions: Vec<_> =
            findings.iter().flat_map(|finding| &finding.regions).map(region_value).collect();
        let values: Vec<_> = findings.iter().filter_map(|finding| finding.value).collect();
        let value = if let [value] = values[..] { Some(value) } else { None };
        json!({
            "check": self.check.text(),
            "verdict": self.verdict.id(),
            "found": {
                "sentence": self.found.sentence(),
                "value": value,
                "regions": regions,
                "more": findings.iter().map(|finding| finding.more).sum::<usize>(),
                "unmeasured": self.found.unmeasured,
                "way_out": self.way_out,
            },
        })
        .serialize(serializer)
    }
}

fn region_value(found: &FoundRegion<'_>) -> Value {
    let mut value = serde_json::to_value(RegionRecord::new(found.region)).expect("a region is JSON");
    value["instead"] = found.instead.clone().into();
    value
}

/// A region that was found, as tables show it.
struct FoundRecord<'a>(&'a Classified);

impl Record for FoundRecord<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let classified = self.0;
        let region = classified.facts();
        let detail = regions::detail(self.0);
        vec![
            Cell::Text(Cow::Borrowed(classified.title())),
            Cell::Address(region.range.start()),
            Cell::Address(region.range.end()),
            Cell::Size(Some(region.size())),
            Cell::Text(Cow::Borrowed(region.protection.as_str())),
            Cell::Text(Cow::Borrowed(region.share.code())),
            if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) },
        ]
    }

    fn group(&self) -> Option<Group> {
        Some(self.0.kind().group())
    }
}

impl Serialize for FoundRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RegionRecord::new(self.0).serialize(serializer)
    }
}
