//! The statements of an explanation, as sentences.

use mmview_platform::{Bytes, Evidence, FactValue, Protection, Runtime, ShareMode};

use super::fact::named;
use crate::explain::Owned;
use crate::heap::HeapZone;
use crate::text::{printable, printable_line};
use crate::units::Units;
use crate::view::explain::Statement;

/// An amount of address space.
fn address_space(size: Option<Bytes>, units: Units) -> String {
    size.map_or_else(
        || "unknown address space".to_owned(),
        |size| format!("{} of address space", units.format(size)),
    )
}

/// A statement, safe to draw.
pub fn statement(statement: &Statement, units: Units) -> String {
    match statement {
        Statement::Process { name, target, resident, virtual_size, mappings, owners } => {
            let space = address_space(*virtual_size, units);
            let size = match resident {
                Some(resident) => format!("{} in memory, of {space}", units.format(*resident)),
                None => space,
            };
            let owners: Vec<_> = owners
                .iter()
                .map(|(owner, share)| format!("{} {}", percent(*share), printable_line(owner)))
                .collect();
            let name = match name {
                Some(name) => format!("{} [{}]", printable(name), printable_line(target)),
                None => printable_line(target),
            };
            format!("{name} has {size} in {mappings} mappings: {}.", listed(&owners))
        }
        Statement::Owner { share, owned } => owner(*share, owned, units),
        Statement::Others(1) => "One more owner has next to nothing.".to_owned(),
        Statement::Others(count) => format!("{count} more owners have next to nothing."),
        Statement::WritableCode(1) => {
            "1 region can be written and executed, which makes an attack easier.".to_owned()
        }
        Statement::WritableCode(count) => {
            format!("{count} regions can be written and executed, which makes an attack easier.")
        }
        Statement::NotRead => "The memory itself was not read. It could show which allocator or runtime owns the anonymous \
                               part: a process needs the permission to trace it (root has it), and a capture needs it \
                               from the start (mmview snapshot)."
            .to_owned(),
        Statement::Purpose(kind) => format!("{}: {}", kind.title(), kind.about()),
        Statement::Access { protection, share, path } => access(*protection, *share, path.as_deref()),
        Statement::Sizes { range, counts } => {
            let sizes = [("resident", counts.resident), ("dirty", counts.dirty), ("swapped out", counts.swapped)];
            let sizes = sizes.into_iter().filter_map(|(word, size)| Some((word, size?)));
            let sizes: Vec<_> = sizes.map(|(word, size)| format!("{} is {word}", units.format(size))).collect();
            let size = format!("It is {} long ({range})", units.format(range.size()));
            match sizes.is_empty() {
                true => format!("{size}. How much of it is in memory was not measured."),
                false => format!("{size}; {}.", listed(&sizes)),
            }
        }
        Statement::Belongs { owner, evidence, proof } => {
            let (owner, how) = (printable_line(owner), how(*evidence, *proof));
            match owner.as_str() {
                "anonymous" => format!("Nothing shows whose it is. {how}"),
                owner => format!("It belongs to {owner}. {how}"),
            }
        }
        Statement::Zone(zone) => {
            format!("Its zone is {}. {}", printable_line(&zone.zone.name), allocated(zone, units))
        }
        Statement::Next => "What to look at next:".to_owned(),
        Statement::Command { command, width, shows } => {
            format!("  {:<width$}  {shows}", printable_line(command))
        }
    }
}

fn owner(share: Option<u64>, owned: &Owned, units: Units) -> String {
    let name = if owned.is_unknown() { "anonymous memory".to_owned() } else { printable_line(&owned.name) };
    let heading = match share {
        Some(share) => format!("{} is {name}", percent(share)),
        None => name,
    };
    let space = owned.totals.virtual_size.value();
    let size = match owned.totals.resident.value() {
        Some(resident) if Some(resident) == space => {
            format!("{}, all of it in memory", units.format(resident))
        }
        Some(resident) => format!("{} in memory, of {}", units.format(resident), address_space(space, units)),
        None => address_space(space, units),
    };
    let mut sentences = vec![format!("{heading}: {size}.")];
    if owned.types.len() > 1 {
        let types = owned
            .types
            .iter()
            .map(|(name, size)| format!("{} {}", printable_line(name), units.format(*size)));
        sentences.push(format!("Most of it: {}.", listed(&types.collect::<Vec<_>>())));
    }
    if let [_, ..] = owned.files.as_slice() {
        let files = owned.files.iter().map(|(path, size)| {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            format!("{} {}", named(Some(name)), units.format(*size))
        });
        sentences.push(format!("The largest files: {}.", listed(&files.collect::<Vec<_>>())));
    }
    sentences.extend(owned.runtimes.iter().map(|it| runtime(it, units)));
    sentences.extend(owned.heap.as_ref().map(|heap| allocated(heap, units)).filter(|text| !text.is_empty()));
    sentences.push(known(owned, units));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(" ")
}

/// What the structures of a runtime record.
fn runtime(runtime: &Runtime, units: Units) -> String {
    let facts = runtime.facts.iter().filter_map(|(label, value)| {
        let value = match value {
            FactValue::Count(count) => count.to_string(),
            FactValue::Size(size) => units.format(*size),
            FactValue::Text(text) => printable_line(text),
            _ => return None,
        };
        Some(format!("{} {value}", printable_line(label)))
    });
    let facts: Vec<_> = facts.collect();
    let name = printable_line(&runtime.name);
    if facts.is_empty() { format!("It is {name}.") } else { format!("{name} records: {}.", listed(&facts)) }
}

/// What is allocated in a zone, as far as it is known.
fn allocated(zone: &HeapZone, units: Units) -> String {
    let figures = &zone.zone;
    let about = if figures.is_exact() { "" } else { "about " };
    let used = match (figures.allocations, figures.allocated) {
        (Some(blocks), Some(bytes)) => {
            Some(format!("{about}{blocks} blocks of {} together are in use", units.format(bytes)))
        }
        (Some(blocks), None) => Some(format!("{about}{blocks} blocks are in use")),
        (None, Some(bytes)) => Some(format!("{about}{} of it is in use", units.format(bytes))),
        (None, None) => None,
    };
    let size = |size: Option<Bytes>, word: &str| Some(format!("{} is {word}", units.format(size?)));
    let committed = figures.committed.filter(|committed| *committed < zone.memory.virtual_size);
    let parts: Vec<_> =
        [used, size(committed, "committed"), size(figures.free, "free")].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { capitalized(&format!("{}.", listed(&parts))) }
}

/// How it is known whose memory it is.
fn known(owned: &Owned, units: Units) -> String {
    match owned.evidence.as_slice() {
        _ if owned.is_unknown() => "Nothing shows whose it is.".to_owned(),
        [] => String::new(),
        [(evidence, _)] => how(*evidence, owned.proof),
        several => {
            let likely = several.iter().find(|(evidence, _)| *evidence == Evidence::Shape);
            let certain = match several.iter().any(|(evidence, _)| *evidence == Evidence::Memory) {
                true => how(Evidence::Memory, owned.proof),
                false => how(Evidence::Kernel, None),
            };
            match likely {
                Some((_, size)) => {
                    format!(
                        "{certain} {} of it is only likely: size and neighbors suggest it.",
                        units.format(*size)
                    )
                }
                None => certain,
            }
        }
    }
}

fn how(evidence: Evidence, proof: Option<&'static str>) -> String {
    match (evidence, proof) {
        (Evidence::Memory, Some(proof)) => format!("Evidence in memory: {proof}."),
        (Evidence::Memory, None) => "Evidence: the headers of the files.".to_owned(),
        (Evidence::Shape, _) => "Likely, not certain: only size and neighbors suggest it.".to_owned(),
        _ => "Evidence: names, files and flags that the kernel reports.".to_owned(),
    }
}

fn access(protection: Protection, share: ShareMode, path: Option<&[u8]>) -> String {
    let file = path.map(|path| format!(" Behind it is {}.", printable(path))).unwrap_or_default();
    if !protection.is_known() {
        return format!("How it can be accessed is unknown: the capture doesn't show its protection.{file}");
    }
    let allowed = [
        (protection.is_readable(), "read"),
        (protection.is_writable(), "written"),
        (protection.is_executable(), "executed"),
    ];
    let allowed: Vec<_> =
        allowed.into_iter().filter(|(is_allowed, _)| *is_allowed).map(|(_, word)| word.to_owned()).collect();
    let allowed = match allowed.is_empty() {
        true => "It can't be accessed: any access is a fault".to_owned(),
        false => format!("It can be {}", listed(&allowed)),
    };
    if !share.is_known() {
        return format!("{allowed}; the capture doesn't show who sees a write.{file}");
    }
    let writes = match (share.is_shared(), path.is_some()) {
        (true, true) => "a write reaches the file and every process that maps it",
        (true, false) => "every process that maps it sees a write",
        (false, true) => "a write makes a copy of the page, which the file never gets",
        (false, false) => "it is private to the process",
    };
    format!("{allowed}; {writes}.{file}")
}

/// Thousandths as a percentage.
fn percent(thousandths: u64) -> String {
    match thousandths {
        0 => "<0.1 %".to_owned(),
        1..100 => format!("{}.{} %", thousandths / 10, thousandths % 10),
        _ => format!("{} %", (thousandths + 5) / 10),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

pub(super) fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shares_are_not_rounded_to_nothing() {
        assert_eq!(
            [0, 4, 99, 100, 996, 1000].map(percent),
            ["<0.1 %", "0.4 %", "9.9 %", "10 %", "100 %", "100 %"]
        );
    }

    #[test]
    fn lists_read_as_sentences() {
        let items = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(
            [0, 1, 2, 3].map(|count| listed(&items[..count])),
            ["nothing", "a", "a and b", "a, b and c"]
        );
    }
}
