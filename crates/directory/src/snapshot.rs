//! All institutions in memory.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::InstitutionCard;
use kernel::access::InstitutionId;
use kernel::{RegionCode, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{Db, DbDoing};

/// All institutions, in order, with their indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Ordered by division, then name.
    pub all: Arc<Vec<Arc<InstitutionCard>>>,
    pub by_id: HashMap<i64, Arc<InstitutionCard>>,
    /// Upload codes, in capitals.
    pub by_code: HashMap<String, Arc<InstitutionCard>>,
    /// Other identifiers, in capitals. One that two institutions share finds the one with the lower identifier.
    pub by_identifier: HashMap<String, InstitutionId>,
}

/// All but those whose registration was taken back.
const SELECT: &str = "
    select id, code, name, short_name, sender_class, region, invented from institution i
    where not exists (select 1 from registry_entry e where e.institution_id = i.id and e.kind = 'institution'
            and e.state = 'removed')
        or exists (select 1 from registry_entry e where e.institution_id = i.id and e.kind = 'institution'
            and e.state <> 'removed')";

impl Snapshot {
    pub(crate) async fn read(db: &Db) -> Result<Self> {
        let rows = sqlx::query(SELECT).fetch_all(db.pool()).await.db("read institutions")?;
        let cards: Vec<_> = rows.iter().map(card).collect::<Result<_, _>>().db("read institutions")?;
        let identifiers =
            sqlx::query("select value, institution_id from institution_identifier order by 2 desc")
                .fetch_all(db.pool())
                .await
                .db("read identifiers of institutions")?;
        let by_identifier = identifiers
            .iter()
            .map(|row| {
                let value: String = row.try_get(0)?;
                Ok((value.to_uppercase(), InstitutionId::new(row.try_get::<i32, _>(1)?.into())))
            })
            .collect::<Result<_, sqlx::Error>>()
            .db("read identifiers of institutions")?;
        Ok(Self::of(cards, by_identifier))
    }

    fn of(mut cards: Vec<Arc<InstitutionCard>>, by_identifier: HashMap<String, InstitutionId>) -> Self {
        cards.sort_by(|a, b| (a.region, &a.name, &a.code).cmp(&(b.region, &b.name, &b.code)));
        Self {
            by_id: cards.iter().map(|c| (c.id.get(), Arc::clone(c))).collect(),
            by_code: cards.iter().map(|c| (c.code.to_uppercase(), Arc::clone(c))).collect(),
            all: Arc::new(cards),
            by_identifier,
        }
    }

    /// The same with one institution added or replaced.
    pub(crate) fn with(&self, card: InstitutionCard) -> Self {
        let mut cards: Vec<_> = self.all.iter().filter(|c| c.id != card.id).cloned().collect();
        cards.push(Arc::new(card));
        Self::of(cards, self.by_identifier.clone())
    }
}

pub(crate) fn card(row: &PgRow) -> Result<Arc<InstitutionCard>, sqlx::Error> {
    Ok(Arc::new(InstitutionCard {
        id: InstitutionId::new(row.try_get::<i32, _>(0)?.into()),
        code: row.try_get(1)?,
        name: row.try_get(2)?,
        short_name: row.try_get(3)?,
        sender_class: row.try_get(4)?,
        region: RegionCode::parse(row.try_get(5)?).unwrap_or(RegionCode::NATION),
        invented: row.try_get(6)?,
    }))
}
