//! The public API of both crates, one item a line, for review: `tests/public-api/*.txt`.
//!
//! The listing covers what `default-features = false` has, on every system. After a change that is meant:
//! `MMVIEW_BLESS=1 cargo test --test public_api`, and read the diff.
#![allow(missing_docs)]

mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use source::{Crate, ModulePath, Target, has_cfg};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Signature, TraitItem, Visibility};

const CRATES: [(&str, &str); 2] = [("mmview", "."), ("mmview-platform", "platform")];

/// Crates and types that are not for the public API, because their versions would become ours.
const FORBIDDEN: [&str; 4] = ["clap", "anyhow", "serde_json::Map", "erased_serde"];

#[test]
fn the_listings_are_fresh() {
    for (name, directory) in CRATES {
        let source = Crate::read(directory);
        let listing = Listing::of(&source, name);
        let text: String = listing.lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        source::assert_fresh(&format!("tests/public-api/{name}.txt"), &text, "cargo test --test public_api");
    }
}

#[test]
fn no_public_signature_names_a_crate_of_the_program() {
    for (name, directory) in CRATES {
        let found = Listing::of(&Crate::read(directory), name).forbidden;
        assert!(found.is_empty(), "{name}:\n{}", found.into_iter().collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn signatures_are_printed_as_rustfmt_writes_them() {
    let signature = quote! { pub fn read<'a, T: AsRef<[u8]>>(&'a mut self, bytes: &[T]) -> Result<Option<u64>, crate::Error> };
    assert_eq!(
        printed(signature),
        "pub fn read<'a, T: AsRef<[u8]>>(&'a mut self, bytes: &[T]) -> Result<Option<u64>, crate::Error>"
    );
    assert_eq!(printed(quote! { impl<T> Iterator for Rows<'_, T> }), "impl<T> Iterator for Rows<'_, T>");
    assert_eq!(printed(quote! { pub const ALL: &[(&str, &[u8; 2])] }), "pub const ALL: &[(&str, &[u8; 2])]");
}

/// What is public in a crate.
struct Listing<'a> {
    source: &'a Crate,
    /// The public path of each public item, by the module that defines it.
    paths: BTreeMap<(ModulePath, String), String>,
    /// Each line after the path that it is sorted by.
    lines: BTreeSet<(String, String)>,
    forbidden: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    fn of(source: &'a Crate, name: &str) -> Listing<'a> {
        let mut listing =
            Listing { source, paths: BTreeMap::new(), lines: BTreeSet::new(), forbidden: BTreeSet::new() };
        listing.find_items(&name.replace('-', "_"));
        for (module, contents) in &source.modules {
            for item in contents.items.iter().filter(|item| !is_hidden(source::attributes(item))) {
                match item {
                    Item::Impl(item) => listing.add_impl(module, item),
                    item => listing.add_item(module, item),
                }
            }
        }
        listing
    }

    /// Follows `pub mod` and `pub use` from the root, shallow paths first: an item is listed under its first one.
    fn find_items(&mut self, name: &str) {
        let mut modules = VecDeque::from([(Vec::new(), name.to_owned())]);
        let mut seen = BTreeSet::new();
        while let Some((module, path)) = modules.pop_front() {
            if !seen.insert((module.clone(), path.clone())) {
                continue;
            }
            for item in
                self.source.modules[&module].items.iter().filter(|item| !is_hidden(source::attributes(item)))
            {
                match item {
                    Item::Mod(item) if is_public(&item.vis) => {
                        let child = item.ident.to_string();
                        self.add_line(&format!("{path}::{child}"), "pub mod ", "");
                        modules.push_back((
                            [&module[..], std::slice::from_ref(&child)].concat(),
                            format!("{path}::{child}"),
                        ));
                    }
                    item => {
                        if let Some((name, visibility)) = source::name_of(item)
                            && is_public(visibility)
                        {
                            self.add_path(&module, &name.to_string(), &path, &name.to_string());
                        }
                    }
                }
            }
            self.follow_reexports(&module, &path, &mut modules);
        }
    }

    fn follow_reexports(
        &mut self,
        module: &ModulePath,
        path: &str,
        modules: &mut VecDeque<(ModulePath, String)>,
    ) {
        for import in self.source.modules[module].imports.iter().filter(|import| import.is_public) {
            match (self.source.resolve(module, &import.path), &import.name) {
                (Target::Item(home, original), Some(name)) => self.add_path(&home, &original, path, name),
                (Target::Module(home), Some(name)) => {
                    self.add_line(&format!("{path}::{name}"), "pub mod ", "");
                    modules.push_back((home, format!("{path}::{name}")));
                }
                (Target::Module(home), None) => modules.push_back((home, path.to_owned())),
                (Target::External(external), name) => {
                    let name = name.as_deref().unwrap_or("*");
                    self.add_line(
                        &format!("{path}::{name}"),
                        "pub use ",
                        &format!(" = {}", external.join("::")),
                    );
                }
                (Target::Item(..), None) => {}
            }
        }
    }

    fn add_path(&mut self, home: &ModulePath, original: &str, path: &str, name: &str) {
        let path = format!("{path}::{name}");
        let first = self.paths.entry((home.clone(), original.to_owned())).or_insert_with(|| path.clone());
        if *first != path {
            let first = format!(" = {first}");
            self.add_line(&path, "pub use ", &first);
        }
    }

    fn add_item(&mut self, module: &ModulePath, item: &Item) {
        let Some((name, _)) = source::name_of(item) else { return };
        let Some(path) = self.paths.get(&(module.clone(), name.to_string())).cloned() else { return };
        let attributes = source::attributes(item);
        let growth = if has_attribute(attributes, "non_exhaustive") { "#[non_exhaustive] " } else { "" };
        match item {
            Item::Struct(item) => {
                let (generics, clause) = (&item.generics, &item.generics.where_clause);
                self.add(module, &path, &format!("{growth}pub struct "), quote! { #generics #clause });
                self.add_fields(module, &path, &item.fields, true);
            }
            Item::Enum(item) => {
                let (generics, clause) = (&item.generics, &item.generics.where_clause);
                self.add(module, &path, &format!("{growth}pub enum "), quote! { #generics #clause });
                for variant in item.variants.iter().filter(|variant| !is_hidden(&variant.attrs)) {
                    let growth = if has_attribute(&variant.attrs, "non_exhaustive") {
                        "#[non_exhaustive] "
                    } else {
                        ""
                    };
                    let variant_path = format!("{path}::{}", variant.ident);
                    let tuple = match &variant.fields {
                        Fields::Unnamed(fields) => {
                            let types = fields.unnamed.iter().map(|field| &field.ty);
                            quote! { (#(#types),*) }
                        }
                        _ => TokenStream::new(),
                    };
                    self.add(module, &variant_path, &format!("{growth}pub "), tuple);
                    if matches!(variant.fields, Fields::Named(_)) {
                        self.add_fields(module, &variant_path, &variant.fields, false);
                    }
                }
            }
            Item::Trait(item) => {
                let (generics, bounds, clause) =
                    (&item.generics, &item.supertraits, &item.generics.where_clause);
                let bounds = if bounds.is_empty() {
                    quote! {}
                } else {
                    quote! { : #bounds }
                };
                self.add(module, &path, "pub trait ", quote! { #generics #bounds #clause });
                for item in &item.items {
                    self.add_trait_item(module, &path, item);
                }
            }
            Item::Fn(item) => self.add_function(module, &path, &item.sig, ""),
            Item::Const(item) => {
                let ty = &item.ty;
                self.add(module, &path, "pub const ", quote! { : #ty });
            }
            Item::Static(item) => {
                let ty = &item.ty;
                self.add(module, &path, "pub static ", quote! { : #ty });
            }
            Item::Type(item) => {
                let (generics, ty) = (&item.generics, &item.ty);
                self.add(module, &path, "pub type ", quote! { #generics = #ty });
            }
            Item::Union(_) => self.add(module, &path, "pub union ", TokenStream::new()),
            _ => {}
        }
        self.add_derives(module, &path, attributes);
    }

    fn add_fields(&mut self, module: &ModulePath, path: &str, fields: &Fields, needs_pub: bool) {
        for (index, field) in
            fields.iter().enumerate().filter(|(_, field)| !needs_pub || is_public(&field.vis))
        {
            let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
            let ty = &field.ty;
            self.add(module, &format!("{path}::{name}"), "pub ", quote! { : #ty });
        }
    }

    fn add_trait_item(&mut self, module: &ModulePath, path: &str, item: &TraitItem) {
        match item {
            TraitItem::Fn(item) => {
                let kind = if item.default.is_some() { "provided " } else { "" };
                self.add_function(module, &format!("{path}::{}", item.sig.ident), &item.sig, kind);
            }
            TraitItem::Const(item) => {
                let ty = &item.ty;
                self.add(module, &format!("{path}::{}", item.ident), "pub const ", quote! { : #ty });
            }
            TraitItem::Type(item) => {
                let bounds = &item.bounds;
                self.add(module, &format!("{path}::{}", item.ident), "pub type ", quote! { : #bounds });
            }
            _ => {}
        }
    }

    fn add_derives(&mut self, module: &ModulePath, path: &str, attributes: &[Attribute]) {
        let mut names = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let list = syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated;
            for derived in attribute.parse_args_with(list).expect("`derive` lists paths") {
                names.push(last_segment(&derived));
                self.check(module, path, &derived.to_token_stream());
            }
        }
        if !names.is_empty() {
            self.add_line(path, &format!("impl {} for ", names.join(" + ")), "");
        }
    }

    fn add_impl(&mut self, module: &ModulePath, item: &ItemImpl) {
        let path = match &*item.self_ty {
            syn::Type::Path(ty) => match self.source.resolve(module, &segments(&ty.path)) {
                Target::Item(home, name) => match self.paths.get(&(home, name)) {
                    Some(path) => Some(path.clone()),
                    None => return,
                },
                _ => None,
            },
            _ => None,
        };
        if let Some((of, _)) = &item.trait_ {
            let of_ours = self.public_path(module, of);
            let is_private =
                of_ours.is_none() && matches!(self.source.resolve(module, &segments(of)), Target::Item(..));
            if is_private || (path.is_none() && of_ours.is_none()) {
                return;
            }
            let (generics, ty, clause) = (&item.generics, &item.self_ty, &item.generics.where_clause);
            let of_name = last_segment(of);
            self.check(module, &of_name, &quote! { #of #ty });
            let start = printed(quote! { impl #generics }) + " " + &of_name + " for ";
            let subject = path.clone().unwrap_or_else(|| printed(quote! { #ty }));
            let rest = if path.is_some() { arguments(ty) } else { TokenStream::new() };
            self.add(module, &subject, &start, quote! { #rest #clause });
            return;
        }
        let Some(path) = path else { return };
        for item in &item.items {
            match item {
                ImplItem::Fn(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    self.add_function(module, &format!("{path}::{}", item.sig.ident), &item.sig, "");
                }
                ImplItem::Const(item) if is_public(&item.vis) => {
                    let ty = &item.ty;
                    self.add(module, &format!("{path}::{}", item.ident), "pub const ", quote! { : #ty });
                }
                _ => {}
            }
        }
    }

    /// The public path of the item of this crate that `path` names, if it has one.
    fn public_path(&self, module: &ModulePath, path: &syn::Path) -> Option<String> {
        match self.source.resolve(module, &segments(path)) {
            Target::Item(home, name) => self.paths.get(&(home, name)).cloned(),
            _ => None,
        }
    }

    fn add_function(&mut self, module: &ModulePath, path: &str, signature: &Signature, kind: &str) {
        let Signature { constness, asyncness, safety, generics, inputs, output, .. } = signature;
        let clause = &generics.where_clause;
        let qualifiers = printed(quote! { pub #constness #asyncness #safety fn });
        self.add(
            module,
            path,
            &format!("{kind}{qualifiers} "),
            quote! { #generics (#inputs) #output #clause },
        );
    }

    fn add(&mut self, module: &ModulePath, path: &str, start: &str, rest: TokenStream) {
        self.check(module, path, &rest);
        let rest = printed(rest);
        let gap = if rest.starts_with(['=', 'w']) { " " } else { "" };
        self.add_line(path, start, &format!("{gap}{rest}"));
    }

    fn add_line(&mut self, path: &str, start: &str, rest: &str) {
        self.lines.insert((path.to_owned(), format!("{start}{path}{rest}")));
    }

    /// Notes every path among the tokens that leads to what is forbidden.
    fn check(&mut self, module: &ModulePath, item: &str, tokens: &TokenStream) {
        let mut paths = BTreeSet::new();
        source::collect_paths(tokens.clone(), &mut paths);
        for path in paths {
            if let Target::External(path) = self.source.resolve(module, &path) {
                let path = path.join("::");
                if FORBIDDEN.iter().any(|name| path == *name || path.starts_with(&format!("{name}::"))) {
                    self.forbidden.insert(format!("  {item} mentions {path}"));
                }
            }
        }
    }
}

/// Whether the listing leaves an item out: for tests, for the program, or hidden from the documentation.
fn is_hidden(attributes: &[Attribute]) -> bool {
    let is_for_program =
        |condition: &str| condition.contains("feature=\"cli\"") && !condition.starts_with("not(");
    let is_undocumented = attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc") && attribute.to_token_stream().to_string().contains("(hidden)")
    });
    source::is_test_only(attributes) || has_cfg(attributes, is_for_program) || is_undocumented
}

fn has_attribute(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident(name))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The last part of a path, with its arguments: `From<u8>` of `std::convert::From<u8>`.
fn last_segment(path: &syn::Path) -> String {
    path.segments.last().map_or_else(String::new, |last| printed(last.to_token_stream()))
}

/// The generic arguments of a type: `<'_, T>` of `Rows<'_, T>`.
fn arguments(ty: &syn::Type) -> TokenStream {
    let syn::Type::Path(ty) = ty else { return TokenStream::new() };
    ty.path.segments.last().map_or_else(TokenStream::new, |last| last.arguments.to_token_stream())
}

/// The tokens of a signature, with spaces where rustfmt puts them.
fn printed(tokens: TokenStream) -> String {
    let mut words = Vec::new();
    collect_words(tokens, &mut words);
    let mut line = String::new();
    let mut last: Option<&str> = None;
    for word in &words {
        if last.is_some_and(|last| needs_space(last, word)) {
            line.push(' ');
        }
        line.push_str(word);
        last = Some(word);
    }
    line
}

fn needs_space(last: &str, next: &str) -> bool {
    let is_operator = matches!(
        last,
        ":" | "," | ";" | "=" | "+" | "->" | "for" | "in" | "as" | "mut" | "dyn" | "where" | "const"
    );
    match next {
        ")" | "]" | "," | ";" | ":" | ">" | "::" => false,
        _ if matches!(last, "(" | "[" | "<" | "&" | "::" | "*" | "?" | "!" | "#") => false,
        "(" | "[" => is_operator || last.starts_with('\''),
        "<" => is_operator && last != "for",
        _ => true,
    }
}

/// The tokens as words, with `::`, `->` and lifetimes whole, and without a comma before a closing bracket.
fn collect_words(tokens: TokenStream, words: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                words.extend((!open.is_empty()).then(|| open.to_owned()));
                collect_words(group.stream(), words);
                if words.last().is_some_and(|last| last == ",") {
                    words.pop();
                }
                words.extend((!close.is_empty()).then(|| close.to_owned()));
            }
            TokenTree::Punct(sign) => {
                let mut word = sign.as_char().to_string();
                let is_pair = match tokens.peek() {
                    Some(TokenTree::Punct(next)) => {
                        matches!((sign.as_char(), next.as_char()), (':', ':') | ('-', '>'))
                    }
                    Some(TokenTree::Ident(_)) => sign.as_char() == '\'',
                    _ => false,
                };
                if is_pair && let Some(next) = tokens.next() {
                    word.push_str(&next.to_string());
                }
                words.push(word);
            }
            other => words.push(other.to_string()),
        }
    }
}
