//! Accounts, their posts, teams and exceptions follow their divisions: what a right reaches moves with the registry of
//! divisions, and goes with the institution where that was assigned by itself.

use contracts::{DivisionHoldings, DivisionsFollowed, DivisionsMoved};
use futures::future::BoxFuture;
use kernel::{RegionCode, Result};
use store::jobs::{Job, Jobs};
use store::{Db, DbDoing, Tx, outbox};

/// The word for this part of the platform.
const PART: &str = "accounts";
/// Job: follows one operation on divisions.
const FOLLOW: &str = "identity.follow_divisions";

/// Registers the job that follows operations on divisions.
pub(crate) fn register(db: &Db, jobs: &mut Jobs) {
    let db = db.clone();
    jobs.on(FOLLOW, move |job| {
        let db = db.clone();
        async move { follow(&db, &job).await }
    });
    jobs.subscribe(DivisionsMoved::TOPIC, FOLLOW);
}

async fn follow(db: &Db, job: &Job) -> Result<()> {
    let event: DivisionsMoved = job.read()?;
    // Some tens of thousands of accounts at most: one transaction, so that no two of them disagree.
    db.transaction(async |tx| {
        let moved = if event.undo { put_back(tx, &event).await? } else { move_on(tx, &event).await? };
        let followed = DivisionsFollowed {
            operation_id: event.operation_id,
            part: PART.to_owned(),
            undo: event.undo,
            moved,
        };
        outbox::emit(tx, DivisionsFollowed::TOPIC, &event.operation_id.to_string(), &followed).await?;
        job.finish_in(tx).await
    })
    .await
}

/// The statements of one table.
struct Table {
    kind: i16,
    move_on: &'static str,
    put_back: &'static str,
    move_out: &'static str,
}

/// One table's statements: which of its rows count, and the institution that a row belongs to.
macro_rules! table {
    ($kind:literal, $name:literal, $counts:literal, $alone:literal) => {
        Table {
            kind: $kind,
            move_on: concat!(
                "with target as (
                     select r.id, r.region as before, coalesce(i.region, m.to_code) as after
                     from ",
                $name,
                " r
                     left join unnest($2::text[], $3::text[]) as m (from_code, to_code) on m.from_code = r.region
                     left join unnest($4::int[], $5::text[]) as i (id, region)
                         on i.id = r.institution_id and r.region = $6
                     where (m.to_code is not null or i.region is not null) and ",
                $counts,
                "
                 ), alone as (select * from target t where ",
                $alone,
                "), noted as (
                     insert into account_division_note (operation_id, kind, row_id, from_code, to_code)
                     select $1, $7, id, before, after from alone on conflict do nothing
                 )
                 update ",
                $name,
                " r set region = t.after from alone t where t.id = r.id"
            ),
            put_back: concat!(
                "with noted as (
                     delete from account_division_note where operation_id = $1 and kind = $2
                     returning row_id, from_code, to_code
                 )
                 update ",
                $name,
                " r set region = n.from_code from noted n where n.row_id = r.id and r.region = n.to_code"
            ),
            move_out: concat!(
                "update ",
                $name,
                " r set region = m.to_code from unnest($1::text[], $2::text[]) as m (from_code, to_code)
                 where r.region = m.from_code and ",
                $counts
            ),
        }
    };
}

/// A role that is held at the target already is not held there twice: the other stays where nothing lies any more.
const TABLES: [Table; 4] = [
    table!(1, "account", "true", "true"),
    table!(
        2,
        "account_role",
        "r.withdrawn_at is null",
        "not exists (
             select from account_role r join account_role o on o.account_id = r.account_id and o.role = r.role
                 and coalesce(o.institution_id, 0) = coalesce(r.institution_id, 0) and o.withdrawn_at is null
             left join target e on e.id = o.id
             where r.id = t.id and (o.region = t.after or e.after = t.after and o.id < r.id))"
    ),
    table!(3, "team", "true", "true"),
    table!(4, "access_exception", "r.target = 'region'", "true"),
];

fn sides(event: &DivisionsMoved) -> (Vec<&str>, Vec<&str>) {
    event.moves.iter().map(|(from, to)| (from.as_str(), to.as_str())).unzip()
}

/// The accounts moved; posts, teams and exceptions with them.
async fn move_on(tx: &mut Tx<'_>, event: &DivisionsMoved) -> Result<i64> {
    let (from, to) = sides(event);
    let institutions: Vec<i32> = event.institutions.iter().map(|(id, _)| *id as i32).collect();
    let places: Vec<&str> = event.institutions.iter().map(|(_, code)| code.as_str()).collect();
    let mut accounts = 0;
    for table in &TABLES {
        // With its institution only out of the division that is divided: who reaches further keeps the reach.
        let done = sqlx::query(table.move_on)
            .bind(event.operation_id)
            .bind(&from)
            .bind(&to)
            .bind(&institutions)
            .bind(&places)
            .bind(event.divided.as_deref())
            .bind(table.kind)
            .execute(&mut **tx)
            .await
            .db("move accounts to other divisions")?;
        if table.kind == TABLES[0].kind {
            accounts = done.rows_affected() as i64;
        }
    }
    Ok(accounts)
}

async fn put_back(tx: &mut Tx<'_>, event: &DivisionsMoved) -> Result<i64> {
    let (from, to) = sides(event);
    let mut accounts = 0;
    for table in &TABLES {
        let noted = sqlx::query(table.put_back)
            .bind(event.operation_id)
            .bind(table.kind)
            .execute(&mut **tx)
            .await
            .db("move accounts back to their divisions")?;
        let since = sqlx::query(table.move_out)
            .bind(&from)
            .bind(&to)
            .execute(&mut **tx)
            .await
            .db("move accounts out of divisions that vanish")?;
        if table.kind == TABLES[0].kind {
            accounts = (noted.rows_affected() + since.rows_affected()) as i64;
        }
    }
    Ok(accounts)
}

/// What accounts there are by division, for the desk of the divisions.
#[derive(Debug, Clone)]
pub struct AccountsByDivision {
    pub(crate) db: Db,
}

impl DivisionHoldings for AccountsByDivision {
    fn part(&self) -> &'static str {
        PART
    }

    fn title(&self) -> &'static str {
        "账号（个）"
    }

    fn count<'a>(&'a self, codes: &'a [String]) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as(
                "select region, count(*) from account where region = any($1) group by 1 order by 1",
            )
            .bind(codes)
            .fetch_all(self.db.pool())
            .await
            .db("count accounts by division")
        })
    }

    fn count_all<'a>(&'a self) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as("select region, count(*) from account where state = 'open' group by 1")
                .fetch_all(self.db.pool())
                .await
                .db("count accounts by division")
        })
    }

    fn rows_of(&self, _: &RegionCode) -> Option<String> {
        Some("/accounts".to_owned())
    }
}
