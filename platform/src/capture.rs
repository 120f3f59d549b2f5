//! Opens saved captures, recognized by their content, not by their name.

mod archive;
mod core;
mod saved;
mod text;
mod vmmap;

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use self::core::{Core, Input, is_unkept};
use self::saved::Saved;
use self::text::Found;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::source::RegionSource;

pub use archive::write_archive;

/// The first bytes of a gzip file (RFC 1952), and of a zstd frame (RFC 8878).
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// The first bytes of files that have to be decompressed first, with what does it.
const FOREIGN: [(&[u8], &str); 2] = [(b"\xfd7zX", "xz"), (b"\x04\x22\x4d\x18", "lz4")];

/// The first bytes of a kernel's dump by `makedumpfile`.
const KDUMP: &[u8] = b"KDUMP   ";

/// Opens a saved capture: an archive ([`write_archive`]), the text of `/proc/PID/maps` or `smaps` from any Linux, another listing
/// of a memory map, a report of macOS's `vmmap`, or a memory dump: an ELF core of Linux, a Mach-O core of a Mac, a minidump. Each may
/// be compressed by gzip or zstd.
///
/// The map may stand anywhere in a text of any length, with a prefix before each line. If there are several,
/// [`OpenOptions::part`](method@OpenOptions::part) chooses one.
///
/// Reads the whole capture. In a text, lines that are not understood, regions out of order, a missing end and anything that was
/// taken off are warnings. Of a dump, only the description is read, and memory when it is asked for; one that is compressed is
/// unpacked as far as something needs it, to a temporary file.
///
/// # Errors
///
/// [`Error::Io`] if the file can't be read, [`Error::Malformed`] if it has no memory map, or is a damaged archive.
pub fn open_file(path: &Path, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let file = File::open(path).map_err(io_error("open"))?;
    let metadata = file.metadata().map_err(io_error("read"))?;
    if metadata.is_dir() {
        return Err(malformed(path, "is a directory, not a capture of a memory map"));
    }
    if metadata.is_file() {
        let mut start = Vec::new();
        (&file).take(core::START as u64).read_to_end(&mut start).map_err(io_error("read"))?;
        (&file).rewind().map_err(io_error("read"))?;
        if core::is_dump(&start) {
            return open_dump(path, Input::File(file), options);
        }
    }
    // Of a dump that is compressed, no more is unpacked than is needed.
    open_content(path, decoded(path, file)?, options, |stream| Ok(Input::lazy(stream)))
}

/// Opens a capture that is read from `input`, such as standard input. `path` is its name in messages.
///
/// # Errors
///
/// As [`open_file`].
pub fn open_reader(path: &Path, input: impl Read, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    open_content(path, decoded(path, input)?, options, Input::whole)
}

/// The content of a file.
enum Decoded<R: Read> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<StreamingDecoder<BufReader<R>, FrameDecoder>>),
}

impl<R: Read> Decoded<R> {
    /// How it was compressed.
    fn compression(&self) -> Option<&'static str> {
        match self {
            Decoded::Plain(_) => None,
            Decoded::Gzip(_) => Some("gzip"),
            Decoded::Zstd(_) => Some("zstd"),
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoded::Plain(input) => input.read(buffer),
            Decoded::Gzip(decoder) => decoder.read(buffer),
            Decoded::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Decompresses what the file `path` has.
fn decoded<R: Read>(path: &Path, mut input: R) -> Result<Decoded<Chain<Cursor<Vec<u8>>, R>>> {
    let mut start = Vec::new();
    let read = input.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start);
    read.map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    if let Some((_, tool)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)) {
        let shown = path.display();
        let problem =
            format!("is compressed with {tool}: decompress it first (`{tool} -dc {shown} | mmview -`)");
        return Err(malformed(path, problem));
    }
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start == ZSTD);
    let input = Cursor::new(start).chain(input);
    Ok(if is_gzip {
        Decoded::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(input))))
    } else if is_zstd {
        let decoder = StreamingDecoder::new(BufReader::new(input));
        let decoder = decoder.map_err(|error| malformed(path, format!("is a damaged zstd file: {error}")))?;
        Decoded::Zstd(Box::new(decoder))
    } else {
        Decoded::Plain(input)
    })
}

/// Opens a capture with this content. `dump` makes it the input of a dump, if it is one.
fn open_content<R: Read>(
    path: &Path,
    mut input: Decoded<R>,
    options: &OpenOptions,
    dump: impl FnOnce(Chain<Cursor<Vec<u8>>, Decoded<R>>) -> io::Result<Input>,
) -> Result<Box<dyn RegionSource>> {
    let compression = input.compression();
    let unreadable = |source: io::Error| match (compression, source.kind()) {
        (_, io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory) | (None, _) => {
            Error::Io { action: "read", path: path.to_owned(), source }
        }
        _ if is_unkept(&source) => Error::Io { action: "unpack", path: path.to_owned(), source },
        (Some(compression), _) => malformed(path, format!("is a damaged {compression} file: {source}")),
    };
    let mut start = Vec::new();
    input.by_ref().take(archive::START.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
    if start == archive::START {
        if options.part.is_some_and(|part| part != 1) {
            return Err(malformed(path, "is an archive, which has 1 memory map: leave out --part"));
        }
        // Damage after the start is reported as damage of the archive.
        let text = BufReader::new(Cursor::new(start).chain(input));
        return Ok(Box::new(Saved(archive::read(path, text)?)));
    }
    if core::is_dump(&start) {
        let input = dump(Cursor::new(start).chain(input)).map_err(unreadable)?;
        return open_dump(path, input, options).map_err(|error| match error {
            Error::Io { source, .. } => unreadable(source),
            error => error,
        });
    }
    if start.starts_with(KDUMP) {
        return Err(malformed(path, "is a dump of a whole machine, not of a process"));
    }
    match text::read(path, Cursor::new(start).chain(input), options.part).map_err(unreadable)? {
        Found::Map(map) => Ok(Box::new(Saved(*map))),
        Found::TooFew(parts) => {
            let maps = if parts == 1 { "1 memory map".to_owned() } else { format!("{parts} memory maps") };
            Err(malformed(path, format!("has only {maps}: choose another number for --part")))
        }
        Found::Nothing(problem) => Err(malformed(path, problem)),
    }
}

/// Opens the dump in `input`.
fn open_dump(path: &Path, input: Input, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    if options.part.is_some_and(|part| part != 1) {
        return Err(malformed(path, "is a memory dump, which has 1 memory map: leave out --part"));
    }
    let dump = core::read(path, &input)?;
    Ok(Box::new(Core::new(path, dump, input)))
}

fn malformed(path: &Path, problem: impl Into<String>) -> Error {
    Error::Malformed { path: path.to_owned(), problem: problem.into() }
}
