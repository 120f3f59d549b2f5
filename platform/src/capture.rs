//! Opens saved captures, recognized by their content, not by their name.

mod archive;
mod linux;
mod saved;
mod vmmap;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use self::saved::Saved;
use crate::error::{Error, Result};
use crate::linux::maps::MapsLine;
use crate::source::RegionSource;

pub use archive::write_archive;

/// How many bytes of a file are used to recognize it: enough for a line with a very long path.
const LOOKED_AT: usize = 64 << 10;

/// The first bytes of a gzip file (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// Opens a saved capture: the text of `/proc/PID/maps` or `smaps` from any Linux, a report of macOS's `vmmap`, or an archive
/// ([`write_archive`]). Each may be compressed by gzip, as archives are.
///
/// Reads the whole capture. In a text, lines that are not understood, regions out of order and a missing end are warnings.
///
/// # Errors
///
/// [`Error::Io`] if the file can't be read, [`Error::Malformed`] if it is not a capture, or a damaged archive.
pub fn open_file(path: &Path) -> Result<Box<dyn RegionSource>> {
    let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let malformed = |problem: &str| Error::Malformed { path: path.to_owned(), problem: problem.to_owned() };
    let mut file = File::open(path).map_err(io_error("open"))?;
    if file.metadata().map_err(io_error("read"))?.is_dir() {
        return Err(malformed("is a directory, not a capture of a memory map"));
    }
    let mut start = Vec::new();
    file.by_ref().take(GZIP.len() as u64).read_to_end(&mut start).map_err(io_error("read"))?;
    let is_compressed = start == GZIP;
    let file = Cursor::new(start).chain(file);
    if is_compressed {
        open_text(path, MultiGzDecoder::new(BufReader::new(file)))
    } else {
        open_text(path, file)
    }
}

/// Opens a capture with the decompressed content `file`.
fn open_text(path: &Path, mut file: impl Read) -> Result<Box<dyn RegionSource>> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Error::Malformed { path: path.to_owned(), problem: format!("is a damaged gzip file: {source}") }
        }
        _ => Error::Io { action: "read", path: path.to_owned(), source },
    };
    let mut start = Vec::new();
    let mut look = |bytes: usize, start: &mut Vec<u8>| {
        file.by_ref().take(bytes as u64).read_to_end(start).map_err(unreadable)
    };
    look(archive::START.len(), &mut start)?;
    if start == archive::START {
        // Damage after the start is reported as damage of the archive.
        let text = BufReader::new(Cursor::new(start).chain(file));
        return Ok(Box::new(Saved(archive::read(path, text)?)));
    }
    look(LOOKED_AT, &mut start)?;
    match recognize(&start) {
        Recognized::Linux { is_crlf } => {
            let text = Cursor::new(start).chain(file);
            Ok(Box::new(Saved(linux::read(path, text, is_crlf).map_err(unreadable)?)))
        }
        Recognized::Vmmap => {
            let mut text = start;
            file.read_to_end(&mut text).map_err(unreadable)?;
            Ok(Box::new(Saved(vmmap::read(path, &text))))
        }
        Recognized::Unusable(problem) => {
            Err(Error::Malformed { path: path.to_owned(), problem: problem.to_owned() })
        }
    }
}

enum Recognized {
    Linux { is_crlf: bool },
    Vmmap,
    Unusable(&'static str),
}

/// Recognizes a file by its beginning.
fn recognize(start: &[u8]) -> Recognized {
    if start.is_empty() {
        return Recognized::Unusable("is empty");
    }
    let mut lines = start.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let Some(first) = lines.next() else {
        return Recognized::Unusable("has only blank lines");
    };
    let first_region = std::iter::once(first).chain(lines).take(100).find(|line| MapsLine::is_start(line));
    if let Some(region) = first_region {
        let region = region.strip_suffix(b"\r").unwrap_or(region);
        if region.ends_with(b"[rollup]") {
            return Recognized::Unusable(
                "is the text of smaps_rollup, which has totals but no regions: save /proc/PID/smaps instead",
            );
        }
        return Recognized::Linux { is_crlf: first.ends_with(b"\r") };
    }
    if start.split(|&byte| byte == b'\n').any(vmmap::is_characteristic) {
        return Recognized::Vmmap;
    }
    if start.contains(&0) {
        return Recognized::Unusable("is a binary file, not a capture of a memory map");
    }
    Recognized::Unusable("is not a capture of a memory map: it has no line of /proc/PID/maps, smaps or vmmap")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognized_by_its_content() {
        assert!(matches!(recognize(b"1000-2000 r--p 0 00:00 0\n"), Recognized::Linux { is_crlf: false }));
        assert!(matches!(
            recognize(b"\n\n1000-2000 r--p 0 00:00 0\r\n"),
            Recognized::Linux { is_crlf: true }
        ));
        assert!(matches!(
            recognize(b"$ cat /proc/7/maps\n1000-2000 r--p 0 00:00 0\n"),
            Recognized::Linux { .. }
        ));
        for no_capture in [&b""[..], b"\n \n", b"\x7fELF\0\0", b"hello\n", b"1-2 ---p 0 00:00 0 [rollup]\n"] {
            assert!(matches!(recognize(no_capture), Recognized::Unusable(_)), "{no_capture:?}");
        }
    }
}
