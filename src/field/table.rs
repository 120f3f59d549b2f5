//! The table of fields.

use std::borrow::Cow;

use mmview_platform::{Bytes, Detail, LinuxRegion, MacosRegion, Name, Native, PurgeState, SmapsField};

use super::{Class, Field, Read, Value};
use crate::region::Classified;

/// Fields that belong together.
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// The fields.
    pub fields: &'static [&'static Field],
}

/// Every field, in the order of help and of errors.
pub static GROUPS: [Group; 6] = [
    Group {
        title: "What it is",
        fields: &[
            &KIND, &TYPE, &OWNER, &EVIDENCE, &NAME, &PATH, &DETAIL, &IMAGE, &SEGMENT, &DEVICE, &INODE,
            &OFFSET, &DELETED,
        ],
    },
    Group { title: "Where it is", fields: &[&ADDRESS, &START, &END] },
    Group {
        title: "How much it is, in bytes; a summary adds up",
        fields: &[&SIZE, &RESIDENT, &DIRTY, &SWAPPED, &PSS, &UNIQUE, &VOLATILE, &NONVOLATILE, &EMPTY],
    },
    Group { title: "The same, in more detail", fields: &NATIVE_SUMS },
    Group {
        title: "How it is treated",
        fields: &[
            &PERM,
            &MAX_PERM,
            &SHARE,
            &FLAGS,
            &NODE,
            &POLICY,
            &PAGE_SIZE,
            &MMU_PAGE_SIZE,
            &THP_ELIGIBLE,
            &PROTECTION_KEY,
            &PURGE,
            &USER_TAG,
            &DEPTH,
            &REF_COUNT,
            &SHADOW_DEPTH,
            &EXTERNAL_PAGER,
            &SUBMAP,
            &SHARED_CACHE,
        ],
    },
    Group { title: "In a summary only", fields: &[&REGIONS] },
];

/// The sizes that add up and that only one system reports.
pub const NATIVE_SUMS: [&Field; 20] = [
    &SHARED_CLEAN,
    &SHARED_DIRTY,
    &PRIVATE_CLEAN,
    &PRIVATE_DIRTY,
    &PSS_DIRTY,
    &REFERENCED,
    &ANONYMOUS,
    &LAZYFREE,
    &KSM,
    &THP,
    &SHMEM_THP,
    &FILE_THP,
    &HUGETLB,
    &SHARED_HUGETLB,
    &PRIVATE_HUGETLB,
    &SWAP_PSS,
    &LOCKED,
    &REUSABLE,
    &WIRED,
    &SHARED_NOW_PRIVATE,
];

const LINUX: Option<&str> = Some("linux");
const MACOS: Option<&str> = Some("macos");

impl Field {
    /// A fact that both systems report and that needs no counts.
    const fn new(name: &'static str, title: &'static str, class: Class, read: Read) -> Field {
        Field {
            name,
            id: name,
            aliases: &[],
            title,
            heading: "",
            about: "",
            os: None,
            detail: Detail::Layout,
            class,
            read,
        }
    }

    const fn region(
        name: &'static str,
        title: &'static str,
        class: Class,
        get: for<'a> fn(&'a Classified) -> Value<'a>,
    ) -> Field {
        Field::new(name, title, class, Read::Region(get))
    }

    /// A size that smaps reports.
    const fn smaps(name: &'static str, title: &'static str, get: fn(&Native) -> Option<Bytes>) -> Field {
        let field = Field::new(name, title, Class::Sum, Read::Native(get));
        Field { os: LINUX, detail: Detail::Counts, ..field }
    }

    /// A size that Mach reports.
    const fn mach(name: &'static str, title: &'static str, get: fn(&Native) -> Option<Bytes>) -> Field {
        Field { os: MACOS, ..Field::smaps(name, title, get) }
    }

    const fn id(self, id: &'static str) -> Field {
        Field { id, ..self }
    }

    const fn also(self, aliases: &'static [&'static str]) -> Field {
        Field { aliases, ..self }
    }

    const fn heading(self, heading: &'static str) -> Field {
        Field { heading, ..self }
    }

    const fn about(self, about: &'static str) -> Field {
        Field { about, ..self }
    }

    const fn on(self, os: Option<&'static str>) -> Field {
        Field { os, ..self }
    }

    const fn needs(self, detail: Detail) -> Field {
        Field { detail, ..self }
    }

    const fn class(self, class: Class) -> Field {
        Field { class, ..self }
    }
}

fn smaps(native: &Native, field: SmapsField) -> Option<Bytes> {
    native.linux()?.smaps.get(field)
}

fn linux(region: &Classified) -> Option<&LinuxRegion> {
    region.native().linux()
}

fn macos(region: &Classified) -> Option<&MacosRegion> {
    region.native().macos()
}

/// What Mach counts. A report of vmmap doesn't print it, and with little detail it isn't read.
fn mach<T>(region: &Classified, of: fn(&MacosRegion) -> T) -> Option<T> {
    let is_read = |native: &&MacosRegion| native.printed_type.is_none() && region.counts().resident.is_some();
    macos(region).filter(is_read).map(of)
}

pub const KIND: Field = Field::region("kind", "KIND", Class::Kind, |region| Value::Kind(region.kind()))
    .heading("\nKIND")
    .about("Purpose, as a fixed identifier");
pub const TYPE: Field =
    Field::region("type", "REGION TYPE", Class::Type, |region| Value::text(Some(region.title().as_bytes())))
        .heading("\nREGION TYPE")
        .about("Purpose, as tables show it");
pub const OWNER: Field =
    Field::region("owner", "OWNER", Class::Text, |region| Value::text(region.owner().map(str::as_bytes)))
        .about("Allocator, runtime or image that it belongs to");
pub const EVIDENCE: Field = Field::region("evidence", "EVID", Class::Evidence, |region| {
    Value::text(Some(region.evidence().id().as_bytes()))
})
.heading("\nEVIDENCE")
.about("How the purpose is known: kernel, shape or memory");
pub const NAME: Field =
    Field::region("name", "NAME", Class::Name, |region| Value::text(region.name().map(Name::bytes)))
        .about("Path, label of the kernel, or name set by the program");
pub const PATH: Field = Field::region("path", "PATH", Class::Name, |region| Value::text(region.path()))
    .also(&["file"])
    .about("Path of its file or memory object");
pub const DETAIL: Field = Field::new("detail", "REGION DETAIL", Class::Name, Read::Table)
    .about("Name, and what explains the region");
pub const IMAGE: Field = Field::new("image", "BUILD ID", Class::Name, Read::Table)
    .on(LINUX)
    .about("Build ID and soname of its program or library");
pub const SEGMENT: Field = Field::region("segment", "SEGMENT", Class::Text, |region| match macos(region) {
    Some(native) => Value::text(native.segment.as_deref().map(str::as_bytes)),
    None => Value::Unmeasured,
})
.on(MACOS)
.about("Mach-O segment that it is part of");
pub const DEVICE: Field = Field::region("device", "DEVICE", Class::Text, |region| match linux(region) {
    Some(native) => Value::Text(Cow::Owned(native.device.to_string().into_bytes())),
    None => Value::Unmeasured,
})
.on(LINUX)
.about("Device of its file, as major:minor");
pub const INODE: Field = Field::region("inode", "INODE", Class::Number, |region| {
    Value::count(linux(region).map(|native| native.inode))
})
.on(LINUX)
.about("Inode of its file");
pub const OFFSET: Field = Field::region("offset", "OFFSET", Class::Number, |region| {
    Value::count(region.facts().has_offset().then(|| region.offset()))
})
.about("Offset of its start in its file or object, in bytes");
pub const DELETED: Field = Field::region("deleted", "DEL", Class::Truth, |region| {
    // macOS doesn't say of a file.
    let is_known = macos(region).is_none() || !region.is_file_backed();
    Value::truth(is_known.then(|| region.name().is_some_and(Name::is_deleted)))
})
.about("Its file has been unlinked");
pub const ADDRESS: Field =
    Field::region("address", "ADDRESS", Class::Address, |region| Value::Address(region.range().start()))
        .also(&["addr"])
        .about("Start and end; in a check, an address in it");
pub const START: Field =
    Field::region("start", "START", Class::Address, |region| Value::Address(region.range().start()))
        .about("First address");
pub const END: Field =
    Field::region("end", "END", Class::Address, |region| Value::Address(region.range().end()))
        .about("Address after its last");
pub const SIZE: Field = Field::region("size", "VSIZE", Class::Sum, |region| Value::size(region.known_size()))
    .also(&["virtual", "vsize", "length"])
    .heading("VIRTUAL\nSIZE")
    .about("Address space");
pub const RESIDENT: Field =
    Field::region("resident", "RSDNT", Class::Sum, |region| Value::size(region.counts().resident))
        .heading("RESIDENT\nSIZE")
        .also(&["rss", "rsdnt"])
        .needs(Detail::Resident)
        .about("In RAM and mapped");
pub const DIRTY: Field =
    Field::region("dirty", "DIRTY", Class::Sum, |region| Value::size(region.counts().dirty))
        .heading("DIRTY\nSIZE")
        .needs(Detail::Counts)
        .about("Resident, and modified or anonymous");
pub const SWAPPED: Field =
    Field::region("swapped", "SWAP", Class::Sum, |region| Value::size(region.counts().swapped))
        .heading("SWAPPED\nSIZE")
        .also(&["swap"])
        .needs(Detail::Resident)
        .about("In swap, or compressed");
pub const PSS: Field =
    Field::region("pss", "PSS", Class::Sum, |region| Value::size(region.counts().proportional))
        .heading("PSS\nSIZE")
        .id("proportional")
        .on(LINUX)
        .needs(Detail::Counts)
        .about("Resident, a page of n processes counted as 1/n");
pub const UNIQUE: Field =
    Field::region("unique", "UNIQUE", Class::Sum, |region| Value::size(region.counts().unique))
        .heading("UNIQUE\nSIZE")
        .also(&["uss"])
        .on(LINUX)
        .needs(Detail::Counts)
        .about("Resident, and mapped by no other process");
pub const VOLATILE: Field = Field::mach("volatile", "VOLATILE", |native| native.macos()?.volatile)
    .heading("VOLATILE\nSIZE")
    .about("Resident memory that the system may reclaim");
pub const NONVOLATILE: Field = Field::mach("nonvolatile", "NONVOL", |native| native.macos()?.nonvolatile)
    .heading("NONVOL\nSIZE")
    .about("Resident purgeable memory in use");
pub const EMPTY: Field = Field::mach("empty", "EMPTY", |native| native.macos()?.empty)
    .heading("EMPTY\nSIZE")
    .about("Purgeable memory whose pages were reclaimed");
pub const SHARED_CLEAN: Field =
    Field::smaps("shared-clean", "SHCLEAN", |native| smaps(native, SmapsField::SharedClean))
        .heading("SHARED\nCLEAN")
        .id("shared_clean")
        .about("Clean pages that are mapped more than once");
pub const SHARED_DIRTY: Field =
    Field::smaps("shared-dirty", "SHDIRTY", |native| smaps(native, SmapsField::SharedDirty))
        .heading("SHARED\nDIRTY")
        .id("shared_dirty")
        .about("Dirty pages that are mapped more than once");
pub const PRIVATE_CLEAN: Field =
    Field::smaps("private-clean", "PRCLEAN", |native| smaps(native, SmapsField::PrivateClean))
        .heading("PRIVATE\nCLEAN")
        .id("private_clean")
        .about("Clean pages that are mapped once");
pub const PRIVATE_DIRTY: Field =
    Field::smaps("private-dirty", "PRDIRTY", |native| smaps(native, SmapsField::PrivateDirty))
        .heading("PRIVATE\nDIRTY")
        .id("private_dirty")
        .about("Dirty pages that are mapped once");
pub const PSS_DIRTY: Field =
    Field::smaps("pss-dirty", "PSSDIRTY", |native| smaps(native, SmapsField::PssDirty))
        .heading("PSS\nDIRTY")
        .id("pss_dirty")
        .about("The dirty part of pss (Linux 6.0)");
pub const REFERENCED: Field =
    Field::smaps("referenced", "REFD", |native| smaps(native, SmapsField::Referenced))
        .heading("REFER-\nENCED")
        .about("Accessed since the bits were last cleared");
pub const ANONYMOUS: Field = Field::smaps("anonymous", "ANON", |native| smaps(native, SmapsField::Anonymous))
    .heading("ANONYM.\nSIZE")
    .also(&["anon"])
    .about("Resident, and no page of a file");
pub const LAZYFREE: Field =
    Field::smaps("lazyfree", "LAZYFREE", |native| smaps(native, SmapsField::LazyFree))
        .heading("LAZYFREE\nSIZE")
        .about("Freed with MADV_FREE, not yet taken back (Linux 4.12)");
pub const KSM: Field = Field::smaps("ksm", "KSM", |native| smaps(native, SmapsField::Ksm))
    .heading("KSM\nSIZE")
    .about("Merged with identical pages (Linux 6.8)");
pub const THP: Field = Field::smaps("thp", "THP", |native| smaps(native, SmapsField::AnonHugePages))
    .heading("THP\nSIZE")
    .also(&["AnonHugePages"])
    .about("Anonymous memory in transparent huge pages");
pub const SHMEM_THP: Field =
    Field::smaps("shmem-thp", "SHMTHP", |native| smaps(native, SmapsField::ShmemPmdMapped))
        .heading("SHMEM\nTHP")
        .id("shmem_thp")
        .also(&["ShmemPmdMapped"])
        .about("Shared memory mapped by huge pages (Linux 4.8)");
pub const FILE_THP: Field =
    Field::smaps("file-thp", "FILETHP", |native| smaps(native, SmapsField::FilePmdMapped))
        .heading("FILE\nTHP")
        .id("file_thp")
        .also(&["FilePmdMapped"])
        .about("Pages of files mapped by huge pages (Linux 5.4)");
pub const HUGETLB: Field = Field::smaps("hugetlb", "HUGETLB", |native| {
    native.linux()?.smaps.sum(SmapsField::SharedHugetlb, SmapsField::PrivateHugetlb)
})
.heading("HUGETLB\nSIZE")
.about("Pages of hugetlb; resident excludes them (Linux 4.4)");
pub const SHARED_HUGETLB: Field =
    Field::smaps("shared-hugetlb", "SHHUGE", |native| smaps(native, SmapsField::SharedHugetlb))
        .heading("SHARED\nHUGETLB")
        .id("shared_hugetlb")
        .about("Pages of hugetlb that are mapped more than once");
pub const PRIVATE_HUGETLB: Field =
    Field::smaps("private-hugetlb", "PRHUGE", |native| smaps(native, SmapsField::PrivateHugetlb))
        .heading("PRIVATE\nHUGETLB")
        .id("private_hugetlb")
        .about("Pages of hugetlb that are mapped once");
pub const SWAP_PSS: Field = Field::smaps("swap-pss", "SWAPPSS", |native| smaps(native, SmapsField::SwapPss))
    .heading("SWAP\nPSS")
    .id("swap_pss")
    .also(&["SwapPss"])
    .about("In swap, a page of n users counted as 1/n (Linux 4.3)");
pub const LOCKED: Field = Field::smaps("locked", "LOCKED", |native| smaps(native, SmapsField::Locked))
    .heading("LOCKED\nSIZE")
    .about("The part of pss that is locked in memory");
pub const REUSABLE: Field = Field::mach("reusable", "REUSABLE", |native| native.macos()?.reusable)
    .heading("REUSABLE\nSIZE")
    .about("Clean memory that the program released for reuse");
pub const WIRED: Field =
    Field::mach("wired", "WIRED", |native| native.macos()?.wired).heading("WIRED\nSIZE").about("Wired down");
pub const SHARED_NOW_PRIVATE: Field =
    Field::mach("shared-now-private", "NOWPRIV", |native| native.macos()?.shared_now_private)
        .heading("NOW\nPRIVATE")
        .id("shared_now_private")
        .about("Copied because the process wrote to it");
pub const PERM: Field = Field::region("perm", "PRT", Class::Protection, |region| {
    Some(region.protection())
        .filter(|protection| protection.is_known())
        .map_or(Value::Unmeasured, Value::Protection)
})
.id("protection")
.also(&["prot", "permissions", "mode"])
.about("Protection: the accesses that are allowed");
pub const MAX_PERM: Field = Field::region("max-perm", "MAX", Class::Protection, |region| {
    region.max_protection().map_or(Value::Unmeasured, Value::Protection)
})
.id("max_protection")
.needs(Detail::Counts)
.about("The most that mprotect can allow");
pub const SHARE: Field = Field::region("share", "SHR", Class::Share, |region| {
    Some(region.share()).filter(|share| share.is_known()).map_or(Value::Unmeasured, Value::Share)
})
.about("Who sees a write");
pub const FLAGS: Field = Field::region("flags", "FLAGS", Class::Words, |region| {
    let Some(flags) = linux(region).and_then(|native| native.vm_flags) else { return Value::Unmeasured };
    let letters: Vec<_> = flags.iter().map(|(letters, _)| letters).collect();
    Value::Text(Cow::Owned(letters.join(" ").into_bytes()))
})
.id("vm_flags")
.also(&["VmFlags"])
.on(LINUX)
.needs(Detail::Counts)
.about("VmFlags of the kernel, such as `lo` for locked");
pub const NODE: Field = Field::region("node", "NODE", Class::Words, |region| {
    let Some(numa) = linux(region).and_then(|native| native.numa.as_ref()) else { return Value::Unmeasured };
    let nodes: Vec<_> = numa.nodes.iter().map(|node| node.node.to_string()).collect();
    Value::Text(Cow::Owned(nodes.join(" ").into_bytes()))
})
.on(LINUX)
.about("Memory nodes that have pages of it (numa_maps)");
pub const POLICY: Field = Field::region("policy", "POLICY", Class::Text, |region| {
    let numa = linux(region).and_then(|native| native.numa.as_ref());
    numa.map_or(Value::Unmeasured, |numa| Value::Text(Cow::Borrowed(numa.policy.as_bytes())))
})
.on(LINUX)
.about("Memory policy, such as `bind:0-1` (numa_maps)");
pub const PAGE_SIZE: Field =
    Field::smaps("page-size", "PAGE", |native| smaps(native, SmapsField::KernelPageSize))
        .class(Class::Size)
        .id("page_size")
        .also(&["KernelPageSize"])
        .about("Page size that the kernel uses");
pub const MMU_PAGE_SIZE: Field =
    Field::smaps("mmu-page-size", "MMUPAGE", |native| smaps(native, SmapsField::MmuPageSize))
        .class(Class::Size)
        .id("mmu_page_size")
        .also(&["MMUPageSize"])
        .about("Page size that the hardware uses");
pub const THP_ELIGIBLE: Field = Field::region("thp-eligible", "THPELIG", Class::Truth, |region| {
    Value::truth(linux(region).and_then(|native| native.thp_eligible))
})
.id("thp_eligible")
.also(&["THPeligible"])
.on(LINUX)
.needs(Detail::Counts)
.about("May use transparent huge pages (Linux 5.0)");
pub const PROTECTION_KEY: Field = Field::region("protection-key", "PKEY", Class::Number, |region| {
    Value::count(linux(region).and_then(|native| native.protection_key.map(u64::from)))
})
.id("protection_key")
.also(&["ProtectionKey", "pkey"])
.on(LINUX)
.needs(Detail::Counts)
.about("Memory protection key (Linux 4.9)");
pub const PURGE: Field = Field::region("purge", "PURGE", Class::Text, |region| match macos(region) {
    Some(MacosRegion { purge: Some(state), .. }) => Value::text(Some(match state {
        PurgeState::Nonvolatile => b"nonvolatile",
        PurgeState::Volatile => b"volatile",
        PurgeState::Empty => b"empty",
    })),
    Some(MacosRegion { volatile: Some(_), .. }) => Value::Nothing,
    _ => Value::Unmeasured,
})
.on(MACOS)
.needs(Detail::Counts)
.about("Whether the system may discard it");
pub const USER_TAG: Field = Field::region("user-tag", "TAG", Class::Number, |region| {
    Value::count(macos(region).map(|native| native.user_tag.into()))
})
.id("user_tag")
.on(MACOS)
.about("Tag of the call that allocated it");
pub const DEPTH: Field = Field::region("depth", "DEPTH", Class::Count, |region| {
    Value::count(mach(region, |native| native.depth.into()))
})
.on(MACOS)
.needs(Detail::Counts)
.about("Number of submaps around it");
pub const REF_COUNT: Field = Field::region("ref-count", "REFS", Class::Count, |region| {
    Value::count(mach(region, |native| native.ref_count.into()))
})
.id("ref_count")
.on(MACOS)
.needs(Detail::Counts)
.about("References to its object");
pub const SHADOW_DEPTH: Field = Field::region("shadow-depth", "SHADOW", Class::Count, |region| {
    Value::count(mach(region, |native| native.shadow_depth.into()))
})
.id("shadow_depth")
.on(MACOS)
.needs(Detail::Counts)
.about("Objects behind it in the copy-on-write chain");
pub const EXTERNAL_PAGER: Field = Field::region("external-pager", "PAGER", Class::Truth, |region| {
    // Of a report it is inferred.
    let printed = macos(region).filter(|native| native.printed_type.is_some());
    let inferred = printed.map(|native| native.external_pager);
    Value::truth(inferred.or_else(|| mach(region, |native| native.external_pager)))
})
.id("external_pager")
.on(MACOS)
.needs(Detail::Counts)
.about("A file or another pager backs it");
pub const SUBMAP: Field = Field::region("submap", "SUBMAP", Class::Truth, |region| {
    Value::truth(macos(region).map(|native| native.submap))
})
.on(MACOS)
.needs(Detail::Counts)
.about("A whole submap that was not entered");
pub const SHARED_CACHE: Field = Field::region("shared-cache", "CACHE", Class::Truth, |region| {
    Value::truth(macos(region).map(|native| native.shared_cache))
})
.id("shared_cache")
.on(MACOS)
.needs(Detail::Counts)
.about("Part of the shared cache of libraries");
pub const REGIONS: Field = Field::new("regions", "", Class::Count, Read::Table)
    .heading("REGION\nCOUNT")
    .about("Number of regions, or of parts of them");
