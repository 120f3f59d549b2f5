//! `mmview check`: reading the checks from the line and from files, and making them on a target.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use mmview_platform::Detail;

use crate::check::{Check, Evidence, SyntaxError, Verdict};
use crate::cli::Exit;
use crate::cli::args::CheckArgs;
use crate::cli::plan::{Task, Usage, ViewPlan};
use crate::cli::show::{Failure, Shown, classified, note_warnings};
use crate::cli::target::Target;
use crate::completeness::Missing;
use crate::region::Classified;
use crate::text::printable;
use crate::view;
use crate::view::check::CheckRecord;
use crate::view::process::Origins;

const EXAMPLE: &str = "as in: mmview check 4242 'mapped \"/path/to/file\"' 'none(perm=rwx)'";

/// What was typed comes to: the target, and the checks, all of them understood before anything else is read.
pub(in crate::cli) fn plan(args: CheckArgs) -> anyhow::Result<Task> {
    let mut words = args.words.into_iter();
    let named = args.pid.map(Target::Pid).or(args.file.map(Target::File)).or(args.name.map(Target::Name));
    let has_named = named.is_some();
    let target = named.or_else(|| words.next().map(Target::resolve));
    let Some(target) = target else {
        return Err(
            Usage(format!("which process, and what of it? Write a target and a check, {EXAMPLE}")).into()
        );
    };
    let words: Vec<OsString> = words.collect();
    if words.is_empty() && args.from.is_empty() {
        return Err(Usage(nothing_to_check(&target, has_named)).into());
    }
    let mut checks = Vec::new();
    for path in &args.from {
        checks.extend(from_file(path)?);
    }
    for word in &words {
        checks.push(from_word(word)?);
    }
    Ok(Task::Show { targets: vec![target], view: ViewPlan::Check { checks, quiet: args.quiet } })
}

fn nothing_to_check(target: &Target, has_named: bool) -> String {
    let is_check = match target {
        Target::Name(text) if !has_named => text.to_str().is_some_and(|text| text.parse::<Check>().is_ok()),
        Target::File(path) if !has_named => path.to_str().is_some_and(|text| text.parse::<Check>().is_ok()),
        _ => false,
    };
    if is_check {
        return format!("which process? Write its PID, name or file before the check, {EXAMPLE}");
    }
    format!("what is to be checked of {}? Write a check, {EXAMPLE}", target.title())
}

/// A check as it was typed.
pub(in crate::cli) fn from_word(word: &OsString) -> anyhow::Result<Check> {
    let Some(text) = word.to_str() else {
        let word = printable(word.as_encoded_bytes());
        return Err(
            Usage(format!("`{word}` is not UTF-8; write a byte of a path as \\xHH, in quotes")).into()
        );
    };
    Ok(text.parse::<Check>()?)
}

/// The checks in a file, one a line; `-` is standard input. Blank lines, and those that begin with `#`, say nothing.
fn from_file(path: &Path) -> anyhow::Result<Vec<Check>> {
    let (title, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("failed to read standard input")?;
        ("standard input".to_owned(), bytes)
    } else {
        let title = format!("`{}`", printable(path.as_os_str().as_encoded_bytes()));
        let bytes = std::fs::read(path).with_context(|| format!("failed to read {title}"))?;
        (title, bytes)
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Usage(format!("{title} is not UTF-8; write a byte of a path as \\xHH, in quotes")))?;
    let mut checks = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let check = line.parse::<Check>();
        checks.push(check.with_context(|| format!("line {} of {title}", index + 1))?);
    }
    if checks.is_empty() {
        return Err(Usage(format!("there is no check in {title}: write one a line")).into());
    }
    Ok(checks)
}

/// The place of what is wrong with a check, where that is the error.
pub(in crate::cli) fn picture(error: &anyhow::Error) -> Option<[String; 2]> {
    error.downcast_ref::<SyntaxError>().map(SyntaxError::picture)
}

impl Shown<'_> {
    /// Makes the checks; one that was not passed, or can't be decided, is told by the exit.
    pub(in crate::cli) fn check(&mut self, checks: &[Check], is_quiet: bool) -> Result<Exit, Failure> {
        let (origins, regions) = self.regions_for(checks)?;
        let warnings = self.take_warnings();
        let missing = Missing::from_map(&regions, self.source.printed(), &warnings);
        let evidence = Evidence { regions: &regions, missing };
        let mut records: Vec<_> =
            checks.iter().map(|check| CheckRecord::new(check, evidence, &origins)).collect();
        let is_passed = view::check::is_passed(&records);
        let head = view::check::head(&origins, &records);
        let mut tail = view::check::tail(&origins, &records, regions.len(), &warnings);
        if is_quiet {
            records.retain(|record| record.verdict() != Verdict::Holds);
        }
        self.render.begin(&head)?;
        for record in &records {
            self.render.row(record)?;
        }
        if !(is_quiet && is_passed) {
            note_warnings(&mut tail, &warnings);
            self.note_reading(&mut tail);
        }
        self.render.end(&tail)?;
        Ok(if is_passed { Exit::Done } else { Exit::CheckFailed })
    }

    /// The regions, with as much as the checks ask for. A capture has been read already: then everything costs nothing.
    fn regions_for(&mut self, checks: &[Check]) -> Result<(Origins, Vec<Classified>), Failure> {
        let is_live = self.source.info().capabilities.live;
        let least = if is_live { Detail::Layout } else { Detail::Counts };
        let needs = checks.iter().map(Check::needs).fold(least, Detail::max);
        let detail = self.plan.detail.map_or(needs, |detail| detail.max(needs));
        self.read(detail, |source, origins| classified(source, origins)?.collect())
    }
}
