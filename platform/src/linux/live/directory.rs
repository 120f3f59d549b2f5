//! The directory of a process in `/proc`, held open.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};

use crate::linux::parse::stat::Stat;
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
        Stat::parse(&self.read("stat")?).ok_or_else(|| io::Error::other("`stat` is malformed"))
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

/// Whether an error says that the process, or the file of it, is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}
