//! PostgreSQL's binary COPY format, written row by row into one buffer.
//!
//! Source: PostgreSQL documentation, "COPY", section "Binary Format", and the send functions of each type.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use rust_decimal::Decimal;

use catalog::Value;
use kernel::{Error, Result};
use sqlx::postgres::PgConnection;

use crate::failure::DbDoing;

/// Rows in binary COPY format.
#[derive(Debug)]
pub struct CopyRows {
    buffer: BytesMut,
    columns: i16,
    rows: usize,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

impl CopyRows {
    /// An empty buffer for rows of so many columns.
    pub fn new(columns: usize, expected_rows: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(SIGNATURE.len() + expected_rows * columns * 16 + 2);
        buffer.put_slice(SIGNATURE);
        Self { buffer, columns: columns as i16, rows: 0 }
    }

    /// How many rows were begun.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Begins a row; exactly as many values as columns must follow.
    pub fn row(&mut self) {
        self.rows += 1;
        self.buffer.put_i16(self.columns);
    }

    /// No value.
    pub fn null(&mut self) {
        self.buffer.put_i32(-1);
    }
    /// `bigint`
    pub fn int8(&mut self, value: i64) {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
    }
    /// `int`
    pub fn int4(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }
    /// `smallint`
    pub fn int2(&mut self, value: i16) {
        self.buffer.put_i32(2);
        self.buffer.put_i16(value);
    }
    /// `boolean`
    pub fn boolean(&mut self, value: bool) {
        self.buffer.put_i32(1);
        self.buffer.put_u8(u8::from(value));
    }
    /// `text`
    pub fn text(&mut self, value: &str) {
        self.buffer.put_i32(value.len() as i32);
        self.buffer.put_slice(value.as_bytes());
    }
    /// `uuid`, used for 128-bit digests.
    pub fn digest(&mut self, value: u128) {
        self.buffer.put_i32(16);
        self.buffer.put_u128(value);
    }
    /// `date`
    pub fn date(&mut self, value: NaiveDate) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(days_since_2000(value));
    }
    /// `timestamp`
    pub fn timestamp(&mut self, value: NaiveDateTime) {
        self.buffer.put_i32(8);
        self.buffer.put_i64(micros_since_2000(value));
    }
    /// `timestamptz`
    pub fn instant(&mut self, value: DateTime<Utc>) {
        self.timestamp(value.naive_utc());
    }
    /// `numeric`
    pub fn numeric(&mut self, value: Decimal) {
        put_numeric(&mut self.buffer, value);
    }
    /// A catalogue value in the column type of its field.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Text(t) => self.text(t),
            Value::Integer(i) => self.int8(*i),
            Value::Decimal(d) => self.numeric(*d),
            Value::Date(d) => self.date(*d),
            Value::DateTime(t) => self.timestamp(*t),
            Value::Boolean(b) => self.boolean(*b),
        }
    }

    /// The finished bytes.
    pub fn finish(mut self) -> Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }

    /// Sends the rows with a `copy … from stdin (format binary)` statement; refuses a count that differs.
    pub async fn send(self, connection: &mut PgConnection, statement: &str) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let expected = self.rows as u64;
        let mut sink = connection.copy_in_raw(statement).await.db("begin COPY")?;
        sink.send(self.finish()).await.db("send COPY data")?;
        let copied = sink.finish().await.db("finish COPY")?;
        if copied != expected {
            return Err(Error::fault("copy rows", format!("sent {expected} rows, {copied} arrived")));
        }
        Ok(())
    }
}

fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default()
}

fn days_since_2000(date: NaiveDate) -> i32 {
    date.signed_duration_since(epoch()).num_days() as i32
}

fn micros_since_2000(time: NaiveDateTime) -> i64 {
    let midnight = epoch().and_time(chrono::NaiveTime::MIN);
    time.signed_duration_since(midnight).num_microseconds().unwrap_or(0)
}

// numeric: digit count, weight, sign, display scale, then digits to the base 10,000.
fn put_numeric(buffer: &mut BytesMut, value: Decimal) {
    let scale = value.scale();
    let mut mantissa = value.mantissa().unsigned_abs();
    // Fill the fraction up to a whole number of base-10,000 digits.
    let padding = (4 - scale % 4) % 4;
    let fraction_digits = (scale + padding) / 4;
    let mut digits = [0i16; 16];
    let mut count = 0;
    if padding > 0 {
        // The lowest group holds 4 - padding decimal digits.
        let low = 10u128.pow(4 - padding);
        digits[count] = ((mantissa % low) * 10u128.pow(padding)) as i16;
        mantissa /= low;
        count += 1;
    }
    while mantissa > 0 || count < fraction_digits as usize {
        digits[count] = (mantissa % 10_000) as i16;
        mantissa /= 10_000;
        count += 1;
    }
    let used = &digits[..count];
    let leading = used.iter().rev().take_while(|d| **d == 0).count();
    let trailing = used.iter().take_while(|d| **d == 0).count().min(count - leading);
    let weight = count as i32 - fraction_digits as i32 - 1 - leading as i32;
    let significant = &used[trailing..count - leading];
    buffer.put_i32(8 + 2 * significant.len() as i32);
    buffer.put_i16(significant.len() as i16);
    buffer.put_i16(if significant.is_empty() { 0 } else { weight as i16 });
    buffer.put_u16(if value.is_sign_negative() && !significant.is_empty() { 0x4000 } else { 0 });
    buffer.put_i16(scale as i16);
    for digit in significant.iter().rev() {
        buffer.put_i16(*digit);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::str::FromStr;

    // Decodes what was written, to compare with the decimal it came from.
    fn decode(bytes: &[u8]) -> String {
        let i16_at = |i: usize| i16::from_be_bytes([bytes[i], bytes[i + 1]]);
        let (n, weight, sign, scale) = (i16_at(4), i16_at(6), i16_at(8), i16_at(10));
        let mut number = Decimal::ZERO;
        for k in 0..n {
            let digit = Decimal::from(i16_at(12 + 2 * k as usize));
            let power = i32::from(weight - k);
            let factor = Decimal::from_str("10000").unwrap();
            let mut part = digit;
            for _ in 0..power.abs() {
                part = if power > 0 { part * factor } else { part / factor };
            }
            number += part;
        }
        if sign != 0 {
            number = -number;
        }
        number.rescale(scale as u32);
        number.to_string()
    }

    #[test]
    fn numeric_survives_the_wire_format() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "12345678.9",
            "0.0001",
            "0.5",
            "-37.25",
            "99999999999999.99",
            "1000000",
            "0.00012",
        ] {
            let decimal = Decimal::from_str(text).unwrap();
            let mut buffer = BytesMut::new();
            put_numeric(&mut buffer, decimal);
            assert_eq!(decode(&buffer), text, "{text}");
        }
    }
}
