//! The database role that serves: it reads and writes rows, owns no table, and can only add to tables that only grow.
//!
//! Migrations and fact tables are made by the owner; then [`grant`] gives the serving role what it needs. So nothing
//! that reaches the program's connections, be it an injected statement, changes or removes an entry of the audit
//! trail, takes its triggers away, or drops a table.

use kernel::Result;
use sqlx::AssertSqlSafe;

use crate::db::Db;
use crate::failure::DbDoing;

/// The serving role of the local cluster.
pub const SERVING: &str = "minkang_app";

/// Held while granting: two programs that start at once would change the same rows of the system tables.
const LOCK: i64 = 0x6d69_6e6b_616e_670c;

/// Makes the serving role of the local cluster if it is not there.
pub async fn ensure_serving(owner: &Db) -> Result<()> {
    let present: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(SERVING)
        .fetch_one(owner.pool())
        .await
        .db("look for the serving role")?;
    if present {
        return Ok(());
    }
    let made = sqlx::query("create role minkang_app login nosuperuser nocreatedb nocreaterole noreplication")
        .execute(owner.pool())
        .await;
    match made {
        // A role is of all databases of a server: somebody in another one, where no lock of ours holds, was faster.
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42710" | "23505")) => Ok(()),
        made => made.map(drop).db("make the serving role"),
    }
}

/// The role that a connection serves as.
pub async fn name_of(db: &Db) -> Result<String> {
    sqlx::query_scalar("select current_user::text").fetch_one(db.pool()).await.db("ask for the role")
}

/// Whether the role of these connections can neither own nor change the audit trail.
pub async fn is_separate(db: &Db) -> Result<bool> {
    sqlx::query_scalar(
        "select not r.rolsuper and not pg_has_role(current_user, c.relowner, 'member')
            and not has_table_privilege('audit_entry', 'update') and not has_table_privilege('audit_entry', 'delete')
            and not has_table_privilege('audit_entry', 'truncate')
         from pg_roles r, pg_class c where r.rolname = current_user and c.oid = 'audit_entry'::regclass",
    )
    .fetch_one(db.pool())
    .await
    .db("ask what the serving role may do")
}

/// Gives `role` what it needs on everything in the schema: rows of ordinary tables, adding to those that only grow
/// (they have the trigger `append_only`), nothing on the list of migrations but reading. Does nothing when all is
/// granted already. To be called by the owner after each change of the schema.
pub async fn grant(owner: &Db, role: &str) -> Result<()> {
    owner
        .transaction(async |tx| {
            sqlx::query("select pg_advisory_xact_lock($1)")
                .bind(LOCK)
                .execute(&mut **tx)
                .await
                .db("wait to grant")?;
            let statements: Vec<String> = sqlx::query_scalar(
                "with t as (
                    select c.oid, c.relname = 'schema_migration' as fixed,
                        exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgname like 'append\\_only%')
                            as grows
                    from pg_class c
                    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')),
                 wrong as (
                    select from t where not has_table_privilege($1, oid, 'select')
                        or (not fixed and not has_table_privilege($1, oid, 'insert'))
                        or (not fixed and not grows and not (has_table_privilege($1, oid, 'update')
                            and has_table_privilege($1, oid, 'delete')))
                        or ((fixed or grows) and (has_table_privilege($1, oid, 'update')
                            or has_table_privilege($1, oid, 'delete') or has_table_privilege($1, oid, 'truncate')))
                    union all
                    select from pg_class c where c.relnamespace = current_schema()::regnamespace
                        and case when c.relkind = 'S' then not has_sequence_privilege($1, c.oid, 'usage') end),
                 kinds as (select string_agg(oid::regclass::text, ', ') filter (where grows) as grows,
                        string_agg(oid::regclass::text, ', ') filter (where not grows and not fixed) as plain,
                        string_agg(oid::regclass::text, ', ') filter (where fixed) as fixed from t)
                 select statement from kinds, lateral (values
                    (1, format('grant usage on schema %I to %I', current_schema(), $1)),
                    (2, format('grant select on all tables in schema %I to %I', current_schema(), $1)),
                    (3, 'grant insert, update, delete on ' || plain || format(' to %I', $1)),
                    (4, 'grant insert on ' || grows || format(' to %I', $1)),
                    (5, 'revoke update, delete, truncate, references, trigger on ' || grows || format(' from %I', $1)),
                    (6, 'revoke insert, update, delete, truncate on ' || fixed || format(' from %I', $1)),
                    (7, format('grant usage, select, update on all sequences in schema %I to %I',
                        current_schema(), $1)),
                    (8, format('grant execute on function audit_partitions(timestamptz, int) to %I', $1))
                 ) s (n, statement)
                 where statement is not null and exists (select from wrong) order by n",
            )
            .bind(role)
            .fetch_all(&mut **tx)
            .await
            .db("ask what the serving role lacks")?;
            for statement in statements {
                // Put together by the server from its own quoted names.
                sqlx::query(AssertSqlSafe(statement)).execute(&mut **tx).await.db("grant to the serving role")?;
            }
            Ok(())
        })
        .await
}
