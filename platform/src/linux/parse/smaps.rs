//! Reads the text of `maps` or `smaps`, region by region.
//!
//! `smaps` is `maps` with lines of `Key: value` after each region's own. Keys vary with the version and configuration of the
//! kernel, and so does their order. They are therefore matched by name, and unknown ones are kept. A line that is not
//! understood costs nothing but itself.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};

use memchr::memchr;

use super::lines::Lines;
use super::maps::{self, MapsLine};
use super::names;
use crate::model::{
    Bytes, Device, Name, Native, PageCounts, Protection, Region, SmapsField, UnknownField, VmFlags,
};
use crate::warning::Warning;

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

/// Reads regions from the text of `maps` or `smaps`, in the order of the text, without an allocation for each line.
///
/// The regions may overlap and go backwards. The caller must correct that.
pub struct SmapsReader<R> {
    lines: Lines<R>,
    names: Names,
    region: Option<Pending>,
    /// Whether fields are skipped, because their region was not understood.
    skipping: bool,
    /// The field after the last one in the kernel's order, which most likely comes next.
    expected: usize,
    last_field: Option<LastField>,
    usual_last_field: Option<LastField>,
    malformed: u64,
    first_malformed: Option<(u64, String)>,
    done: bool,
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

impl<R> fmt::Debug for SmapsReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmapsReader").field("malformed", &self.malformed).finish_non_exhaustive()
    }
}

impl<R: Read> SmapsReader<R> {
    /// Creates a reader of `input`, which need not be buffered.
    pub fn new(input: R) -> SmapsReader<R> {
        SmapsReader {
            lines: Lines::new(input),
            names: Names::default(),
            region: None,
            skipping: false,
            expected: 0,
            last_field: None,
            usual_last_field: None,
            malformed: 0,
            first_malformed: None,
            done: false,
        }
    }

    /// Removes a carriage return at the end of each line, for captures that went through another system.
    pub fn strip_carriage_returns(&mut self) {
        self.lines.strip_carriage_returns = true;
    }

    /// The input.
    pub fn input(&self) -> &R {
        &self.lines.input
    }

    /// The next region; `None` at the end of the text.
    ///
    /// # Errors
    ///
    /// Those of the input. The region that was being read is lost, because it is incomplete.
    pub fn next_region(&mut self) -> io::Result<Option<ReadRegion>> {
        if self.done {
            return Ok(None);
        }
        while let Some((number, line)) = self.lines.next()? {
            let starts_region =
                line.first().is_some_and(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
            if starts_region && let Some(parsed) = MapsLine::parse(line) {
                let (name, is_name_ambiguous) = self.names.parse(&parsed);
                let region = parsed.into_region(name);
                let pending = Pending { region, is_name_ambiguous, unknown: Vec::new() };
                self.skipping = false;
                self.expected = 0;
                if let Some(finished) = self.region.replace(pending) {
                    self.usual_last_field = self.usual_last_field.or(self.last_field);
                    self.last_field = None;
                    return Ok(Some(finished.finish()));
                }
                continue;
            }
            let is_understood = if line.iter().all(u8::is_ascii_whitespace) {
                true
            } else if starts_region && MapsLine::is_start(line) {
                if let Some(finished) = self.region.take() {
                    // The next call finds the malformed line again, with no region pending.
                    self.lines.put_back();
                    return Ok(Some(finished.finish()));
                }
                self.skipping = true;
                false
            } else if let Some(pending) = &mut self.region {
                match pending.field(line, &mut self.expected) {
                    Some(field) => {
                        self.last_field = Some(field);
                        true
                    }
                    None => false,
                }
            } else {
                self.skipping
            };
            if !is_understood {
                self.malformed += 1;
                self.first_malformed.get_or_insert_with(|| (number, excerpt(line)));
            }
        }
        self.done = true;
        Ok(self.region.take().map(Pending::finish))
    }

    /// The warnings about the text, complete once it has been read to its end.
    ///
    /// A capture counts as cut off if its last region has fewer lines than the others, or if its last line has no newline.
    /// The kernel always ends a line.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if let Some((first, excerpt)) = &self.first_malformed {
            warnings.push(Warning::Malformed {
                lines: self.malformed,
                first: *first,
                excerpt: excerpt.clone(),
            });
        }
        if self.usual_last_field.is_some() && self.usual_last_field != self.last_field {
            warnings
                .push(Warning::Truncated { why: "the last region has fewer lines than the others".into() });
        } else if self.lines.is_last_line_unfinished {
            warnings.push(Warning::Truncated { why: "the last line has no newline".into() });
        }
        warnings
    }
}

impl Pending {
    /// Adds a `Key: value` line. `None` if it is no such line.
    fn field(&mut self, line: &[u8], expected: &mut usize) -> Option<LastField> {
        if let Some((field, value)) = counter(line, expected) {
            let kib = kibibytes(value)?;
            self.native().smaps.set(field, kib);
            return Some(LastField::Counter(field));
        }
        let (key, value) = line.split_at(memchr(b':', line)?);
        let value = value[1..].trim_ascii();
        match key {
            b"VmFlags" => {
                let mut flags = VmFlags::default();
                let mut unknown = String::new();
                for letters in value.split(|&byte| byte == b' ').filter(|letters| !letters.is_empty()) {
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
            b"Name" => {
                if self.region.name.is_none() {
                    let parsed = names::parse(value, Device::default());
                    self.region.name = parsed.map(|parsed| parsed.name);
                }
            }
            _ if is_key(key) => self.unknown.push(UnknownField {
                key: String::from_utf8_lossy(key).into(),
                value: String::from_utf8_lossy(value).into(),
            }),
            _ => return None,
        }
        let mut start = [0; 4];
        start.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Some(LastField::Other(start))
    }

    fn native(&mut self) -> &mut crate::model::LinuxRegion {
        match &mut self.region.native {
            Native::Linux(native) => native,
            Native::Macos(_) => unreachable!("`MapsLine::into_region` makes Linux regions"),
        }
    }

    fn finish(mut self) -> ReadRegion {
        if !self.unknown.is_empty() {
            self.native().unknown = std::mem::take(&mut self.unknown).into();
        }
        let native = self.native();
        let smaps = &native.smaps;
        let counts = PageCounts {
            resident: smaps.get(SmapsField::Rss),
            dirty: smaps.sum(SmapsField::SharedDirty, SmapsField::PrivateDirty),
            swapped: smaps.get(SmapsField::Swap),
            proportional: smaps.get(SmapsField::Pss),
            unique: smaps.sum(SmapsField::PrivateClean, SmapsField::PrivateDirty),
        };
        let max_protection = native.vm_flags.map(|flags| {
            Protection::from_rwx(flags.contains(b"mr"), flags.contains(b"mw"), flags.contains(b"me"))
        });
        self.region.counts = counts;
        self.region.max_protection = max_protection;
        ReadRegion { region: self.region, is_name_ambiguous: self.is_name_ambiguous }
    }
}

/// The counter in a line, and the text after its colon. Tries the `expected` counter first.
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

fn excerpt(line: &[u8]) -> String {
    const SHOWN: usize = 60;
    let mut text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).escape_debug().to_string();
    if line.len() > SHOWN {
        text.push('…');
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NameKind;

    fn read(text: &str) -> (Vec<Region>, Vec<Warning>) {
        let mut reader = SmapsReader::new(text.as_bytes());
        let mut regions = Vec::new();
        while let Some(read) = reader.next_region().unwrap() {
            regions.push(read.region);
        }
        (regions, reader.warnings())
    }

    const TWO: &str = "\
1000-3000 r-xp 00000000 08:01 7                          /bin/x
Size:                  8 kB
Rss:                   4 kB
Pss:                   2 kB
Shared_Clean:          0 kB
Shared_Dirty:          1 kB
Private_Clean:         2 kB
Private_Dirty:         3 kB
Swap:                  5 kB
VmFlags: rd ex mr mw me sl
3000-4000 rw-p 00000000 00:00 0 
Size:                  4 kB
Rss:                   0 kB
VmFlags: rd wr mr mw
";

    #[test]
    fn counts_are_what_the_fields_say() {
        let (regions, warnings) = read(TWO);
        assert_eq!(warnings, []);
        assert_eq!(
            regions[0].counts,
            PageCounts {
                resident: Some(Bytes(4096)),
                dirty: Some(Bytes(4096)),
                swapped: Some(Bytes(5120)),
                proportional: Some(Bytes(2048)),
                unique: Some(Bytes(5120)),
            }
        );
        assert_eq!(regions[1].counts.resident, Some(Bytes(0)));
        assert_eq!(regions[1].counts.dirty, None, "not printed is not zero");
        assert_eq!(regions[0].max_protection.unwrap().as_str(), "rwx");
        assert_eq!(regions[1].max_protection.unwrap().as_str(), "rw-");
        assert_eq!(regions[0].native.linux().unwrap().has_flag(b"sl"), Some(true));
    }

    #[test]
    fn maps_text_has_regions_without_counts() {
        let (regions, warnings) =
            read("1000-2000 r--p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:00 0 \n");
        assert_eq!(regions.len(), 2);
        assert_eq!(regions[0].counts, PageCounts::UNMEASURED);
        assert_eq!(regions[0].max_protection, None);
        assert_eq!(warnings, []);
    }

    #[test]
    fn keys_may_come_in_any_order_and_with_tabs() {
        let (regions, warnings) = read("1000-2000 r--p 0 00:00 0\nSwap:\t9 kB\nRss:\t 4 kB\nSize: 4 kB\n");
        assert_eq!(regions[0].counts.resident, Some(Bytes(4096)));
        assert_eq!(regions[0].counts.swapped, Some(Bytes(9216)));
        assert_eq!(warnings, []);
    }

    #[test]
    fn unknown_keys_and_flags_are_kept() {
        let (regions, warnings) =
            read("1000-2000 r--p 0 00:00 0\nRss: 4 kB\nNewThing:    12 kB\nVmFlags: rd qq mr zz \n");
        let native = regions[0].native.linux().unwrap();
        let unknown: Vec<_> = native.unknown.iter().map(|field| (&*field.key, &*field.value)).collect();
        assert_eq!(unknown, [("NewThing", "12 kB"), ("VmFlags", "qq zz")]);
        assert_eq!(native.has_flag(b"mr"), Some(true));
        assert_eq!(warnings, []);
    }

    #[test]
    fn android_name_line_is_not_a_surprise() {
        let (regions, warnings) = read(
            "1000-2000 rw-p 0 00:00 0   [anon:libc_malloc]\nName:           [anon:libc_malloc]\nRss: 4 kB\n\
             3000-4000 rw-p 0 00:00 0\nName:           [anon:.bss]\nRss: 4 kB\n",
        );
        assert_eq!(warnings, []);
        for (region, name) in regions.iter().zip(["libc_malloc", ".bss"]) {
            let given = region.name.as_ref().unwrap();
            assert_eq!((given.kind(), given.bytes()), (NameKind::Given, name.as_bytes()));
        }
    }

    #[test]
    fn a_malformed_line_costs_only_itself() {
        let (regions, warnings) = read(
            "1000-2000 r--p 0 00:00 0\nRss: many kB\nSwap: 4 kB\n???\n3000-4000 r--p 0 00:00 0\nSwap: 0 kB\n",
        );
        assert_eq!(regions.len(), 2);
        assert_eq!(regions[0].counts.swapped, Some(Bytes(4096)));
        assert_eq!(warnings, [Warning::Malformed { lines: 2, first: 2, excerpt: "Rss: many kB".into() }]);
    }

    #[test]
    fn a_malformed_region_takes_its_fields_with_it() {
        let (regions, warnings) = read(
            "1000-2000 r--p 0 00:00 0\nRss: 4 kB\n5000-3000 ---p 0 00:00 0\nRss: 8 kB\n6000-7000 r--p 0 00:00 0\nRss: 0 kB\n",
        );
        let resident: Vec<_> = regions.iter().map(|region| region.counts.resident).collect();
        assert_eq!(resident, [Some(Bytes(4096)), Some(Bytes(0))]);
        assert_eq!(
            warnings,
            [Warning::Malformed { lines: 1, first: 3, excerpt: "5000-3000 ---p 0 00:00 0".into() }]
        );
    }

    #[test]
    fn a_capture_cut_in_a_region_says_so() {
        let cut = &TWO[..TWO.rfind("VmFlags").unwrap()];
        let (regions, warnings) = read(cut);
        assert_eq!(regions.len(), 2);
        assert!(matches!(warnings[..], [Warning::Truncated { .. }]), "{warnings:?}");
    }

    #[test]
    fn a_capture_cut_in_a_line_says_so() {
        let (_, warnings) = read("1000-2000 r--p 00000000 08:01 7    /usr/lib/li");
        assert!(matches!(warnings[..], [Warning::Truncated { .. }]), "{warnings:?}");
    }

    #[test]
    fn a_path_longer_than_any_buffer() {
        let path = "/".to_owned() + &"d/".repeat(100 << 10) + "f";
        let (regions, _) = read(&format!("1000-2000 r--p 0 08:01 7 {path}\n2000-3000 r--p 0 00:00 0\n"));
        assert_eq!(regions[0].name.as_ref().unwrap().bytes(), path.as_bytes());
        assert_eq!(regions.len(), 2);
    }

    #[test]
    fn regions_of_a_file_share_its_path() {
        let (regions, _) = read("1000-2000 r--p 0 08:01 7 /bin/x\n2000-3000 r-xp 1000 08:01 7 /bin/x\n");
        let text = |region: &Region| region.name.as_ref().unwrap().bytes().as_ptr();
        assert_eq!(text(&regions[0]), text(&regions[1]));
    }

    #[test]
    fn the_same_text_on_another_device_is_another_name() {
        let (regions, _) = read(
            "1000-2000 rw-s 0 08:01 7 /SYSV00000001 (deleted)\n2000-3000 rw-s 0 00:01 7 /SYSV00000001 (deleted)\n",
        );
        let kind = |region: &Region| region.name.as_ref().unwrap().kind();
        assert_eq!(kind(&regions[0]), NameKind::File);
        assert_eq!(kind(&regions[1]), NameKind::MemoryObject);
    }

    #[test]
    fn carriage_returns_go_where_asked() {
        let mut reader = SmapsReader::new(&b"1000-2000 r--p 0 08:01 7 /bin/x\r\nRss: 4 kB\r\n"[..]);
        reader.strip_carriage_returns();
        let read = reader.next_region().unwrap().unwrap();
        assert_eq!(read.region.name.unwrap().bytes(), b"/bin/x");
        assert_eq!(read.region.counts.resident, Some(Bytes(4096)));
    }

    #[test]
    fn a_read_may_end_anywhere() {
        struct Dribble<'a>(&'a [u8]);
        impl Read for Dribble<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
                into[0] = first;
                self.0 = rest;
                Ok(1)
            }
        }
        let mut reader = SmapsReader::new(Dribble(TWO.as_bytes()));
        let first = reader.next_region().unwrap().unwrap().region;
        assert_eq!(first, read(TWO).0[0]);
    }
}
