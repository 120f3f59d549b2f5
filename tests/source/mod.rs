//! The source of a crate as a tree of modules, with name resolution: enough for the tests that read this project's own code.
//!
//! Test code is left out: items under `#[cfg(test)]` or `#[cfg(fuzzing)]`, and the files that they declare.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

/// Where a module is in its crate: `[]` is the root, `["check", "language"]` is `crate::check::language`.
pub type ModulePath = Vec<String>;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An item of this crate, by the module that defines it.
    Item(ModulePath, String),
    Module(ModulePath),
    /// Something of another crate, as written in full.
    External(Vec<String>),
}

/// A name that a `use` brings into a module. `name` is `None` for a glob.
#[derive(Debug)]
pub struct Import {
    pub name: Option<String>,
    pub path: Vec<String>,
    pub is_reexport: bool,
    pub is_public: bool,
}

#[derive(Debug)]
pub struct Module {
    /// Whether it is written inside the file of another module.
    pub is_inline: bool,
    pub items: Vec<Item>,
    pub imports: Vec<Import>,
    defined: BTreeSet<String>,
    children: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Crate {
    pub modules: BTreeMap<ModulePath, Module>,
    /// Names under resolution, so that globs that import each other end.
    pending: RefCell<BTreeSet<(ModulePath, String)>>,
}

impl Crate {
    /// Reads the crate whose root is `src/lib.rs` in `directory`, relative to the workspace.
    pub fn read(directory: &str) -> Crate {
        let source = workspace().join(directory).join("src");
        let mut modules = BTreeMap::new();
        add_file(&mut modules, Vec::new(), &source.join("lib.rs"), &source);
        Crate { modules, pending: RefCell::default() }
    }

    /// What `path` names inside `module`.
    pub fn resolve(&self, module: &[String], path: &[String]) -> Target {
        let (first, rest) = path.split_first().expect("a path has a segment");
        match first.as_str() {
            "crate" | "$crate" => self.resolve_in(Vec::new(), rest),
            "self" => self.resolve_in(module.to_vec(), rest),
            "super" => {
                let parent = module[..module.len().saturating_sub(1)].to_vec();
                if rest.first().is_some_and(|next| next == "super") {
                    return self.resolve(&parent, rest);
                }
                self.resolve_in(parent, rest)
            }
            name => match self.look_up(module, name) {
                Some(Target::Module(found)) => self.resolve_in(found, rest),
                Some(Target::External(found)) => Target::External([&found, rest].concat()),
                Some(item) => item,
                None => Target::External(path.to_vec()),
            },
        }
    }

    fn resolve_in(&self, module: ModulePath, path: &[String]) -> Target {
        let Some((first, rest)) = path.split_first() else { return Target::Module(module) };
        match self.look_up(&module, first) {
            Some(Target::Module(found)) => self.resolve_in(found, rest),
            Some(Target::External(found)) => Target::External([&found, rest].concat()),
            Some(item) => item,
            // A name that a macro makes: it belongs to the module that its path names.
            None => Target::Item(module, first.clone()),
        }
    }

    /// What a single name means in a module.
    fn look_up(&self, path: &[String], name: &str) -> Option<Target> {
        let module = self.modules.get(path)?;
        if module.children.contains(name) {
            return Some(Target::Module([path, &[name.to_owned()]].concat()));
        }
        if module.defined.contains(name) {
            return Some(Target::Item(path.to_vec(), name.to_owned()));
        }
        let question = (path.to_vec(), name.to_owned());
        if !self.pending.borrow_mut().insert(question.clone()) {
            return None;
        }
        let named = module.imports.iter().find(|import| import.name.as_deref() == Some(name));
        let found = match named {
            // `use clap;` and `use serde::{self, Serialize}` name what is not in this crate by its own name.
            Some(import) if import.path == [name] => Some(Target::External(import.path.clone())),
            Some(import) => Some(self.resolve(path, &import.path)),
            None => module.imports.iter().filter(|import| import.name.is_none()).find_map(|glob| {
                let Target::Module(from) = self.resolve(path, &glob.path) else { return None };
                self.look_up(&from, name)
            }),
        };
        self.pending.borrow_mut().remove(&question);
        found
    }
}

/// The directory of the workspace.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the file at `path`, relative to the workspace, with what it has to be. With `MMVIEW_BLESS` set, writes it.
pub fn assert_fresh(path: &str, is: &str, command: &str) {
    let file = workspace().join(path);
    let was = fs::read_to_string(&file).unwrap_or_default();
    if std::env::var_os("MMVIEW_BLESS").is_some() {
        fs::write(&file, is).unwrap();
        return;
    }
    let gone =
        was.lines().filter(|line| !is.lines().any(|other| other == *line)).map(|line| format!("-{line}\n"));
    let new =
        is.lines().filter(|line| !was.lines().any(|other| other == *line)).map(|line| format!("+{line}\n"));
    let difference: String = gone.chain(new).collect();
    assert!(was == is, "{path} is out of date:\n{difference}To update it: MMVIEW_BLESS=1 {command}");
}

/// Whether an item is compiled for tests only.
pub fn is_test_only(attributes: &[Attribute]) -> bool {
    has_cfg(attributes, |condition| {
        matches!(condition, "test" | "fuzzing" | "any(test,fuzzing)") || condition.starts_with("all(test,")
    })
}

/// Whether a `#[cfg(…)]` among these meets `is_met`; it is given the condition without spaces.
pub fn has_cfg(attributes: &[Attribute], is_met: impl Fn(&str) -> bool) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        is_met(&list.tokens.to_string().replace(' ', ""))
    })
}

pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines, and its visibility.
pub fn name_of(item: &Item) -> Option<(&syn::Ident, &Visibility)> {
    Some(match item {
        Item::Const(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        Item::Static(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Union(item) => (&item.ident, &item.vis),
        _ => return None,
    })
}

/// Every `a::b::c` and every lone name among the tokens.
pub fn collect_paths(tokens: TokenStream, paths: &mut BTreeSet<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut is_joined = false;
    let mut colons = 0;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(name) if name == "pub" => {
                // The path of `pub(in crate::check)` is no import.
                tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
            }
            TokenTree::Ident(name) => {
                if !is_joined {
                    paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                }
                path.push(name.to_string());
                is_joined = false;
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' => {
                colons = if sign.spacing() == Spacing::Joint { 1 } else { colons + 1 };
                is_joined = colons == 2;
                if is_joined {
                    colons = 0;
                }
                continue;
            }
            other => {
                paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                is_joined = false;
                if let TokenTree::Group(group) = other {
                    // Documentation is text, not code.
                    if group.delimiter() != Delimiter::Bracket
                        || !group.stream().to_string().starts_with("doc")
                    {
                        collect_paths(group.stream(), paths);
                    }
                }
            }
        }
        colons = 0;
    }
    paths.extend((!path.is_empty()).then_some(path));
}

fn add_file(modules: &mut BTreeMap<ModulePath, Module>, path: ModulePath, file: &Path, directory: &Path) {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("failed to read {}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if !is_test_only(&parsed.attrs) {
        add_items(modules, path, parsed.items, directory);
    }
}

fn add_items(
    modules: &mut BTreeMap<ModulePath, Module>,
    path: ModulePath,
    items: Vec<Item>,
    directory: &Path,
) {
    let mut module = Module {
        is_inline: false,
        items: Vec::new(),
        imports: Vec::new(),
        defined: BTreeSet::new(),
        children: BTreeSet::new(),
    };
    for item in expanded(items).into_iter().filter(|item| !is_test_only(attributes(item))) {
        if let Some((name, _)) = name_of(&item) {
            module.defined.insert(name.to_string());
        }
        match &item {
            Item::Use(item) => {
                let is_reexport = !matches!(item.vis, Visibility::Inherited);
                let is_public = matches!(item.vis, Visibility::Public(_));
                for (name, path) in leaves(&item.tree, &[]) {
                    module.imports.push(Import { name, path, is_reexport, is_public });
                }
            }
            Item::Mod(item) => {
                let name = item.ident.to_string();
                let child = [&path[..], std::slice::from_ref(&name)].concat();
                let inner = directory.join(&name);
                match &item.content {
                    Some((_, items)) => {
                        add_items(modules, child.clone(), items.clone(), &inner);
                        modules.entry(child).and_modify(|module| module.is_inline = true);
                    }
                    None => {
                        let [file, alternative] = [inner.with_extension("rs"), inner.join("mod.rs")];
                        add_file(modules, child, if file.exists() { &file } else { &alternative }, &inner);
                    }
                }
                module.children.insert(name);
            }
            _ => {}
        }
        module.items.push(item);
    }
    modules.insert(path, module);
}

/// The names that a `use` brings in, each with its full path.
fn leaves(tree: &UseTree, before: &[String]) -> Vec<(Option<String>, Vec<String>)> {
    let join = |name: String| [before, &[name]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &join(path.ident.to_string())),
        UseTree::Group(group) => group.items.iter().flat_map(|tree| leaves(tree, before)).collect(),
        UseTree::Glob(_) => vec![(None, before.to_vec())],
        UseTree::Name(name) if name.ident == "self" => vec![(before.last().cloned(), before.to_vec())],
        UseTree::Name(name) => vec![(Some(name.ident.to_string()), join(name.ident.to_string()))],
        UseTree::Rename(rename) if rename.ident == "self" => {
            vec![(Some(rename.rename.to_string()), before.to_vec())]
        }
        UseTree::Rename(rename) => vec![(Some(rename.rename.to_string()), join(rename.ident.to_string()))],
    }
}

/// The items, with the invocations of this module's own list macros replaced by what they define.
fn expanded(items: Vec<Item>) -> Vec<Item> {
    let macros: BTreeMap<String, TokenStream> = items
        .iter()
        .filter_map(|item| match item {
            Item::Macro(item) => Some((item.ident.as_ref()?.to_string(), item.mac.tokens.clone())),
            _ => None,
        })
        .collect();
    let mut all = Vec::new();
    for item in items {
        let made = match &item {
            Item::Macro(invocation) if invocation.ident.is_none() => invocation
                .mac
                .path
                .get_ident()
                .and_then(|name| macros.get(&name.to_string()))
                .and_then(|definition| expand(definition, &invocation.mac.tokens)),
            _ => None,
        };
        match made {
            Some(made) => all.extend(made),
            None => all.push(item),
        }
    }
    all
}

/// Expands a macro of one rule that lists `$variant = …` lines. The names are exact; the bodies of functions are not.
fn expand(definition: &TokenStream, invocation: &TokenStream) -> Option<Vec<Item>> {
    let tokens: Vec<TokenTree> = invocation.clone().into_iter().collect();
    let variants: Vec<TokenTree> = tokens
        .windows(2)
        .filter(|pair| matches!((&pair[0], &pair[1]), (TokenTree::Ident(_), TokenTree::Punct(sign)) if sign.as_char() == '='))
        .map(|pair| pair[0].clone())
        .collect();
    let body = definition.clone().into_iter().filter_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
        _ => None,
    });
    let items: syn::File = syn::parse2(fill(body.last()?, &variants, None)).ok()?;
    Some(items.items)
}

/// `tokens` with each repetition of `$variant` written out, and other repetitions left out.
fn fill(tokens: TokenStream, variants: &[TokenTree], variant: Option<&TokenTree>) -> TokenStream {
    let mut all = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(dollar) if dollar.as_char() == '$' => match tokens.next() {
                Some(TokenTree::Group(repeated)) => {
                    let separator =
                        tokens.next().filter(|next| !matches!(next.to_string().as_str(), "+" | "*"));
                    if separator.is_some() {
                        tokens.next();
                    }
                    if repeated.stream().to_string().contains("variant") {
                        for variant in variants {
                            all.extend(fill(repeated.stream(), variants, Some(variant)));
                            all.extend(separator.clone());
                        }
                    }
                }
                Some(name) if name.to_string() == "variant" => all.extend(variant.cloned()),
                Some(_) => all.extend(quote::quote!(()).into_token_stream()),
                None => {}
            },
            TokenTree::Group(group) => {
                all.extend(
                    [Group::new(group.delimiter(), fill(group.stream(), variants, variant))]
                        .map(TokenTree::from),
                );
            }
            other => all.extend([other]),
        }
    }
    all
}
