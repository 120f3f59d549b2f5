//! Names of fields as users write them.

use std::error::Error;
use std::fmt;

use super::Field;
use crate::text::{nearest, printable};

/// Where a field is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a listing of regions.
    Listing,
    /// In a summary.
    Summary,
}

impl Place {
    /// Whether it has a field.
    pub fn has(self, field: &Field) -> bool {
        match self {
            Place::Listing => !field.title.is_empty(),
            Place::Summary => !field.heading.is_empty(),
        }
    }

    /// The field of this name.
    ///
    /// # Errors
    ///
    /// No field has this name, or the place doesn't have it.
    pub fn field(self, text: &str) -> Result<&'static Field, UnknownName> {
        let field = Field::named(text).filter(|field| self.has(field));
        field.ok_or_else(|| UnknownName { place: self, text: text.to_owned() })
    }
}

/// A place has no field of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    place: Place,
    text: String,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Field::all().filter(|field| self.place.has(field)).map(|field| field.name).collect();
        match Field::named(&self.text) {
            Some(field) if self.place == Place::Summary => {
                write!(f, "a summary has no `{}`, which each region has for itself", field.name)?;
            }
            Some(field) => write!(f, "only a summary has `{}`", field.name)?,
            None => {
                write!(f, "there is no `{}`", printable(self.text.as_bytes()))?;
                if let Some(name) = nearest(&self.text, &names) {
                    write!(f, "; did you mean `{name}`?")?;
                }
            }
        }
        write!(f, "\nthe names are {}", names.join(", "))
    }
}

impl Error for UnknownName {}

/// The columns that a user chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Whether they are added to the usual ones.
    pub is_added: bool,
    /// Each once, in order.
    pub fields: Vec<&'static Field>,
}

/// The text is no list of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidColumns {
    /// A name is unknown.
    Unknown(UnknownName),
    /// A name is added to a list that replaces the usual columns.
    Mixed(String),
}

impl fmt::Display for InvalidColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidColumns::Unknown(unknown) => unknown.fmt(f),
            InvalidColumns::Mixed(name) => {
                let name = printable(name.as_bytes());
                write!(f, "`{name}` comes too late: to add to the usual columns, begin the list with `+`")
            }
        }
    }
}

impl Error for InvalidColumns {}

impl Choice {
    /// Parses `NAME,NAME…`, the columns in order, or `+NAME,NAME…`, which are added to the usual ones.
    ///
    /// # Errors
    ///
    /// A name is unknown, or the first `+` is not at the start.
    pub fn parse(text: &str, place: Place) -> Result<Choice, InvalidColumns> {
        let mut choice = Choice { is_added: text.trim_start().starts_with('+'), fields: Vec::new() };
        for name in text.split(',').map(str::trim) {
            let bare = name.strip_prefix('+').unwrap_or(name);
            if bare != name && !choice.is_added {
                return Err(InvalidColumns::Mixed(name.to_owned()));
            }
            let field = place.field(bare).map_err(InvalidColumns::Unknown)?;
            if !choice.fields.contains(&field) {
                choice.fields.push(field);
            }
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, place: Place) -> Result<(bool, Vec<&'static str>), String> {
        let choice = Choice::parse(text, place).map_err(|error| error.to_string())?;
        Ok((choice.is_added, choice.fields.iter().map(|field| field.name).collect()))
    }

    #[test]
    fn a_list_replaces_the_usual_columns_or_adds_to_them() {
        assert_eq!(names("Size, RSS,size", Place::Listing), Ok((false, vec!["size", "resident"])));
        assert_eq!(names("+thp,lazyfree", Place::Summary), Ok((true, vec!["thp", "lazyfree"])));
        assert_eq!(names("+thp,+LazyFree", Place::Summary), Ok((true, vec!["thp", "lazyfree"])));
        assert!(names("size,+thp", Place::Listing).unwrap_err().contains("begin the list with `+`"));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = names("lazyfre", Place::Listing).unwrap_err();
        assert!(error.contains("did you mean `lazyfree`?") && error.contains("swap-pss"), "{error}");
        assert!(names("path", Place::Summary).unwrap_err().starts_with("a summary has no `path`"));
        assert!(names("regions", Place::Listing).unwrap_err().starts_with("only a summary has `regions`"));
        assert!(names("", Place::Listing).unwrap_err().starts_with("there is no ``"));
    }
}
