//! Temporary files for lessons.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mmview_platform::Bytes;
use tempfile::NamedTempFile;

use crate::error::Context as _;
use crate::text::printable;

/// The directory of the file, which is usually on a disk. `/tmp` is often in memory only, where every page is dirty and a flush
/// does nothing.
const ON_DISK: &str = "/var/tmp";

/// The first bytes of the file.
pub(super) const GREETING: &[u8] = b"hello, map";

/// A lesson's own file, removed when dropped.
pub(super) struct Scratch {
    file: NamedTempFile,
    path: PathBuf,
}

impl Scratch {
    /// Creates a file of `size` that begins with [`GREETING`], and flushes it: recent writes must not show up as dirty pages of a
    /// mapping.
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
            .context("failed to create a file for the lesson")?;
        let mut bytes = vec![b'.'; usize::try_from(size.0).map_err(io::Error::other)?];
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

    /// The path, as the kernel shows it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path for a message, quoted and escaped.
    pub fn title(&self) -> String {
        title(&self.path)
    }

    /// Reads the first bytes of the file, as many as [`GREETING`] has, without a mapping.
    pub fn beginning(&self) -> crate::error::Result<Vec<u8>> {
        let mut bytes = vec![0; GREETING.len()];
        let read = self.file().read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Quotes and escapes a path for a message.
pub(super) fn title(path: &Path) -> String {
    format!("`{}`", printable(path.as_os_str().as_bytes()))
}
