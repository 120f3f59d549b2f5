//! How tables look: decided once, from the command line and the terminal.

use anstyle::{AnsiColor, Style as Ansi};

use crate::check::Verdict;
use crate::kind::Group;
use crate::units::Units;

/// How tables look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether to color.
    pub color: bool,
    /// How many columns there are; `None` for no limit.
    pub width: Option<usize>,
    /// Whether everything is asked for, however wide it is.
    pub is_wide: bool,
    /// The unit of sizes.
    pub units: Units,
}

/// The color of a group of kinds. The colors differ on dark and on light backgrounds, and from the default color.
pub(super) fn color(group: Group) -> Ansi {
    let color = match group {
        Group::Code => AnsiColor::Red,
        Group::Data => return Ansi::new(),
        Group::Heap => AnsiColor::Yellow,
        Group::Stack => AnsiColor::Magenta,
        Group::File => AnsiColor::Green,
        Group::Shared => AnsiColor::Cyan,
        Group::Kernel => AnsiColor::Blue,
        Group::Reserved => return Ansi::new().dimmed(),
    };
    color.on_default()
}

impl Style {
    /// `text` in the color of `group`, if colors are on.
    pub(super) fn paint(self, group: Option<Group>, text: &str) -> String {
        match group {
            Some(group) if self.color => {
                let color = color(group);
                format!("{color}{text}{color:#}")
            }
            _ => text.to_owned(),
        }
    }

    /// A verdict in its color, if colors are on.
    pub(super) fn tint(self, verdict: Verdict, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let color = match verdict {
            Verdict::Holds => AnsiColor::Green,
            Verdict::Fails => AnsiColor::Red,
            Verdict::Unknown => AnsiColor::Yellow,
        };
        let color = color.on_default().bold();
        format!("{color}{text}{color:#}")
    }

    /// The style of headings.
    pub(crate) fn bold(self) -> Ansi {
        if self.color { Ansi::new().bold() } else { Ansi::new() }
    }

    /// The color of a change: `+` appeared, `-` vanished, `~` changed, `=` unchanged.
    pub(crate) fn mark(self, mark: char) -> Ansi {
        match mark {
            _ if !self.color => Ansi::new(),
            '+' => AnsiColor::Green.on_default(),
            '-' => AnsiColor::Red.on_default(),
            '~' => AnsiColor::Yellow.on_default(),
            _ => Ansi::new().dimmed(),
        }
    }

    /// The line that explains the colors, if they are on.
    pub(super) fn legend(self) -> Option<String> {
        self.color.then(|| {
            let groups: Vec<_> =
                Group::ALL.iter().map(|&group| self.paint(Some(group), group.title())).collect();
            format!("Legend: {}", groups.join("  "))
        })
    }
}
