//! The command line as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use super::columns::{self, Columns};
use crate::criteria::{self, PathGlob, Permissions};
use crate::field::{Field, Place};
use crate::filter;
use crate::kind::RegionKind;
use crate::render::Format;
use crate::summary::Grouping;
use crate::units::{self, Units};
use mmview_platform::{AddrRange, Bytes, Detail, Evidence};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ABOUT: &str = "\
Show the memory map of a process: its regions, what each one is for, and how much is resident, dirty and swapped.";

const AFTER_HELP: &str = "\
TARGET is one of these, tried in this order: a number, which is the PID of a process; `self`; `-`, which is a capture on standard \
input; a path with a slash, or the name of an existing file, which is a capture; else the name of a process, or a part of it. Use \
--pid, --file or --name if that picks the wrong one. ADDRESS is hexadecimal and starts with 0x.

A capture is an archive of `mmview snapshot`, or a text with a memory map anywhere in it: `maps`, `smaps`, `smaps_rollup` or \
`numa_maps` of any Linux; the output of pmap (procps, busybox, toybox), of gdb's `info proc mappings`, of lldb's `memory region \
--all`, or of `mmview regions`; a tombstone of Android; a crash log of Java (hs_err); or a report of macOS' vmmap. Quotes, line \
numbers and other prefixes are taken off. --part chooses one of several maps in a text. A memory dump is a capture as well: a core of \
Linux, a minidump, or a core of a Mac. Captures may be compressed by gzip or zstd.

RESIDENT is memory that is in RAM and mapped by the process. DIRTY is the part of it that is modified or anonymous. SWAPPED is in \
swap. PSS (proportional set size) counts a page that n processes map as 1/n of a page. The physical footprint is what would be \
freed immediately if the process ended and no one else used it; on Linux it is resident anonymous memory plus swapped memory, \
summed over the regions (`Anonymous` and `Swap` in smaps). `-` means not measured. K, M and G are powers of 1024; a number without \
a unit is bytes.

Exit status: 0 success; 1 a check failed; 2 wrong command line or ambiguous name; 3 no such process; 4 not permitted; 5 unreadable \
or malformed input. With several targets, the status of the first failure.";

const EXAMPLES: &str = "\
Examples:
  mmview 4242                          summary of process 4242
  mmview firefox                       summary of the process with this name
  mmview regions 4242 --sort resident  every region, the largest in memory first
  mmview regions 4242 --path '*.so*'   the regions of its libraries
  mmview 4242 --columns +thp,lazyfree  the summary with more columns; `--columns help` lists them
  mmview heap 4242 --largest 10        what is allocated, and the largest blocks
  mmview explain 4242                  in words: what it is made of, and how that is known
  mmview 4242 0x7f3b418ff000           the region at an address
  mmview crash core                    why a process ended, from its core
  mmview smaps.txt                     a saved /proc/PID/smaps, from any machine
  pmap -XX 4242 | mmview -             what another program prints, on standard input
  mmview report.txt                    a saved report of macOS' vmmap
  mmview snapshot 4242 -o a.mmview     save the map for later
  mmview diff a.mmview 4242            what changed since then
  mmview watch 4242                    each change as it happens
  mmview run -- ./program              the memory of a program at its peak
  mmview check 4242 'none(perm=rwx)'   exit status 1 if a region is writable and executable
  mmview --gentle 4242                 read without disturbing a busy process
  mmview demo                          a lesson: what mmap does
  mmview demo fork                     a lesson on fork; `mmview demo --list` lists all lessons";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "mmview",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\nColumns of a summary:\n\n{}\n{AFTER_HELP}", columns::list(Place::Summary)),
    styles = STYLES,
    disable_help_subcommand = true,
    max_term_width = 110,
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub targets: Targets,

    /// What the rows of the summary stand for
    #[arg(long, value_enum, default_value_t, value_name = "GROUPING")]
    pub by: GroupingChoice,

    #[command(flatten)]
    pub rows: SummaryRows,

    #[command(flatten)]
    pub common: Common,
}

/// The columns and the order of a summary.
#[derive(Debug, Default, ClapArgs)]
pub struct SummaryRows {
    /// Show these columns, in this order, after the type; `+NAME,…` adds to the usual ones; `help` lists all. JSON always has all of them
    #[arg(long, value_name = "NAME,…", value_parser = columns::columns(Place::Summary), hide_possible_values = true)]
    pub columns: Option<Columns>,

    /// Sort by this column: amounts from large to small, anything else in ascending order [default: type; by owner: resident]
    #[arg(long, value_name = "NAME", value_parser = columns::key(Place::Summary), hide_possible_values = true)]
    pub sort: Option<&'static Field>,

    /// Reverse the order
    #[arg(long, short)]
    pub reverse: bool,
}

impl SummaryRows {
    /// Whether none of them was given.
    pub fn is_usual(&self) -> bool {
        self.columns.is_none() && self.sort.is_none() && !self.reverse
    }
}

/// What the rows of the summary stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GroupingChoice {
    /// A type of regions
    #[default]
    Type,
    /// The allocator or runtime that owns them, or else what they are for; the largest first
    Owner,
}

impl From<GroupingChoice> for Grouping {
    fn from(choice: GroupingChoice) -> Grouping {
        match choice {
            GroupingChoice::Type => Grouping::Type,
            GroupingChoice::Owner => Grouping::Owner,
        }
    }
}

/// The targets of a command.
#[derive(Debug, Default, ClapArgs)]
pub struct Targets {
    /// PIDs, process names or files; an ADDRESS (0x…) at the end shows the region there
    #[arg(value_name = "TARGET")]
    pub targets: Vec<OsString>,

    /// A process, by its id
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,

    /// A saved map
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub file: Vec<PathBuf>,

    /// A process, by its name or a part of it
    #[arg(long, value_name = "NAME")]
    pub name: Vec<OsString>,
}

impl Targets {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.pid.is_empty() && self.file.is_empty() && self.name.is_empty()
    }
}

/// The options of every command.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    pub format: Format,

    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,

    /// Unit of sizes in tables
    #[arg(long, value_enum, default_value_t, global = true, value_name = "UNIT")]
    pub units: UnitsChoice,

    /// When to use colors; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub color: ColorChoice,

    /// Ignore the width of the terminal
    #[arg(long, short, global = true)]
    pub wide: bool,

    /// How much to read of each region [default: counts; with --gentle: resident; for an ADDRESS: layout]
    #[arg(long, value_enum, global = true, value_name = "DETAIL")]
    pub detail: Option<DetailChoice>,

    /// How far to go to find the purpose of memory [default: memory; with --gentle: shape]
    #[arg(long, value_enum, global = true, value_name = "EVIDENCE")]
    pub evidence: Option<EvidenceChoice>,

    /// Read in small steps with pauses, to disturb the process as little as possible (Linux)
    #[arg(long, global = true)]
    pub gentle: bool,

    /// With --gentle: the longest time that a step may hold the lock of the process's map
    #[arg(long, global = true, value_name = "TIME", default_value = "1ms", value_parser = parse_time, requires = "gentle")]
    pub max_stall: Duration,

    /// Choose one of several memory maps in a text
    #[arg(long, global = true, value_name = "N", value_parser = parse_part)]
    pub part: Option<usize>,

    /// Use this directory instead of /proc (Linux)
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub procfs: Option<PathBuf>,

    /// Log to standard error; -vv logs more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// The unit of sizes in tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UnitsChoice {
    /// As vmmap writes them: `812`, `132K`, `15.2M`, `1.1G`
    #[default]
    Auto,
    /// Bytes
    Bytes,
    /// KiB, rounded
    K,
    /// MiB, one decimal
    M,
    /// GiB, one decimal
    G,
}

impl From<UnitsChoice> for Units {
    fn from(choice: UnitsChoice) -> Units {
        match choice {
            UnitsChoice::Auto => Units::Auto,
            UnitsChoice::Bytes => Units::Bytes,
            UnitsChoice::K => Units::K,
            UnitsChoice::M => Units::M,
            UnitsChoice::G => Units::G,
        }
    }
}

/// How much to read of each region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DetailChoice {
    /// Addresses, protection and names
    Layout,
    /// Also what is resident and swapped; on Linux much cheaper than counts
    Resident,
    /// Also what is dirty, and the proportional and unique sizes
    Counts,
    /// Also the state of every page
    Pages,
}

impl From<DetailChoice> for Detail {
    fn from(choice: DetailChoice) -> Detail {
        match choice {
            DetailChoice::Layout => Detail::Layout,
            DetailChoice::Resident => Detail::Resident,
            DetailChoice::Counts => Detail::Counts,
            DetailChoice::Pages => Detail::Pages,
        }
    }
}

/// How far to go for the purpose of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EvidenceChoice {
    /// Names, flags, files and protections
    Kernel,
    /// Also sizes and neighbors, which are likely, not certain
    Shape,
    /// Also structures in the memory, where that is permitted
    Memory,
}

impl From<EvidenceChoice> for Evidence {
    fn from(choice: EvidenceChoice) -> Evidence {
        match choice {
            EvidenceChoice::Kernel => Evidence::Kernel,
            EvidenceChoice::Shape => Evidence::Shape,
            EvidenceChoice::Memory => Evidence::Memory,
        }
    }
}

/// The commands; without one, mmview shows the summary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List every region
    Regions(RegionsArgs),
    /// Show what is allocated in each zone of an allocator or runtime, and what that memory costs
    Heap(HeapArgs),
    /// Explain in words what a process or a region is made of, and how that is known
    Explain(ExplainArgs),
    /// List the memory dumps that systemd-coredump keeps, the newest first
    Cores(CoresArgs),
    /// Show why a process ended, from a dump of its memory
    Crash(CrashArgs),
    /// Check a memory map; the exit status is the result
    Check(CheckArgs),
    /// Save a map in an archive, which every command takes as a TARGET
    Snapshot(SnapshotArgs),
    /// Compare two maps by type, by file and by region
    Diff(DiffArgs),
    /// Show each change of a map as it happens
    Watch(WatchArgs),
    /// Run a program and show the summary of its memory at its peak
    Run(RunArgs),
    /// Run a lesson: make mappings and show, step by step, what happens to them
    Demo(DemoArgs),
    /// Imitate Linux's pmap, with its own options; also by the name `pmap` (a link to mmview)
    #[command(disable_help_flag = true)]
    Pmap(ImitatedArgs),
    /// Imitate macOS' vmmap, with its own options; also by the name `vmmap` (a link to mmview)
    #[command(disable_help_flag = true)]
    Vmmap(ImitatedArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, as roff
    Man {
        /// The command whose page to print
        command: Option<String>,
    },
}

/// `mmview pmap`, `mmview vmmap`: the arguments are for the tool. The command line is split before clap sees it; help, the
/// manual page and completions show this.
#[derive(Debug, ClapArgs)]
pub struct ImitatedArgs {
    /// The tool's own options and targets; `--help` lists them and the differences
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// `mmview regions`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = format!("Columns:\n\n{}\n{COLUMNS_HELP}", columns::list(Place::Listing)))]
pub struct RegionsArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Only regions of this kind, such as mapped-file; `stack` means all stacks, `heap` all memory of malloc
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = filter::parse_kind)]
    pub kind: Vec<&'static [RegionKind]>,

    /// Only regions whose path matches; a GLOB without a slash matches the last part of a path
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<PathGlob>,

    /// Only regions with this protection: all of it (`rw-`, `r-xp`) or some letters (`w`, `x`)
    #[arg(long, value_name = "PERM", allow_hyphen_values = true)]
    pub perm: Option<Permissions>,

    /// Only regions that overlap this range
    #[arg(long, value_name = "A[-B]", value_parser = criteria::parse_addresses)]
    pub addr: Option<AddrRange>,

    /// Only regions at least this large, such as 64K or 1M
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub min_size: Option<Bytes>,

    /// Show these columns, in this order; `+NAME,…` adds to the usual ones; `help` lists all. JSON always has all of them
    #[arg(long, value_name = "NAME,…", value_parser = columns::columns(Place::Listing), hide_possible_values = true)]
    pub columns: Option<Columns>,

    /// Sort by this column: amounts from large to small, anything else in ascending order
    #[arg(long, value_name = "NAME", value_parser = columns::key(Place::Listing), hide_possible_values = true)]
    pub sort: Option<&'static Field>,

    /// Reverse the order
    #[arg(long, short)]
    pub reverse: bool,

    /// List the unmapped gaps between regions as well
    #[arg(long, conflicts_with_all = ["sort", "reverse"])]
    pub gaps: bool,

    /// List the parts of regions that the kernel joined from several things, a line each
    #[arg(long)]
    pub parts: bool,
}

const COLUMNS_HELP: &str = "\
Names are understood in upper and lower case, with `-` or `_`; the names of the kernel (LazyFree, AnonHugePages) and of JSON mean the \
same columns. --sort and checks take the same names. A column that was not measured, or that the system doesn't report, has `-`. \
Tables, CSV and Markdown follow --columns. JSON and ndjson have every fact of every region in any case: what only one system \
reports is in `native`, under the system's own names.";

/// `mmview heap`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = HEAP_HELP)]
pub struct HeapArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// What a row stands for
    #[arg(long, value_enum, default_value_t, value_name = "GROUPING")]
    pub by: HeapGrouping,

    /// List the blocks in use by size class: multiples of 16 up to 512 bytes, then four classes per doubling
    #[arg(long)]
    pub sizes: bool,

    /// List the N largest blocks in use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub largest: Option<u16>,

    /// Show what is free: how much malloc_trim could give back, the largest free block, the top, and what caches hold
    #[arg(long)]
    pub free: bool,
}

/// What a row of the heap stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HeapGrouping {
    /// A zone: an arena of an allocator, or a space of a runtime
    #[default]
    Zone,
    /// All zones of an allocator or runtime
    Owner,
    /// Blocks of similar size, in all zones
    Size,
}

/// `mmview cores`
#[derive(Debug, ClapArgs)]
pub struct CoresArgs {
    /// The directory
    #[arg(long, value_name = "DIR", default_value = mmview_platform::DUMPS, value_hint = clap::ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// `mmview crash`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = CRASH_HELP)]
pub struct CrashArgs {
    #[command(flatten)]
    pub targets: Targets,
}

const CRASH_HELP: &str = "\
The target is a core of Linux, a minidump or a core of a Mac. mmview shows the signal, the address that the process accessed and \
where that lies in its map, and for each thread the region that its stack pointer is in.";

/// `mmview explain`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXPLAIN_HELP)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub targets: Targets,
}

const EXPLAIN_HELP: &str = "\
Each paragraph is about one owner: an allocator or runtime, or what memory is for, such as the stacks of all threads. A percentage \
is of the resident memory. mmview writes a sentence only for a fact that it found, and says how it knows: the memory itself has \
structures that prove it, the kernel reports it, or size and neighbors suggest it. With an ADDRESS, mmview explains the region there.";

const HEAP_HELP: &str = "\
A zone is an arena of an allocator, the mapped blocks of glibc's malloc, or a space of a runtime's heap. mmview reads the \
structures of the allocator, as far as they are resident, while the process runs. BYTES ALLOCATED counts blocks in use with their \
headers; `-` is a figure that the owner doesn't record. A block of glibc's malloc that waits in the cache of a thread or in a fast \
bin is free: --free shows how many bytes wait there. FRAG SIZE is dirty and swapped memory without a block in use.

A figure is exact if the zone was at rest while it was read. If not, the zone is listed with its doubts, and its figures are about \
right. Stop the process (kill -STOP) for exact figures.";

/// `mmview snapshot`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = SNAPSHOT_HELP)]
pub struct SnapshotArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Output archive, written atomically; `-` is standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: PathBuf,
}

const SNAPSHOT_HELP: &str = "\
An archive holds the facts: the regions with every counter, flag and name, the process, the time and the version of the system. \
What they mean is computed when the archive is opened. The format is JSON, one record per line, compressed with gzip (`zcat FILE` \
shows it). Only its owner can read it.

mmview writes the archive beside FILE as .mmview-….partial and renames it when all of it is on disk. FILE is never incomplete. If \
mmview is killed, the partial file can be left behind.";

/// `mmview diff`
#[derive(Debug, ClapArgs)]
pub struct DiffArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Compare a process with itself, this much later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub interval: Option<Duration>,
}

/// `mmview watch`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = WATCH_HELP)]
pub struct WatchArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Time between two samples; what appears and vanishes in between is missed
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_time)]
    pub interval: Duration,

    /// Stop after this time [default: when the process ends]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub r#for: Option<Duration>,

    /// Stop when this check holds (see `mmview check --help`)
    #[arg(long, value_name = "EXPR")]
    pub until: Option<OsString>,
}

const WATCH_HELP: &str = "\
Each line is an event: `+` a region appeared, `-` it vanished, `~` it grew, shrank, was split, merged, re-protected or renamed, \
`!` the process started another program. By default watch reads only the layout of the map, which costs the process almost \
nothing. With --detail resident or counts, changes of what is resident, dirty or swapped are events as well.

The pause between two samples is at least twenty times as long as a sample usually takes, however short the interval is.

watch stops when the process ends, and reports how it ended; on Ctrl-C; after --for; when the check of --until holds. With --until \
the exit status is 0 if the check held, and 1 if it never did.";

/// `mmview run`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// Show the summary at the program's end, not at its peak
    #[arg(long)]
    pub at_exit: bool,

    /// Show the summary when this check first holds (see `mmview check --help`)
    #[arg(long, value_name = "EXPR", conflicts_with = "at_exit")]
    pub until: Option<OsString>,

    /// Time between two samples
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = parse_time)]
    pub interval: Duration,

    /// Write the summary to this file, apart from what the program prints
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub rows: SummaryRows,

    /// Don't trace the program; only take samples
    #[arg(long)]
    pub no_trace: bool,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

const RUN_HELP: &str = "\
The peak is the largest footprint in any sample. mmview reads the program's counters at every interval, and its map whenever they \
have grown by a hundredth. On Linux it traces the program (ptrace), so that the first and the last map are seen even if the program \
is short-lived. Use --no-trace for programs that cannot run under ptrace: set-user-ID programs, debuggers, LeakSanitizer. On macOS \
nothing is traced.

The exit status is the program's; 128 plus the signal if a signal ended it; 127 if there is no such program; 126 if it can't be \
started; 1 instead of 0 if the check of --until never held. SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on to the program, and \
SIGINT and SIGQUIT as well unless they were typed at the terminal, which sends them to the program itself.";

/// `mmview check`
#[derive(Debug, ClapArgs)]
#[command(
    override_usage = "mmview check [OPTIONS] <TARGET> <EXPR>...\n       mmview check [OPTIONS] --pid <PID> <EXPR>...\n       \
                      mmview check [OPTIONS] <TARGET> --from <FILE>",
    after_help = CHECK_EXAMPLES,
    after_long_help = format!("The language:\n\n{}\n{CHECK_EXAMPLES}\n\n{CHECK_STATUS}", crate::check::LANGUAGE),
)]
pub struct CheckArgs {
    /// A PID, a process name or a file, then one or more checks; with --pid, --file or --name only checks
    #[arg(value_name = "TARGET EXPR")]
    pub words: Vec<OsString>,

    /// A process, by its id
    #[arg(long, value_name = "PID", group = "target")]
    pub pid: Option<u32>,

    /// A saved map
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath, group = "target")]
    pub file: Option<PathBuf>,

    /// A process, by its name or a part of it
    #[arg(long, value_name = "NAME", group = "target")]
    pub name: Option<OsString>,

    /// Read checks from a file, one per line; lines that begin with `#` are comments; `-` is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub from: Vec<PathBuf>,

    /// Print only the checks that don't hold
    #[arg(long, short)]
    pub quiet: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  mmview check 4242 'mapped \"/path/to/file\"'         is the file mapped?
  mmview check 4242 'not mapped \"*.tmp\"'             is no file with such a name mapped?
  mmview check 4242 'any(path=\"data.bin\" and share=shared and perm=rw-)'
  mmview check 4242 'sum(resident, kind=heap) < 64M' 'count(kind=stack) == 9' 'none(perm=rwx)'
  mmview check 4242 'at 0x7f3b418ff000 is rw-'         the protection at an address
  mmview check smaps.txt --from checks.txt -q          a saved map, and checks in a file";

const CHECK_STATUS: &str = "\
Exit status: 0 all checks hold; 1 a check fails or can't be decided; 2 wrong command line or invalid check; 3, 4, 5 as for every \
command. mmview reads only as much of a live process as the checks need; --detail reads more.";

/// `mmview demo`
#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// The lesson to run
    #[arg(default_value = crate::demo::LESSONS[0].name, value_parser = lessons())]
    pub lesson: String,

    /// List the lessons
    #[arg(long)]
    pub list: bool,

    /// Run every lesson
    #[arg(long, conflicts_with_all = ["lesson", "list"])]
    pub all: bool,

    /// Wait for Enter after each step (the default on a terminal); at the end of the input, go on without waiting
    #[arg(long, conflicts_with = "hold")]
    pub step: bool,

    /// Wait this long after each step, so that you can inspect the process from another terminal
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub hold: Option<Duration>,

    /// Your own file for the first lesson to map; its content stays the same
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

fn lessons() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(crate::demo::LESSONS.iter().map(|lesson| lesson.name))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Ten years: every clock can count that far.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 86400);

/// Parses the number of a memory map in a text.
fn parse_part(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|part| *part > 0).ok_or_else(|| format!("`{text}` is not a number from 1 on"))
}

/// Parses a time such as `500us`, `20ms`, `1.5s`, `10m` or `2h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a time: use a number and a unit, such as 500us, 20ms, 1.5s, 10m or 2h");
    let (number, unit) =
        text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?);
    let seconds_a_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(number * seconds_a_unit) {
        Ok(time) if !time.is_zero() && time <= LONGEST_TIME => Ok(time),
        _ => Err(wrong()),
    }
}

/// The command, for completions, the manual page and tests.
pub fn command() -> clap::Command {
    Args::command()
}
