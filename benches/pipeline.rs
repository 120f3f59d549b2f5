//! Measures each stage by itself, on generated and on recorded text: reading, classifying, adding up, checking, drawing.
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mmview::Classified;
use mmview::check::Check;
use mmview::classify::{Classify, Context};
use mmview::summary::Builder;
use mmview_platform::linux::smaps::SmapsReader;
use mmview_platform::{Capabilities, CaptureFormat, Detail, Origin, ProcessInfo, Region, SourceInfo};

const REGIONS: u64 = 10_000;

/// Checks that must examine every region.
const CHECKS: [&str; 4] = [
    "none(perm=rwx)",
    "sum(resident, kind=heap) < 64M",
    "not mapped \"/no/such/file\"",
    "none(path=\"*.jar\" and share=shared)",
];

/// A check that fails, so that every region is compared to find the nearest.
const MISSED: &str =
    "any(kind=mapped-file and path=\"/no/such/libexample.so.1.2.4\" and size=4K and share=shared)";

/// The smaps text of a process with many small mappings, some of them of files.
fn generated() -> String {
    let mut text = String::new();
    for index in 0..REGIONS {
        let start = 0x7f00_0000_0000 + index * 0x3000;
        let (name, device) = match index % 4 {
            0 => ("                          /usr/lib/x86_64-linux-gnu/libexample.so.1.2.3", "08:01 4242"),
            _ => ("", "00:00 0"),
        };
        let protection = ["r--p", "rw-p", "r-xp"][index as usize % 3];
        writeln!(text, "{start:x}-{:x} {protection} 00000000 {device} {name}", start + 0x2000).unwrap();
        for key in [
            "Size",
            "KernelPageSize",
            "MMUPageSize",
            "Rss",
            "Pss",
            "Pss_Dirty",
            "Shared_Clean",
            "Shared_Dirty",
        ] {
            writeln!(text, "{:<16}{:>8} kB", format!("{key}:"), index % 9).unwrap();
        }
        for key in ["Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "Swap", "SwapPss", "Locked"]
        {
            writeln!(text, "{:<16}{:>8} kB", format!("{key}:"), index % 5).unwrap();
        }
        writeln!(text, "THPeligible:    0\nVmFlags: rd wr mr mw me ac ").unwrap();
    }
    text
}

fn read(text: &str) -> Vec<Region> {
    let mut reader = SmapsReader::new(text.as_bytes());
    std::iter::from_fn(|| reader.next_region().expect("a slice can be read"))
        .map(|read| read.region)
        .collect()
}

fn context() -> Context {
    let origin = Origin::Capture { path: Path::new("bench").to_owned(), format: CaptureFormat::Smaps };
    let source = SourceInfo::new(origin, "linux", Capabilities::of_capture(Detail::Counts));
    Context::new(&ProcessInfo::default(), &source)
}

fn classify(regions: Vec<Region>) -> Vec<Classified> {
    Classify::new(regions.into_iter().map(Ok), context())
        .map(|region| region.expect("nothing fails"))
        .collect()
}

fn stages(criterion: &mut Criterion) {
    let recorded = include_str!("../tests/fixtures/linux/python-threads.smaps").to_owned();
    for (name, text) in [("generated", generated()), ("recorded", recorded)] {
        let regions = read(&text);
        let classified = classify(regions.clone());
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(regions.len() as u64));
        group.bench_function("read smaps", |bencher| bencher.iter(|| read(black_box(&text)).len()));
        group.bench_function("classify", |bencher| {
            bencher.iter_batched(
                || regions.clone(),
                |regions| classify(regions).len(),
                BatchSize::LargeInput,
            );
        });
        group.bench_function("add up", |bencher| {
            bencher.iter(|| {
                let mut builder = Builder::default();
                classified.iter().for_each(|region| builder.add(region));
                builder.finish(&ProcessInfo::default()).rows.len()
            });
        });
        for text in CHECKS {
            let check: Check = text.parse().expect("it is a check");
            group.bench_function(format!("decide {text}"), |bencher| {
                bencher.iter(|| check.verdict(black_box(&classified)))
            });
        }
        let check: Check = MISSED.parse().expect("it is a check");
        group.bench_function("explain a miss", |bencher| {
            bencher.iter(|| check.explain(black_box(&classified)).findings.len())
        });
        for format in ["table", "json", "csv"] {
            group.bench_function(format!("draw as {format}"), |bencher| {
                bencher.iter(|| mmview::draw_regions(black_box(&classified), format).len());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
