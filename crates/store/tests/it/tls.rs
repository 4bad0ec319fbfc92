//! Connections to a database elsewhere are encrypted, and to the right server only.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use store::{Cluster, Db};

/// An address of the loopback network that no other process of the machine listens on.
fn address() -> String {
    let process = std::process::id();
    format!("127.{}.{}.{}", 100 + process % 100, process / 100 % 250, process / 25_000 % 250 + 1)
}

fn give(path: &Path, text: &str, mode: u32, owner: &fs::Metadata) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test]
async fn a_database_elsewhere_is_reached_by_tls_and_known_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = folder.path().join("postgres");
    Cluster::start(&place, &|_| {}).await.unwrap().stop().await.unwrap();

    let address = address();
    let signed = rcgen::generate_simple_self_signed(vec![address.clone()]).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec![address.clone()]).unwrap();
    let data = place.join("pgdata");
    let owner = fs::metadata(&data).unwrap();
    give(&data.join("server.crt"), &signed.cert.pem(), 0o600, &owner);
    give(&data.join("server.key"), &signed.signing_key.serialize_pem(), 0o600, &owner);
    give(
        &data.join("local.conf"),
        &format!("listen_addresses = '{address}'\nssl = on\nssl_min_protocol_version = 'TLSv1.2'\n"),
        0o600,
        &owner,
    );
    let rules = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
    give(&data.join("pg_hba.conf"), &format!("hostssl all all 127.0.0.0/8 trust\n{rules}"), 0o600, &owner);
    let (good, bad) = (folder.path().join("good.pem"), folder.path().join("bad.pem"));
    fs::write(&good, signed.cert.pem()).unwrap();
    fs::write(&bad, stranger.cert.pem()).unwrap();

    let cluster = Cluster::start(&place, &|_| {}).await.unwrap();
    let user = cluster.connect_options().get_username().to_owned();
    let url = |mode: &str, root: &Path| {
        format!("postgres://{user}@{address}:5432/postgres?sslmode={mode}&sslrootcert={}", root.display())
    };
    let db = Db::connect_url(&url("verify-full", &good), 1).await.unwrap();
    let (encrypted, version): (bool, String) =
        sqlx::query_as("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert!(encrypted && version.starts_with("TLSv1."), "{version}");
    db.close().await;
    assert!(Db::connect_url(&url("verify-full", &bad), 1).await.is_err(), "another authority's certificate");
    assert!(Db::connect_url(&url("disable", &good), 1).await.is_err(), "the server takes nothing plain");
    cluster.stop().await.unwrap();
}
