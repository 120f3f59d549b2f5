//! Saves a map to a file. An archive holds facts only; opening it computes their meaning again.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use mmview_platform::{Error, MemoryMap, Result, write_archive};

/// Writes `map` to an archive at `path`, and returns its size in bytes.
///
/// The write is atomic: a temporary file in the same directory is written, synced and renamed, so `path` is always either the
/// old file or the whole archive. A pipe or device is written directly. Only the owner can read a new archive, because a map
/// shows what other users may not see; a replaced file keeps its owner and permissions.
///
/// # Errors
///
/// [`Error::Io`] if it can't be written.
pub(crate) fn save(map: &MemoryMap, path: &Path) -> Result<u64> {
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(existing) if existing.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(existing) if !existing.is_file() => {
            let file = File::options().write(true).open(path).map_err(failed)?;
            write_to(&file, map).map_err(failed)
        }
        Ok(existing) => {
            // Keep a symbolic link, and replace its target.
            let real = path.canonicalize().map_err(failed)?;
            replace(map, &real, Some(&existing)).map_err(failed)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        // A dangling link creates its target.
        Err(_) => match fs::read_link(path) {
            Ok(target) => {
                let target = path.parent().unwrap_or(Path::new("")).join(target);
                replace(map, &target, None).map_err(failed)
            }
            Err(_) => replace(map, path, None).map_err(failed),
        },
    }
}

fn replace(map: &MemoryMap, path: &Path, existing: Option<&Metadata>) -> io::Result<u64> {
    path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let partial = Partial::create(&directory)?;
    let file = &partial.file;
    if let Some(existing) = existing {
        let created = file.metadata()?;
        if (created.uid(), created.gid()) != (existing.uid(), existing.gid()) {
            // Only root can change the owner; for other users the archive becomes theirs.
            let _ = fchown(file, Some(existing.uid()), Some(existing.gid()));
        }
        file.set_permissions(existing.permissions())?;
    }
    let size = write_to(file, map)?;
    file.sync_all()?;
    partial.rename(path)?;
    Ok(size)
}

/// A file under a temporary name. It is removed unless it is renamed.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Creates one that only its owner can read.
    fn create(directory: &Path) -> io::Result<Partial> {
        let mut number = 0_u32;
        loop {
            let path = directory.join(format!(".mmview-{}-{number}.partial", std::process::id()));
            match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Partial { path, file }),
                // Left behind by a process of the same id, or in use by another thread.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < u32::MAX => {
                    number += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // If it can't be removed, its name says what it is.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_to(file: &File, map: &MemoryMap) -> io::Result<u64> {
    let mut out = Counted { out: BufWriter::new(file), bytes: 0 };
    write_archive(map, &mut out)?;
    out.flush()?;
    Ok(out.bytes)
}

/// Counts the bytes that are written.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
