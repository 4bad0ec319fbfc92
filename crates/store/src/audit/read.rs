//! Reading the trail segment by segment: for alerts and for forwarding, each with a mark of how far it has come.

use kernel::Result;

use super::content::{Content, columns};
use super::segment::{Segment, segment_columns};
use crate::db::{Db, Tx};
use crate::failure::DbDoing;

#[derive(sqlx::FromRow)]
struct Numbered {
    id: i64,
    #[sqlx(flatten)]
    content: Content,
}

/// A segment with its entries, in order.
#[derive(Debug, Clone)]
pub struct Read {
    /// Number of the segment.
    pub segment: i64,
    /// Numbers of the entries and what they say.
    pub entries: Vec<(i64, Content)>,
}

/// The next segments after the reader's mark, as many as have `most` entries together (one at least).
pub async fn next_segments(db: &Db, reader: &str, most: i64) -> Result<Vec<Read>> {
    let segments: Vec<Segment> = sqlx::query_as(concat!(
        "select ",
        segment_columns!(),
        " from audit_segment s
          where s.number > coalesce((select segment from trail_cursor where reader = $1), 0)
            and s.number <= coalesce((select segment from trail_cursor where reader = $1), 0) + 200
          order by s.number"
    ))
    .bind(reader)
    .fetch_all(db.pool())
    .await
    .db("read the next segments")?;
    let mut taken = Vec::new();
    let mut count = 0;
    for segment in segments {
        if !taken.is_empty() && count + i64::from(segment.entry_count) > most {
            break;
        }
        count += i64::from(segment.entry_count);
        taken.push(segment);
    }
    let (Some(from), Some(until)) =
        (taken.iter().map(|s| s.first_at).min(), taken.iter().map(|s| s.last_at).max())
    else {
        return Ok(Vec::new());
    };
    let ids: Vec<i64> = taken.iter().flat_map(Segment::lines).map(|l| l.id).collect();
    let found: Vec<Numbered> = sqlx::query_as(concat!(
        "select id, ",
        columns!(),
        " from audit_entry where at >= $1 and at <= $2 and id = any($3)"
    ))
    .bind(from)
    .bind(until)
    .bind(&ids)
    .persistent(false)
    .fetch_all(db.pool())
    .await
    .db("read the entries of segments")?;
    let mut found: std::collections::HashMap<i64, Content> =
        found.into_iter().map(|n| (n.id, n.content)).collect();
    Ok(taken
        .iter()
        .map(|segment| Read {
            segment: segment.number,
            entries: segment.lines().filter_map(|l| Some((l.id, found.remove(&l.id)?))).collect(),
        })
        .collect())
}

/// Moves the reader's mark; in the transaction of what was done with the segments.
pub async fn move_mark(tx: &mut Tx<'_>, reader: &str, segment: i64) -> Result<()> {
    sqlx::query(
        "insert into trail_cursor (reader, segment) values ($1, $2)
         on conflict (reader) do update set segment = greatest(trail_cursor.segment, excluded.segment)",
    )
    .bind(reader)
    .bind(segment)
    .execute(&mut **tx)
    .await
    .db("move the mark of a reader of the trail")?;
    Ok(())
}

/// Begins at the end: a reader without a mark skips what is there already.
pub async fn begin_at_end(db: &Db, reader: &str) -> Result<()> {
    sqlx::query(
        "insert into trail_cursor (reader, segment) select $1, coalesce(max(number), 0) from audit_segment
         on conflict (reader) do nothing",
    )
    .bind(reader)
    .execute(db.pool())
    .await
    .db("begin to read the trail")?;
    Ok(())
}
