//! Why a process ended: where the address lies that it accessed, and where its threads were.

use mmview_platform::{AddrRange, Crash, ProcessInfo, ThreadInfo};

use crate::kind::RegionKind;
use crate::region::{Classified, region_at};

/// Below this address nothing is mapped as a rule (`vm.mmap_min_addr`), so that a null pointer and the members that it leads to
/// are found out.
const NULL_PAGES: u64 = 64 << 10;

/// An address this far below a stack is taken for an overflow: functions with large variables skip the guard.
const NEAR_STACK: u64 = 1 << 20;

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrashReport {
    /// What the dump says; `None` if it does not say that the process crashed.
    pub crash: Option<Crash>,
    /// Where the address lies; `None` if there is none.
    pub place: Option<Place>,
    /// Where the thread that failed was.
    pub instruction: Option<Box<Classified>>,
    /// Each thread, and the region that its stack pointer is in.
    pub threads: Vec<(ThreadInfo, Option<Box<Classified>>)>,
}

/// Where an address lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub spot: Spot,
    /// The region that it lies in.
    pub region: Option<Box<Classified>>,
    /// If it lies in no region, the regions below and above.
    pub before: Option<Box<Classified>>,
    pub after: Option<Box<Classified>>,
}

/// What sort of place that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Where a null pointer leads.
    Null,
    /// In a region.
    Region,
    /// In the guard of a stack, or not far below one.
    BelowStack {
        /// The thread, if it is known.
        thread: Option<ThreadInfo>,
        /// How far below the stack.
        distance: u64,
        /// Whether it is in a guard.
        is_guard: bool,
    },
    /// In no region.
    Gap,
}

impl CrashReport {
    /// Looks up what a dump says in its map, whose regions are ordered by address.
    pub fn new(process: &ProcessInfo, regions: &[Classified]) -> CrashReport {
        let crash = process.crash;
        let region_of = |address: u64| region_at(regions, address).cloned().map(Box::new);
        let threads = process.threads.iter();
        let address = crash.and_then(|crash| crash.address);
        CrashReport {
            crash,
            place: address.map(|address| Place::find(address, process, regions)),
            instruction: crash.and_then(|crash| crash.instruction).and_then(region_of),
            threads: threads
                .map(|thread| (thread.clone(), thread.stack_pointer.and_then(region_of)))
                .collect(),
        }
    }
}

impl Place {
    fn find(address: u64, process: &ProcessInfo, regions: &[Classified]) -> Place {
        let region = region_at(regions, address);
        let after = regions.partition_point(|region| region.range().end() <= address);
        let side = |place: Option<usize>| {
            let side = place.filter(|_| region.is_none()).and_then(|place| regions.get(place));
            side.cloned().map(Box::new)
        };
        Place {
            spot: Spot::find(address, process, regions),
            region: region.cloned().map(Box::new),
            before: side(after.checked_sub(1)),
            after: side(Some(after)),
        }
    }
}

impl Spot {
    fn find(address: u64, process: &ProcessInfo, regions: &[Classified]) -> Spot {
        let hit = region_at(regions, address);
        let after = regions.partition_point(|region| region.range().end() <= address);
        let above = match hit {
            Some(_) => regions.get(after + 1),
            None => regions.get(after),
        };
        let is_stack = |kind: RegionKind| matches!(kind, RegionKind::Stack | RegionKind::ThreadStack);
        let stack = above.filter(|above| is_stack(above.kind()));
        let is_guard = hit.is_some_and(|hit| hit.kind() == RegionKind::StackGuard);
        if let Some(stack) = stack.filter(|stack| {
            let touches = |hit: &Classified| hit.range().end() == stack.range().start();
            let is_near = hit.is_none() && stack.range().start() - address <= NEAR_STACK;
            (is_guard && hit.is_some_and(touches)) || is_near
        }) {
            let thread = thread_in(process, stack.range());
            return Spot::BelowStack { thread, distance: stack.range().start() - address, is_guard };
        }
        match hit {
            Some(_) => Spot::Region,
            None if address < NULL_PAGES => Spot::Null,
            None => Spot::Gap,
        }
    }
}

/// The thread whose stack pointer is in `range`, or just below it.
fn thread_in(process: &ProcessInfo, range: AddrRange) -> Option<ThreadInfo> {
    let is_in = |pointer: u64| range.contains(pointer) || range.start().wrapping_sub(pointer) <= NEAR_STACK;
    process.threads.iter().find(|thread| thread.stack_pointer.is_some_and(is_in)).cloned()
}

/// The name of what ended a process: a signal, an exception of Mach (`mach/exception_types.h`) or one of Windows (`winnt.h`).
pub(crate) fn cause_name(os: &str, crash: &Crash) -> Option<String> {
    match (crash.signal, crash.code) {
        (Some(signal), _) => Some(signal_name(os, signal)),
        (None, Some(code)) => Some(exception_name(os, code)),
        (None, None) => None,
    }
}

fn exception_name(os: &str, code: i64) -> String {
    let name = match (os, code) {
        ("macos", 1) => "EXC_BAD_ACCESS",
        ("macos", 2) => "EXC_BAD_INSTRUCTION",
        ("macos", 3) => "EXC_ARITHMETIC",
        ("macos", 5) => "EXC_SOFTWARE",
        ("macos", 6) => "EXC_BREAKPOINT",
        ("macos", 10) => "EXC_CRASH",
        ("macos", 11) => "EXC_RESOURCE",
        ("macos", 12) => "EXC_GUARD",
        ("windows", 0x8000_0003) => "EXCEPTION_BREAKPOINT",
        ("windows", 0xc000_0005) => "EXCEPTION_ACCESS_VIOLATION",
        ("windows", 0xc000_0006) => "EXCEPTION_IN_PAGE_ERROR",
        ("windows", 0xc000_000d) => "STATUS_INVALID_PARAMETER",
        ("windows", 0xc000_001d) => "EXCEPTION_ILLEGAL_INSTRUCTION",
        ("windows", 0xc000_008c) => "EXCEPTION_ARRAY_BOUNDS_EXCEEDED",
        ("windows", 0xc000_0094) => "EXCEPTION_INT_DIVIDE_BY_ZERO",
        ("windows", 0xc000_0095) => "EXCEPTION_INT_OVERFLOW",
        ("windows", 0xc000_0096) => "EXCEPTION_PRIV_INSTRUCTION",
        ("windows", 0xc000_00fd) => "EXCEPTION_STACK_OVERFLOW",
        ("windows", 0xc000_0374) => "STATUS_HEAP_CORRUPTION",
        ("windows", 0xc000_0409) => "STATUS_STACK_BUFFER_OVERRUN",
        _ => return format!("exception {code:#x}"),
    };
    name.to_owned()
}

/// The name of a signal on the system of a dump.
pub(crate) fn signal_name(os: &str, signal: i32) -> String {
    let name = match (os, signal) {
        (_, 1) => "SIGHUP",
        (_, 2) => "SIGINT",
        (_, 3) => "SIGQUIT",
        (_, 4) => "SIGILL",
        (_, 5) => "SIGTRAP",
        (_, 6) => "SIGABRT",
        (_, 8) => "SIGFPE",
        (_, 9) => "SIGKILL",
        (_, 11) => "SIGSEGV",
        (_, 15) => "SIGTERM",
        ("linux", 7) | ("macos", 10) => "SIGBUS",
        ("linux", 31) | ("macos", 12) => "SIGSYS",
        (_, 13) => "SIGPIPE",
        (_, 14) => "SIGALRM",
        (_, 24) => "SIGXCPU",
        (_, 25) => "SIGXFSZ",
        ("linux", 10) | ("macos", 30) => "SIGUSR1",
        ("linux", 12) | ("macos", 31) => "SIGUSR2",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::{regions, source};
    use crate::classify::{Classify, Context};

    const MAP: &str = "\
400000-401000 r-xp 0 08:01 7 /bin/x
500000-501000 ---p 0 00:00 0
501000-d01000 rw-p 0 00:00 0
7ffd00000000-7ffd00021000 rw-p 0 00:00 0 [stack]
";

    fn place(address: u64) -> Place {
        let mut process = ProcessInfo::default();
        let mut thread = ThreadInfo::new(4711);
        thread.stack_pointer = Some(0xc00000);
        process.threads = vec![thread];
        let mut crash = Crash::default();
        crash.address = Some(address);
        process.crash = Some(crash);
        let context = Context::new(&process, &source());
        let regions: Vec<_> =
            Classify::new(regions(MAP).into_iter().map(Ok), context).map(|region| region.unwrap()).collect();
        CrashReport::new(&process, &regions).place.unwrap()
    }

    #[test]
    fn an_address_is_explained_by_what_is_there() {
        let sides = |address| {
            let place = place(address);
            [place.before, place.region, place.after].map(|side| side.map(|region| region.range().start()))
        };
        assert_eq!(place(0x10).spot, Spot::Null);
        assert_eq!(sides(0x10), [None, None, Some(0x40_0000)]);
        assert_eq!(place(0x40_0800).spot, Spot::Region);
        assert_eq!(sides(0x40_0800), [None, Some(0x40_0000), None]);
        let below = |address| match place(address).spot {
            Spot::BelowStack { thread, distance, is_guard } => {
                (thread.map(|thread| thread.id), distance, is_guard)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(below(0x500ff8), (Some(4711), 8, true));
        assert_eq!(below(0x7ffc_ffff_fff8), (None, 8, false));
        assert_eq!(sides(0x50_0ff8), [None, Some(0x50_0000), None]);
        assert_eq!(place(0x45_0000).spot, Spot::Gap);
        assert_eq!(sides(0x45_0000), [Some(0x40_0000), None, Some(0x50_0000)]);
        assert_eq!(sides(0x8000_0000_0000), [Some(0x7ffd_0000_0000), None, None]);
    }
}
