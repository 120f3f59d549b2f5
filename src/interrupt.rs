//! Being interrupted: a signal that asks for the end is noted, so that what was begun is ended in good order.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// How long a sleep may last before somebody looks whether it was interrupted.
pub const NAP: Duration = Duration::from_millis(50);

/// Whether somebody asked for the end, by Ctrl-C or by closing the terminal.
#[derive(Clone, Debug)]
pub struct Interrupt {
    /// The signal; 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Notes SIGINT, SIGTERM and SIGHUP from now on. A second one ends the program at once, whatever it waits for.
    ///
    /// # Errors
    ///
    /// Those of `sigaction(2)`.
    pub fn watch() -> io::Result<Interrupt> {
        let signal = Arc::new(AtomicUsize::new(0));
        let is_there = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(number, 128 | number, Arc::clone(&is_there))?;
            flag::register(number, Arc::clone(&is_there))?;
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
        }
        Ok(Interrupt { signal })
    }

    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], where it is.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted { signal: signal as u8 }),
        }
    }

    /// Sleeps until `time`.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], at most [`NAP`] after it was.
    pub fn sleep_until(&self, time: Instant) -> Result<(), Interrupted> {
        loop {
            self.check()?;
            let left = time.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// Somebody asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    signal: u8,
}

impl Interrupted {
    /// The exit status that a shell gives for it.
    pub fn shell_status(self) -> u8 {
        128 | self.signal
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}
