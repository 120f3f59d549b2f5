//! The access rights of a region, and who shares it.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// The allowed accesses: any of read, write and execute. Some listings don't have them ([`Protection::UNKNOWN`]).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Protection(u8);

impl Protection {
    /// No access at all: `---`.
    pub const NONE: Protection = Protection(0);
    /// Read.
    pub const READ: Protection = Protection(1);
    /// Write.
    pub const WRITE: Protection = Protection(2);
    /// Execute.
    pub const EXECUTE: Protection = Protection(4);
    /// Nothing is known: `???`. No access counts as allowed, and it is not [`Protection::NONE`].
    pub const UNKNOWN: Protection = Protection(8);

    /// The accesses of both.
    #[must_use]
    pub const fn with(self, other: Protection) -> Protection {
        Protection(self.0 | other.0)
    }

    /// Creates a protection from three flags.
    pub const fn from_rwx(read: bool, write: bool, execute: bool) -> Protection {
        Protection(read as u8 | (write as u8) << 1 | (execute as u8) << 2)
    }

    /// Whether every access of `other` is allowed.
    pub const fn allows(self, other: Protection) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the listing had it.
    pub const fn is_known(self) -> bool {
        self.0 & Protection::UNKNOWN.0 == 0
    }

    /// Whether no access is allowed.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether reading is allowed.
    pub const fn is_readable(self) -> bool {
        self.allows(Protection::READ)
    }

    /// Whether writing is allowed.
    pub const fn is_writable(self) -> bool {
        self.allows(Protection::WRITE)
    }

    /// Whether executing is allowed.
    pub const fn is_executable(self) -> bool {
        self.allows(Protection::EXECUTE)
    }

    /// The three letters, such as `rw-`; `???` if it is unknown.
    pub const fn as_str(self) -> &'static str {
        if self.is_known() { Protection::TEXTS[(self.0 & 7) as usize] } else { Protection::UNKNOWN_TEXT }
    }

    const TEXTS: [&str; 8] = ["---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"];
    const UNKNOWN_TEXT: &str = "???";
}

/// The three letters.
impl Serialize for Protection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Protection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Protection, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if text == Protection::UNKNOWN_TEXT {
            return Ok(Protection::UNKNOWN);
        }
        let bits = (0u8..).zip(Protection::TEXTS).find(|(_, known)| *known == text);
        bits.map(|(bits, _)| Protection(bits))
            .ok_or_else(|| de::Error::custom(format_args!("`{text}` is not a protection")))
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who sees a write to the region.
///
/// Linux distinguishes two of these (the `p` or `s` of maps), Mach all of them (`SM_…` in `mach/vm_region.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ShareMode {
    /// Writes stay in this process. Linux: `MAP_PRIVATE`, which is copy-on-write if there is something to copy.
    Private,
    /// Pages are copied when written (Mach `SM_COW`).
    CopyOnWrite,
    /// Nothing was ever stored there (Mach `SM_EMPTY`).
    Empty,
    /// All processes that map the same object see writes.
    Shared,
    /// Shared by a shared memory entry (Mach `SM_TRUESHARED`).
    TrueShared,
    /// Mapped more than once in the same process only (Mach `SM_PRIVATE_ALIASED`).
    PrivateAliased,
    /// Mapped more than once in this process, and in others (Mach `SM_SHARED_ALIASED`).
    SharedAliased,
    /// A large page (Mach `SM_LARGE_PAGE`).
    LargePage,
    /// Filled with zeros and never written. vmmap up to macOS 10.15 prints it (`SM=ZER`), but Mach has no such share mode.
    ZeroFilled,
    /// Nothing is known: the capture does not say. It counts as not shared.
    Unknown,
}

impl ShareMode {
    /// Every mode that a system reports.
    pub const ALL: &[ShareMode] = &[
        ShareMode::Private,
        ShareMode::CopyOnWrite,
        ShareMode::Empty,
        ShareMode::Shared,
        ShareMode::TrueShared,
        ShareMode::PrivateAliased,
        ShareMode::SharedAliased,
        ShareMode::LargePage,
        ShareMode::ZeroFilled,
    ];

    /// The three-letter code that vmmap prints after `SM=`; `???` if it is unknown.
    pub const fn code(self) -> &'static str {
        match self {
            ShareMode::Private => "PRV",
            ShareMode::CopyOnWrite => "COW",
            ShareMode::Empty => "NUL",
            ShareMode::Shared | ShareMode::TrueShared => "SHM",
            ShareMode::PrivateAliased => "ALI",
            ShareMode::SharedAliased => "S/A",
            ShareMode::LargePage => "LPG",
            ShareMode::ZeroFilled => "ZER",
            ShareMode::Unknown => "???",
        }
    }

    /// The identifier in machine formats, such as `private`.
    pub const fn id(self) -> &'static str {
        match self {
            ShareMode::Private => "private",
            ShareMode::CopyOnWrite => "copy-on-write",
            ShareMode::Empty => "empty",
            ShareMode::Shared => "shared",
            ShareMode::TrueShared => "true-shared",
            ShareMode::PrivateAliased => "private-aliased",
            ShareMode::SharedAliased => "shared-aliased",
            ShareMode::LargePage => "large-page",
            ShareMode::ZeroFilled => "zero-filled",
            ShareMode::Unknown => "unknown",
        }
    }

    /// Whether the capture says it.
    pub const fn is_known(self) -> bool {
        !matches!(self, ShareMode::Unknown)
    }

    /// Whether another mapping can see a write to the region.
    pub const fn is_shared(self) -> bool {
        matches!(self, ShareMode::Shared | ShareMode::TrueShared | ShareMode::SharedAliased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_follow_the_bits() {
        assert_eq!(Protection::from_rwx(true, true, false).to_string(), "rw-");
        assert_eq!(Protection::from_rwx(false, false, true).to_string(), "--x");
        assert_eq!(format!("{:>5}|", Protection::NONE), "  ---|");
    }

    #[test]
    fn unknown_is_not_none() {
        assert!(!Protection::UNKNOWN.is_known() && !Protection::UNKNOWN.is_none());
        assert!(!Protection::UNKNOWN.is_readable());
        for protection in [Protection::UNKNOWN, Protection::NONE, Protection::from_rwx(true, false, true)] {
            let written = serde_json::to_string(&protection).unwrap();
            assert_eq!(serde_json::from_str::<Protection>(&written).unwrap(), protection, "{written}");
        }
        assert_eq!(Protection::UNKNOWN.to_string(), "???");
    }

    #[test]
    fn allows_is_about_every_access() {
        let rw = Protection::READ.with(Protection::WRITE);
        assert!(rw.allows(Protection::READ));
        assert!(!rw.allows(Protection::READ.with(Protection::EXECUTE)));
    }
}
