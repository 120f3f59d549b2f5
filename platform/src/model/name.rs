//! The name of a region: a path, the kernel's own label, or a name that the process gave.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::text;

/// The kind of thing that a [`Name`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NameKind {
    /// A path in a file system: `/usr/bin/cat`.
    File,
    /// A memory object that is in no file system, with the path-like name that the kernel gives it: `/memfd:NAME`,
    /// `/SYSV0001e240`, `/dev/zero` (shared anonymous memory), `/anon_hugepage`, `/[aio]`.
    MemoryObject,
    /// An inode without a path, by its class: `anon_inode:[io_uring]`, `socket:[4242]`.
    AnonInode,
    /// The kernel's label for memory that it made: `[heap]`, `[stack]`, `[vdso]`.
    Kernel,
    /// A name that the process gave its private anonymous memory (`prctl(PR_SET_VMA_ANON_NAME)`): `[anon:NAME]`.
    Given,
    /// The same for shared anonymous memory: `[anon_shmem:NAME]`.
    GivenShared,
    /// Any other text.
    Other,
}

/// The name of a region, as bytes. It may not be UTF-8, and may contain a newline or a terminal escape.
///
/// Cheap to clone: clones share the text, and so do the regions of one file of a live process.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Name {
    kind: NameKind,
    #[serde(with = "text")]
    text: Arc<[u8]>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

impl Name {
    /// A name of the given kind. `text` excludes the kernel's ` (deleted)` and the brackets of `[anon:…]`.
    pub fn new(kind: NameKind, text: impl Into<Arc<[u8]>>) -> Name {
        Name { text: text.into(), kind, deleted: false }
    }

    /// The path of a file.
    pub fn file(path: impl Into<Arc<[u8]>>) -> Name {
        Name::new(NameKind::File, path)
    }

    /// The same name, for a file that has been unlinked.
    #[must_use]
    pub fn deleted(self) -> Name {
        Name { deleted: true, ..self }
    }

    /// The bytes of the name, unescaped: for [`NameKind::Given`] the text from the process, for [`NameKind::Kernel`] with the
    /// brackets, for others without a ` (deleted)` that the kernel added.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The kind of thing that is named.
    pub fn kind(&self) -> NameKind {
        self.kind
    }

    /// Whether the file has been unlinked. `false` for memory objects, which never had a link.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Whether a file in a file system backs the region.
    pub fn is_file(&self) -> bool {
        self.kind == NameKind::File
    }

    /// The path, if the name is one: that of a file, or the kernel's path-like name of a memory object.
    pub fn path(&self) -> Option<&[u8]> {
        matches!(self.kind, NameKind::File | NameKind::MemoryObject).then_some(&*self.text)
    }
}

/// Lossy, for logs and test failures. Renderers must escape names themselves.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deleted = if self.deleted { " (deleted)" } else { "" };
        write!(f, "{:?}({:?}{deleted})", self.kind, String::from_utf8_lossy(&self.text))
    }
}
