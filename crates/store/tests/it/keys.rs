//! Keys that are kept: made once, unwrapped by their master key alone, rotated while others read and write.

use std::sync::Arc;

use protect::provider::LocalMaster;
use protect::{Domain, KeyProvider, KeyState, sealed_with};
use store::keys::{SETTLE, Suite, Vault};

use kernel::Clock;
use testkit::{TestDb, clock};

fn master(byte: &str) -> Arc<dyn KeyProvider> {
    Arc::new(LocalMaster::parse(&format!("aes-256-gcm:{}", byte.repeat(32)), "a test").unwrap())
}

#[tokio::test]
async fn keys_are_made_once_and_open_with_their_master_only() {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let now = clock().now();
    assert_eq!(store::keys::master(&db).await.unwrap(), None);
    let first = Vault::open(&db, master("ab"), Suite::International, now).await.unwrap();
    let sealed = first.keyring().seal_text(Domain::Facts, "a.b", "13800138000").unwrap();
    assert!(store::keys::master(&db).await.unwrap().is_some());
    let second = Vault::open(&db, master("ab"), Suite::International, now).await.unwrap();
    assert_eq!(second.keyring().open_text("a.b", &sealed).unwrap(), "13800138000");
    assert_eq!(first.status().await.unwrap(), second.status().await.unwrap());
    let refused = Vault::open(&db, master("cd"), Suite::International, now).await.unwrap_err().to_string();
    assert!(refused.contains("keys.other_master"), "{refused}");
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("select wrapped from protect_key").fetch_all(db.pool()).await.unwrap();
    assert!(kept.iter().all(|k| k.len() >= 12 + 16 + 16));
}

#[tokio::test]
async fn a_new_version_is_known_before_it_writes_and_the_old_one_reads_on() {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let now = clock().now();
    let vault = Vault::open(&db, master("ab"), Suite::International, now).await.unwrap();
    let other = Vault::open(&db, master("ab"), Suite::International, now).await.unwrap();
    let old = vault.keyring().seal_text(Domain::Facts, "a.b", "甲").unwrap();
    vault.rotate(Domain::Facts, now).await.unwrap();
    assert!(vault.rotate(Domain::Facts, now).await.is_err(), "one waits already");
    let still = vault.keyring().seal_text(Domain::Facts, "a.b", "甲").unwrap();
    assert_eq!(sealed_with(&still), sealed_with(&old));
    assert_eq!(vault.activate(now).await.unwrap(), 0, "others may not know it yet");
    other.refresh().await.unwrap();
    assert_eq!(vault.activate(now + SETTLE).await.unwrap(), 1);
    let new = vault.keyring().seal_text(Domain::Facts, "a.b", "甲").unwrap();
    assert_ne!(sealed_with(&new), sealed_with(&old));
    for value in [&old, &new] {
        assert_eq!(vault.keyring().open_text("a.b", value).unwrap(), "甲");
        assert_eq!(other.keyring().open_text("a.b", value).unwrap(), "甲", "known before it was written");
    }
    assert_eq!(vault.retire(Domain::Facts, now).await.unwrap(), 1);
    assert_eq!(vault.keyring().open_text("a.b", &old).unwrap(), "甲", "a backup may bring old values back");
}

#[tokio::test]
async fn another_master_key_wraps_the_same_keys() {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let now = clock().now();
    let vault = Vault::open(&db, master("ab"), Suite::National, now).await.unwrap();
    let sealed = vault.keyring().seal(Domain::Secrets, "a.b", b"seed").unwrap();
    let signed = vault.keyring().signer("audit").unwrap().sign(b"anchor").unwrap();
    let id = vault.keyring().signer("audit").unwrap().key_id();
    vault.rewrap(master("cd")).await.unwrap();
    assert!(Vault::open(&db, master("ab"), Suite::National, now).await.is_err());
    let next = Vault::open(&db, master("cd"), Suite::National, now).await.unwrap();
    assert_eq!(next.keyring().open("a.b", &sealed).unwrap(), b"seed");
    let (algorithm, key) = &store::keys::public_keys(&db, "audit").await.unwrap()[&id];
    assert!(algorithm == "sm2-sm3" && protect::verify(algorithm, key, b"anchor", &signed));
}

#[tokio::test]
async fn another_suite_is_followed_by_new_keys_and_old_signatures_hold() {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let now = clock().now();
    let vault = Vault::open(&db, master("ab"), Suite::International, now).await.unwrap();
    let signer = vault.keyring().signer("platform").unwrap();
    let signed = signer.sign(b"x").unwrap();
    let vault = Vault::open(&db, master("ab"), Suite::National, now).await.unwrap();
    vault.activate(now + SETTLE).await.unwrap();
    let status = vault.status().await.unwrap();
    let active = |name| status.iter().find(|k| k.name == name && k.state == KeyState::Active).unwrap();
    assert_eq!(active("objects").algorithm, "sm4-gcm");
    assert_eq!(vault.keyring().signer("platform").unwrap().algorithm(), "sm2-sm3");
    let (algorithm, key) = vault.keyring().public_key(&signer.key_id()).unwrap();
    assert!(protect::verify(&algorithm, &key, b"x", &signed));
    vault.signing_key("institution-7", false, now).await.unwrap();
    let one = vault.keyring().signer("institution-7").unwrap().key_id();
    vault.signing_key("institution-7", false, now).await.unwrap();
    assert_eq!(vault.keyring().signer("institution-7").unwrap().key_id(), one);
    vault.signing_key("institution-7", true, now).await.unwrap();
    assert_ne!(vault.keyring().signer("institution-7").unwrap().key_id(), one);
}
