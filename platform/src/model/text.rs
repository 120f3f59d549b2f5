//! Names in documents: a string, or `{"bytes": "<base64>"}` if they are not UTF-8.

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes that usually are text, for a document: a string, or `{"bytes": "<base64>"}` if they are not UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("bytes", STANDARD.encode(self.0))]),
        }
    }
}

/// The same, after reading.
struct Owned(Box<[u8]>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Encoded { bytes: String },
}

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Owned, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Owned(text.into_bytes().into())),
            Written::Encoded { bytes } => {
                STANDARD.decode(bytes).map(|bytes| Owned(bytes.into())).map_err(de::Error::custom)
            }
        }
    }
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Text(bytes).serialize(serializer)
}

pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: From<Box<[u8]>>,
    D: Deserializer<'de>,
{
    Owned::deserialize(deserializer).map(|Owned(bytes)| bytes.into())
}

/// For an optional name.
pub(crate) mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &Option<Box<[u8]>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Text).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<[u8]>>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|Owned(bytes)| bytes))
    }
}

/// For a list of names.
pub(crate) mod list {
    use super::*;

    pub fn serialize<S: Serializer>(list: &[Box<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Text(bytes)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<[u8]>>, D::Error> {
        let list = Vec::<Owned>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|Owned(bytes)| bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_comes_back_as_it_was() {
        for bytes in [&b"/tmp/x"[..], b"", b"a\xffb\n", "grüße".as_bytes()] {
            let written = serde_json::to_string(&Text(bytes)).unwrap();
            let Owned(read) = serde_json::from_str(&written).unwrap();
            assert_eq!(&*read, bytes, "{written}");
        }
        assert_eq!(serde_json::to_string(&Text(b"\xff")).unwrap(), r#"{"bytes":"/w=="}"#);
        assert!(serde_json::from_str::<Owned>(r#"{"bytes":"?"}"#).is_err());
    }
}
