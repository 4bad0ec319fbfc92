//! The listener over real sockets, with authorities made on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::serve::{Tls, TlsFiles};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
fn issued(by: &Issuer, name: &str, client: bool, expired: bool) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let usage =
        if client { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
    params.extended_key_usages = vec![usage];
    if expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

struct Served {
    address: SocketAddr,
    tls: Tls,
    folder: tempfile::TempDir,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<()>>,
}

/// Tells who came: the address and how long the client's certificate is.
async fn served(server: &Issuer, clients: Option<&Issuer>) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = issued(server, "localhost", false, false);
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: put("cert.pem", &certificate),
        key: put("key.pem", &key),
        client_authorities: clients.map(|ca| put("clients.pem", &ca.pem())),
    };
    let tls = Tls::open(files).unwrap();
    let app = Router::new().route(
        "/who",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
            let certificate = request.extensions().get::<PeerCertificate>().map_or(0, |c| c.der.len());
            format!("{} {certificate}", peer.ip())
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(serve_with(listener, Some(tls.clone()), app, async move {
        let _ = stopped.await;
    }));
    Served { address, tls, folder, stop, serving }
}

/// Asks `/who`; the answer's last line, or why there was none.
async fn ask(
    address: SocketAddr,
    trusts: &Issuer,
    identity: Option<&(String, String)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::result::Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    let request = b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    // In TLS 1.3 the refusal of a client's certificate comes with the first read.
    stream.read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8(answer).unwrap().lines().last().unwrap_or_default().to_owned())
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn client_certificates_are_believed_only_when_they_are_good() {
    let (server, clients, others) = (authority("server"), authority("clients"), authority("others"));
    let served = served(&server, Some(&clients)).await;
    let good = issued(&clients, "his", true, false);
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
        let none = ask(served.address, &server, None, versions).await.unwrap();
        assert_eq!(none, "127.0.0.1 0", "without a certificate: nobody, but let in");
        let with = ask(served.address, &server, Some(&good), versions).await.unwrap();
        let der = CertificateDer::from_pem_slice(good.0.as_bytes()).unwrap();
        assert_eq!(with, format!("127.0.0.1 {}", der.len()));
        for (what, wrong) in [
            ("of an unknown authority", issued(&others, "his", true, false)),
            ("expired", issued(&clients, "his", true, true)),
            ("for servers", issued(&clients, "his", false, false)),
        ] {
            assert!(ask(served.address, &server, Some(&wrong), versions).await.is_err(), "{what}");
        }
    }
    assert!(ask(served.address, &others, None, BOTH).await.is_err(), "the client checks the server as well");
    served.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), served.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_new_certificate_serves_without_a_restart() {
    let (old, new) = (authority("old"), authority("new"));
    let served = served(&old, None).await;
    assert!(ask(served.address, &old, None, BOTH).await.is_ok());
    assert!(!served.tls.reload(false).unwrap(), "nothing changed");

    std::fs::write(served.folder.path().join("cert.pem"), "not a certificate").unwrap();
    assert!(served.tls.reload(true).is_err());
    assert!(ask(served.address, &old, None, BOTH).await.is_ok(), "what was good serves on");

    let (certificate, key) = issued(&new, "localhost", false, false);
    std::fs::write(served.folder.path().join("cert.pem"), certificate).unwrap();
    assert!(served.tls.reload(true).is_err(), "certificate and key do not belong together");
    std::fs::write(served.folder.path().join("key.pem"), key).unwrap();
    assert!(served.tls.reload(true).unwrap());
    assert!(ask(served.address, &new, None, BOTH).await.is_ok());
    assert!(ask(served.address, &old, None, BOTH).await.is_err());
}

#[tokio::test]
async fn who_speaks_in_the_clear_gets_no_answer() {
    let server = authority("server");
    let served = served(&server, None).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("127.0.0.1"));
    // The next one is served all the same, also while another does not shake hands at all.
    let _silent = TcpStream::connect(served.address).await.unwrap();
    assert!(ask(served.address, &server, None, BOTH).await.is_ok());
}

#[tokio::test]
async fn everybody_is_sent_to_the_same_path_by_tls() {
    let app = redirect_to("https://mk.example.cn/");
    let request =
        Request::get("/record/7?a=b").header(header::HOST, "evil.example").body(Body::empty()).unwrap();
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers()[header::LOCATION], "https://mk.example.cn/record/7?a=b");
}
