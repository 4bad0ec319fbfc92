//! Passwords: argon2id off the async threads, at most one computation for each core at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use futures::future::BoxFuture;
use kernel::error::Doing;
use kernel::{Error, Refusal, RefusalKind, Result};
use tokio::sync::Semaphore;

use crate::policy::{Owner, Policy};

/// Computations at once: each takes 19 MiB and a core for tens of milliseconds. One for each core, and no more.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(16)
}

/// Sign-ins that may wait for one; more are sent away.
const WAITING: usize = 64;

/// The policy as it ships, for who has no settings at hand; `login` and `name` must not be part of the password.
pub fn check(password: &str, login: &str, name: &str) -> Result<(), Refusal> {
    Policy::default().check(password, &Owner { login, name, unit: "" })
}

/// The password hasher of the process.
pub struct Hasher {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Computations since the start.
    done: AtomicU64,
    /// Hash of nobody's password, verified for unknown logins so that they take as long as known ones.
    nobody: String,
}

impl Hasher {
    /// Prepares the hasher.
    pub fn new() -> Result<Self> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once())),
            queue: Arc::new(Semaphore::new(WAITING)),
            done: AtomicU64::new(0),
            nobody: hash_now(&crate::secret::random_token()?)?,
        })
    }

    /// How many computations were made since the start: what a sign-in costs, without a clock.
    pub fn computations(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The hash of a password, as a PHC string.
    pub async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.in_turn(move || hash_now(&password)).await
    }

    /// The hashes of several passwords, as many at once as there are turns.
    pub async fn hash_all(&self, passwords: &[String]) -> Result<Vec<String>> {
        // Fewer than may wait, so that people who sign in meanwhile find a place.
        let mut hashes = Vec::with_capacity(passwords.len());
        for some in passwords.chunks(at_once()) {
            let work: Vec<BoxFuture<'_, Result<String>>> =
                some.iter().map(|password| Box::pin(self.hash(password)) as _).collect();
            hashes.extend(futures::future::try_join_all(work).await?);
        }
        Ok(hashes)
    }

    /// Whether the password is the one that was hashed. `None` stands for an unknown login: it takes as long and is
    /// never right.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let password = password.to_owned();
        let right = self
            .in_turn(move || {
                let parsed = PasswordHash::new(&hash).doing("read a stored password hash")?;
                Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(known && right)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Ok(_place) = self.queue.clone().try_acquire_owned() else {
            return Err(Error::Refused(Refusal::new(
                RefusalKind::Busy { retry_after: 5 },
                "sign_in.busy",
                "正在登录的人太多，请 5 秒后再试。",
            )));
        };
        let turn = self.turns.clone().acquire_owned().await.doing("wait for the password hasher")?;
        self.done.fetch_add(1, Ordering::Relaxed);
        // The turn goes with the work: it stays taken when the caller goes away meanwhile.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .doing("run the password hasher")?
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

fn hash_now(password: &str) -> Result<String> {
    // Argon2id, 19 MiB, 2 passes: the default of the crate and the first choice of OWASP.
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::fault("hash a password", error.to_string()))?;
    Ok(hash.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_nobody_never_signs_in() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash("Xy7#kPq2wL").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(hasher.verify("Xy7#kPq2wL", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("Xy7#kPq2wl", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("Xy7#kPq2wL", None).await.unwrap());
        assert!(hasher.verify("x", Some("no hash")).await.is_err());
    }
}
