//! `/proc/PID/numa_maps`: the start, the memory policy and the resident pages of each region (`fs/proc/task_mmu.c`,
//! `show_numa_map`).
//!
//! The kernel prints counts that aren't 0, in pages; if a region has no resident pages, none. `mapped` is the number of all
//! pages, and stands there only if it differs from `anon` and `dirty`.

use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::linux::names;
use crate::model::{
    AddrRange, Bytes, Device, LinuxRegion, Name, NameKind, Numa, NumaNode, PageCounts, Protection, Region,
    ShareMode,
};

/// No machine has more memory nodes.
const MOST_NODES: usize = 1024;

/// What a policy starts with (`mm/mempolicy.c`, `policy_modes`).
const POLICIES: [&[u8]; 7] =
    [b"default", b"local", b"bind", b"prefer", b"preferred", b"interleave", b"weighted"];

/// Texts of numa_maps.
#[derive(Debug, Default)]
pub(super) struct NumaMaps;

impl Form for NumaMaps {
    fn line(&mut self, line: &[u8]) -> Line {
        row(line).map_or(Line::Unknown, |region| Line::Region(Box::new(region)))
    }

    fn id(&self) -> &'static str {
        "numa_maps"
    }

    fn lack(&self) -> Option<&'static str> {
        Some("numa_maps has neither the sizes of regions nor their protections; save maps or smaps with it")
    }
}

/// The counts of a row, in pages.
#[derive(Default)]
struct Pages {
    anonymous: u64,
    dirty: u64,
    mapped: Option<u64>,
    swap_cache: u64,
    active: Option<u64>,
    writeback: u64,
    nodes: Vec<(u32, u64)>,
}

fn row(line: &[u8]) -> Option<Region> {
    let mut cells = Cells::new(line);
    let start = cells.next().filter(|cell| cell.len() >= 8).and_then(cells::hexadecimal)?;
    let mut numa = Numa { policy: policy(&mut cells)?, ..Numa::default() };
    let (mut name, mut pages, mut page_size) = (None, Pages::default(), None);
    for cell in cells {
        let Some(equals) = memchr::memchr(b'=', cell) else {
            match cell {
                b"heap" => name = Some(Name::new(NameKind::Kernel, &b"[heap]"[..])),
                b"huge" => numa.huge = true,
                _ if cell.starts_with(b"stack") => name = Some(Name::new(NameKind::Kernel, &b"[stack]"[..])),
                _ => return None,
            }
            continue;
        };
        let (key, value) = (&cell[..equals], &cell[equals + 1..]);
        if key == b"file" {
            name = names::parse_exact(&unescaped(value), Device::default()).map(|parsed| parsed.name);
            continue;
        }
        let value = cells::decimal(value)?;
        match key {
            b"anon" => pages.anonymous = value,
            b"dirty" => pages.dirty = value,
            b"mapped" => pages.mapped = Some(value),
            b"mapmax" => numa.most_mappings = Some(value),
            b"swapcache" => pages.swap_cache = value,
            b"active" => pages.active = Some(value),
            b"writeback" => pages.writeback = value,
            b"kernelpagesize_kB" => page_size = Some(Bytes::from_kib(value)),
            _ => {
                if let Some(node) = key.strip_prefix(b"N").and_then(cells::decimal) {
                    (pages.nodes.len() < MOST_NODES).then_some(())?;
                    pages.nodes.push((node.try_into().ok()?, value));
                }
            }
        }
    }
    let counts = pages.into_sizes(&mut numa, page_size);
    let native = LinuxRegion { numa: Some(Box::new(numa)), lacks_offset: true, ..LinuxRegion::default() };
    let region =
        cells::region(AddrRange::new(start, start)?, Protection::UNKNOWN, ShareMode::Unknown, native);
    Some(Region { name, counts, ..region })
}

/// The policy, of which two have a blank in them: `weighted interleave:0-1`, `prefer (many):0-1`.
fn policy(cells: &mut Cells<'_>) -> Option<Box<str>> {
    let first = cells.next()?;
    let mode = first.split(|byte| matches!(byte, b':' | b'=')).next()?;
    POLICIES.contains(&mode).then_some(())?;
    let has_more = first == b"weighted" || cells.rest().starts_with(b"(many)");
    let words = if has_more { [first, b" ", cells.next()?].concat() } else { first.to_vec() };
    Some(String::from_utf8_lossy(&words).into())
}

impl Pages {
    /// Converts the counts to sizes. A region without any has no resident pages.
    fn into_sizes(self, numa: &mut Numa, page_size: Option<Bytes>) -> PageCounts {
        let is_empty =
            self.nodes.is_empty() && self.mapped.is_none() && self.anonymous == 0 && self.dirty == 0;
        let Some(Bytes(page)) = page_size.or(is_empty.then_some(Bytes::ZERO)) else {
            return PageCounts::UNMEASURED;
        };
        let size = |pages: u64| Bytes(pages.saturating_mul(page));
        let resident: Bytes = self.nodes.iter().map(|(_, pages)| size(*pages)).sum();
        numa.page_size = page_size;
        numa.anonymous = Some(size(self.anonymous));
        numa.dirty = Some(size(self.dirty));
        numa.swap_cache = Some(size(self.swap_cache));
        // It is left out if all pages are active.
        numa.active = self.active.map(size).or((!numa.huge).then_some(resident));
        numa.writeback = Some(size(self.writeback));
        numa.nodes = self.nodes.iter().map(|(node, pages)| NumaNode::new(*node, size(*pages))).collect();
        if numa.huge {
            // Resident sizes don't include hugetlb pages.
            return PageCounts::UNMEASURED;
        }
        PageCounts { resident: Some(resident), dirty: numa.dirty, ..PageCounts::UNMEASURED }
    }
}

/// A path whose newlines, tabs, blanks and equals signs are escaped in octal.
fn unescaped(text: &[u8]) -> Vec<u8> {
    const ESCAPES: [(&[u8], u8); 4] =
        [(b"\\012", b'\n'), (b"\\011", b'\t'), (b"\\040", b' '), (b"\\075", b'=')];
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escape = ESCAPES.iter().find_map(|(escape, byte)| Some((*byte, rest.strip_prefix(*escape)?)));
        let (byte, after) = escape.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<Region> {
        match NumaMaps.line(line.as_bytes()) {
            Line::Region(region) => Some(*region),
            _ => None,
        }
    }

    fn numa(region: &Region) -> &Numa {
        region.native.linux().unwrap().numa.as_ref().unwrap()
    }

    #[test]
    fn pages_by_node() {
        let region = read(
            "7f6a00000000 interleave=static:0-1 file=/lib/a\\040b\\075 anon=2 dirty=3 mapped=5 mapmax=2 active=1 N0=3 N1=2 kernelpagesize_kB=4",
        )
        .unwrap();
        assert_eq!(region.range.to_string(), "7f6a00000000-7f6a00000000");
        assert_eq!(region.name.as_ref().unwrap().bytes(), b"/lib/a b=");
        assert_eq!(region.counts.resident, Some(Bytes(20480)));
        assert_eq!(region.counts.dirty, Some(Bytes(12288)));
        assert!(!region.protection.is_known());
        let numa = numa(&region);
        assert_eq!((&*numa.policy, numa.most_mappings), ("interleave=static:0-1", Some(2)));
        assert_eq!((numa.anonymous, numa.active), (Some(Bytes(8192)), Some(Bytes(4096))));
        assert_eq!(*numa.nodes, [NumaNode::new(0, Bytes(12288)), NumaNode::new(1, Bytes(8192))]);
        let written = serde_json::to_string(&region).unwrap();
        assert_eq!(serde_json::from_str::<Region>(&written).unwrap(), region, "{written}");
    }

    #[test]
    fn what_is_not_printed_is_nothing() {
        let region = read("687c00000 default").unwrap();
        assert_eq!(region.counts.resident, Some(Bytes(0)));
        let region = read("687c00000 default heap anon=5 dirty=5 N0=5 kernelpagesize_kB=64").unwrap();
        assert_eq!(region.name.as_ref().unwrap().bytes(), b"[heap]");
        assert_eq!(numa(&region).active, Some(Bytes(5 << 16)), "all of them");
        let old = read("687c00000 default stack anon=5 dirty=5 N0=5").unwrap();
        assert_eq!((old.counts, numa(&old).anonymous), (PageCounts::UNMEASURED, None));
    }

    #[test]
    fn huge_pages_are_not_in_the_resident_size() {
        let region =
            read("2aaaaac00000 bind:1 file=/anon_hugepage\\040(deleted) huge anon=1 dirty=1 N1=1 kernelpagesize_kB=2048")
                .unwrap();
        assert_eq!(region.name.as_ref().unwrap().kind(), NameKind::MemoryObject);
        assert_eq!(region.counts.resident, None);
        assert_eq!(*numa(&region).nodes, [NumaNode::new(1, Bytes(2 << 20))]);
    }

    #[test]
    fn policies_with_blanks() {
        for policy in
            ["weighted interleave:0-1", "prefer (many):0,2", "bind=relative:0-3", "prefer:1", "local"]
        {
            let region = read(&format!("687c00000 {policy} anon=1 N0=1 kernelpagesize_kB=4")).unwrap();
            assert_eq!(&*numa(&region).policy, policy);
        }
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "",
            "687400000",
            "687400000 defaults",
            "687400000 default what",
            "687400000 default anon=x",
            "687400000 weighted",
            "cafe default",
            "687400000-687c00000 rw-p 00000000 00:00 0",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(line in prop_oneof![
            "[0-9a-f]{7,17} (default|bind:0|weighted|prefer \\(many\\)) ((N|anon|dirty|mapped|kernelpagesize_kB|file)[0-9]?=[0-9]{1,20} ){0,5}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..80),
        ]) {
            NumaMaps.line(&line);
        }
    }
}
