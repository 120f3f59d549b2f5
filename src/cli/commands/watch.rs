//! Watching a process, and telling each change as it is seen.

use std::io::Write;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use mmview_platform::Detail;

use crate::check::{Check, Verdict};
use crate::cli::plan::{Plan, WatchPlan, usage};
use crate::cli::show::{error_value, refuse};
use crate::cli::{Exit, UNWRITABLE, report, tell_warnings};
use crate::diff::Change;
use crate::interrupt::Interrupt;
use crate::render::{Render, renderer};
use crate::sample::watch::{Seen, Watch};
use crate::view;
use crate::view::watch::{Account, Event, EventRecord, Stopped};

/// Watches what `watch` names.
pub(in crate::cli) fn watch(plan: &Plan, watch: &WatchPlan, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut render = renderer(plan.format, plan.style, false, out);
    let begun = watch.target.open(&plan.open).and_then(|source| {
        if !source.info().capabilities.live {
            return usage("a saved map doesn't change: `mmview diff A B` compares two");
        }
        let needs = watch.until.as_ref().map_or(Detail::Layout, Check::needs);
        Ok(Watch::begin(source, plan.detail.unwrap_or(Detail::Layout).max(needs))?)
    });
    let mut seen = match begun {
        Ok(seen) => seen,
        Err(error) => {
            refuse(plan.format, &watch.target, &error, render.as_mut()).context(UNWRITABLE)?;
            report(&error, None);
            return Ok(Exit::of(&error));
        }
    };
    tell_warnings(&watch.target.title(), &seen.last().warnings);
    let interrupt = Interrupt::watch().context("failed to wait for signals")?;
    let head = view::watch::head(&seen.last().origins(), seen.last().regions.len(), watch.interval);
    render.begin(&head).context(UNWRITABLE)?;
    let mut watching = Watching { plan, watch, render: render.as_mut(), began: Instant::now(), events: 0 };
    let stopped = watching.until_the_end(&mut seen, &interrupt)?;
    let exit = match (&watch.until, &stopped) {
        (_, Stopped::Refused(error)) => {
            report(error, None);
            Exit::of(error)
        }
        (Some(_), Stopped::Until) | (None, _) => Exit::Done,
        _ => Exit::CheckFailed,
    };
    let account = Account {
        stopped,
        until: watch.until.as_ref().map(|check| (check, check.explain(&seen.last().regions).sentence())),
        watched: watching.began.elapsed(),
        looks: seen.looks(),
        longest_look: seen.longest_look(),
        events: watching.events,
    };
    let mut tail = view::watch::tail(&account, &seen.last().warnings);
    if let Stopped::Refused(error) = &account.stopped {
        tail.fields.insert("error".to_owned(), error_value(error));
    }
    render.end(&tail).context(UNWRITABLE)?;
    render.finish().context(UNWRITABLE)?;
    Ok(exit)
}

/// A process being watched, and who is told.
struct Watching<'a> {
    plan: &'a Plan,
    watch: &'a WatchPlan,
    render: &'a mut dyn Render,
    began: Instant,
    events: u64,
}

impl Watching<'_> {
    fn until_the_end(&mut self, seen: &mut Watch, interrupt: &Interrupt) -> anyhow::Result<Stopped> {
        let deadline = self.watch.limit.map(|limit| self.began + limit);
        let mut next = Instant::now();
        let mut is_last = false;
        loop {
            if self.is_so(seen) {
                return Ok(Stopped::Until);
            }
            if is_last {
                return Ok(Stopped::TimeUp);
            }
            next = (next + seen.rest(self.watch.interval)).max(Instant::now());
            is_last = deadline.is_some_and(|deadline| deadline <= next);
            let until = deadline.map_or(next, |deadline| deadline.min(next));
            if interrupt.sleep_until(until).is_err() {
                return Ok(Stopped::Interrupted);
            }
            let looked = match seen.look() {
                Ok(looked) => looked,
                Err(error) => return Ok(Stopped::Refused(error.into())),
            };
            match looked {
                Seen::Nothing => {}
                Seen::Changes(changes) => {
                    let time = SystemTime::now();
                    for change in &changes {
                        if self.is_event(change) {
                            self.tell(time, Event::Change(change))?;
                        }
                    }
                }
                Seen::Program(process) => self.tell(SystemTime::now(), Event::Program(&process))?,
                Seen::Ended(ending) => return Ok(Stopped::Ended(ending)),
            }
        }
    }

    /// Whether what is waited for is so.
    fn is_so(&self, seen: &Watch) -> bool {
        let until = self.watch.until.as_ref();
        until.is_some_and(|check| seen.last().verdict(check) == Verdict::Holds)
    }

    /// Whether a change is to be told: counts that only the check needs are not.
    fn is_event(&self, change: &Change) -> bool {
        self.plan.detail.is_some_and(|detail| detail > Detail::Layout) || change.kind.is_of_layout()
    }

    fn tell(&mut self, time: SystemTime, event: Event<'_>) -> anyhow::Result<()> {
        self.events += 1;
        let record = EventRecord { time, event, units: self.plan.style.units };
        self.render.row(&record).and_then(|()| self.render.flush()).context(UNWRITABLE)
    }
}
