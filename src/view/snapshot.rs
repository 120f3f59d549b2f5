//! What was saved.

use std::path::Path;

use super::process::warnings_value;
use super::regions::counted;
use super::{Head, Tail, name_value};
use crate::snapshot::Snapshot;
use crate::text::printable;

/// That `snapshot` was saved under `path`, in so many bytes: a line for people, a document for machines.
pub fn saved(snapshot: &Snapshot, path: &Path, bytes: u64) -> (Head, Tail) {
    let path = path.as_os_str().as_encoded_bytes();
    let process = &snapshot.process;
    let name = process.name.as_deref().map(|name| format!(" of {}", printable(name)));
    let pid = process.pid.map(|pid| format!(" [{pid}]"));
    let regions = counted(snapshot.regions.len());
    let line = format!(
        "Saved {regions}{}{} in {} ({bytes} bytes)",
        name.unwrap_or_default(),
        pid.unwrap_or_default(),
        printable(path),
    );
    let origins = snapshot.origins();
    let mut fields = origins.fields("snapshot");
    fields.insert("archive".to_owned(), name_value(path));
    fields.insert("bytes".to_owned(), bytes.into());
    fields.insert("region_count".to_owned(), snapshot.regions.len().into());
    let head =
        Head { view: "snapshot", target: origins.target(), text: vec![line], fields, tables: Vec::new() };
    let mut tail = Tail::default();
    tail.fields.insert("warnings".to_owned(), warnings_value(&snapshot.warnings));
    (head, tail)
}
