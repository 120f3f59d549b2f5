//! A map that was saved.

use std::path::Path;

use super::origins::{Origins, warnings_value};
use super::{Head, Note, Section, Tail, ViewKind, name_value};
use crate::snapshot::Snapshot;

/// That `snapshot` was saved under `path`, in so many bytes: a line for people, a document for machines.
pub fn saved(snapshot: &Snapshot, path: &Path, bytes: u64) -> (Head, Tail) {
    let origins = Origins::from(snapshot);
    let process = &snapshot.process;
    let regions = snapshot.regions.len();
    let note =
        Note::Saved { regions, name: process.name.clone(), pid: process.pid, path: path.to_owned(), bytes };
    let mut fields = origins.fields(ViewKind::Snapshot);
    fields.insert("archive".to_owned(), name_value(path.as_os_str().as_encoded_bytes()));
    fields.insert("bytes".to_owned(), bytes.into());
    fields.insert("region_count".to_owned(), regions.into());
    let head = Head {
        view: ViewKind::Snapshot,
        target: origins.target(),
        sections: vec![Section::note(note)],
        fields,
        tables: Vec::new(),
    };
    let mut tail = Tail::default();
    tail.fields.insert("warnings".to_owned(), warnings_value(&snapshot.warnings));
    (head, tail)
}
