//! What the rules remember about earlier regions.

use mmview_platform::{AddrRange, Protection, Region};

use super::image::Images;
use crate::kind::RegionKind;

/// What was decided about the regions before the current one.
#[derive(Default)]
pub(super) struct Past {
    /// The last region, and its kind.
    pub last: Option<(Shape, RegionKind)>,
    /// The images that the next regions can belong to.
    pub images: Images,
}

impl Past {
    pub fn remember(&mut self, region: &Region, kind: RegionKind) {
        self.last = Some((Shape::from(region), kind));
    }

    /// The last region and its kind, if it ends where `shape` starts.
    pub fn below(&self, shape: Shape) -> Option<(Shape, RegionKind)> {
        self.last.filter(|(last, _)| last.touches(shape))
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

impl Shape {
    /// Whether `above` starts where this ends.
    pub fn touches(self, above: Shape) -> bool {
        self.range.end() == above.range.start()
    }

    /// Whether it is memory without access and without a name.
    pub fn is_reserve(self) -> bool {
        self.is_unnamed && self.protection.is_none()
    }

    /// Whether it is private memory without a name that can be read and written.
    pub fn is_plain_memory(self) -> bool {
        self.is_unnamed && !self.is_shared && self.protection.is_readable() && self.protection.is_writable()
    }
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
