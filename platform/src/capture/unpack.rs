//! A stream as a file that can be read in any order.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How much is read at once, and the smallest hole.
const PIECE: usize = 64 << 10;

/// Where large temporary files belong: `/tmp` may be in memory.
const LARGE: &str = "/var/tmp";

/// What failed.
#[derive(Debug)]
pub(super) enum Failure {
    Input(io::Error),
    Output(io::Error),
}

/// Copies `input` to a temporary file without a name, with holes for zeros.
pub(super) fn to_file(mut input: impl Read) -> Result<File, Failure> {
    let mut file = create().map_err(Failure::Output)?;
    let mut buffer = vec![0; PIECE];
    let mut length = 0;
    loop {
        let read = fill(&mut input, &mut buffer).map_err(Failure::Input)?;
        let piece = &buffer[..read];
        if piece.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(length)).map_err(Failure::Output)?;
            file.write_all(piece).map_err(Failure::Output)?;
        }
        length += read as u64;
        if read < PIECE {
            file.set_len(length).map_err(Failure::Output)?;
            return Ok(file);
        }
    }
}

fn create() -> io::Result<File> {
    let is_chosen = std::env::var_os("TMPDIR").is_some();
    let in_large = if is_chosen { None } else { create_in(Path::new(LARGE)).ok() };
    in_large.map_or_else(|| create_in(&std::env::temp_dir()), Ok)
}

/// Creates a file that only this process has: its name is gone at once.
fn create_in(directory: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        // Every hasher has random keys.
        let name = RandomState::new().hash_one(std::process::id());
        let path = directory.join(format!(".mmview-{name:016x}"));
        match options.open(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match input.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
