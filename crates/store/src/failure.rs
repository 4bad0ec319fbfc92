//! Database errors as ours: a lost database is a refusal that says to come back, anything else a fault.

use kernel::{Error, Refusal, RefusalKind, Result};

/// Says what the program was doing when a query failed: `query.await.db("read the person")?`.
pub trait DbDoing<T> {
    /// Wraps the error.
    fn db(self, doing: &'static str) -> Result<T>;
}

impl<T> DbDoing<T> for std::result::Result<T, sqlx::Error> {
    fn db(self, doing: &'static str) -> Result<T> {
        self.map_err(|error| db_error(doing, error))
    }
}

/// Whether a text was refused because of a NUL character (`character_not_in_repertoire`, `untranslatable_character`
/// in JSON).
fn is_no_text(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(told) if matches!(told.code().as_deref(), Some("22021" | "22P05")))
}

/// Turns a database error into a refusal (the database cannot be reached, a text it cannot hold) or a fault.
pub fn db_error(doing: &'static str, error: sqlx::Error) -> Error {
    if is_full(&error) {
        tracing::error!(doing, %error, "the database's disk is full");
        return Refusal::new(
            RefusalKind::Unavailable,
            "database.full",
            "数据库所在磁盘空间不足，本次操作没有完成，也没有留下半份数据。请联系管理员清理或扩充磁盘后重试。",
        )
        .into();
    }
    if is_unavailable(&error) {
        tracing::warn!(doing, %error, "database unavailable");
        return Refusal::new(
            RefusalKind::Unavailable,
            "database.unavailable",
            "数据库暂时不可用，本次操作没有完成，也没有留下半份数据。系统会自动恢复，请稍后再试。",
        )
        .into();
    }
    if is_no_text(&error) {
        // Only what somebody sent can hold it; PostgreSQL keeps every other character.
        return Refusal::invalid(
            "request.null_character",
            "提交的内容里有空字符（NUL），不能查询也不能保存。请删去后重试。",
        )
        .into();
    }
    Error::fault(doing, error)
}

/// Makes the lost database that somebody reported as a fault (`.doing` instead of `.db`) the refusal that it is.
pub(crate) fn settle(error: Error) -> Error {
    match error {
        Error::Fault { doing, source } => match source.downcast::<sqlx::Error>() {
            Ok(cause) => db_error(doing, *cause),
            Err(source) => Error::Fault { doing, source },
        },
        refused => refused,
    }
}

/// Whether the server's disk is full (53100).
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "53100")
}

/// Whether the connection, not the statement, is the trouble.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // 08 connection exception, 57P01–57P03 shutdown and start-up, 53300 too many connections.
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "53300")
        }),
        _ => false,
    }
}

/// Whether the transaction lost against another one and may simply be tried again (deadlock, serialization).
pub fn is_conflict(error: &Error) -> bool {
    let Error::Fault { source, .. } = error else { return false };
    source
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .and_then(|e| e.code())
        .is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}
