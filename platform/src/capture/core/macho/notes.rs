//! The notes of a Mac's core (`LC_NOTE`), as lldb writes them.

use std::io;

use serde::Deserialize;

use super::super::fields::Fields;
use super::super::{Input, incomplete};
use crate::model::{AddrRange, ByteOrder, Bytes, Image};
use crate::warning::Warning;

/// How many bytes of a note are read.
const LARGEST_NOTE: u64 = 16 << 20;

/// How many images and segments of an image are read.
const MOST_IMAGES: u32 = 1 << 14;
const MOST_SEGMENTS: u32 = 1 << 8;

/// `PATH_MAX` of macOS.
const LONGEST_PATH: usize = 1024;

/// What the notes say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The images, with segments of which only the start is known. `None` if there is no list.
    pub images: Option<Vec<Image>>,
    /// The IDs of the threads, in the order of their states.
    pub thread_ids: Vec<u64>,
    pub is_of_kernel: bool,
    pub doubts: Vec<Warning>,
}

impl Notes {
    /// Reads notes, each with its owner, its place and its size.
    pub fn read(input: &Input, notes: &[([u8; 16], u64, u64)]) -> io::Result<Notes> {
        let mut read = Notes::default();
        let mut is_of_kernel = false;
        let mut is_of_process = false;
        for (owner, offset, size) in notes {
            let owner = owner.split(|byte| *byte == 0).next().unwrap_or_default();
            match owner {
                b"all image infos" => match images(input, &content(input, *offset, *size)?)? {
                    Some(images) => read.images = Some(images),
                    None => read
                        .doubts
                        .push(incomplete("the core's list of images is broken: names may be missing")),
                },
                b"process metadata" => match serde_json::from_slice(&content(input, *offset, *size)?) {
                    Ok(Metadata { threads }) => {
                        read.thread_ids = threads.into_iter().filter_map(|thread| thread.thread_id).collect();
                    }
                    Err(_) => read.doubts.push(incomplete("the core's IDs of threads are broken")),
                },
                b"kern ver str" | b"load binary" => is_of_kernel = true,
                b"main bin spec" => {
                    const PROCESS: u32 = 2;
                    const UNKNOWN: u32 = 0;
                    let content = content(input, *offset, *size)?;
                    let kind = Fields { bytes: &content, order: ByteOrder::Little }.u32(4);
                    is_of_process |= kind == Some(PROCESS);
                    is_of_kernel |= !matches!(kind, None | Some(PROCESS | UNKNOWN));
                }
                _ => {}
            }
        }
        read.is_of_kernel = is_of_kernel && !is_of_process;
        Ok(read)
    }
}

/// The note `process metadata`.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    threads: Vec<ThreadMetadata>,
}

#[derive(Deserialize)]
struct ThreadMetadata {
    thread_id: Option<u64>,
}

fn content(input: &Input, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let there = input.room(offset, size.min(LARGEST_NOTE))?;
    let mut bytes = vec![0; there as usize];
    let read = input.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    // Text may end in zeros.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if bytes.first() == Some(&b'{') {
        bytes.truncate(end);
    }
    Ok(bytes)
}

/// The note `all image infos`.
fn images(input: &Input, note: &[u8]) -> io::Result<Option<Vec<Image>>> {
    const SMALLEST_ENTRY: u64 = 48;
    let note = Fields { bytes: note, order: ByteOrder::Little };
    let (Some(1), Some(count), Some(start), Some(size)) =
        (note.u32(0), note.u32(4), note.u64(8), note.u32(16))
    else {
        return Ok(None);
    };
    let size = u64::from(size);
    if size < SMALLEST_ENTRY || count > MOST_IMAGES {
        return Ok(None);
    }
    let bytes = content(input, start, u64::from(count) * size)?;
    let entries = bytes.chunks_exact(size as usize).map(|bytes| Fields { bytes, order: ByteOrder::Little });
    let images: Vec<Image> = entries.filter_map(|entry| image(input, entry)).collect();
    Ok((images.len() == count as usize).then_some(images))
}

/// An entry: the path, a UUID, the address, and the segments.
fn image(input: &Input, entry: Fields<'_>) -> Option<Image> {
    const NO_PATH: u64 = u64::MAX;
    const SEGMENT: u64 = 32;
    let (path_at, load_address) = (entry.u64(0)?, entry.u64(24)?);
    let (segments_at, count) = (entry.u64(32)?, entry.u32(40)?.min(MOST_SEGMENTS));
    let path =
        if path_at == NO_PATH { Vec::new() } else { content(input, path_at, LONGEST_PATH as u64).ok()? };
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    let bytes = content(input, segments_at, u64::from(count) * SEGMENT).ok()?;
    let segments = bytes.chunks_exact(SEGMENT as usize).filter_map(|bytes| {
        let fields = Fields { bytes, order: ByteOrder::Little };
        let name = String::from_utf8_lossy(fields.text(0, 16)?).into();
        Some((name, AddrRange::with_size(fields.u64(16)?, Bytes(1))?))
    });
    Some(Image { path: path.into(), load_address, segments: segments.collect() })
}
