//! How often values occur, as the database keeps it: compact, values as keyed hashes.

use kernel::{Error, Result};
use linkage::Frequencies;

/// Counts below this are left out; a value that is not listed counts as seen once.
const LEAST: u32 = 2;
/// Stands for all values that are not listed.
const REST: u64 = u64::MAX;

/// Writes counts down.
pub(crate) fn encode(frequencies: &Frequencies) -> Vec<u8> {
    let mut out = frequencies.records().to_le_bytes().to_vec();
    let mut fields: Vec<(String, Vec<(u64, u32)>)> = Vec::new();
    for (name, value, count) in frequencies.iter(LEAST) {
        if fields.last().is_none_or(|(last, _)| last != name) {
            fields.push((name.to_owned(), Vec::new()));
        }
        if let Some((_, values)) = fields.last_mut() {
            values.push((value, count));
        }
    }
    for (name, mut values) in fields {
        let listed: u64 = values.iter().map(|(_, n)| u64::from(*n)).sum();
        let (_, filled) = frequencies.count(&name, REST);
        values.push((REST, u32::try_from(filled.saturating_sub(listed)).unwrap_or(u32::MAX)));
        values.sort_unstable();
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(values.len() as u32).to_le_bytes());
        for (value, count) in values {
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }
    out
}

/// Reads them again.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Frequencies> {
    let mut frequencies = Frequencies::default();
    let mut take = |n: usize| -> Result<&[u8]> {
        let (head, rest) =
            bytes.split_at_checked(n).ok_or_else(|| Error::fault("read frequencies", "they are cut off"))?;
        bytes = rest;
        Ok(head)
    };
    let long = |b: &[u8]| b.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    frequencies.set_records(long(take(8)?));
    while let Ok(length) = take(1).map(|b| usize::from(b[0])) {
        let name = String::from_utf8_lossy(take(length)?).into_owned();
        let count = long(take(4)?);
        for _ in 0..count {
            let value = long(take(8)?);
            frequencies.set(&name, value, long(take(4)?) as u32);
        }
    }
    Ok(frequencies)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_single_values_count_as_once() {
        let mut counts = Frequencies::default();
        counts.set_records(1000);
        counts.set("name", 7, 300);
        counts.set("name", 8, 1);
        counts.set("name", 9, 1);
        counts.set("phone", 7, 5);
        let read = decode(&encode(&counts)).unwrap();
        assert_eq!(read.records(), 1000);
        assert_eq!(read.count("name", 7), (300, 302));
        assert_eq!(read.count("name", 8), (1, 302));
        assert_eq!(read.count("phone", 7), (5, 5));
        assert!(decode(&encode(&counts)[..20]).is_err());
    }
}
