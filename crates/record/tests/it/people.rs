//! The people of the small city, and who answers for them in place of the master index.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contracts::{IdentityRef, Institutions, PersonCard, PersonCards, PersonLookup, PersonMatcher};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Id, RegionCode, Result};
use store::Gated;

/// The people of the city, by identifier.
pub struct People(HashMap<i64, PersonCard>);

/// 张建国: at the county hospital (identity 11) and the township centre (12).
pub const ZHANG: i64 = 1;
/// 李秀兰: address unknown, at the county hospital (21).
pub const LI: i64 = 2;
/// 王外乡: of another city, at its hospital (31).
pub const WANG: i64 = 3;
/// 赵长命: of the city, at the hospital of another county (41); a very long record.
pub const ZHAO: i64 = 4;

impl People {
    pub fn new() -> Self {
        let person =
            |person_id, name: &str, sex: &str, birth: &str, region: &str, identities: &[(i64, i64)]| {
                let card = PersonCard {
                    person_id,
                    name: name.to_owned(),
                    sex: sex.to_owned(),
                    birth_date: birth.parse().ok(),
                    citizen_id: Some(format!("411503{}123X", birth.replace('-', ""))),
                    phone: "13800138000".to_owned(),
                    address: "平桥区明港镇新集村三组".to_owned(),
                    region: RegionCode::parse(region).unwrap_or(RegionCode::NATION),
                    blood_abo: "1".to_owned(),
                    blood_rh: "2".to_owned(),
                    died_on: None,
                    identities: identities
                        .iter()
                        .map(|(identity_id, institution)| IdentityRef {
                            identity_id: *identity_id,
                            institution: Id::new(*institution),
                            local_no: format!("P{identity_id}"),
                        })
                        .collect(),
                };
                (person_id, card)
            };
        Self(HashMap::from([
            person(ZHANG, "张建国", "1", "1957-03-12", "411503102007", &[(11, 1), (12, 2)]),
            person(LI, "李秀兰", "2", "1990-08-01", "", &[(21, 1)]),
            person(WANG, "王外乡", "1", "1980-01-01", "411702", &[(31, 4)]),
            person(ZHAO, "赵长命", "1", "1940-01-01", "411502", &[(41, 3)]),
        ]))
    }
}

impl PersonCards for People {
    fn card<'a, 'c>(&'a self, _: &'a mut Gated<'c>, person: i64) -> BoxFuture<'a, Result<Option<PersonCard>>>
    where
        'c: 'a,
    {
        Box::pin(async move { Ok(self.0.get(&person).cloned()) })
    }

    fn cards<'a, 'c>(
        &'a self,
        _: &'a mut Gated<'c>,
        persons: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a,
    {
        Box::pin(async move { Ok(persons.iter().filter_map(|p| self.0.get(p).cloned()).collect()) })
    }

    fn cards_of<'a, 'c>(
        &'a self,
        _: &'a mut Gated<'c>,
        identities: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a,
    {
        let hangs = |card: &&PersonCard| card.identities.iter().any(|i| identities.contains(&i.identity_id));
        let mut found: Vec<PersonCard> = self.0.values().filter(hangs).cloned().collect();
        found.sort_by_key(|card| card.person_id);
        Box::pin(async move { Ok(found) })
    }

    fn find<'a, 'c>(
        &'a self,
        _: &'a mut Gated<'c>,
        _: &'a kernel::Reach,
        _: &'a dyn Institutions,
        text: &'a str,
        _: i64,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a,
    {
        let name = text.split_whitespace().next().unwrap_or_default();
        let known =
            |card: &&PersonCard| card.citizen_id.as_deref() == Some(text) || card.name.starts_with(name);
        let mut found: Vec<i64> = self.0.values().filter(known).map(|card| card.person_id).collect();
        found.sort_unstable();
        Box::pin(async move { Ok(found) })
    }
}

impl PersonLookup for People {
    fn by_local_no<'a>(
        &'a self,
        institution: InstitutionId,
        local_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<i64>>> {
        let known = |card: &&PersonCard| {
            card.identities.iter().any(|i| i.institution == institution && i.local_no == local_no)
        };
        let found = self.0.values().find(known).map(|card| card.person_id);
        Box::pin(async move { Ok(found) })
    }
    fn by_citizen_id<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async { Ok(None) })
    }
    fn whereabouts<'a>(
        &'a self,
        _: &'a [i64],
    ) -> BoxFuture<'a, Result<HashMap<i64, contracts::Whereabouts>>> {
        Box::pin(async { Ok(HashMap::new()) })
    }
}

impl PersonMatcher for People {
    fn matches<'a, 'c>(
        &'a self,
        _: &'a mut Gated<'c>,
        described: &'a contracts::Demographics,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<contracts::Match>>>
    where
        'c: 'a,
    {
        let surname = described.name.chars().next();
        let mut found: Vec<contracts::Match> = self
            .0
            .values()
            .filter(|card| card.name.chars().next() == surname)
            .map(|card| {
                let certain = card.name == described.name;
                contracts::Match {
                    person_id: card.person_id,
                    probability: if certain { 0.999 } else { 0.2 },
                    certain,
                }
            })
            .collect();
        found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Box::pin(async move { Ok(found) })
    }
}
