//! A file for a lesson.

use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::Context as _;
use mmview_platform::Bytes;
use tempfile::NamedTempFile;

use crate::text::printable;

/// Where the file goes: a directory that is usually on a disk. `/tmp` is often in memory only, where a page is always dirty and
/// a flush does nothing.
const ON_DISK: &str = "/var/tmp";

/// What it begins with.
pub(super) const GREETING: &[u8] = b"hello, map";

/// A lesson's own file; removed when dropped.
pub(super) struct Scratch {
    file: NamedTempFile,
    path: PathBuf,
}

impl Scratch {
    /// A file of `size` that begins with [`GREETING`], written to its disk: what was written just now must not show as dirty pages
    /// of a mapping.
    pub fn new(size: Bytes) -> crate::error::Result<Scratch> {
        let directory = if Path::new(ON_DISK).is_dir() { ON_DISK.into() } else { std::env::temp_dir() };
        let named = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("mmview-demo-");
            builder
        };
        let mut file = named()
            .tempfile_in(&directory)
            .or_else(|_| named().tempfile())
            .context("failed to make a file for the lesson")?;
        let mut bytes = vec![b'.'; usize::try_from(size.0).map_err(std::io::Error::other)?];
        bytes[..GREETING.len()].copy_from_slice(GREETING);
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("failed to write the lesson's file {}", title(file.path())))?;
        let path = file.path().canonicalize()?;
        Ok(Scratch { file, path })
    }

    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Its path, as the kernel knows it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path, to be drawn.
    pub fn title(&self) -> String {
        title(&self.path)
    }

    /// What `read` gives of its beginning, as many bytes as [`GREETING`] has: the file as every program sees it.
    pub fn beginning(&self) -> crate::error::Result<Vec<u8>> {
        let mut bytes = vec![0; GREETING.len()];
        let read = self.file().read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

pub(super) fn title(path: &Path) -> String {
    format!("`{}`", printable(path.as_os_str().as_bytes()))
}
