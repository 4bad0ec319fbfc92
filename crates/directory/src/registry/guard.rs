//! The one place through which identifying fields (citizen number, telephone) go to and from the database: sealed by
//! the keyring, opened for whoever may see them, masked on screens.

use kernel::Result;
use protect::{Domain, Keyring, Opener, Sealer};
use serde_json::Value;
use store::reseal::{Part, PartColumn};

/// What ties sealed texts to the registers.
const PLACE: &str = "registry";

/// What ties a sealed text to its place.
fn context(field: &str) -> String {
    format!("{PLACE}.{field}")
}

/// The protected columns of the registers.
pub fn protected() -> Vec<Part> {
    ["registry_entry", "registry_version", "registry_request"]
        .map(|table| Part {
            table: table.to_owned(),
            domain: Domain::Identity,
            columns: vec![PartColumn::fields("guarded", PLACE)],
        })
        .into()
}

/// Seals and opens with the keys of this moment.
pub(crate) struct Guard {
    keyring: Keyring,
    opener: Opener,
    sealer: Option<Sealer>,
}

impl Guard {
    pub fn new(keyring: &Keyring) -> Self {
        Self { keyring: keyring.clone(), opener: keyring.opener(), sealer: None }
    }

    /// What is written for an identifying value.
    pub fn seal(&mut self, field: &str, text: &str) -> Result<Value> {
        let sealer = match &self.sealer {
            Some(sealer) => sealer,
            None => self.sealer.insert(self.keyring.sealer(Domain::Identity)?),
        };
        Ok(Value::String(sealer.text(&context(field), text)?))
    }

    /// The value behind what was written.
    pub fn open(&self, field: &str, sealed: &Value) -> Result<String> {
        let text = sealed.as_str().unwrap_or_default();
        Ok(self.opener.text(&context(field), text)?.into_owned())
    }

    /// The value as screens show it.
    pub fn masked(&self, field: &str, sealed: &Value) -> Result<String> {
        let text = self.open(field, sealed)?;
        Ok(if field.contains("phone") { web::mask::phone(&text) } else { web::mask::credential(&text) })
    }
}
