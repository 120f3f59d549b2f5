//! gperftools' and Google's tcmalloc.

use mmview_platform::Result;

use super::claims::Claims;
use super::target::Target;
use super::{Recognizer, Wanted};

/// gperftools' and Google's tcmalloc.
pub(super) struct Tcmalloc {
    wanted: Wanted,
}

impl Tcmalloc {
    pub fn new(wanted: Wanted) -> Tcmalloc {
        Tcmalloc { wanted }
    }
}

impl Recognizer for Tcmalloc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
