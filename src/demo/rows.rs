//! The table of regions below a step.

use std::io::{self, Write};

use super::step::{Observation, Quantity, size_text};
use crate::region::Classified;
use crate::render::{Style, inset};
use crate::units::Units;
use crate::view::regions::detail;
use crate::view::{Cell, Column, Columns, Joint, Record, Row, Shows, Spec, ValueType, Vocabulary};

/// A region after a step.
#[derive(Clone)]
struct RegionRow {
    of: &'static str,
    region: Classified,
    units: Units,
}

impl RegionRow {
    fn size(&self, quantity: Quantity) -> Cell<'_> {
        match quantity.of(&self.region) {
            Some(size) => Cell::text(size_text(self.units, size)),
            None => Cell::Size(None),
        }
    }
}

/// The columns of a listing, with the subjects of the lessons (proportional and unique size) in place of offsets and maximum
/// protection. The first ones to go on a narrow terminal are those that the lines below the table repeat.
const COLUMNS: Columns<RegionRow> = Columns {
    tabular: &[
        OF,
        Column::<RegionRow>::new("type", "REGION TYPE", ValueType::Type, |row| {
            Cell::text(row.region.title())
        }),
        Column::<RegionRow>::new("start", "START", ValueType::Address, |row| {
            Cell::Address(row.region.range().start())
        })
        .dispensable(2),
        Column::<RegionRow>::new("end", "END", ValueType::Address, |row| {
            Cell::Address(row.region.range().end())
        })
        .joined(Joint::Range)
        .shown(Shows::Wide),
        Column::<RegionRow>::new("size", "VSIZE", ValueType::Size, |row| row.size(Quantity::Size))
            .joined(Joint::Open),
        Column::<RegionRow>::new("resident", "RSDNT", ValueType::Measured, |row| {
            row.size(Quantity::Resident)
        }),
        Column::<RegionRow>::new("dirty", "DIRTY", ValueType::Measured, |row| row.size(Quantity::Dirty))
            .dispensable(5),
        PROPORTIONAL,
        UNIQUE,
        SWAPPED,
        Column::<RegionRow>::new("protection", "PRT", ValueType::Protection, |row| {
            Cell::Protection(row.region.protection())
        })
        .joined(Joint::Close),
        Column::<RegionRow>::new("share", "SHR", ValueType::Share, |row| Cell::Share(row.region.share()))
            .dispensable(3),
        Column::<RegionRow>::new("detail", "DETAIL", ValueType::OptionalName, |row| {
            let detail = detail(&row.region);
            if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) }
        })
        .dispensable(1),
    ],
    json: &[],
};

const OF: Column<RegionRow> = Column::<RegionRow>::new("of", "", ValueType::Label, |row| Cell::text(row.of));
const PROPORTIONAL: Column<RegionRow> =
    Column::<RegionRow>::new("proportional", "PSS", ValueType::Measured, |row| {
        row.size(Quantity::Proportional)
    })
    .dispensable(4);
const UNIQUE: Column<RegionRow> =
    Column::<RegionRow>::new("unique", "UNIQ", ValueType::Measured, |row| row.size(Quantity::Unique))
        .shown(Shows::Wide);
const SWAPPED: Column<RegionRow> =
    Column::<RegionRow>::new("swapped", "SWAP", ValueType::Measured, |row| row.size(Quantity::Swapped));

/// The columns that `regions` have something for: only Linux reports proportional and unique sizes, and no lesson there uses
/// swap.
fn specs(rows: &[RegionRow], vocabulary: Vocabulary) -> Vec<Spec> {
    let mut hidden = match vocabulary {
        Vocabulary::Vmmap => vec![PROPORTIONAL.spec(), UNIQUE.spec()],
        Vocabulary::Elf => vec![SWAPPED.spec()],
    };
    if rows.iter().all(|row| row.of.is_empty()) {
        hidden.push(OF.spec());
    }
    COLUMNS.specs_hiding(&hidden)
}

/// Draws the regions that exist after a step.
pub(super) fn draw(
    regions: &[Observation],
    os: &'static str,
    style: Style,
    indent: &str,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let row = |observation: &Observation| {
        Some(RegionRow { of: observation.of, region: observation.after.clone()?, units: style.units })
    };
    let rows: Vec<_> = regions.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let vocabulary = Vocabulary::of(os);
    let specs = specs(&rows, vocabulary);
    let records: Vec<_> =
        rows.iter().map(|row| Row::new(&COLUMNS, row).group(row.region.kind().group())).collect();
    let records: Vec<_> = records.iter().map(|record| record as &dyn Record).collect();
    let mut text = Vec::new();
    let style = Style { width: style.width.map(|width| width.saturating_sub(indent.len())), ..style };
    inset(&specs, vocabulary, &records, style, &mut text)?;
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::width;

    fn drawn(columns: usize, units: Units) -> String {
        let snapshot = crate::Snapshot::of_self().expect("this process can be read");
        let regions = snapshot.regions.iter().take(3).map(|region| Observation {
            of: "parent",
            before: None,
            after: Some(region.clone()),
        });
        let regions: Vec<_> = regions.collect();
        let style = Style { width: Some(columns), units, ..Style::default() };
        let mut text = Vec::new();
        draw(&regions, "linux", style, "   ", &mut text).expect("memory can be written");
        String::from_utf8(text).expect("a table is UTF-8")
    }

    #[test]
    fn tables_fit_narrow_terminals() {
        for columns in 45..=120 {
            let text = drawn(columns, Units::Auto);
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {text}");
            }
        }
    }

    #[test]
    fn detail_is_the_first_to_go() {
        assert!(drawn(80, Units::Auto).contains("DETAIL"));
        let narrow = drawn(75, Units::Auto);
        assert!(!narrow.contains("DETAIL") && narrow.contains("START") && narrow.contains("SHR"), "{narrow}");
    }
}
