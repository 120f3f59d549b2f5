//! The runtime of Go.

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// The runtime of Go.
pub(super) struct Go;

impl Recognizer for Go {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
