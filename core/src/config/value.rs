//! Single values of a configuration.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::ConfigError;
use super::section::Section;

/// A longer wait is a mistake in the unit, and would overflow a clock somewhere.
const MAX_TIMEOUT_SEC: f64 = 7.0 * 24.0 * 3600.0;
/// Shorter than any process can answer.
const MIN_TIMEOUT_SEC: f64 = 0.001;

impl Section<'_> {
    pub(super) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.number_in(key, &expected, &range, integer)
    }

    pub(super) fn small_integer(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ConfigError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.number_in(key, &expected, &range, |value| {
            integer(value).and_then(|number| u32::try_from(number).ok())
        })
    }

    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, ConfigError> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.number_in(key, &expected, &range, number)
    }

    pub(super) fn duration_sec(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let seconds = self.number(key, MIN_TIMEOUT_SEC..=MAX_TIMEOUT_SEC)?;
        Ok(seconds.map(Duration::from_secs_f64))
    }

    fn number_in<T: PartialOrd>(
        &self,
        key: &str,
        expected: &str,
        range: &RangeInclusive<T>,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, expected, |value| {
            read(value).filter(|number| range.contains(number))
        })
    }
}

/// What a value is, for a message that says what was found.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(number) => shown(number),
        DeValue::Float(number) => shown(number),
        DeValue::Boolean(value) => shown(value),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_str()) => {
            "a list of strings".to_owned()
        }
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A list whose items are all strings.
pub(super) fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items
        .map(|item| item.get_ref().as_str().map(ToOwned::to_owned))
        .collect()
}

fn shown(value: &impl Display) -> String {
    format!("`{value}`")
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| i32::try_from(number).ok())
            .map(f64::from),
        _ => None,
    }
}
