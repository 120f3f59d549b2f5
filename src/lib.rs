//! Memory maps of processes: what each region is for, what it costs, and what changed.
//!
//! [`mmview_platform`] reads the regions of a process. This crate classifies them ([`RegionKind`](kind::RegionKind)), adds
//! them up ([`Summary`](summary::Summary)), compares maps ([`diff`]), checks them ([`check`]) and watches them ([`sample`]).
//! Without the default feature `cli`, which is the program `mmview`, that is all that is compiled.
//!
//! A program or a test starts with a [`Snapshot`] of itself or of another process:
//!
//! ```
//! use mmview::Snapshot;
//! use mmview::check::Verdict;
//! use mmview::diff::Diff;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let before = Snapshot::of_self()?;
//! let buffer = vec![1_u8; 8 << 20];
//! let after = Snapshot::of_self()?;
//!
//! let region = after.region_of(&*buffer).expect("a buffer is mapped");
//! assert!(region.size() >= (8 << 20).into());
//! assert_eq!(after.check("none(perm=rwx)")?, Verdict::Holds);
//! for change in Diff::between(&before, &after).biggest() {
//!     println!("{} {} at {}", change.kind.id(), change.region().title(), change.range());
//! }
//! # Ok(())
//! # }
//! ```

mod archive;
pub mod check;
pub mod classify;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod compat;
pub mod completeness;
#[cfg(feature = "cli")]
mod crash;
mod criteria;
#[cfg(feature = "cli")]
mod demo;
pub mod diff;
mod error;
#[cfg(feature = "cli")]
mod explain;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the program draws tables"))]
mod field;
#[cfg(feature = "cli")]
mod filter;
pub mod heap;
#[cfg(feature = "cli")]
mod interrupt;
pub mod kind;
#[cfg(feature = "cli")]
mod order;
mod owners;
mod ownership;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use owners::recognize_all;
mod region;
#[cfg(feature = "cli")]
mod render;
pub mod sample;
mod snapshot;
pub mod summary;
mod text;
pub mod units;
#[cfg(feature = "cli")]
mod view;

pub use error::{Error, ErrorKind, Result};
pub use mmview_platform as platform;
pub use region::{Classified, Part};
pub use snapshot::{Owner, Snapshot};

/// Runs the program `mmview`; for its `main` alone.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub fn main() -> std::process::ExitCode {
    cli::main()
}

/// Draws a listing of `regions`; for the benchmarks alone.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub fn draw_regions(regions: &[Classified], format: &str) -> Vec<u8> {
    use clap::ValueEnum;
    let format = render::Format::from_str(format, true).expect("a format");
    let mut out = Vec::new();
    let mut render = render::renderer(format, render::Style::default(), false, &mut out);
    let table = view::Table::new(("regions", "region"), &view::regions::COLUMNS, view::Layout::Streamed);
    let head = view::Head {
        view: view::ViewKind::Regions,
        target: String::new(),
        sections: Vec::new(),
        fields: serde_json::Map::new(),
        tables: vec![table],
    };
    render.begin(&head).expect("memory can be written");
    for region in regions {
        render.row(&view::regions::row(region)).expect("memory can be written");
    }
    drop(render);
    out
}
