//! Whom a description means: the comparison that links registrations, asked without registering anybody.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use contracts::{Demographics, Match, PersonMatcher};
use futures::future::BoxFuture;
use kernel::Result;
use store::{Gated, Tx};

use super::{Item, nearby};
use crate::MasterIndex;
use crate::known::{Known, Traits};

/// Less probable persons are not named.
const LEAST: f64 = 0.01;

impl PersonMatcher for MasterIndex {
    fn matches<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        described: &'a Demographics,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<Match>>>
    where
        'c: 'a,
    {
        Box::pin(self.whom(tx, described, now))
    }
}

impl MasterIndex {
    async fn whom(
        &self,
        tx: &mut Tx<'_>,
        described: &Demographics,
        now: DateTime<Utc>,
    ) -> Result<Vec<Match>> {
        let engine = self.engine.get(tx, now).await?;
        let mut known = Known::default();
        known.apply(described);
        let items = [Item::new(&engine, "", known, None)];
        let cap = self.candidates_per_key();
        let found = nearby::look(tx, 0, &items, &BTreeSet::new(), cap).await?;
        let found = nearby::read(tx, &engine, &items, &found, cap, now).await?;
        let nodes = &found.around.nodes;
        let (link, _) = engine.model.thresholds();
        let mut best: BTreeMap<i64, Match> = BTreeMap::new();
        for other in found.around.candidates.get(&0).into_iter().flatten() {
            let (asked, node) = (&nodes[0], &nodes[*other]);
            let Some(person_id) = node.person else { continue };
            let comparison = engine.compare(&asked.prepared, &node.prepared);
            let same_number = asked.number.is_some() && asked.number == node.number;
            let traits = |t: &(String, String, Option<chrono::NaiveDate>)| (t.0.clone(), t.1.clone(), t.2);
            let (a, b) = (traits(&asked.traits), traits(&node.traits));
            let agree = Traits { name: &a.0, sex: &a.1, birth_date: a.2 }.agree(&Traits {
                name: &b.0,
                sex: &b.1,
                birth_date: b.2,
            });
            let plain = comparison.veto.is_none() && comparison.doubt.is_none();
            let probability = if same_number && agree { 1.0 } else { comparison.probability };
            if comparison.veto.is_some() || probability < LEAST {
                continue;
            }
            let certain = (same_number && agree) || (plain && probability >= link);
            let this = Match { person_id, probability, certain };
            let kept = best.entry(person_id).or_insert_with(|| this.clone());
            if this.probability > kept.probability {
                *kept = this;
            }
        }
        let mut matches: Vec<Match> = best.into_values().collect();
        matches.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.person_id.cmp(&b.person_id)));
        Ok(matches)
    }
}
