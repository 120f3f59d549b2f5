//! Reads the text of `maps` or `smaps`, region by region.
//!
//! `smaps` is `maps` with lines of `Key: value` after each region's own. Keys vary with the version and configuration of the
//! kernel, and so does their order. They are therefore matched by name, and unknown ones are kept. A line that is not
//! understood costs nothing but itself.

use std::fmt;
use std::io::{self, Read};

use super::assembler::Assembler;
use super::lines::Lines;
use super::maps::MapsLine;
use crate::warning::{Skipped, Warning};

pub use super::assembler::ReadRegion;

/// Reads regions from the text of `maps` or `smaps`, in the order of the text, without an allocation for each line.
///
/// The regions may overlap and go backwards. The caller must correct that.
pub struct SmapsReader<R> {
    lines: Lines<R>,
    regions: Assembler,
    skipped: Skipped,
    done: bool,
}

impl<R> fmt::Debug for SmapsReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmapsReader").field("skipped", &self.skipped).finish_non_exhaustive()
    }
}

impl<R: Read> SmapsReader<R> {
    /// Creates a reader of `input`, which need not be buffered.
    pub fn new(input: R) -> SmapsReader<R> {
        SmapsReader {
            lines: Lines::new(input),
            regions: Assembler::default(),
            skipped: Skipped::default(),
            done: false,
        }
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
            // Keys of fields begin with a capital, and the kernel writes addresses without.
            let starts_region =
                line.first().is_some_and(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
            if starts_region && let Some(parsed) = MapsLine::parse(line) {
                if let Some(finished) = self.regions.start(parsed) {
                    return Ok(Some(finished));
                }
            } else if starts_region && MapsLine::is_start(line) {
                self.skipped.add(number, line);
                if let Some(finished) = self.regions.skip() {
                    return Ok(Some(finished));
                }
            } else if !line.iter().all(u8::is_ascii_whitespace) && !self.regions.field(line, true) {
                self.skipped.add(number, line);
            }
        }
        self.done = true;
        Ok(self.regions.finish())
    }

    /// The warnings about the text, complete once it has been read to its end.
    ///
    /// A capture counts as cut off if its last region has fewer lines than the others, or if its last line has no newline.
    /// The kernel always ends a line.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self.skipped.warning().into_iter().collect();
        if self.regions.is_cut_off() {
            warnings
                .push(Warning::Truncated { why: "the last region has fewer lines than the others".into() });
        } else if self.lines.is_last_line_unfinished {
            warnings.push(Warning::Truncated { why: "the last line has no newline".into() });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, NameKind, PageCounts, Region};

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
