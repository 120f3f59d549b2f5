//! From the text of a check to its tree: lexer, parser and syntax errors. Nothing here looks at a region.

mod field;
mod lexer;
mod literal;
mod parser;
mod pattern;
mod syntax;
mod tree;

pub use field::{Predicate, Test};
#[cfg(test)]
pub use literal::Number;
pub use literal::{Op, Perm, Share};
pub use parser::parse;
pub use pattern::{Pattern, Quoted, TypeGlob};
pub use syntax::SyntaxError;
pub use tree::{Allocated, Atom, Condition, Expr, Filter, Logic, Quantity, Value};
