//! Memory that has no path: shared memory objects; and which huge pages there are.

use std::fs::File;

use crate::error::{Error, Result};
use crate::model::Bytes;

/// A file of `size` that lives in memory only and that nobody else can find: whoever is to map it gets the open file, as a
/// [child](super::Child) does.
///
/// Linux: `memfd_create(name)`. Elsewhere a POSIX shared memory object, whose name is given back at once: `shm_open`, then
/// `shm_unlink`. macOS knows such a name up to 31 bytes, the process id that is added included.
///
/// # Errors
///
/// [`Error::Call`].
pub fn memory_object(name: &str, size: Bytes) -> Result<File> {
    let file = File::from(open(name)?);
    file.set_len(size.0).map_err(|source| Error::Call { call: "ftruncate", source })?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn open(name: &str) -> Result<std::os::fd::OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(super::failed("memfd_create"))
}

#[cfg(not(target_os = "linux"))]
fn open(name: &str) -> Result<std::os::fd::OwnedFd> {
    use nix::fcntl::OFlag;
    use nix::sys::mman::{shm_open, shm_unlink};
    use nix::sys::stat::Mode;

    use super::failed;

    let name = format!("/{name}-{}", std::process::id());
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
    let object = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("shm_open"))?;
    shm_unlink(name.as_str()).map_err(failed("shm_unlink"))?;
    Ok(object)
}

/// The transparent huge pages of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HugePages {
    /// How large one is.
    pub size: Bytes,
    /// When memory gets them: `always`, `madvise` (where a program asks) or `never`.
    pub when: String,
}

/// The transparent huge pages of this system (`/sys/kernel/mm/transparent_hugepage`, `Documentation/admin-guide/mm/transhuge.rst`).
///
/// # Errors
///
/// [`Error::Unsupported`] where it has none: a Linux built without them, and every macOS.
pub fn huge_pages() -> Result<HugePages> {
    let read = |name: &str| {
        let directory = std::path::Path::new("/sys/kernel/mm/transparent_hugepage");
        cfg!(target_os = "linux").then(|| std::fs::read_to_string(directory.join(name)).ok()).flatten()
    };
    let size = read("hpage_pmd_size").and_then(|text| text.trim().parse().ok().map(Bytes));
    let when = read("enabled").and_then(|text| chosen(&text).map(str::to_owned));
    match (size, when) {
        (Some(size), Some(when)) => Ok(HugePages { size, when }),
        _ => Err(Error::Unsupported { what: "memory in transparent huge pages", place: "on this system" }),
    }
}

/// The choice in brackets, as in `always [madvise] never`.
fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_stands_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("always madvise never\n"), None);
    }
}
