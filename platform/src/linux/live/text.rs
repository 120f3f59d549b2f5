//! How the text of `maps` and `smaps` is read: on demand, ahead of the parser, or in small steps.
//!
//! The kernel makes one page of text per `read`, however large the buffer. For `smaps` it holds the lock of the process's map
//! during that.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::model::Reading;

/// From this much text on, a thread reads ahead. A shorter text is read faster than a thread starts.
const LONG: usize = 256 << 10;

/// The size of the pieces that the thread sends, and how many of them may wait.
const PIECE: usize = 64 << 10;
const WAITING: usize = 4;

/// After a call a gentle reader sleeps this many times as long as the call took.
const REST: u32 = 4;

/// A source of text.
pub(super) enum Text {
    /// Reads on demand.
    AtOnce { file: File },
    /// Reads on demand, until the text turns out to be long.
    Starting { file: File, read: usize },
    /// A thread reads ahead.
    Ahead { pieces: Receiver<io::Result<Vec<u8>>>, piece: Vec<u8>, at: usize },
    /// Reads with pauses.
    Gently { file: File, reading: Reading },
}

impl Text {
    /// Reads `file`, ahead if it is long. For text that takes the kernel longer to make than this program to parse.
    pub fn new(file: File) -> Text {
        Text::Starting { file, read: 0 }
    }

    /// Reads `file` on demand.
    pub fn at_once(file: File) -> Text {
        Text::AtOnce { file }
    }

    /// Whether the text is cheap enough to read and parse on one thread.
    pub fn is_cheap_to_parse(&self) -> bool {
        matches!(self, Text::AtOnce { .. })
    }

    /// Reads `file` with pauses, and records how long the calls take.
    pub fn gently(file: File, method: &'static str, budget: Duration) -> Text {
        Text::Gently { file, reading: Reading { budget: Some(budget), ..Reading::new(method) } }
    }

    /// What was recorded.
    pub fn reading(&self) -> Option<Reading> {
        match self {
            Text::Gently { reading, .. } => Some(*reading),
            _ => None,
        }
    }

    fn run_ahead(&mut self) -> io::Result<()> {
        let Text::Starting { file, .. } = self else { return Ok(()) };
        let mut file = file.try_clone()?;
        let (sender, pieces) = mpsc::sync_channel(WAITING);
        std::thread::Builder::new().name("read ahead".to_owned()).spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
                let is_end = piece.is_empty();
                // The reader may be gone; then no one needs the rest.
                let is_over = match read {
                    Ok(_) => sender.send(Ok(piece)).is_err() || is_end,
                    Err(error) => {
                        let _ = sender.send(Ok(piece));
                        let _ = sender.send(Err(error));
                        true
                    }
                };
                if is_over {
                    break;
                }
            }
        })?;
        *self = Text::Ahead { pieces, piece: Vec::new(), at: 0 };
        Ok(())
    }
}

impl Read for Text {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Text::Starting { read: LONG.., .. } = self {
            self.run_ahead()?;
        }
        match self {
            Text::AtOnce { file } => file.read(into),
            Text::Starting { file, read } => {
                let got = file.read(into)?;
                *read += got;
                Ok(got)
            }
            Text::Ahead { pieces, piece, at } => {
                if *at == piece.len() {
                    // A thread that is gone has sent its last piece, or the error that ended it.
                    *piece = pieces.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
                    *at = 0;
                }
                let got = into.len().min(piece.len() - *at);
                into[..got].copy_from_slice(&piece[*at..*at + got]);
                *at += got;
                Ok(got)
            }
            Text::Gently { file, reading } => {
                let started = Instant::now();
                let got = file.read(into)?;
                let took = started.elapsed();
                reading.calls += 1;
                reading.add(took);
                let rest = took * REST;
                if got > 0 {
                    std::thread::sleep(rest);
                    reading.slept += rest;
                }
                Ok(got)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(text: &[u8]) -> File {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file.reopen().unwrap()
    }

    #[test]
    fn however_it_is_read_the_text_is_the_same() {
        let text: Vec<u8> = (0..LONG * 3).map(|index| (index % 251) as u8).collect();
        for mut reader in
            [Text::new(file_of(&text)), Text::gently(file_of(&text), "smaps", Duration::from_millis(1))]
        {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == text);
        }
    }

    #[test]
    fn a_reader_that_stops_early_leaves_no_thread_behind() {
        let mut reader = Text::new(file_of(&vec![b'x'; LONG * 8]));
        let mut some = vec![0; LONG * 2];
        reader.read_exact(&mut some).unwrap();
        // The first read may return all of that. The decision to read ahead comes with the next one.
        reader.read_exact(&mut some[..1]).unwrap();
        assert!(matches!(reader, Text::Ahead { .. }));
    }
}
