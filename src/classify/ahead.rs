//! Looking ahead in a stream of regions.

use std::collections::VecDeque;

use mmview_platform::{Error, Region, Result};

/// A stream of regions. The rules read as far ahead as they need.
pub(super) struct Ahead<I> {
    input: I,
    read: VecDeque<Region>,
    /// How the input ended, and whether with an error. The error comes after the regions that were read before it.
    end: Option<Option<Error>>,
}

impl<I: Iterator<Item = Result<Region>>> Ahead<I> {
    pub fn new(input: I) -> Ahead<I> {
        Ahead { input, read: VecDeque::new(), end: None }
    }

    /// Returns the region `index` places after the next one, from 0.
    pub fn peek(&mut self, index: usize) -> Option<&Region> {
        while self.read.len() <= index && self.end.is_none() {
            match self.input.next() {
                Some(Ok(region)) => self.read.push_back(region),
                Some(Err(error)) => self.end = Some(Some(error)),
                None => self.end = Some(None),
            }
        }
        self.read.get(index)
    }
}

impl<I: Iterator<Item = Result<Region>>> Iterator for Ahead<I> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Result<Region>> {
        if self.peek(0).is_none() {
            return self.end.as_mut().and_then(Option::take).map(Err);
        }
        self.read.pop_front().map(Ok)
    }
}
