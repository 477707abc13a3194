//! Fields that a reply can do without. One that is of another type than documented must not end a reply
//! whose text and calls are sound, so it is read as if it were not there.
//!
//! Each function is named by `#[serde(default, deserialize_with = "…")]`. They do not work inside of enums
//! with a tag, whose fields serde reads in another way.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A value of any type that a field may have.
pub(crate) fn or_absent<'de, D, T>(field: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = <&RawValue>::deserialize(field)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The same for a field that has a default.
pub(crate) fn or_default<'de, D, T>(field: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    or_absent(field).map(Option::unwrap_or_default)
}

/// A count. Budgets are kept by it, so one that is written as a text or with a fraction of zero counts too.
pub(crate) fn count<'de, D: Deserializer<'de>>(field: D) -> Result<Option<u64>, D::Error> {
    let raw = <&RawValue>::deserialize(field)?;
    let digits = raw.get().trim_matches('"');
    let whole = digits.split_once('.').map_or(digits, |(whole, fraction)| {
        let is_zero = fraction.bytes().all(|digit| digit == b'0');
        if is_zero { whole } else { "" }
    });
    Ok(whole.parse().ok())
}
