use super::version_in;

fn info(flags: u8, version: &[u8]) -> Vec<u8> {
    let mut info = b"\xff Go buildinf:".to_vec();
    info.extend([8, flags]);
    info.resize(32, 0);
    info.push(version.len() as u8);
    info.extend(version);
    info
}

#[test]
fn a_version_is_read_if_it_is_in_the_section() {
    assert_eq!(version_in(&info(2, b"go1.19.8")).as_deref(), Some("1.19.8"));
    // Before Go 1.18, the section has pointers.
    assert_eq!(version_in(&info(0, b"go1.17.1")), None);
    assert_eq!(version_in(&info(2, b"go1\x1b[31m")), None, "no control characters");
    let whole = info(2, b"go1.26.10");
    for length in 0..whole.len() {
        assert_eq!(version_in(&whole[..length]), None, "{length} bytes");
    }
}
