//! gperftools' tcmalloc on 64-bit systems, and google/tcmalloc where the kernel has its names.
//!
//! A map of two levels (`TCMalloc_PageMap2` in `src/pagemap.h`) leads from each page of 8 KiB to its span (`src/span.h`). Its
//! root lies in the data of the module that holds tcmalloc, its leaves and the spans in memory that tcmalloc got for itself.
//! A span of small blocks counts the blocks that left it: those in use, and those that wait in the caches of threads.
//!
//! google/tcmalloc names its memory (`tcmalloc/internal/system_allocator.h`).

mod spans;

use std::collections::BTreeMap;
use std::sync::Arc;

use mmview_platform::{
    AddrRange, Allocation, Bytes, Claim, FactValue, Region, Result, Runtime, SizeClass, Zone,
};

use super::claims::Claims;
use super::images::Image;
use super::radix::Root;
use super::target::{Target, is_plain, is_reserved};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;
use spans::{Place, Span, Spans, TREE};

/// The name of the owner.
const OWNER: &str = "tcmalloc";

/// How google/tcmalloc names its memory.
const NAME: &[u8] = b"tcmalloc_region_";
const NAME_OF_METADATA: &[u8] = b"tcmalloc_region_METADATA";

/// tcmalloc.
pub(super) struct Tcmalloc {
    wanted: Wanted,
}

impl Tcmalloc {
    pub fn new(wanted: Wanted) -> Tcmalloc {
        Tcmalloc { wanted }
    }
}

impl Recognizer for Tcmalloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        may_have_tree(target) || target.regions.iter().any(|region| has_name(region, NAME))
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        claim_named(target, claims);
        if !may_have_tree(target) {
            return Ok(());
        }
        let roots = TREE.roots(target, |entries| spans::confirm(target, entries))?;
        for (index, root) in roots.iter().enumerate() {
            let name = if index == 0 { OWNER.to_owned() } else { format!("{OWNER} {}", index + 1) };
            self.inspect(target, claims, *root, name.into())?;
        }
        if !roots.is_empty() {
            claims.settle("malloc");
        }
        Ok(())
    }
}

/// Whether a module can hold tcmalloc: it has room for the root, and takes the place of libc's malloc, which shows in its
/// exports unless the program is static.
fn may_have_tree(target: &Target<'_>) -> bool {
    let images = &target.images;
    let is_static = || images.all.len() == 1;
    // The loader of glibc before 2.33 has one of its own.
    let is_loader = |image: &Image| image.elf.soname.as_deref().is_some_and(|name| name.starts_with("ld-"));
    let is_libc = |image: &Image| image.elf.export("gnu_get_libc_version").is_some();
    let replaces_malloc =
        || images.exporting("malloc").any(|(image, _)| !is_libc(image) && !is_loader(image));
    TREE.may_exist(target) && (is_static() || replaces_malloc())
}

impl Tcmalloc {
    fn inspect(
        &self,
        target: &Target<'_>,
        claims: &mut Claims<'_>,
        root: Root<()>,
        name: Arc<str>,
    ) -> Result<()> {
        let found = Spans::read(target, root)?;
        let adjoin = |one: &Span, other: &Span| one.range.end() == other.range.start();
        for group in found.spans.chunk_by(adjoin) {
            let Some(range) = group.iter().map(|span| span.range).reduce(AddrRange::hull) else { continue };
            let claim = |kind: RegionKind| Claim::new(range, OWNER, kind.id()).zone(&name);
            claims.add(&claim(RegionKind::Malloc).title("tcmalloc"), is_plain);
            claims.add(&claim(RegionKind::Reserved).title("tcmalloc reserve"), is_reserved);
        }
        claim_metadata(target, claims, &found.places);
        let count = FactValue::Count(found.spans.len() as u64);
        claims.zone(tally(&found, name, self.wanted.largest));
        claims.runtime(Runtime::new(OWNER, "gperftools tcmalloc").fact("spans", count));
        Ok(())
    }
}

fn has_name(region: &Region, prefix: &[u8]) -> bool {
    region.name.as_ref().is_some_and(|name| name.bytes().trim_ascii_start().starts_with(prefix))
}

/// Claims what google/tcmalloc has named itself.
fn claim_named(target: &Target<'_>, claims: &mut Claims<'_>) {
    for region in target.regions.iter().filter(|region| has_name(region, NAME)) {
        let (kind, title) = match () {
            () if region.protection.is_none() => (RegionKind::Reserved, "tcmalloc reserve"),
            () if has_name(region, NAME_OF_METADATA) => (RegionKind::RuntimeData, "tcmalloc metadata"),
            () => (RegionKind::Malloc, "tcmalloc"),
        };
        claims.add(&Claim::new(region.range, OWNER, kind.id()).title(title), |_| true);
    }
}

/// Claims what is left of the regions with spans and leaves: tcmalloc gets such memory in one piece for many records.
fn claim_metadata(target: &Target<'_>, claims: &mut Claims<'_>, places: &[u64]) {
    let mut regions: Vec<AddrRange> =
        places.iter().filter_map(|place| target.region_at(*place)).map(|region| region.range).collect();
    regions.sort_unstable();
    regions.dedup();
    for region in regions {
        let first = places.partition_point(|place| *place < region.start());
        let inside = places[first..].iter().take_while(|place| region.contains(**place));
        // The chunk that holds the records begins before them and goes on behind them, up to the blocks.
        let parts: Vec<AddrRange> = claims.unclaimed(region);
        let mut is_records = vec![false; parts.len()];
        for place in inside {
            let part = parts.partition_point(|part| part.end() <= *place);
            if let Some(is_records) = is_records.get_mut(part) {
                *is_records = true;
            }
        }
        for (part, _) in parts.iter().zip(is_records).filter(|(_, is_records)| *is_records) {
            let claim = Claim::new(*part, OWNER, RegionKind::RuntimeData.id());
            claims.add(&claim.title("tcmalloc metadata"), is_plain);
        }
    }
}

/// The figures of all spans.
fn tally(found: &Spans, name: Arc<str>, largest: usize) -> Zone {
    let mut zone = Zone::new(OWNER, name);
    let mut sizes: BTreeMap<u64, SizeClass> = BTreeMap::new();
    let (mut free, mut free_blocks, mut largest_free, mut committed) = (0, 0, 0, 0);
    let mut add_free = |count: u64, size: u64| {
        free += count * size;
        free_blocks += count;
        largest_free = largest_free.max(if count > 0 { size } else { 0 });
    };
    for span in &found.spans {
        let size = span.range.size().0;
        let (block_size, count) = match span.place {
            Place::Returned => continue,
            Place::Free => {
                add_free(1, size);
                (size, 0)
            }
            Place::Large => {
                zone.largest.push(Allocation::new(Bytes(size), span.range.start()));
                (size, 1)
            }
            Place::Small { block_size, used } => {
                add_free(size / block_size - used, block_size);
                (block_size, used)
            }
            Place::Unknown => (size, 0),
        };
        committed += size;
        if count > 0 {
            let class = sizes.entry(block_size).or_default();
            class.size = Bytes(block_size);
            class.allocations += count;
            class.allocated += Bytes(count * block_size);
        }
    }
    zone.allocations = Some(sizes.values().map(|class| class.allocations).sum());
    zone.allocated = Some(sizes.values().map(|class| class.allocated).sum());
    zone.free = Some(Bytes(free));
    zone.free_blocks = Some(free_blocks);
    zone.largest_free = Some(Bytes(largest_free));
    zone.committed = Some(Bytes(committed));
    zone.sizes = sizes.into_values().collect();
    zone.largest.sort_unstable_by(|one, other| other.cmp(one));
    zone.largest.truncate(largest);
    zone.doubts = found.doubts.iter().map(|doubt| doubt.as_str().into()).collect();
    zone
}
