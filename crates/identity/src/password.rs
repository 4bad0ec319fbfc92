//! Passwords: the policy, and argon2id off the async threads, at most two at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use kernel::error::Doing;
use kernel::{Error, Refusal, RefusalKind, Result};
use tokio::sync::Semaphore;

/// Least length in characters.
pub const LEAST_LENGTH: usize = 10;
/// Greatest length in characters: longer ones only cost time.
pub const GREATEST_LENGTH: usize = 128;

/// Computations at once: each takes 19 MiB and a core for tens of milliseconds.
const AT_ONCE: usize = 2;
/// Sign-ins that may wait for one; more are sent away.
const WAITING: usize = 64;

/// Pieces that make a password easy to guess whatever surrounds them.
const COMMON: [&str; 14] = [
    "password", "passw0rd", "123456", "654321", "111111", "000000", "888888", "666666", "qwerty", "abc123",
    "1qaz2wsx", "admin", "minkang", "iloveyou",
];

/// The password policy. `login` and `name` must not be part of the password.
pub fn check(password: &str, login: &str, name: &str) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::invalid("password.weak", message));
    let length = password.chars().count();
    if length < LEAST_LENGTH {
        return refuse(format!("密码太短：只有 {length} 位，至少需要 {LEAST_LENGTH} 位。"));
    }
    if length > GREATEST_LENGTH {
        return refuse(format!("密码太长：最多 {GREATEST_LENGTH} 位。"));
    }
    if password.chars().any(char::is_control) {
        return refuse("密码中有不可见的控制字符，请重新输入。".to_owned());
    }
    let kinds = [
        password.chars().any(|c| c.is_ascii_lowercase()),
        password.chars().any(|c| c.is_ascii_uppercase()),
        password.chars().any(|c| c.is_ascii_digit()),
        password.chars().any(|c| !c.is_ascii_alphanumeric()),
    ];
    // Length makes up for variety: a long sentence is easier to remember and harder to guess.
    if length < 16 && kinds.iter().filter(|k| **k).count() < 3 {
        return refuse(
            "密码太简单：请同时使用大写字母、小写字母、数字、符号中的至少三种，或改用 16 位以上的长句。"
                .to_owned(),
        );
    }
    let lower = password.to_lowercase();
    for own in [login.to_lowercase(), name.to_lowercase()] {
        if own.chars().count() >= 2 && lower.contains(&own) {
            return refuse("密码不能包含登录名或姓名。".to_owned());
        }
    }
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return refuse("密码太简单：不同的字符太少。".to_owned());
    }
    // What remains without the common piece must be a password by itself.
    if let Some(piece) = COMMON.iter().find(|piece| lower.contains(**piece))
        && length - piece.len() < LEAST_LENGTH
    {
        return refuse(format!("密码太容易猜到：不能用“{piece}”这样的常见组合。"));
    }
    Ok(())
}

/// The password hasher of the process.
pub struct Hasher {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Hash of nobody's password, verified for unknown logins so that they take as long as known ones.
    nobody: String,
}

impl Hasher {
    /// Prepares the hasher.
    pub fn new() -> Result<Self> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(WAITING)),
            nobody: hash_now(&crate::secret::random_token()?)?,
        })
    }

    /// The hash of a password, as a PHC string.
    pub async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.in_turn(move || hash_now(&password)).await
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

    #[test]
    fn the_policy_accepts_and_refuses() {
        let cases = [
            ("Xy7#kPq2wL", true),
            ("平桥区卫生院的老槐树开花了真好看呀", true),
            ("Xy7#kPq2w", false),
            ("abcdefghijkl", false),
            ("AbcdefGhijk", false),
            ("Abcdefghij1", true),
            ("Wang.li2024x", false),
            ("李医生Aa12345678", false),
            ("Aa1!Aa1!Aa1!", false),
            ("Password2024!", false),
            ("Tr0ub4dor-123456-horse", true),
            ("Xy7#kPq2\u{7}wLmn", false),
        ];
        for (password, good) in cases {
            assert_eq!(check(password, "wang.li", "李医生").is_ok(), good, "{password}");
        }
        assert!(check(&"长句子好记".repeat(30), "wang", "王").is_err());
        // Generated first passwords satisfy the policy themselves.
        for _ in 0..100 {
            check(&crate::secret::random_password().unwrap(), "wang", "王力").unwrap();
        }
    }

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
