//! The columns of a listing that the user chose.

use mmview_platform::AddrRange;

use super::column::{Column, Columns, Joint, Row, Shows, ValueType};
use super::regions::{COLUMNS, DETAIL, END, GAP, IMAGE, PART_NOTHING, PARTS, START, column};
use super::{Cell, Spec};
use crate::field::{self, Choice, Field};
use crate::region::{Classified, Part};

/// The columns of a listing, and what the rows that are no regions have under them.
#[derive(Debug)]
pub struct Chosen {
    regions: Vec<Column<Classified>>,
    parts: Vec<Column<Part>>,
    gaps: Vec<Column<AddrRange>>,
}

const NOTHING: Column<AddrRange> = Column::machine("", ValueType::Text, |_| Cell::Empty);

impl Chosen {
    /// The columns of `choice`. What is added to the usual ones comes before the last, which is as wide as the line has room.
    pub fn new(choice: &Choice) -> Chosen {
        let chosen: Vec<_> = choice.fields.iter().copied().flat_map(columns).collect();
        let mut regions: Vec<Column<Classified>> = Vec::new();
        if choice.is_added {
            let is_usual =
                |column: &&Column<Classified>| chosen.iter().all(|other| other.spec().id != column.spec().id);
            regions.extend(COLUMNS.tabular.iter().filter(is_usual).copied());
        }
        let last = regions.iter().position(|column| column.spec().id == DETAIL.spec().id);
        let place = last.unwrap_or(regions.len());
        regions.splice(place..place, chosen);
        let ids = || regions.iter().map(|column| column.spec().id);
        let parts = ids().map(|id| under(id, &PARTS, PART_NOTHING)).collect();
        let gaps = ids().map(|id| under(id, &GAP, NOTHING)).collect();
        Chosen { regions, parts, gaps }
    }

    /// The columns without their rows.
    pub fn specs(&self) -> Vec<Spec> {
        self.regions.iter().map(Column::spec).collect()
    }

    /// A region under these columns.
    pub fn region<'a>(&'a self, row: Row<'a, Classified>) -> Row<'a, Classified> {
        row.under(&self.regions)
    }

    /// A part of a region under these columns.
    pub fn part<'a>(&'a self, row: Row<'a, Part>) -> Row<'a, Part> {
        row.under(&self.parts)
    }

    /// A gap under these columns.
    pub fn gap<'a>(&'a self, row: Row<'a, AddrRange>) -> Row<'a, AddrRange> {
        row.under(&self.gaps)
    }
}

/// The columns of a field: an address is where the region starts and where it ends.
fn columns(field: &'static Field) -> Vec<Column<Classified>> {
    match () {
        () if *field == field::ADDRESS => vec![START, END.shown(Shows::Always)],
        () if *field == field::END => vec![END.shown(Shows::Always).joined(Joint::Blank)],
        () if *field == field::DETAIL => vec![DETAIL],
        () if *field == field::IMAGE => vec![IMAGE.shown(Shows::Always)],
        () => vec![column(field)],
    }
}

/// The column with this identifier among those of other rows, or one with nothing.
fn under<R>(id: &str, columns: &Columns<R>, nothing: Column<R>) -> Column<R> {
    let mut all = columns.tabular.iter().chain(columns.json);
    all.find(|column| column.spec().id == id).copied().unwrap_or(nothing)
}
