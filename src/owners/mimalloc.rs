//! mimalloc.

use mmview_platform::Result;

use super::claims::Claims;
use super::target::Target;
use super::{Recognizer, Wanted};

/// mimalloc.
pub(super) struct Mimalloc {
    wanted: Wanted,
}

impl Mimalloc {
    pub fn new(wanted: Wanted) -> Mimalloc {
        Mimalloc { wanted }
    }
}

impl Recognizer for Mimalloc {
    fn may_apply(&self, _: &Target<'_>) -> bool {
        false
    }

    fn recognize(&mut self, _: &Target<'_>, _: &mut Claims<'_>) -> Result<()> {
        Ok(())
    }
}
