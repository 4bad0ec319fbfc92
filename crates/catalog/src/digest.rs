//! The content digest of a row: the same values give the same digest, whatever the order of fields and columns.

use std::cell::RefCell;

use chrono::{Datelike, Timelike};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::model::Dataset;
use crate::value::Value;

/// Compiled order of encoding. Fields go in the order of their names, each with a hash of its name before it and
/// empty ones left out, so that adding or moving fields in a definition does not change the digests of old rows.
#[derive(Debug)]
pub struct Digester {
    order: Vec<(usize, u64)>,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Digester {
    /// Of one data set.
    #[must_use]
    pub fn new(dataset: &Dataset) -> Self {
        let mut order: Vec<usize> =
            (0..dataset.fields.len()).filter(|i| Some(*i) != dataset.revision).collect();
        order.sort_by(|a, b| dataset.fields[*a].name.cmp(&dataset.fields[*b].name));
        let order = order.into_iter().map(|i| (i, xxh3_64(dataset.fields[i].name.as_bytes()))).collect();
        Self { order }
    }

    /// The digest of values in the order of the data set's fields.
    #[must_use]
    pub fn digest(&self, values: &[Value]) -> u128 {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            for (position, name) in &self.order {
                let Some(value) = values.get(*position) else { continue };
                if !value.is_null() {
                    buffer.extend_from_slice(&name.to_le_bytes());
                    encode(value, buffer);
                }
            }
            xxh3_128(buffer)
        })
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Text(text) => {
            out.push(1);
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Integer(i) => {
            out.push(2);
            out.extend_from_slice(&i.to_le_bytes());
        }
        // A field's decimals all have the field's scale, so equal numbers have equal parts.
        Value::Decimal(d) => {
            out.push(3);
            out.extend_from_slice(&d.serialize());
        }
        Value::Date(d) => {
            out.push(4);
            out.extend_from_slice(&d.num_days_from_ce().to_le_bytes());
        }
        Value::DateTime(t) => {
            out.push(5);
            out.extend_from_slice(&t.num_days_from_ce().to_le_bytes());
            out.extend_from_slice(&t.num_seconds_from_midnight().to_le_bytes());
            out.extend_from_slice(&t.nanosecond().to_le_bytes());
        }
        Value::Boolean(b) => out.extend_from_slice(&[6, u8::from(*b)]),
    }
}
