//! Starting a program, and showing what its memory was at its peak or at its end.

use std::fs::File;
use std::io::{self, Write};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mmview_platform::{
    Bytes, Detail, Ending, Error, Moment, Program, RegionSource, has_terminal, open_process,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::check::{Check, Verdict};
use crate::cli::plan::{LaunchPlan, Plan};
use crate::cli::show::note_warnings;
use crate::cli::{Exit, UNWRITABLE, report, tell_warnings};
use crate::render::{Format, Style, renderer};
use crate::snapshot::Snapshot;
use crate::summary::Summary;
use crate::text::printable;
use crate::view;
use crate::view::run::{Account, When};

/// Starts the program, looks at it until it ends, and shows what was asked for.
pub(in crate::cli) fn launch(plan: &Plan, launch: &LaunchPlan, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut output = match &launch.output {
        // What is there stays until there is something to be written.
        Some(path) => {
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let title = printable(path.as_os_str().as_encoded_bytes());
            Some(file.with_context(|| format!("failed to write `{title}`"))?)
        }
        None => None,
    };
    // They are caught before there is a program, so that none is lost between.
    let signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])
        .context("failed to wait for signals")?;
    let began = Instant::now();
    let mut command = Command::new(&launch.command[0]);
    command.args(&launch.command[1..]);
    let program = match Program::start(command, launch.traced) {
        Ok(program) => program,
        Err(error) => return Ok(not_started(launch, error)),
    };
    let (looks, ending) = look_until_it_ends(plan, launch, program, signals, began)?;
    let exit = Exit::Imitated(ending.shell_status());
    let is_missed = launch.until.is_some() && !looks.is_so;
    let exit = if is_missed && ending == Ending::Exited(0) { Exit::CheckFailed } else { exit };
    let Some(kept) = looks.kept else {
        let why = looks.failed.unwrap_or_else(|| anyhow::anyhow!("it ended before its map could be read"));
        report(&why.context("there is no summary"), None);
        return Ok(exit);
    };
    let account = Account {
        command: &launch.command,
        when: kept.when,
        after: kept.after,
        at_exit: launch.at_exit,
        looks: looks.count,
        resident_peak: looks.resident_peak,
        ending,
        is_traced: looks.is_traced,
        until: launch.until.as_ref().map(|check| (check, looks.is_so)),
    };
    tell_warnings(&program_name(launch), &kept.snapshot.warnings);
    // A file is no terminal.
    let style = match output {
        Some(_) => Style { color: false, width: None, ..plan.style },
        None => plan.style,
    };
    if let Some(file) = &output {
        // Nothing but a file has a length.
        let _ = file.set_len(0);
    }
    let out: &mut dyn Write = output.as_mut().map_or(out, |file| file);
    match show(plan.format, style, &kept, &account, out) {
        // The exit status is the program's all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit),
        shown => shown.context(UNWRITABLE).map(|()| exit),
    }
}

/// Tells why the program could not be started; the exit status is that of `env` and its kin.
fn not_started(launch: &LaunchPlan, error: io::Error) -> Exit {
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let name = program_name(launch);
    report(&anyhow::Error::from(error).context(format!("failed to start `{name}`")), None);
    Exit::Imitated(status)
}

fn program_name(launch: &LaunchPlan) -> String {
    printable(launch.command[0].as_encoded_bytes())
}

fn show(
    format: Format,
    style: Style,
    kept: &Kept,
    account: &Account<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (summary, snapshot) = (&kept.summary, &kept.snapshot);
    let units = style.units;
    let mut render = renderer(format, style, false, out);
    render.begin(&view::summary::head(&snapshot.origins(), summary, None, units))?;
    for record in view::summary::records(summary) {
        render.row(record.as_ref())?;
    }
    let mut tail = view::summary::tail(summary, &snapshot.warnings, snapshot.process.mapping_limit, units);
    note_warnings(&mut tail, &snapshot.warnings);
    view::run::add(&mut tail, account, summary, units);
    render.end(&tail)?;
    render.finish()
}

/// A look at the program that is shown unless a later one is better.
struct Kept {
    snapshot: Snapshot,
    summary: Summary,
    when: When,
    after: Duration,
}

impl Kept {
    /// Whether it shows more than another look: by the footprint, else by what is resident, else by address space.
    fn is_larger_than(&self, other: &Kept) -> bool {
        let sizes = |kept: &Kept| {
            let total = &kept.summary.total;
            [kept.summary.footprint, total.resident.value(), Some(total.virtual_size)]
        };
        let measured = sizes(self).into_iter().zip(sizes(other));
        let (mine, others) =
            measured.filter_map(|(mine, others)| mine.zip(others)).next().unwrap_or_default();
        mine > others
    }
}

/// The looks so far.
struct Looks {
    source: Option<Box<dyn RegionSource>>,
    detail: Detail,
    at_exit: bool,
    until: Option<Check>,
    /// Whether what was asked for has been so; then that look stands.
    is_so: bool,
    began: Instant,
    is_traced: bool,
    /// Whether its end waits to be looked at.
    waits_at_exit: bool,
    count: u64,
    /// The largest that the program's own counters were when its map was read.
    largest: Bytes,
    /// The most that was resident at a time, by the kernel's count.
    resident_peak: Option<Bytes>,
    kept: Option<Kept>,
    failed: Option<anyhow::Error>,
}

impl Looks {
    /// Reads the map, and keeps it where it is what is wanted so far.
    fn look(&mut self, when: When) {
        if self.is_so {
            return;
        }
        let Some(source) = &mut self.source else { return };
        let after = self.began.elapsed();
        match Snapshot::read(source.as_mut(), self.detail) {
            Ok(snapshot) => {
                self.count += 1;
                let summary = Summary::of(&snapshot);
                let verdict = self.until.as_ref().map(|check| snapshot.verdict(check));
                self.is_so = verdict == Some(Verdict::Holds);
                let look = Kept { snapshot, summary, when, after };
                let is_larger = self.kept.as_ref().is_none_or(|kept| !kept.is_larger_than(&look));
                if self.is_so || self.at_exit || is_larger {
                    self.kept = Some(look);
                }
            }
            // It ends, or starts another program: then the last look stands.
            Err(Error::Vanished { .. } | Error::Zombie { .. } | Error::Replaced { .. }) => {}
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// Reads the program's own counters, and says whether they have grown by a hundredth since they last had.
    fn read_totals(&mut self) -> bool {
        let Some(totals) = self.source.as_mut().and_then(|source| source.totals().ok()) else { return false };
        self.resident_peak = self.resident_peak.max(totals.resident_peak);
        // Where that isn't told, only the map tells.
        let Some(resident) = totals.resident else { return true };
        let size = resident + totals.swapped.unwrap_or_default();
        let has_grown = size.saturating_sub(self.largest) > Bytes(self.largest.0 / 100);
        if has_grown {
            self.largest = size;
        }
        has_grown
    }
}

fn lock(looks: &Mutex<Looks>) -> MutexGuard<'_, Looks> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the program from its first mapping to its end.
fn look_until_it_ends(
    plan: &Plan,
    launch: &LaunchPlan,
    mut program: Program,
    mut signals: Signals,
    began: Instant,
) -> anyhow::Result<(Looks, Ending)> {
    let id = program.id();
    let handle = signals.handle();
    let signaller = program.signaller();
    let forwarder = thread::spawn(move || {
        for signal in signals.forever() {
            // What is typed at the terminal reaches the program too: here it is only not to end mmview.
            if !(matches!(signal, SIGINT | SIGQUIT) && has_terminal()) {
                signaller.send(signal);
            }
        }
    });
    let looks = Arc::new(Mutex::new(Looks {
        source: None,
        detail: launch.until.as_ref().map_or(Detail::Layout, Check::needs).max(plan.detail(Detail::Counts)),
        at_exit: launch.at_exit,
        until: launch.until.clone(),
        is_so: false,
        began,
        is_traced: program.is_traced(),
        waits_at_exit: program.is_traced(),
        count: 0,
        largest: Bytes::ZERO,
        resident_peak: None,
        kept: None,
        failed: None,
    }));
    let mut looker = None;
    let ending = loop {
        match program.go_on().context("failed to wait for the program")? {
            Moment::Mapped => {
                let mut at_start = lock(&looks);
                match open_process(id, &plan.open) {
                    Ok(source) => at_start.source = Some(source),
                    Err(error) => at_start.failed = Some(error.into()),
                }
                at_start.read_totals();
                at_start.look(When::Start);
                looker = Some(Looker::start(Arc::clone(&looks), launch.interval));
            }
            Moment::Exiting => {
                let mut at_exit = lock(&looks);
                at_exit.read_totals();
                at_exit.look(When::Exit);
                // Where it goes on all the same, nothing stands still any more.
                at_exit.waits_at_exit = false;
            }
            Moment::Ended(ending) => break ending,
        }
    };
    handle.close();
    // Neither thread can fail but by a bug, which has told of itself.
    let _ = forwarder.join();
    drop(looker);
    let looks = Arc::into_inner(looks).context("somebody still looks at a program that has ended")?;
    Ok((looks.into_inner().unwrap_or_else(PoisonError::into_inner), ending))
}

/// The thread that looks at a running program every so often. It ends when this is dropped.
struct Looker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Looker {
    fn start(looks: Arc<Mutex<Looks>>, interval: Duration) -> Looker {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut rest = interval;
            while stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                let mut looks = lock(&looks);
                // What the map is at the end can only be told by what it was last, where the end doesn't wait; and what is
                // waited for need not show in what is resident.
                let is_asked = looks.until.is_some() || (looks.at_exit && !looks.waits_at_exit);
                let has_grown = looks.read_totals();
                if is_asked || has_grown {
                    looks.look(When::Running);
                }
                // The program has half of the time at least. It is looked at whenever it has grown by a hundredth, so that all
                // looks together cost no more than some hundred of the last.
                rest = interval.max(began.elapsed());
            }
        });
        Looker { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
