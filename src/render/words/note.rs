//! Notes as sentences.

use mmview_platform::Evidence;

use super::crash;
use super::explain::{self, capitalized};
use super::fact::{local, named};
use super::regions;
use crate::sample::peak::When;
use crate::text::{printable, printable_line};
use crate::units::Units;
use crate::view::origins::milliseconds;
use crate::view::regions::detail;
use crate::view::{Note, Remedy, RemedySource, StopReason, Subject};

/// A note, safe to draw.
pub fn note(note: &Note, units: Units) -> String {
    match note {
        Note::HugePages(size) => {
            format!(
                "{} in huge pages (hugetlb), which the kernel doesn't count as resident.",
                units.format(*size)
            )
        }
        Note::LazyFree(size) => format!(
            "{} is LazyFree (freed with MADV_FREE): the kernel takes it back when memory is short; until then it \
             counts as resident.",
            units.format(*size)
        ),
        Note::Locked(size) => {
            format!("{} is locked in memory (mlock): the kernel never swaps it out.", units.format(*size))
        }
        Note::TransparentHuge(size) => {
            format!("{} is in transparent huge pages; it counts as resident.", units.format(*size))
        }
        Note::PartlyMeasured => "Some regions were not measured; the sizes leave them out.".to_owned(),
        Note::LayoutOnly => "- was not measured: this is only the layout of the map.".to_owned(),
        Note::DirtyNotMeasured => "- was not measured: use --detail counts to read more.".to_owned(),
        Note::MappingLimit { used, limit } => format!(
            "{used} of {limit} mappings are in use: at the limit (vm.max_map_count) mmap fails with ENOMEM."
        ),
        Note::Unlisted { listed, counted } => format!(
            "These are the sums of the {listed} regions that the report lists; its own table counts {counted}."
        ),
        Note::PrintedSummary => {
            "The report lists no regions: this is its own summary, as printed.".to_owned()
        }
        Note::Warnings(1) => "There is a warning about this map on standard error.".to_owned(),
        Note::Warnings(count) => format!("There are {count} warnings about this map on standard error."),
        Note::Gentle(reading) => {
            let within = reading.budget.map(|budget| format!(" of {} ms allowed", milliseconds(budget)));
            format!(
                "Read gently by {} in {} calls, the longest {} ms{}; {} ms busy, {} ms asleep.",
                reading.method,
                reading.calls,
                milliseconds(reading.longest),
                within.unwrap_or_default(),
                milliseconds(reading.busy),
                milliseconds(reading.slept),
            )
        }
        Note::MemoryRead { calls, bytes, time } => format!(
            "Read {} of its memory in {calls} system calls; {} ms in all.",
            units.format(*bytes),
            milliseconds(*time),
        ),
        Note::ByShape(titles) => {
            format!("Likely, by size and neighbors alone: {}.", titles.join(", "))
        }
        Note::Divided(1) => {
            "Rows count parts: the kernel joined several in one region, and TOTAL counts regions.".to_owned()
        }
        Note::Divided(count) => format!(
            "Rows count parts: the kernel joined several in each of {count} regions, and TOTAL counts regions."
        ),
        Note::ZoneDoubt { zone, doubts } => {
            let doubts: Vec<_> = doubts.iter().map(|doubt| printable_line(doubt)).collect();
            format!("About right, not exact: {}: {}.", printable_line(zone), doubts.join("; "))
        }
        Note::WithoutSizes(zones) => {
            let zones: Vec<_> = zones.iter().map(|zone| printable_line(zone)).collect();
            format!("Not by size, because their owner doesn't record it: {}.", zones.join(", "))
        }
        Note::ZoneChanged(zone) => {
            let about = if zone.is_exact { "" } else { "about " };
            let bytes = zone.allocated.map(|_| format!("{} allocated", units.format_delta(zone.allocated)));
            let blocks = zone.allocations.map(|blocks| format!("{blocks:+} blocks"));
            let changes: Vec<_> = bytes.into_iter().chain(blocks).collect();
            format!("{}: {about}{}.", printable_line(&zone.zone), changes.join(", "))
        }
        Note::NoZones { was_read: true, is_dump: false } => {
            "Nothing is known of its heap: its allocator is none that mmview knows, or its structures are damaged.".to_owned()
        }
        Note::NoZones { was_read: true, is_dump: true } => {
            "Nothing is known of its heap: the dump lacks its memory, or its allocator is none that mmview knows.".to_owned()
        }
        Note::NoZones { was_read: false, .. } => {
            "Nothing is known of its heap: its memory was not read (see --evidence).".to_owned()
        }
        Note::LargestGap(Some(gap)) => format!("Largest gap: {gap}, {} free.", units.format(gap.size())),
        Note::LargestGap(None) => "There is no gap between the regions.".to_owned(),
        Note::Incomplete(why) => format!("INCOMPLETE: {why}."),
        Note::AddressHit { address, region } => {
            let mark = |evidence| if evidence == Evidence::Shape { " (likely)" } else { "" };
            if let Some(part) = region.part_at(*address) {
                let into = address - part.range().start();
                let note = part.note().map(|note| format!(" ({})", printable_line(note))).unwrap_or_default();
                let (title, likely, parts) = (part.title(), mark(part.evidence()), region.parts().len());
                return format!("{address:#x} is {into:#x} bytes into {title}{likely}{note}, one of {parts} parts of a region.");
            }
            let into = address - region.range().start();
            let detail = printable(&detail(region));
            let mut sentence = format!("{address:#x} is {into:#x} bytes into {}{}", region.title(), mark(region.evidence()));
            if !detail.is_empty() {
                sentence.push_str(&format!(" {detail}"));
            }
            if region.facts().is_file_backed() {
                let offset = region.offset().wrapping_add(into);
                sentence.push_str(&format!(", at offset {offset:#x} of the file"));
            }
            sentence + "."
        }
        Note::AddressMiss { address, gap, before, after } => {
            let parts = [
                gap.map(|gap| format!("the gap is {}", units.format(gap))),
                before.map(|distance| format!("the last one ended {distance:#x} bytes before it")),
                after.map(|distance| format!("the next region starts {distance:#x} bytes after it")),
            ];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            match parts.is_empty() {
                true => format!("{address:#x} is not in any region."),
                false => format!("{address:#x} is not in any region: {}.", parts.join(", ")),
            }
        }
        Note::Statement(statement) => explain::statement(statement, units),
        Note::NoDumps(directory) => {
            format!("{} has no dumps.", printable(directory.as_os_str().as_encoded_bytes()))
        }
        Note::PartOfMap(why) => format!("{}.", capitalized(why)),
        Note::Crash { os, pid, report } => crash::cause(report, os, *pid),
        Note::ThreadAt { thread, region } => crash::thread_at(thread, region.as_deref(), units),
        Note::Checked { hold, fail, undecided, subject } => checked([*hold, *fail, *undecided], subject),
        Note::Saved { regions: count, name, pid, path, bytes } => {
            let name = name.as_deref().map(|name| format!(" of {}", printable(name)));
            let pid = pid.map(|pid| format!(" [{pid}]"));
            let path = printable(path.as_os_str().as_encoded_bytes());
            let (name, pid) = (name.unwrap_or_default(), pid.unwrap_or_default());
            format!("Saved {}{name}{pid} in {path} ({bytes} bytes)", regions(*count))
        }
        Note::Watching { name, target, regions: count, interval } => {
            let name = name.as_deref().map_or_else(|| "process".to_owned(), printable);
            format!("Watching {name} [{target}]: {}, read every {interval:?}.", regions(*count))
        }
        Note::Watched { stop, events, time } => {
            let events = if *events == 1 { "1 event".to_owned() } else { format!("{events} events") };
            format!("{}. {events} in {:.1} s.", stopped(stop), time.as_secs_f64())
        }
        Note::NeverHeld(check) => format!("The check never held: {}", printable_line(check)),
        Note::FoundAtEnd(found) => format!("Found at the end: {}.", printable_line(found)),
        Note::Same { in_everything: true } => "There is no difference.".to_owned(),
        Note::Same { in_everything: false } => {
            "There is no difference in what was measured in both.".to_owned()
        }
        Note::OnlyMoved(1) => "1 region moved and is otherwise the same.".to_owned(),
        Note::OnlyMoved(count) => format!("{count} regions moved and are otherwise the same."),
        Note::OnlyIncidental(count) => format!(
            "{} only in what changes by itself: shares of pages with other processes, references, flags.",
            if *count == 1 { "1 region differs".to_owned() } else { format!("{count} regions differ") }
        ),
        Note::NotMeasuredInBoth => "- was not measured in both.".to_owned(),
        Note::TypesOnly => "One of the two lists no regions: only the types can be compared.".to_owned(),
        Note::Seen { when, is_traced, after, samples, ending } => {
            let when = match when {
                When::Start if *is_traced => "before any of its code ran",
                When::Start => "right after it was started",
                When::Running => "while it ran",
                When::Exit => "as it ended",
            };
            let samples = match samples {
                1 => "the only sample".to_owned(),
                count => format!("one of {count} samples"),
            };
            let after = after.as_secs_f64();
            format!("Read {when}, {after:.3} s after the start, {samples}. The program ended: {ending}.")
        }
        Note::HeldThen(check) => format!("The check held then: {}", printable_line(check)),
        Note::HeldNever(check) => {
            format!("The check held in no sample; this is the peak: {}", printable_line(check))
        }
        Note::Peak(peak) => format!(
            "The peak was higher between two samples: {} resident, by the kernel's counter.",
            units.format(*peak)
        ),
        Note::Lesson { name, about } => format!("Lesson {name}: {about}."),
    }
}

fn checked([hold, fail, undecided]: [usize; 3], subject: &Subject) -> String {
    let part = |count: usize, one: &str, several: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {several}")),
    };
    let parts = [
        part(hold, "holds", "hold"),
        part(fail, "fails", "fail"),
        part(undecided, "can't be decided", "can't be decided"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let checks = match hold + fail + undecided {
        1 => String::new(),
        count => format!("Of {count} checks {}. ", parts.join(", ")),
    };
    checks + &self::subject(subject)
}

/// Which map it is, how large and when: for a log.
fn subject(subject: &Subject) -> String {
    let what = match (&subject.capture, subject.pid) {
        (Some((path, format)), _) => {
            format!("{} ({})", printable(path.as_os_str().as_encoded_bytes()), format.id())
        }
        (None, Some(pid)) => format!("{} [{pid}]", named(subject.name.as_deref())),
        (None, None) => String::new(),
    };
    let taken = subject.taken.map(|taken| format!(" at {}", local(taken)));
    format!("{what} had {}{}.", regions(subject.regions), taken.unwrap_or_default())
}

fn stopped(stop: &StopReason) -> String {
    match stop {
        StopReason::Ended(Some(ending)) => format!("The process ended: {ending}"),
        StopReason::Ended(None) => "The process ended; only its parent can know how".to_owned(),
        StopReason::TimeUp => "The time is up".to_owned(),
        StopReason::Held => "The check holds".to_owned(),
        StopReason::Interrupted => "Interrupted".to_owned(),
        StopReason::Refused(why) => format!("INCOMPLETE: {why}"),
    }
}

/// What would decide a check, without a full stop.
pub fn remedy(remedy: &Remedy) -> String {
    let names = remedy.unmeasured.join(" and ");
    match remedy.source {
        RemedySource::UnlinkedOnMacos => "macOS doesn't report whether a file has been unlinked".to_owned(),
        RemedySource::Only(system) => format!("only {system} reports {names}"),
        RemedySource::Smaps => format!("a saved maps doesn't have {names}; save /proc/PID/smaps"),
        RemedySource::WholePaths => "the report shortens paths; `vmmap -w` writes them whole".to_owned(),
        RemedySource::NotInReport => format!("a report of vmmap doesn't have {names}"),
        RemedySource::NotInCapture => format!("this capture doesn't have {names}"),
        RemedySource::NotOnMacos => format!("macOS doesn't report {names} here"),
        RemedySource::Detail => format!("use --detail counts to measure {names}"),
        RemedySource::System => {
            format!("the system didn't report {names}; warnings on standard error may say why")
        }
    }
}
