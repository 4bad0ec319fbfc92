//! Where keys are kept: a table of wrapped keys, opened with the master key into the keyring of this process.
//!
//! A new version of a data key is made known to every process first (they tell each other by `pg_notify`) and writes
//! a few seconds later, so that nobody meets a value whose key it has not read yet. What older versions wrote stays
//! readable and is written anew by a job. The master key only wraps: changing it touches this table alone.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::error::Doing;
use kernel::{Refusal, RefusalKind, Result};
use protect::sign::{ED25519, LocalKey, SM2_SM3};
use protect::{Domain, Key, KeyProvider, KeyState, Keyring, Purpose, Signer as _, cipher, hash};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use zeroize::Zeroizing;

use crate::db::Db;
use crate::failure::DbDoing;

/// The channel on which processes tell each other that keys changed.
const CHANNEL: &str = "minkang_keys";
/// Held while keys are made or changed.
const LOCK: i64 = 0x6d69_6e6b_616e_6705;
/// How long a new data key is known before it writes: longer than a process takes to come back to listening.
pub const SETTLE: TimeDelta = TimeDelta::seconds(5);
/// The signing keys that every platform has.
pub const SIGNERS: [&str; 2] = ["audit", "platform"];

/// The algorithms that new keys use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// AES-256-GCM, HMAC with SHA-256, Ed25519.
    #[default]
    International,
    /// SM4-GCM, HMAC with SM3, SM2 with SM3: what the cryptography assessment (GB/T 39786) asks for.
    National,
}

impl Suite {
    /// The suite of the setting `protect.suite`.
    pub fn of(word: &str) -> Self {
        if word == "national" { Suite::National } else { Suite::International }
    }

    /// The algorithm of new keys of a purpose.
    pub fn algorithm(self, purpose: Purpose) -> &'static str {
        match (self, purpose) {
            (Suite::International, Purpose::Data) => cipher::AES_256_GCM,
            (Suite::National, Purpose::Data) => cipher::SM4_GCM,
            (Suite::International, Purpose::Blind) => hash::HMAC_SHA_256,
            (Suite::National, Purpose::Blind) => hash::HMAC_SM3,
            (Suite::International, Purpose::Sign) => ED25519,
            (Suite::National, Purpose::Sign) => SM2_SM3,
        }
    }
}

/// The kept keys and their master key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    db: Db,
    provider: Arc<dyn KeyProvider>,
    suite: Suite,
    keyring: Keyring,
}

/// A version of a key, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Number.
    pub id: i32,
    /// What it does.
    pub purpose: Purpose,
    /// Domain or signer.
    pub name: String,
    /// Which version.
    pub version: i32,
    /// Algorithm.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// Which master key wraps it.
    pub master: String,
    /// Key id of a signing key.
    pub key_id: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was retired.
    pub retired_at: Option<DateTime<Utc>>,
}

fn context(purpose: Purpose, name: &str, version: i32) -> String {
    format!("{} {name} {version}", purpose.code())
}

/// Which master key wraps the kept keys; `None` while there are none.
///
/// # Errors
/// When the database fails.
pub async fn master(db: &Db) -> Result<Option<String>> {
    sqlx::query_scalar("select master from protect_key order by id desc limit 1")
        .fetch_optional(db.pool())
        .await
        .db("look for kept keys")
}

impl Vault {
    /// Opens the kept keys, making those that are missing. An active data key of another algorithm than the suite's
    /// is followed by a new version.
    ///
    /// # Errors
    /// Refused when the master key is not the one that wraps them.
    pub async fn open(
        db: &Db,
        provider: Arc<dyn KeyProvider>,
        suite: Suite,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let vault = Self { db: db.clone(), provider, suite, keyring: Keyring::closed() };
        vault
            .db
            .transaction(async |tx| {
                lock(tx).await?;
                let kept = statuses(tx).await?;
                let mut wanted: Vec<(Purpose, &str)> = Vec::new();
                wanted.extend(Domain::ALL.map(|d| (Purpose::Data, d.code())));
                wanted.extend([Domain::Identity, Domain::Facts].map(|d| (Purpose::Blind, d.code())));
                wanted.extend(SIGNERS.map(|name| (Purpose::Sign, name)));
                let mut made = false;
                for (purpose, name) in wanted {
                    let active = kept
                        .iter()
                        .find(|k| k.purpose == purpose && k.name == name && k.state == KeyState::Active);
                    // Blind-index values are not made anew, so their key keeps its algorithm.
                    let fits = active.is_some_and(|k| {
                        purpose == Purpose::Blind || k.algorithm == suite.algorithm(purpose)
                    });
                    let coming = kept
                        .iter()
                        .any(|k| k.purpose == purpose && k.name == name && k.state == KeyState::Coming);
                    if !fits && !coming {
                        // A key that follows another one waits until every process knows it.
                        let state = match (purpose, active) {
                            (Purpose::Data, Some(_)) => KeyState::Coming,
                            _ => KeyState::Active,
                        };
                        vault.add(tx, purpose, name, state, now).await?;
                        made = true;
                    }
                }
                if made {
                    announce(tx).await?;
                }
                Ok(())
            })
            .await?;
        vault.refresh().await?;
        Ok(vault)
    }

    /// The keys of this process; clones follow changes.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Where the master key is, for people.
    pub fn master(&self) -> (String, String) {
        (self.provider.id(), self.provider.place())
    }

    /// Reads and unwraps the keys again.
    ///
    /// # Errors
    /// Refused when the master key is not the one that wraps them.
    pub async fn refresh(&self) -> Result<()> {
        let rows = sqlx::query(
            "select id, purpose, name, version, algorithm, state, master, wrapped from protect_key order by id",
        )
        .fetch_all(self.db.pool())
        .await
        .db("read the kept keys")?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            let read = || {
                Ok::<_, sqlx::Error>((
                    row.try_get::<i32, _>(0)?,
                    row.try_get::<String, _>(1)?,
                    row.try_get::<String, _>(2)?,
                    row.try_get::<i32, _>(3)?,
                    row.try_get::<String, _>(4)?,
                    row.try_get::<String, _>(5)?,
                    row.try_get::<String, _>(6)?,
                    row.try_get::<Vec<u8>, _>(7)?,
                ))
            };
            let (id, purpose, name, version, algorithm, state, master, wrapped) =
                read().db("read a kept key")?;
            let (Some(purpose), Some(state)) = (Purpose::from_code(&purpose), KeyState::from_code(&state))
            else {
                continue;
            };
            if master != self.provider.id() {
                return Err(other_master(&master, &*self.provider).into());
            }
            let secret = self.provider.unwrap(&context(purpose, &name, version), &wrapped)?;
            keys.push(Key { id, purpose, name, algorithm, state, secret });
        }
        self.keyring.replace(&keys)
    }

    /// Keeps this process in step with changes made by others. Runs until the database is lost; the caller starts it
    /// again.
    ///
    /// # Errors
    /// When the database is lost.
    pub async fn follow(&self) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(self.db.pool()).await.db("listen for keys")?;
        listener.listen(CHANNEL).await.db("listen for keys")?;
        self.refresh().await?;
        loop {
            listener.recv().await.doing("wait for changes of keys")?;
            self.refresh().await?;
        }
    }

    /// Makes a new version of a domain's data key and tells every process. It writes once [`Vault::activate`] is called,
    /// [`SETTLE`] later.
    ///
    /// # Errors
    /// Refused while an earlier new version waits; when the master key or the database fails.
    pub async fn rotate(&self, domain: Domain, now: DateTime<Utc>) -> Result<()> {
        self.db
            .transaction(async |tx| {
                lock(tx).await?;
                let waiting = statuses(tx).await?.iter().any(|k| {
                    k.purpose == Purpose::Data && k.name == domain.code() && k.state == KeyState::Coming
                });
                if waiting {
                    return Err(Refusal::conflict(
                        "keys.coming",
                        format!("“{}”已有一个待启用的新密钥，请等它启用后再轮换。", domain.title()),
                    )
                    .into());
                }
                self.add(tx, Purpose::Data, domain.code(), KeyState::Coming, now).await?;
                announce(tx).await
            })
            .await?;
        self.refresh().await
    }

    /// Lets new versions that have waited long enough write from now on; older ones read until everything is written
    /// anew. Returns how many there were.
    ///
    /// # Errors
    /// When the master key or the database fails.
    pub async fn activate(&self, now: DateTime<Utc>) -> Result<usize> {
        let names = self
            .db
            .transaction(async |tx| {
                lock(tx).await?;
                let names: Vec<String> = sqlx::query_scalar(
                    "select name from protect_key where purpose = 'data' and state = 'coming' and created_at <= $1",
                )
                .bind(now - SETTLE)
                .fetch_all(&mut **tx)
                .await
                .db("find keys that wait")?;
                for state in [("active", "reading"), ("coming", "active")] {
                    sqlx::query(
                        "update protect_key set state = $3
                         where purpose = 'data' and name = any($1) and state = $2",
                    )
                    .bind(&names)
                    .bind(state.0)
                    .bind(state.1)
                    .execute(&mut **tx)
                    .await
                    .db("let a key write")?;
                }
                announce(tx).await?;
                Ok(names)
            })
            .await?;
        self.refresh().await?;
        Ok(names.len())
    }

    /// Makes a new version of a signing key, or its first one. What older versions signed stays verifiable.
    ///
    /// # Errors
    /// When the master key or the database fails.
    pub async fn signing_key(&self, name: &str, renew: bool, now: DateTime<Utc>) -> Result<()> {
        self.db
            .transaction(async |tx| {
                lock(tx).await?;
                let there = statuses(tx)
                    .await?
                    .iter()
                    .any(|k| k.purpose == Purpose::Sign && k.name == name && k.state == KeyState::Active);
                if renew || !there {
                    self.add(tx, Purpose::Sign, name, KeyState::Active, now).await?;
                    announce(tx).await?;
                }
                Ok(())
            })
            .await?;
        self.refresh().await
    }

    /// Notes that nothing needs the older versions of a domain any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retire(&self, domain: Domain, now: DateTime<Utc>) -> Result<u64> {
        let done = self
            .db
            .transaction(async |tx| {
                let done = sqlx::query(
                    "update protect_key set state = 'retired', retired_at = $2
                     where purpose = 'data' and name = $1 and state = 'reading'",
                )
                .bind(domain.code())
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("retire keys")?
                .rows_affected();
                announce(tx).await?;
                Ok(done)
            })
            .await?;
        self.refresh().await?;
        Ok(done)
    }

    /// Wraps every key with another master key. Data stays as it is.
    ///
    /// # Errors
    /// When either master key or the database fails; then nothing changed.
    pub async fn rewrap(&self, next: Arc<dyn KeyProvider>) -> Result<Self> {
        self.db
            .transaction(async |tx| {
                lock(tx).await?;
                let rows = sqlx::query("select id, purpose, name, version, master, wrapped from protect_key")
                    .fetch_all(&mut **tx)
                    .await
                    .db("read the kept keys")?;
                let (mut ids, mut wrapped) = (Vec::new(), Vec::new());
                for row in &rows {
                    let read = || {
                        Ok::<_, sqlx::Error>((
                            row.try_get::<i32, _>(0)?,
                            row.try_get::<String, _>(1)?,
                            row.try_get::<String, _>(2)?,
                            row.try_get::<i32, _>(3)?,
                            row.try_get::<String, _>(4)?,
                            row.try_get::<Vec<u8>, _>(5)?,
                        ))
                    };
                    let (id, purpose, name, version, master, sealed) = read().db("read a kept key")?;
                    let Some(purpose) = Purpose::from_code(&purpose) else { continue };
                    if master != self.provider.id() {
                        return Err(other_master(&master, &*self.provider).into());
                    }
                    let context = context(purpose, &name, version);
                    let secret = self.provider.unwrap(&context, &sealed)?;
                    ids.push(id);
                    wrapped.push(next.wrap(&context, &secret)?);
                }
                sqlx::query(
                    "update protect_key k set wrapped = t.wrapped, master = $1
                     from unnest($2::int[], $3::bytea[]) as t (id, wrapped) where k.id = t.id",
                )
                .bind(next.id())
                .bind(&ids)
                .bind(&wrapped)
                .execute(&mut **tx)
                .await
                .db("wrap keys anew")?;
                Ok(())
            })
            .await?;
        let vault = Self { provider: next, ..self.clone() };
        vault.refresh().await?;
        Ok(vault)
    }

    /// All versions of all keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<Vec<KeyStatus>> {
        let mut connection = self.db.pool().acquire().await.db("connect to read keys")?;
        statuses(&mut connection).await
    }

    async fn add(
        &self,
        connection: &mut PgConnection,
        purpose: Purpose,
        name: &str,
        state: KeyState,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let algorithm = self.suite.algorithm(purpose);
        let secret = match purpose {
            Purpose::Data => {
                Zeroizing::new(protect::random::<32>()?[..cipher::key_length(algorithm)?].to_vec())
            }
            Purpose::Blind => Zeroizing::new(protect::random::<32>()?.to_vec()),
            Purpose::Sign => LocalKey::generate(algorithm)?,
        };
        let public = match purpose {
            Purpose::Sign => {
                let key = LocalKey::new(algorithm, &secret)?;
                Some((key.public_key(), key.key_id()))
            }
            _ => None,
        };
        let version: i32 = sqlx::query_scalar(
            "select coalesce(max(version), 0) + 1 from protect_key where purpose = $1 and name = $2",
        )
        .bind(purpose.code())
        .bind(name)
        .fetch_one(&mut *connection)
        .await
        .db("number a key")?;
        if state == KeyState::Active {
            sqlx::query(
                "update protect_key set state = 'retired', retired_at = $3
                 where purpose = $1 and name = $2 and state = 'active'",
            )
            .bind(purpose.code())
            .bind(name)
            .bind(now)
            .execute(&mut *connection)
            .await
            .db("follow a key")?;
        }
        sqlx::query(
            "insert into protect_key (purpose, name, version, algorithm, state, master, wrapped, public_key, key_id,
                 created_at)
             values ($1, $2, $3, $4, $10, $5, $6, $7, $8, $9)",
        )
        .bind(purpose.code())
        .bind(name)
        .bind(version)
        .bind(algorithm)
        .bind(self.provider.id())
        .bind(self.provider.wrap(&context(purpose, name, version), &secret)?)
        .bind(public.as_ref().map(|(key, _)| key))
        .bind(public.as_ref().map(|(_, id)| id))
        .bind(now)
        .bind(state.code())
        .execute(&mut *connection)
        .await
        .db("keep a key")?;
        Ok(())
    }
}

fn other_master(wanted: &str, provider: &dyn KeyProvider) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "keys.other_master",
        format!(
            "库中的数据密钥由主密钥 {wanted} 保护，而 {} 中的是另一把（{}）。请恢复原来的主密钥后再启动，库中数据没有改动。",
            provider.place(),
            provider.id()
        ),
    )
}

async fn lock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(connection)
        .await
        .db("wait for the lock of keys")?;
    Ok(())
}

async fn announce(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("select pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(connection)
        .await
        .db("announce a change of keys")?;
    Ok(())
}

async fn statuses(connection: &mut PgConnection) -> Result<Vec<KeyStatus>> {
    let rows = sqlx::query(
        "select id, purpose, name, version, algorithm, state, master, key_id, created_at, retired_at
         from protect_key order by purpose, name, version",
    )
    .fetch_all(connection)
    .await
    .db("read the kept keys")?;
    let read = |row: &PgRow| -> Result<Option<KeyStatus>, sqlx::Error> {
        let (purpose, state): (String, String) = (row.try_get(1)?, row.try_get(5)?);
        let (Some(purpose), Some(state)) = (Purpose::from_code(&purpose), KeyState::from_code(&state)) else {
            return Ok(None);
        };
        Ok(Some(KeyStatus {
            id: row.try_get(0)?,
            purpose,
            name: row.try_get(2)?,
            version: row.try_get(3)?,
            algorithm: row.try_get(4)?,
            state,
            master: row.try_get(6)?,
            key_id: row.try_get(7)?,
            created_at: row.try_get(8)?,
            retired_at: row.try_get(9)?,
        }))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect::<Result<_, _>>().db("read a kept key")
}

/// Algorithm and public key of every version of a signing key, by key id: for whoever checks signatures elsewhere.
///
/// # Errors
/// When the database fails.
pub async fn public_keys(db: &Db, name: &str) -> Result<HashMap<String, (String, Vec<u8>)>> {
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
        "select key_id, algorithm, public_key from protect_key
         where purpose = 'sign' and name = $1 and key_id is not null",
    )
    .bind(name)
    .fetch_all(db.pool())
    .await
    .db("read public keys")?;
    Ok(rows.into_iter().map(|(id, algorithm, key)| (id, (algorithm, key))).collect())
}
