//! Alerts (异常告警): patterns in the trail that an auditor should look at. Rules are definitions (`catalog/alerts.toml`);
//! a job evaluates them over entries as they are sealed.
//!
//! ```text
//! raised ──► 待处理 ──looking──► 处理中 ──handled──► 已处理
//!                └──────────────────┴──dismissed──► 已排除
//! ```

pub mod pages;
pub mod rules;
mod store;

use std::sync::Arc;

use ::store::audit::{begin_at_end, move_mark, next_segments};
use ::store::jobs::Jobs;
use catalog::Severity;
use contracts::{DeskCard, DeskLine, DeskPanel, Notice, NoticeTo, Notices};
use futures::future::BoxFuture;
use kernel::{Caller, RegionCode, Result};

use super::READ;
use crate::{Identity, notice};

/// The kind of job; also the name of the mark in the trail.
pub(super) const JOB: &str = "audit.alerts";
/// Entries looked at in one step.
const AT_ONCE: i64 = 3000;
/// Steps of one run; the next run goes on.
const STEPS: usize = 50;

/// Registers the job.
pub(super) fn register(identity: &Identity, jobs: &mut Jobs) {
    let identity = identity.clone();
    jobs.on(JOB, move |_| {
        let identity = identity.clone();
        async move { run(&identity).await.map(drop) }
    });
}

/// Evaluates what was sealed since the last run; how many alerts were raised.
pub async fn run(identity: &Identity) -> Result<usize> {
    begin_at_end(&identity.db, JOB).await?;
    store::refresh_baseline(identity).await?;
    let mut raised = 0;
    for _ in 0..STEPS {
        let read = next_segments(&identity.db, JOB, AT_ONCE).await?;
        let Some(last) = read.last().map(|r| r.segment) else { break };
        let happened = store::gather(identity, &read).await?;
        let mut found = Vec::new();
        for rule in identity.catalog.alerts.iter().filter(|r| r.on) {
            found.extend(rules::evaluate(rule, &happened).into_iter().map(|alert| (rule, alert)));
        }
        let now = identity.clock.now();
        raised += identity
            .db
            .transaction(async |tx| {
                let fresh = store::raise(tx, &found, now).await?;
                for (rule, alert) in fresh.iter().map(|n| &found[*n]) {
                    if rule.severity == Severity::High {
                        let notice = Notice {
                            title: format!("异常告警：{}", rule.title),
                            link: "/audit/alerts".to_owned(),
                            urgent: true,
                        };
                        let region = RegionCode::parse(&alert.region).unwrap_or(RegionCode::NATION);
                        notice::Sender.send(tx, NoticeTo::Holders(READ, region), &notice, now).await?;
                    }
                }
                move_mark(tx, JOB, last).await?;
                Ok(fresh.len())
            })
            .await?;
    }
    Ok(raised)
}

/// The auditor's panel on the desk.
struct Panel(Identity);

/// The panel on the desk of auditors: alerts that nobody has dealt with.
pub fn panel(identity: &Identity) -> Arc<dyn DeskPanel> {
    Arc::new(Panel(identity.clone()))
}

impl DeskPanel for Panel {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            if !caller.may(READ) {
                return Ok(None);
            }
            let counts = store::open_counts(&self.0, caller).await?;
            let line = |severity: Severity, count: i64| DeskLine {
                text: format!("{}级异常告警待处理", severity.name()),
                figure: count.to_string(),
                link: format!("/audit/alerts?state=open&severity={}", severity.code()),
                urgent: severity == Severity::High,
            };
            let lines: Vec<DeskLine> =
                counts.into_iter().map(|(severity, count)| line(severity, count)).collect();
            Ok((!lines.is_empty()).then(|| DeskCard { title: "安全审计".to_owned(), lines }))
        })
    }
}
