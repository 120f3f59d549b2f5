//! The vocabulary: addresses, sizes, protections, names and regions.

mod address;
mod arch;
mod bytes;
mod claim;
mod counts;
mod ending;
mod macos;
mod name;
mod native;
mod numa;
mod pages;
mod printed;
mod process;
mod process_entry;
mod protection;
mod reading;
mod region;
mod source_info;
pub(crate) mod text;
pub(crate) mod time;

pub use address::AddrRange;
pub use arch::{ByteOrder, Machine, TargetArch};
pub use bytes::{Bytes, PageSize};
pub use claim::{
    Allocation, Claim, Evidence, FactValue, Findings, Inspection, Runtime, SizeClass, Unclaimed, Zone,
};
pub use counts::PageCounts;
pub use ending::Ending;
pub use macos::{MacosRegion, PurgeState};
pub use name::{Name, NameKind};
pub use native::{
    Device, LinuxRegion, Native, SmapsCounters, SmapsField, UnknownField, VmFlags, WindowsMemory,
    WindowsRegion,
};
pub use numa::{Numa, NumaNode};
pub(crate) use pages::join;
pub use pages::{PageRun, PageState};
pub(crate) use printed::parse_size;
pub use printed::{OffMapRow, PrintedLibraries, PrintedRow, PrintedSummary, PrintedTable, PrintedWritable};
pub use process::{Crash, Image, Parent, ProcessInfo, ProcessState, ProcessTotals, ThreadInfo, User};
pub use process_entry::ProcessEntry;
pub use protection::{Protection, ShareMode};
pub use reading::Reading;
pub use region::Region;
pub(crate) use region::region_at;
pub use source_info::{Capabilities, CaptureFormat, Origin, SourceInfo};
pub use text::Text;
