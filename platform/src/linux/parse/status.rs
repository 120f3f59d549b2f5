//! The text of `/proc/PID/status` (`proc_pid_status(5)`): the fields that are used here.

use crate::model::{Bytes, ProcessTotals};

/// What `status` says of a process. A field is `None` if the kernel did not print it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The process of a thread (`Tgid`).
    pub thread_group: Option<u32>,
    /// The process that traces this one (`TracerPid`); 0 for none.
    pub tracer: Option<u32>,
    /// The real user ID.
    pub real_user: Option<u32>,
    /// The effective user ID.
    pub effective_user: Option<u32>,
    /// The totals that the kernel keeps. A kernel thread has none.
    pub totals: ProcessTotals,
}

impl Status {
    /// Parses the lines of `status`. Lines that are not needed or not understood are skipped.
    pub fn parse(text: &[u8]) -> Status {
        let mut status = Status::default();
        for line in text.split(|&byte| byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            let totals = &mut status.totals;
            match key {
                b"Tgid" => status.thread_group = number(value, 0),
                b"TracerPid" => status.tracer = number(value, 0),
                b"Uid" => {
                    status.real_user = number(value, 0);
                    status.effective_user = number(value, 1);
                }
                b"VmSize" => totals.virtual_size = kib(value),
                b"VmRSS" => totals.resident = kib(value),
                b"VmHWM" => totals.resident_peak = kib(value),
                b"VmSwap" => totals.swapped = kib(value),
                b"RssAnon" => totals.anonymous = kib(value),
                b"RssFile" => totals.file = kib(value),
                b"RssShmem" => totals.shared_memory = kib(value),
                b"VmPTE" => totals.page_tables = kib(value),
                _ => {}
            }
        }
        status
    }
}

/// The number at this place of a line.
fn number<T: std::str::FromStr>(value: &[u8], index: usize) -> Option<T> {
    std::str::from_utf8(value).ok()?.split_ascii_whitespace().nth(index)?.parse().ok()
}

fn kib(value: &[u8]) -> Option<Bytes> {
    number(value, 0).map(Bytes::from_kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_needed_are_read() {
        let text = b"Name:\ta\xff\\nUid:\t9\nTgid:\t7\nTracerPid:\t0\nUid:\t1000\t1001\t1002\t1003\nVmRSS:\t      12 kB\nnone\n";
        let status = Status::parse(text);
        assert_eq!((status.thread_group, status.tracer), (Some(7), Some(0)));
        assert_eq!((status.real_user, status.effective_user), (Some(1000), Some(1001)));
        assert_eq!(status.totals.resident, Some(Bytes(12 << 10)));
        assert_eq!(status.totals.swapped, None);
    }
}
