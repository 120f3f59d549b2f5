//! Parses a check by recursive descent, with a function for each rule of the grammar.

use super::field::{Predicate, Test, example, field_named, names};
use super::lexer::{Lexed, Token, lex};
use super::literal::{Number, Op, Perm, Share};
use super::pattern::{Pattern, Quoted, TypeGlob};
use super::syntax::{SyntaxError, suggestion};
use super::tree::{Allocated, Atom, Condition, Expr, Filter, Logic, Quantity, Value};
use crate::criteria::{InvalidPermissions, parse_address, parse_addresses};
use crate::field::{Class, Field};
use crate::kind::RegionKind;
use crate::text::nearest;
use crate::units::parse_size;

/// How deep parentheses and `not` can be nested: deeper than anyone writes, and shallow enough for any stack.
const DEEPEST: usize = 64;

/// The words that a check can start with.
const STARTS: [&str; 9] = ["mapped", "any", "all", "none", "sum", "max", "count", "at", "not"];

type Parsed<T> = Result<T, SyntaxError>;

/// Parses a whole check.
pub fn parse(text: &str) -> Parsed<Expr> {
    let mut parser = Parser { text, tokens: lex(text), next: 0, depth: 0 };
    let expr = parser.logic(&mut Parser::atom)?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Close => Err(parser.invalid("unmatched closing parenthesis")),
        Token::Comma => {
            Err(parser.invalid("a comma is only allowed in sum(…) and max(…); join checks with `and`"))
        }
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Lexed>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    /// Consumes the next token; the last one stays.
    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == token;
        if is_next {
            self.take();
        }
        is_next
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Word(next) if next == word);
        if is_next {
            self.take();
        }
        is_next
    }

    fn error(&self, at: usize, what: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, at, what)
    }

    /// An error at the next token. If that is not a token at all, the lexer's own error.
    fn invalid(&self, what: impl Into<String>) -> SyntaxError {
        match self.peek() {
            Token::Invalid(why) => self.error(self.at(), why.clone()),
            _ => self.error(self.at(), what),
        }
    }

    /// An error about a token other than the `expected` one.
    fn unexpected(&self, expected: &str) -> SyntaxError {
        self.invalid(format!("expected {expected}, found {}", self.described()))
    }

    /// Describes the next token.
    fn described(&self) -> String {
        match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Text(text) => format!("{}", Quoted(text)),
            Token::Op(op) => format!("`{}`", op.as_str()),
            Token::Open => "`(`".to_owned(),
            Token::Close => "`)`".to_owned(),
            Token::Comma => "a comma".to_owned(),
            Token::End | Token::Invalid(_) => "the end".to_owned(),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.invalid(format!("nested deeper than {DEEPEST} levels; split the check")));
        }
        Ok(())
    }

    /// `or` of `and` of atoms that are possibly negated or in parentheses.
    fn logic<A>(&mut self, atom: &mut dyn FnMut(&mut Self) -> Parsed<A>) -> Parsed<Logic<A>> {
        let mut parts = vec![self.conjunction(atom)?];
        while self.takes_word("or") {
            parts.push(self.conjunction(atom)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::Or(parts) })
    }

    fn conjunction<A>(&mut self, atom: &mut dyn FnMut(&mut Self) -> Parsed<A>) -> Parsed<Logic<A>> {
        let mut parts = vec![self.unary(atom)?];
        while self.takes_word("and") {
            parts.push(self.unary(atom)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::And(parts) })
    }

    fn unary<A>(&mut self, atom: &mut dyn FnMut(&mut Self) -> Parsed<A>) -> Parsed<Logic<A>> {
        let at = self.at();
        if self.takes_word("not") {
            self.deeper()?;
            let inner = self.unary(atom)?;
            self.depth -= 1;
            return Ok(Logic::Not(Box::new(inner)));
        }
        if self.takes(&Token::Open) {
            self.deeper()?;
            let inner = self.logic(atom)?;
            self.close(at)?;
            self.depth -= 1;
            return Ok(inner);
        }
        Ok(Logic::Atom(atom(self)?))
    }

    fn close(&mut self, opened: usize) -> Parsed<()> {
        if self.takes(&Token::Close) {
            return Ok(());
        }
        Err(match self.peek() {
            Token::End => self.error(opened, "unclosed parenthesis"),
            Token::Comma => self
                .invalid("a comma is only allowed after the field of sum(…) or max(…); write `and` or `or`"),
            _ => self.unexpected("`and`, `or` or `)`"),
        })
    }

    /// Consumes an opening parenthesis and returns its position.
    fn open(&mut self, example: &str) -> Parsed<usize> {
        let at = self.at();
        if !self.takes(&Token::Open) {
            return Err(self.invalid(format!("expected `(`, as in {example}")));
        }
        Ok(at)
    }

    fn atom(&mut self) -> Parsed<Atom> {
        let at = self.at();
        let word = match self.peek() {
            Token::Word(word) => word.clone(),
            Token::Text(_) => {
                return Err(self.invalid("a path alone is not a check; write `mapped` before it"));
            }
            _ => return Err(self.unexpected(&format!("a check ({})", STARTS.join(", ")))),
        };
        match word.as_str() {
            "mapped" => {
                self.take();
                self.mapped().map(Atom::Mapped)
            }
            "any" | "all" | "none" => {
                self.take();
                let quantity = match word.as_str() {
                    "any" => Quantity::Any,
                    "all" => Quantity::All,
                    _ => Quantity::None,
                };
                let opened = self.open(&format!("{word}(kind=heap)"))?;
                Ok(Atom::Regions(quantity, self.filter_until(opened)?))
            }
            "at" => {
                self.take();
                self.place()
            }
            "sum" | "max" | "count" => self.comparison(),
            _ if word.starts_with(|letter: char| letter.is_ascii_digit()) => self.comparison(),
            _ => Err(self.bad_start(at, &word)),
        }
    }

    fn bad_start(&self, at: usize, word: &str) -> SyntaxError {
        let follows = self.tokens.get(self.next + 1).map(|lexed| &lexed.token);
        let is_condition =
            |field: &Field| matches!(follows, Some(Token::Op(_))) || field.class == Class::Truth;
        if field_named(word).is_some_and(is_condition) {
            return self.error(
                at,
                format!("`{word}` is a field of a region; write any({word}…), all(…), none(…) or count(…)"),
            );
        }
        if matches!(word, "and" | "or" | "is") {
            return self.error(at, format!("a check is missing before `{word}`"));
        }
        self.error(
            at,
            format!("a check can't start with `{word}`{}", suggestion(word, &STARTS, "valid words")),
        )
    }

    fn mapped(&mut self) -> Parsed<Pattern> {
        match self.peek() {
            Token::Text(text) if text.is_empty() => Err(self.invalid("the path is empty")),
            Token::Text(text) => {
                let pattern = Pattern::new(text.clone());
                self.take();
                Ok(pattern)
            }
            Token::Word(word) if !matches!(word.as_str(), "and" | "or" | "not" | "is") => {
                let pattern = Pattern::new(word.clone().into_bytes());
                self.take();
                Ok(pattern)
            }
            Token::End => Err(self
                .invalid("missing path; pass the whole check as one shell word: 'mapped \"/path/to/file\"'")),
            _ => Err(self.unexpected("a path in quotes")),
        }
    }

    /// An optional filter, up to the parenthesis that closes the one at `opened`.
    fn filter_until(&mut self, opened: usize) -> Parsed<Option<Filter>> {
        if self.takes(&Token::Close) {
            return Ok(None);
        }
        let filter = self.logic(&mut Parser::predicate)?;
        self.close(opened)?;
        Ok(Some(filter))
    }

    fn place(&mut self) -> Parsed<Atom> {
        let Token::Word(word) = self.peek() else {
            return Err(self.unexpected("an address such as 0x7ffd1000"));
        };
        let address = parse_address(word).map_err(|error| self.invalid(error.to_string()))?;
        self.take();
        if !self.takes_word("is") {
            return Err(self.unexpected("`is`"));
        }
        let at = self.at();
        if self.takes(&Token::Open) {
            self.deeper()?;
            let filter = self.logic(&mut Parser::predicate)?;
            self.close(at)?;
            self.depth -= 1;
            return Ok(Atom::At(address, Condition::Filter(filter)));
        }
        const CONDITIONS: &str =
            "a protection such as rw-, `mapped`, `unmapped`, or a filter in parentheses such as (kind=heap)";
        let Token::Word(word) = self.peek().clone() else { return Err(self.unexpected(CONDITIONS)) };
        let condition = match word.as_str() {
            "mapped" => Condition::Mapped,
            "unmapped" => Condition::Unmapped,
            "not" => {
                return Err(
                    self.invalid(format!("`not` goes before the whole check: not at {address:#x} is …"))
                );
            }
            text => match text.parse() {
                Ok(permissions) => Condition::Perm(Perm { text: word, permissions }),
                Err(_) if RegionKind::named(text).is_some() => {
                    return Err(self.invalid(format!("put a kind in parentheses here: (kind={text})")));
                }
                Err(_) => return Err(self.unexpected(CONDITIONS)),
            },
        };
        self.take();
        Ok(Atom::At(address, condition))
    }

    fn comparison(&mut self) -> Parsed<Atom> {
        let left = self.value()?;
        let Token::Op(op) = *self.peek() else {
            return Err(self.unexpected("a comparison such as `==` or `<`"));
        };
        self.take();
        let right = self.value()?;
        if let Token::Op(_) = self.peek() {
            return Err(self.invalid("comparisons can't be chained; join two with `and`"));
        }
        Ok(Atom::Compare(left, op, right))
    }

    fn value(&mut self) -> Parsed<Value> {
        let Token::Word(word) = self.peek().clone() else {
            return Err(self.unexpected("a number, a size such as 64M, sum(…), max(…) or count(…)"));
        };
        match word.as_str() {
            "count" => {
                self.take();
                let opened = self.open("count(kind=stack)")?;
                if self.takes_word("allocations") {
                    return Ok(Value::Allocated(Allocated::Blocks, self.zone_until(opened)?));
                }
                Ok(Value::Count(self.filter_until(opened)?))
            }
            "sum" | "max" => {
                self.take();
                let opened = self.open(&format!("{word}(resident, kind=heap)"))?;
                if word == "sum" && self.takes_word("allocated") {
                    return Ok(Value::Allocated(Allocated::Bytes, self.zone_until(opened)?));
                }
                let (field, filter) = self.measured(opened)?;
                Ok(if word == "sum" { Value::Sum(field, filter) } else { Value::Max(field, filter) })
            }
            _ => self.number().map(Value::Number),
        }
    }

    /// An optional `, zone="…"`, up to the parenthesis that closes the one at `opened`.
    fn zone_until(&mut self, opened: usize) -> Parsed<Option<TypeGlob>> {
        const EXAMPLE: &str = "a comma and a zone, as in `, zone=\"main arena\"`, or `)`";
        if !self.takes(&Token::Comma) {
            return match self.peek() {
                Token::End => Err(self.error(opened, "unclosed parenthesis")),
                Token::Close => self.close(opened).map(|()| None),
                _ => Err(self.unexpected(EXAMPLE)),
            };
        }
        if !self.takes_word("zone") || !self.takes(&Token::Op(Op::Equal)) {
            return Err(self.unexpected("`zone=\"…\"`"));
        }
        let name = match self.peek() {
            Token::Word(word) => word.clone(),
            Token::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => return Err(self.unexpected("the name of a zone, such as \"main arena\"")),
        };
        self.take();
        self.close(opened)?;
        Ok(Some(TypeGlob::new(&name)))
    }

    /// The field of `sum` or `max`, and the filter after it.
    fn measured(&mut self, opened: usize) -> Parsed<(&'static Field, Option<Filter>)> {
        let names = names(Field::is_sum);
        let Token::Word(word) = self.peek() else {
            return Err(self.unexpected(&format!("a size field ({})", names.join(", "))));
        };
        let Some(field) = field_named(word).filter(|field| field.is_sum()) else {
            let hint = suggestion(word, &names, "size fields");
            return Err(self.invalid(format!("`{word}` is not a size field{hint}")));
        };
        self.take();
        if self.takes(&Token::Comma) {
            let filter = self.logic(&mut Parser::predicate)?;
            self.close(opened)?;
            return Ok((field, Some(filter)));
        }
        match self.peek() {
            Token::Close => {
                self.take();
                Ok((field, None))
            }
            Token::End => Err(self.error(opened, "unclosed parenthesis")),
            _ => Err(self.unexpected("a comma and a filter, or `)`")),
        }
    }

    fn number(&mut self) -> Parsed<Number> {
        let Token::Word(word) = self.peek() else {
            return Err(self.unexpected("a number or a size such as 4K"));
        };
        let value = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| format!("invalid number `{word}`")),
            None => parse_size(word).map(|size| size.0).map_err(|error| error.to_string()),
        };
        let value = value.map_err(|why| self.invalid(why))?;
        let text = word.clone();
        self.take();
        Ok(Number { text, value })
    }

    fn predicate(&mut self) -> Parsed<Predicate> {
        let Token::Word(word) = self.peek() else {
            return Err(self.unexpected(&format!("a field ({})", names(Field::is_of_region).join(", "))));
        };
        let Some(field) = field_named(word) else { return Err(self.unknown_field(word)) };
        self.take();
        let Token::Op(op) = *self.peek() else {
            return match field.class {
                Class::Truth => Ok(Predicate { is_negated: false, test: Test::Truth(field) }),
                _ => Err(self.unexpected(&format!(
                    "a comparison of `{}`, such as `{}`",
                    field.name,
                    example(field)
                ))),
            };
        };
        let has_order = field.is_number() || matches!(field.name, "start" | "end");
        if op.is_order() && !has_order {
            return Err(self.invalid(format!("`{}` can't be ordered; compare it with = or !=", field.name)));
        }
        self.take();
        let mut is_negated = op == Op::Unequal;
        let op = if is_negated { Op::Equal } else { op };
        let test = self.test(field, op, &mut is_negated)?;
        if let Token::Op(_) = self.peek() {
            return Err(self.invalid("comparisons can't be chained; join two with `and`"));
        }
        Ok(Predicate { is_negated, test })
    }

    fn unknown_field(&self, word: &str) -> SyntaxError {
        if STARTS.contains(&word) && word != "not" {
            return self.invalid(format!(
                "`{word}` applies to the whole map; expected a condition on one region, such as kind=heap"
            ));
        }
        let names = names(Field::is_of_region);
        if nearest(word, &names).is_none() && RegionKind::named(word).is_some() {
            return self
                .invalid(format!("unknown field `{word}`; for the kind of a region, write kind={word}"));
        }
        self.invalid(format!("unknown field `{word}`{}", suggestion(word, &names, "fields")))
    }

    /// The right-hand side of a comparison with `field`.
    fn test(&mut self, field: &'static Field, op: Op, is_negated: &mut bool) -> Parsed<Test> {
        if field.is_number() {
            return Ok(Test::Number(field, op, self.number()?));
        }
        let bytes = match self.peek() {
            Token::Word(word) => word.clone().into_bytes(),
            Token::Text(text) => text.clone(),
            _ => {
                return Err(self.unexpected(&format!(
                    "a value for `{}`, as in `{}`",
                    field.name,
                    example(field)
                )));
            }
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let address = |text: &str| parse_address(text).map_err(|error| error.to_string());
        let test = match field.name {
            "path" => Ok(Test::Path(Pattern::new(bytes))),
            "name" => Ok(Test::Name(Pattern::new(bytes))),
            "type" => Ok(Test::Type(TypeGlob::new(&text))),
            "kind" => RegionKind::named(&text).map(Test::Kind).ok_or_else(|| {
                format!("unknown kind `{text}`{}", suggestion(&text, &RegionKind::ids(), "kinds"))
            }),
            "share" => Share::named(&text).map(Test::Share).ok_or_else(|| {
                format!("unknown share mode `{text}`{}", suggestion(&text, &Share::words(), "modes"))
            }),
            "perm" => text
                .parse()
                .map(|permissions| Test::Perm(Perm { text: text.clone(), permissions }))
                .map_err(|error: InvalidPermissions| error.to_string()),
            "start" => address(&text).map(|address| Test::Start(op, address)),
            "end" => address(&text).map(|address| Test::End(op, address)),
            "address" => parse_addresses(&text).map(Test::Addr).map_err(|error| error.to_string()),
            name if field.class == Class::Truth => match text.as_str() {
                "true" | "yes" => Ok(Test::Truth(field)),
                "false" | "no" => {
                    *is_negated = !*is_negated;
                    Ok(Test::Truth(field))
                }
                _ => Err(format!("`{name}` is true or false, not `{text}`")),
            },
            _ => Ok(Test::Text(field, TypeGlob::new(&text))),
        };
        let test = test.map_err(|why| self.invalid(why))?;
        self.take();
        Ok(test)
    }
}
