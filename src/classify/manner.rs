//! How a process uses its address space: what the whole map shows, and single regions don't.

use mmview_platform::{NameKind, Region};

/// How a process uses its address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manner {
    /// Whether the kernel makes all private memory executable (`READ_IMPLIES_EXEC`, as on old MIPS and i386): then an
    /// executable region need not contain code.
    pub is_all_executable: bool,
    /// Whether the main stack is executable. glibc makes the stacks of threads executable then, too.
    pub is_stack_executable: bool,
    /// Whether all of it lies below 4 GiB.
    pub is_32_bit: bool,
}

impl Manner {
    /// From a whole map.
    ///
    /// With `READ_IMPLIES_EXEC` the data of an image is executable, and no private memory is readable alone. The main stack
    /// proves nothing: its protection is what the program's header asks for.
    pub fn of_map<'a>(regions: impl Iterator<Item = &'a Region>) -> Manner {
        let mut manner = Manner { is_32_bit: true, ..Manner::default() };
        let mut has_executable_data = false;
        let mut is_all_executable = true;
        let mut last_code = None;
        for region in regions {
            let protection = region.protection;
            let name = region.name.as_ref();
            let kind = name.map(|name| name.kind());
            manner.is_stack_executable |=
                name.is_some_and(|name| name.bytes() == b"[stack]") && protection.is_executable();
            manner.is_32_bit &= region.range.end() <= 1 << 32;
            if kind == Some(NameKind::Kernel) && name.is_some_and(|name| name.bytes() != b"[heap]") {
                continue;
            }
            if region.share.is_shared() || !protection.is_readable() {
                continue;
            }
            let is_of_image = name.is_some() && name == last_code;
            if kind == Some(NameKind::File) && protection.is_executable() && !protection.is_writable() {
                last_code = name;
            } else if protection.is_executable() {
                has_executable_data |= is_of_image;
            } else if is_of_image || kind != Some(NameKind::File) {
                is_all_executable = false;
            }
        }
        manner.is_all_executable = has_executable_data && is_all_executable;
        manner
    }
}
