//! gperftools' and Google's tcmalloc.

use mmview_platform::Result;

use super::Recognizer;
use super::claims::Claims;
use super::target::Target;

/// gperftools' and Google's tcmalloc.
pub(super) struct Tcmalloc;

impl Recognizer for Tcmalloc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
