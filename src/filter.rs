//! Which regions to list.

use mmview_platform::{AddrRange, Bytes};
use thiserror::Error;

use crate::criteria::{PathGlob, Permissions};
use crate::kind::RegionKind;
use crate::region::Classified;

/// Selects regions: those that meet every condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The kind is one of these. Empty: any kind.
    pub kinds: Vec<RegionKind>,
    /// The name matches one of these. Empty: any name, and none.
    pub paths: Vec<PathGlob>,
    /// The protection.
    pub permissions: Option<Permissions>,
    /// The region overlaps this range.
    pub addresses: Option<AddrRange>,
    /// The region is at least this large.
    pub min_size: Option<Bytes>,
}

impl Filter {
    /// Whether a region meets every condition.
    pub fn lets_through(&self, region: &Classified) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&region.kind()))
            && (self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(region)))
            && self.permissions.is_none_or(|permissions| permissions.matches(region) == Some(true))
            && self.addresses.is_none_or(|range| range.overlaps(region.range()))
            && self.min_size.is_none_or(|least| region.size() >= least)
    }
}

/// No kind has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown kind `{text}`; the kinds are {}", RegionKind::ids().join(", "))]
#[non_exhaustive]
pub struct UnknownKind {
    text: String,
}

/// Parses a name of kinds, as [`RegionKind::named`] understands it.
///
/// # Errors
///
/// No kind has this name.
pub fn parse_kind(text: &str) -> Result<&'static [RegionKind], UnknownKind> {
    RegionKind::named(text).ok_or_else(|| UnknownKind { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;

    fn lets_through(filter: &Filter, line: &str) -> bool {
        filter.lets_through(&classified(line)[0])
    }

    #[test]
    fn permissions_are_exact_or_some_letters() {
        let matches = |permissions: &str, line: &str| {
            let filter = Filter { permissions: Some(permissions.parse().unwrap()), ..Filter::default() };
            lets_through(&filter, &format!("1000-2000 {line} 0 00:00 0"))
        };
        assert!(matches("rw-", "rw-p"));
        assert!(!matches("rw-", "rwxp"));
        assert!(matches("w", "rwxp"));
        assert!(!matches("x", "rw-p"));
        assert!(matches("rw-s", "rw-s"));
        assert!(!matches("rw-s", "rw-p"));
        assert!(matches("?w?", "-wxp"));
        assert!(matches("rwx", "rwxp"));
    }

    #[test]
    fn globs_match_paths_or_last_parts() {
        let matches = |glob: &str, name: &str| {
            let filter = Filter { paths: vec![glob.parse().unwrap()], ..Filter::default() };
            lets_through(&filter, &format!("1000-2000 r--p 0 08:01 7 {name}"))
        };
        assert!(matches("libc*", "/usr/lib/libc.so.6"));
        assert!(!matches("lib", "/usr/lib/libc.so.6"));
        assert!(matches("/usr/**", "/usr/lib/libc.so.6"));
        assert!(matches("*/lib/*", "/usr/lib/libc.so.6"));
        assert!(matches("[[]heap]", "[heap]"));
        assert!(matches("libc_malloc", "[anon:libc_malloc]"));
    }
}
