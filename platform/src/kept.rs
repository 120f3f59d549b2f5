//! The dumps that systemd-coredump keeps.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::model::Bytes;

/// Where systemd-coredump keeps dumps (`coredump.conf(5)`).
pub const DUMPS: &str = "/var/lib/systemd/coredump";

/// A dump that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptDump {
    /// The file.
    pub path: PathBuf,
    /// When the process crashed.
    pub time: SystemTime,
    /// The name of the process, of 15 bytes at most.
    pub name: Box<str>,
    /// Its ID.
    pub pid: u32,
    /// The ID of its user.
    pub user: u32,
    /// The signal that ended it, if the file has the note of it.
    pub signal: Option<i32>,
    /// The size of the file, which is compressed as a rule.
    pub size: Option<Bytes>,
}

/// Lists the dumps in a directory of systemd-coredump, the newest first. There are none if the directory does not exist.
///
/// # Errors
///
/// [`Error::Io`] if the directory can't be read.
pub fn kept_dumps(directory: &Path) -> Result<Vec<KeptDump>> {
    let failed = |source| Error::Io { action: "list", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut dumps = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let size = entry.metadata().ok().map(|file| Bytes(file.len()));
        let dump = parse(&entry.file_name());
        let dump =
            dump.map(|dump| KeptDump { signal: signal(&entry.path()), path: entry.path(), size, ..dump });
        dumps.extend(dump);
    }
    dumps.sort_by(|one, other| (other.time, &one.path).cmp(&(one.time, &other.path)));
    Ok(dumps)
}

/// The signal that systemd-coredump notes in an attribute of the file.
#[cfg(target_os = "linux")]
fn signal(path: &Path) -> Option<i32> {
    let mut text = [0; 16];
    let length = rustix::fs::lgetxattr(path, "user.coredump.signal", &mut text).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim_end_matches('\0').parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn signal(_: &Path) -> Option<i32> {
    None
}

/// Parses the name of a file: `core.COMMAND.UID.BOOT.PID.MICROSECONDS`, and how it is compressed. In the command, dots and other
/// special bytes are written as `\x2e`.
fn parse(name: &OsStr) -> Option<KeptDump> {
    let name = name.to_str()?.strip_prefix("core.")?;
    let name = [".zst", ".lz4", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let mut parts = name.rsplitn(5, '.');
    let time = Duration::from_micros(parts.next()?.parse().ok()?);
    let pid = parts.next()?.parse().ok()?;
    let boot = parts.next()?;
    let user = parts.next()?.parse().ok()?;
    let is_boot = boot.len() == 32 && boot.bytes().all(|byte| byte.is_ascii_hexdigit());
    let time = SystemTime::UNIX_EPOCH.checked_add(time).filter(|_| is_boot)?;
    Some(KeptDump {
        path: PathBuf::new(),
        time,
        name: unescape(parts.next()?).into(),
        pid,
        user,
        signal: None,
        size: None,
    })
}

fn unescape(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = after
            .strip_prefix(b"x")
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits.get(..2)?).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn dumps_are_listed_by_their_names_the_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            format!("core.sleep.1000.{BOOT}.4711.1795640000000001.zst"),
            format!("core.my\\x2eapp.0.{BOOT}.12.1795650000000000"),
            format!("core.sleep.1000.{BOOT}.4711.x.zst"),
            "notes.txt".to_owned(),
        ] {
            fs::write(directory.path().join(name), "1234").unwrap();
        }
        let dumps = kept_dumps(directory.path()).unwrap();
        let facts: Vec<_> = dumps.iter().map(|dump| (&*dump.name, dump.pid, dump.user, dump.size)).collect();
        assert_eq!(facts, [("my.app", 12, 0, Some(Bytes(4))), ("sleep", 4711, 1000, Some(Bytes(4)))]);
        assert_eq!(kept_dumps(&directory.path().join("none")).unwrap(), []);
    }
}
