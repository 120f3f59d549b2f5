//! Saves a map to a file. An archive holds facts only; opening it computes their meaning again.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
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
    let file = tempfile::Builder::new()
        .prefix(".mmview-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .map_err(without_path)?;
    if let Some(existing) = existing {
        let created = file.as_file().metadata()?;
        if (created.uid(), created.gid()) != (existing.uid(), existing.gid()) {
            // Only root can change the owner; for other users the archive becomes theirs.
            let _ = fchown(file.as_file(), Some(existing.uid()), Some(existing.gid()));
        }
        file.as_file().set_permissions(existing.permissions())?;
    }
    let size = write_to(file.as_file(), map)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(size)
}

/// Removes the path of the temporary file from an error.
fn without_path(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|with_path| with_path.source()?.downcast_ref::<io::Error>());
    cause.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
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
