//! Reading on while what was read is being understood.
//!
//! The kernel makes the text of `smaps` as it is read and that takes longer than everything that is done with it, so a second
//! thread does nothing else. Only for long texts: a thread costs more than a short one saves.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// From here on a second thread reads: the smaps of some 1,500 regions.
const FROM: usize = 1 << 20;

/// How much is handed over at once.
const CHUNK: usize = 64 << 10;

/// How many chunks may wait.
const CHUNKS: usize = 16;

/// A file that is read by a second thread once it shows to be long.
pub(super) struct ReadAhead {
    file: File,
    read: usize,
    chunks: Option<Receiver<io::Result<Vec<u8>>>>,
    chunk: Vec<u8>,
    /// How much of the chunk has been handed out.
    used: usize,
}

impl ReadAhead {
    pub fn new(file: File) -> ReadAhead {
        ReadAhead { file, read: 0, chunks: None, chunk: Vec::new(), used: 0 }
    }

    /// Has a second thread read on. Where there can be none, nothing changes.
    fn start(&mut self) {
        self.read = 0;
        let Ok(mut file) = self.file.try_clone() else { return };
        let (sender, chunks) = sync_channel(CHUNKS);
        let reader = move || {
            loop {
                let chunk = read_chunk(&mut file);
                let is_end = chunk.as_ref().map_or(true, Vec::is_empty);
                // Nobody listens any more where a look-up found what it looked for.
                if sender.send(chunk).is_err() || is_end {
                    return;
                }
            }
        };
        if thread::Builder::new().name("read-ahead".to_owned()).spawn(reader).is_ok() {
            self.chunks = Some(chunks);
        }
    }
}

/// The next part of the text, empty at its end. What an error comes after is handed over first, and the error told next.
fn read_chunk(file: &mut File) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    let mut length = 0;
    while length < CHUNK {
        match file.read(&mut chunk[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if length > 0 => break,
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(length);
    Ok(chunk)
}

impl Read for ReadAhead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(chunks) = &self.chunks else {
            let read = self.file.read(into)?;
            self.read += read;
            if self.read >= FROM {
                self.start();
            }
            return Ok(read);
        };
        if self.used == self.chunk.len() {
            self.chunk = match chunks.recv() {
                Ok(chunk) => chunk?,
                Err(_) => return Ok(0),
            };
            self.used = 0;
        }
        let length = into.len().min(self.chunk.len() - self.used);
        into[..length].copy_from_slice(&self.chunk[self.used..self.used + length]);
        self.used += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn text(length: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let path = std::env::temp_dir().join(format!("mmview-ahead-{}-{length}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        (file, bytes)
    }

    #[test]
    fn the_text_is_the_same_however_long() {
        for length in [0, 1, FROM - 1, FROM, FROM + 1, FROM + 3 * CHUNK, 2 * FROM + CHUNKS * CHUNK + 7] {
            let (file, bytes) = text(length);
            let mut read = Vec::new();
            ReadAhead::new(file).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{length} bytes come out as they went in");
        }
    }

    #[test]
    fn a_reader_that_is_left_midway_leaves_no_thread_waiting_for_it() {
        let (file, bytes) = text(FROM + 4 * CHUNKS * CHUNK);
        let mut ahead = ReadAhead::new(file);
        let mut into = vec![0; FROM + 1];
        ahead.read_exact(&mut into).unwrap();
        assert!(into[..] == bytes[..into.len()]);
        drop(ahead);
    }
}
