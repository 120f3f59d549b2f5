//! Walks over kernels that answer as they should, and over others.

use proptest::prelude::*;

use super::*;
use crate::macos::parse::decode::RawPages;
use crate::macos::parse::images::LoadedImage;
use crate::macos::parse::kern::KernReturn;
use crate::macos::parse::macho::MachHeader;
use crate::model::{Bytes, Image};

/// A kernel that answers from a list, and misbehaves at a given call.
#[derive(Default)]
struct FakeKernel {
    entries: Vec<RawRegion>,
    paths: Vec<(u64, &'static str)>,
    /// From which region call on to return which error.
    faults: Vec<(usize, i32)>,
    /// Whether `mach_vm_region` has none of the faults.
    is_region_sane: bool,
    is_process_refused: bool,
    dies_at: Option<usize>,
    purge: Option<PurgeState>,
    calls: usize,
    path_calls: usize,
    purge_calls: usize,
    disposition_calls: usize,
}

impl FakeKernel {
    fn new(entries: Vec<RawRegion>) -> FakeKernel {
        FakeKernel { entries, ..FakeKernel::default() }
    }

    fn answer(&mut self, address: u64) -> Result<RawRegion, Refusal> {
        self.calls += 1;
        if self.dies_at.is_some_and(|at| self.calls > at) {
            return Err(KernReturn::INVALID_ADDRESS.into());
        }
        self.at(address).ok_or_else(|| KernReturn::INVALID_ADDRESS.into())
    }

    fn at(&self, address: u64) -> Option<RawRegion> {
        self.entries.iter().find(|entry| entry.address.saturating_add(entry.size.max(1)) > address).copied()
    }

    fn fault(&self) -> Result<(), Refusal> {
        let hit = self.faults.iter().rev().find(|(from, _)| self.calls >= *from);
        hit.map_or(Ok(()), |(_, code)| Err(KernReturn(*code).into()))
    }
}

impl TaskCalls for FakeKernel {
    fn recurse(&mut self, address: u64, with_pages: bool) -> Result<RawRegion, Refusal> {
        self.fault()?;
        let pages = with_pages.then_some(RawPages { resident: 1, ..RawPages::default() });
        self.answer(address).map(|raw| RawRegion { pages, ..raw })
    }

    fn region(&mut self, address: u64, _with_pages: bool) -> Result<RawRegion, Refusal> {
        if !self.is_region_sane {
            self.fault()?;
        }
        self.answer(address)
    }

    fn process_region(&mut self, address: u64) -> Result<ProcessRegion, Refusal> {
        self.path_calls += 1;
        if self.is_process_refused {
            return Err(Refusal::from_proc_errno(1));
        }
        let raw = self.at(address).ok_or(Refusal::End)?;
        let path =
            self.paths.iter().find(|(at, _)| *at == raw.address).map(|(_, path)| path.as_bytes().into());
        Ok(ProcessRegion { raw, path })
    }

    fn purge_state(&mut self, _address: u64) -> Option<PurgeState> {
        self.purge_calls += 1;
        self.purge
    }

    fn dispositions(&mut self, range: AddrRange) -> Option<Vec<Disposition>> {
        self.disposition_calls += 1;
        Some(vec![Disposition(1); (range.size().0 / 0x1000) as usize])
    }

    fn is_alive(&mut self) -> bool {
        self.dies_at.is_none_or(|at| self.calls <= at)
    }
}

fn entry(address: u64, size: u64) -> RawRegion {
    RawRegion { address, size, protection: 3, max_protection: 7, share_mode: 2, ..RawRegion::default() }
}

fn plan(segments: SegmentMap) -> Plan {
    Plan {
        pid: 7,
        method: Method::Recurse,
        with_counts: true,
        with_states: false,
        page_size: PageSize::new(0x1000).unwrap(),
        segments,
        is_root: false,
        from: 0,
    }
}

fn walk(kernel: &mut FakeKernel) -> (Result<Vec<Region>>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let regions = Walk::new(kernel, plan(SegmentMap::default()), &mut warnings).collect();
    (regions, warnings)
}

fn starts(regions: &[Region]) -> Vec<u64> {
    regions.iter().map(|region| region.range.start()).collect()
}

#[test]
fn one_call_a_region_and_one_for_the_end() {
    let mut kernel =
        FakeKernel::new(vec![entry(0x1000, 0x1000), entry(0x2000, 0x3000), entry(0x9000, 0x1000)]);
    let (regions, warnings) = walk(&mut kernel);
    assert_eq!(starts(&regions.unwrap()), [0x1000, 0x2000, 0x9000]);
    assert_eq!(kernel.calls, 4);
    assert!(warnings.is_empty());
}

#[test]
fn an_entry_without_a_size_is_stepped_over() {
    let mut kernel = FakeKernel::new(vec![entry(0x1000, 0x1000), entry(0x3000, 0), entry(0x5000, 0x1000)]);
    assert_eq!(starts(&walk(&mut kernel).0.unwrap()), [0x1000, 0x5000]);
}

#[test]
fn answers_that_do_not_advance_end_the_walk() {
    let mut kernel = FakeKernel::new((0..200).map(|page| entry(page * 0x1000, 0)).collect());
    let (regions, warnings) = walk(&mut kernel);
    assert!(regions.unwrap().is_empty());
    assert!(matches!(warnings[..], [Warning::Limited { .. }]));
    assert!(kernel.calls < 100);
    let mut kernel = FakeKernel::new(vec![entry(u64::MAX - 0xfff, 0x2000)]);
    assert!(walk(&mut kernel).0.unwrap().is_empty());
}

#[test]
fn what_is_charged_and_not_mapped_is_no_region() {
    let extra = RawRegion { user_tag: u32::MAX, ..entry(0x9000, 0x5000) };
    let mut kernel = FakeKernel::new(vec![entry(0x1000, 0x1000), extra]);
    assert_eq!(starts(&walk(&mut kernel).0.unwrap()), [0x1000]);
}

#[test]
fn a_region_that_grew_downwards_is_clipped() {
    let mut kernel = FakeKernel::new(vec![entry(0x1000, 0x2000), entry(0x2000, 0x4000)]);
    let (regions, warnings) = walk(&mut kernel);
    let regions = regions.unwrap();
    assert_eq!(starts(&regions), [0x1000, 0x3000]);
    assert_eq!(regions[1].counts.resident, None);
    assert!(matches!(warnings[..], [Warning::Torn { regions: 1, .. }]));
}

#[test]
fn a_task_that_dies_has_vanished() {
    let entries = vec![entry(0x1000, 0x1000), entry(0x3000, 0x1000), entry(0x5000, 0x1000)];
    let mut kernel = FakeKernel { dies_at: Some(2), ..FakeKernel::new(entries.clone()) };
    assert!(matches!(walk(&mut kernel).0, Err(Error::Vanished { pid: 7 })));
    let dead_port = vec![(2, KernReturn::SEND_INVALID_DEST.0)];
    let mut kernel = FakeKernel { faults: dead_port, ..FakeKernel::new(entries) };
    assert!(matches!(walk(&mut kernel).0, Err(Error::Replaced { pid: 7 })));
}

#[test]
fn a_refused_call_is_replaced_by_the_next_best() {
    let entries = vec![entry(0x1000, 0x1000), entry(0x3000, 0x1000), entry(0x5000, 0x1000)];
    let faults = vec![(1, KernReturn::INVALID_ARGUMENT.0)];
    let mut kernel =
        FakeKernel { faults: faults.clone(), is_region_sane: true, ..FakeKernel::new(entries.clone()) };
    let (regions, warnings) = walk(&mut kernel);
    assert_eq!(starts(&regions.unwrap()), [0x1000, 0x3000, 0x5000]);
    assert_eq!(warnings.len(), 1);

    let mut kernel = FakeKernel { faults: faults.clone(), ..FakeKernel::new(entries.clone()) };
    kernel.paths = vec![(0x5000, "/tmp/a")];
    let (regions, warnings) = walk(&mut kernel);
    let regions = regions.unwrap();
    assert_eq!(starts(&regions), [0x1000, 0x3000, 0x5000]);
    assert_eq!(regions[2].name.as_ref().unwrap().bytes(), b"/tmp/a");
    assert_eq!(warnings.len(), 2);

    let mut kernel = FakeKernel { faults, is_process_refused: true, ..FakeKernel::new(entries) };
    let Err(Error::NotPermitted { hints, .. }) = walk(&mut kernel).0 else { panic!("every way is refused") };
    assert!(hints.iter().any(|way| way.contains("sudo")));
}

#[test]
fn paths_are_looked_up_once_an_object_and_never_for_a_neighbor() {
    let file = |address, object_id| RawRegion { external_pager: true, object_id, ..entry(address, 0x1000) };
    let cached = RawRegion { depth: 1, ..file(0x9000, 4) };
    let mut kernel = FakeKernel::new(vec![
        file(0x1000, 1),
        file(0x2000, 1),
        file(0x4000, 2),
        entry(0x5000, 0x1000),
        cached,
    ]);
    kernel.paths = vec![(0x1000, "/tmp/a"), (0x4000, "/tmp/b"), (0x5000, "/tmp/wrong")];
    let regions = walk(&mut kernel).0.unwrap();
    let names: Vec<_> =
        regions.iter().map(|region| region.name.as_ref().map(|name| name.bytes().to_vec())).collect();
    let path = |path: &str| Some(path.as_bytes().to_vec());
    assert_eq!(names, [path("/tmp/a"), path("/tmp/a"), path("/tmp/b"), None, None]);
    assert_eq!(kernel.path_calls, 2);
}

#[test]
fn only_what_can_be_purgeable_is_asked() {
    let copied = RawRegion { share_mode: 1, user_tag: 7, ..entry(0x3000, 0x1000) };
    let mut kernel = FakeKernel::new(vec![entry(0x1000, 0x1000), copied]);
    kernel.purge = Some(PurgeState::Nonvolatile);
    let regions = walk(&mut kernel).0.unwrap();
    let nonvolatile = |index: usize| regions[index].native.macos().unwrap().nonvolatile;
    assert_eq!(nonvolatile(0), Some(Bytes(0x1000)));
    assert_eq!(nonvolatile(1), Some(Bytes(0)));
    assert_eq!(kernel.purge_calls, 1);
}

#[test]
fn segments_name_regions_without_a_look_up() {
    let segments = vec![
        ("__TEXT".into(), AddrRange::new(0x1000, 0x2000).unwrap()),
        ("__DATA".into(), AddrRange::new(0x3000, 0x4000).unwrap()),
    ];
    let image = Image { path: b"/bin/a"[..].into(), load_address: 0x1000, segments: segments.clone() };
    let header = MachHeader { code_type: None, platform: None, is_in_shared_cache: false, segments };
    let map = SegmentMap::new(&[LoadedImage { image, header }], PageSize::new(0x1000).unwrap());
    let file = |address, size| RawRegion { external_pager: true, ..entry(address, size) };
    let mut kernel = FakeKernel::new(vec![file(0x1000, 0x1000), file(0x3000, 0x2000)]);
    let mut warnings = Vec::new();
    let regions: Vec<_> = Walk::new(&mut kernel, plan(map), &mut warnings).map(Result::unwrap).collect();
    let segment = |index: usize| regions[index].native.macos().unwrap().segment.as_deref();
    assert_eq!(starts(&regions), [0x1000, 0x3000, 0x4000]);
    assert_eq!((segment(0), segment(1), segment(2)), (Some("__TEXT"), Some("__DATA"), None));
    assert_eq!((kernel.path_calls, kernel.disposition_calls), (0, 1));
}

fn any_entry() -> impl Strategy<Value = RawRegion> {
    let address = prop_oneof![0u64..0x20_0000, any::<u64>()];
    let size = prop_oneof![Just(0u64), Just(0x1000), 0u64..0x10000, any::<u64>()];
    (address, size, any::<[u8; 4]>(), prop_oneof![0u32..256, Just(u32::MAX)]).prop_map(
        |(address, size, bits, user_tag)| RawRegion {
            address,
            size,
            user_tag,
            protection: bits[0].into(),
            share_mode: bits[1] % 10,
            external_pager: bits[2] % 2 == 0,
            is_submap: bits[3] % 8 == 0,
            ..RawRegion::default()
        },
    )
}

proptest! {
    #[test]
    fn any_kernel_gives_regions_in_order_and_ends(
        mut entries in proptest::collection::vec(any_entry(), 0..60),
        is_sorted in any::<bool>(),
        faults in proptest::collection::vec((0usize..80, 1i32..60), 0..3),
    ) {
        if is_sorted {
            entries.sort_by_key(|entry| entry.address);
        }
        let mut kernel = FakeKernel { faults, ..FakeKernel::new(entries) };
        if let (Ok(regions), _) = walk(&mut kernel) {
            for pair in regions.windows(2) {
                prop_assert!(pair[0].range.end() <= pair[1].range.start());
            }
        }
    }
}
