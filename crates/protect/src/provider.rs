//! The master key (主密钥): it wraps every other key and never leaves where it is kept.

use std::io::Write;
use std::path::{Path, PathBuf};

use kernel::{Error, Refusal, RefusalKind, Result};
use zeroize::Zeroizing;

use crate::cipher::{AES_256_GCM, Cipher, NONCE, SM4_GCM, key_length};
use crate::hash::Hash;
use crate::random;

/// Wraps and unwraps keys.
pub trait KeyProvider: Send + Sync + std::fmt::Debug {
    /// What the master key is recognised by; stored beside what it wrapped.
    fn id(&self) -> String;
    /// Where it is, for people.
    fn place(&self) -> String;
    /// Wraps a key. `context` says which one and must be given again.
    ///
    /// # Errors
    /// When the master key cannot be used.
    fn wrap(&self, context: &str, key: &[u8]) -> Result<Vec<u8>>;
    /// Unwraps a key.
    ///
    /// # Errors
    /// When the master key cannot be used, is another one, or the bytes were altered.
    fn unwrap(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
}

/// A master key in memory, from a file or the environment.
#[derive(Debug)]
pub struct LocalMaster {
    cipher: Cipher,
    id: String,
    place: String,
}

/// The environment variable that holds a master key.
pub const VARIABLE: &str = "MINKANG_MASTER_KEY";

impl LocalMaster {
    /// Reads `aes-256-gcm:<64 hexadecimal digits>` or `sm4-gcm:<32>`.
    ///
    /// # Errors
    /// Refuses another form, saying which is right.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let wrong = || {
            Refusal::invalid(
                "keys.master_form",
                format!(
                    "{place} 中的主密钥无法识别。应为一行 {AES_256_GCM}:<64 位十六进制> 或 {SM4_GCM}:<32 位十六进制>。"
                ),
            )
        };
        let line =
            text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).ok_or_else(wrong)?;
        let (algorithm, digits) = line.split_once(':').ok_or_else(wrong)?;
        let key = Zeroizing::new(hex::decode(digits).map_err(|_| wrong())?);
        let cipher = Cipher::new(algorithm, &key).map_err(|_| wrong())?;
        let check = Hash::Sha256.keyed(&key, b"minkang master key")?;
        Ok(Self { cipher, id: hex::encode(&check[..8]), place: place.to_owned() })
    }

    /// A new master key in its written form.
    ///
    /// # Errors
    /// An algorithm that is not known.
    pub fn generate(algorithm: &str) -> Result<Zeroizing<String>> {
        let key = random::<32>()?;
        Ok(Zeroizing::new(format!("{algorithm}:{}", hex::encode(&key[..key_length(algorithm)?]))))
    }

    /// The master key of the environment variable [`VARIABLE`], if it is set.
    ///
    /// # Errors
    /// Refuses a value of another form.
    pub fn from_environment(variable: &str) -> Option<Result<Self>> {
        let text = Zeroizing::new(std::env::var(variable).ok()?);
        Some(Self::parse(&text, &format!("环境变量 {variable}")))
    }

    /// Reads a key file that nobody but its owner may read.
    ///
    /// # Errors
    /// Refuses a file that is missing, of another form or readable by others.
    pub fn from_file(path: &Path) -> Result<Self> {
        check_mode(path)?;
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?);
        Self::parse(&text, &path.display().to_string())
    }

    /// Makes a key file (mode 0600) and reads it. An existing one is never written over.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_file(path: &Path, algorithm: &str) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let failed = |e: std::io::Error| {
            Refusal::new(
                RefusalKind::Unavailable,
                "keys.master_write",
                format!("不能写主密钥文件 {}：{e}。", path.display()),
            )
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let text = format!(
            "# 民康平台主密钥。丢失后，库中受保护的数据（证件号、电话、住址等）无法恢复。请立即另行妥善备份，不要与数据库备份放在一起。\n{}\n",
            *Self::generate(algorithm)?
        );
        let text = Zeroizing::new(text);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            options.mode(0o600);
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        // The entry in the folder must be on disk before anything is wrapped with the key.
        std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
        tracing::warn!(
            file = %path.display(),
            "已生成主密钥文件。请立即备份到数据库之外的安全地方：丢失它，受保护的数据将永远无法读出"
        );
        Self::from_file(path)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "keys.master_missing",
        format!(
            "不能读主密钥文件 {}（{error}）。库中的数据密钥由它保护，请从备份恢复此文件后再启动；不要另行生成。",
            path.display()
        ),
    )
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Refusal::new(
            RefusalKind::Unavailable,
            "keys.master_mode",
            format!("主密钥文件 {} 可被其他用户读取，请先执行 chmod 600。", path.display()),
        )
        .into());
    }
    Ok(())
}
#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<()> {
    Ok(())
}

impl KeyProvider for LocalMaster {
    fn id(&self) -> String {
        self.id.clone()
    }
    fn place(&self) -> String {
        self.place.clone()
    }
    fn wrap(&self, context: &str, key: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = *random::<NONCE>()?;
        let mut out = nonce.to_vec();
        out.extend_from_slice(key);
        self.cipher.seal(&nonce, context.as_bytes(), &mut out, NONCE)?;
        Ok(out)
    }
    fn unwrap(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = || Error::fault("unwrap a key", format!("{context}: another master key, or altered"));
        let (nonce, sealed) = wrapped.split_at_checked(NONCE).ok_or_else(damaged)?;
        let nonce = nonce.try_into().map_err(|_| damaged())?;
        self.cipher.open(nonce, context.as_bytes(), sealed).map(Zeroizing::new).ok_or_else(damaged)
    }
}

/// Where the master key is, as a command line or the environment says it: `file:PATH`, `env:VARIABLE`,
/// `pkcs11:LIBRARY#LABEL` (the PIN in `MINKANG_PKCS11_PIN`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A key file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A key of a hardware module: its library and the key's label.
    Pkcs11(PathBuf, String),
}

impl Place {
    /// Reads a place.
    ///
    /// # Errors
    /// Refuses another form.
    pub fn parse(text: &str) -> Result<Self> {
        let place = match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Some(Place::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Some(Place::Environment(name.into())),
            Some(("pkcs11", rest)) => {
                rest.rsplit_once('#').map(|(library, label)| Place::Pkcs11(library.into(), label.into()))
            }
            _ => None,
        };
        place.ok_or_else(|| {
            Refusal::invalid(
                "keys.place",
                format!("主密钥位置“{text}”无法识别，应为 file:路径、env:变量名 或 pkcs11:驱动库#密钥标签。"),
            )
            .into()
        })
    }

    /// Opens the master key there. A key file that is missing is made when `may_create`.
    ///
    /// # Errors
    /// Refused when there is no such key.
    pub fn open(&self, may_create: bool, algorithm: &str) -> Result<Box<dyn KeyProvider>> {
        match self {
            Place::File(path) if may_create && !path.exists() => {
                Ok(Box::new(LocalMaster::create_file(path, algorithm)?))
            }
            Place::File(path) => Ok(Box::new(LocalMaster::from_file(path)?)),
            Place::Environment(name) => match LocalMaster::from_environment(name) {
                Some(master) => Ok(Box::new(master?)),
                None => Err(Refusal::new(
                    RefusalKind::Unavailable,
                    "keys.master_missing",
                    format!("环境变量 {name} 中没有主密钥。"),
                )
                .into()),
            },
            #[cfg(feature = "pkcs11")]
            Place::Pkcs11(library, label) => {
                Ok(Box::new(crate::pkcs11::HardwareMaster::open(library, label, may_create)?))
            }
            #[cfg(not(feature = "pkcs11"))]
            Place::Pkcs11(..) => Err(Refusal::new(
                RefusalKind::Unavailable,
                "keys.no_pkcs11",
                "本程序编译时没有带加密机支持（特性 pkcs11）。",
            )
            .into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys").join("master.key");
        assert!(Place::File(path.clone()).open(false, AES_256_GCM).is_err(), "never made unasked");
        let first = Place::File(path.clone()).open(true, AES_256_GCM).unwrap();
        let wrapped = first.wrap("data facts", b"secret").unwrap();
        let second = Place::File(path.clone()).open(true, AES_256_GCM).unwrap();
        assert_eq!(first.id(), second.id());
        assert_eq!(*second.unwrap("data facts", &wrapped).unwrap(), b"secret");
        assert!(second.unwrap("data identity", &wrapped).is_err());
        assert!(LocalMaster::create_file(&path, AES_256_GCM).is_err(), "never written over");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(LocalMaster::from_file(&path).is_err(), "others may read it");
        }
    }

    #[test]
    fn forms_of_a_master_key() {
        for (text, fine) in [
            (format!("aes-256-gcm:{}", "ab".repeat(32)), true),
            (format!("# note\n\n sm4-gcm:{} \n", "ab".repeat(16)), true),
            (format!("aes-256-gcm:{}", "ab".repeat(16)), false),
            (format!("des:{}", "ab".repeat(8)), false),
            ("aes-256-gcm".into(), false),
            (String::new(), false),
        ] {
            assert_eq!(LocalMaster::parse(&text, "x").is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn places() {
        assert_eq!(Place::parse("env:K").unwrap(), Place::Environment("K".into()));
        assert_eq!(Place::parse("file:/a/b").unwrap(), Place::File("/a/b".into()));
        assert_eq!(
            Place::parse("pkcs11:/lib/x.so#k1").unwrap(),
            Place::Pkcs11("/lib/x.so".into(), "k1".into())
        );
        for wrong in ["", "x", "file:", "pkcs11:/lib/x.so", "http://x"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
