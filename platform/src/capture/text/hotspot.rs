//! What a crash log of OpenJDK's virtual machine says besides its map: `hs_err_pidN.log` of HotSpot 8 to 25
//! (`src/hotspot/share/utilities/vmError.cpp`). The map itself, under `Dynamic libraries:`, is the text of maps.

mod ranges;

use std::collections::HashSet;

use self::ranges::{Collector, Purpose, Ranges};
use super::cells::{self, Cells};
use crate::model::{AddrRange, Bytes, Claim, FactValue, ProcessInfo, Region, Runtime, ThreadInfo};

/// How many threads are kept.
const MOST_THREADS: usize = 100_000;

/// No line that says something is longer, but a command line may be.
const LONGEST_LINE: usize = 64 << 10;

/// The owner of the VM's heap, and of what is known of all of it.
const HEAP: &str = "Java heap";

/// What a crash log says besides its map.
#[derive(Debug, Default)]
pub(super) struct Notes {
    process: ProcessInfo,
    /// The threads that are known. The one that failed is in the log twice.
    thread_ids: HashSet<u64>,
    version: Option<Box<str>>,
    ranges: Ranges,
    /// The segment of the code cache whose bounds the next line has.
    segment: Option<String>,
    /// Whether the next line with a range has the bounds of Shenandoah's heap.
    is_in_reserved: bool,
}

impl Notes {
    /// Reads a line. Returns whether it says something of use.
    pub fn line(&mut self, line: &[u8]) -> bool {
        if line.len() > LONGEST_LINE {
            return false;
        }
        let segment = self.segment.take();
        let line = line.trim_ascii();
        let Some(first) = line.first() else { return false };
        let is_read = match first {
            b'#' => self.header(line),
            b'0' | b'=' => self.thread(line),
            b'b' => segment.and_then(|segment| self.bounds(segment, line)),
            b'-' if self.is_in_reserved => self.reserved(line),
            _ => self.place(line).or_else(|| self.command(line)),
        };
        is_read.is_some()
    }

    /// The process, if there was a crash log.
    pub fn process(&self) -> Option<ProcessInfo> {
        let has_some = self.process.pid.is_some() || !self.process.threads.is_empty();
        has_some.then(|| self.process.clone())
    }

    /// Whose parts of the map are, by address.
    pub fn claims(&self, regions: &[Region]) -> Vec<Claim> {
        self.ranges.claims(regions)
    }

    /// The virtual machine.
    pub fn runtime(&self) -> Option<Runtime> {
        let runtime = Runtime::new(HEAP, format!("HotSpot {}", self.version.as_ref()?));
        let Some(collector) = self.ranges.collector else { return Some(runtime) };
        Some(runtime.fact("garbage collector", FactValue::Text(collector.name().into())))
    }

    /// `#  SIGSEGV (0xb) at pc=0x00007f27745c6f14, pid=9449, tid=9449`, and the version of the VM.
    fn header(&mut self, line: &[u8]) -> Option<()> {
        if let Some(at) = memchr::memmem::find(line, b", pid=") {
            let digits = line[at + 6..].split(|byte| !byte.is_ascii_digit()).next()?;
            self.process.pid = Some(cells::decimal(digits)?.try_into().ok()?);
            return Some(());
        }
        let vm = line.strip_prefix(b"# Java VM: ")?;
        let described = &vm[memchr::memchr(b'(', vm)? + 1..];
        let version = described.split(|byte| matches!(byte, b',' | b' ' | b')')).next()?;
        self.version = Some(String::from_utf8_lossy(version).into());
        self.ranges.collector = Collector::of_version(described).or(self.ranges.collector);
        Some(())
    }

    /// `=>0x00007f JavaThread "main" [_thread_in_native, id=42, stack(0x…,0x…) (1024K)]`, of other kinds of threads also
    /// `VMThread [stack: 0x…,0x…] [id=42]`.
    fn thread(&mut self, line: &[u8]) -> Option<()> {
        let find = |text: &[u8]| memchr::memmem::rfind(line, text).map(|at| at + text.len());
        let stack = find(b"stack(").or_else(|| find(b"[stack: "))?;
        let id = find(b"id=")?;
        let stack = range(line[stack..].split(|byte| matches!(byte, b')' | b']')).next()?)?;
        let id = cells::decimal(line[id..].split(|byte| !byte.is_ascii_digit()).next()?)?;
        if stack.is_empty() || self.thread_ids.len() >= MOST_THREADS || !self.thread_ids.insert(id) {
            return Some(());
        }
        let quoted = memchr::memchr(b'"', line).zip(memchr::memrchr(b'"', line));
        let name = quoted.and_then(|(open, close)| line.get(open + 1..close)).or_else(|| {
            // A thread of the VM without a name is called after its kind.
            Cells::new(line).nth(1).filter(|kind| kind.ends_with(b"Thread"))
        });
        // The stack grows down from its end, so the last word of it is in use.
        let stack_pointer = Some(stack.end().saturating_sub(WORD));
        self.process.threads.push(ThreadInfo {
            name: name.map(Box::from),
            stack_pointer,
            ..ThreadInfo::new(id)
        });
        Some(())
    }

    /// A place in memory, by what its line starts with.
    fn place(&mut self, line: &[u8]) -> Option<()> {
        let after = |start: &[u8]| line.strip_prefix(start);
        if let Some(rest) = after(b"CodeHeap '") {
            let name = &rest[..memchr::memchr(b'\'', rest)?];
            let name = String::from_utf8_lossy(name.strip_suffix(b" nmethods").unwrap_or(name));
            self.segment = Some(format!("Java code: {name}"));
        } else if after(b"CodeCache: size=").is_some() {
            self.segment = Some("Java code".to_owned());
        } else if let Some(rest) = after(b"Heap address: ").or_else(|| after(b"heap address: ")) {
            let (start, rest) = rest.split_at(memchr::memchr(b',', rest)?);
            let size = rest.strip_prefix(b", size: ")?.split(|byte| *byte == b' ').next()?;
            let size = Bytes::from_kib(cells::decimal(size)?.checked_mul(1024)?);
            self.ranges.add(Purpose::Heap, AddrRange::with_size(cells::prefixed(start)?, size)?);
        } else if let Some(rest) = after(b"Compressed class space mapped at: ") {
            let range = rest.split(|byte| matches!(byte, b',' | b' ')).next()?;
            self.ranges.add(Purpose::ClassSpace, self::range(range)?);
        } else if let Some(rest) = after(b"Compressed class space size: ") {
            let (size, rest) = rest.split_at(memchr::memchr(b' ', rest)?);
            let start = Cells::new(rest.strip_prefix(b" Address: ")?).next()?;
            let range = AddrRange::with_size(cells::prefixed(start)?, Bytes(cells::decimal(size)?))?;
            self.ranges.add(Purpose::ClassSpace, range);
        } else if let Some(rest) = after(b"CDS archive(s) mapped at: [") {
            self.ranges.add(Purpose::Archive, range(rest.split(|byte| *byte == b')').next()?)?);
        } else if let Some(rest) = after(b"Card table byte_map: [") {
            self.ranges.add(Purpose::CardTable, range(rest.split(|byte| *byte == b']').next()?)?);
        } else if after(b"Reserved region:").is_some() {
            self.is_in_reserved = true;
        } else {
            return self.heap(line);
        }
        Some(())
    }

    /// A line of the section about the heap. The history of collections repeats them.
    fn heap(&mut self, line: &[u8]) -> Option<()> {
        if let Some(collector) = Collector::of_heap(line) {
            self.ranges.collector.get_or_insert(collector);
            if let Some(range) = in_brackets(line) {
                let purpose = Purpose::of_generation(line).unwrap_or(Purpose::Heap);
                self.ranges.add(purpose, range);
            }
            return Some(());
        }
        self.ranges.add(Purpose::of_space(line)?, in_brackets(line)?);
        Some(())
    }

    /// ` bounds [0x…, 0x…, 0x…]`: the start, the end of what is in use, the end of the reserve.
    fn bounds(&mut self, segment: String, line: &[u8]) -> Option<()> {
        let range = range(line.strip_prefix(b"bounds [")?.strip_suffix(b"]")?)?;
        self.ranges.add(Purpose::Code(segment.into()), range);
        Some(())
    }

    /// ` - [0x…, 0x…)`: Shenandoah's heap.
    fn reserved(&mut self, line: &[u8]) -> Option<()> {
        self.is_in_reserved = false;
        self.ranges.add(Purpose::Heap, in_brackets(line)?);
        Some(())
    }

    /// The command line, of which HotSpot 8 prints the parts.
    fn command(&mut self, line: &[u8]) -> Option<()> {
        let words =
            [&b"Command Line: "[..], b"java_command: "].iter().find_map(|key| line.strip_prefix(*key))?;
        if self.process.command.is_empty() {
            self.process.command = Cells::new(words).map(Box::from).collect();
        }
        Some(())
    }
}

/// The least size of what a stack has at its end.
const WORD: u64 = 8;

/// The hull of two or three addresses with commas or hyphens between them.
fn range(text: &[u8]) -> Option<AddrRange> {
    let mut addresses =
        text.split(|byte| matches!(byte, b',' | b'-')).map(|word| cells::prefixed(word.trim_ascii()));
    let start = addresses.next()??;
    let end = addresses.next_back()??;
    AddrRange::new(start, end)
}

/// The last addresses in brackets: `[0x…, 0x…, 0x…)`.
fn in_brackets(line: &[u8]) -> Option<AddrRange> {
    let open = memchr::memmem::rfind(line, b"[0x")?;
    let inner = &line[open + 1..];
    range(&inner[..memchr::memchr2(b')', b']', inner)?])
}

#[cfg(test)]
mod tests;
