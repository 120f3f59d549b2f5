//! Blink's garbage-collected heap (Oilpan).

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// Blink's garbage-collected heap (Oilpan).
pub(super) struct CppGc;

impl Recognizer for CppGc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
