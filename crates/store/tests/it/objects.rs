//! The object store: what goes in comes out, and nothing half.

use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::{Error, Refusal, RefusalKind};
use store::objects::Objects;
use tokio::io::{AsyncRead, ReadBuf};

/// Gives some bytes, then fails.
struct Broken {
    left: usize,
    error: Option<io::Error>,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.left.min(buf.remaining());
        if n == 0 {
            return Poll::Ready(self.error.take().map_or(Ok(()), Err));
        }
        buf.put_slice(&vec![7; n]);
        self.left -= n;
        Poll::Ready(Ok(()))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

async fn content(objects: &Objects, digest: &str) -> Vec<u8> {
    let mut file = objects.open(digest).await.unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn refusal<T: std::fmt::Debug>(result: kernel::Result<T>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

async fn round_trip(objects: &Objects) {
    for length in [0, 1, 255 << 10, 256 << 10, (256 << 10) + 1, 11 << 20] {
        let bytes: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        let stored = objects.put_stream(bytes.as_slice()).await.unwrap();
        assert_eq!(stored.bytes, bytes.len() as u64);
        assert_eq!(stored.digest, blake3::hash(&bytes).to_hex().as_str());
        assert!(content(objects, &stored.digest).await == bytes, "{length} bytes come back");
        assert!(objects.exists(&stored.digest).await.unwrap());
        // Once more: the same object.
        assert_eq!(objects.put_bytes(&bytes).await.unwrap(), stored);
    }
    let other = blake3::hash(b"other").to_hex();
    assert!(!objects.exists(&other).await.unwrap());
    assert_eq!(refusal(objects.open(&other).await).code, "objects.missing");
    for digest in ["", "ab", "../../../../etc/passwd", &"Z".repeat(64), &"é".repeat(32)] {
        assert_eq!(refusal(objects.open(digest).await).code, "objects.bad_digest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_what_it_is_given() {
    let home = tempfile::tempdir().unwrap();
    let objects = Objects::folder(&home.path().join("files")).await.unwrap();
    round_trip(&objects).await;
    assert_eq!(files(&home.path().join("files/objects")).len(), 6);
    assert_eq!(files(&home.path().join("files/incoming")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_store_keeps_what_it_is_given() {
    let home = tempfile::tempdir().unwrap();
    let memory = Arc::new(object_store::memory::InMemory::new());
    let objects = Objects::remote(memory, home.path()).await.unwrap();
    round_trip(&objects).await;
    assert_eq!(files(home.path()), Vec::<String>::new(), "the spool is empty again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_off_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let objects = Objects::folder(home.path()).await.unwrap();
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    for left in [0, 10, 700 << 10] {
        let broken = Broken { left, error: Some(reset()) };
        let told = refusal(objects.put_stream(broken).await);
        assert_eq!((told.code, told.kind), ("objects.interrupted", RefusalKind::Invalid));
    }
    // What a limiting reader says comes out as it was said.
    let large = Refusal::new(RefusalKind::TooLarge, "batch.too_large", "太大");
    for error in [io::Error::other(large.clone()), io::Error::other(Error::from(large.clone()))] {
        assert_eq!(refusal(objects.put_stream(Broken { left: 1 << 20, error: Some(error) }).await), large);
    }
    assert_eq!(files(home.path()), Vec::<String>::new());

    // Dropped half-way, as when the client hangs up.
    let (mut send, receive) = tokio::io::duplex(64);
    let mut put = Box::pin(objects.put_stream(receive));
    tokio::select! {
        biased;
        _ = &mut put => panic!("it waits for more"),
        () = async {
            tokio::io::AsyncWriteExt::write_all(&mut send, &[1; 200]).await.unwrap();
            assert_eq!(files(&home.path().join("incoming")).len(), 1);
        } => {}
    }
    drop(put);
    assert_eq!(files(home.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_went_away_is_refused_until_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (root, away) = (home.path().join("files"), home.path().join("away"));
    let objects = Objects::folder(&root).await.unwrap();
    let stored = objects.put_bytes(b"kept").await.unwrap();
    std::fs::rename(&root, &away).unwrap();
    let refusals = [
        refusal(objects.put_bytes(b"new").await),
        refusal(objects.open(&stored.digest).await),
        refusal(objects.exists(&stored.digest).await),
    ];
    for told in refusals {
        assert_eq!((told.code, told.kind), ("objects.unavailable", RefusalKind::Unavailable));
        assert!(told.message.contains("目录不存在"), "{}", told.message);
    }
    assert!(!root.exists(), "an unmounted disk is not papered over");
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(content(&objects, &stored.digest).await, b"kept");
    objects.put_bytes(b"new").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_mended_by_the_same_content() {
    let home = tempfile::tempdir().unwrap();
    let objects = Objects::folder(home.path()).await.unwrap();
    let stored = objects.put_bytes(b"whole content").await.unwrap();
    let path =
        home.path().join("objects").join(&stored.digest[..2]).join(&stored.digest[2..4]).join(&stored.digest);
    std::fs::write(&path, b"who").unwrap();
    objects.put_bytes(b"whole content").await.unwrap();
    assert_eq!(content(&objects, &stored.digest).await, b"whole content");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_killed_program_are_swept() {
    let home = tempfile::tempdir().unwrap();
    let objects = Objects::folder(home.path()).await.unwrap();
    let left = home.path().join("incoming/.tmpleft");
    std::fs::write(&left, b"half").unwrap();
    let written = left.metadata().unwrap().modified().unwrap();
    assert_eq!(objects.sweep(written - Duration::from_secs(1)).await.unwrap(), 0);
    assert!(left.exists());
    assert_eq!(objects.sweep(written + Duration::from_secs(1)).await.unwrap(), 1);
    assert!(!left.exists());
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread")]
async fn an_s3_client_can_be_built_and_a_wrong_address_is_refused() {
    let home = tempfile::tempdir().unwrap();
    Objects::s3("s3://bucket", home.path()).await.unwrap();
    assert_eq!(refusal(Objects::s3("not an address", home.path()).await).code, "objects.address");
}
