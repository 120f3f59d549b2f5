//! The spaces of V8's heaps. Their numbers differ from version to version (`AllocationSpace` in `src/common/globals.h`).

use std::fmt;

use super::page::{Found, Layout};
use super::{EXPORT, SMALLEST_IMAGE};
use crate::kind::RegionKind;
use crate::owners::images::Image;
use crate::owners::target::Target;

/// The data of V8 that have its version; their values are in the file.
const MAJOR: &str = "_ZN2v88internal7Version6major_E";
const MINOR: &str = "_ZN2v88internal7Version6minor_E";

/// No V8 has such a number.
const HIGHEST_VERSION: u32 = 1000;

/// A version of V8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The image that has V8.
    pub fn image<'a>(target: &'a Target<'_>) -> Option<&'a Image> {
        let is_large =
            |image: &&Image| image.elf.segments.iter().any(|segment| segment.memory_size >= SMALLEST_IMAGE);
        target.images.all.iter().filter(is_large).find(|image| image.elf.export(EXPORT).is_some())
    }

    /// The version, by the file.
    pub fn read(target: &Target<'_>) -> Option<Version> {
        let image = Version::image(target)?;
        let number = |symbol| image.elf.u32_at(image.elf.export(symbol)?);
        let version = Version { major: number(MAJOR)?, minor: number(MINOR)? };
        (version.major < HIGHEST_VERSION && version.minor < HIGHEST_VERSION).then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a space is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    ReadOnly,
    New,
    Old,
    Code,
    Map,
    Shared,
    Trusted,
    SharedTrusted,
    NewLarge,
    Large,
    CodeLarge,
    SharedLarge,
    SharedTrustedLarge,
    TrustedLarge,
    /// One that no known version has.
    Other,
}

use Space::*;

/// V8 9 and 10, 11, 12.0 to 12.7, and later.
const SPACES_10: &[Space] = &[ReadOnly, Old, Code, Map, Large, CodeLarge, NewLarge, New];
const SPACES_11: &[Space] = &[ReadOnly, New, Old, Code, Shared, NewLarge, Large, CodeLarge, SharedLarge];
const SPACES_12: &[Space] =
    &[ReadOnly, New, Old, Code, Shared, Trusted, NewLarge, Large, CodeLarge, SharedLarge, TrustedLarge];
const SPACES_13: &[Space] = &[
    ReadOnly,
    New,
    Old,
    Code,
    Shared,
    Trusted,
    SharedTrusted,
    NewLarge,
    Large,
    CodeLarge,
    SharedLarge,
    SharedTrustedLarge,
    TrustedLarge,
];

/// The spaces of a version, by their numbers.
pub(super) struct Spaces(&'static [Space]);

impl Spaces {
    /// The spaces of this version; if it is unknown, of those that have the layout.
    pub fn of(version: Option<Version>, layout: &Layout, found: &Found) -> Spaces {
        let Some(Version { major, minor }) = version else {
            return Spaces(match *layout {
                Layout::V12 => SPACES_12,
                Layout::V13 => SPACES_13,
                _ if found.youngest() == Some(1) => SPACES_11,
                _ => SPACES_10,
            });
        };
        Spaces(match (major, minor) {
            (..=10, _) => SPACES_10,
            (11, _) => SPACES_11,
            (12, ..8) => SPACES_12,
            _ => SPACES_13,
        })
    }

    /// The space with this number.
    pub fn get(&self, id: u32) -> Space {
        self.0.get(id as usize).copied().unwrap_or(Other)
    }
}

impl Space {
    /// Its name, behind that of the heap.
    pub const fn name(self) -> &'static str {
        match self {
            ReadOnly => "read-only space",
            New => "new space",
            Old => "old space",
            Code => "code space",
            Map => "map space",
            Shared => "shared space",
            Trusted => "trusted space",
            SharedTrusted => "shared trusted space",
            NewLarge => "new large objects",
            Large => "large objects",
            CodeLarge => "large code objects",
            SharedLarge => "shared large objects",
            SharedTrustedLarge => "shared trusted large objects",
            TrustedLarge => "trusted large objects",
            Other => "other spaces",
        }
    }

    /// The name of the type of its memory.
    pub const fn title(self) -> &'static str {
        match self {
            ReadOnly => "V8 read-only space",
            New => "V8 new space",
            Old => "V8 old space",
            Code | CodeLarge => "V8 code",
            Map => "V8 map space",
            Shared | SharedTrusted => "V8 shared space",
            Trusted => "V8 trusted space",
            Other => "V8 heap",
            _ => "V8 large objects",
        }
    }

    /// The kind of its memory.
    pub const fn kind(self) -> RegionKind {
        if self.is_code() { RegionKind::JitCode } else { RegionKind::GcHeap }
    }

    /// Whether it has machine code.
    pub const fn is_code(self) -> bool {
        matches!(self, Code | CodeLarge)
    }

    /// Whether each of its objects has a page of its own.
    pub const fn is_of_large_objects(self) -> bool {
        matches!(self, NewLarge | Large | CodeLarge | SharedLarge | SharedTrustedLarge | TrustedLarge)
    }

    /// Whether its pages count what is allocated in them. Those of the new generation are always full.
    pub const fn counts(self) -> bool {
        !matches!(self, New | NewLarge | Other)
    }
}
