//! The allocator of CPython.

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// The allocator of CPython.
pub(super) struct CPython;

impl Recognizer for CPython {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
