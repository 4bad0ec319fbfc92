//! The keys of this process, unwrapped and ready. A snapshot that is replaced as a whole when keys change.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Refusal, RefusalKind, Result};
use zeroize::Zeroizing;

use crate::cipher::{Cipher, NONCE, TAG};
use crate::hash::{Keyed, normal};
use crate::nonce::Nonces;
use crate::sign::{LocalKey, Signer};

/// What a data key or blind-index key is for. Keys of one domain open nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// Who somebody is: numbers, telephone, address in the master index.
    Identity,
    /// Protected fields of facts, and what quotes them.
    Facts,
    /// Secrets of the platform itself: one-time password seeds, keys of linked clients.
    Secrets,
    /// Original files.
    Objects,
}

impl Domain {
    /// All of them.
    pub const ALL: [Domain; 4] = [Domain::Identity, Domain::Facts, Domain::Secrets, Domain::Objects];

    /// The name in tables.
    pub fn code(self) -> &'static str {
        match self {
            Domain::Identity => "identity",
            Domain::Facts => "facts",
            Domain::Secrets => "secrets",
            Domain::Objects => "objects",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Domain::Identity => "身份信息",
            Domain::Facts => "业务数据",
            Domain::Secrets => "平台密钥与口令",
            Domain::Objects => "原始文件",
        }
    }

    /// The domain of a name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.code() == code)
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Encrypts.
    Data,
    /// Makes blind-index values.
    Blind,
    /// Signs.
    Sign,
}

impl Purpose {
    /// The name in tables.
    pub fn code(self) -> &'static str {
        match self {
            Purpose::Data => "data",
            Purpose::Blind => "blind",
            Purpose::Sign => "sign",
        }
    }
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Purpose::Data => "数据密钥",
            Purpose::Blind => "检索密钥",
            Purpose::Sign => "签名密钥",
        }
    }
    /// The purpose of a name.
    pub fn from_code(code: &str) -> Option<Self> {
        [Purpose::Data, Purpose::Blind, Purpose::Sign].into_iter().find(|p| p.code() == code)
    }
}

/// Where a version of a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Reads, and will write as soon as every process has it.
    Coming,
    /// Writes and reads.
    Active,
    /// Reads only; what it wrote is being written anew.
    Reading,
    /// Nothing is known to need it. It still reads, for what comes back from a backup.
    Retired,
}

impl KeyState {
    /// The name in tables.
    pub fn code(self) -> &'static str {
        match self {
            KeyState::Coming => "coming",
            KeyState::Active => "active",
            KeyState::Reading => "reading",
            KeyState::Retired => "retired",
        }
    }
    /// The state of a name.
    pub fn from_code(code: &str) -> Option<Self> {
        [KeyState::Coming, KeyState::Active, KeyState::Reading, KeyState::Retired]
            .into_iter()
            .find(|s| s.code() == code)
    }
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            KeyState::Coming => "待启用",
            KeyState::Active => "使用中",
            KeyState::Reading => "只读（正在换密）",
            KeyState::Retired => "已退役",
        }
    }
}

/// A key, unwrapped.
#[derive(Clone)]
pub struct Key {
    /// Number, unique over all keys of a database; what ciphertext names it by.
    pub id: i32,
    /// What it does.
    pub purpose: Purpose,
    /// A [`Domain`]'s code, or the name of a signer (`audit`, `platform`, `institution-17`).
    pub name: String,
    /// The algorithm.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// The secret bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {} {:?} {} {} {:?}", self.id, self.purpose, self.name, self.algorithm, self.state)
    }
}

#[derive(Debug, Default)]
struct Keys {
    ciphers: HashMap<i32, (Domain, Cipher)>,
    active: HashMap<Domain, i32>,
    blinds: HashMap<Domain, Blinder>,
    signers: HashMap<String, Arc<dyn Signer>>,
    /// Public keys by key id, of every version.
    publics: HashMap<String, (String, Vec<u8>)>,
}

/// The keys of this process. Cheap to clone; clones see replacements.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<RwLock<Arc<Keys>>>,
    nonces: Arc<Nonces>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.snapshot();
        f.debug_struct("Keyring").field("data", &keys.ciphers.len()).finish_non_exhaustive()
    }
}

/// What sealed texts begin with; followed by the key's number and a point.
const MARK: char = '~';
/// First byte of sealed bytes.
const BYTE_MARK: u8 = 0xE1;

fn locked() -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "keys.closed",
        "数据密钥没有打开，不能读写受保护的数据。请检查主密钥（数据目录 keys/master.key、环境变量或加密机）后重新启动。",
    )
}

fn damaged() -> Error {
    Error::fault("open a protected value", "the key, the place or the content is not what it was")
}

impl Keyring {
    /// A keyring without keys: whatever needs one is refused.
    pub fn closed() -> Self {
        Self::default()
    }

    /// A keyring of these keys.
    ///
    /// # Errors
    /// A key whose algorithm is not known or does not fit.
    pub fn of(keys: &[Key]) -> Result<Self> {
        let ring = Self::default();
        ring.replace(keys)?;
        Ok(ring)
    }

    /// Replaces the keys, in every clone.
    ///
    /// # Errors
    /// A key whose algorithm is not known or does not fit; the keys stay as they were.
    pub fn replace(&self, keys: &[Key]) -> Result<()> {
        let mut next = Keys::default();
        for key in keys {
            match key.purpose {
                Purpose::Data => {
                    // A newer program's domain is no business of this one.
                    let Some(domain) = Domain::from_code(&key.name) else { continue };
                    next.ciphers.insert(key.id, (domain, Cipher::new(&key.algorithm, &key.secret)?));
                    if key.state == KeyState::Active {
                        next.active.insert(domain, key.id);
                    }
                }
                Purpose::Blind => {
                    let Some(domain) = Domain::from_code(&key.name) else { continue };
                    if key.state == KeyState::Active {
                        next.blinds
                            .insert(domain, Blinder { hash: Keyed::new(&key.algorithm, &key.secret)? });
                    }
                }
                Purpose::Sign => {
                    let signer = LocalKey::new(&key.algorithm, &key.secret)?;
                    next.publics.insert(signer.key_id(), (key.algorithm.clone(), signer.public_key()));
                    if key.state == KeyState::Active {
                        next.signers.insert(key.name.clone(), Arc::new(signer));
                    }
                }
            }
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    fn snapshot(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seals bytes for a place. The context, e.g. `account.totp`, must be given again to open them.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn seal(&self, domain: Domain, context: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        self.sealer(domain)?.bytes(context, bytes)
    }

    /// Opens what [`Keyring::seal`] made.
    ///
    /// # Errors
    /// A fault when the key is missing, the context differs, or the bytes were altered.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.opener().bytes(context, sealed)
    }

    /// Seals a text for a `text` column: `~<key>.<base64>`. An empty text stays empty.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn seal_text(&self, domain: Domain, context: &str, text: &str) -> Result<String> {
        self.sealer(domain)?.text(context, text)
    }

    /// Opens a text; one that was written plain is returned as it is.
    ///
    /// # Errors
    /// A fault when the key is missing, the context differs, or the text was altered.
    pub fn open_text(&self, context: &str, text: &str) -> Result<String> {
        self.opener().text(context, text).map(Cow::into_owned)
    }

    /// The blind-index value of a number: equal for equal numbers, and telling nothing without the key.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn blind(&self, domain: Domain, kind: &str, value: &str) -> Result<[u8; BLIND]> {
        Ok(self.blinder(domain)?.blind(kind, value))
    }

    /// For many values at once: the key that writes in this domain now.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn sealer(&self, domain: Domain) -> Result<Sealer> {
        let keys = self.snapshot();
        let id = *keys.active.get(&domain).ok_or_else(locked)?;
        let (_, cipher) = keys.ciphers.get(&id).ok_or_else(locked)?;
        Ok(Sealer { id, cipher: cipher.clone(), nonces: Arc::clone(&self.nonces) })
    }

    /// For many values at once: the keys that read now.
    pub fn opener(&self) -> Opener {
        Opener { keys: self.snapshot() }
    }

    /// For many values at once: the blind-index key of a domain.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn blinder(&self, domain: Domain) -> Result<Blinder> {
        self.snapshot().blinds.get(&domain).cloned().ok_or_else(|| locked().into())
    }

    /// The key with which the data of one project is de-identified: the same whenever it is asked for, and of no use for
    /// another project.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn project_key(&self, project: &str) -> Result<Zeroizing<[u8; 32]>> {
        let blinder = self.blinder(Domain::Facts)?;
        Ok(Zeroizing::new(blinder.hash.digest(&[b"project", &[0], project.as_bytes()])))
    }

    /// The number of the key that writes in a domain now.
    ///
    /// # Errors
    /// Refused while the keys are not open.
    pub fn active(&self, domain: Domain) -> Result<i32> {
        self.snapshot().active.get(&domain).copied().ok_or_else(|| locked().into())
    }

    /// The signing key of this name: `audit`, `platform`, or one that `store::keys::signing_key` made.
    ///
    /// # Errors
    /// Refused when there is none.
    pub fn signer(&self, name: &str) -> Result<Arc<dyn Signer>> {
        self.snapshot().signers.get(name).cloned().ok_or_else(|| locked().into())
    }

    /// Algorithm and public key of a signing key of any version, by its key id.
    pub fn public_key(&self, key_id: &str) -> Option<(String, Vec<u8>)> {
        self.snapshot().publics.get(key_id).cloned()
    }
}

/// Writes protected values with one key.
#[derive(Debug, Clone)]
pub struct Sealer {
    id: i32,
    cipher: Cipher,
    nonces: Arc<Nonces>,
}

impl Sealer {
    /// The key's number.
    pub fn key(&self) -> i32 {
        self.id
    }

    /// Seals bytes.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn bytes(&self, context: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let nonce = self.nonces.next()?;
        let mut out = Vec::with_capacity(1 + 4 + NONCE + bytes.len() + TAG);
        out.push(BYTE_MARK);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&nonce);
        let from = out.len();
        out.extend_from_slice(bytes);
        self.cipher.seal(&nonce, context.as_bytes(), &mut out, from)?;
        Ok(out)
    }

    /// Seals a text; an empty one stays empty.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn text(&self, context: &str, text: &str) -> Result<String> {
        if text.is_empty() {
            return Ok(String::new());
        }
        let nonce = self.nonces.next()?;
        let mut body = Vec::with_capacity(NONCE + text.len() + TAG);
        body.extend_from_slice(&nonce);
        body.extend_from_slice(text.as_bytes());
        self.cipher.seal(&nonce, context.as_bytes(), &mut body, NONCE)?;
        let mut out = String::with_capacity(12 + body.len() * 4 / 3 + 3);
        out.push(MARK);
        out.push_str(&self.id.to_string());
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(&body, &mut out);
        Ok(out)
    }
}

/// Number of the key and body of a sealed text; `None` for a plain one.
fn parts(text: &str) -> Option<(i32, &str)> {
    let (id, body) = text.strip_prefix(MARK)?.split_once('.')?;
    let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let long = body.len() > (NONCE + TAG) * 4 / 3;
    let letters = body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if digits && long && letters { Some((id.parse().ok()?, body)) } else { None }
}

/// Whether a text has the form of a sealed one.
pub fn is_sealed(text: &str) -> bool {
    parts(text).is_some()
}

/// Which key sealed a text; `None` for a plain one.
pub fn sealed_with(text: &str) -> Option<i32> {
    parts(text).map(|(id, _)| id)
}

/// Reads protected values with the keys of one moment.
#[derive(Debug, Clone)]
pub struct Opener {
    keys: Arc<Keys>,
}

impl Opener {
    /// Opens sealed bytes.
    ///
    /// # Errors
    /// A fault when the key is missing, the context differs, or the bytes were altered.
    pub fn bytes(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let head = sealed.get(..5 + NONCE).filter(|h| h[0] == BYTE_MARK).ok_or_else(damaged)?;
        let id = i32::from_be_bytes(head[1..5].try_into().map_err(|_| damaged())?);
        let nonce = head[5..].try_into().map_err(|_| damaged())?;
        self.cipher(id)?.open(nonce, context.as_bytes(), &sealed[5 + NONCE..]).ok_or_else(damaged)
    }

    /// Opens a text; one that was written plain is returned as it is.
    ///
    /// # Errors
    /// A fault when the key is missing, the context differs, or the text was altered.
    pub fn text<'t>(&self, context: &str, text: &'t str) -> Result<Cow<'t, str>> {
        let Some((id, body)) = parts(text) else { return Ok(Cow::Borrowed(text)) };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(body) else { return Ok(Cow::Borrowed(text)) };
        let cipher = self.cipher(id)?;
        let (nonce, sealed) = bytes.split_at(NONCE);
        let nonce = nonce.try_into().map_err(|_| damaged())?;
        let plain = cipher.open(nonce, context.as_bytes(), sealed).ok_or_else(damaged)?;
        String::from_utf8(plain).map(Cow::Owned).map_err(|_| damaged())
    }

    fn cipher(&self, id: i32) -> Result<&Cipher> {
        if self.keys.ciphers.is_empty() {
            return Err(locked().into());
        }
        let (_, cipher) = self.keys.ciphers.get(&id).ok_or_else(|| {
            Error::fault("open a protected value", format!("data key {id} is not in this keyring"))
        })?;
        Ok(cipher)
    }
}

/// Bytes of a blind-index value.
pub const BLIND: usize = 16;

/// Makes blind-index values.
#[derive(Clone)]
pub struct Blinder {
    hash: Keyed,
}

impl std::fmt::Debug for Blinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blinder")
    }
}

impl Blinder {
    /// The blind-index value of a number, whatever its width, case and punctuation.
    pub fn blind(&self, kind: &str, value: &str) -> [u8; BLIND] {
        let digest = self.hash.digest(&[kind.as_bytes(), &[0], normal(value).as_bytes()]);
        let mut out = [0; BLIND];
        out.copy_from_slice(&digest[..BLIND]);
        out
    }

    /// The same for a column: `None` where there is nothing to look for.
    pub fn column(&self, kind: &str, value: &str) -> Option<Vec<u8>> {
        (!normal(value).is_empty()).then(|| self.blind(kind, value).to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cipher::{AES_256_GCM, SM4_GCM};

    fn key(id: i32, purpose: Purpose, name: &str, algorithm: &str, state: KeyState) -> Key {
        let length = if algorithm == SM4_GCM { 16 } else { 32 };
        Key {
            id,
            purpose,
            name: name.into(),
            algorithm: algorithm.into(),
            state,
            secret: Zeroizing::new(vec![id as u8 + 1; length]),
        }
    }

    fn ring() -> Keyring {
        Keyring::of(&[
            key(1, Purpose::Data, "identity", AES_256_GCM, KeyState::Active),
            key(2, Purpose::Data, "facts", SM4_GCM, KeyState::Active),
            key(3, Purpose::Blind, "identity", "hmac-sm3", KeyState::Active),
            key(4, Purpose::Sign, "audit", "sm2-sm3", KeyState::Active),
        ])
        .unwrap()
    }

    #[test]
    fn values_come_back_from_their_own_place_only() {
        let ring = ring();
        for domain in [Domain::Identity, Domain::Facts] {
            let sealed = ring.seal_text(domain, "person.phone", "13800138000").unwrap();
            assert!(is_sealed(&sealed) && !sealed.contains("138001"), "{sealed}");
            assert_ne!(sealed, ring.seal_text(domain, "person.phone", "13800138000").unwrap());
            assert_eq!(ring.open_text("person.phone", &sealed).unwrap(), "13800138000");
            assert!(ring.open_text("person.card", &sealed).is_err());
            let bytes = ring.seal(domain, "account.totp", b"seed").unwrap();
            assert_eq!(ring.open("account.totp", &bytes).unwrap(), b"seed");
            assert!(ring.open("account.other", &bytes).is_err());
            assert!(ring.open("account.totp", &bytes[..9]).is_err());
        }
    }

    #[test]
    fn the_overhead_is_constant() {
        let ring = ring();
        for n in [1, 10, 300] {
            let sealed = ring.seal_text(Domain::Facts, "a.b", &"x".repeat(n)).unwrap();
            assert_eq!(
                sealed.len(),
                "~2.".len() + (n + NONCE + TAG) * 4 / 3 + usize::from((n + 28) % 3 != 0)
            );
        }
    }

    #[test]
    fn plain_values_are_read_as_they_are() {
        let ring = ring();
        for plain in
            ["", "13800138000", "~", "~1.", "~x.abc", "~1.不是密文不是密文不是密文不是密文不是密文", "~12"]
        {
            assert_eq!(ring.open_text("a.b", plain).unwrap(), plain);
            assert!(!is_sealed(plain));
        }
        assert_eq!(ring.seal_text(Domain::Facts, "a.b", "").unwrap(), "");
        // A plain value that looks sealed is sealed like any other.
        let tricky = ring.seal_text(Domain::Facts, "a.b", "x").unwrap();
        let sealed = ring.seal_text(Domain::Facts, "a.b", &tricky).unwrap();
        assert_eq!(ring.open_text("a.b", &sealed).unwrap(), tricky);
    }

    #[test]
    fn a_rotated_key_still_reads_and_clones_follow() {
        let ring = ring();
        let clone = ring.clone();
        let old = ring.seal_text(Domain::Identity, "a.b", "甲").unwrap();
        ring.replace(&[
            key(1, Purpose::Data, "identity", AES_256_GCM, KeyState::Reading),
            key(9, Purpose::Data, "identity", SM4_GCM, KeyState::Active),
        ])
        .unwrap();
        let new = clone.seal_text(Domain::Identity, "a.b", "甲").unwrap();
        assert_eq!((sealed_with(&old), sealed_with(&new)), (Some(1), Some(9)));
        assert_eq!(clone.open_text("a.b", &old).unwrap(), "甲");
        assert_eq!(clone.open_text("a.b", &new).unwrap(), "甲");
        ring.replace(&[key(9, Purpose::Data, "identity", SM4_GCM, KeyState::Active)]).unwrap();
        assert!(clone.open_text("a.b", &old).is_err(), "without its key nothing opens");
    }

    #[test]
    fn blind_values_are_equal_for_equal_numbers_and_kinds() {
        let ring = ring();
        let blind = |kind, value| ring.blind(Domain::Identity, kind, value).unwrap();
        assert_eq!(blind("phone", "138-0013-8000"), blind("phone", "１３８００１３８０００"));
        assert_ne!(blind("phone", "13800138000"), blind("card", "13800138000"));
        assert_ne!(blind("phone", "13800138000"), blind("phone", "13800138001"));
        assert_eq!(ring.blinder(Domain::Identity).unwrap().column("phone", " - "), None);
    }

    #[test]
    fn a_closed_keyring_refuses_instead_of_writing_plain() {
        let ring = Keyring::closed();
        assert!(ring.seal_text(Domain::Facts, "a.b", "x").is_err());
        assert!(ring.blind(Domain::Facts, "a", "x").is_err());
        assert!(ring.signer("audit").is_err());
        assert_eq!(ring.open_text("a.b", "plain").unwrap(), "plain");
    }

    #[test]
    fn signers_by_name_and_public_keys_by_id() {
        let ring = ring();
        let signer = ring.signer("audit").unwrap();
        let (algorithm, public) = ring.public_key(&signer.key_id()).unwrap();
        assert!(crate::verify(&algorithm, &public, b"x", &signer.sign(b"x").unwrap()));
        assert_eq!(ring.public_key("0000"), None);
    }
}
