//! The command line of a process, from `KERN_PROCARGS2`.

/// Splits what the kernel copied from the top of the process's stack: the number of arguments, the path of the program, NULs
/// up to a multiple of the word size, the arguments, the environment.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Box<[u8]>> {
    let Some((count, rest)) = bytes.split_first_chunk::<4>() else { return Vec::new() };
    let count = usize::try_from(i32::from_le_bytes(*count)).unwrap_or(0);
    let path = memchr::memchr(0, rest).unwrap_or(rest.len());
    let rest = &rest[path..];
    let arguments = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
    if rest[arguments..].is_empty() {
        return Vec::new();
    }
    rest[arguments..].split(|byte| *byte == 0).take(count).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_no_argument() {
        let bytes = b"\x03\0\0\0/bin/a\0\0\0\0a\0\0b c\0HOME=/\0";
        let arguments = parse(bytes);
        assert_eq!(arguments, [b"a"[..].into(), b""[..].into(), b"b c"[..].into()] as [Box<[u8]>; 3]);
    }

    #[test]
    fn what_is_cut_off_or_absurd_gives_what_there_is() {
        assert!(parse(b"").is_empty());
        assert!(parse(b"\xff\xff\xff\xff/bin/a\0a\0").is_empty());
        assert_eq!(parse(b"\x09\0\0\0/bin/a\0a").len(), 1);
        assert!(parse(b"\x01\0\0\0/bin/a").is_empty());
    }
}
