//! Ruby (MRI): the pages of its heap and the slots in them (3.1 to 3.4), the stacks of fibers, and the transient heap (2.7 to
//! 3.2).
//!
//! `gc.c` (3.4: `gc/default/default.c`), `cont.c` and `transient_heap.c` document the layouts. No symbol is needed: each page
//! leads to its description, which leads back. The figures are those of `GC.stat`.

mod fibers;
mod pages;
#[cfg(test)]
mod tests;
mod transient;

use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, SizeClass, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_plain};
use crate::kind::RegionKind;
use pages::Heap;

/// The name of the owner.
const OWNER: &str = "Ruby";

/// The name of the type of its pages in tables, and of their zone.
const PAGES: &str = "Ruby heap pages";

/// The symbols that every build exports: its version, and a function that no other implementation has.
const VERSION: &str = "ruby_version";
const FUNCTION: &str = "rb_gc_writebarrier";

/// The longest version.
const LONGEST_VERSION: usize = 32;

/// Ruby.
pub(super) struct Ruby;

impl Recognizer for Ruby {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && image(target).is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let mut runtime = image(target).map(|(image, version)| {
            let version = image.string(version, LONGEST_VERSION);
            let version = version.map(|version| String::from_utf8_lossy(&version).into_owned());
            Runtime::new(OWNER, version.map_or(OWNER.to_owned(), |version| format!("{OWNER} {version}")))
        });
        if let Some(heap) = Heap::find(target, claims)? {
            let zone = inspect(target, claims, &heap)?;
            if let Some(runtime) = &mut runtime {
                let slots = heap.pages.iter().map(|page| page.slots).sum();
                runtime.facts.push(("heap pages".into(), FactValue::Count(heap.pages.len() as u64)));
                runtime.facts.push(("slots for objects".into(), FactValue::Count(slots)));
            }
            claims.zone(zone);
        }
        let images = target.images.exporting(FUNCTION).map(|(image, _)| image);
        let stacks = fibers::claim(target, claims, images)?;
        if let Some(runtime) = runtime.as_mut().filter(|_| stacks > 0) {
            runtime.facts.push(("stacks for fibers".into(), FactValue::Count(stacks)));
        }
        transient::claim(target, claims)?;
        runtime.into_iter().for_each(|runtime| claims.runtime(runtime));
        Ok(())
    }
}

/// The interpreter, and where its version is.
fn image<'a>(target: &'a Target<'_>) -> Option<(&'a Image, u64)> {
    let has_function = |image: &Image| image.elf.export(FUNCTION).is_some();
    target.images.exporting(VERSION).find(|(image, _)| has_function(image))
}

/// Claims the pages of the heap, and counts the objects in them.
fn inspect(target: &Target<'_>, claims: &mut Claims<'_>, heap: &Heap) -> Result<Zone> {
    let name: Arc<str> = PAGES.into();
    for group in heap.pages.chunk_by(|one, other| one.range.end() == other.range.start()) {
        let range = group.iter().map(|page| page.range).reduce(AddrRange::hull);
        let note = match group.len() {
            1 => "1 page".to_owned(),
            count => format!("{count} pages"),
        };
        if let Some(range) = range {
            let claim = Claim::new(range, OWNER, RegionKind::GcHeap.id()).title(PAGES).zone(&name).note(note);
            claims.add(&claim, is_plain);
        }
    }
    let tally = heap.count(target)?;
    let mut zone = Zone::new(OWNER, name);
    let classes = || tally.classes.iter();
    zone.allocations = Some(classes().map(|(_, class)| class.live).sum());
    zone.allocated = Some(classes().map(|(size, class)| Bytes(size * class.live)).sum());
    zone.free = Some(classes().map(|(size, class)| Bytes(size * class.free)).sum());
    zone.free_blocks = Some(classes().map(|(_, class)| class.free).sum());
    zone.cached = Some(Bytes::ZERO);
    zone.cached_blocks = Some(0);
    zone.sizes = classes()
        .filter(|(_, class)| class.live > 0)
        .map(|(size, class)| SizeClass::new(Bytes(*size), class.live, Bytes(size * class.live)))
        .collect();
    zone.doubts = tally.doubts(heap.pages.len()).into_iter().map(Into::into).collect();
    Ok(zone)
}
