//! The bytes of a dump: those of a file, or of a stream, which is unpacked as far as something needs it.

use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much of a stream is read at once, and the smallest hole in a temporary file.
const PIECE: usize = 64 << 10;

/// How much of a stream is kept in memory: enough for the headers and notes of a usual dump. A multiple of [`PIECE`].
const HEAD: u64 = 1 << 20;

/// Where large temporary files belong: `/tmp` may be in memory.
const LARGE: &str = "/var/tmp";

/// The bytes of a dump.
#[derive(Debug)]
pub(in crate::capture) enum Input {
    /// A file of its own.
    File(File),
    /// What a file or a pipe has in compressed form, for example.
    Stream(Mutex<Spool<Box<dyn Read + Send>>>),
}

impl Input {
    /// Reads a stream when it is needed.
    pub fn lazy(stream: impl Read + Send + 'static) -> Input {
        Input::Stream(Mutex::new(Spool::new(Box::new(stream))))
    }

    /// Reads all of a stream now.
    pub fn whole(stream: impl Read) -> io::Result<Input> {
        let mut spool = Spool::new(stream);
        spool.advance(u64::MAX)?;
        let stream: Box<dyn Read + Send> = Box::new(io::empty());
        let Spool { head, rest, length, .. } = spool;
        Ok(Input::Stream(Mutex::new(Spool { stream, head, rest, length, end: Some(End::Sound) })))
    }

    /// Reads from `offset` on until the buffer is full or the dump ends.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Input::File(file) => read_at(file, buffer, offset),
            Input::Stream(spool) => lock(spool).read_at(buffer, offset),
        }
    }

    /// How many of the `size` bytes at `offset` there are.
    pub fn room(&self, offset: u64, size: u64) -> io::Result<u64> {
        if let Input::Stream(spool) = self {
            lock(spool).advance(offset.saturating_add(size))?;
        }
        Ok(self.length()?.saturating_sub(offset).min(size))
    }

    /// How long the dump is; [`u64::MAX`] if that is not known yet.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Input::File(file) => Ok(file.metadata()?.len()),
            Input::Stream(spool) => {
                let spool = lock(spool);
                Ok(if spool.end.is_some() { spool.length } else { u64::MAX })
            }
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&File> {
        match self {
            Input::File(file) => Some(file),
            Input::Stream(_) => None,
        }
    }

    /// Why a stream ended before `needed` bytes, if that is known.
    pub fn lack(&self, needed: u64) -> Option<String> {
        let Input::Stream(spool) = self else { return None };
        let spool = lock(spool);
        match &spool.end {
            Some(End::Damaged(error)) => Some(format!("it can't be unpacked any further: {error}")),
            Some(End::Sound) if spool.length < needed => Some("it is cut".to_owned()),
            _ => None,
        }
    }
}

fn lock<R>(spool: &Mutex<Spool<R>>) -> MutexGuard<'_, Spool<R>> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream, and what of it has been read: its beginning in memory, the rest in a temporary file with holes for zeros.
pub(in crate::capture) struct Spool<R> {
    stream: R,
    head: Vec<u8>,
    rest: Option<File>,
    /// How much has been read.
    length: u64,
    /// Whether it has ended, and how.
    end: Option<End>,
}

/// How a stream ended.
#[derive(Debug)]
enum End {
    Sound,
    Damaged(String),
}

impl<R> fmt::Debug for Spool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("length", &self.length).field("end", &self.end).finish_non_exhaustive()
    }
}

impl<R: Read> Spool<R> {
    fn new(stream: R) -> Spool<R> {
        Spool { stream, head: Vec::new(), rest: None, length: 0, end: None }
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.advance(offset.saturating_add(buffer.len() as u64))?;
        let from_head =
            usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..)).unwrap_or_default();
        let mut done = from_head.len().min(buffer.len());
        buffer[..done].copy_from_slice(&from_head[..done]);
        let room =
            usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        if let Some(rest) = self.rest.as_ref().filter(|_| done < room) {
            done += read_at(rest, &mut buffer[done..room], offset + done as u64)?;
        }
        Ok(done)
    }

    /// Reads the stream up to the offset `needed`, or to its end.
    fn advance(&mut self, needed: u64) -> io::Result<()> {
        let mut piece = Vec::new();
        while self.length < needed {
            match &self.end {
                None => {}
                Some(End::Sound) => break,
                Some(End::Damaged(error)) => return Err(io::Error::other(error.clone())),
            }
            piece.resize(PIECE, 0);
            let result = self.next(&mut piece);
            if let Err(error) = &result {
                self.end = Some(End::Damaged(error.to_string()));
            }
            result?;
        }
        Ok(())
    }

    /// Reads the next piece of the stream.
    fn next(&mut self, piece: &mut [u8]) -> io::Result<()> {
        let read = fill(&mut self.stream, piece)?;
        let is_last = read < piece.len();
        let piece = &piece[..read];
        if self.length < HEAD {
            self.head.extend_from_slice(piece);
        } else if !piece.is_empty() {
            self.keep(piece).map_err(|error| io::Error::new(error.kind(), Unkept(error)))?;
        }
        self.length += read as u64;
        if is_last {
            self.end = Some(End::Sound);
        }
        Ok(())
    }

    /// Writes a piece to the temporary file.
    fn keep(&mut self, piece: &[u8]) -> io::Result<()> {
        let file = match &mut self.rest {
            Some(file) => file,
            rest => rest.insert(create()?),
        };
        let end = self.length + piece.len() as u64;
        if piece.iter().all(|byte| *byte == 0) {
            return file.set_len(end);
        }
        io::Seek::seek(file, io::SeekFrom::Start(self.length))?;
        file.write_all(piece)
    }
}

/// A temporary file could not be written.
#[derive(Debug)]
struct Unkept(io::Error);

impl fmt::Display for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to write a temporary file in `{}`: {}", directory().display(), self.0)
    }
}

impl std::error::Error for Unkept {}

/// Whether the fault is not that of the stream.
pub(in crate::capture) fn is_unkept(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Unkept>())
}

/// Where temporary files go.
fn directory() -> PathBuf {
    let is_chosen = std::env::var_os("TMPDIR").is_some();
    let large = Path::new(LARGE);
    if !is_chosen && large.is_dir() { large.to_owned() } else { std::env::temp_dir() }
}

/// Creates a file that only this process has: its name is gone at once.
fn create() -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        // Every hasher has random keys.
        let name = RandomState::new().hash_one(std::process::id());
        let path = directory().join(format!(".mmview-{name:016x}"));
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

/// Reads from `offset` on until the buffer is full or the file ends. The place of the file does not matter.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        // The system knows no places beyond that, and no file has one.
        let Some(at) = offset.checked_add(done as u64).filter(|at| i64::try_from(*at).is_ok()) else { break };
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, &mut buffer[done..], at);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, &mut buffer[done..], at);
        match read {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A stream of the numbers of its words, or of zeros in every second piece, that counts what was read.
    struct Numbers {
        at: u64,
        end: u64,
        read: Arc<AtomicU64>,
    }

    fn byte(at: u64) -> u8 {
        if (at / PIECE as u64) % 2 == 1 { 0 } else { (at / 8).to_le_bytes()[(at % 8) as usize] }
    }

    impl Read for Numbers {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = (self.end - self.at).min(buffer.len() as u64).min(10_007);
            for (place, byte_) in buffer[..count as usize].iter_mut().enumerate() {
                *byte_ = byte(self.at + place as u64);
            }
            self.at += count;
            self.read.fetch_add(count, Ordering::Relaxed);
            Ok(count as usize)
        }
    }

    fn numbers(end: u64) -> (Numbers, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        (Numbers { at: 0, end, read: Arc::clone(&read) }, read)
    }

    #[track_caller]
    fn assert_bytes(input: &Input, offset: u64, size: usize, expected: usize) {
        let mut buffer = vec![0xaa; size];
        assert_eq!(input.read_at(&mut buffer, offset).unwrap(), expected, "{size} bytes at {offset}");
        assert!((offset..).zip(&buffer[..expected]).all(|(at, found)| *found == byte(at)));
    }

    #[test]
    fn a_stream_is_read_as_far_as_needed() {
        let end = HEAD + 5 * PIECE as u64 + 123;
        let (stream, read) = numbers(end);
        let input = Input::lazy(stream);
        assert_bytes(&input, 100, 64, 64);
        assert_eq!((read.load(Ordering::Relaxed), input.length().unwrap()), (PIECE as u64, u64::MAX));
        assert_bytes(&input, HEAD - 50, 100, 100);
        assert_bytes(&input, HEAD + 3, 3 * PIECE, 3 * PIECE);
        assert!(read.load(Ordering::Relaxed) < end);
        assert_eq!(input.room(end - 10, 100).unwrap(), 10);
        assert_bytes(&input, end - 10, 100, 10);
        assert_bytes(&input, end, 1, 0);
        assert_bytes(&input, u64::MAX - 3, 100, 0);
        assert_eq!(input.length().unwrap(), end);
        assert_bytes(&input, 0, end as usize + 1, end as usize);
        assert_eq!((input.lack(end), input.lack(end + 1)), (None, Some("it is cut".to_owned())));
    }

    #[test]
    fn a_stream_that_was_read_as_a_whole_is_the_same() {
        for end in [0, 10, HEAD, HEAD + 1, HEAD + 2 * PIECE as u64] {
            let input = Input::whole(numbers(end).0).unwrap();
            assert_eq!(input.length().unwrap(), end);
            assert_bytes(&input, 0, end as usize + 7, end as usize);
        }
    }

    #[test]
    fn a_stream_is_readable_up_to_its_damage() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad checksum"))
            }
        }
        let input = Input::lazy(numbers(2 * PIECE as u64).0.chain(Broken));
        assert_bytes(&input, 10, 100, 100);
        assert_eq!(input.lack(u64::MAX), None);
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let error = input.read_at(&mut buffer, 2 * PIECE as u64).unwrap_err();
            assert_eq!((error.to_string(), is_unkept(&error)), ("bad checksum".to_owned(), false));
        }
        assert_bytes(&input, 10, PIECE, PIECE);
        assert_eq!(input.lack(0).as_deref(), Some("it can't be unpacked any further: bad checksum"));
        assert!(Input::whole(Broken).is_err());
    }
}
