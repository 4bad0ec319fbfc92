//! What leaves a batch for somebody's eyes: issues, rows for repair, the original. All of it may be personal data, so
//! each look is written to the audit trail, and values are shown by the same rule as rows of a day
//! ([`Sight`]): whole to the sender, masked or not at all to those who only watch quality.

use catalog::{Catalog, Sensitivity};
use kernel::{Purpose, Result};
use store::AuditEntry;
use web::Allowed;

use super::receipt::{self, IssueRow, Receipt};
use crate::Exchange;
use crate::quality::rows::{Sight, masked};

/// What stands where a value is not for this reader.
const HIDDEN: &str = "（不显示）";

fn entry(receipt: &Receipt, act: &'static str, detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        act,
        object_kind: "batch",
        object_id: Some(receipt.id),
        object_label: format!("批次 {} {}", receipt.id, receipt.file_name).trim_end().to_owned(),
        detail: Some(detail),
        ..AuditEntry::default()
    }
}

/// Issues of a batch as this caller may see them.
pub(super) async fn issues(
    exchange: &Exchange,
    allowed: &Allowed,
    receipt: &Receipt,
    offset: i64,
    limit: i64,
) -> Result<Vec<IssueRow>> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let card = exchange.institutions().by_id(i64::from(receipt.institution_id).into());
    let sight = card.map_or(Sight::Outline, |card| Sight::of(allowed.caller(), &card));
    let now = exchange.intake.parts().clock.now();
    let mut rows = exchange
        .db()
        .personal(&reach, now, async |tx, _| {
            let rows = receipt::issues_in(tx, receipt.id, offset, limit).await?;
            let detail = serde_json::json!({ "issues": rows.len(), "offset": offset });
            Ok((rows, entry(receipt, "batch.issues", detail)))
        })
        .await?;
    for row in &mut rows {
        veil(exchange.catalog(), row, sight);
    }
    Ok(rows)
}

/// Notes that somebody takes whole rows of a batch out of the platform.
pub(super) async fn taken(
    exchange: &Exchange,
    allowed: &Allowed,
    receipt: &Receipt,
    act: &'static str,
) -> Result<()> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let now = exchange.intake.parts().clock.now();
    let detail = serde_json::json!({ "rows": receipt.rows_received });
    exchange.db().personal(&reach, now, async |_, _| Ok(((), entry(receipt, act, detail)))).await
}

// The value of an issue, for whoever is not the sender.
fn veil(catalog: &Catalog, issue: &mut IssueRow, sight: Sight) {
    if sight == Sight::Whole || issue.value.is_empty() {
        return;
    }
    let Some(dataset) = catalog.dataset_by_number(issue.dataset) else { return };
    let position = issue.field.and_then(|f| usize::try_from(f).ok());
    let Some((position, field)) = position.and_then(|p| Some((p, dataset.fields.get(p)?))) else { return };
    let named = dataset.key.contains(&position) || dataset.occurred == position;
    issue.value = match field.sensitivity {
        Sensitivity::Restricted => HIDDEN.to_owned(),
        Sensitivity::Identifying => masked(field, &issue.value),
        Sensitivity::Ordinary if sight == Sight::Outline && dataset.person.is_some() && !named => {
            HIDDEN.to_owned()
        }
        Sensitivity::Ordinary => return,
    };
}
