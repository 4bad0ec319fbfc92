//! Care relations (照护关系): who cares for whom, the ground of the spans *team* and *own patients*.
//!
//! They live here and not beside the grants because the search joins them in one query, and because they must follow the
//! links of identity records.

use chrono::{Duration, NaiveDate};
use contracts::{CareKind, CareRelation, CareRelations, NewCareRelation};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Result, Scope, TeamId};
use store::{DbDoing, Gated, Tx};

use crate::MasterIndex;

/// How long after the last visit a doctor still counts as caring for a patient.
pub const VISIT_HOLDS: Duration = Duration::days(365);

/// Who is named by a scope, as SQL parameters: institution and number of the member of staff, teams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carer {
    /// The institution of the member of staff; 0 for nobody.
    pub institution: i32,
    /// Their number; empty for nobody.
    pub staff_no: String,
    /// Teams.
    pub teams: Vec<i64>,
}

impl Carer {
    /// Whom a scope names.
    pub fn of(scope: &Scope) -> Self {
        let (institution, staff_no) = scope.patients_of.clone().unwrap_or_default();
        Self { institution: i32::try_from(institution).unwrap_or(0), staff_no, teams: scope.teams.clone() }
    }
}

const REACHES: &str = "
    select exists (
        select from identity_record i join care_relation c on c.identity_id = i.id
        where i.person_id = $1
          and ((c.institution_id = $2 and c.staff_no = $3 and $3 <> '') or (c.team_id = any($4) and c.team_id <> 0))
          and case c.kind when 'visit' then c.until >= $5 else c.since <= $6 and (c.until is null or c.until >= $6) end)";

/// Whether the reach of the transaction comes to a person by naming them or by a care relation that holds.
pub async fn reaches(tx: &mut Gated<'_>, person: i64, today: NaiveDate) -> Result<bool> {
    if tx.reach().covers_person(person) {
        return Ok(true);
    }
    let scope = tx.reach().scope();
    if scope.teams.is_empty() && scope.patients_of.is_none() {
        return Ok(false);
    }
    let carer = Carer::of(&scope);
    sqlx::query_scalar(REACHES)
        .bind(person)
        .bind(carer.institution)
        .bind(&carer.staff_no)
        .bind(&carer.teams)
        .bind(today - VISIT_HOLDS)
        .bind(today)
        .fetch_one(&mut ***tx)
        .await
        .db("look for a care relation")
}

type Row = (i32, String, i64, String, NaiveDate, Option<NaiveDate>);

/// Who cares for a person, newest first.
pub async fn of_person(tx: &mut Gated<'_>, person: i64) -> Result<Vec<CareRelation>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select c.institution_id, c.staff_no, c.team_id, c.kind, c.since, c.until
         from identity_record i join care_relation c on c.identity_id = i.id
         where i.person_id = $1 order by coalesce(c.until, 'infinity') desc, c.since desc limit 200",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read the care relations of a person")?;
    let relation = |(institution, staff_no, team, kind, since, until): Row| CareRelation {
        institution: InstitutionId::new(institution.into()),
        staff_no,
        team: (team != 0).then(|| TeamId::new(team)),
        kind,
        since,
        until,
    };
    Ok(rows.into_iter().map(relation).collect())
}

/// Writes relations down, set-based. Rows of the same key in one call must have been put together.
pub async fn note(tx: &mut Tx<'_>, relations: &[NewCareRelation]) -> Result<()> {
    if relations.is_empty() {
        return Ok(());
    }
    // A fixed order of rows keeps two chunks at once from waiting for each other.
    sqlx::query(
        "insert into care_relation as c (identity_id, institution_id, staff_no, team_id, kind, since, until)
         select t.identity_id, t.institution_id, t.staff_no, t.team_id, t.kind, min(t.since),
                case when bool_or(t.until is null) then null else max(t.until) end
         from unnest($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::date[], $7::date[])
            as t (identity_id, institution_id, staff_no, team_id, kind, since, until)
         group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
         on conflict (identity_id, institution_id, staff_no, team_id, kind) do update
            set since = least(c.since, excluded.since),
                until = case when excluded.until is null or c.until is null then excluded.until
                             else greatest(c.until, excluded.until) end
            where c.since > excluded.since
               or c.until is distinct from
                  case when excluded.until is null or c.until is null then excluded.until
                       else greatest(c.until, excluded.until) end",
    )
    .bind(relations.iter().map(|r| r.identity_id).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| i32::try_from(r.institution.get()).unwrap_or(0)).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| r.staff_no.as_str()).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| r.team.map_or(0, |t| t.get())).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| r.kind.code()).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| r.since).collect::<Vec<_>>())
    .bind(relations.iter().map(|r| r.until).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("write care relations")?;
    Ok(())
}

/// Ends the relations of a kind between an institution and an identity record on a day. How many.
pub async fn end(
    tx: &mut Tx<'_>,
    identity_id: i64,
    institution: InstitutionId,
    kind: CareKind,
    last: NaiveDate,
) -> Result<u64> {
    let done = sqlx::query(
        "update care_relation set until = $4
         where identity_id = $1 and institution_id = $2 and kind = $3 and (until is null or until > $4)",
    )
    .bind(identity_id)
    .bind(i32::try_from(institution.get()).unwrap_or(0))
    .bind(kind.code())
    .bind(last)
    .execute(&mut **tx)
    .await
    .db("end care relations")?;
    Ok(done.rows_affected())
}

impl CareRelations for MasterIndex {
    fn reaches<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
        today: NaiveDate,
    ) -> BoxFuture<'a, Result<bool>>
    where
        'c: 'a,
    {
        Box::pin(reaches(tx, person_id, today))
    }

    fn of_person<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
    ) -> BoxFuture<'a, Result<Vec<CareRelation>>>
    where
        'c: 'a,
    {
        Box::pin(of_person(tx, person_id))
    }

    fn note<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        relations: &'a [NewCareRelation],
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(note(tx, relations))
    }

    fn end<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        identity_id: i64,
        institution: InstitutionId,
        kind: CareKind,
        last: NaiveDate,
    ) -> BoxFuture<'a, Result<u64>>
    where
        'c: 'a,
    {
        Box::pin(end(tx, identity_id, institution, kind, last))
    }
}
