//! When a started program can be inspected.

use crate::model::Ending;

/// A moment in the life of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was started. A traced program is stopped: its image is mapped, and it has not run yet.
    Mapped,
    /// Its first thread is exiting, and its map is still complete. The program ends unless other threads run on or one of
    /// them starts another program. Only traced programs have this moment.
    Exiting,
    /// It has ended.
    Ended(Ending),
}
