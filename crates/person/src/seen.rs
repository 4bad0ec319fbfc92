//! A bounded memory of identity records already seen, so that most rows of a load cost no query.
//!
//! It holds only what no later event can make untrue: identifiers never change, a registered record never becomes
//! unregistered, and a row that could fill nothing in an unregistered record never can (values are only added).
//! Only records of finished transactions enter (`settled`), so a rolled-back one leaves nothing behind.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use contracts::Demographics;

/// Entries of one generation; two generations are kept, about 25 MB together.
const GENERATION: usize = 160_000;

/// A remembered identity record.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: i64,
    registered: bool,
    /// Fingerprints of the last two different rows that changed nothing.
    fingerprints: [u64; 2],
}

/// The memory. Keys are keyed 128-bit hashes of institution and local number: nobody outside can make two collide.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    keys: [RandomState; 2],
    young: HashMap<u128, Entry>,
    old: HashMap<u128, Entry>,
}

/// What a row says, as a hash.
fn fingerprint(state: &RandomState, row: &Demographics) -> u64 {
    state.hash_one((
        (&row.name, &row.sex, row.birth_date, &row.credential_kind, &row.credential_no),
        (&row.card_no, &row.phone, &row.address, &row.region, &row.blood_abo, &row.blood_rh),
        (&row.ethnicity, &row.contact_name, &row.contact_relation, &row.contact_phone),
    ))
}

impl Seen {
    fn key(&self, institution: i64, local_no: &str) -> u128 {
        let [a, b] = &self.keys;
        let key = (institution, local_no);
        u128::from(a.hash_one(key)) << 64 | u128::from(b.hash_one(key))
    }

    fn get(&mut self, key: u128) -> Option<Entry> {
        if let Some(entry) = self.young.get(&key) {
            return Some(*entry);
        }
        let entry = self.old.remove(&key)?;
        self.put(key, entry);
        Some(entry)
    }

    fn put(&mut self, key: u128, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }

    /// The identity record of a row that certainly changes nothing. Registrations are always looked at.
    pub(crate) fn settled(&mut self, institution: i64, row: &Demographics) -> Option<i64> {
        if row.registration || row.withdrawn || row.died_on.is_some() {
            return None;
        }
        let entry = self.get(self.key(institution, &row.local_no))?;
        let known = entry.registered || {
            let print = fingerprint(&self.keys[0], row);
            entry.fingerprints.contains(&print)
        };
        known.then_some(entry.id)
    }

    /// Whether a record of this local number is remembered.
    pub(crate) fn knows(&mut self, institution: i64, local_no: &str) -> bool {
        self.get(self.key(institution, local_no)).is_some()
    }

    /// Remembers that these rows changed nothing in a record of a finished transaction.
    pub(crate) fn remember<'r>(
        &mut self,
        institution: i64,
        local_no: &str,
        id: i64,
        registered: bool,
        rows: impl Iterator<Item = &'r Demographics>,
    ) {
        let key = self.key(institution, local_no);
        let mut entry = self.get(key).unwrap_or(Entry { id, registered, fingerprints: [0; 2] });
        entry.registered |= registered;
        for row in rows.filter(|row| !row.registration) {
            let print = fingerprint(&self.keys[0], row);
            if !entry.fingerprints.contains(&print) {
                entry.fingerprints = [print, entry.fingerprints[0]];
            }
        }
        self.put(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(local_no: &str, name: &str) -> Demographics {
        Demographics { local_no: local_no.into(), name: name.into(), ..Default::default() }
    }

    #[test]
    fn only_rows_that_can_change_nothing_are_answered() {
        let mut seen = Seen::default();
        let (a, b, c) = (row("1", "张三"), row("1", ""), row("1", "李四"));
        assert_eq!(seen.settled(7, &a), None);
        seen.remember(7, "1", 42, false, [&a, &b].into_iter());
        assert_eq!(seen.settled(7, &a), Some(42));
        assert_eq!(seen.settled(7, &b), Some(42));
        assert_eq!(seen.settled(7, &c), None, "a row not seen yet must be looked at");
        assert_eq!(seen.settled(8, &a), None, "another institution's number is another patient");
        seen.remember(7, "1", 42, true, std::iter::empty());
        assert_eq!(seen.settled(7, &c), Some(42), "facts change nothing in a registered record");
        assert_eq!(seen.settled(7, &Demographics { registration: true, ..a }), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut seen = Seen::default();
        for n in 0..(3 * GENERATION as i64) {
            seen.remember(1, &n.to_string(), n, true, std::iter::empty());
        }
        assert!(seen.young.len() + seen.old.len() <= 2 * GENERATION);
    }
}
