//! The directory of a process in `/proc`, held open.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::Stat;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};

use crate::linux::parse::status::Status;

/// An open `/proc/PID`.
///
/// It belongs to one process for good: once the process is gone, nothing in it opens anymore, even if the kernel gives the
/// ID to another process. A lost process shows as `ENOENT` or `ESRCH`.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    pid: u32,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory of a process or thread under `procfs`.
    pub fn open(procfs: &Path, pid: u32) -> io::Result<Directory> {
        let path = procfs.join(pid.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, &path, flags, Mode::empty())?;
        Ok(Directory { fd, pid, path })
    }

    /// The process ID in its name.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The path of a file in it, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of the directory itself, for messages.
    pub fn own_path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The path of a file of the system beside the processes.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(name)
    }

    /// Opens a file in it.
    pub fn file(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.fd, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// Reads a file in it.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The target of a link in it.
    pub fn link(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// The names in a directory in it that are numbers.
    pub fn numbers(&self, name: &str) -> io::Result<Vec<u32>> {
        let directory =
            openat(&self.fd, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let number = |entry: rustix::fs::DirEntry| entry.file_name().to_str().ok()?.parse().ok();
        Ok(Dir::read_from(&directory)?.flatten().filter_map(number).collect())
    }

    /// Reads `stat`.
    pub fn stat(&self) -> io::Result<Stat> {
        parse_stat(&self.read("stat")?).ok_or_else(|| io::Error::other("`stat` is malformed"))
    }

    /// Reads `status`.
    pub fn status(&self) -> io::Result<Status> {
        Ok(Status::parse(&self.read("status")?))
    }

    /// Whether the process is still there. Costs one system call, and needs no permission.
    pub fn is_alive(&self) -> bool {
        statat(&self.fd, "stat", AtFlags::empty()).is_ok()
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Parses the one line of `stat` (`proc_pid_stat(5)`). `None` if it lacks a field or a field is not a number.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The parser slices around the parentheses of the name without a check.
    let text = text.trim_ascii();
    let name_start = memchr::memchr(b'(', text).filter(|&start| start > 0)?;
    let name_end = memchr::memrchr(b')', text).filter(|&end| end > name_start && end + 2 <= text.len())?;
    let is_separated = text[name_start - 1] == b' ' && text.get(name_end + 1) == Some(&b' ');
    if is_separated { Stat::from_read(text).ok() } else { None }
}

/// Whether an error says that the process, or the file of it, is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &[u8] =
        b"7 (a) b\n(c)) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 5 6 18446744073709551615 \
        93 94 95 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 9\n";

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = parse_stat(LINE).unwrap();
        assert_eq!((stat.state, stat.ppid, stat.flags), ('S', 3, 4_194_560));
        assert_eq!((stat.starttime, stat.startcode, stat.startstack), (4242, 93, 95));
        assert_eq!(stat.exit_code, Some(9));
    }

    #[test]
    fn old_kernels_have_fewer_fields() {
        let end = LINE.iter().rposition(|&byte| byte == b' ').unwrap();
        assert_eq!(parse_stat(&LINE[..end]).unwrap().exit_code, None);
        assert!(parse_stat(b"7 (a) S 3").is_none());
        assert!(parse_stat(b"").is_none());
    }

    proptest! {
        /// A saved tree under `--procfs` may hold anything.
        #[test]
        fn any_text_is_parsed_or_refused(text in "[()a-z 0-9\\n-]{0,60}") {
            parse_stat(text.as_bytes());
        }

        #[test]
        fn a_cut_line_is_parsed_or_refused(end in 0..LINE.len()) {
            parse_stat(&LINE[..end]);
        }
    }
}
