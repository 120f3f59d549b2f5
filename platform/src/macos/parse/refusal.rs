//! Hints for when macOS denies access to a process.

/// Hints, one sentence each, by the usual reasons for a refusal. The system itself does not say which one applied.
pub(crate) fn hints(is_root: bool) -> Vec<String> {
    let mut hints = Vec::new();
    if !is_root {
        hints.push("root has access to most processes: run mmview with sudo".to_owned());
    }
    hints.push(
        "only a debugger has access to a program that is signed with the hardened runtime, as most downloaded ones are: sign \
         mmview as a debugger (`codesign --force --sign - --entitlements mmview.entitlements \"$(command -v mmview)\"`, with \
         platform/mmview.entitlements of mmview's sources), or sign the program with com.apple.security.get-task-allow"
            .to_owned(),
    );
    hints.push(
        "System Integrity Protection (`csrutil status`) denies access to the system's own programs, even to root. Apple's vmmap \
         has access, and mmview reads its reports: `sudo vmmap -w PID > FILE`, then `mmview FILE`"
            .to_owned(),
    );
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gets_no_hint_to_become_root() {
        assert!(hints(false)[0].contains("sudo"));
        assert!(hints(true).iter().all(|hint| !hint.contains("run mmview with sudo")));
    }
}
