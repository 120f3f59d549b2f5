//! Times in documents: RFC 3339, in UTC. A time outside the calendar (before the year -9999) is left out.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let time = time.and_then(|time| Timestamp::try_from(time).ok());
    time.map(|time| time.to_string()).serialize(serializer)
}

pub(crate) fn deserialize<'de, D>(deserializer: D) -> Result<Option<SystemTime>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    let time = text.map(|text| text.parse::<Timestamp>()).transpose().map_err(de::Error::custom)?;
    time.map(SystemTime::try_from).transpose().map_err(de::Error::custom)
}
