//! musl's mallocng.

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// musl's mallocng.
pub(super) struct MuslMalloc;

impl Recognizer for MuslMalloc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
