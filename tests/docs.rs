//! The documentation is up to date: its examples print what it shows, and its links lead somewhere.
//!
//! An example is a `$ mmview …` command in a `console` block that names a file of `tests/fixtures`; commands about live
//! processes are not run. `MMVIEW_BLESS=1 cargo test --test docs` rewrites the output of the examples.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod common;
mod source;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use common::{mmview, skip};
use source::workspace;

const FIXTURES: [&str; 2] = ["tests/fixtures/linux", "tests/fixtures/macos"];

/// The pages of the documentation, relative to the workspace.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(workspace().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.map(|path| path.strip_prefix(workspace()).unwrap().to_owned());
    let mut pages: Vec<_> = docs.chain(["README.md", "CONTRIBUTING.md"].map(PathBuf::from)).collect();
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(workspace().join(page)).unwrap()
}

/// The fixture that a command names: its directory.
fn fixture(command: &str) -> Option<PathBuf> {
    let directories = FIXTURES.map(|directory| workspace().join(directory));
    directories.into_iter().find(|directory| {
        let mut words = command.split_whitespace();
        words.any(|word| word.contains('.') && directory.join(word).is_file())
    })
}

/// What a command prints in a shell that finds mmview.
fn printed(command: &str, directory: &Path) -> String {
    let program = mmview([]).get_program().to_owned();
    let programs = Path::new(&program).parent().unwrap().to_owned();
    let paths = env::split_paths(&env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let path = env::join_paths([programs].into_iter().chain(paths)).unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(directory)
        .env("PATH", path)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The page, with the output of every example as it is now.
fn with_fresh_examples(page: &str) -> String {
    let mut fresh = String::new();
    let mut lines = page.lines().peekable();
    let mut is_console = false;
    while let Some(line) = lines.next() {
        fresh += line;
        fresh.push('\n');
        if line.starts_with("```") {
            is_console = line == "```console";
        }
        let Some(start) = line.strip_prefix("$ ").filter(|_| is_console) else { continue };
        let mut command = start.to_owned();
        while let Some(more) = lines.next_if(|more| command.ends_with('\\') && more.starts_with("> ")) {
            command.truncate(command.len() - 1);
            command += more.trim_start_matches("> ");
            fresh += more;
            fresh.push('\n');
        }
        let mut shown = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && !line.starts_with("```")) {
            shown.push(line);
        }
        match fixture(&command).filter(|_| command.starts_with("mmview ")) {
            Some(directory) => {
                let output = printed(&command, &directory);
                let is_last = lines.peek().is_some_and(|line| line.starts_with("```"));
                fresh.extend(output.trim_end().lines().map(|line| line.trim_end().to_owned() + "\n"));
                fresh += if is_last { "" } else { "\n" };
            }
            None => fresh.extend(shown.iter().map(|line| format!("{line}\n"))),
        }
    }
    fresh
}

#[test]
fn examples_print_what_the_documentation_shows() {
    if !printed("mmview --version", &workspace()).starts_with("mmview ") {
        return skip("a shell cannot start this build of mmview");
    }
    for page in pages() {
        let fresh = with_fresh_examples(&read(&page));
        source::assert_fresh(page.to_str().unwrap(), &fresh, "cargo test --test docs");
    }
}

#[test]
fn links_lead_to_files() {
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let path = link.split_once('#').map_or(link, |(path, _)| path);
            if !path.is_empty() && !link.contains("://") {
                let target = workspace().join(&page).parent().unwrap().join(path);
                assert!(target.exists(), "{}: no file {path}", page.display());
            }
        }
    }
}
