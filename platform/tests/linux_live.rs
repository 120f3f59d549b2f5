//! All ways to read a live map on Linux agree, region by region, for every readable process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::print_stdout)]

use std::time::Duration;

use mmview_platform::{
    ByteOrder, Bytes, Detail, Machine, OpenOptions, PageState, Region, SmapsField, open_process, open_self,
    processes,
};

fn regions(pid: u32, detail: Detail) -> Option<(Detail, Vec<Region>)> {
    let options = OpenOptions::new().with_anonymous(true);
    let mut source = open_process(pid, &options).ok()?;
    let regions = source.regions(detail).ok()?;
    let detail = regions.detail();
    Some((detail, regions.collect::<Result<_, _>>().ok()?))
}

fn anonymous(region: &Region) -> Option<Bytes> {
    region.native.linux()?.smaps.get(SmapsField::Anonymous)
}

/// The run time of each thread of a process; `None` while one is running.
fn ran(pid: u32) -> Option<Vec<String>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let ran = tasks.flatten().map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        if stat.contains(") R ") {
            return None;
        }
        std::fs::read_to_string(task.path().join("schedstat")).ok()
    });
    ran.collect()
}

#[test]
fn the_scan_equals_smaps() {
    if regions(std::process::id(), Detail::Resident).is_none_or(|(detail, _)| detail != Detail::Resident) {
        println!("skipped: this kernel has no PAGEMAP_SCAN");
        return;
    }
    let mut compared = 0;
    for entry in processes(&OpenOptions::default()).unwrap() {
        let read = |detail| regions(entry.pid, detail);
        let ran_before = ran(entry.pid);
        let (Some((detail, scanned)), Some((_, counted)), Some((_, again))) =
            (read(Detail::Resident), read(Detail::Counts), read(Detail::Resident))
        else {
            continue;
        };
        // A kernel thread has nothing to scan, and a process that is not idle can't be compared.
        let has_run = ran_before.is_none() || ran_before != ran(entry.pid);
        let is_still =
            detail == Detail::Resident && scanned.len() == counted.len() && scanned == again && !has_run;
        if !is_still {
            continue;
        }
        for (scanned, counted) in scanned.iter().zip(&counted) {
            assert_eq!(scanned.range, counted.range);
            assert_eq!(scanned.counts.resident, counted.counts.resident, "{}: {counted:?}", entry.pid);
            assert_eq!(anonymous(scanned), anonymous(counted), "{}: {counted:?}", entry.pid);
            let is_told = scanned.counts.swapped.is_some();
            assert!(
                !is_told || scanned.counts.swapped == counted.counts.swapped,
                "{}: {counted:?}",
                entry.pid
            );
            compared += 1;
        }
    }
    println!("{compared} regions compared");
}

#[test]
fn a_gentle_scan_has_the_same_result_in_small_steps() {
    let mut map = memmap2::MmapOptions::new().len(64 << 20).map_anon().unwrap();
    map.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let map = std::hint::black_box(map);
    let read = |max_stall| {
        let options = OpenOptions::new().max_stall(max_stall);
        let mut source = open_self(&options).unwrap();
        let region = source.region_at(map.as_ptr() as u64, Detail::Resident).unwrap().unwrap();
        (region.counts.resident, source.reading())
    };
    let ((at_once, _), (gently, reading)) = (read(None), read(Some(Duration::from_micros(200))));
    assert_eq!(at_once, gently);
    let Some(reading) = reading.filter(|reading| reading.method == "PAGEMAP_SCAN") else {
        println!("skipped: this kernel has no PAGEMAP_SCAN");
        return;
    };
    assert!(reading.calls > 4, "64 MiB are more than a step: {reading:?}");
    assert!(reading.slept > reading.busy, "{reading:?}");
}

#[test]
fn page_states_add_up_to_the_counts() {
    let map = memmap2::MmapOptions::new().len(1 << 20).map_anon().unwrap();
    let mut map = std::hint::black_box(map);
    map[0] = 1;
    map[5 << 12] = 1;
    let address = map.as_ptr() as u64;
    let snapshot = open_self(&OpenOptions::default()).unwrap().read(Detail::Pages).unwrap();
    if snapshot.detail != Detail::Pages {
        println!("skipped: this kernel has no PAGEMAP_SCAN");
        return;
    }
    let region = snapshot.region_at(address).unwrap();
    let pages = region.pages.as_ref().unwrap();
    let is_present = |address: u64| {
        pages.iter().any(|run| run.range.contains(address) && run.state.has(PageState::PRESENT))
    };
    assert!(is_present(address));
    assert!(is_present(address + (5 << 12)));
    for region in snapshot.regions.iter().filter(|region| region.name.is_none()) {
        let resident: Bytes = region
            .pages
            .iter()
            .flatten()
            .filter(|run| run.state.is_resident())
            .map(|run| run.range.size())
            .sum();
        assert!(resident <= region.size());
    }
}

#[test]
fn a_single_look_up_is_a_line_of_the_listing() {
    let mut source = open_self(&OpenOptions::default()).unwrap();
    let local = 0u8;
    let address = std::ptr::from_ref(&local) as u64;
    let one = source.region_at(address, Detail::Layout).unwrap().expect("a local variable lies in a region");
    let all = source.read(Detail::Layout).unwrap();
    let listed = all.region_at(address).unwrap();
    assert_eq!((one.protection, one.share, &one.name), (listed.protection, listed.share, &listed.name));
    assert!(source.region_at(0, Detail::Layout).unwrap().is_none());
}

#[test]
fn this_process_runs_on_the_machine_it_was_built_for() {
    let arch = open_self(&OpenOptions::new()).unwrap().info().arch.unwrap();
    assert_eq!(arch.word_size, Bytes(size_of::<usize>() as u64));
    let order = if cfg!(target_endian = "little") { ByteOrder::Little } else { ByteOrder::Big };
    assert_eq!(arch.byte_order, order);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(arch.machine, Machine::X86_64);
    }
}
