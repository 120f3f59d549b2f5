//! Lesson `stack`: the stacks of the main thread and of another thread, and a stack overflow.

use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;

use mmview_platform::own::{Child, set_stack_limit, stack_limit};
use mmview_platform::{Bytes, Ending};

use super::Options;
use super::error::{Result, failure};
use super::observer::{Observer, between};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::error::Context as _;
use crate::region::Classified;

/// The size of a stack frame, and the number of nested calls: a megabyte in all.
const FRAME: usize = 16 << 10;
const CALLS: u32 = 64;

/// The stack size of the thread.
const THREAD_STACK: Bytes = Bytes(512 << 10);

/// The stack limit that the lesson needs.
const NEEDED: Bytes = Bytes(4 << 20);

/// The stack limit of the child: small, so that it overflows soon, but enough for the calls before that.
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

/// Returns an address on the caller's stack.
fn here() -> u64 {
    let local = 0u8;
    (&raw const local).addr() as u64
}

/// Calls itself `calls` times, each time with a large frame, then calls `innermost`.
#[inline(never)]
fn descend(calls: u32, innermost: &mut dyn FnMut()) {
    let mut frame = [calls as u8; FRAME];
    black_box(&mut frame);
    if calls == 0 {
        innermost();
    } else {
        descend(calls - 1, innermost);
    }
    // This use keeps the frame alive during the call.
    black_box(&frame);
}

fn deep(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    // The first observation needs more stack than later ones.
    observer.observe()?;
    let first = Observation { before: None, ..observer.observe()? };
    let limit = match stack_limit()? {
        Some(limit) => format!("It can grow to {} (ulimit -s).", stage.size(limit)),
        None => "It can grow without limit (ulimit -s unlimited).".to_owned(),
    };
    let at = here();
    stage.show(
        Step::new("before", "take the address of a local variable")
            .region(first)
            .fact(Fact::new("address", format!("{at:#x}"), format!("the variable is at {at:#x}")))
            .why(&["The region that holds the variable is the main thread's stack.", &limit]),
    )?;

    let mut deep = None;
    descend(CALLS, &mut || deep = Some(observer.observe()));
    let deep = deep.context("the innermost call made no observation")??;
    let (size, resident) = (deep.grew(Quantity::Size), deep.grew(Quantity::Resident));
    let why = if size > Bytes::ZERO {
        format!(
            "No one called mmap: an access below the region made the stack grow, and the kernel moved the lower end of \
             the region down by {}.",
            stage.size(size)
        )
    } else if resident > Bytes::ZERO {
        format!(
            "The region was large enough from the start; {} of it became resident as the calls touched it.",
            stage.size(resident)
        )
    } else {
        "The calls needed only memory that was resident already.".to_owned()
    };
    let call = format!(
        "f() calls itself {CALLS} times, with {} of local variables each; observed in the innermost call",
        { stage.size(Bytes(FRAME as u64)) }
    );
    stage.show(Step::new("deep", call).region(deep).why(&[&why]))?;

    let back = observer.observe()?;
    let is_kept =
        back.shrank(Quantity::Size) == Bytes::ZERO && back.shrank(Quantity::Resident) == Bytes::ZERO;
    let why = match is_kept {
        true => "The stack doesn't shrink: the pages that were touched stay resident for the next deep call.",
        false => "The system freed some of the stack.",
    };
    stage.show(Step::new("back", "all calls have returned").region(back).why(&[why]))
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
        .context("the thread ended before it sent its stack address")?;
    let after = observer.regions()?;
    let stack = between("", &before, &after, at);
    let guard = guard_below(&stack, &before, &after);
    let size = stage.size(stack.now(Quantity::Size).unwrap_or_default());
    let resident = match stack.now(Quantity::Resident) {
        Some(resident) => format!(", with {} resident", stage.size(resident)),
        None => String::new(),
    };
    let own = match stack.before.is_none() {
        true => format!(
            "A thread's stack is a mapping like any other: {size}, made before the thread starts{resident}."
        ),
        false => "The thread's stack lies in a region that existed before.".to_owned(),
    };
    let guarded = match &guard {
        Some(guard) => format!(
            "Below it lies a guard of {} without access, so that an overflow raises a signal instead of overwriting other \
             memory.",
            stage.size(guard.now(Quantity::Size).unwrap_or_default())
        ),
        None => "No guard region lies below it.".to_owned(),
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
    thread.join().ok().context("the thread panicked")?;
    let ended = between("", &after, &observer.regions()?, at);
    let why = match ended.is_gone() {
        true => "The thread is gone, and its stack with it.",
        false => "The thread is gone, but its stack stays: the C library keeps it for the next thread.",
    };
    stage.show(Step::new("ended", "the thread returns; pthread_join()").region(ended).why(&[why]))
}

/// Returns the region right below a stack if it allows no access.
fn guard_below(stack: &Observation, before: &[Classified], after: &[Classified]) -> Option<Observation> {
    let start = stack.after.as_ref()?.range().start();
    let guard = between("", before, after, start.checked_sub(1)?);
    guard.after.as_ref()?.protection().is_none().then_some(guard)
}

fn overflow(stage: &mut Stage<'_>) -> Result<()> {
    let at = here();
    let mut child = Child::fork(|turns| {
        // If the system refuses, its own limit applies.
        let _ = set_stack_limit(LIMIT);
        descend(CALLS * 2, &mut || turns.stop(&[]));
        descend(u32::MAX, &mut || ());
        0
    })?;
    let mut observer = Observer::child("", &child, at)?;
    observer.observe()?;
    child.step()?.context("the child ended before its stack grew")?;
    let grown = observer.observe()?;
    let call = format!("in a child: ulimit -s {}; f() calls itself {} times", LIMIT.0 >> 10, CALLS * 2);
    let why = match grown.grew(Quantity::Size) > Bytes::ZERO {
        true => "The child has a copy of the parent's stack, which grows like the parent's.",
        false => "The child has a copy of the parent's stack.",
    };
    stage.show(Step::new("a child", call).region(grown).why(&[why]))?;

    let end = child.finish()?;
    let why = match end {
        Ending::Killed(signal) => format!(
            "At its limit the stack can't grow, so an access below it raises {}. A signal handler can't run on a full \
             stack; languages that report an overflow keep a second stack for the handler.",
            Ending::signal_name(signal)
        ),
        Ending::Exited(_) => "The child returned from the calls.".to_owned(),
    };
    stage.show(
        Step::new("overflow", "in the child: f() calls itself endlessly")
            .region(observer.ended())
            .fact(Fact::end(end))
            .why(&[&why]),
    )
}
