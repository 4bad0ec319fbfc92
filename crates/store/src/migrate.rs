//! Migrations: each context hands in its own, they are applied once and in order, and never change afterwards.

use std::collections::HashMap;

use kernel::{Refusal, RefusalKind, Result};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Row};

use crate::failure::DbDoing;

/// One step of the schema. `sql` may hold several statements; they run in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The crate it belongs to, e.g. `identity`.
    pub context: &'static str,
    /// File name without ending, e.g. `0001_identity`; applied in the order given.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The store's own tables.
pub const MIGRATIONS: &[Migration] = &[
    Migration { context: "store", name: "0001_store", sql: include_str!("../migrations/0001_store.sql") },
    Migration {
        context: "store",
        name: "0002_audit_sign_in",
        sql: include_str!("../migrations/0002_audit_sign_in.sql"),
    },
    Migration {
        context: "store",
        name: "0003_settings",
        sql: include_str!("../migrations/0003_settings.sql"),
    },
    Migration { context: "store", name: "0004_keys", sql: include_str!("../migrations/0004_keys.sql") },
    Migration {
        context: "store",
        name: "0005_audit_trail",
        sql: include_str!("../migrations/0005_audit_trail.sql"),
    },
    Migration {
        context: "store",
        name: "0006_audit_alerts",
        sql: include_str!("../migrations/0006_audit_alerts.sql"),
    },
    Migration {
        context: "store",
        name: "0007_fact_corrections",
        sql: include_str!("../migrations/0007_fact_corrections.sql"),
    },
];

/// Held while migrating; any constant that nobody else uses.
const LOCK: i64 = 0x6d69_6e6b_616e_6701;

impl Migration {
    /// What an applied migration is recognised by.
    pub fn checksum(&self) -> String {
        blake3::hash(self.sql.as_bytes()).to_hex().to_string()
    }
}

/// Applies what is missing and returns the names (`context/name`) of what was applied. Two programs that start at
/// once wait for each other.
pub async fn migrate(pool: &PgPool, migrations: &[Migration]) -> Result<Vec<String>> {
    // The connection is detached: if anything fails, closing it releases the lock.
    let mut connection = pool.acquire().await.db("connect for migrations")?.detach();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut connection)
        .await
        .db("wait for the migration lock")?;
    let applied = apply(&mut connection, migrations).await;
    let _ = connection.close().await;
    applied
}

async fn apply(connection: &mut PgConnection, migrations: &[Migration]) -> Result<Vec<String>> {
    sqlx::query(
        "create table if not exists schema_migration (
            context text not null,
            name text not null,
            checksum text not null,
            applied_at timestamptz not null default now(),
            primary key (context, name))",
    )
    .execute(&mut *connection)
    .await
    .db("create the table of migrations")?;
    let mut present: HashMap<(String, String), String> =
        sqlx::query("select context, name, checksum from schema_migration")
            .fetch_all(&mut *connection)
            .await
            .db("read the table of migrations")?
            .into_iter()
            .map(|row| ((row.get(0), row.get(1)), row.get(2)))
            .collect();

    // Everything is checked before anything is changed.
    let mut missing = Vec::new();
    for migration in migrations {
        let key = (migration.context.to_owned(), migration.name.to_owned());
        match present.remove(&key) {
            Some(checksum) if checksum == migration.checksum() => {}
            Some(_) => return Err(changed(migration).into()),
            None => missing.push(migration),
        }
    }
    if !present.is_empty() {
        let mut unknown: Vec<String> =
            present.into_keys().map(|(context, name)| format!("{context}/{name}")).collect();
        unknown.sort();
        return Err(newer(&unknown).into());
    }

    let mut applied = Vec::new();
    for migration in missing {
        let mut tx = connection.begin().await.db("begin a migration")?;
        sqlx::raw_sql(migration.sql).execute(&mut *tx).await.map_err(|error| {
            tracing::error!(context = migration.context, name = migration.name, %error, "migration failed");
            crate::failure::db_error("apply a migration", error)
        })?;
        sqlx::query("insert into schema_migration (context, name, checksum) values ($1, $2, $3)")
            .bind(migration.context)
            .bind(migration.name)
            .bind(migration.checksum())
            .execute(&mut *tx)
            .await
            .db("record a migration")?;
        tx.commit().await.db("commit a migration")?;
        applied.push(format!("{}/{}", migration.context, migration.name));
    }
    Ok(applied)
}

fn changed(migration: &Migration) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "schema.migration_changed",
        format!(
            "数据库已经执行过迁移 {}/{}，但本程序中的内容与当时不同。为避免损坏数据，程序没有启动，数据库没有改动。\
             请使用与数据库一致的程序版本；开发环境可以删除数据目录重建。",
            migration.context, migration.name
        ),
    )
}

fn newer(unknown: &[String]) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "schema.newer_database",
        format!(
            "数据库由更新版本的程序建立（本程序不认识迁移 {}）。请升级本程序后再启动，数据库没有改动。",
            unknown.join("、")
        ),
    )
}
