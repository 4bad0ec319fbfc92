//! The object store: original files and documents, addressed by the BLAKE3 digest of their content.
//!
//! ```text
//! <folder>/objects/ab/cd/abcd…   complete objects, never changed
//! <folder>/incoming/…            what is being received; moved in one step when it is on the disk
//! ```
//!
//! A folder by default; any S3-compatible store behind the same calls (cargo feature `s3`). Content comes in as a
//! stream and is read as a file in both cases, because readers run in blocking threads and go over a file twice.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::TryStreamExt;
use kernel::error::Doing;
use kernel::{Error, Refusal, RefusalKind, Result};
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Read, hashed and written in pieces of this size.
const PIECE: usize = 256 << 10;
/// Parts of an upload to a remote store that are under way at once.
const PARTS_UNDER_WAY: usize = 4;

/// The object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    backend: Arc<Backend>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// BLAKE3 of the content, 64 hexadecimal digits; the key for [`Objects::open`].
    pub digest: String,
    /// Length of the content.
    pub bytes: u64,
}

#[derive(Debug)]
enum Backend {
    Folder { root: PathBuf },
    Remote { store: Arc<dyn ObjectStore>, spool: PathBuf },
}

impl Objects {
    /// A store in a folder, made if absent. Should the folder go away later (an unmounted disk), it is not made
    /// anew: everything is refused until it is back.
    pub async fn folder(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        blocking("open the object folder", move || {
            for name in ["objects", "incoming"] {
                std::fs::create_dir_all(root.join(name)).map_err(|e| storage_error(&root, &e))?;
            }
            Ok(Self { backend: Arc::new(Backend::Folder { root }) })
        })
        .await
    }

    /// A remote store; `spool` is a local folder for files on their way in and out.
    pub async fn remote(store: Arc<dyn ObjectStore>, spool: &Path) -> Result<Self> {
        let spool = spool.to_owned();
        blocking("open the spool folder", move || {
            std::fs::create_dir_all(&spool).map_err(|e| storage_error(&spool, &e))?;
            Ok(Self { backend: Arc::new(Backend::Remote { store, spool }) })
        })
        .await
    }

    /// A bucket of an S3-compatible store, e.g. `s3://bucket`; credentials and endpoint come from the customary
    /// `AWS_…` environment variables.
    #[cfg(feature = "s3")]
    pub async fn s3(url: &str, spool: &Path) -> Result<Self> {
        // The HTTP client brings no cryptography of its own; one may be installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store =
            object_store::aws::AmazonS3Builder::from_env().with_url(url).build().map_err(|error| {
                Refusal::invalid(
                    "objects.address",
                    format!("对象存储地址无法识别（应形如 s3://桶名）：{error}"),
                )
            })?;
        Self::remote(Arc::new(store), spool).await
    }

    /// Stores everything that `source` gives. When this returns, the content is safe on the disk; whatever goes
    /// wrong before, nothing of it is visible and no temporary file stays.
    ///
    /// A failure of the source is a refusal (the sender went away); one that carries a [`kernel::Error`] or a
    /// [`Refusal`] inside its `io::Error` comes out as that.
    pub async fn put_stream(&self, mut source: impl AsyncRead + Send + Unpin) -> Result<Stored> {
        let incoming = self.incoming();
        let folder = incoming.clone();
        let mut draft = blocking("begin an object", move || Draft::begin(&folder)).await?;
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            while piece.len() < PIECE {
                let room = u64::try_from(PIECE - piece.len()).unwrap_or(0);
                if (&mut source).take(room).read_buf(&mut piece).await.map_err(source_error)? == 0 {
                    break;
                }
            }
            if piece.is_empty() {
                break;
            }
            let folder = incoming.clone();
            (draft, piece) = blocking("write an object", move || {
                draft.write(&piece).map_err(|e| storage_error(&folder, &e))?;
                piece.clear();
                Ok((draft, piece))
            })
            .await?;
        }
        let backend = Arc::clone(&self.backend);
        match &*self.backend {
            Backend::Folder { .. } => {
                blocking("keep an object", move || match &*backend {
                    Backend::Folder { root } => draft.keep(root).map_err(|e| storage_error(root, &e).into()),
                    Backend::Remote { .. } => Err(Error::fault("keep an object", "not a folder")),
                })
                .await
            }
            Backend::Remote { store, .. } => upload(store.as_ref(), draft).await,
        }
    }

    /// Stores bytes that are in memory.
    pub async fn put_bytes(&self, bytes: &[u8]) -> Result<Stored> {
        self.put_stream(bytes).await
    }

    /// Opens an object for reading from its beginning.
    pub async fn open(&self, digest: &str) -> Result<File> {
        check_digest(digest)?;
        match &*self.backend {
            Backend::Folder { root } => {
                let (root, path) = (root.clone(), path_in(root, digest));
                let digest = digest.to_owned();
                blocking("open an object", move || match File::open(&path) {
                    Ok(file) => Ok(file),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound && root.join("objects").is_dir() => {
                        Err(missing(&digest).into())
                    }
                    Err(e) => Err(storage_error(&root, &e).into()),
                })
                .await
            }
            Backend::Remote { store, spool } => {
                let mut content = match store.get(&key(digest)).await {
                    Ok(found) => found.into_stream(),
                    Err(object_store::Error::NotFound { .. }) => return Err(missing(digest).into()),
                    Err(error) => return Err(remote_error(&error).into()),
                };
                let folder = spool.clone();
                let mut file = blocking("fetch an object", move || {
                    tempfile::tempfile_in(&folder).map_err(|e| storage_error(&folder, &e).into())
                })
                .await?;
                while let Some(bytes) = content.try_next().await.map_err(|e| remote_error(&e))? {
                    let folder = spool.clone();
                    file = blocking("fetch an object", move || {
                        file.write_all(&bytes).map_err(|e| storage_error(&folder, &e))?;
                        Ok(file)
                    })
                    .await?;
                }
                file.rewind().doing("rewind a fetched object")?;
                Ok(file)
            }
        }
    }

    /// Whether there is an object with this digest.
    pub async fn exists(&self, digest: &str) -> Result<bool> {
        check_digest(digest)?;
        match &*self.backend {
            Backend::Folder { root } => {
                let (root, path) = (root.clone(), path_in(root, digest));
                blocking("look for an object", move || match path.try_exists() {
                    Ok(true) => Ok(true),
                    Ok(false) if root.join("objects").is_dir() => Ok(false),
                    Ok(false) => Err(storage_error(&root, &std::io::ErrorKind::NotFound.into()).into()),
                    Err(e) => Err(storage_error(&root, &e).into()),
                })
                .await
            }
            Backend::Remote { store, .. } => match store.head(&key(digest)).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(remote_error(&error).into()),
            },
        }
    }

    /// Removes what was being received when a program died: temporary files last written before `before`. Returns
    /// how many.
    pub async fn sweep(&self, before: SystemTime) -> Result<usize> {
        let folder = self.incoming();
        blocking("sweep the incoming folder", move || {
            let mut swept = 0;
            for entry in std::fs::read_dir(&folder).map_err(|e| storage_error(&folder, &e))?.flatten() {
                let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at < before);
                if old && std::fs::remove_file(entry.path()).is_ok() {
                    swept += 1;
                }
            }
            Ok(swept)
        })
        .await
    }

    fn incoming(&self) -> PathBuf {
        match &*self.backend {
            Backend::Folder { root } => root.join("incoming"),
            Backend::Remote { spool, .. } => spool.clone(),
        }
    }
}

/// An object that is being received; its file goes away with it.
struct Draft {
    file: NamedTempFile,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Draft {
    fn begin(folder: &Path) -> Result<Self> {
        let file = NamedTempFile::new_in(folder).map_err(|e| storage_error(folder, &e))?;
        Ok(Self { file, hasher: blake3::Hasher::new(), bytes: 0 })
    }

    fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        self.file.write_all(piece)
    }

    fn stored(&self) -> Stored {
        Stored { digest: self.hasher.finalize().to_hex().to_string(), bytes: self.bytes }
    }

    /// Puts the complete file in its place. One that is there already has the same content, unless the disk has
    /// damaged it: replacing it mends that.
    fn keep(self, root: &Path) -> std::io::Result<Stored> {
        let stored = self.stored();
        self.file.as_file().sync_all()?;
        let target = path_in(root, &stored.digest);
        let objects = root.join("objects");
        // Only the two levels below: the folder itself must be there.
        let mut new_in = Vec::new();
        let mut level = objects.clone();
        for name in [&stored.digest[..2], &stored.digest[2..4]] {
            let parent = level.clone();
            level.push(name);
            match std::fs::create_dir(&level) {
                Ok(()) => new_in.push(parent),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        self.file.persist(&target).map_err(|e| e.error)?;
        new_in.push(level);
        for folder in new_in.iter().rev() {
            File::open(folder)?.sync_all()?;
        }
        Ok(stored)
    }
}

async fn upload(store: &dyn ObjectStore, draft: Draft) -> Result<Stored> {
    let stored = draft.stored();
    let target = key(&stored.digest);
    let begun = store.put_multipart(&target).await.map_err(|e| remote_error(&e))?;
    let mut upload = WriteMultipart::new(begun);
    let mut file = draft.file.reopen().doing("read back an object")?;
    loop {
        let piece;
        (file, piece) = blocking("read back an object", move || {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut piece).doing("read back an object")?;
            Ok((file, piece))
        })
        .await?;
        if piece.is_empty() {
            break;
        }
        upload.wait_for_capacity(PARTS_UNDER_WAY).await.map_err(|e| remote_error(&e))?;
        upload.put(piece.into());
    }
    upload.finish().await.map_err(|e| remote_error(&e))?;
    Ok(stored)
}

fn path_in(root: &Path, digest: &str) -> PathBuf {
    root.join("objects").join(&digest[..2]).join(&digest[2..4]).join(digest)
}

fn key(digest: &str) -> object_store::path::Path {
    object_store::path::Path::from(format!("objects/{}/{}/{digest}", &digest[..2], &digest[2..4]))
}

fn check_digest(digest: &str) -> Result<()> {
    let good = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(Refusal::not_found("objects.bad_digest", "没有这个原件。").into()) }
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.doing(doing)?
}

fn source_error(error: std::io::Error) -> Error {
    let told = error.to_string();
    let Some(inner) = error.into_inner() else { return interrupted(&told) };
    match inner.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(inner) => match inner.downcast::<Refusal>() {
            Ok(refusal) => (*refusal).into(),
            Err(_) => interrupted(&told),
        },
    }
}

fn interrupted(told: &str) -> Error {
    Refusal::invalid(
        "objects.interrupted",
        format!("上传在传输途中中断（{told}），没有留下任何内容。请重新上传，重复上传不会产生重复数据。"),
    )
    .into()
}

fn missing(digest: &str) -> Refusal {
    tracing::error!(digest, "an object is missing");
    Refusal::new(
        RefusalKind::Unavailable,
        "objects.missing",
        format!(
            "原件 {}… 不在原件库中。请联系管理员检查原件库的磁盘或备份。",
            digest.get(..12).unwrap_or(digest)
        ),
    )
}

fn storage_error(folder: &Path, error: &std::io::Error) -> Refusal {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    tracing::error!(folder = %folder.display(), %error, "the object folder fails");
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        return Refusal::new(
            RefusalKind::Unavailable,
            "objects.full",
            "原件库所在磁盘空间不足，本次内容没有保存。请联系管理员清理或扩充磁盘后重新提交。",
        );
    }
    Refusal::new(
        RefusalKind::Unavailable,
        "objects.unavailable",
        format!(
            "原件库目录暂时不可用（{}），本次内容没有保存。请联系管理员检查目录是否存在、磁盘是否挂载、权限是否正确。",
            match error.kind() {
                std::io::ErrorKind::NotFound => "目录不存在".to_owned(),
                std::io::ErrorKind::PermissionDenied => "没有权限".to_owned(),
                std::io::ErrorKind::ReadOnlyFilesystem => "磁盘只读".to_owned(),
                _ => error.to_string(),
            }
        ),
    )
}

fn remote_error(error: &object_store::Error) -> Refusal {
    tracing::error!(%error, "the remote object store fails");
    Refusal::new(
        RefusalKind::Unavailable,
        "objects.unavailable",
        "对象存储服务暂时不可用，本次操作没有完成。请稍后重试；如持续出现，请联系管理员检查对象存储服务。",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_of_the_disk_is_named() {
        let cases = [
            (28, "objects.full", "空间不足"),
            (122, "objects.full", "空间不足"),
            (2, "objects.unavailable", "目录不存在"),
            (13, "objects.unavailable", "没有权限"),
            (30, "objects.unavailable", "磁盘只读"),
            (5, "objects.unavailable", "暂时不可用"),
        ];
        for (number, code, words) in cases {
            let refusal = storage_error(Path::new("/x"), &std::io::Error::from_raw_os_error(number));
            assert_eq!((refusal.code, refusal.kind), (code, RefusalKind::Unavailable), "{number}");
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }
}
