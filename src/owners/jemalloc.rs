//! jemalloc.

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// jemalloc.
pub(super) struct Jemalloc;

impl Recognizer for Jemalloc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
