//! The master key in a hardware module (加密机), through its PKCS#11 library: an AES-256 key that never leaves it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use kernel::{Error, Refusal, RefusalKind, Result};
use zeroize::Zeroizing;

use crate::cipher::NONCE;
use crate::provider::KeyProvider;
use crate::random;

/// The environment variable that holds the user's PIN.
pub const PIN: &str = "MINKANG_PKCS11_PIN";
/// Bits of an authentication tag.
const TAG_BITS: u64 = 128;

/// A master key in a hardware module.
pub struct HardwareMaster {
    session: Mutex<Session>,
    key: ObjectHandle,
    label: String,
    place: String,
}

impl std::fmt::Debug for HardwareMaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "master key {} in {}", self.label, self.place)
    }
}

fn refused(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "keys.hardware", format!("加密机不可用：{what}。"))
}

impl HardwareMaster {
    /// Opens the key with this label on the first token of the library, with the PIN of [`PIN`].
    ///
    /// # Errors
    /// Refused when library, token, PIN or key do not serve.
    pub fn open(library: &Path, label: &str, may_create: bool) -> Result<Self> {
        let pin = std::env::var(PIN).map_err(|_| refused(format!("请在环境变量 {PIN} 中给出用户口令")))?;
        Self::open_with(library, label, &pin, may_create)
    }

    /// The same with a given PIN. A key that is missing is made in the module when `may_create`.
    ///
    /// # Errors
    /// Refused when library, token, PIN or key do not serve.
    pub fn open_with(library: &Path, label: &str, pin: &str, may_create: bool) -> Result<Self> {
        let module = Pkcs11::new(library).map_err(refused)?;
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(refused)?;
        let slots = module.get_slots_with_initialized_token().map_err(refused)?;
        let slot = slots.first().ok_or_else(|| refused("没有初始化过的令牌"))?;
        let session = module.open_rw_session(*slot).map_err(refused)?;
        session.login(UserType::User, Some(&AuthPin::new(pin.into()))).map_err(refused)?;
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = session.find_objects(&wanted).map_err(refused)?;
        let key = match found.as_slice() {
            [key] => *key,
            [] if may_create => {
                let template = [
                    Attribute::Token(true),
                    Attribute::Private(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                    Attribute::ValueLen(32.into()),
                    Attribute::Label(label.as_bytes().to_vec()),
                ];
                session.generate_key(&Mechanism::AesKeyGen, &template).map_err(refused)?
            }
            [] => return Err(refused(format!("没有标签为“{label}”的 AES 密钥")).into()),
            _ => return Err(refused(format!("标签“{label}”有多把密钥")).into()),
        };
        Ok(Self {
            session: Mutex::new(session),
            key,
            label: label.to_owned(),
            place: format!("加密机 {}", library.display()),
        })
    }
}

impl KeyProvider for HardwareMaster {
    fn id(&self) -> String {
        format!("pkcs11:{}", self.label)
    }
    fn place(&self) -> String {
        self.place.clone()
    }
    fn wrap(&self, context: &str, key: &[u8]) -> Result<Vec<u8>> {
        let fault = |e: cryptoki::error::Error| Error::fault("wrap a key in the hardware module", e);
        let mut nonce: [u8; NONCE] = *random::<NONCE>()?;
        let mut out = nonce.to_vec();
        let params = GcmParams::new(&mut nonce, context.as_bytes(), TAG_BITS.into()).map_err(fault)?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        out.extend(session.encrypt(&Mechanism::AesGcm(params), self.key, key).map_err(fault)?);
        Ok(out)
    }
    fn unwrap(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let fault = |e: cryptoki::error::Error| Error::fault("unwrap a key in the hardware module", e);
        let (nonce, sealed) = wrapped
            .split_at_checked(NONCE)
            .ok_or_else(|| Error::fault("unwrap a key in the hardware module", "too short"))?;
        let mut nonce = nonce.to_vec();
        let params = GcmParams::new(&mut nonce, context.as_bytes(), TAG_BITS.into()).map_err(fault)?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.decrypt(&Mechanism::AesGcm(params), self.key, sealed).map(Zeroizing::new).map_err(fault)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stderr)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Where Debian puts the library of SoftHSM.
    const LIBRARIES: [&str; 2] =
        ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

    // SoftHSM reads its configuration from an environment variable, so the test runs itself again with it set.
    #[test]
    fn a_key_in_a_module_wraps_and_never_leaves() {
        let Some(library) = LIBRARIES.iter().map(Path::new).find(|p| p.exists()) else {
            eprintln!("skipped: softhsm2 is not installed");
            return;
        };
        if std::env::var_os("SOFTHSM2_CONF").is_none() {
            let folder = tempfile::tempdir().unwrap();
            let conf = folder.path().join("softhsm2.conf");
            std::fs::write(&conf, format!("directories.tokendir = {}\n", folder.path().display())).unwrap();
            let token =
                ["--init-token", "--free", "--label", "minkang", "--pin", "123456", "--so-pin", "654321"];
            let made = Command::new("softhsm2-util").args(token).env("SOFTHSM2_CONF", &conf).status();
            assert!(made.unwrap().success(), "softhsm2-util makes a token");
            let own = std::env::current_exe().unwrap();
            let name = "pkcs11::tests::a_key_in_a_module_wraps_and_never_leaves";
            let done =
                Command::new(own).args(["--exact", name]).env("SOFTHSM2_CONF", &conf).status().unwrap();
            assert!(done.success());
            return;
        }
        assert!(HardwareMaster::open_with(library, "kek", "123456", false).is_err(), "never made unasked");
        let master = HardwareMaster::open_with(library, "kek", "123456", true).unwrap();
        let wrapped = master.wrap("data facts 1", &[7; 32]).unwrap();
        assert_eq!(*master.unwrap("data facts 1", &wrapped).unwrap(), [7; 32]);
        assert!(master.unwrap("data facts 2", &wrapped).is_err());
        let session = master.session.lock().unwrap();
        let value = session.get_attributes(master.key, &[cryptoki::object::AttributeType::Value]);
        assert!(value.map_or(true, |v| v.is_empty()), "the key must not come out");
    }
}
