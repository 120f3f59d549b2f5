//! Decodes a text: UTF-16, byte order marks, and lines that end with a carriage return only.

use std::io::{self, Cursor, Read};

use super::Marks;
use super::utf16::{Order, Utf16};
use crate::linux::maps::MapsLine;

/// How many bytes are used to recognize the encoding: enough for a line with a very long path.
const LOOKED_AT: u64 = 64 << 10;

/// A text whose lines end with a newline, in bytes that contain ASCII.
pub(super) struct Decoded<'a> {
    pub text: Box<dyn Read + 'a>,
    /// What was taken off.
    pub marks: Marks,
    /// Whether it is no text.
    pub is_binary: bool,
}

/// Decodes a text. The bytes of names are left alone, unless the text is in UTF-16.
pub(super) fn decode<'a>(mut input: impl Read + 'a) -> io::Result<Decoded<'a>> {
    let mut marks = Marks::default();
    let mut start = Vec::new();
    input.by_ref().take(LOOKED_AT).read_to_end(&mut start)?;
    let mut text: Box<dyn Read + 'a>;
    if let Some(order) = utf_16(&start) {
        marks.encoding = Some(if order == Order::LittleEndian { "UTF-16LE" } else { "UTF-16BE" });
        text = Box::new(Utf16::new(Cursor::new(start).chain(input), order));
        start = Vec::new();
        text.by_ref().take(LOOKED_AT).read_to_end(&mut start)?;
    } else {
        if start.starts_with(b"\xef\xbb\xbf") {
            marks.byte_order_mark = true;
            start.drain(..3);
        }
        text = Box::new(input);
    }
    let is_binary = start.contains(&0);
    let has_lone_returns = ends_lines_with_returns(&start);
    text = Box::new(Cursor::new(start).chain(text));
    if has_lone_returns {
        marks.carriage_returns = true;
        text = Box::new(Returns(text));
    }
    Ok(Decoded { text, marks, is_binary })
}

/// UTF-16, by its byte order mark or by the zeros of ASCII characters.
fn utf_16(start: &[u8]) -> Option<Order> {
    match start {
        [0xff, 0xfe, ..] => return Some(Order::LittleEndian),
        [0xfe, 0xff, ..] => return Some(Order::BigEndian),
        _ => {}
    }
    let units = || start.as_chunks::<2>().0.iter().take(32);
    if units().len() < 8 {
        return None;
    }
    let are_ascii = |zero: usize| units().all(|unit| unit[zero] == 0 && unit[1 - zero] != 0);
    match () {
        () if are_ascii(1) => Some(Order::LittleEndian),
        () if are_ascii(0) => Some(Order::BigEndian),
        () => None,
    }
}

/// Whether rows follow carriage returns without a newline, as old programs of Macs write them.
fn ends_lines_with_returns(start: &[u8]) -> bool {
    let mut pieces = start.split(|byte| *byte == b'\r');
    pieces.next();
    pieces.any(MapsLine::is_start)
}

/// A text with newlines for carriage returns.
struct Returns<R>(R);

impl<R: Read> Read for Returns<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        into[..read].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "1000-2000 r--p 0 00:00 0\n2000-3000 r--p 0 00:00 0\n";

    fn decoded(bytes: &[u8]) -> (String, Marks) {
        let mut decoded = decode(bytes).unwrap();
        let mut text = String::new();
        decoded.text.read_to_string(&mut text).unwrap();
        assert!(!decoded.is_binary);
        (text, decoded.marks)
    }

    #[test]
    fn utf_16_is_recognized_with_and_without_a_mark() {
        let units = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{ROWS}").encode_utf16().flat_map(order).collect()
        };
        for mark in ["\u{feff}", ""] {
            for (bytes, encoding) in
                [(units(u16::to_le_bytes, mark), "UTF-16LE"), (units(u16::to_be_bytes, mark), "UTF-16BE")]
            {
                let (text, marks) = decoded(&bytes);
                assert_eq!((text.as_str(), marks.encoding), (ROWS, Some(encoding)));
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let (text, marks) = decoded(format!("\u{feff}{ROWS}").as_bytes());
        assert_eq!(text, ROWS);
        assert!(marks.byte_order_mark);
    }

    #[test]
    fn carriage_returns_end_lines_only_where_rows_follow_them() {
        assert_eq!(decoded(ROWS.replace('\n', "\r").as_bytes()).0, ROWS);
        let path = "1000-2000 r--p 0 08:01 7 /tmp/a\rb\n";
        assert_eq!(decoded(path.as_bytes()).0, path);
    }

    #[test]
    fn other_bytes_stay() {
        let mut text = Vec::new();
        let bytes = b"1000-2000 r--p 0 08:01 7 /tmp/\xff\xfe\n";
        decode(&bytes[..]).unwrap().text.read_to_end(&mut text).unwrap();
        assert_eq!(text, bytes);
        assert!(decode(&b"\x7fELF\0\0"[..]).unwrap().is_binary);
    }
}
