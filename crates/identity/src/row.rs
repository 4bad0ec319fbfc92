//! Reads a query's row into a struct by column names.

/// `row!(Thing { id, name })`: a row with columns `id` and `name` is a `Thing`.
macro_rules! row {
    ($thing:ident { $($field:ident),* $(,)? }) => {
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $thing {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),* })
            }
        }
    };
}

pub(crate) use row;
