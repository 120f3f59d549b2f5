//! Interruption: a signal is recorded, so that the program can clean up before it ends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// The longest sleep before the next check for a signal.
pub const NAP: Duration = Duration::from_millis(50);

/// Whether a signal has arrived: Ctrl-C, a closed terminal, or SIGTERM.
#[derive(Clone, Debug)]
pub struct Interrupt {
    /// The signal; 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Records SIGINT, SIGTERM and SIGHUP from now on. A second signal ends the program immediately.
    ///
    /// # Errors
    ///
    /// The errors of `sigaction(2)`.
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

    /// Checks for a signal.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] if one has arrived.
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
    /// [`Interrupted`] if a signal arrives, at most [`NAP`] later.
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

/// A signal has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    signal: u8,
}

impl Interrupted {
    /// The exit status that a shell reports for it: 128 plus the signal.
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
