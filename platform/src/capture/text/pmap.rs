//! Listings of pmap: of procps in each of its layouts, of busybox and toybox, and of mmview's own `pmap`.
//!
//! The head names the columns of `-x`, `-d`, `-X`, `-XX` and `-c`. Those of `-X` are the keys of smaps. The plain layout has no
//! head, and `-q` takes it off the others, so rows of a known shape need none.

mod columns;

use self::columns::Columns;
use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::linux::names;
use crate::model::{Device, Name, NameKind, ProcessInfo, Region, ShareMode};

/// Longer lines are no heads of columns.
const LONGEST_HEAD: usize = 4096;

/// Listings of pmap.
#[derive(Debug, Default)]
pub(super) struct Pmap {
    columns: Option<Columns>,
    /// The process of the last line that may introduce a listing.
    introduced: Option<ProcessInfo>,
    process: Option<ProcessInfo>,
    has_rows: bool,
    has_short_names: bool,
    /// procps calls `[heap]` and `[vdso]` `[ anon ]`, in every layout but those of `-X` and `-XX`.
    has_procps_names: bool,
    has_labels: bool,
}

impl Form for Pmap {
    fn line(&mut self, line: &[u8]) -> Line {
        let introduced = self.introduced.take();
        let Some(first) = Cells::new(line).next() else { return Line::Unknown };
        let line = if first[0].is_ascii_hexdigit()
            && let Some(region) = self.row(line)
        {
            self.has_rows = true;
            Line::Region(Box::new(region))
        } else if let Some(columns) = head(line) {
            self.columns = Some(columns);
            Line::Known
        } else if let Some(process) = introduction(line) {
            self.introduced = Some(process);
            return Line::Known;
        } else {
            let is_end = self.has_rows && is_end(line);
            return if is_end { Line::Known } else { Line::Unknown };
        };
        if introduced.is_some() {
            self.process = introduced;
        }
        line
    }

    fn id(&self) -> &'static str {
        "pmap"
    }

    fn lack(&self) -> Option<&'static str> {
        match (self.has_short_names, self.has_procps_names && !self.has_labels) {
            (true, true) => Some(
                "pmap shows only the last part of a path, and no labels such as [heap]; `pmap -Xp` shows both",
            ),
            (true, false) => Some("pmap shows only the last part of a path; `pmap -p` shows all of it"),
            (false, true) => Some("pmap shows no labels such as [heap]; `pmap -Xp` shows them"),
            (false, false) => None,
        }
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

impl Pmap {
    fn row(&mut self, line: &[u8]) -> Option<Region> {
        let row = match &self.columns {
            Some(columns) => columns.row(line),
            None => None,
        };
        let row = row.or_else(|| Columns::of_shape(line)?.row(line))?;
        let is_shared = row.share == ShareMode::Shared;
        let (name, inode) = match name(row.mapping, row.native.device, is_shared) {
            Mapping::Unnamed => (None, 0),
            Mapping::Named(name) => (Some(name), 0),
            Mapping::SystemV(id) => (Some(Name::new(NameKind::MemoryObject, &b"/SYSV"[..])), id),
        };
        self.has_procps_names |= row.mapping.starts_with(b"[ anon ]");
        self.has_labels |= row.mapping.starts_with(b"[") && !row.mapping.starts_with(b"[ ");
        self.has_short_names |= name.as_ref().is_some_and(|name| name.is_file() && name.bytes()[0] != b'/');
        Some(row.region(name, inode))
    }
}

/// What the last column says.
enum Mapping {
    Unnamed,
    Named(Name),
    /// A segment of System V shared memory, by its id.
    SystemV(u64),
}

/// The name in the last column. pmap cuts a path to its last part.
fn name(text: &[u8], device: Device, is_shared: bool) -> Mapping {
    let trimmed = text.trim_ascii_end();
    match trimmed {
        b"" | b"[ anon ]" | b"[anon]" | b"-" => return Mapping::Unnamed,
        b"[ stack ]" => return Mapping::Named(Name::new(NameKind::Kernel, &b"[stack]"[..])),
        _ => {}
    }
    if let Some(id) = trimmed.strip_prefix(b"[ shmid=").and_then(|rest| rest.strip_suffix(b" ]")) {
        return cells::prefixed(id).map_or(Mapping::Unnamed, Mapping::SystemV);
    }
    let is_whole = text.contains(&b'/') || text.starts_with(b"[") || text.starts_with(b"anon_inode:");
    let is_object = |name: &[u8]| {
        name.starts_with(b"socket:[") || name.starts_with(b"pipe:[") || name.starts_with(b"dmabuf:")
    };
    if is_whole || is_object(text) {
        return cells::name(text, device).map_or(Mapping::Unnamed, Mapping::Named);
    }
    // The end of a given name with a slash in it: `[anon:dalvik-/system/framework/boot.art]`.
    if let Some(given) = trimmed.strip_suffix(b"]").filter(|given| !given.contains(&b'[')) {
        return Mapping::Named(Name::new(NameKind::Given, given));
    }
    Mapping::Named(last_part(text, device, is_shared))
}

/// The name that the last part of a path stands for. What the kernel calls deleted may be a memory object.
fn last_part(text: &[u8], device: Device, is_shared: bool) -> Name {
    let in_full: &[u8] = if is_shared && text == b"zero (deleted)" { b"/dev/" } else { b"/" };
    match names::parse(&[in_full, text].concat(), device).map(|parsed| parsed.name) {
        Some(name) if name.kind() == NameKind::MemoryObject => name,
        Some(name) => {
            let file = Name::file(name.bytes().strip_prefix(b"/").unwrap_or(name.bytes()));
            if name.is_deleted() { file.deleted() } else { file }
        }
        None => Name::file(text),
    }
}

/// The columns, if the line is a head. A paste may have put something before it.
fn head(line: &[u8]) -> Option<Columns> {
    if line.len() > LONGEST_HEAD {
        return None;
    }
    let start = memchr::memmem::find(line, b"Address")?;
    Columns::of_head(&line[start..])
}

/// The process in a line such as `42:   sleep 300`, which comes before a listing.
fn introduction(line: &[u8]) -> Option<ProcessInfo> {
    let mut cells = Cells::new(line);
    let pid = cells::decimal(cells.next()?.strip_suffix(b":")?)?;
    let command = cells.rest().trim_ascii_end();
    let words: Vec<Box<[u8]>> = Cells::new(command).map(Box::from).collect();
    let program = words.first()?;
    let name = program.rsplit(|byte| *byte == b'/').next()?;
    Some(ProcessInfo {
        pid: Some(pid.try_into().ok()?),
        name: Some(name.into()),
        command: words,
        ..ProcessInfo::default()
    })
}

/// Whether a line belongs to the end of a listing: a rule or totals.
fn is_end(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let is_rule = |mark: u8| line.iter().all(|byte| *byte == mark || cells::is_blank(*byte));
    let is_number = |cell: &[u8]| cells::decimal(cell.strip_suffix(b"K").unwrap_or(cell)).is_some();
    let mut words = Cells::new(line);
    match words.next() {
        None => false,
        Some(b"total") => words.filter(|word| *word != b"kB").all(|word| is_number(word) || word == b"-"),
        Some(b"mapped:") => words.next().is_some_and(is_number),
        Some(word) if is_number(word) => words.skip_while(|word| is_number(word)).eq([b"KB"]),
        Some(_) => is_rule(b'-') || is_rule(b'='),
    }
}

#[cfg(test)]
mod tests;
