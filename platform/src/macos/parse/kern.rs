//! Errors of the kernel: `kern_return_t` and `errno`, sorted by how to handle them.

use std::fmt;

/// A `kern_return_t` other than success (`mach/kern_return.h`, `mach/message.h`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernReturn(pub i32);

impl KernReturn {
    /// No region at or after the address.
    pub const INVALID_ADDRESS: KernReturn = KernReturn(1);
    /// The same, from some releases at the top of the address space.
    pub const NO_SPACE: KernReturn = KernReturn(3);
    /// The port is not that of a task with a map: its task has ended, or the port permits too little.
    pub const INVALID_ARGUMENT: KernReturn = KernReturn(4);
    /// An unspecified failure, which is also what `task_for_pid` returns when it refuses.
    pub const FAILURE: KernReturn = KernReturn(5);
    /// The task has ended.
    pub const INVALID_TASK: KernReturn = KernReturn(16);
    /// The object has ended.
    pub const TERMINATED: KernReturn = KernReturn(37);
    /// This release lacks the call.
    pub const NOT_SUPPORTED: KernReturn = KernReturn(46);
    /// The port is dead.
    pub const SEND_INVALID_DEST: KernReturn = KernReturn(0x1000_0003);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "KERN_INVALID_ADDRESS",
            2 => "KERN_PROTECTION_FAILURE",
            3 => "KERN_NO_SPACE",
            4 => "KERN_INVALID_ARGUMENT",
            5 => "KERN_FAILURE",
            6 => "KERN_RESOURCE_SHORTAGE",
            8 => "KERN_NO_ACCESS",
            15 => "KERN_INVALID_NAME",
            16 => "KERN_INVALID_TASK",
            17 => "KERN_INVALID_RIGHT",
            18 => "KERN_INVALID_VALUE",
            37 => "KERN_TERMINATED",
            46 => "KERN_NOT_SUPPORTED",
            53 => "KERN_DENIED",
            0x1000_0003 => "MACH_SEND_INVALID_DEST",
            _ => return None,
        })
    }
}

impl fmt::Display for KernReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#x})", self.0),
            None => write!(f, "Mach error {:#x}", self.0),
        }
    }
}

impl fmt::Debug for KernReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for KernReturn {}

/// Why there is no region.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is none at or after the address: the map ends here.
    End,
    /// The task has ended.
    Gone,
    /// Anything else. That includes `KERN_INVALID_ARGUMENT`, which may or may not mean that the task has ended.
    Denied(std::io::Error),
}

impl From<KernReturn> for Refusal {
    fn from(code: KernReturn) -> Refusal {
        match code {
            KernReturn::INVALID_ADDRESS | KernReturn::NO_SPACE => Refusal::End,
            KernReturn::INVALID_TASK | KernReturn::TERMINATED | KernReturn::SEND_INVALID_DEST => {
                Refusal::Gone
            }
            KernReturn::INVALID_ARGUMENT => {
                Refusal::Denied(std::io::Error::new(std::io::ErrorKind::InvalidInput, code))
            }
            code => Refusal::Denied(std::io::Error::new(std::io::ErrorKind::PermissionDenied, code)),
        }
    }
}

impl Refusal {
    /// The meaning of an `errno` of `proc_pidinfo`, by the numbers of macOS: EINVAL is the end of the map, ESRCH the end of
    /// the process.
    pub fn from_proc_errno(errno: i32) -> Refusal {
        const ESRCH: i32 = 3;
        const EINVAL: i32 = 22;
        match errno {
            EINVAL => Refusal::End,
            ESRCH => Refusal::Gone,
            errno => Refusal::Denied(std::io::Error::from_raw_os_error(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        assert!(matches!(Refusal::from(KernReturn(1)), Refusal::End));
        assert!(matches!(Refusal::from(KernReturn(0x1000_0003)), Refusal::Gone));
        assert!(matches!(Refusal::from(KernReturn(4)), Refusal::Denied(_)));
        assert!(matches!(Refusal::from_proc_errno(22), Refusal::End));
        assert!(matches!(Refusal::from_proc_errno(3), Refusal::Gone));
        assert!(matches!(Refusal::from_proc_errno(1), Refusal::Denied(_)));
    }

    #[test]
    fn codes_are_named() {
        assert_eq!(KernReturn(5).to_string(), "KERN_FAILURE (0x5)");
        assert_eq!(KernReturn(99).to_string(), "Mach error 0x63");
    }
}
