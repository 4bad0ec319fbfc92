//! The test vectors of W3C Web Authentication Level 3 (section "Test Vectors", none.ES256 and packed-self.ES256), and
//! every change of them that must not be believed.

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::secret::unhex;

const CLIENT_NEW: &str = "7b2274797065223a22776562617574686e2e637265617465222c226368616c6c656e6765223a22414d4d507434557878475453746e63647134313759447742466938767049612d7077386f4f755657345441222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a20426b5165446a646354427258426941774a544c4535513d3d227d";
const ATTESTATION: &str = "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b559000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4a5010203262001215820afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61225820930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220";
const AUTHENTICATOR: &str = "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b51900000000";
const CLIENT_GET: &str = "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a224f63446e55685158756c5455506f334a5558543049393770767a7a59425039745a63685879617630314167222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73657d";
const SIGNATURE: &str = "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1dd5d78c6e486013f937295ea13653e331e87";
const CREDENTIAL: &str = "f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4";
const SELF_ATTESTATION: &str = "a363666d74667061636b65646761747453746d74a263616c67266373696758483046022100ae045923ded832b844cae4d5fc864277c0dc114ad713e271af0f0d371bd3ac540221009077a088ed51a673951ad3ba2673d5029bab65b64f4ea67b234321f86fcfac5d68617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b55d00000000df850e09db6afbdfab51697791506cfc0020455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58ca5010203262001215820eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5225820927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d5896e183fee484f2";

fn hex(text: &str) -> Vec<u8> {
    unhex(text).unwrap()
}

/// The vectors are made by an authenticator that does not verify its user.
fn party() -> Party {
    Party { verified: false, ..Party::of("https://example.org").unwrap() }
}

#[test]
fn the_test_vectors_of_the_standard() {
    let given = challenge(&hex(CLIENT_NEW), "webauthn.create", &party()).unwrap();
    assert_eq!(secret::hex(&given), "00c30fb78531c464d2b6771dab8d7b603c01162f2fa486bea70f283ae556e130");
    let made = registration(&hex(ATTESTATION), &party()).unwrap();
    assert_eq!((secret::hex(&made.credential_id).as_str(), made.count, made.synced), (CREDENTIAL, 0, true));
    challenge(&hex(CLIENT_GET), "webauthn.get", &party()).unwrap();
    let used = assertion(&hex(CLIENT_GET), &hex(AUTHENTICATOR), &hex(SIGNATURE), &made.public_key, &party())
        .unwrap();
    assert_eq!(used, Used { count: 0, synced: true });
    // A statement that was not asked for does not matter.
    let packed = registration(&hex(SELF_ATTESTATION), &Party::of("https://example.org").unwrap()).unwrap();
    assert!(packed.synced && packed.credential_id.starts_with(&[0x45, 0x5e]));
}

#[test]
fn nothing_that_was_changed_is_believed() {
    let key = registration(&hex(ATTESTATION), &party()).unwrap().public_key;
    let strict = Party { verified: true, ..party() };
    assert_eq!(registration(&hex(ATTESTATION), &strict), Err(Wrong("the user was not verified")));
    let elsewhere = Party { verified: false, ..Party::of("https://example.com").unwrap() };
    assert_eq!(registration(&hex(ATTESTATION), &elsewhere), Err(Wrong("made for another site")));
    assert!(challenge(&hex(CLIENT_GET), "webauthn.get", &elsewhere).is_err());
    assert!(challenge(&hex(CLIENT_GET), "webauthn.create", &party()).is_err());
    let framed = String::from_utf8(hex(CLIENT_GET)).unwrap().replace("false", "true");
    assert_eq!(
        challenge(framed.as_bytes(), "webauthn.get", &party()),
        Err(Wrong("in a frame of another site"))
    );
    let whole = (hex(CLIENT_GET), hex(AUTHENTICATOR), hex(SIGNATURE));
    for at in 0..whole.0.len() {
        let mut client = whole.0.clone();
        client[at] ^= 1;
        assert!(assertion(&client, &whole.1, &whole.2, &key, &party()).is_err(), "client data, byte {at}");
    }
    for at in 0..whole.1.len() {
        let mut data = whole.1.clone();
        data[at] ^= 1;
        assert!(
            assertion(&whole.0, &data, &whole.2, &key, &party()).is_err(),
            "authenticator data, byte {at}"
        );
    }
    let other = registration(&hex(SELF_ATTESTATION), &party()).unwrap().public_key;
    assert_eq!(
        assertion(&whole.0, &whole.1, &whole.2, &other, &party()),
        Err(Wrong("the signature is wrong"))
    );
}

#[test]
fn ed25519_and_wrong_kinds_of_keys() {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let mut cose = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
    cose.extend_from_slice(pair.public_key().as_ref());
    let mut message = hex(AUTHENTICATOR);
    message.extend_from_slice(&Sha256::digest(hex(CLIENT_GET)));
    let given = pair.sign(&message);
    assertion(&hex(CLIENT_GET), &hex(AUTHENTICATOR), given.as_ref(), &cose, &party()).unwrap();
    // ES256K, a curve that does not belong to the algorithm, a symmetric key.
    for bad in ["a4010203382e20082140", "a401020326200321402240", "a2010403052040", "a0", ""] {
        assert!(
            assertion(&hex(CLIENT_GET), &hex(AUTHENTICATOR), given.as_ref(), &hex(bad), &party()).is_err()
        );
    }
}

#[test]
fn passkeys_need_a_name_and_tls() {
    let id = |url| Party::of(url).map(|p| (p.id, p.origin));
    assert_eq!(
        id("https://Health.Example.cn:8443/x"),
        Some(("health.example.cn".to_owned(), "https://health.example.cn:8443".to_owned()))
    );
    assert_eq!(
        id("http://localhost:8686"),
        Some(("localhost".to_owned(), "http://localhost:8686".to_owned()))
    );
    for none in
        ["http://health.example.cn", "https://10.0.0.1", "https://[::1]:80", "http://127.0.0.1:8686", "x"]
    {
        assert_eq!(id(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(registration(&bytes, &party()).is_err());
        prop_assert!(assertion(&bytes, &bytes, &bytes, &bytes, &party()).is_err());
        prop_assert!(challenge(&bytes, "webauthn.get", &party()).is_err());
    }
}
