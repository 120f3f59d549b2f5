//! How tables look: resolved once from the command line and the terminal.

use anstyle::{AnsiColor, Style as Ansi};

use crate::kind::Group;
use crate::units::Units;
use crate::view::Tone;

/// How tables look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether to colour.
    pub color: bool,
    /// How many columns there are; `None` for as many as it takes.
    pub width: Option<usize>,
    /// The unit of sizes.
    pub units: Units,
}

/// The colour of a group of kinds. Chosen to be told apart on dark and light ground, and from text in the default colour.
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
    /// `text` in the colour of `group`, where colours are on.
    pub(super) fn paint(self, group: Option<Group>, text: &str) -> String {
        match group {
            Some(group) if self.color => {
                let color = color(group);
                format!("{color}{text}{color:#}")
            }
            _ => text.to_owned(),
        }
    }

    /// A word in the colour of what it says, where colours are on.
    pub(super) fn tint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let color = match tone {
            Tone::Good => AnsiColor::Green,
            Tone::Bad => AnsiColor::Red,
            Tone::Doubtful => AnsiColor::Yellow,
        };
        let color = color.on_default().bold();
        format!("{color}{text}{color:#}")
    }

    /// What headings are drawn in.
    pub(crate) fn bold(self) -> Ansi {
        if self.color { Ansi::new().bold() } else { Ansi::new() }
    }

    /// The colour of a change: `+` appeared, `-` gone, `~` changed, `=` the same.
    pub(crate) fn mark(self, mark: char) -> Ansi {
        match mark {
            _ if !self.color => Ansi::new(),
            '+' => AnsiColor::Green.on_default(),
            '-' => AnsiColor::Red.on_default(),
            '~' => AnsiColor::Yellow.on_default(),
            _ => Ansi::new().dimmed(),
        }
    }

    /// The line that says what the colours mean, where they are on.
    pub(super) fn legend(self) -> Option<String> {
        self.color.then(|| {
            let groups: Vec<_> =
                Group::ALL.iter().map(|&group| self.paint(Some(group), group.title())).collect();
            format!("Legend: {}", groups.join("  "))
        })
    }
}
