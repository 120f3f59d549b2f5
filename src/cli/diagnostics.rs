//! Messages beside the output: warnings and errors.

use std::io::{self, Write};

use mmview_platform::Warning;

use crate::error::Error;
use crate::text::printable_line;

/// Takes warnings and errors. Standard error does; so can a full-screen view, which must not be written over.
pub(super) trait Diagnostics {
    /// Takes a message of several lines, safe to draw.
    fn message(&self, lines: &[String]);

    /// Takes warnings about the map of a target.
    fn warnings(&self, target: &str, warnings: &[Warning]) {
        for warning in warnings {
            let text = printable_line(&warning.to_string());
            self.message(&[format!("mmview: {target}: warning: {text}")]);
        }
    }

    /// Takes an error: what failed, why, and what would help. `about` is the target, if there are several.
    fn error(&self, about: Option<&str>, error: &Error) {
        let about = about.map(|about| format!("{about}: ")).unwrap_or_default();
        let first = format!("mmview: {about}{}", sentence(error));
        let hints = error.hints().iter().map(|hint| format!("  {hint}"));
        self.message(&std::iter::once(first).chain(hints).collect::<Vec<_>>());
    }
}

/// An error and its causes in one line, safe to draw.
pub(super) fn sentence(error: &Error) -> String {
    printable_line(&format!("{error:#}"))
}

/// Standard error.
pub(super) struct Stderr;

impl Diagnostics for Stderr {
    fn message(&self, lines: &[String]) {
        let mut stderr = io::stderr().lock();
        for line in lines {
            // If even this fails, nothing is left to do.
            let _ = writeln!(stderr, "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Default)]
    struct Collected(RefCell<Vec<String>>);

    impl Diagnostics for Collected {
        fn message(&self, lines: &[String]) {
            self.0.borrow_mut().extend_from_slice(lines);
        }
    }

    #[test]
    fn messages_name_their_target_and_are_safe_to_draw() {
        let collected = Collected::default();
        collected.warnings("42", &[Warning::KernelThread { pid: 42 }]);
        let error = Error::new(ErrorKind::Usage, "no \x1b[31m").with_hints(vec!["try this".to_owned()]);
        collected.error(Some("a"), &error);
        let lines = collected.0.into_inner();
        assert!(lines[0].starts_with("mmview: 42: warning: process 42 is a kernel thread"), "{lines:?}");
        assert_eq!(lines[1..], [r"mmview: a: no \x1b[31m", "  try this"]);
    }
}
