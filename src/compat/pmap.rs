//! pmap in the layouts of procps-ng 4.0.2, from mmview's model.

pub mod arguments;
mod fields;
mod line;
mod listing;
mod names;
pub mod rc;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mmview_platform::{Detail, Error, ProcessInfo, Region, RegionSource, Regions, open_file, open_process};

use self::arguments::{Arguments, Layout, Operand, Refusal, Request};
use self::fields::Selection;
use self::listing::Listing;
use self::names::Naming;
use super::{Call, Tool, report, report_failure, report_warnings};

/// The status after a failure.
const FAILED: u8 = 1;

/// The status if a process was not found.
const NOT_FOUND: u8 = 42;

const USAGE: &str = "
Usage:
 pmap [options] PID [PID ...]

Options:
 -x, --extended              show details
 -X                          show even more details
            WARNING: format changes according to /proc/PID/smaps
 -XX                         show everything the kernel provides
 -c, --read-rc               read the default rc
 -C, --read-rc-from=<file>   read the rc from file
 -n, --create-rc             create new default rc
 -N, --create-rc-to=<file>   create new rc to file
            NOTE: pid arguments are not allowed with -n, -N
 -d, --device                show the device format
 -q, --quiet                 do not display header and footer
 -p, --show-path             show path in the mapping
 -k, --use-kernel-name       show the names the kernel gives, such as [heap]
 -A, --range=<low>[,<high>]  limit results to the given range

 -h, --help     display this help and exit
 -V, --version  output version information and exit

For more details see pmap(1).
";

/// The differences from procps-ng 4.0.2.
const DIFFERENCES: &str = "
This is mmview, which prints what pmap of procps-ng 4.0.2 prints. Deliberate differences:
 - Paths longer than a kilobyte are complete; pmap cuts them and lists the rest as extra mappings.
 - The totals of -x include the listed mappings only; pmap also adds the RSS and Dirty of mappings that -A leaves out.
 - -A limits -X, -XX, -c and -C too, as in procps-ng 4.0.6; 4.0.2 ignores it there.
 - -k works as in procps-ng 4.0.6.
 - With several PIDs, the columns and totals of -X, -XX, -c and -C are those of each process; pmap adds them up.
 - With -X, -XX, -c and -C, and in the command line, terminal control characters become `?`; pmap prints some of them.
 - Mappings that the kernel lists twice because the map changed during the read appear once.
 - Failures are reported on standard error. pmap prints nothing for a PID that doesn't exist (status 42) or a map that it may
   not read (status 1); the status is the same.
 - A PID may also be a file: a saved /proc/PID/maps or smaps, or a report of vmmap. Fields that the file lacks are `-`.
";

/// The usage, and the differences from pmap.
pub fn help() -> String {
    format!("{USAGE}{DIFFERENCES}")
}

/// Imitates pmap, and returns its exit status.
///
/// # Errors
///
/// Returns the errors of `out`.
pub fn run(call: &Call, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let arguments = match arguments::parse(&call.arguments) {
        Ok(Request::Help) => {
            out.write_all(help().as_bytes())?;
            return Ok(0);
        }
        Ok(Request::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(out, "pmap from mmview {version}, in the layouts of procps-ng 4.0.2")?;
            return Ok(0);
        }
        Ok(Request::CreateRc(path)) => return Ok(create_rc(path, err)),
        Ok(Request::Show(arguments)) => arguments,
        Err(refusal) => return Ok(refuse(&refusal, err)),
    };
    for _ in 0..arguments.ignored {
        report(err, Tool::Pmap, "option -r is ignored as SunOS compatibility");
    }
    let mut naming = Naming { show_path: arguments.show_path, kernel_names: arguments.kernel_names };
    let selection = match &arguments.layout {
        Layout::Fields { everything: false } => Some(Selection::Usual),
        Layout::Fields { everything: true } => Some(Selection::Everything),
        Layout::Configured(path) => {
            let Some(config) = read_rc(path.as_deref(), err) else { return Ok(FAILED) };
            // In pmap, the entry inverts the option.
            naming.show_path ^= config.show_path;
            Some(Selection::Configured(config))
        }
        _ => None,
    };
    let pmap = Pmap { call, arguments: &arguments, naming, selection, is_utf8: names::is_utf8_locale() };
    let mut status = 0;
    for operand in &arguments.operands {
        status |= match pmap.open(operand) {
            Ok(mut source) => pmap.show(source.as_mut(), out, err)?,
            Err(error) => failed(&error.into(), err),
        };
    }
    Ok(status)
}

fn refuse(refusal: &Refusal, err: &mut dyn Write) -> u8 {
    if let Some(message) = &refusal.message {
        report(err, Tool::Pmap, message);
    }
    if refusal.usage {
        // If standard error is closed, the status still reports the failure.
        let _ = err.write_all(USAGE.as_bytes());
    }
    FAILED
}

fn create_rc(path: Option<PathBuf>, err: &mut dyn Write) -> u8 {
    let (path, shown) = match path {
        Some(path) => (path, "rc file"),
        None => match rc::default_path() {
            Some(path) => (path, "~/.pmaprc"),
            None => {
                report(err, Tool::Pmap, "HOME variable undefined");
                return FAILED;
            }
        },
    };
    match rc::create(&path) {
        Ok(()) => {
            let name = if shown == "rc file" { shown.to_owned() } else { format!("{shown} file") };
            report(err, Tool::Pmap, &format!("{name} successfully created, feel free to edit the content"));
            0
        }
        Err(error) => {
            if error.kind() == io::ErrorKind::AlreadyExists {
                report(err, Tool::Pmap, "the file already exists - delete or rename it first");
            }
            let the = if shown == "rc file" { "the " } else { "" };
            let why = if error.kind() == io::ErrorKind::AlreadyExists {
                String::new()
            } else {
                format!(": {error}")
            };
            report(err, Tool::Pmap, &format!("couldn't create {the}{shown}{why}"));
            FAILED
        }
    }
}

/// Reads the configuration; reports a failure, and returns `None`.
fn read_rc(path: Option<&Path>, err: &mut dyn Write) -> Option<rc::Config> {
    let (path, shown) = match path {
        Some(path) => (path.to_owned(), "the rc file"),
        None => match rc::default_path() {
            Some(path) => (path, "~/.pmaprc"),
            None => {
                report(err, Tool::Pmap, "HOME variable undefined");
                return None;
            }
        },
    };
    match rc::read(&path) {
        Ok((config, complaints)) => {
            for complaint in complaints {
                report(err, Tool::Pmap, &complaint);
            }
            Some(config)
        }
        Err(error) => {
            report(err, Tool::Pmap, &format!("couldn't read {shown}: {error}"));
            None
        }
    }
}

/// Reports an error, and returns its exit status.
fn failed(error: &crate::Error, err: &mut dyn Write) -> u8 {
    report_failure(err, Tool::Pmap, error);
    if error.kind() == crate::ErrorKind::NoSuchProcess { NOT_FOUND } else { FAILED }
}

/// A call of pmap, with its options resolved.
struct Pmap<'a> {
    call: &'a Call,
    arguments: &'a Arguments,
    naming: Naming,
    /// The columns, if the layout lets the user choose them.
    selection: Option<Selection>,
    is_utf8: bool,
}

impl Pmap<'_> {
    fn open(&self, operand: &Operand) -> Result<Box<dyn RegionSource>, Error> {
        match operand {
            Operand::Pid(pid) => open_process(*pid, &self.call.open),
            Operand::File(path) => open_file(path, &self.call.open),
            Operand::NoProcess(path) => {
                Err(Error::Malformed { path: path.into(), problem: "is not a process".to_owned() })
            }
        }
    }

    fn detail(&self) -> Detail {
        match self.arguments.layout {
            Layout::Plain | Layout::Device => Detail::Layout,
            _ => Detail::Counts,
        }
    }

    /// Shows one map. Failures are reported, and decide the status.
    fn show(
        &self,
        source: &mut dyn RegionSource,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<u8> {
        let process = match source.identity() {
            Ok(process) => process,
            Err(error) => return Ok(failed(&error.into(), err)),
        };
        self.write_title(source, &process, out)?;
        // Flush before each message: standard output and standard error often share a terminal.
        let result = match source.regions(self.detail()) {
            Ok(regions) => self.write(regions, out)?,
            Err(error @ Error::Zombie { .. }) => {
                self.write(Regions::new(self.detail(), std::iter::empty()), out)?.ok();
                out.flush()?;
                report_failure(err, Tool::Pmap, &error.into());
                return Ok(0);
            }
            Err(error) => Err(error),
        };
        out.flush()?;
        report_warnings(Tool::Pmap, source, err);
        Ok(result.map_or_else(|error| failed(&error.into(), err), |()| 0))
    }

    /// Writes `PID:   command line`. A capture without a PID has a hyphen, one without a command its path.
    fn write_title(
        &self,
        source: &dyn RegionSource,
        process: &ProcessInfo,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match process.pid {
            Some(pid) => write!(out, "{pid}:   ")?,
            None => write!(out, "-:   ")?,
        }
        let mut process = process.clone();
        if let mmview_platform::Origin::Capture { path, .. } = &source.info().origin
            && process.command.is_empty()
        {
            let path = process.path.take().unwrap_or_else(|| path.as_os_str().as_encoded_bytes().into());
            process.command.push(path);
        }
        out.write_all(&names::command(&process, self.is_utf8))?;
        out.write_all(b"\n")
    }

    /// Writes the regions. The inner result is that of reading them.
    fn write(&self, regions: Regions<'_>, out: &mut dyn Write) -> io::Result<Result<(), Error>> {
        let mut listed = regions.filter(|region| region.as_ref().map_or(true, |it| self.is_in_range(it)));
        let Arguments { layout, quiet, .. } = self.arguments;
        if let Some(selection) = &self.selection {
            let regions = match listed.collect::<Result<Vec<_>, _>>() {
                Ok(regions) => regions,
                Err(error) => return Ok(Err(error)),
            };
            fields::write(&regions, selection, *quiet, self.naming, out)?;
            return Ok(Ok(()));
        }
        let first = listed.next();
        if let Some(Err(error)) = first {
            return Ok(Err(error));
        }
        let mut listing = Listing::begin(layout, *quiet, self.naming, out)?;
        for region in first.into_iter().chain(listed) {
            match region {
                Ok(region) => listing.region(&region)?,
                Err(error) => return Ok(Err(error)),
            }
        }
        listing.end()?;
        Ok(Ok(()))
    }

    /// Returns whether a region holds an address of the range that `-A` gives.
    fn is_in_range(&self, region: &Region) -> bool {
        let range = region.range;
        self.arguments
            .range
            .is_none_or(|(low, high)| range.start() <= high && range.end().saturating_sub(1) >= low)
    }
}
