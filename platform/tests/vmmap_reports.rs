//! Saved vmmap reports as sources: the sums of the rows equal the report's own summary.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;

use mmview_platform::{
    Bytes, CaptureFormat, Detail, MacosRegion, MemoryMap, OpenOptions, Origin, Region, ShareMode, open_file,
};

fn report(name: &str) -> MemoryMap {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/macos").join(name);
    let mut source = open_file(&path, &OpenOptions::new()).expect("a report");
    source.read(Detail::Pages).expect("a report that was read")
}

fn native(region: &Region) -> &MacosRegion {
    region.native.macos().expect("a region of macOS")
}

fn printed_type(region: &Region) -> &str {
    native(region).printed_type.as_deref().expect("a row of a report has a type")
}

/// A size as vmmap prints it.
fn printed(size: u64) -> String {
    let kib = size as f64 / 1024.0;
    match size {
        0 => "0K".to_owned(),
        1..4096 => size.to_string(),
        _ if kib < 9999.5 => format!("{kib:.0}K"),
        _ if size < 1 << 30 => format!("{:.1}M", kib / 1024.0),
        _ => format!("{:.1}G", kib / 1024.0 / 1024.0),
    }
}

#[test]
fn rows_add_up_to_the_printed_table() {
    let snapshot = report("notebook.vmmap");
    assert_eq!(snapshot.warnings, []);
    assert!(matches!(snapshot.source.origin, Origin::Capture { format: CaptureFormat::Vmmap, .. }));
    let mut sums: BTreeMap<&str, [u64; 8]> = BTreeMap::new();
    for region in &snapshot.regions {
        let kind = match printed_type(region) {
            unused if unused.starts_with("unused ") => "unused but dirty shlib __DATA",
            kind => kind,
        };
        let (counts, native) = (region.counts, native(region));
        let cells = [
            Some(region.size()),
            counts.resident,
            counts.dirty,
            counts.swapped,
            native.volatile,
            native.nonvolatile,
            native.empty,
            Some(Bytes(1)),
        ];
        for (sum, cell) in sums.entry(kind).or_default().iter_mut().zip(cells) {
            *sum += cell.expect("format 2.4 has every column").0;
        }
    }
    let table = snapshot.printed.unwrap().types.expect("the report has a table");
    assert_eq!(table.rows.len(), sums.len());
    for row in &table.rows {
        let sum = sums[&*row.name];
        let sizes = sum[..7].iter().map(|size| printed(*size));
        let cells: Vec<_> = sizes.chain([sum[7].to_string()]).map(String::into_boxed_str).collect();
        assert_eq!(row.cells, cells, "{}", row.name);
    }
    assert_eq!(table.totals.len(), 2);
    assert_eq!(table.totals[0].count(7), Some(snapshot.regions.len() as u64));
}

#[test]
fn rows_add_up_to_both_lines_of_totals() {
    let snapshot = report("notebook.vmmap");
    let resident = |region: &Region| region.counts.resident.unwrap();
    let libraries =
        || snapshot.regions.iter().filter(|region| matches!(printed_type(region), "__TEXT" | "__LINKEDIT"));
    let writable = || {
        let is_it = |region: &&Region| region.protection.is_writable() && !native(region).external_pager;
        snapshot.regions.iter().filter(is_it)
    };
    let private = || writable().filter(|region| region.share == ShareMode::Private);
    let size = |sum: Bytes| printed(sum.0);
    let text = &*snapshot.printed.as_ref().unwrap().text;
    let mut lines = text.lines();
    let line = lines.next().unwrap();
    let total = libraries().map(Region::size).sum();
    assert!(line.contains(&format!(
        "Total={} resident={}(",
        size(total),
        size(libraries().map(resident).sum())
    )));
    let line = lines.next().unwrap();
    let swapped = |region: &Region| region.counts.swapped.unwrap();
    let written: Bytes = private().map(|region| resident(region) + swapped(region)).sum();
    assert!(line.contains(&format!(
        "Total={} written={}(",
        size(writable().map(Region::size).sum()),
        size(written)
    )));
    assert!(line.contains(&format!(" resident={}(", size(writable().map(resident).sum()))));
    assert!(line.contains(&format!(" swapped_out={}(", size(writable().map(swapped).sum()))));
}

#[test]
fn a_summary_keeps_its_tables_as_data_and_as_text() {
    let whole = report("notebook.vmmap");
    let summary = report("notebook-summary.vmmap");
    assert!(summary.regions.is_empty());
    assert_eq!(summary.printed, whole.printed);
    assert_eq!(summary.process.printed_header[..5], whole.process.printed_header[..5]);
    let zones = summary.printed.unwrap().zones.unwrap();
    assert_eq!(zones.row("DefaultMallocZone_0x104b08000").unwrap().count(4), Some(41230));
    assert_eq!(&*zones.totals[0].name, "TOTAL");
}

#[test]
fn the_head_describes_the_process() {
    let process = report("notebook.vmmap").process;
    assert_eq!(process.name.as_deref(), Some(&b"Notebook"[..]));
    assert_eq!(process.code_type.as_deref(), Some("ARM64"));
    assert_eq!(process.parent.unwrap().pid, 1);
    assert_eq!(process.totals.footprint, Some(Bytes(26_424_115)));
    assert_eq!(process.printed_header.iter().filter(|(label, _)| &**label == "Identifier").count(), 1);
}

#[test]
fn an_old_report_has_sizes_and_nothing_measured() {
    let snapshot = report("format-2.0.vmmap");
    assert_eq!(snapshot.warnings, []);
    assert_eq!(snapshot.detail, Detail::Layout);
    assert_eq!(snapshot.regions.len(), 12);
    assert!(snapshot.regions.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
    let table = snapshot.printed.unwrap().types.unwrap();
    let pack = snapshot.regions.iter().find(|region| printed_type(region) == "mapped file").unwrap();
    assert_eq!(table.row("mapped file").unwrap().size(0), Some(pack.size()));
}
