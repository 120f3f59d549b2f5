//! What would help where macOS doesn't let a program look at another.

/// The ways out, a sentence each, by what usually refuses. The system itself doesn't say which it was.
pub(crate) fn way_out() -> Vec<String> {
    vec![
        "unless it is a process of your own that may be debugged, macOS wants root: run mmview with sudo".to_owned(),
        "a program that is signed with the hardened runtime, as most that are downloaded are, may not be looked at: sign \
         mmview with the debugger entitlement (`codesign --force --sign - --entitlements mmview.entitlements \
         $(command -v mmview)`; the file is in mmview's sources under platform/), or the program with \
         `com.apple.security.get-task-allow`"
            .to_owned(),
        "programs of the system are protected from everyone, root included, while System Integrity Protection is on \
         (`csrutil status`); Apple's own `vmmap PID` may look at them, and mmview reads what it prints: \
         `vmmap PID > FILE; mmview FILE`"
            .to_owned(),
    ]
}
