//! Verification of passkeys after W3C Web Authentication Level 3, sections 7.1 and 7.2: what a browser sends when a
//! passkey is made and when it is used. Attestation is not asked for ("none"), so its statement is not looked at.
//! Signatures by ES256, EdDSA (Ed25519) and RS256. Pure.

use ring::signature::{self, UnparsedPublicKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::cbor::{self, Value};
use crate::secret;

/// COSE numbers of the algorithms that are offered, best first.
pub const ALGORITHMS: [i64; 3] = [-7, -8, -257];

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;

/// Who we are to the browser: the relying party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Host name, e.g. `health.example.cn`.
    pub id: String,
    /// Scheme, host and port, e.g. `https://health.example.cn`.
    pub origin: String,
    /// Whether the authenticator must have verified its user (PIN, finger, face).
    pub verified: bool,
}

impl Party {
    /// From the address at which people reach the program. `None` where browsers know no passkeys: by an IP address, or
    /// without TLS on anything but `localhost`.
    pub fn of(base_url: &str) -> Option<Self> {
        let (scheme, rest) = base_url.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let named = !host.is_empty() && !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err();
        let safe = scheme == "https" || (scheme == "http" && host == "localhost");
        (named && safe).then(|| Self {
            id: host.to_ascii_lowercase(),
            origin: format!("{scheme}://{}", authority.to_ascii_lowercase()),
            verified: true,
        })
    }
}

/// Why something was not believed; for the log, users read one sentence for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub &'static str);

/// A new passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// Public key as COSE.
    pub public_key: Vec<u8>,
    /// Signatures so far; 0 where the authenticator does not count.
    pub count: u32,
    /// Whether the maker's cloud keeps a copy.
    pub synced: bool,
}

/// A use of a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Signatures so far.
    pub count: u32,
    /// Whether the maker's cloud keeps a copy.
    pub synced: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// The challenge that the browser was given, after the checks of its surroundings: kind of ceremony, origin, no frame of
/// another site. Whether the challenge is one of ours is for the caller to say.
pub fn challenge(client_data: &[u8], kind: &str, party: &Party) -> Result<Vec<u8>, Wrong> {
    let data: ClientData =
        serde_json::from_slice(client_data).map_err(|_| Wrong("client data is no JSON"))?;
    if data.kind != kind {
        return Err(Wrong("the client data is of another ceremony"));
    }
    if data.origin != party.origin {
        return Err(Wrong("another origin"));
    }
    if data.cross_origin {
        return Err(Wrong("in a frame of another site"));
    }
    decode(&data.challenge).ok_or(Wrong("the challenge is not base64url"))
}

/// Checks what a browser sends when a passkey is made; [`challenge`] comes first.
pub fn registration(attestation: &[u8], party: &Party) -> Result<Registered, Wrong> {
    let Some((object, [])) = cbor::read(attestation) else {
        return Err(Wrong("the attestation object is no CBOR"));
    };
    let data =
        object.get(&Value::Text("authData")).and_then(Value::bytes).ok_or(Wrong("no authenticator data"))?;
    let (head, rest) = head(data, party)?;
    if head.flags & ATTESTED == 0 {
        return Err(Wrong("no credential"));
    }
    // AAGUID (16), length (2), credential, key.
    let rest = rest.get(16..).ok_or(Wrong("cut short"))?;
    let (length, rest) = rest.split_at_checked(2).ok_or(Wrong("cut short"))?;
    let length = usize::from(length[0]) << 8 | usize::from(length[1]);
    if !(1..=1023).contains(&length) {
        return Err(Wrong("a credential of no acceptable length"));
    }
    let (credential_id, rest) = rest.split_at_checked(length).ok_or(Wrong("cut short"))?;
    let (_, after) = cbor::read(rest).ok_or(Wrong("the public key is no CBOR"))?;
    let public_key = rest.get(..rest.len() - after.len()).ok_or(Wrong("cut short"))?;
    Key::read(public_key)?;
    Ok(Registered {
        credential_id: credential_id.to_vec(),
        public_key: public_key.to_vec(),
        count: head.count,
        synced: head.flags & BACKED_UP != 0,
    })
}

/// Checks what a browser sends when a passkey is used; [`challenge`] comes first.
pub fn assertion(
    client_data: &[u8],
    authenticator: &[u8],
    given: &[u8],
    public_key: &[u8],
    party: &Party,
) -> Result<Used, Wrong> {
    let (head, _) = head(authenticator, party)?;
    let mut message = authenticator.to_vec();
    message.extend_from_slice(&Sha256::digest(client_data));
    Key::read(public_key)?.verify(&message, given)?;
    Ok(Used { count: head.count, synced: head.flags & BACKED_UP != 0 })
}

/// The first 37 bytes of authenticator data.
struct Head {
    flags: u8,
    count: u32,
}

fn head<'a>(data: &'a [u8], party: &Party) -> Result<(Head, &'a [u8]), Wrong> {
    let (head, rest) = data.split_at_checked(37).ok_or(Wrong("authenticator data cut short"))?;
    if !secret::same(&head[..32], &Sha256::digest(party.id.as_bytes())) {
        return Err(Wrong("made for another site"));
    }
    let flags = head[32];
    if flags & USER_PRESENT == 0 {
        return Err(Wrong("nobody was present"));
    }
    if party.verified && flags & USER_VERIFIED == 0 {
        return Err(Wrong("the user was not verified"));
    }
    if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
        return Err(Wrong("backed up without being eligible"));
    }
    let count = head[33..37].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    Ok((Head { flags, count }, rest))
}

/// A public key (RFC 9053, RFC 8230).
enum Key<'a> {
    Es256([u8; 65]),
    EdDsa(&'a [u8]),
    Rs256 { n: &'a [u8], e: &'a [u8] },
}

impl<'a> Key<'a> {
    fn read(cose: &'a [u8]) -> Result<Self, Wrong> {
        const BAD: Wrong = Wrong("not a public key of an algorithm that was offered");
        let Some((key, [])) = cbor::read(cose) else { return Err(BAD) };
        let int = |label| key.get(&Value::Int(label)).and_then(Value::int);
        let bytes = |label| key.get(&Value::Int(label)).and_then(Value::bytes);
        match (int(1), int(3)) {
            (Some(2), Some(-7)) if int(-1) == Some(1) => {
                let (x, y) = bytes(-2).zip(bytes(-3)).ok_or(BAD)?;
                if x.len() != 32 || y.len() != 32 {
                    return Err(BAD);
                }
                let mut point = [4u8; 65];
                point[1..33].copy_from_slice(x);
                point[33..].copy_from_slice(y);
                Ok(Key::Es256(point))
            }
            (Some(1), Some(-8)) if int(-1) == Some(6) => {
                bytes(-2).filter(|x| x.len() == 32).map(Key::EdDsa).ok_or(BAD)
            }
            (Some(3), Some(-257)) => {
                let (n, e) = bytes(-1).zip(bytes(-2)).ok_or(BAD)?;
                Ok(Key::Rs256 { n, e })
            }
            _ => Err(BAD),
        }
    }

    fn verify(&self, message: &[u8], given: &[u8]) -> Result<(), Wrong> {
        match self {
            Key::Es256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(message, given)
            }
            Key::EdDsa(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, given),
            Key::Rs256 { n, e } => signature::RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                given,
            ),
        }
        .map_err(|_| Wrong("the signature is wrong"))
    }
}

/// Bytes of base64url with or without padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Bytes as base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
