//! Calls of the C library that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;

/// The largest buffer for an entry of the user database.
const LARGEST_ENTRY: usize = 1 << 20;

/// The name of a user in the user database of this machine (`getpwuid_r(3)`).
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
pub(crate) fn user_name(id: u32) -> Option<Box<str>> {
    let mut buffer = vec![0 as c_char; 1024];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are to locals that outlive the call, and the length is that of `buffer`.
        let error = unsafe {
            libc::getpwuid_r(id, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found)
        };
        if error == libc::ERANGE && buffer.len() < LARGEST_ENTRY {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if error != 0 || found.is_null() {
            return None;
        }
        // SAFETY: the call succeeded and found an entry, so it filled `entry`; its name is a C string in `buffer`.
        let name = unsafe { CStr::from_ptr((*found).pw_name) };
        return name.to_str().ok().map(Into::into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_an_unused_id_has_none() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(user_name(u32::MAX - 7), None);
    }
}
