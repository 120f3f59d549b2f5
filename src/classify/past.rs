//! What the rules remember about earlier regions.

use mmview_platform::{AddrRange, Protection, Region, ShareMode};

use super::image;
use crate::kind::RegionKind;

/// What was decided about the regions before the current one.
#[derive(Default)]
pub(super) struct Past {
    /// The last region, and its kind.
    pub last: Option<(Shape, RegionKind)>,
    /// The image that the last region belongs to.
    pub image: Option<image::Run>,
    /// Whether data of an image was executable. Then the kernel makes all memory executable (`READ_IMPLIES_EXEC`, as on old
    /// MIPS and i386), and an executable region need not contain code.
    pub is_data_executable: bool,
}

impl Past {
    pub fn remember(&mut self, region: &Region, kind: RegionKind) {
        self.is_data_executable |= Past::is_executable_data(region, kind);
        self.last = Some((Shape::from(region), kind));
    }

    /// Whether a region is executable data of an image.
    pub fn is_executable_data(region: &Region, kind: RegionKind) -> bool {
        kind == RegionKind::Data && region.protection.is_executable() && region.share == ShareMode::Private
    }
}

/// The facts that the rules need of a region's neighbors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub range: AddrRange,
    pub protection: Protection,
    pub is_unnamed: bool,
    pub is_shared: bool,
}

impl From<&Region> for Shape {
    fn from(region: &Region) -> Shape {
        Shape {
            range: region.range,
            protection: region.protection,
            is_unnamed: region.is_unnamed(),
            is_shared: region.share.is_shared(),
        }
    }
}
