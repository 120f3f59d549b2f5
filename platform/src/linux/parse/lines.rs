//! Text, line by line, without an allocation for each.

use std::io::{self, Read};

use memchr::memchr;

/// The kernel returns at most one page of text per `read`, so a larger buffer saves nothing on `/proc`.
const BUFFER: usize = 64 << 10;

/// Lines of any length, without their newline, in one buffer that grows for the longest.
pub(crate) struct Lines<R> {
    pub input: R,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    start: usize,
    end: usize,
    number: u64,
    /// A longer line is split.
    pub longest: usize,
    /// Whether the input ended without a newline.
    pub is_last_line_unfinished: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Lines<R> {
        Lines {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            number: 0,
            longest: usize::MAX,
            is_last_line_unfinished: false,
        }
    }

    /// The rest of the input after the last line.
    pub fn into_rest(mut self) -> impl Read
    where
        R: Read,
    {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start);
        io::Cursor::new(self.buffer).chain(self.input)
    }

    /// The next line and its number, counted from 1.
    pub fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut searched = self.start;
        let line_end = loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                break searched + at;
            }
            searched = self.end;
            if self.end - self.start >= self.longest {
                break self.end;
            }
            if self.end == self.buffer.len() {
                if self.start > 0 {
                    self.buffer.copy_within(self.start..self.end, 0);
                    self.end -= self.start;
                    searched -= self.start;
                    self.start = 0;
                } else {
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
            }
            let read = match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                if self.start == self.end {
                    return Ok(None);
                }
                self.is_last_line_unfinished = true;
                break self.end;
            }
            self.end += read;
        };
        let line_start = self.start;
        let has_newline = line_end < self.end;
        self.start = line_end + usize::from(has_newline);
        self.number += 1;
        Ok(Some((self.number, &self.buffer[line_start..line_end])))
    }
}
