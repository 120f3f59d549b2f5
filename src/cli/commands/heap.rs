//! `mmview heap`: what is allocated in each zone.

use mmview_platform::Detail;

use super::Task;
use crate::cli::args::{HeapArgs, HeapGrouping};
use crate::cli::exit::Exit;
use crate::cli::options::no_address;
use crate::cli::session::Session;
use crate::cli::shown::{Shown, each};
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::heap::Builder;
use crate::owners::Wanted;
use crate::render::Audience;
use crate::view;
use crate::view::heap::{By, Options};

#[derive(Debug)]
pub struct Plan {
    targets: Vec<Target>,
    options: Options,
}

pub(super) fn plan(args: HeapArgs) -> Result<Task> {
    let by = match args.by {
        HeapGrouping::Zone => By::Zone,
        HeapGrouping::Owner => By::Owner,
        HeapGrouping::Size => By::Size,
    };
    let options = Options { by, sizes: args.sizes, largest: args.largest.map(usize::from), free: args.free };
    Ok(Task::Heap(Plan { targets: no_address(args.targets, "heap")?, options }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, &plan.targets, |shown| show(shown, plan.options))
}

fn show(shown: &mut Shown<'_>, options: Options) -> Result<Exit> {
    let usual = shown.options.wanted();
    let wanted = Wanted { largest: options.largest.unwrap_or(usual.largest), ..usual };
    let detail = shown.options.detail(Detail::Counts);
    let (origins, heap) = shown.read(detail, wanted, |regions| {
        let mut heap = Builder::default();
        for region in regions {
            heap.add(&region?);
        }
        Ok(heap)
    })?;
    let zones = heap.finish(&origins.findings.zones);
    let zones = if options.by == By::Owner { zones.by_owner() } else { zones };
    let warnings = shown.take_warnings();
    let is_for_people = shown.options.format.audience() == Audience::Terminal;
    let head = view::heap::head(&origins, &zones, options, is_for_people);
    let mut tail = view::heap::tail(&origins, &zones, options, &warnings);
    shown.remark(&mut tail, &origins, &warnings);
    let mut draw = || {
        shown.render.begin(&head)?;
        for record in view::heap::records(&zones, options.by) {
            shown.render.row(record.as_ref())?;
        }
        if is_for_people {
            for records in view::heap::more_records(&zones, options) {
                shown.render.next_table()?;
                for record in records {
                    shown.render.row(record.as_ref())?;
                }
            }
        }
        shown.render.end(&tail)
    };
    draw().map_err(Error::output)?;
    Ok(Exit::Done)
}
