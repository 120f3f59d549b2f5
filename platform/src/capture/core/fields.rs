//! Numbers and texts at places in a record.

use crate::model::ByteOrder;

/// The bytes of a record. What lies behind their end is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub bytes: &'a [u8],
    pub order: ByteOrder,
}

impl<'a> Fields<'a> {
    /// The `size` bytes at `offset`.
    pub fn part(self, offset: usize, size: usize) -> Option<Fields<'a>> {
        let bytes = self.bytes.get(offset..offset.checked_add(size)?)?;
        Some(Fields { bytes, ..self })
    }

    /// The number of `size` bytes, up to 8, at `offset`.
    pub fn number(self, offset: usize, size: usize) -> Option<u64> {
        self.part(offset, size).map(|part| self.order.number(part.bytes))
    }

    pub fn u16(self, offset: usize) -> Option<u16> {
        self.number(offset, 2)?.try_into().ok()
    }

    pub fn u32(self, offset: usize) -> Option<u32> {
        self.number(offset, 4)?.try_into().ok()
    }

    pub fn u64(self, offset: usize) -> Option<u64> {
        self.number(offset, 8)
    }

    /// The text of at most `size` bytes at `offset`, up to its zero.
    pub fn text(self, offset: usize, size: usize) -> Option<&'a [u8]> {
        self.part(offset, size)?.bytes.split(|byte| *byte == 0).next()
    }
}
