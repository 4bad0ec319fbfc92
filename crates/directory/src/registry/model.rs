//! Entries of the registers and their versions, as plain values.

use chrono::{DateTime, NaiveDate, Utc};
use kernel::access::InstitutionId;
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// How an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In use, in post, open.
    Active,
    /// An institution that is closed.
    Closed,
    /// An institution that another one carries on.
    Merged,
    /// A member of staff who left.
    Left,
    /// A part that is no longer in use.
    Ended,
    /// Taken back: registered by mistake, or an import that was undone.
    Removed,
}

impl State {
    /// Every state that lists offer.
    pub const SHOWN: [State; 5] = [State::Active, State::Closed, State::Merged, State::Left, State::Ended];

    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Closed => "closed",
            State::Merged => "merged",
            State::Left => "left",
            State::Ended => "ended",
            State::Removed => "removed",
        }
    }
    /// From the word in the database.
    pub fn parse(word: &str) -> Self {
        match word {
            "closed" => State::Closed,
            "merged" => State::Merged,
            "left" => State::Left,
            "ended" => State::Ended,
            "removed" => State::Removed,
            _ => State::Active,
        }
    }
    /// The Chinese name.
    pub const fn name(self) -> &'static str {
        match self {
            State::Active => "正常",
            State::Closed => "已注销",
            State::Merged => "已并入其他机构",
            State::Left => "已离职",
            State::Ended => "已停用",
            State::Removed => "已撤回",
        }
    }
}

/// The Chinese name of what a version did.
pub fn change_name(change: &str) -> &str {
    match change {
        "registered" => "登记",
        "changed" => "修改",
        "renamed" => "更名",
        "moved" => "调动",
        "left" => "离职",
        "returned" => "复职",
        "closed" => "注销",
        "merged" => "并入其他机构",
        "reopened" => "恢复开办",
        "ended" => "停用",
        "removed" => "撤回",
        "restored" => "恢复",
        other => other,
    }
}

/// An entry as it is now.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Identifier.
    pub id: i64,
    /// Code of the register.
    pub kind: String,
    /// The institution that it is or belongs to.
    pub institution: InstitutionId,
    /// The member of staff whose it is, for parts of staff.
    pub parent: Option<i64>,
    /// Key and name of that member of staff.
    pub parent_key: String,
    /// See `parent_key`.
    pub parent_name: String,
    /// What makes it the same within its owner.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Values by field.
    pub content: Map<String, Value>,
    /// Sealed values by field, see [`super::guard`].
    pub guarded: Map<String, Value>,
    /// The day on which it runs out.
    pub expires_on: Option<NaiveDate>,
    /// Completeness, 0 … 100.
    pub score: i16,
    /// Number of the present version.
    pub version: i32,
    /// The institution that carries on.
    pub merged_into: Option<InstitutionId>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Entry {
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            institution: InstitutionId::new(row.try_get::<i32, _>("institution_id")?.into()),
            parent: row.try_get("parent_id")?,
            parent_key: row.try_get::<Option<String>, _>("parent_key")?.unwrap_or_default(),
            parent_name: row.try_get::<Option<String>, _>("parent_name")?.unwrap_or_default(),
            key: row.try_get("key")?,
            name: row.try_get("name")?,
            state: State::parse(row.try_get("state")?),
            content: object(row.try_get("content")?),
            guarded: object(row.try_get("guarded")?),
            expires_on: row.try_get("expires_on")?,
            score: row.try_get("score")?,
            version: row.try_get("version")?,
            merged_into: row
                .try_get::<Option<i32>, _>("merged_into")?
                .map(|id| InstitutionId::new(id.into())),
            updated_at: row.try_get("updated_at")?,
        })
    }

    /// A value as text; empty where there is none.
    pub fn text(&self, field: &str) -> String {
        self.content.get(field).map(as_text).unwrap_or_default()
    }
}

/// A version of an entry.
#[derive(Debug, Clone)]
pub struct Version {
    /// Cursor of the change feed.
    pub seq: i64,
    /// The entry.
    pub entry: i64,
    /// Number, from 1.
    pub version: i32,
    /// Code of the register.
    pub kind: String,
    /// The institution at that time.
    pub institution: InstitutionId,
    /// What was done.
    pub change: String,
    /// What it was called.
    pub name: String,
    /// How it stood.
    pub state: State,
    /// Values.
    pub content: Map<String, Value>,
    /// Sealed values.
    pub guarded: Map<String, Value>,
    /// From which day on it held.
    pub valid_from: NaiveDate,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// Who wrote it.
    pub recorded_by: String,
    /// Why.
    pub reason: String,
    /// The import that wrote it.
    pub import: Option<i64>,
    /// The request that led to it.
    pub request: Option<i64>,
}

impl Version {
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            entry: row.try_get("entry_id")?,
            version: row.try_get("version")?,
            kind: row.try_get("kind")?,
            institution: InstitutionId::new(row.try_get::<i32, _>("institution_id")?.into()),
            change: row.try_get("change")?,
            name: row.try_get("name")?,
            state: State::parse(row.try_get("state")?),
            content: object(row.try_get("content")?),
            guarded: object(row.try_get("guarded")?),
            valid_from: row.try_get("valid_from")?,
            recorded_at: row.try_get("recorded_at")?,
            recorded_by: row.try_get("recorded_by")?,
            reason: row.try_get("reason")?,
            import: row.try_get("import_id")?,
            request: row.try_get("request_id")?,
        })
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A JSON value as people read it.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "是" } else { "否" }.to_owned(),
        other => other.to_string(),
    }
}
