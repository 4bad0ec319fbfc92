//! What an order would do, without doing it: it is carried out whole, looked at, and taken back in the same transaction.
//! So the answer is what would happen, with every rule and every refusal, and not what a second set of rules believes.

use chrono::{DateTime, Utc};
use contracts::{Institutions, PersonCard};
use futures::future::BoxFuture;
use kernel::{Reach, Result};
use store::db::Retry;
use store::{AuditEntry, DbDoing, Gated};

use super::rules::{Change, Order, PersonId};
use super::{Wished, carry, reason, result};
use crate::{MasterIndex, card};

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// What would change.
    pub change: Change,
    /// Who would have the records.
    pub person: PersonId,
    /// As this person would be shown. Unmasked.
    pub card: Option<PersonCard>,
    /// Review tasks that would be answered by it.
    pub tasks: i64,
}

/// Tasks that wait among the records of these persons.
async fn waiting(tx: &mut Gated<'_>, persons: &[PersonId]) -> Result<i64> {
    sqlx::query_scalar(
        "select count(*) from review_task t where t.state in ('open', 'asked', 'second')
           and t.a in (select id from identity_record where person_id = any($1))
           and t.b in (select id from identity_record where person_id = any($1))",
    )
    .bind(persons)
    .fetch_one(&mut ***tx)
    .await
    .db("count the tasks of persons")
}

pub(super) async fn mark(tx: &mut Gated<'_>, statement: &'static str) -> Result<()> {
    sqlx::query(statement).execute(&mut ***tx).await.db("mark the place of a preview")?;
    Ok(())
}

impl MasterIndex {
    /// What an order would do, with what is wished of a merge. Refused where the order would be.
    pub fn preview<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        order: &'a Order,
        wished: Option<&'a Wished>,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Preview>> {
        Box::pin(async move {
            let why = reason(why)?;
            let mut retry = Retry::default();
            loop {
                let seen = self
                    .db
                    .personal(reach, now, async |tx, reach| {
                        mark(tx, "savepoint preview").await?;
                        let order =
                            result::order(self, tx, reach, institutions, order, wished, why, now).await?;
                        let done = carry::carry_out(self, tx, reach, institutions, &order, why, now).await?;
                        let persons: Vec<PersonId> = done.change.persons().into_iter().collect();
                        // What is otherwise checked at the end of the transaction.
                        mark(tx, "set constraints all immediate").await?;
                        let after = waiting(tx, &persons).await?;
                        let card = card::demographics(tx, done.person).await?;
                        mark(tx, "rollback to savepoint preview").await?;
                        let before = waiting(tx, &persons).await?;
                        let entry = AuditEntry {
                            act: "person.merge_preview",
                            object_kind: "person",
                            object_id: Some(done.person),
                            object_label: why.to_owned(),
                            person_id: Some(done.person),
                            rows: i32::try_from(done.change.links.len()).ok(),
                            ..AuditEntry::default()
                        };
                        let tasks = (before - after).max(0);
                        Ok((Preview { person: done.person, change: done.change, card, tasks }, entry))
                    })
                    .await;
                match seen {
                    Err(error) if retry.again(&error).await => {}
                    seen => return seen,
                }
            }
        })
    }
}
