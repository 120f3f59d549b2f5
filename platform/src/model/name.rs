//! What a region is called: a path, the kernel's own label, or a name that the process gave.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::text;

/// What sort of thing a [`Name`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NameKind {
    /// A path in a file system: `/usr/bin/cat`.
    File,
    /// A memory object without a place in any file system, under the path-like name that the kernel makes up for it:
    /// `/memfd:NAME`, `/SYSV0001e240`, `/dev/zero` (shared anonymous memory), `/anon_hugepage`, `/[aio]`.
    MemoryObject,
    /// An inode without a path, by its class: `anon_inode:[io_uring]`, `socket:[4242]`.
    AnonInode,
    /// The kernel's label for memory of its own making: `[heap]`, `[stack]`, `[vdso]`.
    Kernel,
    /// What the process called its private anonymous memory (`prctl(PR_SET_VMA_ANON_NAME)`): `[anon:NAME]`.
    Given,
    /// The same for shared anonymous memory: `[anon_shmem:NAME]`.
    GivenShared,
    /// Anything else that stood there.
    Other,
}

/// The name of a region, as bytes: it need not be UTF-8, and may hold a newline or a terminal escape.
///
/// Cheap to clone: copies share the text, and so do the regions of one file of a live process.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Name {
    kind: NameKind,
    #[serde(with = "text")]
    text: Arc<[u8]>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

impl Name {
    /// A name of the given kind. `text` is without the kernel's ` (deleted)`, without the brackets of `[anon:…]`.
    pub fn new(kind: NameKind, text: impl Into<Arc<[u8]>>) -> Name {
        Name { text: text.into(), kind, deleted: false }
    }

    /// The path of a file.
    pub fn file(path: impl Into<Arc<[u8]>>) -> Name {
        Name::new(NameKind::File, path)
    }

    /// The same name, of a file that has been unlinked.
    #[must_use]
    pub fn deleted(self) -> Name {
        Name { deleted: true, ..self }
    }

    /// The bytes of the name, unescaped: for [`NameKind::Given`] what the process gave, for [`NameKind::Kernel`] with its
    /// brackets, for the rest without a ` (deleted)` that the kernel added.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// What sort of thing is named.
    pub fn kind(&self) -> NameKind {
        self.kind
    }

    /// Whether the name has been unlinked. Memory objects never had a link: for them this is `false`.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Whether a file in a file system backs the region.
    pub fn is_file(&self) -> bool {
        self.kind == NameKind::File
    }

    /// The path, where the name is one: of a file, or the kernel's path-like name of a memory object.
    pub fn path(&self) -> Option<&[u8]> {
        matches!(self.kind, NameKind::File | NameKind::MemoryObject).then_some(&*self.text)
    }
}

/// Lossy, for logs and test failures. What reaches a terminal is escaped by whoever draws it.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deleted = if self.deleted { " (deleted)" } else { "" };
        write!(f, "{:?}({:?}{deleted})", self.kind, String::from_utf8_lossy(&self.text))
    }
}
