//! Certificates of programs: what is read of one before it is entered. Whether one is to be believed is decided by the
//! listener's authorities; here it is told by its digest alone (RFC 8705, thumbprint).

use chrono::{DateTime, Utc};
use kernel::Refusal;
use x509_parser::certificate::X509Certificate;

use crate::secret::SecretDigest;

/// What is kept of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// SHA-256 of its DER.
    pub digest: SecretDigest,
    /// Whom it names.
    pub subject: String,
    /// Its end.
    pub not_after: DateTime<Utc>,
}

/// SHA-256 of a certificate in DER.
pub fn digest(der: &[u8]) -> SecretDigest {
    use sha2::Digest;
    sha2::Sha256::digest(der).into()
}

fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<Found> {
    let not_after = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)?;
    let subject = certificate.subject().to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    Some(Found { digest: digest(der), subject, not_after })
}

/// The certificate of a PEM text.
pub fn of_pem(text: &str) -> Result<Found, Refusal> {
    let unreadable = || {
        Refusal::invalid(
            "certificate.unreadable",
            "读不出证书。请粘贴 PEM 格式的 X.509 证书（以 -----BEGIN CERTIFICATE----- 开头）。",
        )
    };
    if text.contains("PRIVATE KEY") {
        return Err(Refusal::invalid(
            "key.private",
            "粘贴的内容含有私钥，没有保存。私钥只应留在贵方系统里：请立即更换证书，只把证书交给平台。",
        ));
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.trim().as_bytes()).map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    of(&certificate, &pem.contents).ok_or_else(unreadable)
}
