//! Saving a map for later: everything that was read, as facts. What they mean is computed anew whenever the archive is opened.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use mmview_platform::{Error, MemoryMap, Result, write_archive};

/// Saves `snapshot` under `path`, and returns how many bytes that took.
///
/// It is written beside it under another name, and renamed once all of it is on the disk: whatever happens meanwhile, under
/// `path` is either what was there or the whole archive. What is no regular file (a pipe, a device) is written to as it is. A new
/// archive is for its owner alone, since a map shows what other users may not see; one that is replaced keeps its owner
/// and its permissions.
///
/// # Errors
///
/// [`Error::Io`] where it can't be written.
pub fn save(snapshot: &MemoryMap, path: &Path) -> Result<u64> {
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(there) if !there.is_file() => {
            let file = File::options().write(true).open(path).map_err(failed)?;
            write_to(&file, snapshot).map_err(failed)
        }
        Ok(there) => {
            // A link stays one: the file that it leads to is replaced.
            let real = path.canonicalize().map_err(failed)?;
            replace(snapshot, &real, Some(&there)).map_err(failed)
        }
        // What leads to a file that isn't there makes it.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Err(_) => match fs::read_link(path) {
            Ok(target) => {
                let target = path.parent().unwrap_or(Path::new("")).join(target);
                replace(snapshot, &target, None).map_err(failed)
            }
            Err(_) => replace(snapshot, path, None).map_err(failed),
        },
    }
}

fn replace(snapshot: &MemoryMap, path: &Path, there: Option<&Metadata>) -> io::Result<u64> {
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
        .map_err(nameless)?;
    if let Some(there) = there {
        let made = file.as_file().metadata()?;
        if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
            // Only root may give a file away; for others it becomes theirs, as by any other program.
            let _ = fchown(file.as_file(), Some(there.uid()), Some(there.gid()));
        }
        file.as_file().set_permissions(there.permissions())?;
    }
    let size = write_to(file.as_file(), snapshot)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(size)
}

/// What the system said of a file that has another name for a while, without that name.
fn nameless(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|named| named.source()?.downcast_ref::<io::Error>());
    cause.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

fn write_to(file: &File, snapshot: &MemoryMap) -> io::Result<u64> {
    let mut out = Counted { out: BufWriter::new(file), bytes: 0 };
    write_archive(snapshot, &mut out)?;
    out.flush()?;
    Ok(out.bytes)
}

/// What counts the bytes that go through it.
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
