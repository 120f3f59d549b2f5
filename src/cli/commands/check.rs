//! `mmview check`: checks from the command line and from files, made on a target.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use mmview_platform::Detail;

use super::Task;
use crate::check::{Check, Evidence, SyntaxError, Verdict};
use crate::cli::args::CheckArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{usage, usage_error};
use crate::cli::session::Session;
use crate::cli::shown::{Shown, each};
use crate::cli::target::Target;
use crate::completeness::Missing;
use crate::error::{Context as _, Error, Result};
use crate::region::divided;
use crate::render::picture;
use crate::text::printable;
use crate::view;
use crate::view::check::CheckRecord;

const EXAMPLE: &str = "as in: mmview check 4242 'mapped \"/path/to/file\"' 'none(perm=rwx)'";

#[derive(Debug)]
pub struct Plan {
    target: Target,
    checks: Vec<Check>,
    is_quiet: bool,
}

/// Reads every check before anything else is read.
pub(super) fn plan(args: CheckArgs) -> Result<Task> {
    let mut words = args.words.into_iter();
    let named = args.pid.map(Target::Pid).or(args.file.map(Target::file)).or(args.name.map(Target::Name));
    let has_named = named.is_some();
    let Some(target) = named.or_else(|| words.next().map(Target::resolve)) else {
        return usage(format!("which process, and what to check? Write a target and a check, {EXAMPLE}"));
    };
    let words: Vec<OsString> = words.collect();
    if words.is_empty() && args.from.is_empty() {
        return usage(nothing_to_check(&target, has_named));
    }
    let mut checks = Vec::new();
    for path in &args.from {
        checks.extend(from_file(path)?);
    }
    for word in &words {
        checks.push(from_word(word)?);
    }
    Ok(Task::Check(Plan { target, checks, is_quiet: args.quiet }))
}

fn nothing_to_check(target: &Target, has_named: bool) -> String {
    let is_check = |text: Option<&str>| !has_named && text.is_some_and(|text| text.parse::<Check>().is_ok());
    let is_check = match target {
        Target::Name(text) => is_check(text.to_str()),
        Target::File(path) => is_check(path.to_str()),
        _ => false,
    };
    if is_check {
        return format!("which process? Write its PID, name or file before the check, {EXAMPLE}");
    }
    format!("what to check of {}? Write a check, {EXAMPLE}", target.title())
}

/// A check from the command line.
pub(super) fn from_word(word: &OsString) -> Result<Check> {
    let Some(text) = word.to_str() else {
        let word = printable(word.as_encoded_bytes());
        return usage(format!("`{word}` is not UTF-8; write a byte of a path as \\xHH, in quotes"));
    };
    text.parse::<Check>().map_err(invalid)
}

/// A syntax error, with a picture of where it is.
fn invalid(error: SyntaxError) -> Error {
    let picture = picture(&error);
    Error::from(error).with_hints(picture.into())
}

/// The checks in a file, one per line; `-` is standard input. Blank lines and lines that begin with `#` are skipped.
fn from_file(path: &Path) -> Result<Vec<Check>> {
    let (title, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("failed to read standard input")?;
        ("standard input".to_owned(), bytes)
    } else {
        let title = format!("`{}`", printable(path.as_os_str().as_encoded_bytes()));
        let bytes = std::fs::read(path).with_context(|| format!("failed to read {title}"))?;
        (title, bytes)
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        usage_error(format!("{title} is not UTF-8; write a byte of a path as \\xHH, in quotes"))
    })?;
    let mut checks = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let check = line.parse::<Check>().map_err(invalid);
        checks.push(check.with_context(|| format!("line {} of {title}", index + 1))?);
    }
    if checks.is_empty() {
        return usage(format!("there is no check in {title}: write one per line"));
    }
    Ok(checks)
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, std::slice::from_ref(&plan.target), |shown| make(shown, plan))
}

fn make(shown: &mut Shown<'_>, plan: &Plan) -> Result<Exit> {
    let checks = &plan.checks;
    let least = if shown.is_live() { Detail::Layout } else { Detail::Counts };
    let needs = checks.iter().map(Check::needs).fold(least, Detail::max);
    let detail = shown.options.detail.map_or(needs, |detail| detail.max(needs));
    let wanted = shown.options.wanted();
    let (origins, regions) = shown.read(detail, wanted, |regions| regions.collect::<Result<Vec<_>, _>>())?;
    let warnings = shown.take_warnings();
    let missing = Missing::from_map(&regions, shown.source.printed(), &warnings);
    let parts = divided(&regions);
    let findings = &origins.findings;
    let evidence = Evidence {
        regions: &regions,
        parts: parts.as_deref().unwrap_or(&regions),
        zones: findings.inspection.is_some().then_some(findings.zones.as_slice()),
        missing,
    };
    let mut records: Vec<_> =
        checks.iter().map(|check| CheckRecord::new(check, evidence, &origins)).collect();
    let is_passed = view::check::is_passed(&records);
    let head = view::check::head(&origins, &records);
    let mut tail = view::check::tail(&origins, &records, regions.len(), &warnings);
    if plan.is_quiet {
        records.retain(|record| record.verdict() != Verdict::Holds);
    }
    if !(plan.is_quiet && is_passed) {
        shown.remark(&mut tail, &origins, &warnings);
    }
    let mut draw = || {
        shown.render.begin(&head)?;
        records.iter().try_for_each(|record| shown.render.row(&view::check::line(record)))?;
        shown.render.end(&tail)
    };
    draw().map_err(Error::output)?;
    Ok(if is_passed { Exit::Done } else { Exit::CheckFailed })
}
