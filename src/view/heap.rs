//! Zones of malloc: what is allocated, and what its memory costs. A view of its own, and the second table of the summary.

use mmview_platform::{Allocation, Bytes, SizeClass, Warning};
use serde_json::json;

use super::column::{Column, Columns, Row, Shows, ValueType};
use super::origins::{Origins, warnings_value};
use super::{Cell, Head, Layout, Note, Record, Role, Table, Tail, ViewKind, fields};
use crate::heap::{HeapZone, Zones, size_classes};
use crate::kind::Group;

type ZoneColumn = Column<HeapZone>;

const ZONE: ZoneColumn =
    ZoneColumn::new("zone", "\nMALLOC ZONE", ValueType::Label, |zone| Cell::text(&*zone.zone.name));
const OWNER: ZoneColumn = ZoneColumn::machine("owner", ValueType::Text, |zone| Cell::text(&*zone.zone.owner));
const OWNERS: ZoneColumn =
    ZoneColumn::new("owner", "\nOWNER", ValueType::Label, |zone| Cell::text(&*zone.zone.name));
const VIRTUAL: ZoneColumn = ZoneColumn::new("virtual", "VIRTUAL\nSIZE", ValueType::Size, |zone| {
    Cell::Size(Some(zone.memory.virtual_size))
});
const RESIDENT: ZoneColumn = ZoneColumn::new("resident", "RESIDENT\nSIZE", ValueType::Measured, |zone| {
    Cell::Size(zone.memory.resident.whole())
});
const DIRTY: ZoneColumn = ZoneColumn::new("dirty", "DIRTY\nSIZE", ValueType::Measured, |zone| {
    Cell::Size(zone.memory.dirty.whole())
});
const SWAPPED: ZoneColumn = ZoneColumn::new("swapped", "SWAPPED\nSIZE", ValueType::Measured, |zone| {
    Cell::Size(zone.memory.swapped.whole())
})
.dispensable(2);
const ALLOCATIONS: ZoneColumn =
    ZoneColumn::new("allocations", "ALLOCATION\nCOUNT", ValueType::OptionalCount, |zone| {
        zone.zone.allocations.map_or(Cell::Size(None), Cell::Count)
    })
    .about("The number of blocks in use; null if unknown.");
const ALLOCATED: ZoneColumn = ZoneColumn::new("allocated", "BYTES\nALLOCATED", ValueType::Measured, |zone| {
    Cell::Size(zone.zone.allocated)
})
.about("Their size, with the headers of the allocator.");
const COMMITTED: ZoneColumn =
    ZoneColumn::machine("committed", ValueType::Measured, |zone| Cell::Size(zone.zone.committed))
        .about("How much of the address space is ready for use; null if that is unknown.");
const FREE: ZoneColumn =
    ZoneColumn::new("free", "BYTES\nFREE", ValueType::Measured, |zone| Cell::Size(zone.zone.free))
        .shown(Shows::Machines)
        .about("The size of the free blocks and of the top.");
const FREE_BLOCKS: ZoneColumn = ZoneColumn::machine("free_blocks", ValueType::OptionalCount, |zone| {
    zone.zone.free_blocks.map_or(Cell::Size(None), Cell::Count)
});
const LARGEST_FREE: ZoneColumn =
    ZoneColumn::machine("largest_free", ValueType::Measured, |zone| Cell::Size(zone.zone.largest_free))
        .about("The largest free block, or the top if that is larger.");
const TOP: ZoneColumn = ZoneColumn::machine("top", ValueType::Measured, |zone| Cell::Size(zone.zone.top))
    .about("The unused rest at the end.");
const TRIMMABLE: ZoneColumn =
    ZoneColumn::machine("trimmable", ValueType::Measured, |zone| Cell::Size(zone.zone.trimmable))
        .about("The resident memory that malloc_trim(0) could return to the system.");
const CACHED: ZoneColumn =
    ZoneColumn::machine("cached", ValueType::Measured, |zone| Cell::Size(zone.zone.cached))
        .about("Freed blocks that wait in caches of threads and in fast bins.");
const CACHED_BLOCKS: ZoneColumn = ZoneColumn::machine("cached_blocks", ValueType::OptionalCount, |zone| {
    zone.zone.cached_blocks.map_or(Cell::Size(None), Cell::Count)
});
const FRAGMENTATION: ZoneColumn =
    ZoneColumn::new("fragmentation", "FRAG\nSIZE", ValueType::Measured, |zone| {
        Cell::Size(zone.fragmentation)
    })
    .dispensable(3)
    .about("Dirty and swapped memory without a block in use.");
const PERCENT: ZoneColumn =
    ZoneColumn::new("fragmentation_percent", "%\nFRAG", ValueType::OptionalCount, |zone| {
        zone.fragmentation_percent().map_or(Cell::Size(None), Cell::Count)
    })
    .dispensable(1);
const REGIONS: ZoneColumn =
    ZoneColumn::new("regions", "REGION\nCOUNT", ValueType::Count, |zone| Cell::Count(zone.memory.regions))
        .dispensable(4);
const EXACT: ZoneColumn =
    ZoneColumn::machine("exact", ValueType::Truth, |zone| Cell::Value(zone.zone.is_exact().into()))
        .about("Whether the zone was at rest while it was read, and the figures are exact.");
const DOUBTS: ZoneColumn =
    ZoneColumn::machine("doubts", ValueType::List("text"), |zone| Cell::Value(json!(zone.zone.doubts)))
        .about("Why they may not be.");
const SIZES: ZoneColumn = ZoneColumn::machine("sizes", ValueType::List("size_class"), |zone| {
    Cell::Records(zone.zone.sizes.iter().map(|class| boxed(Row::new(&SIZE_COLUMNS, class))).collect())
})
.about("The blocks in use by size class.");
const LARGEST: ZoneColumn = ZoneColumn::machine("largest", ValueType::List("allocation"), |zone| {
    Cell::Records(zone.zone.largest.iter().map(|block| boxed(Row::new(&ALLOCATION_COLUMNS, block))).collect())
})
.about("The largest blocks in use.");

/// The columns of a zone or of an owner: what it is, and the figures, which are the same.
macro_rules! columns {
    ($($name:ident),+) => {
        Columns {
            tabular: &[
                $($name,)+ VIRTUAL, RESIDENT, DIRTY, SWAPPED, ALLOCATIONS, ALLOCATED, COMMITTED,
                FREE, LARGEST_FREE, TRIMMABLE, CACHED, FRAGMENTATION, PERCENT, REGIONS, EXACT,
            ],
            json: &[
                $($name,)+ VIRTUAL, RESIDENT, DIRTY, SWAPPED, ALLOCATIONS, ALLOCATED, COMMITTED,
                FREE, FREE_BLOCKS, LARGEST_FREE, TOP, TRIMMABLE, CACHED, CACHED_BLOCKS,
                FRAGMENTATION, PERCENT, REGIONS, EXACT, DOUBTS, SIZES, LARGEST,
            ],
        }
    };
}

/// The columns of a zone.
pub const COLUMNS: Columns<HeapZone> = columns!(ZONE, OWNER);

/// The columns of an owner: those of its zones together.
pub const BY_OWNER: Columns<HeapZone> = columns!(OWNERS);

const fn titled(column: ZoneColumn, title: &'static str) -> ZoneColumn {
    column.titled(title).shown(Shows::Always)
}

/// The columns of `--free`.
const FREE_COLUMNS: Columns<HeapZone> = Columns {
    tabular: &[
        ZONE,
        titled(FREE, "BYTES\nFREE"),
        titled(FREE_BLOCKS, "FREE\nBLOCKS"),
        titled(LARGEST_FREE, "LARGEST\nFREE"),
        titled(TOP, "\nTOP"),
        titled(CACHED, "BYTES\nCACHED"),
        titled(CACHED_BLOCKS, "CACHED\nBLOCKS"),
        titled(TRIMMABLE, "COULD BE\nTRIMMED"),
    ],
    json: COLUMNS.json,
};

type SizeColumn = Column<SizeClass>;

const CLASS: SizeColumn =
    SizeColumn::new("size", "UP TO", ValueType::Size, |class| Cell::Size(Some(class.size)))
        .about("The largest size in the class, with the header of malloc.");
const CLASS_ALLOCATIONS: SizeColumn =
    SizeColumn::new("allocations", "ALLOCATIONS", ValueType::Count, |class| Cell::Count(class.allocations));
const CLASS_ALLOCATED: SizeColumn =
    SizeColumn::new("allocated", "BYTES", ValueType::Size, |class| Cell::Size(Some(class.allocated)));

/// The columns of a size class.
pub const SIZE_COLUMNS: Columns<SizeClass> = Columns {
    tabular: &[CLASS, CLASS_ALLOCATIONS, CLASS_ALLOCATED],
    json: &[CLASS, CLASS_ALLOCATIONS, CLASS_ALLOCATED],
};

/// The columns of a block.
pub const ALLOCATION_COLUMNS: Columns<Allocation> = Columns {
    tabular: &[],
    json: &[
        Column::machine("address", ValueType::Address, |block: &Allocation| Cell::Address(block.address)),
        Column::machine("size", ValueType::Size, |block: &Allocation| Cell::Size(Some(block.size))),
    ],
};

/// A block and its zone.
#[derive(Clone, Debug)]
struct Block {
    zone: String,
    block: Allocation,
}

/// The columns of `--largest`.
const BLOCKS: Columns<Block> = Columns {
    tabular: &[
        Column::new("address", "LARGEST BLOCKS", ValueType::Address, |block| {
            Cell::Address(block.block.address)
        }),
        Column::new("size", "SIZE", ValueType::Size, |block| Cell::Size(Some(block.block.size))),
        Column::new("zone", "ZONE", ValueType::Label, |block| Cell::text(&*block.zone)),
    ],
    json: &[],
};

fn boxed<'a, R: Clone + 'static>(row: Row<'a, R>) -> Box<dyn Record + 'a> {
    Box::new(row)
}

/// What a row of the first table stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A zone.
    #[default]
    Zone,
    /// All zones of an owner.
    Owner,
    /// Blocks of similar size, in all zones.
    Size,
}

/// What to show of the zones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What a row stands for.
    pub by: By,
    /// The blocks in use by size.
    pub sizes: bool,
    /// So many of the largest blocks.
    pub largest: Option<usize>,
    /// What is free.
    pub free: bool,
}

impl By {
    const fn columns(self) -> &'static Columns<HeapZone> {
        match self {
            By::Owner => &BY_OWNER,
            By::Zone | By::Size => &COLUMNS,
        }
    }

    /// The first table.
    fn table(self) -> Table {
        match self {
            By::Zone => Table::new(("zones", "zone"), &COLUMNS, Layout::Fitted),
            By::Owner => Table::new(("owners", "owner"), &BY_OWNER, Layout::Fitted),
            By::Size => Table::new(("sizes", "size"), &SIZE_COLUMNS, Layout::Fitted),
        }
    }
}

/// The table of zones or owners, if there are any.
pub fn table(zones: &Zones, by: By) -> Option<Table> {
    (!zones.zones.is_empty()).then(|| by.table())
}

/// What comes before the rows.
pub fn head(origins: &Origins, zones: &Zones, options: Options, is_for_people: bool) -> Head {
    let mut tables = vec![options.by.table()];
    if is_for_people && !zones.zones.is_empty() {
        // Machines have all of it in each zone.
        if options.free {
            tables.push(Table::new(("free", "free"), &FREE_COLUMNS, Layout::Fitted));
        }
        if options.sizes {
            tables.push(Table::new(("sizes", "size"), &SIZE_COLUMNS, Layout::Fitted));
        }
        if options.largest.is_some() {
            tables.push(Table::new(("blocks", "block"), &BLOCKS, Layout::Fitted));
        }
    }
    Head {
        view: ViewKind::Heap,
        target: origins.target(),
        sections: vec![origins.section(None)],
        fields: origins.fields(ViewKind::Heap),
        tables,
    }
}

/// The rows of the first table, and for people their total below them.
pub fn records(zones: &Zones, by: By) -> Vec<Box<dyn Record + '_>> {
    match by {
        By::Size => size_rows(zones),
        by => zone_rows(zones, by.columns()),
    }
}

fn zone_rows<'a>(zones: &'a Zones, columns: &'static Columns<HeapZone>) -> Vec<Box<dyn Record + 'a>> {
    if zones.zones.is_empty() {
        return Vec::new();
    }
    let rule = || boxed(Row::owned(columns, HeapZone::default()).role(Role::Rule));
    let rows = zones.zones.iter().map(|zone| boxed(Row::new(columns, zone).group(Group::Heap)));
    let total = boxed(Row::new(columns, &zones.total).role(Role::Total));
    std::iter::once(rule()).chain(rows).chain([rule(), total]).collect()
}

fn size_rows(zones: &Zones) -> Vec<Box<dyn Record + '_>> {
    let sizes = size_classes(zones.zones.iter().map(|zone| &zone.zone));
    sizes.into_iter().map(|class| boxed(Row::owned(&SIZE_COLUMNS, class))).collect()
}

/// The rows of each table after the first.
pub fn more_records(zones: &Zones, options: Options) -> Vec<Vec<Box<dyn Record + '_>>> {
    let mut tables = Vec::new();
    if zones.zones.is_empty() {
        return tables;
    }
    if options.free {
        tables.push(zone_rows(zones, &FREE_COLUMNS));
    }
    if options.sizes {
        tables.push(size_rows(zones));
    }
    if let Some(count) = options.largest {
        let blocks = zones.zones.iter().flat_map(|zone| {
            let name = zone.zone.name.to_string();
            zone.zone.largest.iter().map(move |block| Block { zone: name.clone(), block: *block })
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_by_key(|block| std::cmp::Reverse(block.block));
        blocks.truncate(count);
        tables.push(blocks.into_iter().map(|block| boxed(Row::owned(&BLOCKS, block))).collect());
    }
    tables
}

/// The zones whose blocks are in no class of sizes: the owner doesn't record what sizes they have.
fn unsized_zones(zones: &Zones) -> Option<Note> {
    let has_no_sizes =
        |zone: &&HeapZone| zone.zone.sizes.is_empty() && zone.zone.allocated != Some(Bytes::ZERO);
    let names: Vec<_> =
        zones.zones.iter().filter(has_no_sizes).map(|zone| zone.zone.name.to_string()).collect();
    (!names.is_empty()).then_some(Note::WithoutSizes(names))
}

/// The total as a JSON object.
fn total_value(total: &HeapZone) -> serde_json::Value {
    let HeapZone { zone, memory, .. } = total;
    json!({
        "virtual": memory.virtual_size,
        "resident": memory.resident.whole(),
        "dirty": memory.dirty.whole(),
        "swapped": memory.swapped.whole(),
        "allocations": zone.allocations,
        "allocated": zone.allocated,
        "committed": zone.committed,
        "free": zone.free,
        "free_blocks": zone.free_blocks,
        "largest_free": zone.largest_free,
        "top": zone.top,
        "trimmable": zone.trimmable,
        "cached": zone.cached,
        "cached_blocks": zone.cached_blocks,
        "fragmentation": total.fragmentation,
        "fragmentation_percent": total.fragmentation_percent(),
        "regions": memory.regions,
        "exact": zone.is_exact(),
    })
}

fn doubts(zones: &Zones) -> impl Iterator<Item = Note> {
    zones.zones.iter().filter(|zone| !zone.zone.is_exact()).map(|zone| Note::ZoneDoubt {
        zone: zone.zone.name.to_string(),
        doubts: zone.zone.doubts.iter().map(|doubt| doubt.to_string()).collect(),
    })
}

/// Adds to a summary the total of the zones, and their doubts.
pub fn add_to_summary(tail: &mut Tail, zones: &Zones) {
    if !zones.zones.is_empty() {
        tail.fields.insert("zones_total".to_owned(), total_value(&zones.total));
    }
    tail.notes.extend(doubts(zones));
}

/// What comes after the rows.
pub fn tail(origins: &Origins, zones: &Zones, options: Options, warnings: &[Warning]) -> Tail {
    let was_read = origins.findings.inspection.is_some();
    let fields = fields(json!({ "total": total_value(&zones.total), "warnings": warnings_value(warnings) }));
    let is_dump = origins.source.is_dump();
    let nothing = zones.zones.is_empty().then_some(Note::NoZones { was_read, is_dump });
    let shows_sizes = options.sizes || options.by == By::Size;
    let without = if shows_sizes { unsized_zones(zones) } else { None };
    Tail { fields, notes: nothing.into_iter().chain(without).chain(doubts(zones)).collect() }
}
