//! The desk's panel of the registers: what waits to be decided, and what runs out soon.

use std::sync::Arc;

use contracts::{DeskCard, DeskLine, DeskPanel};
use futures::future::BoxFuture;
use kernel::{Caller, Purpose, Result};
use store::DbDoing;

use super::Registries;
use super::pages::{APPROVE, READ};

/// The panel of this part.
pub fn panel(registries: &Registries) -> Arc<dyn DeskPanel> {
    Arc::new(RegistryPanel { registries: registries.clone() })
}

struct RegistryPanel {
    registries: Registries,
}

impl DeskPanel for RegistryPanel {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            let mut lines = Vec::new();
            if caller.may(APPROVE) {
                lines.extend(self.waiting(caller).await?);
            }
            if caller.may(READ) {
                lines.extend(self.expiring(caller).await?);
            }
            Ok((!lines.is_empty()).then(|| DeskCard { title: "机构与人员登记".to_owned(), lines }))
        })
    }
}

impl RegistryPanel {
    async fn waiting(&self, caller: &Caller) -> Result<Option<DeskLine>> {
        let scope = caller.decide(APPROVE, Purpose::of("registry"))?.scope();
        let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
        let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
        // A unit decides about the stage `unit`; the commission, whose reach is a region, about both.
        let n: i64 = sqlx::query_scalar(
            "select count(*) from registry_request r join institution i on i.id = r.institution_id
             where r.stage in ('unit', 'commission') and r.account_id is distinct from $3
                and (i.region like any($1) or (r.stage = 'unit' and r.institution_id = any($2)))",
        )
        .bind(prefixes)
        .bind(institutions)
        .bind(caller.account.map(kernel::Id::get))
        .fetch_one(self.registries.db.pool())
        .await
        .db("count requests that wait")?;
        Ok((n > 0).then(|| DeskLine {
            text: "待审核的变更申请".to_owned(),
            figure: n.to_string(),
            link: "/registry/requests".to_owned(),
            urgent: true,
        }))
    }

    async fn expiring(&self, caller: &Caller) -> Result<Vec<DeskLine>> {
        let scope = caller.decide(READ, Purpose::of("registry"))?.scope();
        let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
        let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
        let today = self.registries.clock.local().date();
        let days = self.registries.options.whole("registry.expiry_days");
        let until = today.checked_add_signed(chrono::TimeDelta::days(days)).unwrap_or(today);
        let (over, soon): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where e.expires_on < $3), count(*) filter (where e.expires_on >= $3)
             from registry_entry e join institution i on i.id = e.institution_id
             where e.expires_on <= $4 and e.state = 'active' and (i.region like any($1) or e.institution_id = any($2))",
        )
        .bind(prefixes)
        .bind(institutions)
        .bind(today)
        .bind(until)
        .fetch_one(self.registries.db.pool())
        .await
        .db("count what runs out")?;
        let line = |n: i64, text: String, link: &str, urgent| {
            (n > 0).then(|| DeskLine { text, figure: n.to_string(), link: link.to_owned(), urgent })
        };
        Ok([
            line(over, "已过期的证件和执业注册".to_owned(), "/registry/expiring?days=0", true),
            line(soon, format!("{days} 天内到期的证件和执业注册"), "/registry/expiring", false),
        ]
        .into_iter()
        .flatten()
        .collect())
    }
}
