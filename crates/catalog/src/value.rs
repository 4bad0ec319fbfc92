//! A typed cell.

use chrono::{NaiveDate, NaiveDateTime};
use rust_decimal::Decimal;

/// The value of one field of one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Text, or a code.
    Text(Box<str>),
    /// Whole number.
    Integer(i64),
    /// Decimal number.
    Decimal(Decimal),
    /// Date.
    Date(NaiveDate),
    /// China's wall-clock time.
    DateTime(NaiveDateTime),
    /// Yes or no.
    Boolean(bool),
}

impl Value {
    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
    /// The text of a text or code value.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }
    /// The date of a date or time value.
    pub fn date(&self) -> Option<NaiveDate> {
        match self {
            Value::Date(d) => Some(*d),
            Value::DateTime(t) => Some(t.date()),
            _ => None,
        }
    }
    /// The time; a date counts as its midnight.
    pub fn datetime(&self) -> Option<NaiveDateTime> {
        match self {
            Value::Date(d) => Some(d.and_time(chrono::NaiveTime::MIN)),
            Value::DateTime(t) => Some(*t),
            _ => None,
        }
    }
    /// The number.
    pub fn decimal(&self) -> Option<Decimal> {
        match self {
            Value::Integer(i) => Some(Decimal::from(*i)),
            Value::Decimal(d) => Some(*d),
            _ => None,
        }
    }
}
