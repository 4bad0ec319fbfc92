//! As much of CBOR (RFC 8949) as authenticators write: definite lengths only (CTAP2 canonical form). Pure.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Int(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// A list.
    List(Vec<Value<'a>>),
    /// Pairs in the order written.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// True, false, null or a number with a fraction: nothing that is looked at here.
    Simple,
}

/// Values inside values, at most.
const DEPTH: u8 = 8;

/// Reads one value; it and what comes after it. `None` when it is not one.
pub fn read(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    value(bytes, DEPTH)
}

fn value(bytes: &[u8], depth: u8) -> Option<(Value<'_>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (&first, rest) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 31);
    if major == 7 {
        let skip = match info {
            0..=23 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        return Some((Value::Simple, rest.get(skip..)?));
    }
    let (length, rest) = argument(info, rest)?;
    match major {
        0 => Some((Value::Int(i64::try_from(length).ok()?), rest)),
        1 => Some((Value::Int(-1 - i64::try_from(length).ok()?), rest)),
        2 | 3 => {
            let (inside, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            let value =
                if major == 2 { Value::Bytes(inside) } else { Value::Text(str::from_utf8(inside).ok()?) };
            Some((value, rest))
        }
        4 => {
            let (mut list, mut rest) = (Vec::new(), rest);
            for _ in 0..length {
                let (one, after) = value(rest, depth)?;
                list.push(one);
                rest = after;
            }
            Some((Value::List(list), rest))
        }
        5 => {
            let (mut map, mut rest) = (Vec::new(), rest);
            for _ in 0..length {
                let (key, after) = value(rest, depth)?;
                let (one, after) = value(after, depth)?;
                map.push((key, one));
                rest = after;
            }
            Some((Value::Map(map), rest))
        }
        // Tags are not written by authenticators.
        _ => None,
    }
}

/// The number after the first byte.
fn argument(info: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let width = match info {
        0..=23 => return Some((u64::from(info), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    Some((number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest))
}

impl<'a> Value<'a> {
    /// The value of a key of a map.
    pub fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
    /// The bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
    /// The integer.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples_of_rfc_8949_appendix_a() {
        let cases: [(&[u8], Value); 8] = [
            (&[0x00], Value::Int(0)),
            (&[0x18, 0x64], Value::Int(100)),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], Value::Int(1_000_000)),
            (&[0x38, 0x63], Value::Int(-100)),
            (&[0x44, 1, 2, 3, 4], Value::Bytes(&[1, 2, 3, 4])),
            (&[0x64, b'I', b'E', b'T', b'F'], Value::Text("IETF")),
            (&[0x83, 1, 2, 3], Value::List(vec![Value::Int(1), Value::Int(2), Value::Int(3)])),
            (&[0xa1, 0x61, b'a', 0x01], Value::Map(vec![(Value::Text("a"), Value::Int(1))])),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes), Some((expected, &[][..])));
        }
        // Cut short, endless, too deep, tagged.
        for bad in [&[0x44, 1][..], &[0x9f, 1, 0xff], &[0x81; 20], &[0xc0, 0x00], &[0x1b, 0xff], &[]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(
            read(&[0xba, 0xff, 0xff, 0xff, 0xff]),
            None,
            "a length that nothing follows takes no memory"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
