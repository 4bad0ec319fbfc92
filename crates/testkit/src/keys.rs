//! The fixed keys of tests.

use protect::{Domain, Key, KeyState, Keyring, Purpose};

/// A keyring with the same keys in every test: data keys of all domains, blind-index keys, signers `audit` and
/// `platform`.
pub fn keyring() -> Keyring {
    let mut keys = Vec::new();
    let mut add = |purpose, name: &str, algorithm: &str| {
        let id = 9001 + keys.len() as i32;
        keys.push(Key {
            id,
            purpose,
            name: name.to_owned(),
            algorithm: algorithm.to_owned(),
            state: KeyState::Active,
            secret: vec![id as u8; 32].into(),
        });
    };
    for domain in Domain::ALL {
        add(Purpose::Data, domain.code(), "aes-256-gcm");
        add(Purpose::Blind, domain.code(), "hmac-sha-256");
    }
    add(Purpose::Sign, "audit", "ed25519");
    add(Purpose::Sign, "platform", "ed25519");
    Keyring::of(&keys).expect("the keys of tests")
}
