//! What would help where macOS doesn't let a program look at another.

/// The ways out, a sentence each, by what usually refuses. The system itself doesn't say which it was.
pub(crate) fn hints(is_root: bool) -> Vec<String> {
    let mut ways = Vec::new();
    if !is_root {
        ways.push("macOS lets root look at most processes: run mmview with sudo".to_owned());
    }
    ways.push(
        "a program that is signed with the hardened runtime, as most that are downloaded are, may be looked at by a debugger \
         only: sign mmview as one (`codesign --force --sign - --entitlements mmview.entitlements \
         \"$(command -v mmview)\"`, with platform/mmview.entitlements of mmview's sources), or the program with \
         com.apple.security.get-task-allow"
            .to_owned(),
    );
    ways.push(
        "a program of the system is protected from everyone, root included, while System Integrity Protection is on \
         (`csrutil status`); Apple's vmmap may look at it, and mmview reads what that prints: \
         `sudo vmmap -w PID > FILE`, then `mmview FILE`"
            .to_owned(),
    );
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_told_to_become_root() {
        assert!(hints(false)[0].contains("sudo"));
        assert!(hints(true).iter().all(|way| !way.contains("run mmview with sudo")));
    }
}
