//! The end of a report: two lines of totals, the table of region types, and the table of malloc zones.
//!
//! Their columns changed with every format. The rule (`=========== ======= ========`) shows how many there are. Cells are
//! found from the right, because a name may contain blanks and end in a number.

use crate::model::{
    Bytes, PrintedLibraries, PrintedRow, PrintedSummary, PrintedTable, PrintedWritable, parse_size,
};

/// Whether a summary begins with this line.
pub(super) fn is_start(line: &[u8]) -> bool {
    line.starts_with(b"==== Summary for process") || is_totals(line)
}

fn is_totals(line: &[u8]) -> bool {
    line.starts_with(b"ReadOnly portion of Libraries:") || line.starts_with(b"Writable regions:")
}

/// Parses the lines of a summary. Lines that are not understood are still in its text.
pub(super) fn parse(lines: &[&[u8]]) -> PrintedSummary {
    let text: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    let mut summary = PrintedSummary::default();
    for line in &text {
        if line.starts_with("ReadOnly portion of Libraries:") {
            summary.libraries = libraries(line);
        } else if line.starts_with("Writable regions:") {
            summary.writable = writable(line);
        }
    }
    let mut end = text.iter().rposition(|line| is_totals(line.as_bytes())).map_or(0, |last| last + 1);
    for rule in 1..text.len() {
        let head = text[rule - 1].trim_start();
        if rule < end || !is_rule(&text[rule]) {
            continue;
        }
        let rows = text[rule + 1..].iter().take_while(|line| !line.trim().is_empty()).count();
        let table = || table(&text[..rule], &text[rule], &text[rule + 1..rule + 1 + rows]);
        if head.starts_with("REGION TYPE") {
            summary.types = Some(table());
        } else if head.starts_with("MALLOC ZONE") {
            summary.zones = Some(table());
        } else {
            continue;
        }
        end = rule + 1 + rows;
    }
    // Lines after the last table belong to something else, such as the rest of a crash report.
    summary.text = text[..end].iter().flat_map(|line| [line, "\n"]).collect::<String>().into();
    summary
}

/// The size after `key=`, up to its percentage.
fn total(line: &str, key: &str) -> Option<Bytes> {
    let value = line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
    parse_size(value.split('(').next()?.as_bytes())
}

fn libraries(line: &str) -> Option<PrintedLibraries> {
    Some(PrintedLibraries {
        total: total(line, "Total")?,
        resident: total(line, "resident")?,
        swapped_out_or_unallocated: total(line, "swapped_out_or_unallocated")?,
    })
}

fn writable(line: &str) -> Option<PrintedWritable> {
    Some(PrintedWritable {
        total: total(line, "Total")?,
        written: total(line, "written")?,
        resident: total(line, "resident")?,
        swapped_out: total(line, "swapped_out")?,
        unallocated: total(line, "unallocated")?,
    })
}

fn is_rule(line: &str) -> bool {
    line.starts_with("====") && line.bytes().all(|byte| matches!(byte, b'=' | b' ' | b'[' | b']'))
}

fn table(above: &[impl AsRef<str>], rule: &str, below: &[impl AsRef<str>]) -> PrintedTable {
    let edges = right_edges(rule);
    let mut table = PrintedTable { columns: titles(above, &edges), ..PrintedTable::default() };
    let mut is_total = false;
    for line in below.iter().map(AsRef::as_ref) {
        if is_rule(line) {
            is_total = true;
        } else if let Some(row) = row(line, table.columns.len()) {
            if is_total { table.totals.push(row) } else { table.rows.push(row) }
        }
    }
    table
}

/// The end of each run of `=`. Cells are aligned with it on the right.
fn right_edges(rule: &str) -> Vec<usize> {
    let bytes = rule.as_bytes();
    (1..=bytes.len()).filter(|&end| bytes[end - 1] == b'=' && bytes.get(end) != Some(&b'=')).collect()
}

/// The titles of all columns but the first, from the one or two lines above the rule.
fn titles(above: &[impl AsRef<str>], edges: &[usize]) -> Vec<Box<str>> {
    let head = above.len() - above.iter().rev().take_while(|line| !line.as_ref().trim().is_empty()).count();
    let head: Vec<&[u8]> = above[head..].iter().map(|line| line.as_ref().as_bytes()).collect();
    edges
        .windows(2)
        .map(|edge| {
            let parts = head.iter().filter_map(|line| {
                let end = edge[1].min(line.len());
                let part = String::from_utf8_lossy(line.get(edge[0].min(end)..end)?);
                let part = part.trim_matches(['[', ']', ' ']).to_owned();
                // In a table with one column, the title of the names extends into the gap before it.
                let part = part.rsplit("  ").next().unwrap_or_default().trim().to_owned();
                (!part.is_empty()).then_some(part)
            });
            parts.collect::<Vec<_>>().join(" ").into()
        })
        .collect()
}

/// A row with up to `columns` cells. `None` for a line without any.
fn row(line: &str, columns: usize) -> Option<PrintedRow> {
    let line = line.replace(['[', ']'], " ");
    let words: Vec<(usize, &str)> = words(&line).collect();
    let is_cell = |word: &str| parse_size(word.trim_end_matches('%').as_bytes()).is_some();
    // The cells are the last run of numbers. A note may follow, which contains no number.
    let last = words.iter().rposition(|(_, word)| is_cell(word))?;
    let run = words[..=last].iter().rev().take_while(|(_, word)| is_cell(word)).count();
    let first = last + 1 - run.min(columns);
    // A damaged table may have no column but that of the names.
    let (start, _) = *words.get(first)?;
    let mut cells: Vec<Box<str>> = words[first..=last].iter().map(|(_, word)| (*word).into()).collect();
    cells.resize(columns, Box::default());
    let note = words.get(last + 1).map(|(start, _)| line[*start..].trim().into());
    Some(PrintedRow { name: line[..start].trim().into(), cells, note })
}

/// The words of a line, and where they begin.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split_ascii_whitespace().map(move |word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> PrintedSummary {
        parse(&text.lines().map(str::as_bytes).collect::<Vec<_>>())
    }

    const MODERN: &str = "\
ReadOnly portion of Libraries: Total=185.6M resident=23.1M(12%) swapped_out_or_unallocated=162.5M(88%)
Writable regions: Total=529.4M written=120K(0%) resident=216K(0%) swapped_out=0K(0%) unallocated=529.2M(100%)

                                VIRTUAL RESIDENT    DIRTY  SWAPPED VOLATILE   NONVOL    EMPTY   REGION\u{20}
REGION TYPE                        SIZE     SIZE     SIZE     SIZE     SIZE     SIZE     SIZE    COUNT (non-coalesced)\u{20}
===========                     ======= ========    =====  ======= ========   ======    =====  =======\u{20}
MALLOC_SMALL (empty)              40.0M    8896K     320K    2080K       0K       0K       0K       10         see MALLOC ZONE table below
Memory Tag 22                     64.0M      32K      32K       0K       0K       0K       0K        1\u{20}
===========                     ======= ========    =====  ======= ========   ======    =====  =======\u{20}
TOTAL                            104.0M    8928K     352K    2080K       0K       0K       0K       11\u{20}
TOTAL, minus reserved VM space   104.0M    8928K     352K    2080K       0K       0K       0K       11\u{20}

                                 VIRTUAL   RESIDENT      DIRTY    SWAPPED ALLOCATION      BYTES DIRTY+SWAP          REGION
MALLOC ZONE                         SIZE       SIZE       SIZE       SIZE      COUNT  ALLOCATED  FRAG SIZE  % FRAG   COUNT
===========                      =======  =========  =========  =========  =========  =========  =========  ======  ======
DefaultMallocZone_0x104b20000     209.0M     200.0M     200.0M         0K        156     200.0M        16K      1%       5

";

    #[test]
    fn a_table_without_columns_has_no_rows() {
        let table = summary("REGION TYPE\n===========\nMALLOC_SMALL 40.0M\n===========\nTOTAL 104.0M\n");
        assert!(table.types.is_none_or(|types| types.rows.is_empty()));
    }

    #[test]
    fn a_modern_summary() {
        let summary = summary(MODERN);
        assert_eq!(summary.libraries.unwrap().total, parse_size(b"185.6M").unwrap());
        assert_eq!(summary.writable.unwrap().unallocated, parse_size(b"529.2M").unwrap());
        let types = summary.types.unwrap();
        assert_eq!(types.columns.len(), 8);
        assert_eq!(types.column("VIRTUAL SIZE"), Some(0));
        assert_eq!(types.column("REGION COUNT"), Some(7));
        let tag = types.row("Memory Tag 22").unwrap();
        assert_eq!((tag.size(0), tag.count(7), &tag.note), (Some(Bytes(64 << 20)), Some(1), &None));
        let note = types.row("MALLOC_SMALL (empty)").unwrap().note.as_deref();
        assert_eq!(note, Some("see MALLOC ZONE table below"));
        assert_eq!(&*types.totals[1].name, "TOTAL, minus reserved VM space");
        let zones = summary.zones.unwrap();
        assert_eq!(
            zones.columns.iter().map(|title| &**title).collect::<Vec<_>>(),
            [
                "VIRTUAL SIZE",
                "RESIDENT SIZE",
                "DIRTY SIZE",
                "SWAPPED SIZE",
                "ALLOCATION COUNT",
                "BYTES ALLOCATED",
                "DIRTY+SWAP FRAG SIZE",
                "% FRAG",
                "REGION COUNT",
            ]
        );
        assert_eq!(&*zones.rows[0].cells[7], "1%");
        assert!(zones.totals.is_empty());
        assert!(summary.text.starts_with("ReadOnly portion"));
        assert!(summary.text.ends_with(" 5\n"));
    }

    #[test]
    fn the_table_of_format_2_3() {
        let summary = summary(
            "REGION TYPE                      VIRTUAL\n\
             ===========                      =======\n\
             MALLOC                             36.3M        see MALLOC ZONE table below\n\
             MALLOC freed, no zone               264K\n\
             ===========                      =======\n\
             TOTAL                             330.2M\n\
             \n\
             \u{20}                                VIRTUAL ALLOCATION      BYTES\n\
             MALLOC ZONE                         SIZE      COUNT  ALLOCATED  % FULL\n\
             ===========                      =======  =========  =========  ======\n\
             DefaultMallocZone_0x10c523000      36.0M       7081       634K      1%\n\
             GFXMallocZone_0x10c554000             0K          0         0K\n",
        );
        let types = summary.types.unwrap();
        assert_eq!(types.columns, ["VIRTUAL".into()]);
        assert_eq!(types.row("MALLOC freed, no zone").unwrap().size(0), Some(Bytes(264 << 10)));
        assert_eq!(types.totals.len(), 1);
        let zones = summary.zones.unwrap();
        assert_eq!(&*zones.rows[1].cells, ["0K".into(), "0".into(), "0K".into(), Box::<str>::default()]);
    }

    #[test]
    fn the_table_of_format_2_0() {
        let summary = summary(
            "ReadOnly portion of Libraries: Total=6092KB resident=2944KB(48%) swapped_out_or_unallocated=3148KB(52%)\n\
             \n\
             REGION TYPE             [ VIRTUAL]\n\
             ===========             [ =======]\n\
             VM_ALLOCATE ?           [      4K]\n\
             __TEXT                  [   4728K]\n",
        );
        assert_eq!(summary.libraries.unwrap().resident, Bytes::from_kib(2944));
        let types = summary.types.unwrap();
        assert_eq!(types.columns, ["VIRTUAL".into()]);
        assert_eq!(types.row("VM_ALLOCATE ?").unwrap().size(0), Some(Bytes(4096)));
    }

    #[test]
    fn what_follows_the_tables_is_no_part() {
        let longer = summary(&format!("{MODERN}System Profile:\n===== ==\nx 1\n"));
        assert_eq!(longer, summary(MODERN));
    }

    #[test]
    fn a_crash_report_counts_regions_only() {
        let summary = summary(
            "                                VIRTUAL   REGION \n\
             REGION TYPE                        SIZE    COUNT (non-coalesced) \n\
             ===========                     =======  ======= \n\
             Guard                            385.0G        1 \n\
             Untagged (reserved)                512K        1         reserved VM address space (unallocated)\n",
        );
        let types = summary.types.unwrap();
        assert_eq!(types.columns, ["VIRTUAL SIZE".into(), "REGION COUNT".into()]);
        assert_eq!(types.row("Untagged (reserved)").unwrap().count(1), Some(1));
    }
}
