//! Decodes UTF-16 into UTF-8, as a stream.

use std::io::{self, Read};

/// How many bytes are decoded at once.
const CHUNK: u64 = 16 << 10;

/// A text in UTF-16 as UTF-8. What is no character becomes U+FFFD.
pub(super) struct Utf16<R> {
    input: R,
    order: Order,
    /// What was decoded, and how much of it was read.
    decoded: Vec<u8>,
    read: usize,
    /// Half a unit, and half a pair, at the end of the last chunk.
    half_unit: Option<u8>,
    half_pair: Option<u16>,
    is_at_start: bool,
}

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    LittleEndian,
    BigEndian,
}

impl<R: Read> Utf16<R> {
    pub fn new(input: R, order: Order) -> Utf16<R> {
        Utf16 {
            input,
            order,
            decoded: Vec::new(),
            read: 0,
            half_unit: None,
            half_pair: None,
            is_at_start: true,
        }
    }

    /// Decodes the next chunk. Leaves nothing decoded at the end.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes: Vec<u8> = self.half_unit.take().into_iter().collect();
        let is_end = self.input.by_ref().take(CHUNK).read_to_end(&mut bytes)? == 0;
        let (pairs, rest) = bytes.as_chunks::<2>();
        let unit = |pair: &[u8; 2]| match self.order {
            Order::LittleEndian => u16::from_le_bytes(*pair),
            Order::BigEndian => u16::from_be_bytes(*pair),
        };
        let mut units: Vec<u16> = self.half_pair.take().into_iter().chain(pairs.iter().map(unit)).collect();
        match rest {
            [half] if is_end => units.push(u16::from(*half) | 0xd800),
            [half] => self.half_unit = Some(*half),
            _ => {}
        }
        if !is_end && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            self.half_pair = units.pop();
        }
        if self.is_at_start && units.first() == Some(&0xfeff) {
            units.remove(0);
        }
        self.is_at_start &= units.is_empty();
        let characters = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        self.decoded = characters.collect::<String>().into_bytes();
        self.read = 0;
        // A chunk may be half a unit, half a pair, or the mark at the start.
        if self.decoded.is_empty() && !is_end { self.fill() } else { Ok(()) }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.decoded.len() {
            self.fill()?;
        }
        let rest = &self.decoded[self.read..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(into.len());
            self.0.read(&mut into[..length])
        }
    }

    fn decoded(bytes: &[u8], order: Order, step: usize) -> String {
        let mut text = String::new();
        Utf16::new(Dribble(bytes, step), order).read_to_string(&mut text).unwrap();
        text
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[^\u{feff}].{0,40}", step in 1..9usize, has_mark in any::<bool>()) {
            let marked = format!("{}{text}", if has_mark { "\u{feff}" } else { "" });
            let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
            prop_assert_eq!(decoded(&little, Order::LittleEndian, step), text.clone());
            prop_assert_eq!(decoded(&big, Order::BigEndian, step), text);
        }

        #[test]
        fn any_bytes_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            decoded(&bytes, Order::LittleEndian, 3);
        }
    }
}
