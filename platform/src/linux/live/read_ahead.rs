//! Reads regions ahead of the consumer.
//!
//! The kernel takes about as long to make the text of `maps` as this program takes to parse and draw it, so a thread reads
//! and parses long ones. (Making the text of `smaps` takes the kernel far longer than parsing it: there a thread only reads,
//! see [`Text`].)

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::vec;

use super::text::Text;
use crate::linux::parse::smaps::{ReadRegion, SmapsReader};
use crate::model::Reading;
use crate::warning::Warning;

/// From this many regions on, a thread reads ahead.
const MANY: usize = 1024;

/// The size of the batches that the thread sends, and how many of them may wait.
const BATCH: usize = 256;
const WAITING: usize = 8;

/// Streams regions, read by this thread or another.
pub(super) enum Reader {
    /// By this one, with the number of regions so far.
    Here { reader: Box<SmapsReader<Text>>, read: usize },
    /// By another one.
    Ahead { batches: Receiver<Batch>, batch: vec::IntoIter<ReadRegion>, warnings: Vec<Warning> },
}

pub(super) enum Batch {
    Regions(Vec<ReadRegion>),
    /// How the text ended, and the warnings about it.
    End(io::Result<()>, Vec<Warning>),
}

impl Reader {
    pub fn new(text: Text) -> Reader {
        Reader::Here { reader: Box::new(SmapsReader::new(text)), read: 0 }
    }

    /// A reader without regions.
    fn ended() -> Reader {
        let (_, batches) = mpsc::sync_channel(0);
        Reader::Ahead { batches, batch: Vec::new().into_iter(), warnings: Vec::new() }
    }

    pub fn next_region(&mut self) -> io::Result<Option<ReadRegion>> {
        let are_many =
            matches!(self, Reader::Here { reader, read: MANY } if reader.input().is_cheap_to_parse());
        if are_many && let Reader::Here { reader, .. } = std::mem::replace(self, Reader::ended()) {
            *self = run_ahead(reader)?;
        }
        match self {
            Reader::Here { reader, read } => {
                *read += 1;
                reader.next_region()
            }
            Reader::Ahead { batches, batch, warnings } => loop {
                if let Some(region) = batch.next() {
                    return Ok(Some(region));
                }
                match batches.recv() {
                    Ok(Batch::Regions(regions)) => *batch = regions.into_iter(),
                    Ok(Batch::End(result, found)) => {
                        *warnings = found;
                        return result.map(|()| None);
                    }
                    // The thread has already sent the end.
                    Err(_) => return Ok(None),
                }
            },
        }
    }

    /// The warnings about the text, complete once it has been read to its end.
    pub fn warnings(&self) -> Vec<Warning> {
        match self {
            Reader::Here { reader, .. } => reader.warnings(),
            Reader::Ahead { warnings, .. } => warnings.clone(),
        }
    }

    /// How the text was read, if that was recorded.
    pub fn reading(&self) -> Option<Reading> {
        match self {
            Reader::Here { reader, .. } => reader.input().reading(),
            Reader::Ahead { .. } => None,
        }
    }
}

fn run_ahead(mut reader: Box<SmapsReader<Text>>) -> io::Result<Reader> {
    let (sender, batches) = mpsc::sync_channel(WAITING);
    std::thread::Builder::new().name("parse ahead".to_owned()).spawn(move || {
        let result = loop {
            let mut batch = Vec::with_capacity(BATCH);
            let result = loop {
                match reader.next_region() {
                    Ok(Some(region)) => batch.push(region),
                    Ok(None) => break Some(Ok(())),
                    Err(error) => break Some(Err(error)),
                }
                if batch.len() == BATCH {
                    break None;
                }
            };
            // The receiver may be gone; then no one needs the rest.
            if sender.send(Batch::Regions(batch)).is_err() {
                return;
            }
            if let Some(result) = result {
                break result;
            }
        };
        let _ = sender.send(Batch::End(result, reader.warnings()));
    })?;
    Ok(Reader::Ahead { batches, batch: Vec::new().into_iter(), warnings: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::io::Write as _;

    fn text_of(regions: usize) -> String {
        let mut text = String::new();
        for index in 0..regions {
            writeln!(text, "{:x}-{:x} rw-p 00000000 00:00 0 ", index << 12, (index + 1) << 12).unwrap();
        }
        text + "this is no region\n"
    }

    fn reader(text: &str) -> Reader {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Reader::new(Text::at_once(file.reopen().unwrap()))
    }

    #[test]
    fn few_or_many_every_region_comes_in_order() {
        for count in [0, 1, MANY - 1, MANY, MANY + 1, MANY + BATCH, MANY * 5 + 7] {
            let mut reader = reader(&text_of(count));
            let mut starts = Vec::new();
            while let Some(read) = reader.next_region().unwrap() {
                starts.push(read.region.range.start() >> 12);
            }
            assert!(starts.into_iter().eq(0..count as u64), "{count}");
            assert_eq!(reader.warnings().len(), 1, "{count}");
            assert!(reader.next_region().unwrap().is_none());
        }
    }

    #[test]
    fn stopping_early_leaves_no_thread_behind() {
        let mut reader = reader(&text_of(MANY * 8));
        for _ in 0..MANY + 1 {
            reader.next_region().unwrap().unwrap();
        }
        assert!(matches!(reader, Reader::Ahead { .. }));
    }
}
