//! No import circles between the rooms of a crate, and a drawing of the imports for CONTRIBUTING.
//!
//! A room is a top-level module, or a second-level module that has modules of its own (`linux/parse`). An arrow is an
//! import, or a path, from one room to another; a name that a room only re-exports counts where it is defined. Tests are
//! left out.
//!
//! `cargo test --test imports -- --nocapture` prints every arrow. `MMVIEW_BLESS=1 cargo test --test imports` rewrites the
//! drawing.
#![allow(missing_docs)]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use quote::ToTokens;
use source::{Crate, ModulePath, Target};
use syn::Item;

/// For each room, the rooms that it imports from, each with one module that does so.
type Arrows = BTreeMap<String, BTreeMap<String, String>>;

const CRATES: [(&str, &str); 2] = [("mmview", "."), ("mmview-platform", "platform")];

/// Circles that the test accepts: the crate, and the rooms that may import each other. Each is a room that dispatches to rooms
/// inside it, which use what it shares with them.
const ACCEPTED: &[(&str, &[&str])] = &[
    ("mmview", &["cli", "cli/commands"]),
    ("mmview", OWNERS),
    ("mmview-platform", &["capture", "capture/core", "capture/vmmap"]),
];

/// The recognizers that have rooms of their own. None imports another: each arrow leads from or to the room around them.
const OWNERS: &[&str] = &[
    "owners",
    "owners/beam",
    "owners/cpython",
    "owners/glibc_malloc",
    "owners/go",
    "owners/hotspot",
    "owners/jemalloc",
    "owners/luajit",
    "owners/mimalloc",
    "owners/musl_malloc",
    "owners/php",
    "owners/ruby",
    "owners/tcmalloc",
    "owners/v8",
];

#[test]
#[allow(clippy::print_stdout)]
fn rooms_import_each_other_in_one_direction() {
    let mut found = String::new();
    for (name, directory) in CRATES {
        let arrows = arrows(&Crate::read(directory));
        for (from, to) in &arrows {
            println!("{name}: {from} -> {}", to.keys().cloned().collect::<Vec<_>>().join(" "));
        }
        for circle in circles(&arrows) {
            let is_within = |rooms: &[&str]| circle.iter().all(|room| rooms.contains(&room.as_str()));
            let is_around =
                |room: &str, other: &str| other.strip_prefix(room).is_some_and(|it| it.starts_with('/'));
            let mut inner = circle.iter().flat_map(|from| arrows[from].keys().map(move |to| (from, to)));
            let are_nested = inner.all(|(from, to)| {
                !circle.contains(to)
                    || is_around(from.as_str(), to.as_str())
                    || is_around(to.as_str(), from.as_str())
            });
            if are_nested && ACCEPTED.iter().any(|(of, rooms)| *of == name && is_within(rooms)) {
                continue;
            }
            writeln!(found, "{name}: {} import each other:", circle.join(", ")).unwrap();
            for (from, to) in &arrows {
                for (to, by) in to.iter().filter(|(to, _)| circle.contains(from) && circle.contains(to)) {
                    writeln!(found, "  {from} -> {to}, by {by}").unwrap();
                }
            }
        }
    }
    assert!(found.is_empty(), "import circles:\n{found}");
}

#[test]
fn the_drawing_in_contributing_is_fresh() {
    const FILE: &str = "CONTRIBUTING.md";
    const MARKERS: [&str; 2] = ["<!-- imports: begin -->\n", "<!-- imports: end -->"];
    let mut drawing = String::new();
    for (name, directory) in CRATES {
        write!(drawing, "\n`{name}`:\n\n```mermaid\ngraph LR\n").unwrap();
        for (from, to) in reduced(&arrows(&Crate::read(directory))) {
            for to in to {
                writeln!(drawing, "    {from} --> {to}").unwrap();
            }
        }
        drawing.push_str("```\n");
    }
    drawing.push('\n');
    let page = std::fs::read_to_string(source::workspace().join(FILE)).unwrap();
    let (before, rest) = page.split_once(MARKERS[0]).expect("the page has the marker of the beginning");
    let (_, after) = rest.split_once(MARKERS[1]).expect("the page has the marker of the end");
    let page = [before, MARKERS[0], &drawing, MARKERS[1], after].concat();
    source::assert_fresh(FILE, &page, "cargo test --test imports");
}

#[test]
fn a_circle_is_found_and_a_chain_is_not() {
    let arrows = |pairs: &[(&str, &str)]| {
        let mut arrows = Arrows::new();
        for (from, to) in pairs {
            arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned(), String::new());
        }
        arrows
    };
    assert!(circles(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    let found = circles(&arrows(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [["b", "c"]]);
    let drawn = reduced(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")]));
    assert_eq!(drawn["a"], ["b"], "the arrow that the others imply is left out");
}

#[test]
fn a_reexport_leads_to_the_definition() {
    let platform = Crate::read("platform");
    let resolve = |path: &[&str]| {
        platform.resolve(&[], &path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())
    };
    let Target::Item(module, name) = resolve(&["crate", "Bytes"]) else { panic!("`Bytes` is an item") };
    assert_eq!((module.join("::").as_str(), name.as_str()), ("model::bytes", "Bytes"));
    assert!(matches!(resolve(&["serde", "Serialize"]), Target::External(_)));
}

/// The room that a module is in; `None` for the root, which only declares and re-exports.
fn room(source: &Crate, module: &[String]) -> Option<String> {
    let has_modules = |path: &[String]| {
        let mut files = source.modules.iter().filter(|(_, module)| !module.is_inline);
        files.any(|(other, _)| other.len() > path.len() && other.starts_with(path))
    };
    match module {
        [] => None,
        [first, second, ..] if has_modules(&module[..2]) => Some(format!("{first}/{second}")),
        [first, ..] => Some(first.clone()),
    }
}

fn arrows(source: &Crate) -> Arrows {
    let mut arrows = Arrows::new();
    for module in source.modules.keys() {
        let Some(from) = room(source, module) else { continue };
        for path in used(source, module) {
            let (Target::Item(target, _) | Target::Module(target)) = source.resolve(module, &path) else {
                continue;
            };
            if let Some(to) = room(source, &target).filter(|to| *to != from) {
                arrows.entry(from.clone()).or_default().entry(to).or_insert_with(|| module.join("::"));
            }
        }
    }
    arrows
}

/// The paths that a module imports or writes out in its code.
fn used(source: &Crate, module: &ModulePath) -> BTreeSet<Vec<String>> {
    let module = &source.modules[module];
    let mut paths = BTreeSet::new();
    for item in &module.items {
        if !matches!(item, Item::Use(_) | Item::Mod(_)) {
            source::collect_paths(item.to_token_stream(), &mut paths);
        }
    }
    let is_used =
        |name: &Option<String>| name.as_ref().is_some_and(|name| paths.iter().any(|path| path[0] == *name));
    let imports = module.imports.iter().filter(|import| !import.is_reexport || is_used(&import.name));
    let imported: Vec<Vec<String>> = imports.map(|import| import.path.clone()).collect();
    paths.retain(|path| path.len() > 1);
    paths.extend(imported);
    paths
}

/// The rooms that can be reached from each room.
fn reachable(arrows: &Arrows) -> BTreeMap<String, BTreeSet<String>> {
    let mut reachable = BTreeMap::new();
    for start in arrows.keys() {
        let mut seen = BTreeSet::new();
        let mut rooms: Vec<&String> = arrows[start].keys().collect();
        while let Some(room) = rooms.pop() {
            if seen.insert(room.clone()) {
                rooms.extend(arrows.get(room).into_iter().flat_map(BTreeMap::keys));
            }
        }
        reachable.insert(start.clone(), seen);
    }
    reachable
}

/// The sets of rooms that can all reach each other.
fn circles(arrows: &Arrows) -> BTreeSet<Vec<String>> {
    let reachable = reachable(arrows);
    let reaches = |from: &String, to: &String| reachable.get(from).is_some_and(|rooms| rooms.contains(to));
    let tied = arrows.keys().filter(|room| reaches(room, room));
    tied.map(|room| {
        arrows.keys().filter(|other| reaches(room, other) && reaches(other, room)).cloned().collect()
    })
    .collect()
}

/// The arrows that no longer way implies; all of them inside a circle.
fn reduced(arrows: &Arrows) -> BTreeMap<String, Vec<String>> {
    let reachable = reachable(arrows);
    let reaches = |from: &String, to: &String| reachable.get(from).is_some_and(|rooms| rooms.contains(to));
    let is_implied = |from: &String, to: &String| {
        let mut between = arrows[from].keys().filter(|between| *between != to && !reaches(between, from));
        between.any(|between| reaches(between, to))
    };
    let keep = |from: &String, to: &String| reaches(to, from) || !is_implied(from, to);
    let drawn = |(from, to): (&String, &BTreeMap<String, String>)| {
        (from.clone(), to.keys().filter(|to| keep(from, to)).cloned().collect())
    };
    arrows.iter().map(drawn).collect()
}
