//! Text, line by line, without an allocation for each.

use std::io::{self, Read};

use memchr::memchr;

/// The kernel returns at most one page of text per `read`, so a larger buffer saves nothing on `/proc`.
const BUFFER: usize = 64 << 10;

/// Lines of any length, without their newline, in one buffer that grows for the longest.
pub(super) struct Lines<R> {
    pub input: R,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    start: usize,
    end: usize,
    /// The start of the last line.
    line_start: usize,
    number: u64,
    /// Whether a carriage return at the end of a line is left out.
    pub strip_carriage_returns: bool,
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
            line_start: 0,
            number: 0,
            strip_carriage_returns: false,
            is_last_line_unfinished: false,
        }
    }

    /// The next line and its number, counted from 1.
    pub fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut searched = self.start;
        let line_end = loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                break searched + at;
            }
            searched = self.end;
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
        self.line_start = self.start;
        self.start = (line_end + 1).min(self.end);
        self.number += 1;
        let mut line = &self.buffer[self.line_start..line_end];
        if self.strip_carriage_returns {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        Ok(Some((self.number, line)))
    }

    /// Makes the last line the next one again.
    pub fn put_back(&mut self) {
        self.start = self.line_start;
        self.number -= 1;
    }
}
