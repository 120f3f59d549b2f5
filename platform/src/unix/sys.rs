//! Calls of the C library that rustix lacks.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
#[cfg(feature = "lessons")]
use std::{io, sync::OnceLock};

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

/// What [`end_by_signal`] writes.
#[cfg(feature = "lessons")]
static LAST_WORDS: OnceLock<&[u8]> = OnceLock::new();

/// Lets a signal that would end the process write `bytes` to standard output first.
#[cfg(feature = "lessons")]
pub(crate) fn write_on_signal(bytes: &'static [u8]) -> io::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    LAST_WORDS.get_or_init(|| bytes);
    let action = SigAction::new(SigHandler::Handler(end_by_signal), SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler calls only functions that are safe in a signal handler (signal-safety(7)).
        let before = unsafe { sigaction(signal, &action) }?;
        if matches!(before.handler(), SigHandler::SigIgn) {
            // SAFETY: this is the action that the signal had.
            unsafe { sigaction(signal, &before) }?;
        }
    }
    Ok(())
}

/// The handler. SA_RESETHAND has restored the default action, and the raised signal is delivered when this returns.
#[cfg(feature = "lessons")]
extern "C" fn end_by_signal(signal: std::ffi::c_int) {
    if let Some(bytes) = LAST_WORDS.get() {
        let mut output = libc::pollfd { fd: libc::STDOUT_FILENO, events: libc::POLLOUT, revents: 0 };
        // SAFETY: `output` is one pollfd, and `bytes` are valid for their length. Without a timeout, poll returns immediately.
        unsafe {
            if libc::poll(&mut output, 1, 0) == 1 && output.revents & libc::POLLOUT != 0 {
                libc::write(libc::STDOUT_FILENO, bytes.as_ptr().cast(), bytes.len());
            }
        }
    }
    // SAFETY: raise has no preconditions.
    unsafe { libc::raise(signal) };
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
