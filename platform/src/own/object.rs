//! Shared memory without a path, and the system's huge pages.

use std::fs::File;

use crate::error::{Error, Result};
use crate::model::Bytes;

/// Creates a file of `size` bytes that exists in memory only. No other process can find it; a [child](super::Child) inherits the
/// open file.
///
/// Linux: `memfd_create(name)`. Elsewhere a POSIX shared memory object whose name is removed immediately: `shm_open`, then
/// `shm_unlink`. On macOS the name has at most 31 bytes, including the process ID that is appended.
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
    use rustix::fs::{MemfdFlags, memfd_create};
    memfd_create(name, MemfdFlags::CLOEXEC).map_err(super::failed("memfd_create"))
}

#[cfg(not(target_os = "linux"))]
fn open(name: &str) -> Result<std::os::fd::OwnedFd> {
    use rustix::fs::Mode;
    use rustix::shm::{self, OFlags};

    use super::failed;

    let name = format!("/{name}-{}", std::process::id());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let object = shm::open(name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(failed("shm_open"))?;
    shm::unlink(name.as_str()).map_err(failed("shm_unlink"))?;
    Ok(object)
}

/// The transparent huge pages of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HugePages {
    /// The size of one huge page.
    pub size: Bytes,
    /// Which memory gets huge pages: `always`, `madvise` (if the program asks) or `never`.
    pub when: String,
}

/// Returns the transparent huge pages of this system (`/sys/kernel/mm/transparent_hugepage`, `Documentation/admin-guide/mm/transhuge.rst`).
///
/// # Errors
///
/// [`Error::Unsupported`] if the system has none: Linux built without them, and macOS.
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

/// The selected word, which is in brackets, as in `always [madvise] never`.
fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_word_is_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("always madvise never\n"), None);
    }
}
