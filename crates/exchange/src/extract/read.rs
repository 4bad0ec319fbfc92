//! Reading the cases of an extract: rows of a fact table in a period, with whose they are.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, NaiveTime};
use contracts::PersonCards;
use kernel::Result;
use sqlx::{AssertSqlSafe, Row};
use store::{DbDoing, Gated};

use super::{Asked, MOST_ROWS};

/// Identity records looked up at once.
const PEOPLE: usize = 2_000;

/// A case before anything is taken from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    /// The person's identifier; that of the identity record where there is no person.
    pub person: String,
    /// Name, to be taken out of texts.
    pub name: String,
    /// Sex code.
    pub sex: String,
    /// Date of birth.
    pub birth: Option<NaiveDate>,
    /// Division of the address.
    pub region: String,
    /// The sensitive value.
    pub sensitive: Option<String>,
    /// Every field as text.
    pub cells: Vec<Option<String>>,
}

/// The cases, and whether there were more than an extract takes. The batches of the days lead to the rows.
pub(super) async fn cases(
    tx: &mut Gated<'_>,
    people: &dyn PersonCards,
    asked: &Asked,
    institutions: &[i32],
    sensitive: Option<usize>,
) -> Result<(Vec<Case>, bool)> {
    let dataset = &asked.dataset;
    let columns: Vec<String> = dataset.fields.iter().map(|f| format!("f.{}::text", f.name)).collect();
    let sql = format!(
        "select f.identity_id, array[{}]::text[] from {} f
         where f.institution_id = any($1) and f.occurred_at >= $2 and f.occurred_at < $3
            and f.batch_id = any(array(
                select distinct batch_id from batch_day
                where institution_id = any($1) and day >= $2::date and day < $3::date and dataset = $4))
            and f.identity_id is not null
         order by f.id limit $5",
        columns.join(", "),
        dataset.table(),
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(institutions)
        .bind(asked.from.and_time(NaiveTime::MIN))
        .bind((asked.to + Days::new(1)).and_time(NaiveTime::MIN))
        .bind(dataset.number)
        .bind(MOST_ROWS + 1)
        .fetch_all(&mut ***tx)
        .await
        .db("read the cases of an extract")?;
    let truncated = rows.len() as i64 > MOST_ROWS;
    let opener = tx.keyring().opener();
    let protected: Vec<(usize, String)> = dataset.protected().map(|f| (f, dataset.place(f))).collect();
    let mut found: Vec<(i64, Vec<Option<String>>)> = Vec::with_capacity(rows.len());
    for row in rows.iter().take(MOST_ROWS as usize) {
        let read = || Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
        let (identity, mut cells): (i64, Vec<Option<String>>) = read().db("read a case")?;
        for (field, place) in &protected {
            if let Some(Some(text)) = cells.get_mut(*field)
                && protect::is_sealed(text)
            {
                *text = opener.text(place, text)?.into_owned();
            }
        }
        found.push((identity, cells));
    }

    let mut identities: Vec<i64> = found.iter().map(|(identity, _)| *identity).collect();
    identities.sort_unstable();
    identities.dedup();
    let mut whose: HashMap<i64, Case> = HashMap::with_capacity(identities.len());
    for some in identities.chunks(PEOPLE) {
        for card in people.cards_of(tx, some).await? {
            let case = Case {
                person: card.person_id.to_string(),
                name: card.name,
                sex: card.sex,
                birth: card.birth_date,
                region: card.region.as_str().to_owned(),
                ..Case::default()
            };
            whose.extend(card.identities.iter().map(|i| (i.identity_id, case.clone())));
        }
    }
    let cases = found
        .into_iter()
        .map(|(identity, cells)| {
            let own = whose.get(&identity).cloned();
            let case = own.unwrap_or_else(|| Case { person: format!("i{identity}"), ..Case::default() });
            let sensitive = sensitive.and_then(|f| cells.get(f).cloned().flatten());
            Case { sensitive, cells, ..case }
        })
        .collect();
    Ok((cases, truncated))
}
