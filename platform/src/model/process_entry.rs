//! A listing of the processes of this machine.

/// A process in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessEntry {
    /// Its process ID.
    pub pid: u32,
    /// Its short name.
    pub name: Box<[u8]>,
    /// Its command line, one item for each argument. Empty for a kernel thread.
    pub command: Vec<Box<[u8]>>,
}

impl ProcessEntry {
    /// An entry of a listing.
    pub fn new(pid: u32, name: impl Into<Box<[u8]>>, command: Vec<Box<[u8]>>) -> ProcessEntry {
        ProcessEntry { pid, name: name.into(), command }
    }

    /// The last component of the first argument's path. Unlike the kernel's short name, it is never cut.
    pub fn program(&self) -> Option<&[u8]> {
        let program = self.command.first()?;
        program.rsplit(|&byte| byte == b'/').next().filter(|name| !name.is_empty())
    }
}
