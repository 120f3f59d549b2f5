//! The names of columns on the command line, and their list.

use std::ffi::OsStr;
use std::fmt::Write as _;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};

use crate::field::{Choice, Field, GROUPS, InvalidColumns, Place, UnknownName};

/// What `--columns` asks for.
#[derive(Clone, Debug)]
pub enum Columns {
    /// The list of all columns.
    Help,
    /// These.
    These(Choice),
}

/// Parses the names of the fields that a place has.
#[derive(Clone)]
pub struct Names<T, E> {
    place: Place,
    parse: fn(&str, Place) -> Result<T, E>,
}

/// The parser of `--columns`.
pub fn columns(place: Place) -> Names<Columns, InvalidColumns> {
    let parse = |text: &str, place| match text {
        "help" => Ok(Columns::Help),
        text => Choice::parse(text, place).map(Columns::These),
    };
    Names { place, parse }
}

/// The parser of `--sort`.
pub fn key(place: Place) -> Names<&'static Field, UnknownName> {
    Names { place, parse: |text, place| place.field(text) }
}

impl<T, E> TypedValueParser for Names<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: std::error::Error + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let Names { place, parse } = *self;
        StringValueParser::new().try_map(move |text| parse(&text, place)).parse_ref(command, argument, value)
    }

    /// For completions.
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let fields = Field::all().filter(|field| self.place.has(field));
        Some(Box::new(fields.map(|field| PossibleValue::new(field.name).help(field.about))))
    }
}

/// The list of the columns that a place has, with the system where only one reports them.
pub fn list(place: Place) -> String {
    let mut text = String::new();
    for group in &GROUPS {
        let fields: Vec<_> = group.fields.iter().filter(|field| place.has(field)).collect();
        if fields.is_empty() {
            continue;
        }
        let blank = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{blank}{}:", group.title);
        for field in fields {
            let os = match field.os {
                Some("macos") => "macOS",
                Some(_) => "Linux",
                None => "",
            };
            let _ = writeln!(text, "  {:<18} {os:<5} {}", field.name, field.about);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_column_in_80_columns() {
        let lists = [list(Place::Listing), list(Place::Summary)];
        for field in Field::all() {
            let line = format!("\n  {} ", field.name);
            assert!(lists.iter().any(|list| list.contains(&line)), "{field:?}");
        }
        let too_wide = lists.iter().flat_map(|list| list.lines()).find(|line| line.chars().count() > 80);
        assert_eq!(too_wide, None);
    }
}
