//! Fact tables generated from the catalogue: one table for each data set, typed columns, kept in step at start.
//!
//! Additive changes (new data set, new field, longer text) are applied; destructive ones (a column gone, another
//! type) are refused with an explanation, because a definition must never lose data by being edited.

use std::collections::HashMap;
use std::fmt::Write;

use catalog::{Catalog, Dataset, FieldKind};
use kernel::{Refusal, Result};
use sqlx::AssertSqlSafe;

use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// The SQL type of a field.
pub fn column_type(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Text { .. } | FieldKind::Code { .. } => "text",
        FieldKind::Integer => "bigint",
        FieldKind::Decimal { .. } => "numeric",
        FieldKind::Date => "date",
        FieldKind::DateTime => "timestamp without time zone",
        FieldKind::Boolean => "boolean",
    }
}

/// The columns that every fact table has before those of its fields, with their types.
pub const FIXED_COLUMNS: [(&str, &str); 8] = [
    ("id", "bigint"),
    ("identity_id", "bigint"),
    ("batch_id", "bigint"),
    ("occurred_at", "timestamp without time zone"),
    ("digest", "uuid"),
    ("institution_id", "integer"),
    ("version", "integer"),
    ("row_no", "integer"),
];

/// The statements that create a data set's fact table and its indexes under another name, as benchmarks need.
pub fn create_table(dataset: &Dataset, table: &str) -> String {
    let mut sql = format!("create table {table} (\n");
    for (name, kind) in FIXED_COLUMNS {
        let null = if name == "identity_id" { "" } else { " not null" };
        let _ = writeln!(sql, "    {name} {kind}{null},");
    }
    for field in &dataset.fields {
        let _ = writeln!(sql, "    {} {},", field.name, column_type(&field.kind));
    }
    let _ = writeln!(sql, "    primary key (id)\n);");
    let keys: Vec<&str> = dataset.key.iter().map(|k| dataset.fields[*k].name.as_str()).collect();
    let _ =
        writeln!(sql, "create unique index {table}_key on {table} (institution_id, {});", keys.join(", "));
    if dataset.person.is_some() {
        let _ = writeln!(sql, "create index {table}_identity on {table} (identity_id, occurred_at desc);");
    }
    if let Some(parent) = &dataset.parent
        && !dataset.key.starts_with(&parent.fields)
    {
        let names: Vec<&str> = parent.fields.iter().map(|f| dataset.fields[*f].name.as_str()).collect();
        let _ =
            writeln!(sql, "create index {table}_parent on {table} (institution_id, {});", names.join(", "));
    }
    let _ = writeln!(sql, "create index {table}_batch on {table} using brin (batch_id);");
    sql
}

/// Brings the fact tables in step with the catalogue; what was done, for the log.
pub async fn apply(db: &Db, catalog: &Catalog) -> Result<Vec<String>> {
    db.transaction(async |tx| {
        sqlx::query("select pg_advisory_xact_lock(4210001)").execute(&mut **tx).await.db("lock the fact schema")?;
        let present = present_columns(tx).await?;
        let mut done = Vec::new();
        let mut refused = Vec::new();
        for dataset in &catalog.datasets {
            let table = dataset.table();
            match present.get(&table) {
                None => {
                    for statement in create_table(dataset, &table).split_inclusive(";\n") {
                        sqlx::query(AssertSqlSafe(statement)).execute(&mut **tx).await.db("create a fact table")?;
                    }
                    done.push(format!("新建事实表 {table}（{}）", dataset.name));
                }
                Some(columns) => {
                    for statement in additions(dataset, &table, columns, &mut refused) {
                        sqlx::query(AssertSqlSafe(statement.as_str()))
                            .execute(&mut **tx)
                            .await
                            .db("add a column to a fact table")?;
                        done.push(statement);
                    }
                }
            }
        }
        if !refused.is_empty() {
            return Err(Refusal::conflict(
                "catalog.destructive",
                format!(
                    "目录定义的改动会丢失已存数据，已拒绝启动：\n{}\n请恢复这些定义；确需删除时，先由管理员导出并另建数据集。",
                    refused.join("\n")
                ),
            )
            .into());
        }
        Ok(done)
    })
    .await
}

async fn present_columns(tx: &mut Tx<'_>) -> Result<HashMap<String, HashMap<String, String>>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text, data_type::text from information_schema.columns
         where table_schema = current_schema() and table_name like 'fact\\_%' and table_name <> 'fact_history'",
    )
    .fetch_all(&mut **tx)
    .await
    .db("read the fact schema")?;
    let mut tables: HashMap<String, HashMap<String, String>> = HashMap::new();
    for (table, column, kind) in rows {
        tables.entry(table).or_default().insert(column, kind);
    }
    Ok(tables)
}

// The columns to add; what would be lost goes to `refused`.
fn additions(
    dataset: &Dataset,
    table: &str,
    present: &HashMap<String, String>,
    refused: &mut Vec<String>,
) -> Vec<String> {
    let mut statements = Vec::new();
    for field in &dataset.fields {
        let wanted = column_type(&field.kind);
        match present.get(&field.name) {
            None => statements.push(format!("alter table {table} add column {} {wanted}", field.name)),
            Some(kind) if kind == wanted => {}
            Some(kind) => refused
                .push(format!("数据集“{}”字段 {} 的类型由 {kind} 变为 {wanted}", dataset.name, field.name)),
        }
    }
    let gone = present.keys().filter(|column| {
        dataset.field(column).is_none() && !FIXED_COLUMNS.iter().any(|(name, _)| name == column)
    });
    for column in gone {
        refused.push(format!("数据集“{}”不再定义字段 {column}，而表中已有此列", dataset.name));
    }
    statements
}
