//! The vocabulary: addresses, sizes, protections, names, regions, and the snapshot that holds them together.

mod address;
mod bytes;
mod counts;
mod name;
mod native;
mod process;
mod protection;
mod region;
mod snapshot;

pub use address::AddrRange;
pub use bytes::{Bytes, PageSize};
pub use counts::PageCounts;
pub use name::{Name, NameKind};
pub use native::{
    Device, LinuxRegion, MacosRegion, Native, SmapsCounters, SmapsField, UnknownField, VmFlags,
};
pub use process::{Image, Parent, ProcessInfo, ProcessState, ProcessTotals, ThreadInfo, User};
pub use protection::{Protection, ShareMode};
pub use region::Region;
pub use snapshot::Snapshot;
