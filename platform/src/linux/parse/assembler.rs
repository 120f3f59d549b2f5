//! Builds regions from the lines of `maps` and `smaps`.

use std::collections::HashMap;

use memchr::memchr;

use super::counts;
use super::maps::{self, MapsLine};
use super::names;
use crate::model::{Bytes, Device, LinuxRegion, Name, Native, Region, SmapsField, UnknownField, VmFlags};

/// At most this many distinct names are remembered at a time, so that a listing streams in constant memory.
const REMEMBERED_NAMES: usize = 4096;

/// A region from the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadRegion {
    /// The region.
    pub region: Region,
    /// Whether its name is ambiguous (see [`names`](super::names)).
    pub is_name_ambiguous: bool,
}

/// Builds regions from lines: each region's own line first, and then its fields.
#[derive(Default)]
pub(crate) struct Assembler {
    names: Names,
    region: Option<Pending>,
    /// Whether fields are skipped, because their region was not understood.
    skipping: bool,
    /// The field after the last one in the kernel's order, which most likely comes next.
    expected: usize,
    last_field: Option<LastField>,
    usual_last_field: Option<LastField>,
}

struct Pending {
    region: Region,
    is_name_ambiguous: bool,
    unknown: Vec<UnknownField>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LastField {
    Counter(SmapsField),
    Other([u8; 4]),
}

impl Assembler {
    /// Starts a region with its own line. Returns the region before it.
    pub fn start(&mut self, line: MapsLine<'_>) -> Option<ReadRegion> {
        let (name, is_name_ambiguous) = self.names.parse(&line);
        let region = line.into_region(name);
        self.skipping = false;
        self.expected = 0;
        let finished = self.region.replace(Pending { region, is_name_ambiguous, unknown: Vec::new() })?;
        self.usual_last_field = self.usual_last_field.or(self.last_field);
        self.last_field = None;
        Some(finished.finish())
    }

    /// Skips a region whose own line is not understood, with its fields. Returns the region before it.
    pub fn skip(&mut self) -> Option<ReadRegion> {
        self.skipping = true;
        self.finish()
    }

    /// Adds a line that starts no region. Returns whether it is understood. `with_unknown`: whether it may be a counter that this
    /// version does not know.
    #[inline]
    pub fn field(&mut self, line: &[u8], with_unknown: bool) -> bool {
        let Some(pending) = &mut self.region else { return self.skipping };
        let field = pending.field(line, &mut self.expected, with_unknown);
        self.last_field = field.or(self.last_field);
        field.is_some()
    }

    /// The region whose lines are being read.
    pub fn region(&mut self) -> Option<&mut Region> {
        self.region.as_mut().map(|pending| &mut pending.region)
    }

    /// Ends the last region, and returns it.
    pub fn finish(&mut self) -> Option<ReadRegion> {
        self.region.take().map(Pending::finish)
    }

    /// Whether the last region has other fields than the ones before it.
    pub fn is_cut_off(&self) -> bool {
        self.usual_last_field.is_some() && self.usual_last_field != self.last_field
    }
}

impl Pending {
    /// Adds a `Key: value` line. `None` if it is no such line.
    #[inline]
    fn field(&mut self, line: &[u8], expected: &mut usize, with_unknown: bool) -> Option<LastField> {
        if let Some((field, value)) = counter(line, expected) {
            let kib = kibibytes(value)?;
            self.native().smaps.set(field, kib);
            return Some(LastField::Counter(field));
        }
        self.other_field(line, with_unknown)
    }

    /// Adds a line that is no counter.
    fn other_field(&mut self, line: &[u8], with_unknown: bool) -> Option<LastField> {
        let (key, value) = line.split_at(memchr(b':', line)?);
        let value = value[1..].trim_ascii();
        match key {
            b"VmFlags" => {
                let mut flags = VmFlags::default();
                let mut unknown = String::new();
                for letters in value.split(u8::is_ascii_whitespace).filter(|letters| !letters.is_empty()) {
                    if !flags.insert(letters) {
                        unknown.push_str(if unknown.is_empty() { "" } else { " " });
                        unknown.push_str(&String::from_utf8_lossy(letters));
                    }
                }
                self.native().vm_flags = Some(flags);
                if !unknown.is_empty() {
                    self.unknown.push(UnknownField { key: "VmFlags".into(), value: unknown.into() });
                }
            }
            b"THPeligible" => self.native().thp_eligible = Some(number(value)? != 0),
            b"ProtectionKey" => {
                self.native().protection_key = Some(number(value)?.try_into().ok()?);
            }
            // Android repeats the name. Other texts have lines with this key.
            b"Name" if value.starts_with(b"[") => {
                if self.region.name.is_none() {
                    let parsed = names::parse(value, Device::default());
                    self.region.name = parsed.map(|parsed| parsed.name);
                }
            }
            // New kernels have new counters.
            _ if with_unknown && is_key(key) && value.ends_with(b"kB") && kibibytes(value).is_some() => {
                self.unknown.push(UnknownField {
                    key: String::from_utf8_lossy(key).into(),
                    value: String::from_utf8_lossy(value).into(),
                })
            }
            _ => return None,
        }
        let mut start = [0; 4];
        start.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Some(LastField::Other(start))
    }

    fn native(&mut self) -> &mut LinuxRegion {
        match &mut self.region.native {
            Native::Linux(native) => native,
            _ => unreachable!("`MapsLine::into_region` makes Linux regions"),
        }
    }

    fn finish(mut self) -> ReadRegion {
        if !self.unknown.is_empty() {
            self.native().unknown = std::mem::take(&mut self.unknown).into();
        }
        let native = self.native();
        let counts = counts::of(native);
        let max_protection = native.vm_flags.map(VmFlags::max_protection);
        self.region.counts = counts;
        self.region.max_protection = max_protection;
        ReadRegion { region: self.region, is_name_ambiguous: self.is_name_ambiguous }
    }
}

/// The counter in a line, and the text after its colon. Tries the `expected` counter first.
#[inline]
fn counter<'a>(line: &'a [u8], expected: &mut usize) -> Option<(SmapsField, &'a [u8])> {
    // Look for the colon first: it rules out nearly all other keys without comparing letters.
    let value = |field: SmapsField| {
        let (key, value) = line.split_at_checked(field.key().len())?;
        value.strip_prefix(b":").filter(|_| key == field.key().as_bytes())
    };
    let (index, field, value) = match SmapsField::ALL.get(*expected) {
        Some(&field) if let Some(value) = value(field) => (*expected, field, value),
        _ => SmapsField::ALL
            .iter()
            .enumerate()
            .find_map(|(index, &field)| Some((index, field, value(field)?)))?,
    };
    *expected = index + 1;
    Some((field, value))
}

#[inline]
fn kibibytes(value: &[u8]) -> Option<Bytes> {
    let (kib, rest) = maps::decimal(value.trim_ascii_start())?;
    matches!(rest.trim_ascii(), b"kB" | b"").then(|| Bytes::from_kib(kib))
}

fn number(value: &[u8]) -> Option<u64> {
    let (number, rest) = maps::decimal(value)?;
    rest.is_empty().then_some(number)
}

fn is_key(key: &[u8]) -> bool {
    key.first().is_some_and(u8::is_ascii_alphabetic)
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The names seen so far, so that all regions of a file share its path.
#[derive(Default)]
struct Names {
    seen: HashMap<Box<[u8]>, (Device, Name, bool)>,
}

impl Names {
    fn parse(&mut self, line: &MapsLine<'_>) -> (Option<Name>, bool) {
        if line.name.is_empty() {
            return (None, false);
        }
        if let Some((device, name, is_ambiguous)) = self.seen.get(line.name)
            && *device == line.device
        {
            return (Some(name.clone()), *is_ambiguous);
        }
        let Some(parsed) = names::parse(line.name, line.device) else { return (None, false) };
        if self.seen.len() >= REMEMBERED_NAMES {
            self.seen.clear();
        }
        let entry = (line.device, parsed.name.clone(), parsed.is_ambiguous);
        self.seen.insert(line.name.into(), entry);
        (Some(parsed.name), parsed.is_ambiguous)
    }
}
