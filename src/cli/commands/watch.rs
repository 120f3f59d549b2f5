//! `mmview watch`: the changes of a process as they happen.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mmview_platform::Detail;

use super::{Task, check};
use crate::check::Check;
use crate::cli::args::WatchArgs;
use crate::cli::diagnostics::sentence;
use crate::cli::exit::Exit;
use crate::cli::options::{Options, one_target, usage};
use crate::cli::session::Session;
use crate::cli::shown::{error_value, refuse};
use crate::cli::target::Target;
use crate::diff::{Change, by_zone};
use crate::error::{Context as _, Error, Result};
use crate::interrupt::Interrupt;
use crate::render::renderer;
use crate::sample::watch::{Follow, Seen, Stop, Watch};
use crate::view::origins::Origins;
use crate::view::watch::{COLUMNS, Event, Happening, Outcome, head, tail};
use crate::view::{Row, StopReason};

#[derive(Debug)]
pub struct Plan {
    target: Target,
    interval: Duration,
    limit: Option<Duration>,
    until: Option<Check>,
}

pub(super) fn plan(args: WatchArgs) -> Result<Task> {
    let target = one_target(args.targets, "watch")?;
    let until = args.until.as_ref().map(check::from_word).transpose()?;
    Ok(Task::Watch(Plan { target, interval: args.interval, limit: args.r#for, until }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    let Session { options, diagnostics, out } = session;
    let mut render = renderer(options.format, options.style, false, *out);
    let mut watch = match begin(plan, options) {
        Ok(watch) => watch,
        Err(error) => {
            refuse(options, &plan.target, &error, render.as_mut())?;
            diagnostics.error(None, &error);
            return Ok(Exit::of(&error));
        }
    };
    diagnostics.warnings(&plan.target.title(), &watch.last().warnings);
    let interrupt = Interrupt::watch().context("failed to wait for signals")?;
    let first = Arc::clone(watch.last());
    render
        .begin(&head(&Origins::from(&*first), first.regions.len(), plan.interval))
        .map_err(Error::output)?;

    let began = Instant::now();
    let mut events = 0;
    // With more detail than asked for, because the check needs it, counts are no events.
    let has_counts = options.detail.is_some_and(|detail| detail > Detail::Layout);
    let mut follow = Follow::every(plan.interval);
    follow.deadline = plan.limit.map(|limit| began + limit);
    follow.until = plan.until.as_ref();
    let stop = watch.follow(
        &follow,
        |until| interrupt.sleep_until(until).is_ok(),
        |seen| {
            let time = SystemTime::now();
            let happenings: Vec<_> = match seen {
                Seen::Changes(changes) => {
                    let is_event = |change: &Change| has_counts || change.kind.is_of_layout();
                    changes.into_iter().filter(is_event).map(Happening::Change).collect()
                }
                Seen::Program(process) => vec![Happening::Program(process)],
                _ => Vec::new(),
            };
            for what in happenings {
                events += 1;
                render.row(&Row::owned(&COLUMNS, Event { time, what }))?;
                render.flush()?;
            }
            Ok(())
        },
    );
    let stop = stop.map_err(Error::output)?;

    let exit = match (&plan.until, &stop) {
        (_, Stop::Failed(error)) => {
            diagnostics.error(None, error);
            Exit::of(error)
        }
        (Some(_), Stop::Held) | (None, _) => Exit::Done,
        _ => Exit::CheckFailed,
    };
    if !matches!(stop, Stop::Ended(_) | Stop::Failed(_)) && !first.findings.zones.is_empty() {
        watch.inspect();
    }
    let last = watch.last();
    let outcome = Outcome {
        zones: by_zone(&first, last),
        stop: reason(&stop),
        until: plan.until.as_ref().map(|check| (check, check.explain(&last.regions).to_string())),
        watched: began.elapsed(),
        samples: watch.samples(),
        longest_sample: watch.longest_sample(),
        events,
    };
    let mut tail = tail(&outcome, &last.warnings);
    if let Stop::Failed(error) = &stop {
        tail.fields.insert("error".to_owned(), error_value(error));
    }
    render.end(&tail).and_then(|()| render.finish()).map_err(Error::output)?;
    Ok(exit)
}

fn begin(plan: &Plan, options: &Options) -> Result<Watch> {
    let source = plan.target.open(&options.open)?;
    if !source.info().capabilities.live {
        return usage("a saved map doesn't change: `mmview diff A B` compares two");
    }
    let needs = plan.until.as_ref().map_or(Detail::Layout, Check::needs);
    Watch::up_to(source, options.detail.unwrap_or(Detail::Layout).max(needs), options.evidence)
}

fn reason(stop: &Stop) -> StopReason {
    match stop {
        Stop::Ended(ending) => StopReason::Ended(*ending),
        Stop::TimeUp => StopReason::TimeUp,
        Stop::Held => StopReason::Held,
        Stop::Interrupted => StopReason::Interrupted,
        Stop::Failed(error) => StopReason::Refused(sentence(error)),
    }
}
