//! The registry of institutions (机构).

use std::sync::Arc;

use chrono::NaiveDate;
use contracts::{InstitutionCard, Institutions, NewInstitution};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Refusal, RegionCode, Result, Tier};
use sqlx::Row;
use standards::pinyin::initials;
use store::DbDoing;

use crate::{Directory, Registry};

// Written only when something differs; `touched` tells.
const REGISTER: &str = "
    insert into institution as i (code, name, short_name, class, sender_class, region, initials, invented)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (code) do update
    set name = excluded.name, short_name = excluded.short_name, class = excluded.class,
        sender_class = excluded.sender_class, region = excluded.region, initials = excluded.initials,
        invented = excluded.invented
    where (i.name, i.short_name, i.class, i.sender_class, i.region, i.invented) is distinct from
          (excluded.name, excluded.short_name, excluded.class, excluded.sender_class, excluded.region,
           excluded.invented)
    returning id";

impl Directory {
    async fn register_institution(&self, new: NewInstitution) -> Result<InstitutionId> {
        let code = new.code.trim().to_uppercase();
        let name = new.name.trim().to_owned();
        if code.is_empty() || name.is_empty() || code.chars().any(char::is_whitespace) {
            return Err(Refusal::invalid(
                "institution.incomplete",
                format!("机构代码和名称都要填写，代码中不能有空格（代码“{code}”，名称“{name}”）。请补全后重新登记。"),
            )
            .into());
        }
        let short_name = self.short_name(&name, &new.region);
        let id: i32 = self
            .db
            .transaction(async |tx| {
                let row = sqlx::query(REGISTER)
                    .bind(&code)
                    .bind(&name)
                    .bind(&short_name)
                    .bind(&new.class)
                    .bind(&new.sender_class)
                    .bind(new.region.as_str())
                    .bind(initials(&name))
                    .bind(new.invented)
                    .fetch_optional(&mut **tx)
                    .await
                    .db("register an institution")?;
                match row {
                    Some(row) => {
                        let id = row.try_get(0).db("register an institution")?;
                        crate::registry::write::record_institution(tx, id).await?;
                        Ok(id)
                    }
                    None => sqlx::query_scalar("select id from institution where code = $1")
                        .bind(&code)
                        .fetch_one(&mut **tx)
                        .await
                        .db("find an institution"),
                }
            })
            .await?;
        let id = InstitutionId::new(id.into());
        let card = InstitutionCard {
            id,
            code,
            name,
            short_name,
            sender_class: new.sender_class,
            region: new.region,
            invented: new.invented,
        };
        let now = self.institutions_now();
        if now.by_id.get(&id.get()).is_none_or(|known| **known != card) {
            self.institutions.put(now.with(card));
            self.announce(Registry::Institutions).await?;
        }
        Ok(id)
    }

    /// The name without the province, city and county that lists show beside it anyway.
    pub(crate) fn short_name(&self, name: &str, region: &RegionCode) -> String {
        let regions = self.regions_now();
        let mut short = name;
        for tier in [Tier::Province, Tier::City, Tier::County] {
            if let Some(own) = regions.own_name(&region.at(tier))
                && let Some(rest) = short.strip_prefix(own)
                && rest.chars().count() >= 3
            {
                short = rest;
            }
        }
        short.to_owned()
    }
}

impl Institutions for Directory {
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>> {
        self.institutions_now().by_id.get(&id.get()).cloned()
    }

    fn by_code(&self, code: &str) -> Option<Arc<InstitutionCard>> {
        let now = self.institutions_now();
        let code = code.trim().to_uppercase();
        now.by_code.get(&code).cloned().or_else(|| {
            let id = now.by_identifier.get(&code)?;
            now.by_id.get(&id.get()).cloned()
        })
    }

    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        Arc::clone(&self.institutions_now().all)
    }

    fn region_name(&self, code: &RegionCode) -> String {
        self.regions_now().full_name(code)
    }

    fn region_name_in(&self, code: &RegionCode, year: i16) -> String {
        self.regions_now().full_name_in(code, year)
    }

    fn region_in(&self, card: &InstitutionCard, year: i16) -> RegionCode {
        self.regions_now().place(card.id.get(), card.region, year)
    }

    fn division_year(&self, day: NaiveDate) -> Option<i16> {
        self.regions_now().edition_on(day).map(|e| e.year)
    }

    fn division_years(&self) -> Vec<i16> {
        let mut years: Vec<i16> = self.regions_now().editions.iter().map(|e| e.year).collect();
        years.sort_unstable_by(|a, b| b.cmp(a));
        years
    }

    fn register<'a>(&'a self, card: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        Box::pin(self.register_institution(card))
    }
}
