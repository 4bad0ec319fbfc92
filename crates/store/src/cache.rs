//! Declared caches: what a process keeps in memory so as not to ask again. A cache is declared with its name, what it
//! holds and how long; every process drops what another one changed, told by the database itself.
//!
//! Two kinds: a [`Cache`] of entries that are loaded when they are first asked for, and a [`Snapshot`] of something
//! whole that is read at start and whenever it changes. Both are told by [`Caches::changed`], called in the transaction
//! of the change, and listed for the operator by [`Caches::facts`].

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kernel::error::Doing;
use kernel::{Clock, Refusal, Result};

use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// The channel on which processes tell each other what changed: `name`, or `name` and a key after a space.
const CHANNEL: &str = "minkang_cache";

/// What a cache is, as its owner declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Stable name `part.words`.
    pub name: &'static str,
    /// Chinese name.
    pub title: &'static str,
    /// What it holds and what it saves, in Chinese.
    pub about: &'static str,
    /// How long an entry lives; `None`: until it changes.
    pub lives: Option<TimeDelta>,
    /// The most entries; beyond, the oldest go.
    pub most: usize,
}

/// How a cache stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Stable name.
    pub name: &'static str,
    /// Chinese name.
    pub title: &'static str,
    /// What it holds.
    pub about: &'static str,
    /// How long an entry lives.
    pub lives: Option<TimeDelta>,
    /// Entries now.
    pub entries: u64,
    /// Answered from memory since the start.
    pub hits: u64,
    /// Loaded since the start.
    pub misses: u64,
    /// When something was last loaded.
    pub loaded_at: Option<DateTime<Utc>>,
}

/// What the registry of caches wants of one.
trait Kept: Send + Sync + 'static {
    fn facts(&self) -> Facts;
    /// Drops a key, or everything; a snapshot reads itself again.
    fn drop_key<'a>(&'a self, db: &'a Db, key: Option<&'a str>) -> BoxFuture<'a, Result<()>>;
}

/// The caches of this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Caches {
    kept: Arc<RwLock<BTreeMap<&'static str, Arc<dyn Kept>>>>,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list().iter().map(|k| k.facts().name)).finish()
    }
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    loaded_at: Mutex<Option<DateTime<Utc>>>,
}

impl Counts {
    fn loaded(&self, at: DateTime<Utc>) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        *self.loaded_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
    fn facts(&self, declared: Declared, entries: usize) -> Facts {
        Facts {
            name: declared.name,
            title: declared.title,
            about: declared.about,
            lives: declared.lives,
            entries: entries as u64,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            loaded_at: *self.loaded_at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Caches {
    /// Declares a cache of entries. Keys are told between processes by their text.
    pub fn entries<K, V>(&self, declared: Declared, clock: Arc<dyn Clock>) -> Cache<K, V>
    where
        K: Eq + Hash + ToString + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let cache = Cache(Arc::new(Entries {
            declared,
            clock,
            held: Mutex::default(),
            counts: Counts::default(),
            turn: AtomicU64::new(0),
        }));
        self.keep(declared.name, cache.0.clone());
        cache
    }

    /// Declares a snapshot and reads it for the first time.
    pub async fn snapshot<T: Send + Sync + 'static>(
        &self,
        declared: Declared,
        clock: Arc<dyn Clock>,
        db: &Db,
        read: impl for<'a> Fn(&'a Db) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    ) -> Result<Snapshot<T>> {
        let value = read(db).await?;
        let whole = Whole {
            declared,
            clock,
            value: RwLock::new(Arc::new(value)),
            read: Box::new(read),
            counts: Counts::default(),
        };
        whole.counts.loaded(whole.clock.now());
        let snapshot = Snapshot(Arc::new(whole));
        self.keep(declared.name, snapshot.0.clone());
        Ok(snapshot)
    }

    fn keep(&self, name: &'static str, kept: Arc<dyn Kept>) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(name, kept);
    }

    fn list(&self) -> Vec<Arc<dyn Kept>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How each stands, by name.
    pub fn facts(&self) -> Vec<Facts> {
        self.list().iter().map(|kept| kept.facts()).collect()
    }

    /// Tells every process, once the transaction commits, that what a cache holds has changed: one key, or all of it.
    pub async fn changed(tx: &mut Tx<'_>, name: &'static str, key: Option<&str>) -> Result<()> {
        let payload = key.map_or_else(|| name.to_owned(), |key| format!("{name} {key}"));
        sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload)
            .execute(&mut **tx)
            .await
            .db("tell the caches")?;
        Ok(())
    }

    /// Clears one in this process at once and tells the others.
    ///
    /// # Errors
    /// Refuses a name that is not declared.
    pub async fn clear(&self, db: &Db, name: &str) -> Result<()> {
        let kept = self.list().into_iter().find(|kept| kept.facts().name == name);
        let kept = kept.ok_or_else(|| Refusal::not_found("cache.none", "没有这个缓存。"))?;
        kept.drop_key(db, None).await?;
        let name = kept.facts().name;
        db.transaction(async |tx| Self::changed(tx, name, None).await).await
    }

    /// Keeps this process in step with what others change. Runs until the database is lost; the caller starts it again.
    pub async fn follow(&self, db: &Db) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(db.pool()).await.db("listen for caches")?;
        listener.listen(CHANNEL).await.db("listen for caches")?;
        // What was told while nobody listened is lost: begin with nothing.
        for kept in self.list() {
            kept.drop_key(db, None).await?;
        }
        loop {
            let notice = listener.recv().await.doing("wait for changes of what is cached")?;
            self.hear(db, notice.payload()).await?;
        }
    }

    /// Acts on one notice.
    async fn hear(&self, db: &Db, payload: &str) -> Result<()> {
        let (name, key) = payload.split_once(' ').map_or((payload, None), |(name, key)| (name, Some(key)));
        match self.list().into_iter().find(|kept| kept.facts().name == name) {
            Some(kept) => kept.drop_key(db, key).await,
            None => Ok(()),
        }
    }
}

/// A cache of entries, loaded when they are first asked for. Cheap to clone.
pub struct Cache<K, V>(Arc<Entries<K, V>>);

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cache").field(&self.0.declared.name).finish()
    }
}

struct Entry<V> {
    value: Arc<V>,
    at: DateTime<Utc>,
}

struct Entries<K, V> {
    declared: Declared,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<K, Entry<V>>>,
    counts: Counts,
    /// Goes on with every change, so that a value read before it is not kept after it.
    turn: AtomicU64,
}

impl<K, V> Cache<K, V>
where
    K: Eq + Hash + ToString + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// What is kept under a key and still lives.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let now = self.0.clock.now();
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |e: &&Entry<V>| self.0.declared.lives.is_none_or(|lives| now - e.at < lives);
        let found = held.get(key).filter(fresh).map(|e| e.value.clone());
        if found.is_some() {
            self.0.counts.hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// What is kept under a key; otherwise what `load` gives, which is kept.
    pub async fn get_or(&self, key: &K, load: impl Future<Output = Result<V>>) -> Result<Arc<V>> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let turn = self.0.turn.load(Ordering::SeqCst);
        let value = Arc::new(load.await?);
        let now = self.0.clock.now();
        self.0.counts.loaded(now);
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Changed while it was being read: what was read may be old already.
        if self.0.turn.load(Ordering::SeqCst) == turn {
            if held.len() >= self.0.declared.most
                && let Some(oldest) = held.iter().min_by_key(|(_, e)| e.at).map(|(k, _)| k.clone())
            {
                held.remove(&oldest);
            }
            held.insert(key.clone(), Entry { value: value.clone(), at: now });
        }
        Ok(value)
    }

    /// Drops a key in this process.
    pub fn forget(&self, key: &K) {
        self.0.turn.fetch_add(1, Ordering::SeqCst);
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl<K, V> Kept for Entries<K, V>
where
    K: Eq + Hash + ToString + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn facts(&self) -> Facts {
        let entries = self.held.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.counts.facts(self.declared, entries)
    }

    fn drop_key<'a>(&'a self, _: &'a Db, key: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        self.turn.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(key) => held.retain(|k, _| k.to_string() != key),
            None => held.clear(),
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

type Reader<T> = Box<dyn for<'a> Fn(&'a Db) -> BoxFuture<'a, Result<T>> + Send + Sync>;

struct Whole<T> {
    declared: Declared,
    clock: Arc<dyn Clock>,
    value: RwLock<Arc<T>>,
    read: Reader<T>,
    counts: Counts,
}

/// Something whole in memory, read again when it changes. Cheap to clone.
pub struct Snapshot<T>(Arc<Whole<T>>);

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.0.declared.name).finish()
    }
}

impl<T: Send + Sync + 'static> Snapshot<T> {
    /// As it is now.
    pub fn now(&self) -> Arc<T> {
        self.0.counts.hits.fetch_add(1, Ordering::Relaxed);
        self.0.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts what is known to be the new state, e.g. after this process's own change.
    pub fn put(&self, value: T) {
        *self.0.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }

    /// Reads it again.
    pub async fn reload(&self, db: &Db) -> Result<()> {
        self.0.drop_key(db, None).await
    }
}

impl<T: Send + Sync + 'static> Kept for Whole<T> {
    fn facts(&self) -> Facts {
        self.counts.facts(self.declared, 1)
    }

    fn drop_key<'a>(&'a self, db: &'a Db, _: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let value = (self.read)(db).await?;
            self.counts.loaded(self.clock.now());
            *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
            Ok(())
        })
    }
}
