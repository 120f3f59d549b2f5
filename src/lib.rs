//! What a process's memory is for, and what it costs.
//!
//! [`mmview_platform`] tells which regions a process has; this crate tells what each is for ([`classify`]), adds them up
//! ([`summary`]), compares them ([`diff`]), decides what is asked of them ([`check`]), and draws the result ([`render`]).
//!
//! A program or a test begins with a [`Snapshot`], of itself or of another process:
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
//! let region = after.region_of(&*buffer).expect("a buffer lies in a region");
//! assert!(region.size() >= (8 << 20).into());
//! assert_eq!(after.check("none(perm=rwx)")?, Verdict::Holds);
//! for change in Diff::between(&before, &after).biggest() {
//!     println!("{}", mmview::view::change::line(change, Default::default()));
//! }
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod check;
pub mod classify;
pub mod cli;
pub mod compat;
pub mod completeness;
pub mod demo;
pub mod diff;
pub mod filter;
pub mod interrupt;
pub mod kind;
pub mod region;
pub mod render;
pub mod sample;
pub mod snapshot;
pub mod summary;
pub mod text;
pub mod units;
pub mod view;

pub use mmview_platform as platform;
pub use snapshot::Snapshot;
