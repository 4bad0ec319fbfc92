//! What of the master index is encrypted, and the blind-index values by which it is found.
//!
//! `person` and `identity_record` share places, so that the best values of a person can be copied between them by SQL
//! without being opened.

use kernel::Result;
use protect::{Blinder, Domain, Sealer};
use store::Tx;

/// Citizen numbers.
pub(crate) const CITIZEN: Protected = Protected { place: "person.citizen_id", kind: "citizen" };
/// Numbers of other credentials.
pub(crate) const CREDENTIAL: Protected = Protected { place: "person.credential_no", kind: "credential" };
/// Card numbers.
pub(crate) const CARD: Protected = Protected { place: "person.card_no", kind: "card" };
/// Telephones.
pub(crate) const PHONE: Protected = Protected { place: "person.phone", kind: "phone" };
/// Telephones of contacts; nothing is found by them but blocking keys.
pub(crate) const CONTACT_PHONE: Protected = Protected { place: "person.contact_phone", kind: "phone" };
/// Addresses; nothing is found by them.
pub(crate) const ADDRESS: Protected = Protected { place: "person.address", kind: "" };

/// A kind of protected value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protected {
    /// The place its ciphertext is bound to.
    pub place: &'static str,
    /// The kind of its blind-index value.
    pub kind: &'static str,
}

/// The keys for writing and finding.
#[derive(Debug)]
pub(crate) struct Seal {
    sealer: Sealer,
    blinder: Blinder,
}

impl Seal {
    /// The keys in force.
    pub(crate) fn of(tx: &Tx<'_>) -> Result<Self> {
        Ok(Self {
            sealer: tx.keyring().sealer(Domain::Identity)?,
            blinder: tx.keyring().blinder(Domain::Identity)?,
        })
    }

    /// The ciphertext of one value.
    pub(crate) fn text(&self, what: Protected, value: &str) -> Result<String> {
        self.sealer.text(what.place, value)
    }

    /// Ciphertexts of a column.
    pub(crate) fn texts<'a>(
        &self,
        what: Protected,
        values: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<String>> {
        values.map(|value| self.sealer.text(what.place, value)).collect()
    }

    /// Blind-index values of a column.
    pub(crate) fn blinds<'a>(
        &self,
        what: Protected,
        values: impl Iterator<Item = &'a str>,
    ) -> Vec<Option<Vec<u8>>> {
        values.map(|value| self.blinder.column(what.kind, value)).collect()
    }

    /// The blind-index value of one number.
    pub(crate) fn blind(&self, what: Protected, value: &str) -> Option<Vec<u8>> {
        self.blinder.column(what.kind, value)
    }
}

/// Bytes as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Text as bytes again.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Opens a column that may be null.
pub(crate) fn open_option(
    opener: &protect::Opener,
    what: Protected,
    value: Option<String>,
) -> Result<Option<String>> {
    value.map(|v| open(opener, what, v)).transpose()
}

/// Opens a column.
pub(crate) fn open(opener: &protect::Opener, what: Protected, value: String) -> Result<String> {
    if protect::is_sealed(&value) { Ok(opener.text(what.place, &value)?.into_owned()) } else { Ok(value) }
}
