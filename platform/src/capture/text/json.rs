//! mmview's own JSON and NDJSON of regions of Linux, which have each region in a line. They have all facts but the pages.

use serde::Deserialize;

use super::cells;
use super::form::{Form, Line};
use super::table::record;
use crate::model::{
    AddrRange, Bytes, Native, PageCounts, ProcessInfo, Protection, Region, ShareMode, ThreadInfo, text,
};

/// What the line of a region starts with.
const STARTS: [&[u8]; 2] = [br#"{"start":"0x"#, br#"{"record":"region","#];

/// mmview's JSON.
#[derive(Debug, Default)]
pub(super) struct Json {
    process: Option<ProcessInfo>,
    has_rows: bool,
}

impl Form for Json {
    fn line(&mut self, line: &[u8]) -> Line {
        let line = line.trim_ascii();
        if STARTS.iter().any(|start| line.starts_with(start)) {
            let row: Option<Row> = serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line)).ok();
            let Some(region) = row.and_then(Row::into_region) else { return Line::Unknown };
            self.has_rows = true;
            return Line::Region(Box::new(region));
        }
        if let Some(process) = process(line) {
            self.process = Some(process.into());
            return Line::Known;
        }
        let is_end = self.has_rows
            && (matches!(line, b"]," | b"]" | b"}") || ENDS.iter().any(|end| line.starts_with(end)));
        if is_end { Line::Known } else { Line::Unknown }
    }

    fn id(&self) -> &'static str {
        "mmview-json"
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

/// What follows the regions.
const ENDS: [&[u8]; 4] = [br#""warnings":"#, br#""reading":"#, br#""largest_gap":"#, br#"{"record":"end""#];

/// A region as mmview writes it.
#[derive(Deserialize)]
struct Row {
    start: String,
    end: String,
    protection: Option<Protection>,
    #[serde(default)]
    max_protection: Option<Protection>,
    share: ShareMode,
    #[serde(rename = "type")]
    title: String,
    #[serde(default, with = "text::optional")]
    path: Option<Box<[u8]>>,
    #[serde(default, with = "text::optional")]
    detail: Option<Box<[u8]>>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    resident: Option<Bytes>,
    #[serde(default)]
    dirty: Option<Bytes>,
    #[serde(default)]
    swapped: Option<Bytes>,
    #[serde(default)]
    proportional: Option<Bytes>,
    #[serde(default)]
    unique: Option<Bytes>,
    native: Native,
}

impl Row {
    /// The region, if it is one of Linux.
    fn into_region(self) -> Option<Region> {
        let range = AddrRange::new(address(&self.start)?, address(&self.end)?)?;
        self.native.linux()?;
        let path = self.path.as_deref().unwrap_or_default();
        let detail = self.detail.as_deref().unwrap_or_default();
        let name = record::name(path, detail, self.title.as_bytes(), self.share.is_shared());
        let counts = PageCounts {
            resident: self.resident,
            dirty: self.dirty,
            swapped: self.swapped,
            proportional: self.proportional,
            unique: self.unique,
        };
        let protection = self.protection.unwrap_or(Protection::UNKNOWN);
        let region = Region::new(range, protection, self.share, self.native);
        let offset = self.offset.unwrap_or(0);
        Some(Region { max_protection: self.max_protection, name, offset, counts, ..region })
    }
}

fn address(text: &str) -> Option<u64> {
    cells::prefixed(text.as_bytes())
}

/// What JSON has of the process, in a line of its own or in the first record of NDJSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    pid: Option<u32>,
    #[serde(with = "text::optional")]
    name: Option<Box<[u8]>>,
    #[serde(with = "text::optional")]
    path: Option<Box<[u8]>>,
    #[serde(with = "text::list")]
    command: Vec<Box<[u8]>>,
    system: Option<Box<str>>,
    threads: Vec<Thread>,
}

#[derive(Deserialize)]
struct Thread {
    id: u64,
    #[serde(default, with = "text::optional")]
    name: Option<Box<[u8]>>,
    #[serde(default)]
    stack_pointer: Option<String>,
}

fn process(line: &[u8]) -> Option<Process> {
    #[derive(Deserialize)]
    struct Head {
        process: Process,
    }
    if line.starts_with(br#"{"record":"head","#) {
        return serde_json::from_slice(line).ok().map(|Head { process }| process);
    }
    let object = line.strip_prefix(br#""process": "#)?;
    serde_json::from_slice(object.strip_suffix(b",").unwrap_or(object)).ok()
}

impl From<Process> for ProcessInfo {
    fn from(process: Process) -> ProcessInfo {
        let thread = |thread: Thread| ThreadInfo {
            name: thread.name,
            stack_pointer: thread.stack_pointer.as_deref().and_then(address),
            ..ThreadInfo::new(thread.id)
        };
        ProcessInfo {
            pid: process.pid,
            name: process.name,
            path: process.path,
            command: process.command,
            system: process.system,
            threads: process.threads.into_iter().map(thread).collect(),
            ..ProcessInfo::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SmapsField;

    const REGION: &str = r#"{"start":"0x560490cee000","end":"0x560490cf3000","size":20480,"protection":"r-x","max_protection":"rwx","share":"private","kind":"text","type":".text","evidence":"kernel","path":{"bytes":"L3RtcC//"},"detail":{"bytes":"L3RtcC//IChkZWxldGVkKQ=="},"offset":8192,"resident":20480,"dirty":0,"swapped":null,"proportional":10240,"unique":0,"native":{"os":"linux","device":"fe:00","inode":247774,"smaps":{"Size":20480,"Rss":20480},"vm_flags":["rd","ex"]}}"#;

    fn region(line: &str) -> Option<Region> {
        match Json::default().line(line.as_bytes()) {
            Line::Region(region) => Some(*region),
            _ => None,
        }
    }

    #[test]
    fn a_region_with_its_facts() {
        let read = region(&format!("    {REGION},")).unwrap();
        assert_eq!(read.range.to_string(), "560490cee000-560490cf3000");
        let name = read.name.as_ref().unwrap();
        assert_eq!((name.bytes(), name.is_deleted()), (&b"/tmp/\xff"[..], true));
        assert_eq!((read.protection.as_str(), read.offset), ("r-x", 8192));
        assert_eq!(read.counts.resident, Some(Bytes(20480)));
        assert_eq!(read.counts.swapped, None);
        assert_eq!(read.native.linux().unwrap().smaps.get(SmapsField::Size), Some(Bytes(20480)));
        let record = REGION.replace(r#"{"start""#, r#"{"record":"region","start""#);
        assert_eq!(region(&record).unwrap(), read);
    }

    #[test]
    fn labels_and_notes() {
        let of = |kind: &str, detail: &str| {
            let line = format!(
                r#"{{"start":"0x1000","end":"0x2000","protection":null,"share":"private","type":"{kind}","path":null,"detail":{detail},"native":{{"os":"linux","device":"00:00","inode":0}}}}"#
            );
            region(&line).unwrap().name.map(|name| String::from_utf8_lossy(name.bytes()).into_owned())
        };
        assert_eq!(of("Heap", r#""[heap] (main arena)""#).as_deref(), Some("[heap]"));
        assert_eq!(of("[vdso]", "null").as_deref(), Some("[vdso]"));
        assert_eq!(of("Stack (thread)", r#""thread 42 x""#), None);
    }

    #[test]
    fn the_process() {
        let process = r#"{"pid":14132,"name":"sleep","command":["sleep","100"],"system":"Linux 6.18","threads":[{"id":14132,"name":"sleep","stack_pointer":"0x7ffed0fc65d8"}],"code_type":null}"#;
        for line in [
            format!("  \"process\": {process},"),
            format!(r#"{{"record":"head","schema":"mmview/1","process":{process},"detail":"counts"}}"#),
        ] {
            let mut form = Json::default();
            assert_eq!(form.line(line.as_bytes()), Line::Known);
            let process = form.process().unwrap();
            assert_eq!((process.pid, process.command.len()), (Some(14132), 2));
            assert_eq!(process.threads[0].stack_pointer, Some(0x7ffe_d0fc_65d8));
        }
    }

    #[test]
    fn what_is_no_region() {
        for line in [
            "",
            r#"{"start":"0x1000"}"#,
            r#"{"start":"0x"#,
            &REGION.replace("0x560490cf3000", "0x1000"),
            &REGION.replace("\"os\":\"linux\"", "\"os\":\"macos\""),
            "]",
            r#""process": 7"#,
        ] {
            assert_eq!(Json::default().line(line.as_bytes()), Line::Unknown, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(end in 0..REGION.len(), changed in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut form = Json::default();
            let mut line = REGION.as_bytes().to_vec();
            form.line(&line[..end]);
            line[end] = changed;
            form.line(&line);
            form.line(&bytes);
        }
    }
}
