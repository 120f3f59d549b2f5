//! Opening the files that a process maps, in whichever mount namespace they lie.

use std::fs::File;
use std::sync::OnceLock;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, major, minor, openat, openat2};
use rustix::io::Result;

use super::directory::Directory;
use crate::model::{Device, Region};

/// Opens the file that `region` maps; `None` if that is not possible, or not safe: opening a device can have an effect, and a
/// file system that a program serves may never answer.
pub(super) fn open(process: &Directory, region: &Region, mounts: &Mounts) -> Option<File> {
    let native = region.native.linux()?;
    if native.inode == 0 || mounts.is_served_by_a_program(process, native.device) {
        return None;
    }
    let path = by_range(process, region).or_else(|_| by_path(process, region)).ok()?;
    if FileType::from_raw_mode(fstat(&path).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    // A link in /proc/self/fd leads to the file itself, not to its path.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&path));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Some(openat(rustix::fs::CWD, link, flags, Mode::empty()).ok()?.into())
}

/// A file that is open for its identity only: no driver notices.
const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// By the link for the mapping, which leads to its very file.
fn by_range(process: &Directory, region: &Region) -> Result<File> {
    let name = format!("map_files/{:x}-{:x}", region.range.start(), region.range.end());
    Ok(openat(process, name, PATH, Mode::empty())?.into())
}

/// By the path below the root of the process, if the file there is the mapped one.
fn by_path(process: &Directory, region: &Region) -> Result<File> {
    use rustix::io::Errno;
    let name =
        region.name.as_ref().filter(|name| name.is_file() && !name.is_deleted()).ok_or(Errno::NOENT)?;
    let root = openat(process, "root", PATH | OFlags::DIRECTORY, Mode::empty())?;
    let path: File = openat2(&root, name.bytes(), PATH, Mode::empty(), ResolveFlags::IN_ROOT)?.into();
    if is_same(&fstat(&path)?, region) { Ok(path) } else { Err(Errno::STALE) }
}

fn is_same(stat: &Stat, region: &Region) -> bool {
    region.native.linux().is_some_and(|native| {
        stat.st_ino == native.inode && Device::new(major(stat.st_dev), minor(stat.st_dev)) == native.device
    })
}

/// The devices in the mount namespace of a process whose file systems are served by programs, which may block forever.
#[derive(Debug, Default)]
pub(super) struct Mounts(OnceLock<Vec<Device>>);

impl Mounts {
    /// Whether a program serves the files of `device`. Such file systems have no device of their own, and so the major number
    /// 0 (or are `fuseblk`, on a real one).
    fn is_served_by_a_program(&self, process: &Directory, device: Device) -> bool {
        self.0.get_or_init(|| served(&process.read("mountinfo").unwrap_or_default())).contains(&device)
    }
}

/// The devices of such file systems in the text of `mountinfo` (`proc_pid_mountinfo(5)`).
fn served(mountinfo: &[u8]) -> Vec<Device> {
    let device = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok()?;
        let (mount, system) = text.split_once(" - ")?;
        let kind = system.split(' ').next()?;
        let can_block = kind.starts_with("fuse");
        let (major, minor) = mount.split(' ').nth(2)?.split_once(':')?;
        can_block.then_some(Device::new(major.parse().ok()?, minor.parse().ok()?))
    };
    mountinfo.split(|&byte| byte == b'\n').filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_programs_are_found() {
        let text = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                     40 35 0:52 / /home/a/s rw,nosuid - fuse.sshfs host:/ rw,user_id=1\nnonsense\n";
        assert_eq!(served(text), [Device::new(0, 52)]);
    }
}
