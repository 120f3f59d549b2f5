//! Stacks: the main thread's, another's, and the end of one.

use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;

use crate::error::Context as _;
use mmview_platform::own::{Child, set_stack_limit, stack_limit};
use mmview_platform::{Bytes, Ending};

use super::Options;
use super::error::{Result, failure};
use super::observer::{Observer, between};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::region::Classified;

/// What one call takes of the stack, and how many calls are made: a megabyte.
const FRAME: usize = 16 << 10;
const CALLS: u32 = 64;

/// The stack that the thread asks for.
const THREAD_STACK: Bytes = Bytes(512 << 10);

/// How far the stack has to be allowed to grow.
const NEEDED: Bytes = Bytes(4 << 20);

/// The limit that the child gets, so that it overflows soon. More than the calls above take.
const LIMIT: Bytes = Bytes(4 << 20);

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    if let Some(limit) = stack_limit()?.filter(|limit| *limit < NEEDED) {
        let (limit, needed) = (stage.size(limit), stage.size(NEEDED));
        let text =
            format!("the stack limit is {limit}, and the lesson needs {needed}; raise it with `ulimit -s`");
        return Err(failure(text).into());
    }
    let mut observer = Observer::own("", here())?;
    deep(stage, &mut observer)?;
    of_a_thread(stage)?;
    overflow(stage)
}

/// An address on the stack of whoever calls.
fn here() -> u64 {
    let local = 0u8;
    (&raw const local).addr() as u64
}

/// Calls itself `calls` times, each with a frame of its own, then `at_the_bottom`.
#[inline(never)]
fn descend(calls: u32, at_the_bottom: &mut dyn FnMut()) {
    let mut frame = [calls as u8; FRAME];
    black_box(&mut frame);
    if calls == 0 {
        at_the_bottom();
    } else {
        descend(calls - 1, at_the_bottom);
    }
    // Used after the call, so that the frame is needed until then.
    black_box(&frame);
}

fn deep(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    // The first look itself goes deeper than the later ones.
    observer.observe()?;
    let first = Observation { before: None, ..observer.observe()? };
    let limit = match stack_limit()? {
        Some(limit) => format!("It may grow to {} (ulimit -s).", stage.size(limit)),
        None => "It may grow without end (ulimit -s unlimited).".to_owned(),
    };
    let at = here();
    stage.show(
        Step::new("before", "the address of a local variable")
            .region(first)
            .fact(Fact::new("address", format!("{at:#x}"), format!("it is at {at:#x}")))
            .why(&["The region that holds it is the main thread's stack.", &limit]),
    )?;

    let mut seen = None;
    descend(CALLS, &mut || seen = Some(observer.observe()));
    let deep = seen.context("nobody looked from the bottom of the stack")??;
    let (size, resident) = (deep.grew(Quantity::Size), deep.grew(Quantity::Resident));
    let why = if size > Bytes::ZERO {
        format!(
            "Nobody called mmap: an access below the region is taken for a stack that grows, and the kernel moved its lower \
             end down by {}.",
            stage.size(size)
        )
    } else if resident > Bytes::ZERO {
        format!(
            "The region was large enough from the start; {} of it became resident as the calls touched it.",
            stage.size(resident)
        )
    } else {
        "The calls needed nothing that wasn't resident before.".to_owned()
    };
    let call =
        format!("f() calls itself {CALLS} times, with {} of local variables each; seen from the bottom", {
            stage.size(Bytes(FRAME as u64))
        });
    stage.show(Step::new("deep", call).region(deep).why(&[&why]))?;

    let back = observer.observe()?;
    let is_kept =
        back.shrank(Quantity::Size) == Bytes::ZERO && back.shrank(Quantity::Resident) == Bytes::ZERO;
    let why = match is_kept {
        true => "A stack doesn't shrink: what was touched stays resident, for the next deep call.",
        false => "The system has taken some of it back.",
    };
    stage.show(Step::new("back", "all the calls have returned").region(back).why(&[why]))
}

fn of_a_thread(stage: &mut Stage<'_>) -> Result<()> {
    let mut observer = Observer::own("", here())?;
    let before = observer.regions()?;
    let (to_thread, from_main) = channel::<()>();
    let (to_main, from_thread) = channel();
    let thread = thread::Builder::new()
        .name("lesson".to_owned())
        .stack_size(THREAD_STACK.0 as usize)
        .spawn(move || {
            if to_main.send(here()).is_ok() {
                let _ = from_main.recv();
            }
        })
        .context("failed to start a thread")?;
    let at = from_thread
        .recv()
        .map_err(std::io::Error::other)
        .context("the thread ended before it told where its stack is")?;
    let after = observer.regions()?;
    let stack = between("", &before, &after, at);
    let guard = guard_below(&stack, &before, &after);
    let size = stage.size(stack.now(Quantity::Size).unwrap_or_default());
    let own = match stack.before.is_none() {
        true => format!(
            "A thread's stack is a mapping like any other: {size}, made before the thread starts, of which little is resident."
        ),
        false => "The thread's stack lies in a region that was there before.".to_owned(),
    };
    let guarded = match &guard {
        Some(guard) => format!(
            "Below it lie {} that nobody may touch, so that an overflow is caught and not written over somebody else's memory.",
            stage.size(guard.now(Quantity::Size).unwrap_or_default())
        ),
        None => "No region of its own guards it below.".to_owned(),
    };
    let mut step =
        Step::new("a thread", format!("pthread_create() with a stack of {}", stage.size(THREAD_STACK)))
            .region(stack);
    step.regions.extend(guard);
    stage.show(
        step.fact(Fact::new(
            "address",
            format!("{at:#x}"),
            format!("a local variable of the thread is at {at:#x}"),
        ))
        .why(&[&own, &guarded]),
    )?;

    drop(to_thread);
    thread.join().ok().context("the thread has failed")?;
    let ended = between("", &after, &observer.regions()?, at);
    let why = match ended.is_gone() {
        true => "The thread is gone, and its stack with it.",
        false => "The thread is gone and its stack is not: the C library keeps it for the next thread.",
    };
    stage.show(Step::new("ended", "the thread returns; pthread_join()").region(ended).why(&[why]))
}

/// What lies right below a stack, where nobody may touch it.
fn guard_below(stack: &Observation, before: &[Classified], after: &[Classified]) -> Option<Observation> {
    let start = stack.after.as_ref()?.range().start();
    let guard = between("", before, after, start.checked_sub(1)?);
    guard.after.as_ref()?.protection().is_none().then_some(guard)
}

fn overflow(stage: &mut Stage<'_>) -> Result<()> {
    let at = here();
    let mut child = Child::fork(|turns| {
        // A system that refuses has a limit all the same.
        let _ = set_stack_limit(LIMIT);
        descend(CALLS * 2, &mut || turns.stop(&[]));
        descend(u32::MAX, &mut || ());
        0
    })?;
    let mut observer = Observer::child("", &child, at)?;
    observer.observe()?;
    child.step()?.context("the child ended before its stack had grown")?;
    let grown = observer.observe()?;
    let call = format!("in a child: ulimit -s {}; f() calls itself {} times", LIMIT.0 >> 10, CALLS * 2);
    let why = match grown.grew(Quantity::Size) > Bytes::ZERO {
        true => "The child has a copy of the parent's stack, and it grows as the parent's did.",
        false => "The child has a copy of the parent's stack.",
    };
    stage.show(Step::new("a child", call).region(grown).why(&[why]))?;

    let end = child.finish()?;
    let why = match end {
        Ending::Killed(signal) => format!(
            "At the limit the stack grows no more, and what lies below it can't be touched: {}. No handler can run on a \
             stack that has no room; languages that report an overflow keep a second stack for that.",
            Ending::signal_name(signal)
        ),
        Ending::Exited(_) => "The child came back from it.".to_owned(),
    };
    stage.show(
        Step::new("overflow", "in the child: f() calls itself without end")
            .region(observer.ended())
            .fact(Fact::end(end))
            .why(&[&why]),
    )
}
