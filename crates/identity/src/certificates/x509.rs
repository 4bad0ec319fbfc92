//! What is read of X.509 certificates and revocation lists, and whether their issuer signed them: ECDSA, RSA and Ed25519
//! by ring, SM2 with SM3 (GB/T 32918, GB/T 20518) by the sm2 crate. Pure.

use chrono::{DateTime, Utc};
use kernel::Refusal;
use sm2::dsa::signature::Verifier;
use sm2::dsa::{Signature, VerifyingKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{FromDer, Integer, Sequence};
use x509_parser::prelude::CertificateRevocationList;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The distinguishing identifier that GM/T 0009 wants where nothing else is agreed.
pub const SM2_ID: &str = "1234567812345678";

/// SM2 signature with SM3.
const SM2_WITH_SM3: &str = "1.2.156.10197.1.501";
/// The curve of SM2.
const SM2_CURVE: &str = "1.2.156.10197.1.301";

/// What is kept of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// DER.
    pub der: Vec<u8>,
    /// Whom it names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its number at the issuer.
    pub serial: Vec<u8>,
    /// From when.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// Whether its key is an SM2 key.
    pub sm2: bool,
    /// Whether it may issue others.
    pub authority: bool,
}

/// What is kept of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// When the next one is due.
    pub next: Option<DateTime<Utc>>,
    /// Numbers of revoked certificates.
    pub serials: Vec<Vec<u8>>,
}

fn unreadable() -> Refusal {
    Refusal::invalid(
        "certificate.unreadable",
        "读不出证书。请使用 X.509 证书（PEM 或 DER，以 -----BEGIN CERTIFICATE----- 开头的是 PEM）。",
    )
}

/// DER of PEM or DER bytes; a private key is refused loudly.
pub fn der_of(bytes: &[u8], label: &str) -> Result<Vec<u8>, Refusal> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("PRIVATE KEY") {
        return Err(Refusal::invalid(
            "key.private",
            "内容中含有私钥，没有保存。私钥只应留在 UKey 或本机里：请立即更换证书，只提交证书。",
        ));
    }
    if !text.contains("-----BEGIN") {
        return Ok(bytes.to_vec());
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.trim().as_bytes()).map_err(|_| unreadable())?;
    if pem.label != label {
        return Err(unreadable());
    }
    Ok(pem.contents)
}

fn moment(seconds: i64) -> Result<DateTime<Utc>, Refusal> {
    DateTime::from_timestamp(seconds, 0).ok_or_else(unreadable)
}

fn words(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn is_sm2(key: &SubjectPublicKeyInfo<'_>) -> bool {
    key.algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok())
        .is_some_and(|oid| oid.to_id_string() == SM2_CURVE)
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(unreadable()),
    }
}

/// Reads a certificate.
pub fn read(der: &[u8]) -> Result<Certificate, Refusal> {
    let certificate = parsed(der)?;
    Ok(Certificate {
        der: der.to_vec(),
        subject: words(certificate.subject().to_string()),
        issuer: words(certificate.issuer().to_string()),
        serial: certificate.raw_serial().to_vec(),
        not_before: moment(certificate.validity().not_before.timestamp())?,
        not_after: moment(certificate.validity().not_after.timestamp())?,
        sm2: is_sm2(certificate.public_key()),
        authority: certificate.is_ca(),
    })
}

/// Whether an authority signed a certificate.
pub fn issued_by(certificate: &[u8], authority: &[u8]) -> bool {
    let (Ok(certificate), Ok(authority)) = (parsed(certificate), parsed(authority)) else { return false };
    certificate.issuer() == authority.subject()
        && signed(
            authority.public_key(),
            &certificate.signature_algorithm,
            &certificate.signature_value.data,
            certificate.tbs_certificate.as_ref(),
            || certificate.verify_signature(Some(authority.public_key())).is_ok(),
        )
}

/// Reads a revocation list that an authority signed.
pub fn revoked(der: &[u8], authority: &[u8]) -> Result<Revoked, Refusal> {
    let unreadable =
        || Refusal::invalid("crl.unreadable", "读不出吊销列表。请使用该 CA 发布的 CRL 文件（PEM 或 DER）。");
    let Ok(([], list)) = CertificateRevocationList::from_der(der) else { return Err(unreadable()) };
    let authority = parsed(authority)?;
    let by_it = list.issuer() == authority.subject()
        && signed(
            authority.public_key(),
            &list.signature_algorithm,
            &list.signature_value.data,
            list.tbs_cert_list.as_ref(),
            || list.verify_signature(authority.public_key()).is_ok(),
        );
    if !by_it {
        return Err(Refusal::invalid("crl.signature", "吊销列表不是这个 CA 签发的，或已被改动，没有保存。"));
    }
    Ok(Revoked {
        at: moment(list.last_update().timestamp())?,
        next: list.next_update().map(|next| moment(next.timestamp())).transpose()?,
        serials: list.iter_revoked_certificates().map(|one| one.raw_serial().to_vec()).collect(),
    })
}

fn signed(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &[u8],
    content: &[u8],
    otherwise: impl FnOnce() -> bool,
) -> bool {
    if algorithm.algorithm.to_id_string() == SM2_WITH_SM3 {
        return is_sm2(key) && sm2_signed(&key.subject_public_key.data, content, signature);
    }
    otherwise()
}

/// Whether an SM2 certificate's key signed a message, with SM3 and the usual identifier.
pub fn signed_by(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    parsed(certificate).is_ok_and(|certificate| {
        is_sm2(certificate.public_key())
            && sm2_signed(&certificate.public_key().subject_public_key.data, message, signature)
    })
}

/// An SM2 signature as middleware gives it: 64 bytes `r‖s`, or the DER sequence of both.
fn sm2_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let plain = match signature.len() {
        64 => Some(signature.to_vec()),
        _ => both(signature),
    };
    let Some(signature) = plain.and_then(|plain| Signature::from_slice(&plain).ok()) else { return false };
    VerifyingKey::from_sec1_bytes(SM2_ID, key).is_ok_and(|key| key.verify(message, &signature).is_ok())
}

/// `r‖s` of a DER sequence of two integers.
fn both(der: &[u8]) -> Option<Vec<u8>> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    let (after, r) = Integer::from_der(&sequence.content).ok()?;
    let (end, s) = Integer::from_der(after).ok()?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut plain = Vec::with_capacity(64);
    for number in [r, s] {
        let bytes: &[u8] = number.as_ref();
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        plain.resize(plain.len() + 32usize.checked_sub(bytes.len())?, 0);
        plain.extend_from_slice(bytes);
    }
    Some(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_standard_certificate_and_its_issuer() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "测试 CA");
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(Vec::new()).unwrap();
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "王丽华");
        let certificate = wanted.signed_by(&own, &issuer).unwrap();
        let read = read(certificate.der()).unwrap();
        assert!(
            read.subject.contains("王丽华")
                && read.issuer.contains("测试 CA")
                && !read.sm2
                && !read.authority
        );
        assert!(issued_by(certificate.der(), authority.der()));
        assert!(!issued_by(authority.der(), certificate.der()));
        let stranger = wanted.self_signed(&own).unwrap();
        assert!(!issued_by(stranger.der(), authority.der()));
        assert!(!signed_by(certificate.der(), b"x", &[0; 64]), "no SM2 key");
        let pem = certificate.pem();
        assert_eq!(der_of(pem.as_bytes(), "CERTIFICATE").unwrap(), certificate.der().to_vec());
        assert_eq!(der_of(own.serialize_pem().as_bytes(), "CERTIFICATE").unwrap_err().code, "key.private");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
            prop_assert!(!issued_by(&bytes, &bytes));
            prop_assert!(!sm2_signed(&bytes, &bytes, &bytes));
            prop_assert!(revoked(&bytes, &bytes).is_err());
        }
    }
}
