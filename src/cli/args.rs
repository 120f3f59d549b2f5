//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::filter::{self, PathGlob, Permissions, SortKey};
use crate::kind::RegionKind;
use crate::render::Format;
use crate::units::{self, Units};
use mmview_platform::{AddrRange, Bytes, Detail};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ABOUT: &str = "\
Shows which memory regions a process has, what each is for, and how much of it is resident, dirty and swapped.";

const AFTER_HELP: &str = "\
TARGET is, in this order: a number, the PID of a process; `self`; a path with a slash or the name of an existing file, a \
saved `maps` or `smaps`, a report of vmmap, or an archive of `mmview snapshot`; else the name of a process or a part of it. \
--pid, --file and --name settle a doubt. ADDRESS is hexadecimal and starts with 0x.

Physical footprint is what would be free at once if the process ended and nobody else used it: on Linux resident anonymous \
memory plus what is swapped out, summed over the regions (`Anonymous` and `Swap` of smaps). \
RESIDENT is in memory and mapped by the process; DIRTY of that is modified, or anonymous; SWAPPED is in swap; PSS counts a \
page that n processes map as an nth. A size that was not measured is `-`. Sizes are K, M, G of 1024; plain numbers are bytes.

Exit status: 0 done, 1 a check failed, 2 wrong command line or ambiguous name, 3 no such process, 4 not permitted, 5 unreadable \
or malformed input. With several targets, that of the first failure.";

const EXAMPLES: &str = "\
Examples:
  mmview 4242                          the summary of process 4242
  mmview firefox                       of the process of that name
  mmview regions 4242 --sort resident  every region, the largest in memory first
  mmview regions 4242 --path '*.so*'   the regions of its libraries
  mmview 4242 0x7f3b418ff000           what lies at an address
  mmview smaps.txt                     a saved /proc/PID/smaps, from any machine
  mmview report.txt                    a saved report of macOS' vmmap
  mmview snapshot 4242 -o a.mmview     what it is now, for later
  mmview diff a.mmview 4242            what is different since
  mmview watch 4242                    each change as it happens
  mmview run -- ./program              the memory of a program at its peak
  mmview check 4242 'none(perm=rwx)'   exit status 1 where a region is writable and executable
  mmview --gentle 4242                 a look that a busy process hardly feels
  mmview demo                          what mmap does, shown on a file
  mmview demo fork                     what a child inherits; `mmview demo --list` has more lessons";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "mmview",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{AFTER_HELP}"),
    styles = STYLES,
    disable_help_subcommand = true,
    max_term_width = 110,
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub targets: Targets,

    #[command(flatten)]
    pub common: Common,
}

/// Which processes or files.
#[derive(Debug, Default, ClapArgs)]
pub struct Targets {
    /// PIDs, process names or files; with an ADDRESS (0x…) at the end, what lies there
    #[arg(value_name = "TARGET")]
    pub targets: Vec<OsString>,

    /// A process by its id
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,

    /// A saved map
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub file: Vec<PathBuf>,

    /// A process by its name or a part of it
    #[arg(long, value_name = "NAME")]
    pub name: Vec<OsString>,
}

impl Targets {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.pid.is_empty() && self.file.is_empty() && self.name.is_empty()
    }
}

/// What every command takes.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// The format of the output
    #[arg(long, short, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    pub format: Format,

    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,

    /// The unit of sizes in tables
    #[arg(long, value_enum, default_value_t, global = true, value_name = "UNIT")]
    pub units: Units,

    /// When to colour; `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub color: ColorChoice,

    /// Everything, however wide the terminal is
    #[arg(long, short, global = true)]
    pub wide: bool,

    /// How much to read of each region [default: counts; resident with --gentle; layout for an ADDRESS]
    #[arg(long, value_enum, global = true, value_name = "DETAIL")]
    pub detail: Option<DetailChoice>,

    /// Reads in small steps with sleeps between, so that the process hardly feels it (Linux)
    #[arg(long, global = true)]
    pub gentle: bool,

    /// With --gentle: the longest that one step may hold the lock of the process's map
    #[arg(long, global = true, value_name = "TIME", default_value = "1ms", value_parser = parse_time, requires = "gentle")]
    pub max_stall: Duration,

    /// Another root than /proc (Linux)
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub procfs: Option<PathBuf>,

    /// Tells more of what is done, on standard error; -vv everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// How much to read of each region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DetailChoice {
    /// Addresses, protection and names, no sizes in memory
    Layout,
    /// With what is resident and swapped; on Linux much cheaper than everything
    Resident,
    /// With what is dirty, proportional and unique
    Counts,
    /// With the state of every page
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

/// The commands beside the summary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every region, a line each
    Regions(RegionsArgs),
    /// Says whether something is so of a memory map, by the exit status: for tests and CI
    Check(CheckArgs),
    /// What a map is now, saved in an archive that every command takes as a TARGET
    Snapshot(SnapshotArgs),
    /// What is different between two maps, by type, by file and by region
    Diff(DiffArgs),
    /// What changes, a line each as it happens
    Watch(WatchArgs),
    /// Starts a program, and shows the summary of its memory at its peak
    Run(RunArgs),
    /// A lesson: makes mappings and shows what becomes of them, step by step
    Demo(DemoArgs),
    /// What Linux's pmap prints, by pmap's own options; also by the name `pmap` (a link to mmview)
    #[command(disable_help_flag = true)]
    Pmap(ImitatedArgs),
    /// What macOS' vmmap prints, by vmmap's own options; also by the name `vmmap` (a link to mmview)
    #[command(disable_help_flag = true)]
    Vmmap(ImitatedArgs),
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The manual page, as roff
    Man {
        /// The page of a command
        command: Option<String>,
    },
}

/// `mmview pmap`, `mmview vmmap`: everything is for the tool to read. The line is taken apart before clap sees it; this is
/// what help, the manual page and completions say.
#[derive(Debug, ClapArgs)]
pub struct ImitatedArgs {
    /// The tool's own options and targets; `--help` lists them, and what is different
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// `mmview regions`
#[derive(Debug, ClapArgs)]
pub struct RegionsArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Only regions of this kind, such as mapped-file; `stack` is the stacks of all threads, `heap` all that malloc hands out
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = filter::parse_kind)]
    pub kind: Vec<&'static [RegionKind]>,

    /// Only regions whose path matches; without a slash, its last part
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<PathGlob>,

    /// Only regions with this protection: whole (`rw-`, `r-xp`) or some letters (`w`, `x`)
    #[arg(long, value_name = "PERM", allow_hyphen_values = true)]
    pub perm: Option<Permissions>,

    /// Only regions that hold an address of this range
    #[arg(long, value_name = "A[-B]", value_parser = filter::parse_addresses)]
    pub addr: Option<AddrRange>,

    /// Only regions at least this large, such as 64K or 1M
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub min_size: Option<Bytes>,

    /// The order: sizes from large to small, the rest upwards
    #[arg(long, value_enum, value_name = "KEY")]
    pub sort: Option<SortKey>,

    /// The other way round
    #[arg(long, short)]
    pub reverse: bool,

    /// The unmapped gaps between regions too, and the largest
    #[arg(long, conflicts_with_all = ["sort", "reverse"])]
    pub gaps: bool,
}

/// `mmview snapshot`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = SNAPSHOT_HELP)]
pub struct SnapshotArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// The archive. It is there whole or not at all; `-` is the standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: PathBuf,
}

const SNAPSHOT_HELP: &str = "\
An archive holds what the system said, not what it means, which is computed anew whenever it is opened: the regions with every \
counter, flag and name, the process, the time and the version of the system. It is JSON, a record a line, compressed by gzip \
(`zcat FILE` shows it), and for its owner's eyes only.

It is written beside FILE as .mmview-….partial and renamed once all of it is on the disk: under FILE is what was there or the \
whole archive, whatever happens. A kill can leave the other behind.";

/// `mmview diff`
#[derive(Debug, ClapArgs)]
pub struct DiffArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// Compares one process with itself, so long after
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub interval: Option<Duration>,
}

/// `mmview watch`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = WATCH_HELP)]
pub struct WatchArgs {
    #[command(flatten)]
    pub targets: Targets,

    /// How often to look. What appears and vanishes between two looks is not seen
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_time)]
    pub interval: Duration,

    /// How long to watch [default: until the process ends]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub r#for: Option<Duration>,

    /// Watches until this is so (see `mmview check --help`)
    #[arg(long, value_name = "EXPR")]
    pub until: Option<OsString>,
}

const WATCH_HELP: &str = "\
A line is an event: `+` a region appeared, `-` it vanished, `~` it grew, shrank, was split, merged, re-protected or renamed, \
`!` the process started another program. By itself watch reads the layout of the map alone, which costs the process nearly \
nothing; with --detail resident or counts, what becomes resident, dirty or swapped is an event too.

Between two looks it waits at least twenty times as long as looks usually take, however short the interval is.

It ends when the process does, and says how; on Ctrl-C; after --for; as soon as --until is so. With --until the exit status is 0 \
if it became so, and 1 if not.";

/// `mmview run`
#[derive(Debug, ClapArgs)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// The summary at the program's end, not at its peak
    #[arg(long)]
    pub at_exit: bool,

    /// The summary as it is once this is so (see `mmview check --help`)
    #[arg(long, value_name = "EXPR", conflicts_with = "at_exit")]
    pub until: Option<OsString>,

    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = parse_time)]
    pub interval: Duration,

    /// Writes the summary there, apart from what the program prints
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Only looks now and then, and doesn't trace the program
    #[arg(long)]
    pub no_trace: bool,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

const RUN_HELP: &str = "\
The peak is the largest footprint that was seen: the program's own counters are read at every interval, and its map whenever \
they have grown by a hundredth. On Linux the program is traced (ptrace), so that its first mappings and its last are seen however short its \
life is. What a tracer disturbs wants --no-trace: set-user-ID programs, debuggers, LeakSanitizer. On macOS nothing is traced.

The exit status is the program's; 128 and the signal where one ended it; 127 where there is no such program, 126 where it can't \
be started; 1 where it would be 0, but what --until asks for never was so. SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are handed on to it, \
and SIGINT and SIGQUIT unless they were typed at the terminal, which sends them to the program itself.";
/// `mmview check`
#[derive(Debug, ClapArgs)]
#[command(
    override_usage = "mmview check [OPTIONS] <TARGET> <EXPR>...\n       mmview check [OPTIONS] --pid <PID> <EXPR>...\n       \
                      mmview check [OPTIONS] <TARGET> --from <FILE>",
    after_help = CHECK_EXAMPLES,
    after_long_help = format!("The language:\n\n{}\n{CHECK_EXAMPLES}\n\n{CHECK_STATUS}", crate::check::LANGUAGE),
)]
pub struct CheckArgs {
    /// A PID, a process name or a file, then what is to be so of it, a check each; with --pid, --file or --name checks only
    #[arg(value_name = "TARGET EXPR")]
    pub words: Vec<OsString>,

    /// A process by its id
    #[arg(long, value_name = "PID", group = "target")]
    pub pid: Option<u32>,

    /// A saved map
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath, group = "target")]
    pub file: Option<PathBuf>,

    /// A process by its name or a part of it
    #[arg(long, value_name = "NAME", group = "target")]
    pub name: Option<OsString>,

    /// Checks from a file, one a line; a line that begins with `#` is a comment; `-` is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub from: Vec<PathBuf>,

    /// Nothing of the checks that hold
    #[arg(long, short)]
    pub quiet: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  mmview check 4242 'mapped \"/path/to/file\"'         is the file mapped?
  mmview check 4242 'not mapped \"*.tmp\"'             no file of such a name is
  mmview check 4242 'any(path=\"data.bin\" and share=shared and perm=rw-)'
  mmview check 4242 'sum(resident, kind=heap) < 64M' 'count(kind=stack) == 9' 'none(perm=rwx)'
  mmview check 4242 'at 0x7f3b418ff000 is rw-'         the protection at an address
  mmview check smaps.txt --from checks.txt -q          a saved map; checks that are kept in a file";

const CHECK_STATUS: &str = "\
Exit status: 0 all checks hold, 1 one fails or can't be decided, 2 wrong command line or a check that is not understood, 3, 4, 5 \
as everywhere. Of a live process only as much is read as the checks ask for; --detail reads more.";

/// `mmview demo`
#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// The lesson
    #[arg(default_value = crate::demo::LESSONS[0].name, value_parser = lessons())]
    pub lesson: String,

    /// What lessons there are
    #[arg(long)]
    pub list: bool,

    /// Every lesson, one after another
    #[arg(long, conflicts_with_all = ["lesson", "list"])]
    pub all: bool,

    /// Waits for Enter after each step, as it does by itself on a terminal; at the end of the input it goes on without
    #[arg(long, conflicts_with = "hold")]
    pub step: bool,

    /// Waits so long after each step, for a look from a second terminal
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub hold: Option<Duration>,

    /// A file of yours for the first lesson to map; it is the same afterwards
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

/// Ten years: enough for everybody, and for every clock.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 86400);

/// Reads a time such as `500us`, `20ms`, `1.5s`, `10m` or `2h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write it as 500us, 20ms, 1.5s, 10m or 2h");
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
