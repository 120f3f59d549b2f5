//! What a process or a region is made of, in sentences: what is there, how that is known, and what to look at next.

use mmview_platform::{
    AddrRange, Bytes, Evidence, FactValue, PageCounts, Protection, Runtime, ShareMode, Warning,
};
use serde_json::{Value, json};

use super::address::Place;
use super::origins::{Origins, warnings_value};
use super::{Head, Line, Note, Section, SectionKind, Tail, ViewKind, address_value, fields, name_value};
use crate::explain::{Explanation, Owned, proof};
use crate::heap::HeapZone;
use crate::kind::RegionKind;
use crate::ownership::owner_of;
use crate::region::Part;
use crate::summary::Totals;

/// Owners with less than so many thousandths are not worth a paragraph, unless something is allocated in what they have.
const WORTH_A_PARAGRAPH: u64 = 5;

/// From so many thousandths on, unknown memory is worth a look; and so is memory that is lost between blocks, in percent.
const MUCH_UNKNOWN: u64 = 50;
const MUCH_LOST: u64 = 30;

/// A sentence or a paragraph as data; `render/words/explain.rs` words it. Names are not escaped.
#[derive(Clone, Debug)]
pub enum Statement {
    /// How much memory the process has, and whose most of it is.
    Process {
        /// Its name and its id, or the file of a capture.
        name: Option<Box<[u8]>>,
        /// The target, short.
        target: String,
        /// How much of it is resident, if that was measured.
        resident: Option<Bytes>,
        /// Its address space.
        virtual_size: Option<Bytes>,
        /// The number of mappings.
        mappings: u64,
        /// The largest owners, with their thousandths.
        owners: Vec<(String, u64)>,
    },
    /// What an owner has.
    Owner {
        /// Its thousandths of the whole.
        share: Option<u64>,
        /// What it has.
        owned: Box<Owned>,
    },
    /// How many owners have next to nothing.
    Others(usize),
    /// How many regions can be written and executed.
    WritableCode(u64),
    /// The memory was not read, so that owners are missing.
    NotRead,
    /// What the part of a region at an address is for.
    Purpose(RegionKind),
    /// Who can do what with it.
    Access {
        /// What is allowed.
        protection: Protection,
        /// Who sees a write.
        share: ShareMode,
        /// The file behind it.
        path: Option<Box<[u8]>>,
    },
    /// Where it lies and how much of it is in memory.
    Sizes {
        /// Its addresses.
        range: AddrRange,
        /// How much of it is resident, dirty and swapped.
        counts: PageCounts,
    },
    /// Whose it is, and how that is known.
    Belongs {
        /// The owner.
        owner: String,
        /// How it is known.
        evidence: Evidence,
        /// What in the memory shows it.
        proof: Option<&'static str>,
    },
    /// What is allocated in its zone.
    Zone(Box<HeapZone>),
    /// The words above a list of commands.
    Next,
    /// A command that shows more.
    Command {
        /// The command.
        command: String,
        /// The width of the longest command.
        width: usize,
        /// What it shows.
        shows: &'static str,
    },
}

fn paragraph(statement: Statement) -> Section {
    Section::note(Note::Statement(Box::new(statement)))
}

/// What to look at next: commands, and what they show.
struct Next {
    target: String,
    commands: Vec<(String, &'static str)>,
}

impl Next {
    fn of(origins: &Origins) -> Next {
        Next { target: shell_word(&origins.target()), commands: Vec::new() }
    }

    /// Adds `mmview COMMAND TARGET OPTIONS`.
    fn add(&mut self, command: &str, options: &str, shows: &'static str) {
        let words = ["mmview", command, &self.target, options];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        self.commands.push((words.join(" "), shows));
    }

    fn section(&self) -> Section {
        let width =
            self.commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
        let commands = self.commands.iter().map(|(command, shows)| {
            let command = Statement::Command { command: command.clone(), width, shows };
            Line::Note(Note::Statement(Box::new(command)))
        });
        let title = Line::Note(Note::Statement(Box::new(Statement::Next)));
        Section::new(SectionKind::Text, std::iter::once(title).chain(commands).collect())
    }

    fn value(&self) -> Value {
        let commands = self.commands.iter();
        commands.map(|(command, shows)| json!({ "command": command, "shows": shows })).collect()
    }
}

/// A word as a shell takes it.
fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./+,:@%".contains(letter);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A process, explained.
pub fn process(origins: &Origins, explanation: &Explanation) -> Head {
    let Explanation { owners, total, mappings, writable_code, was_read } = explanation;
    let is_worth = |owned: &&Owned| {
        owned.heap.is_some() || owned.share(total).is_none_or(|share| share >= WORTH_A_PARAGRAPH)
    };
    let worth: Vec<_> = owners.iter().filter(is_worth).collect();
    let named = worth.iter().filter_map(|owned| Some((owned.name.to_string(), owned.share(total)?)));
    let headline = Statement::Process {
        name: origins.process.name.clone(),
        target: origins.target(),
        resident: total.resident.value(),
        virtual_size: total.virtual_size.value(),
        mappings: *mappings,
        owners: named.collect(),
    };
    let mut sections = vec![paragraph(headline)];
    sections.extend(worth.iter().map(|owned| {
        paragraph(Statement::Owner { share: owned.share(total), owned: Box::new((*owned).clone()) })
    }));
    if worth.len() < owners.len() {
        sections.push(paragraph(Statement::Others(owners.len() - worth.len())));
    }
    if *writable_code > 0 {
        sections.push(paragraph(Statement::WritableCode(*writable_code)));
    }
    if !was_read {
        sections.push(paragraph(Statement::NotRead));
    }
    let next = after_process(origins, explanation);
    sections.push(next.section());
    let mut fields = origins.fields(ViewKind::Explain);
    fields.insert("owners".to_owned(), owners.iter().map(|owned| owner_value(owned, total)).collect());
    fields.insert("total".to_owned(), json!(total));
    fields.insert("next".to_owned(), next.value());
    Head { view: ViewKind::Explain, target: origins.target(), sections, fields, tables: Vec::new() }
}

fn after_process(origins: &Origins, explanation: &Explanation) -> Next {
    let Explanation { owners, total, writable_code, .. } = explanation;
    let mut next = Next::of(origins);
    let heaps = || owners.iter().filter_map(|owned| owned.heap.as_ref());
    next.add("", "--by owner", "the same as a table");
    if heaps().next().is_some() {
        next.add("heap", "", "what is allocated in each zone");
    }
    let is_lost = |heap: &HeapZone| heap.fragmentation_percent().is_some_and(|percent| percent >= MUCH_LOST);
    if heaps().any(is_lost) {
        next.add("heap", "--free", "what is free, and what could be given back");
    }
    let is_much = |owned: &Owned| owned.share(total).is_some_and(|share| share >= MUCH_UNKNOWN);
    if owners.iter().any(|owned| owned.is_unknown() && is_much(owned)) {
        next.add("regions", "--kind anonymous --sort resident", "the memory without an owner");
    }
    if *writable_code > 0 {
        next.add("regions", "--perm wx", "the regions that can be written and executed");
    }
    if total.swapped.value().is_some_and(|swapped| swapped > Bytes::ZERO) {
        next.add("regions", "--sort swapped", "what is in swap");
    }
    if origins.source.capabilities.live {
        next.add("diff", "--interval 10s", "what changes in ten seconds");
    }
    next
}

/// An address, explained. `zone` is what is allocated in the zone that it lies in.
pub fn address(origins: &Origins, place: &Place, zone: Option<HeapZone>) -> Head {
    let mut next = Next::of(origins);
    let mut sections = vec![Section::note(place.note())];
    let mut fields = origins.fields(ViewKind::Explain);
    fields.insert("address".to_owned(), address_value(place.address));
    fields.insert("found".to_owned(), place.hit.is_some().into());
    if let Some(region) = &place.hit {
        let part = region.part_at(place.address).cloned().unwrap_or_else(|| region.as_part());
        let belongs = Statement::Belongs {
            owner: owner_of(&part).into_owned(),
            evidence: part.evidence(),
            proof: part.owner().and_then(proof),
        };
        let access = Statement::Access {
            protection: region.protection(),
            share: region.share(),
            path: region.path().filter(|_| region.is_file_backed()).map(Into::into),
        };
        sections.push(paragraph(Statement::Purpose(part.kind())));
        sections.push(paragraph(belongs));
        sections.push(paragraph(access));
        sections.push(paragraph(Statement::Sizes { range: part.range(), counts: part.counts() }));
        if let Some(zone) = &zone {
            sections.push(paragraph(Statement::Zone(Box::new(zone.clone()))));
            next.add("heap", "", "every zone");
        }
        fields.insert("part".to_owned(), part_value(&part));
        fields.insert("zone".to_owned(), zone.map_or(Value::Null, |zone| zone_value(&zone)));
    }
    next.add("", &format!("{:#x}", place.address), "the region and its neighbors");
    next.add("explain", "", "the whole process");
    sections.push(next.section());
    fields.insert("next".to_owned(), next.value());
    Head { view: ViewKind::Explain, target: origins.target(), sections, fields, tables: Vec::new() }
}

/// What comes after it.
pub fn tail(warnings: &[Warning]) -> Tail {
    Tail { fields: fields(json!({ "warnings": warnings_value(warnings) })), notes: Vec::new() }
}

fn owner_value(owned: &Owned, total: &Totals) -> Value {
    let sizes = |sizes: &[(String, Bytes)]| -> Value {
        sizes.iter().map(|(name, size)| json!({ "type": name, "resident": size })).collect()
    };
    let evidence: serde_json::Map<_, _> =
        owned.evidence.iter().map(|(evidence, size)| (evidence.id().to_owned(), json!(size))).collect();
    json!({
        "owner": owned.name,
        "share": owned.share(total).map(|share| share as f64 / 1000.0),
        "virtual": owned.totals.virtual_size,
        "resident": owned.totals.resident,
        "dirty": owned.totals.dirty,
        "swapped": owned.totals.swapped,
        "regions": owned.totals.regions,
        "evidence": evidence,
        "proof": owned.proof,
        "types": sizes(&owned.types),
        "files": owned.files.iter()
            .map(|(name, size)| json!({ "path": name_value(name), "resident": size }))
            .collect::<Vec<_>>(),
        "runtimes": owned.runtimes.iter().map(runtime_value).collect::<Vec<_>>(),
        "heap": owned.heap.as_ref().map(zone_value),
    })
}

fn runtime_value(runtime: &Runtime) -> Value {
    let value = |value: &FactValue| match value {
        FactValue::Count(count) => json!(count),
        FactValue::Size(size) => json!(size),
        FactValue::Text(text) => json!(text),
        _ => Value::Null,
    };
    let facts = runtime.facts.iter().map(|(label, fact)| json!({ "label": label, "value": value(fact) }));
    json!({ "name": runtime.name, "facts": facts.collect::<Vec<_>>() })
}

fn zone_value(zone: &HeapZone) -> Value {
    json!({
        "zone": zone.zone.name,
        "allocations": zone.zone.allocations,
        "allocated": zone.zone.allocated,
        "committed": zone.zone.committed,
        "free": zone.zone.free,
        "cached": zone.zone.cached,
        "exact": zone.zone.is_exact(),
    })
}

fn part_value(part: &Part) -> Value {
    let counts = part.counts();
    json!({
        "start": address_value(part.range().start()),
        "end": address_value(part.range().end()),
        "kind": part.kind().id(),
        "type": part.title(),
        "detail": part.note(),
        "owner": owner_of(part),
        "evidence": part.evidence().id(),
        "resident": counts.resident,
        "dirty": counts.dirty,
        "swapped": counts.swapped,
    })
}
