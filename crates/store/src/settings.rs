//! Settings that an operator changes while the program runs: definitions in the catalogue, values in the database, a
//! snapshot in each process that follows changes made by any of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use catalog::{Catalog, Setting, SettingValue};
use chrono::{DateTime, Utc};
use kernel::error::Doing;
use kernel::{Caller, Purpose, Refusal, Result};
use sqlx::Row;

use crate::audit::{self, AuditEntry};
use crate::db::Db;
use crate::failure::DbDoing;

/// The channel on which processes tell each other that a setting changed.
const CHANNEL: &str = "minkang_settings";

/// The settings of this process. Cheap to clone; reading one costs a look into memory.
#[derive(Debug, Clone)]
pub struct Settings {
    catalog: Arc<Catalog>,
    values: Arc<RwLock<HashMap<String, SettingValue>>>,
}

/// A change of a setting, for its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// Which setting.
    pub code: String,
    /// Its value from then on; `None`: back to the default.
    pub value: Option<SettingValue>,
    /// Why, in the words of who changed it.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Settings {
    /// The defaults of the catalogue, for tests and for commands without a database.
    pub fn defaults(catalog: Arc<Catalog>) -> Self {
        Self { catalog, values: Arc::default() }
    }

    /// Reads what has been set.
    pub async fn open(db: &Db, catalog: Arc<Catalog>) -> Result<Self> {
        let settings = Self::defaults(catalog);
        settings.refresh(db).await?;
        Ok(settings)
    }

    /// Reads again what has been set. A value that the definition no longer accepts is left out, with a warning.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let rows =
            sqlx::query("select code, value from setting").fetch_all(db.pool()).await.db("read settings")?;
        let mut values = HashMap::with_capacity(rows.len());
        for row in rows {
            let code: String = row.try_get(0).db("read settings")?;
            let value: serde_json::Value = row.try_get(1).db("read settings")?;
            let value = serde_json::from_value::<SettingValue>(value).ok();
            match (self.catalog.setting(&code), value) {
                (Some(setting), Some(value)) if setting.accepts(&value).is_ok() => {
                    values.insert(code, value);
                }
                _ => tracing::warn!(
                    code,
                    "a setting in the database does not fit its definition; default used"
                ),
            }
        }
        *self.values.write().unwrap_or_else(PoisonError::into_inner) = values;
        Ok(())
    }

    /// Keeps this process in step with changes made by others. Runs until the database is lost; the caller starts it
    /// again.
    pub async fn follow(&self, db: &Db) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(db.pool()).await.db("listen for settings")?;
        listener.listen(CHANNEL).await.db("listen for settings")?;
        self.refresh(db).await?;
        loop {
            listener.recv().await.doing("wait for changes of settings")?;
            self.refresh(db).await?;
        }
    }

    /// The definitions.
    pub fn definitions(&self) -> &[Setting] {
        &self.catalog.settings
    }

    /// The value in force; `None` for a code that is not defined.
    pub fn value(&self, code: &str) -> Option<SettingValue> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values.get(code).or_else(|| self.catalog.setting(code).map(|s| &s.default)).cloned()
    }

    /// Whether somebody has set it.
    pub fn is_set(&self, code: &str) -> bool {
        self.values.read().unwrap_or_else(PoisonError::into_inner).contains_key(code)
    }

    /// A whole number; 0 for a setting that is not defined or of another kind, which a test of the house forbids.
    pub fn whole(&self, code: &'static str) -> i64 {
        match self.value(code) {
            Some(SettingValue::Whole(n)) => n,
            other => {
                tracing::error!(code, ?other, "no such whole setting");
                0
            }
        }
    }

    /// A number of minutes.
    pub fn minutes(&self, code: &'static str) -> chrono::Duration {
        chrono::Duration::minutes(self.whole(code))
    }

    /// A flag; `false` for a setting that is not defined or of another kind.
    pub fn flag(&self, code: &'static str) -> bool {
        match self.value(code) {
            Some(SettingValue::Flag(on)) => on,
            other => {
                tracing::error!(code, ?other, "no such flag");
                false
            }
        }
    }

    /// A text or choice; empty for a setting that is not defined or of another kind.
    pub fn text(&self, code: &'static str) -> String {
        match self.value(code) {
            Some(SettingValue::Text(text)) => text,
            other => {
                tracing::error!(code, ?other, "no such text setting");
                String::new()
            }
        }
    }

    /// Changes a setting, with its history and audit entry; `None` goes back to the default. Takes effect in every
    /// process of this database within moments.
    ///
    /// # Errors
    /// Refuses a code that is not defined and a value that the definition does not accept.
    pub async fn set(
        &self,
        db: &Db,
        caller: &Caller,
        now: DateTime<Utc>,
        code: &str,
        value: Option<SettingValue>,
        reason: &str,
    ) -> Result<()> {
        let Some(setting) = self.catalog.setting(code) else {
            return Err(Refusal::not_found("setting.none", "没有这个设置项。").into());
        };
        if let Some(value) = &value
            && let Err(why) = setting.accepts(value)
        {
            return Err(Refusal::invalid("setting.value", format!("“{}”{why}。", setting.title)).into());
        }
        let stored = value.as_ref().map(|v| serde_json::to_value(v).doing("write a setting")).transpose()?;
        let before = self.value(code);
        db.transaction(async |tx| {
            match &stored {
                Some(value) => {
                    sqlx::query(
                        "insert into setting (code, value) values ($1, $2)
                         on conflict (code) do update set value = excluded.value",
                    )
                    .bind(code)
                    .bind(value)
                    .execute(&mut **tx)
                    .await
                }
                None => sqlx::query("delete from setting where code = $1").bind(code).execute(&mut **tx).await,
            }
            .db("change a setting")?;
            sqlx::query(
                "insert into setting_change (code, value, reason, changed_by, at) values ($1, $2, $3, $4, $5)",
            )
            .bind(code)
            .bind(&stored)
            .bind(reason)
            .bind(&caller.name)
            .bind(now)
            .execute(&mut **tx)
            .await
            .db("write the history of a setting")?;
            sqlx::query("select pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(code)
                .execute(&mut **tx)
                .await
                .db("announce a change of settings")?;
            let entry = AuditEntry {
                act: "setting.change",
                object_kind: "setting",
                object_label: format!("{}（{code}）", setting.title),
                detail: Some(serde_json::json!({ "before": before, "after": stored, "reason": reason })),
                ..AuditEntry::default()
            };
            audit::record(tx, caller, &Purpose::of(""), now, &entry).await
        })
        .await?;
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => values.insert(code.to_owned(), value),
            None => values.remove(code),
        };
        Ok(())
    }

    /// What has been changed, newest first; of one setting, or of all.
    pub async fn history(&self, db: &Db, code: Option<&str>, limit: i64) -> Result<Vec<SettingChange>> {
        let rows = sqlx::query(
            "select code, value, reason, changed_by, at from setting_change
             where $1::text is null or code = $1 order by id desc limit $2",
        )
        .bind(code)
        .bind(limit)
        .fetch_all(db.pool())
        .await
        .db("read the history of settings")?;
        rows.iter()
            .map(|row| {
                let value: Option<serde_json::Value> = row.try_get(1)?;
                Ok(SettingChange {
                    code: row.try_get(0)?,
                    value: value.and_then(|v| serde_json::from_value(v).ok()),
                    reason: row.try_get(2)?,
                    by: row.try_get(3)?,
                    at: row.try_get(4)?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .db("read the history of settings")
    }
}
