//! A file mapped as most programs map one.

use std::fs::File;

use memmap2::MmapMut;

use super::{failed, sys};
use crate::error::Result;
use crate::model::Bytes;

/// A whole file, mapped shared for reading and writing: `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)`. It is
/// unmapped on drop.
///
/// Bytes are copied in and out one at a time, so that a file that shrinks meanwhile can raise `SIGBUS` but nothing worse.
#[derive(Debug)]
pub struct MappedFile(MmapMut);

impl MappedFile {
    /// Maps a file that is open for reading and writing.
    ///
    /// # Errors
    ///
    /// [`Error::Call`](crate::Error::Call); `EINVAL` for an empty file.
    pub fn open(file: &File) -> Result<MappedFile> {
        sys::map_file(file).map(MappedFile).map_err(failed("mmap"))
    }

    /// Its first address.
    pub fn address(&self) -> u64 {
        self.0.as_ptr().addr() as u64
    }

    /// The length of the file when it was mapped.
    pub fn size(&self) -> Bytes {
        Bytes(self.0.len() as u64)
    }

    /// Loads the byte at `offset`.
    ///
    /// # Panics
    ///
    /// The offset lies outside the mapping.
    pub fn read(&self, offset: usize) -> u8 {
        sys::load(&self.0[offset])
    }

    /// Stores a byte at `offset`.
    ///
    /// # Panics
    ///
    /// The offset lies outside the mapping.
    pub fn write(&mut self, offset: usize, byte: u8) {
        sys::store(&mut self.0[offset], byte);
    }

    /// Writes modified pages to the file and waits for the disk (`msync` with `MS_SYNC`).
    ///
    /// # Errors
    ///
    /// [`Error::Call`](crate::Error::Call).
    pub fn flush(&self) -> Result<()> {
        self.0.flush().map_err(failed("msync"))
    }
}
