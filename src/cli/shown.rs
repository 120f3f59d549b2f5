//! A target that is being shown.

use mmview_platform::{Detail, Evidence, Findings, MemoryMap, Region, RegionSource, Warning};
use serde_json::{Value, json};

use super::diagnostics::{Diagnostics, sentence};
use super::exit::Exit;
use super::options::Options;
use super::session::Session;
use super::target::Target;
use crate::classify::{Classify, Context as Facts};
use crate::error::{Error, Result};
use crate::owners::{self, Wanted};
use crate::region::Classified;
use crate::render::{Audience, Render, renderer};
use crate::sample::retry;
use crate::view::origins::{self, Origins};
use crate::view::{self, Head, Tail, ViewKind};

/// A target that is being shown: where its map comes from, and what draws it.
pub(super) struct Shown<'a> {
    pub options: &'a Options,
    pub source: &'a mut dyn RegionSource,
    pub render: &'a mut dyn Render,
    diagnostics: &'a dyn Diagnostics,
    target: &'a Target,
    /// Warnings about the memory, not reported yet.
    pub warnings: Vec<Warning>,
}

/// Shows every target with `show`. An error of one target is reported, and the next one has its turn; the first one decides the
/// exit status. An error of the output ends it.
pub(super) fn each(
    session: &mut Session<'_>,
    targets: &[Target],
    show: impl Fn(&mut Shown<'_>) -> Result<Exit>,
) -> Result<Exit> {
    let Session { options, diagnostics, out } = session;
    let is_list = targets.len() > 1;
    let mut render = renderer(options.format, options.style, is_list, *out);
    let mut exit = Exit::Done;
    for target in targets {
        let shown = match target.open(&options.open) {
            Ok(mut source) => show(&mut Shown {
                options,
                source: source.as_mut(),
                render: render.as_mut(),
                diagnostics: *diagnostics,
                target,
                warnings: Vec::new(),
            }),
            Err(error) => refuse(options, target, &error, render.as_mut()).and(Err(error)),
        };
        match shown {
            Ok(shown) => exit = exit.or(shown),
            Err(error) if error.is_output() => return Err(error),
            Err(error) => {
                exit = exit.or(Exit::of(&error));
                let about = is_list.then(|| target.title());
                diagnostics.error(about.as_deref(), &error);
            }
        }
    }
    render.finish().map_err(Error::output)?;
    Ok(exit)
}

/// Shows in a machine format why a target can't be shown.
pub(super) fn refuse(
    options: &Options,
    target: &Target,
    error: &Error,
    render: &mut dyn Render,
) -> Result<()> {
    if options.format.audience() == Audience::Program {
        render.begin(&head_of_error(target)).map_err(Error::output)?;
        render.end(&tail_of_error(error, &[])).map_err(Error::output)?;
    }
    Ok(())
}

/// The head for a target that can't even be opened.
fn head_of_error(target: &Target) -> Head {
    let fields = view::fields(json!({
        "schema": view::SCHEMA,
        "view": ViewKind::Error.id(),
        "target": target.title(),
    }));
    Head { view: ViewKind::Error, target: target.title(), sections: Vec::new(), fields, tables: Vec::new() }
}

/// An error in the machine formats.
pub(super) fn error_value(error: &Error) -> Value {
    json!({
        "kind": error.kind().id(),
        "message": sentence(error),
        "way_out": error.hints(),
    })
}

fn tail_of_error(error: &Error, warnings: &[Warning]) -> Tail {
    let mut tail = Tail::default();
    tail.fields.insert("error".to_owned(), error_value(error));
    tail.fields.insert("warnings".to_owned(), origins::warnings_value(warnings));
    tail
}

impl Shown<'_> {
    /// Whether the target is a live process. A capture has been read already: any detail of it costs nothing.
    pub fn is_live(&self) -> bool {
        self.source.info().capabilities.live
    }

    /// The facts of the process, before its map is read.
    pub fn origins(&mut self, detail: Detail) -> Result<Origins> {
        match origins_of(self.source, detail) {
            Ok(origins) => Ok(origins),
            Err(error) => self.refused(error.into(), None),
        }
    }

    /// Shows what is known about a target whose map can't be read, and returns the error.
    pub fn refused<T>(&mut self, error: Error, origins: Option<&Origins>) -> Result<T> {
        let warnings = self.take_warnings();
        match origins {
            Some(origins) => {
                let head = Head {
                    sections: vec![origins.section(None), origins::totals(&origins.process)],
                    fields: origins.fields(ViewKind::Error),
                    target: origins.target(),
                    ..head_of_error(self.target)
                };
                self.render.begin(&head).map_err(Error::output)?;
                self.render.end(&tail_of_error(&error, &warnings)).map_err(Error::output)?;
            }
            None if self.options.format.audience() == Audience::Program => {
                self.render.begin(&head_of_error(self.target)).map_err(Error::output)?;
                self.render.end(&tail_of_error(&error, &warnings)).map_err(Error::output)?;
            }
            None => {}
        }
        Err(error)
    }

    /// The warnings so far, reported.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        let mut warnings = self.source.take_warnings();
        warnings.append(&mut self.warnings);
        self.diagnostics.warnings(&self.target.title(), &warnings);
        warnings
    }

    /// Reads the facts of the process and its map, which `read` takes; again if it starts another program meanwhile. If that
    /// fails, shows what is known.
    pub fn read<T>(
        &mut self,
        detail: Detail,
        wanted: Wanted,
        mut read: impl FnMut(Explained<'_>) -> mmview_platform::Result<T>,
    ) -> Result<(Origins, T)> {
        self.read_with(detail, |source, origins, warnings| {
            read(classified(source, origins, wanted, warnings)?)
        })
    }

    /// The same with another way to read the map.
    pub fn read_with<T>(
        &mut self,
        detail: Detail,
        mut read: impl FnMut(&mut dyn RegionSource, &mut Origins, &mut Vec<Warning>) -> mmview_platform::Result<T>,
    ) -> Result<(Origins, T)> {
        let mut known = None;
        let warnings = &mut self.warnings;
        let result = retry::unless_replaced(self.source, |source| {
            known = None;
            warnings.clear();
            let origins = known.insert(origins_of(source, detail)?);
            read(source, origins, warnings)
        });
        match (result, known) {
            (Ok(read), Some(origins)) => Ok((origins, read)),
            (Err(error), origins) => self.refused(error.into(), origins.as_ref()),
            (Ok(_), None) => unreachable!("the origins are read before the map"),
        }
    }

    /// Adds to the end of a view that there are warnings, and how the map and the memory were read, if that is worth a word.
    pub fn remark(&self, tail: &mut Tail, origins: &Origins, warnings: &[Warning]) {
        origins::note_warnings(tail, warnings);
        let gently = self.source.reading().filter(|reading| reading.budget.is_some());
        origins::note_reading(
            tail,
            gently.as_ref(),
            origins.findings.inspection.as_ref(),
            self.options.is_verbose(),
        );
    }
}

fn origins_of(source: &mut dyn RegionSource, detail: Detail) -> mmview_platform::Result<Origins> {
    let process = source.process()?;
    let source = source.info().clone();
    let detail = detail.min(source.capabilities.detail);
    Ok(Origins { taken: source.time(), source, process, detail, findings: Findings::default() })
}

/// The regions of a source, explained: as they are read, or all at once if shapes or the memory can say more about them.
/// `origins` gets the detail that they have, and what the memory shows; `warnings` get why it could not be read.
pub(super) fn classified<'a>(
    source: &'a mut dyn RegionSource,
    origins: &mut Origins,
    wanted: Wanted,
    warnings: &mut Vec<Warning>,
) -> mmview_platform::Result<Explained<'a>> {
    let facts = Facts::new(&origins.process, &origins.source).up_to(wanted.level);
    if wanted.level == Evidence::Memory {
        origins.findings = source.findings().cloned().unwrap_or_default();
    }
    if wanted.level == Evidence::Kernel || origins.source.os != "linux" {
        let facts = facts.with_findings(&origins.findings);
        let regions = source.regions(origins.detail)?;
        origins.detail = regions.detail();
        return Ok(Explained(Classify::new(Box::new(regions), facts)));
    }
    let regions = source.regions(origins.detail)?;
    let mut map =
        MemoryMap::new(origins.source.clone(), origins.process.clone(), regions.detail(), Vec::new());
    map.findings = std::mem::take(&mut origins.findings);
    let mut failed = None;
    for region in regions {
        match region {
            Ok(region) => map.regions.push(region),
            Err(error) => failed = Some(error),
        }
    }
    if failed.is_none() {
        owners::inspect(&mut map, source, wanted)?;
    }
    (origins.detail, origins.findings) = (map.detail, map.findings);
    warnings.extend(map.warnings);
    let facts = facts.with_map(&map.regions).with_findings(&origins.findings);
    let regions = map.regions.into_iter().map(Ok).chain(failed.map(Err));
    Ok(Explained(Classify::new(Box::new(regions), facts)))
}

/// Explained regions.
pub(super) struct Explained<'a>(Classify<Box<dyn Iterator<Item = mmview_platform::Result<Region>> + 'a>>);

impl Iterator for Explained<'_> {
    type Item = mmview_platform::Result<Classified>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
