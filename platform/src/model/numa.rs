//! Where the pages of a region are in a machine with several memory nodes.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// What `/proc/PID/numa_maps` reports about a region: its policy, and its resident pages by node. Sizes are `None` if the kernel
/// doesn't print the size of a page (before 3.9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Numa {
    /// Where the kernel takes pages from, in its words: `default`, `bind:0-1`, `interleave:0,2`.
    pub policy: Box<str>,
    /// The size of its pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<Bytes>,
    /// Whether it has hugetlb pages.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub huge: bool,
    /// Resident and not a file's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Bytes>,
    /// Resident and dirty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<Bytes>,
    /// Resident and also in the swap cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_cache: Option<Bytes>,
    /// Resident and in use of late (on the kernel's active list). Unknown for hugetlb pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Bytes>,
    /// Resident and being written to its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writeback: Option<Bytes>,
    /// How many mappings the page with the most has, if that is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_mappings: Option<u64>,
    /// What each node has of it, by node. Nodes that have nothing are left out.
    #[serde(skip_serializing_if = "<[NumaNode]>::is_empty")]
    pub nodes: Box<[NumaNode]>,
}

/// What a memory node has of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NumaNode {
    /// The number of the node.
    pub node: u32,
    /// The size of the pages there.
    pub size: Bytes,
}

impl NumaNode {
    /// A node with pages of this size.
    pub const fn new(node: u32, size: Bytes) -> NumaNode {
        NumaNode { node, size }
    }
}
