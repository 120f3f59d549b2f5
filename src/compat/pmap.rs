//! pmap: the map of a process in the layouts of procps-ng 4.0.2, from mmview's model.

pub mod arguments;
mod fields;
mod line;
mod listing;
mod names;
pub mod rc;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mmview_platform::{Detail, Error, ProcessInfo, Region, RegionSource, Regions, open_file, open_process};

use self::arguments::{Arguments, Layout, Refusal, Request, Target};
use self::fields::Selection;
use self::listing::Listing;
use self::names::Naming;
use super::{Call, Tool, tell, tell_error, tell_warnings};

/// Something failed.
const FAILED: u8 = 1;

/// Some process was not found.
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

/// What is not as in procps-ng 4.0.2, and why.
const DIFFERENCES: &str = "
This is mmview, which prints what pmap of procps-ng 4.0.2 prints. Deliberately different:
 - Paths longer than a kilobyte are whole; pmap cuts them and lists the rest as mappings that are not there.
 - The totals of -x are those of the listed mappings; pmap adds the RSS and Dirty of what -A leaves out.
 - -A limits -X, -XX, -c and -C too, as from procps-ng 4.0.6; 4.0.2 ignores it there.
 - -k is that of procps-ng 4.0.6.
 - With several PIDs, the columns and totals of -X, -XX, -c and -C are those of one process; pmap adds them up.
 - With -X, -XX, -c and -C, and in the command line, bytes that steer a terminal are `?`; pmap lets some through.
 - Mappings that the kernel lists twice because the map changed meanwhile are listed once.
 - What goes wrong is told on standard error. pmap says nothing of a PID that is not there (status 42) or a map that
   may not be read (status 1); the status is the same.
 - A PID may also be a file: a saved /proc/PID/maps or smaps, or a report of vmmap. What it doesn't tell is `-`.
";

/// The usage, and what is not as in pmap.
pub fn help() -> String {
    format!("{USAGE}{DIFFERENCES}")
}

/// Does what pmap would do, and returns its exit status.
///
/// # Errors
///
/// Those of `out`.
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
        tell(err, Tool::Pmap, "option -r is ignored as SunOS compatibility");
    }
    let mut naming = Naming { show_path: arguments.show_path, kernel_names: arguments.kernel_names };
    let selection = match &arguments.layout {
        Layout::Fields { everything: false } => Some(Selection::Usual),
        Layout::Fields { everything: true } => Some(Selection::Everything),
        Layout::Configured(path) => {
            let Some(config) = read_rc(path.as_deref(), err) else { return Ok(FAILED) };
            // pmap reads the entry as the other way round than the command line says.
            naming.show_path ^= config.show_path;
            Some(Selection::Configured(config))
        }
        _ => None,
    };
    let pmap = Pmap { call, arguments: &arguments, naming, selection, is_utf8: names::is_utf8_locale() };
    let mut status = 0;
    for target in &arguments.targets {
        status |= match pmap.open(target) {
            Ok(mut source) => pmap.show(source.as_mut(), out, err)?,
            Err(error) => failed(&error.into(), err),
        };
    }
    Ok(status)
}

fn refuse(refusal: &Refusal, err: &mut dyn Write) -> u8 {
    if let Some(message) = &refusal.message {
        tell(err, Tool::Pmap, message);
    }
    if refusal.usage {
        // Where standard error is gone, the status still tells.
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
                tell(err, Tool::Pmap, "HOME variable undefined");
                return FAILED;
            }
        },
    };
    match rc::create(&path) {
        Ok(()) => {
            let name = if shown == "rc file" { shown.to_owned() } else { format!("{shown} file") };
            tell(err, Tool::Pmap, &format!("{name} successfully created, feel free to edit the content"));
            0
        }
        Err(error) => {
            if error.kind() == io::ErrorKind::AlreadyExists {
                tell(err, Tool::Pmap, "the file already exists - delete or rename it first");
            }
            let the = if shown == "rc file" { "the " } else { "" };
            let why = if error.kind() == io::ErrorKind::AlreadyExists {
                String::new()
            } else {
                format!(": {error}")
            };
            tell(err, Tool::Pmap, &format!("couldn't create {the}{shown}{why}"));
            FAILED
        }
    }
}

/// The configuration that was asked for; `None` where it can't be read, which is told.
fn read_rc(path: Option<&Path>, err: &mut dyn Write) -> Option<rc::Config> {
    let (path, shown) = match path {
        Some(path) => (path.to_owned(), "the rc file"),
        None => match rc::default_path() {
            Some(path) => (path, "~/.pmaprc"),
            None => {
                tell(err, Tool::Pmap, "HOME variable undefined");
                return None;
            }
        },
    };
    match rc::read(&path) {
        Ok((config, complaints)) => {
            for complaint in complaints {
                tell(err, Tool::Pmap, &complaint);
            }
            Some(config)
        }
        Err(error) => {
            tell(err, Tool::Pmap, &format!("couldn't read {shown}: {error}"));
            None
        }
    }
}

/// Tells a failure, and gives the status it comes to.
fn failed(error: &crate::Error, err: &mut dyn Write) -> u8 {
    tell_error(err, Tool::Pmap, error);
    match error.kind() {
        crate::ErrorKind::NoSuchProcess => NOT_FOUND,
        _ => FAILED,
    }
}

/// One call, with everything that was asked for.
struct Pmap<'a> {
    call: &'a Call,
    arguments: &'a Arguments,
    naming: Naming,
    /// Which columns, where the layout has columns to choose.
    selection: Option<Selection>,
    is_utf8: bool,
}

impl Pmap<'_> {
    fn open(&self, target: &Target) -> Result<Box<dyn RegionSource>, Error> {
        match target {
            Target::Pid(pid) => open_process(*pid, &self.call.open),
            Target::File(path) => open_file(path),
            Target::NoProcess(path) => {
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

    /// Shows one map. What fails within is told, and in the status.
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
        // What was written so far stands before what may be told now, where both go to one terminal.
        let result = match source.regions(self.detail()) {
            Ok(regions) => self.write(regions, out)?,
            Err(error @ Error::Zombie { .. }) => {
                self.write(Regions::new(self.detail(), std::iter::empty()), out)?.ok();
                out.flush()?;
                tell_error(err, Tool::Pmap, &error.into());
                return Ok(0);
            }
            Err(error) => Err(error),
        };
        out.flush()?;
        tell_warnings(Tool::Pmap, source, err);
        Ok(result.map_or_else(|error| failed(&error.into(), err), |()| 0))
    }

    /// `PID:   command line`; a capture that tells no PID has a hyphen, one that tells no command its path.
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

    /// Writes the regions; a failure to read them midway is the inner result.
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

    /// Whether a region holds an address of the range asked for.
    fn is_in_range(&self, region: &Region) -> bool {
        let range = region.range;
        self.arguments
            .range
            .is_none_or(|(low, high)| range.start() <= high && range.end().saturating_sub(1) >= low)
    }
}
