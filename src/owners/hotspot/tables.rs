//! The tables that libjvm exports for debuggers: the types of the VM, their fields, and constants
//! (`src/hotspot/share/runtime/vmStructs.hpp`). They also describe themselves: the place of each column is a symbol.

use std::borrow::Cow;
use std::collections::HashMap;

use mmview_platform::Result;

use super::{Fault, Read};
use crate::owners::images::Image;
use crate::owners::target::Target;

/// The symbol of the table of fields. An image that exports it is HotSpot.
pub(super) const FIELDS: &str = "gHotSpotVMStructs";

/// How many rows of a table are read. Real ones have up to 850.
const MOST_ROWS: u64 = 4096;

/// The largest row. Real ones have 16 to 48 bytes.
const LARGEST_ROW: u64 = 256;

/// The longest name, and how much of the file all names may span. Real ones span 800 KiB.
const LONGEST_NAME: usize = 128;
const LARGEST_SPAN: u64 = 16 << 20;

/// The largest object that is read. That of ZGC has 16,000 bytes.
const LARGEST_OBJECT: u64 = 64 << 10;

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The address of a variable.
    Static(u64),
    /// The offset in an object.
    Member(u64),
}

/// The tables, by name. A field has the name `Type::field`.
pub(super) struct Tables {
    fields: HashMap<Box<str>, Field>,
    sizes: HashMap<Box<str>, u64>,
    constants: HashMap<Box<str>, u64>,
    pub names: Names,
}

impl Tables {
    /// Reads the rows from memory, and the names from the file.
    pub fn read(target: &Target<'_>, image: &Image) -> Read<Tables> {
        let fields = Rows::read(target, image, FIELDS, "gHotSpotVMStructEntryArrayStride")?;
        let types = Rows::read(target, image, "gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride")?;
        let numbers =
            Rows::read(target, image, "gHotSpotVMIntConstants", "gHotSpotVMIntConstantEntryArrayStride")?;
        let field_type = number(target, image, "gHotSpotVMStructEntryTypeNameOffset")?;
        let field_name = number(target, image, "gHotSpotVMStructEntryFieldNameOffset")?;
        let is_static = number(target, image, "gHotSpotVMStructEntryIsStaticOffset")?;
        let offset = number(target, image, "gHotSpotVMStructEntryOffsetOffset")?;
        let address = number(target, image, "gHotSpotVMStructEntryAddressOffset")?;
        let type_name = number(target, image, "gHotSpotVMTypeEntryTypeNameOffset")?;
        let type_size = number(target, image, "gHotSpotVMTypeEntrySizeOffset")?;
        let number_name = number(target, image, "gHotSpotVMIntConstantEntryNameOffset")?;
        let value = number(target, image, "gHotSpotVMIntConstantEntryValueOffset")?;

        let names =
            [(&fields, field_type), (&fields, field_name), (&types, type_name), (&numbers, number_name)];
        let pointers = names.into_iter().flat_map(|(rows, column)| rows.words(target, column));
        let names = Names::read(image, pointers)?;
        let mut tables =
            Tables { fields: HashMap::new(), sizes: HashMap::new(), constants: HashMap::new(), names };
        for row in fields.until_empty(target, field_type) {
            let word = |column| target.word_in(row, column);
            let name = |column| tables.names.get(word(column)?);
            let (Some(of), Some(field)) = (name(field_type), name(field_name)) else { continue };
            let place = match target.u32_in(row, is_static) {
                Some(0) => target.u64_in(row, offset).map(Field::Member),
                _ => word(address).map(Field::Static),
            };
            let Some(place) = place else { continue };
            tables.fields.insert(format!("{of}::{field}").into(), place);
        }
        for row in types.until_empty(target, type_name) {
            let name = target.word_in(row, type_name).and_then(|name| tables.names.get(name));
            if let (Some(name), Some(size)) = (name, target.u64_in(row, type_size)) {
                tables.sizes.insert(name.into(), size);
            }
        }
        for row in numbers.until_empty(target, number_name) {
            let name = target.word_in(row, number_name).and_then(|name| tables.names.get(name));
            if let (Some(name), Some(value)) = (name, target.u32_in(row, value)) {
                tables.constants.insert(name.into(), value.into());
            }
        }
        Ok(tables)
    }

    /// Whether the version has a field.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The offset of the first of these fields that the version has: they were renamed.
    pub fn offset(&self, names: &[&str]) -> Read<u64> {
        let find = |name: &str| match self.fields.get(name) {
            Some(Field::Member(offset)) => Some(*offset),
            _ => None,
        };
        let found = names.iter().find_map(|name| Some((*name, find(name)?)));
        let (name, offset) = found.ok_or(Fault::Absent)?;
        let of = name.rsplit_once("::").map_or(name, |(of, _)| of);
        let most = self.sizes.get(of).copied().unwrap_or(LARGEST_OBJECT).min(LARGEST_OBJECT);
        if offset < most { Ok(offset) } else { Err(Fault::Absent) }
    }

    /// The address of the first of these variables that the version has.
    pub fn variable(&self, names: &[&str]) -> Read<u64> {
        let find = |name: &&str| match self.fields.get(*name) {
            Some(Field::Static(address)) => Some(*address),
            _ => None,
        };
        names.iter().find_map(find).ok_or(Fault::Absent)
    }

    /// The size of the first of these types that the version has.
    pub fn size(&self, types: &[&str]) -> Read<u64> {
        let size = types.iter().find_map(|name| self.sizes.get(*name)).copied();
        size.filter(|size| (1..=LARGEST_OBJECT).contains(size)).ok_or(Fault::Absent)
    }

    /// The first of these constants that the version has.
    pub fn constant(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.constants.get(*name)).copied()
    }
}

/// A number that describes a table. The VM sets it when it is loaded.
fn number(target: &Target<'_>, image: &Image, symbol: &str) -> Read<u64> {
    let address = image.loaded(image.elf.export(symbol).ok_or(Fault::Absent)?);
    target.u64_in(&target.bytes(address, 8)?, 0).ok_or(Fault::Absent)
}

/// The rows of a table.
struct Rows {
    bytes: Vec<u8>,
    size: usize,
}

impl Rows {
    fn read(target: &Target<'_>, image: &Image, table: &str, stride: &str) -> Read<Rows> {
        let size = number(target, image, stride)?;
        if !(1..=LARGEST_ROW).contains(&size) {
            return Err(Fault::Absent);
        }
        let variable = image.loaded(image.elf.export(table).ok_or(Fault::Absent)?);
        let start = target.bytes(variable, target.word as usize)?;
        let start = target.word_in(&start, 0).ok_or(Fault::Absent)?;
        let region = target.region_at(start).filter(|_| target.is_writable(start)).ok_or(Fault::Absent)?;
        let room = (region.range.end() - start).min(MOST_ROWS * size);
        Ok(Rows { bytes: target.bytes(start, room as usize)?, size: size as usize })
    }

    /// The rows up to the one without a name.
    fn until_empty(&self, target: &Target<'_>, name: u64) -> impl Iterator<Item = &[u8]> {
        let has_name = move |row: &&[u8]| target.word_in(row, name).is_some_and(|name| name != 0);
        self.bytes.chunks_exact(self.size).take_while(has_name)
    }

    /// A column of them.
    fn words(&self, target: &Target<'_>, column: u64) -> Vec<u64> {
        self.until_empty(target, column).filter_map(|row| target.word_in(row, column)).collect()
    }
}

/// The part of the file that has the names.
#[derive(Clone)]
pub(super) struct Names {
    start: u64,
    bytes: Vec<u8>,
}

impl Names {
    /// These, or more if some of `pointers` lead elsewhere.
    pub fn extended(
        &self,
        image: &Image,
        pointers: impl Iterator<Item = u64> + Clone,
    ) -> Read<Cow<'_, Names>> {
        match pointers.clone().all(|pointer| self.get(pointer).is_some()) {
            true => Ok(Cow::Borrowed(self)),
            false => Names::read(image, pointers).map(Cow::Owned),
        }
    }

    /// Reads at once what spans the strings at `pointers`.
    pub fn read(image: &Image, pointers: impl Iterator<Item = u64>) -> Read<Names> {
        let bounds = pointers.fold(None, |bounds: Option<(u64, u64)>, pointer| {
            let (low, high) = bounds.unwrap_or((pointer, pointer));
            Some((low.min(pointer), high.max(pointer)))
        });
        let (start, last) = bounds.filter(|(low, high)| high - low <= LARGEST_SPAN).ok_or(Fault::Absent)?;
        let mut bytes = vec![0; (last - start) as usize + LONGEST_NAME];
        image.constant(start, &mut bytes).ok_or(Fault::Absent)?;
        Ok(Names { start, bytes })
    }

    /// The string at `pointer`.
    pub fn get(&self, pointer: u64) -> Option<&str> {
        let start = usize::try_from(pointer.checked_sub(self.start)?).ok()?;
        let rest = self.bytes.get(start..)?;
        let end = rest.iter().take(LONGEST_NAME).position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

/// What a part of the VM has, or `None` if it can't be read.
pub(super) fn optional<T>(read: Read<T>) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Fault::Absent) => Ok(None),
        Err(Fault::Memory(error)) => Err(error),
    }
}
