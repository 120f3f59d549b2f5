//! When a program that was started here can be inspected.

use crate::model::Ending;

/// A moment of a program's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was started. A program that is traced stands still: its image is mapped, and nothing of it has run yet.
    Mapped,
    /// Its first thread is ending, and the map is still whole. That is the end of the program unless other threads go on, or one
    /// of them starts another program. Told of traced programs only.
    Exiting,
    /// It has ended.
    Ended(Ending),
}
