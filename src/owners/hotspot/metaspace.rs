//! Metaspace: what the VM keeps about classes, in address space of its own (`src/hotspot/share/memory/metaspace.hpp`,
//! `src/hotspot/share/memory/metaspace/virtualSpaceNode.hpp`). The VM doesn't export its bounds. The classes show where it is,
//! and its reserves have known sizes and alignments.

use std::collections::BTreeSet;
use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, Evidence, Region, Zone};

use super::classes::Classes;
use super::heap::committed;
use super::vm::Vm;
use super::{Fault, METASPACE, Read};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;

/// The size of a node of metaspace from version 16 on, and the least alignment of one.
const NODE: u64 = 64 << 20;
const NODE_ALIGNMENT: u64 = 4 << 20;

/// The sizes of nodes before version 16: the first one's, and that of the others.
const SMALL_NODES: [u64; 2] = [8 << 20, 2 << 20];

/// The alignment of the class space behind an archive of classes.
const ARCHIVE_ALIGNMENT: u64 = 16 << 20;

/// The largest class space that the VM allows, and the largest archive.
const LARGEST_CLASS_SPACE: u64 = 4 << 30;
const LARGEST_ARCHIVE: u64 = 4 << 30;

const CLASS_SPACE: &str = "Java class space";
const OTHER: &str = "Java metaspace";

/// Where the metaspace is.
struct Places {
    archive: Option<AddrRange>,
    class_space: Option<AddrRange>,
    nodes: Vec<(AddrRange, Evidence)>,
}

/// Claims the metaspace, the class space and the archive of classes. Returns how much of both is committed.
pub(super) fn inspect(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, classes: &Classes) -> Read<u64> {
    let archive = archive(vm)?;
    let class_space = class_space(vm, claims, archive, classes)?;
    let nodes = nodes(vm, claims, archive, class_space, classes);
    let places = Places { archive, class_space, nodes };
    if let Some(archive) = places.archive {
        let claim = Claim::new(archive, METASPACE, RegionKind::RuntimeData.id()).title("Java class archive");
        claims.add(&claim, |region| is_own(region) && !region.protection.is_none());
    }
    let mut sum = 0;
    if let Some(space) = places.class_space {
        sum += claim(vm, claims, CLASS_SPACE, &[(space, Evidence::Memory)], classes);
    }
    if !places.nodes.is_empty() {
        sum += claim(vm, claims, OTHER, &places.nodes, classes);
    }
    Ok(sum)
}

/// Claims the parts of a zone, and returns how much of it is committed.
fn claim(
    vm: &Vm<'_, '_>,
    claims: &mut Claims<'_>,
    name: &'static str,
    parts: &[(AddrRange, Evidence)],
    classes: &Classes,
) -> u64 {
    let zone: Arc<str> = name.into();
    let mut sum = 0;
    for (range, evidence) in parts {
        let of = |kind: RegionKind, title| {
            let mut claim = Claim::new(*range, METASPACE, kind.id()).title(title);
            claim.evidence = *evidence;
            claim
        };
        claims.add(&of(RegionKind::RuntimeData, name).zone(&zone), |region| {
            is_own(region) && !region.protection.is_none()
        });
        let reserved = of(RegionKind::Reserved, "Java metaspace reserve");
        claims.add(&reserved, |region| is_own(region) && region.protection.is_none());
        sum += committed(vm, *range);
    }
    let mut found = Zone::new(METASPACE, name);
    found.committed = Some(Bytes(sum));
    if classes.is_torn {
        found.doubts.push("the classes changed while they were read".into());
    }
    if parts.iter().any(|(_, evidence)| *evidence != Evidence::Memory) {
        found.doubts.push("its bounds are likely, not certain".into());
    }
    claims.zone(found);
    sum
}

/// Whether a region can be a part of the metaspace: private memory without a file, in use or reserved.
fn is_own(region: &Region) -> bool {
    region.is_unnamed() && !region.share.is_shared() && !region.protection.is_executable()
}

/// The archive of classes that the VM starts from.
fn archive(vm: &Vm<'_, '_>) -> Read<Option<AddrRange>> {
    const START: &[&str] = &["MetaspaceObj::_aot_metaspace_base", "MetaspaceObj::_shared_metaspace_base"];
    const END: &[&str] = &["MetaspaceObj::_aot_metaspace_top", "MetaspaceObj::_shared_metaspace_top"];
    let (start, end) = match (vm.value(START), vm.value(END)) {
        (Ok(start), Ok(end)) => (start, end),
        (Err(Fault::Memory(error)), _) | (_, Err(Fault::Memory(error))) => return Err(Fault::Memory(error)),
        _ => return Ok(None),
    };
    let range = AddrRange::new(start, end).filter(|range| range.size().0 <= LARGEST_ARCHIVE);
    Ok(range.filter(|range| !range.is_empty() && vm.target.region_at(range.start()).is_some()))
}

/// The class space, which has the classes that are not in the archive.
fn class_space(
    vm: &Vm<'_, '_>,
    claims: &Claims<'_>,
    archive: Option<AddrRange>,
    classes: &Classes,
) -> Read<Option<AddrRange>> {
    const BASE: &[&str] = &[
        "CompressedKlassPointers::_base",
        "CompressedKlassPointers::_narrow_klass._base",
        "Universe::_narrow_klass._base",
    ];
    let Some(size) = vm.size_flag("CompressedClassSpaceSize").filter(|size| is_size(vm, *size)) else {
        return Ok(None);
    };
    let outside: BTreeSet<u64> = classes.classes.iter().copied().filter(|at| !is_in(archive, *at)).collect();
    let base = match vm.value(BASE) {
        Err(Fault::Absent) => 0,
        base => base?,
    };
    let behind = archive.and_then(|archive| archive.end().checked_next_multiple_of(ARCHIVE_ALIGNMENT));
    let starts = behind.into_iter().chain(Some(base).filter(|base| *base != 0)).chain(
        // Without a base, a boundary below the classes.
        outside.first().into_iter().flat_map(|first| boundaries_below(vm, claims, *first)),
    );
    let spaces = starts.filter_map(|start| AddrRange::with_size(start, Bytes(size)));
    let is_possible = |space: &AddrRange| {
        vm.target.is_within(*space, is_own)
            && space.start().is_multiple_of(NODE_ALIGNMENT)
            && claims.unclaimed(*space) == [*space]
            && outside.first().is_none_or(|first| space.contains(*first))
    };
    Ok(spaces.into_iter().find(is_possible))
}

fn is_size(vm: &Vm<'_, '_>, size: u64) -> bool {
    size > 0 && size <= LARGEST_CLASS_SPACE && size.is_multiple_of(vm.target.page())
}

/// The starts of the regions below an address, and of what is not claimed in them, as far as they can be a part of the same
/// reserve.
fn boundaries_below(vm: &Vm<'_, '_>, claims: &Claims<'_>, address: u64) -> Vec<u64> {
    let after = vm.target.regions.partition_point(|region| region.range.start() <= address);
    let below = vm.target.regions[..after].iter().rev();
    let reserve = below
        .take_while(|region| is_own(region) && address - region.range.start() <= LARGEST_CLASS_SPACE)
        .filter_map(|region| {
            claims.unclaimed(region.range).into_iter().rfind(|free| free.start() <= address)
        });
    reserve.map(AddrRange::start).collect()
}

fn is_in(range: Option<AddrRange>, address: u64) -> bool {
    range.is_some_and(|range| range.contains(address))
}

/// The nodes of the rest of the metaspace. Where the bounds of one stay unknown, a region is likely to be one.
fn nodes(
    vm: &Vm<'_, '_>,
    claims: &Claims<'_>,
    archive: Option<AddrRange>,
    class_space: Option<AddrRange>,
    classes: &Classes,
) -> Vec<(AddrRange, Evidence)> {
    let are_nodes_large = vm.tables.has("CompressedKlassPointers::_base")
        || vm.tables.has("CompressedKlassPointers::_narrow_klass._base");
    let mut nodes: Vec<(AddrRange, Evidence)> = Vec::new();
    let mut addresses: Vec<u64> = classes.constants.iter().chain(&classes.classes).copied().collect();
    addresses.sort_unstable();
    for address in addresses {
        let is_known = is_in(archive, address)
            || is_in(class_space, address)
            || nodes.last().is_some_and(|(node, _)| node.contains(address));
        if is_known {
            continue;
        }
        let Some(region) = vm.target.region_at(address).filter(|region| is_own(region)) else { continue };
        let free = claims.unclaimed(region.range).into_iter().find(|free| free.contains(address));
        let Some(free) = free else { continue };
        let lowest = nodes.last().map_or(0, |(node, _)| node.end());
        let node = match are_nodes_large {
            true => large_node(vm, address, lowest),
            false => small_node(vm, address, free),
        };
        nodes.push(node.map_or((free, Evidence::Shape), |node| (node, Evidence::Memory)));
    }
    nodes
}

/// The node before version 16 that holds an address of `free` memory: it ends with what it only reserves.
fn small_node(vm: &Vm<'_, '_>, address: u64, free: AddrRange) -> Option<AddrRange> {
    let reserve =
        vm.target.region_at(free.end()).filter(|region| region.protection.is_none() && is_own(region))?;
    let end = reserve.range.end();
    let starts = SMALL_NODES.into_iter().filter_map(|size| end.checked_sub(size));
    let mut nodes = starts.filter_map(|start| AddrRange::new(start, end));
    nodes.find(|node| node.contains(address) && node.start() >= free.start())
}

/// The node that holds an address. The kernel may have joined it with other memory on either side, so that one of its ends is
/// no boundary of a region.
fn large_node(vm: &Vm<'_, '_>, address: u64, lowest: u64) -> Option<AddrRange> {
    let is_boundary = |at: u64| vm.target.region_at(at).is_none_or(|region| region.range.start() == at);
    let last = address - address % NODE_ALIGNMENT;
    let starts = (0..NODE / NODE_ALIGNMENT).filter_map(|step| last.checked_sub(step * NODE_ALIGNMENT));
    let nodes = starts.filter_map(|start| AddrRange::with_size(start, Bytes(NODE)));
    let possible = nodes.filter(|node| node.start() >= lowest && vm.target.is_within(*node, is_own));
    let ends =
        |node: &AddrRange| usize::from(is_boundary(node.start())) + usize::from(is_boundary(node.end()));
    possible.filter(|node| ends(node) > 0).max_by_key(|node| ends(node))
}
