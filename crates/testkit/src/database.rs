//! A database for one test.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use store::{Db, Migration, migrate};

use crate::bench::{bench, blocking};

/// Held while a template is being made.
const TEMPLATE_LOCK: i64 = 0x6d69_6e6b_616e_6702;

/// A fresh database with the given schema; dropped with this value.
#[derive(Debug)]
pub struct TestDb {
    db: Db,
    name: String,
}

impl TestDb {
    /// Clones a database from the template of these migrations and statements (the template is made on first use).
    pub async fn create(migrations: &[Migration], extra_sql: &[String]) -> Self {
        let bench = bench();
        let admin_options = bench.options("postgres");
        let mut admin =
            PgConnection::connect_with(&admin_options).await.expect("connect to the test cluster");
        let template = template_name(migrations, extra_sql);
        ensure_template(&mut admin, &template, migrations, extra_sql).await;

        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        run(&mut admin, format!("create database {name} template {template}")).await;
        admin.close().await.expect("close the connection");
        let db = Db::connect(bench.options(&name), 8).await.expect("connect to the test database");
        let db = db.with_keyring(crate::keyring());
        Self { db, name }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How to connect to it, for a second pool or a program under test.
    pub fn connect_options(&self) -> PgConnectOptions {
        bench().options(&self.name)
    }

    /// The same as an address.
    pub fn url(&self) -> String {
        self.connect_options().to_url_lossy().to_string()
    }
}

impl std::ops::Deref for TestDb {
    type Target = Db;
    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let options = bench().options("postgres");
        let done = blocking(async move {
            let mut admin = PgConnection::connect_with(&options).await?;
            let sql = format!("drop database if exists {name} with (force)");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await?;
            admin.close().await
        });
        if let Err(error) = done {
            eprintln!("a test database could not be dropped: {error}");
        }
    }
}

fn template_name(migrations: &[Migration], extra_sql: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for migration in migrations {
        hasher
            .update(migration.context.as_bytes())
            .update(&[0])
            .update(migration.name.as_bytes())
            .update(&[0]);
        hasher.update(migration.sql.as_bytes()).update(&[0]);
    }
    for sql in extra_sql {
        hasher.update(&[1]).update(sql.as_bytes());
    }
    format!("template_{}", &hasher.finalize().to_hex()[..24])
}

async fn ensure_template(
    admin: &mut PgConnection,
    name: &str,
    migrations: &[Migration],
    extra_sql: &[String],
) {
    if exists(admin, name).await {
        return;
    }
    sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await.expect("lock");
    if !exists(admin, name).await {
        let draft = format!("{name}_draft");
        run(admin, format!("drop database if exists {draft} with (force)")).await;
        run(admin, format!("create database {draft}")).await;
        let db = Db::connect(bench().options(&draft), 2).await.expect("connect to the template");
        migrate(db.pool(), migrations).await.unwrap_or_else(|error| panic!("migrations fail: {error}"));
        for sql in extra_sql {
            sqlx::raw_sql(AssertSqlSafe(sql.clone()))
                .execute(db.pool())
                .await
                .unwrap_or_else(|error| panic!("extra SQL of the template fails: {error}\n{sql}"));
        }
        db.close().await;
        rename(admin, &draft, name).await;
    }
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *admin)
        .await
        .expect("unlock");
}

/// Renames a database; its last sessions may take a moment to end on the server's side.
async fn rename(admin: &mut PgConnection, from: &str, to: &str) {
    for _ in 0..200 {
        let sql = format!("alter database {from} rename to {to}");
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin).await {
            Ok(_) => return,
            // 55006: still in use.
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("55006") => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("cannot rename the template: {error}"),
        }
    }
    panic!("the template stays in use");
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
        .expect("look for the template")
}

async fn run(admin: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(admin).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}
