//! The text of `/proc/PID/stat` (`proc_pid_stat(5)`): the fields that are used here.

/// What `stat` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The state, as a letter.
    pub state: char,
    /// The parent's ID.
    pub parent: u32,
    /// The `PF_…` flags of `include/linux/sched.h`.
    pub flags: u32,
    /// When the process started, in clock ticks since boot.
    pub start_time: u64,
    /// The start of the program's code. 0 or 1 for a reader without `PTRACE_MODE_READ`.
    pub start_code: u64,
    /// The start of the main thread's stack. 0 for a reader without `PTRACE_MODE_READ`.
    pub start_stack: u64,
    /// The exit status as `wait(2)` reports it (3.5). 0 for a reader without `PTRACE_MODE_READ`.
    pub exit_code: Option<i32>,
}

impl Stat {
    /// Parses the one line of `stat`. `None` if it lacks a field or a field is not a number.
    pub fn parse(text: &[u8]) -> Option<Stat> {
        // The name is in parentheses and may contain any byte, parentheses and line ends included. No later field has one.
        let name_end = memchr::memrchr(b')', text)?;
        let rest = std::str::from_utf8(&text[name_end + 1..]).ok()?;
        // The state is the third field.
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |index| field(index)?.parse::<u64>().ok();
        Some(Stat {
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            start_time: number(22)?,
            start_code: number(26)?,
            start_stack: number(28)?,
            exit_code: field(52).and_then(|code| code.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        b"7 (a) b\n(c)) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 5 6 18446744073709551615 \
        93 94 95 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 9\n";

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = Stat::parse(LINE).unwrap();
        assert_eq!((stat.state, stat.parent, stat.flags), ('S', 3, 4_194_560));
        assert_eq!((stat.start_time, stat.start_code, stat.start_stack), (4242, 93, 95));
        assert_eq!(stat.exit_code, Some(9));
    }

    #[test]
    fn old_kernels_have_fewer_fields() {
        let end = LINE.iter().rposition(|&byte| byte == b' ').unwrap();
        assert_eq!(Stat::parse(&LINE[..end]).unwrap().exit_code, None);
        assert_eq!(Stat::parse(b"7 (a) S 3"), None);
        assert_eq!(Stat::parse(b""), None);
    }
}
