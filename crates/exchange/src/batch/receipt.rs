//! Reading receipts and issues, within reach.

use catalog::{Catalog, Dataset};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Caller, Reach, Refusal, Result};
use protect::Verdict;
use serde::Serialize;
use sqlx::FromRow;
use store::{Db, DbDoing, Gated, Tx, signature};

use crate::intake::chunk::ISSUE_VALUE;
use crate::{Exchange, limits, quality};

/// A receipt (回执): what became of a batch.
#[derive(Debug, Clone, FromRow)]
pub struct Receipt {
    /// Number of the batch.
    pub id: i64,
    /// Sender.
    pub institution_id: i32,
    /// Data set; none for FHIR.
    pub dataset: Option<i16>,
    /// Door.
    pub door: String,
    /// File name, or empty.
    pub file_name: String,
    /// BLAKE3 of the original bytes.
    pub original_digest: String,
    /// Their number.
    pub original_bytes: i64,
    /// What the reader took it for.
    pub media: String,
    /// All-or-nothing mode.
    pub atomic: bool,
    /// accepted, processing, done or failed.
    pub state: String,
    /// Rows received.
    pub rows_received: i64,
    /// Rows stored anew.
    pub rows_stored: i64,
    /// Rows that were there already.
    pub rows_unchanged: i64,
    /// Rows that replaced an earlier version.
    pub rows_replaced: i64,
    /// Rows that withdrew a fact.
    pub rows_withdrawn: i64,
    /// Rows rejected.
    pub rows_rejected: i64,
    /// Issues found.
    pub issue_count: i64,
    /// Total score of 100.
    pub score: Option<f32>,
    /// Scores of the four dimensions.
    pub dimension_scores: Option<Vec<Option<f32>>>,
    /// Unknown headings, resources kept but not mapped.
    pub notes: serde_json::Value,
    /// Why the batch could not be read to its end.
    pub failure: Option<String>,
    /// Who sent it.
    pub submitted_by: String,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When it was finished.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Receipt {
    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "done" | "failed")
    }
}

/// How often one rule was checked and broken in a batch.
#[derive(Debug, Clone, FromRow, Serialize)]
pub struct RuleCount {
    /// Data set.
    pub dataset: i16,
    /// Rule.
    pub rule: i16,
    /// Rows it applied to.
    pub checked: i64,
    /// Rows that broke it.
    pub failed: i64,
}

/// One listed issue.
#[derive(Debug, Clone, FromRow)]
pub struct IssueRow {
    /// Data set.
    pub dataset: i16,
    /// Row number in the source.
    pub row_no: i64,
    /// Rule, or −1 for a row that could not be read.
    pub rule: i16,
    /// Field.
    pub field: Option<i16>,
    /// Whether the row was rejected for it.
    pub rejected: bool,
    /// The value as it came.
    pub value: String,
}

/// An issue in words.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// Row number in the source, from 1, the heading not counted.
    pub row: i64,
    /// Column name.
    pub column: String,
    /// Column's Chinese name.
    pub title: String,
    /// Code of the rule.
    pub rule: String,
    /// Value as it came.
    pub value: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
    /// Whether the row was rejected for it.
    pub rejected: bool,
}

/// Puts an issue in words.
pub fn explain(catalog: &Catalog, issue: &IssueRow) -> Explained {
    let dataset = catalog.dataset_by_number(issue.dataset);
    let rule = usize::try_from(issue.rule).ok().and_then(|r| dataset.and_then(|d| d.rules.get(r)));
    let field = issue.field.and_then(|f| dataset.and_then(|d| d.fields.get(f as usize)));
    let Some(rule) = rule else {
        return Explained {
            row: issue.row_no,
            column: String::new(),
            title: String::new(),
            rule: "unreadable".to_owned(),
            value: String::new(),
            message: issue.value.clone(),
            hint: "请按提示修改这一行后重新上传。".to_owned(),
            rejected: true,
        };
    };
    Explained {
        row: issue.row_no,
        column: field.map(|f| f.name.clone()).unwrap_or_default(),
        title: field.map(|f| f.title.clone()).unwrap_or_default(),
        rule: rule.code.clone(),
        value: issue.value.clone(),
        message: rule.message.clone(),
        hint: rule.hint.clone(),
        rejected: issue.rejected,
    }
}

const COLUMNS: &str = "id, institution_id, dataset, door, file_name, original_digest, original_bytes, media, atomic,
    state, rows_received, rows_stored, rows_unchanged, rows_replaced, rows_withdrawn, rows_rejected, issue_count,
    score, dimension_scores, notes, failure, submitted_by, received_at, finished_at";

/// What a list of batches is filtered by.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Institution.
    pub institution: Option<InstitutionId>,
    /// Data set.
    pub dataset: Option<i16>,
    /// State.
    pub state: Option<String>,
    /// Day of receipt, in China.
    pub day: Option<NaiveDate>,
    /// Only batches below this number (keyset paging).
    pub before: Option<i64>,
}

/// What the platform's signature of a receipt covers: all that is decided once the batch has ended.
pub const SIGNED: [&str; 10] = [
    "batch",
    "dataset",
    "file_name",
    "state",
    "original",
    "rows",
    "score",
    "issues",
    "received_at",
    "finished_at",
];
/// The kind of object under which receipts are signed.
const RECEIPT: &str = "batch.receipt";

/// Signs the receipt of a batch that has just ended.
pub async fn sign(tx: &mut Tx<'_>, catalog: &Catalog, batch: i64, now: DateTime<Utc>) -> Result<()> {
    let sql = format!("select {COLUMNS} from batch where id = $1");
    let receipt: Receipt = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(batch)
        .fetch_one(&mut **tx)
        .await
        .db("read a receipt to sign it")?;
    let text = signature::covered(&json(&receipt, catalog, &[], &[]), &SIGNED);
    let by = Caller::system("平台");
    signature::sign(tx, "platform", &by, (RECEIPT, batch), text.as_bytes(), now).await.map(drop)
}

/// The platform's signature of a receipt and whether the receipt still is what was signed; `None` for one that was not
/// signed: it is not final, or older than signatures.
pub async fn signed(
    db: &Db,
    catalog: &Catalog,
    receipt: &Receipt,
) -> Result<Option<(signature::Signed, Verdict)>> {
    let Some(last) = signature::of(db, RECEIPT, receipt.id).await?.pop() else { return Ok(None) };
    let text = signature::covered(&json(receipt, catalog, &[], &[]), &SIGNED);
    let verdict = last.check(db.keyring(), text.as_bytes());
    Ok(Some((last, verdict)))
}

/// The JSON form of a receipt with the platform's signature, once there is one.
pub async fn whole(exchange: &Exchange, receipt: &Receipt) -> Result<serde_json::Value> {
    let rules = rules(exchange.db(), receipt.id).await?;
    let kept = kept(exchange.db(), receipt.id).await?;
    let mut json = json(receipt, exchange.catalog(), &rules, &kept);
    if let Some((signed, _)) = signed(exchange.db(), exchange.catalog(), receipt).await? {
        json["signature"] = signed.json(exchange.db().keyring(), &SIGNED);
    }
    Ok(json)
}

/// One receipt; not found when out of reach.
pub async fn read(exchange: &Exchange, reach: &Reach, id: i64) -> Result<Receipt> {
    let sql = format!("select {COLUMNS} from batch where id = $1");
    sqlx::query_as::<_, Receipt>(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(exchange.db().pool())
        .await
        .db("read a receipt")?
        .filter(|found| {
            let card = exchange.institutions().by_id(i64::from(found.institution_id).into());
            card.is_some_and(|card| reach.covers(card.id, &card.region))
                && limits::numbers(reach.caller(), exchange.catalog())
                    .is_none_or(|own| found.dataset.is_some_and(|number| own.contains(&number)))
        })
        .ok_or_else(|| Refusal::not_found("batch.unknown", "没有这个批次，或不在您的权限范围内。").into())
}

/// Newest first.
pub async fn list(exchange: &Exchange, reach: &Reach, filter: &Filter, limit: i64) -> Result<Vec<Receipt>> {
    let within: Vec<i32> = quality::scope::in_reach(exchange.institutions().as_ref(), reach)
        .iter()
        .map(|card| card.id.get() as i32)
        .filter(|id| filter.institution.is_none_or(|asked| asked.get() == i64::from(*id)))
        .collect();
    // Of one institution: its own index gives the newest at once.
    let one = match within[..] {
        [] => return Ok(Vec::new()),
        [one] => Some(one),
        _ => None,
    };
    let sql = format!(
        "select {COLUMNS} from batch b where ($1::int is null or b.institution_id = $1)
            and ($1::int is not null or b.institution_id = any($2))
            and ($3::smallint is null or b.dataset = $3) and ($4::text is null or b.state = $4)
            and ($5::timestamptz is null or b.received_at >= $5)
            and ($6::timestamptz is null or b.received_at < $6)
            and ($7::bigint is null or b.id < $7)
            and ($9::smallint[] is null or b.dataset = any($9))
         order by b.id desc limit $8"
    );
    sqlx::query_as::<_, Receipt>(sqlx::AssertSqlSafe(sql))
        .bind(one)
        .bind(within)
        .bind(filter.dataset)
        .bind(&filter.state)
        .bind(filter.day.map(midnight))
        .bind(filter.day.and_then(|day| day.succ_opt()).map(midnight))
        .bind(filter.before)
        .bind(limit)
        .bind(limits::numbers(reach.caller(), exchange.catalog()))
        .fetch_all(exchange.db().pool())
        .await
        .db("list receipts")
}

/// Rule counts of a batch, most broken first.
pub async fn rules(db: &Db, batch: i64) -> Result<Vec<RuleCount>> {
    sqlx::query_as(
        "select dataset, rule, checked, failed from batch_rule where batch_id = $1 order by failed desc, dataset, rule",
    )
    .bind(batch)
    .fetch_all(db.pool())
    .await
    .db("read the rules of a batch")
}

/// Issues of a batch in the order of its rows, from a position. For people: see [`super::shown::issues`].
pub async fn issues_in(tx: &mut Gated<'_>, batch: i64, offset: i64, limit: i64) -> Result<Vec<IssueRow>> {
    let rows = sqlx::query_as(
        "select dataset, row_no, rule, field, rejected, value from batch_issue
         where batch_id = $1 order by row_no, dataset, rule, field limit $2 offset $3",
    )
    .bind(batch)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut ***tx)
    .await
    .db("read the issues of a batch")?;
    opened(tx.keyring(), rows)
}

fn opened(keyring: &protect::Keyring, mut rows: Vec<IssueRow>) -> Result<Vec<IssueRow>> {
    let opener = keyring.opener();
    for row in &mut rows {
        if protect::is_sealed(&row.value) {
            row.value = opener.text(ISSUE_VALUE, &row.value)?.into_owned();
        }
    }
    Ok(rows)
}

/// Why rows of a batch were rejected, in the order of the rows.
pub async fn rejections(db: &Db, batch: i64) -> Result<Vec<IssueRow>> {
    let rows = sqlx::query_as(
        "select dataset, row_no, rule, field, rejected, value from batch_issue
         where batch_id = $1 and rejected order by row_no, dataset, rule, field",
    )
    .bind(batch)
    .fetch_all(db.pool())
    .await
    .db("read the rejections of a batch")?;
    opened(db.keyring(), rows)
}

/// How many resources of a FHIR batch were kept but not mapped, by kind.
pub async fn kept(db: &Db, batch: i64) -> Result<Vec<(String, i64)>> {
    sqlx::query_as("select kind, count(*) from kept_resource where batch_id = $1 group by kind order by kind")
        .bind(batch)
        .fetch_all(db.pool())
        .await
        .db("read what a batch kept unmapped")
}

/// The JSON form of a receipt.
pub fn json(
    receipt: &Receipt,
    catalog: &Catalog,
    rules: &[RuleCount],
    kept: &[(String, i64)],
) -> serde_json::Value {
    let dataset: Option<&std::sync::Arc<Dataset>> =
        receipt.dataset.and_then(|n| catalog.dataset_by_number(n));
    let dimensions: serde_json::Map<String, serde_json::Value> = catalog::Dimension::ALL
        .iter()
        .zip(receipt.dimension_scores.iter().flatten())
        .filter_map(|(d, s)| Some((serde_json::to_value(d).ok()?.as_str()?.to_owned(), serde_json::json!(s))))
        .collect();
    let problems: Vec<serde_json::Value> = rules
        .iter()
        .filter(|r| r.failed > 0)
        .filter_map(|r| {
            let dataset = catalog.dataset_by_number(r.dataset)?;
            let rule = dataset.rules.get(usize::try_from(r.rule).ok()?)?;
            Some(serde_json::json!({
                "dataset": dataset.code, "rule": rule.code, "message": rule.message, "hint": rule.hint,
                "rejects": rule.reject, "checked": r.checked, "failed": r.failed,
            }))
        })
        .collect();
    serde_json::json!({
        "batch": receipt.id,
        "dataset": dataset.map(|d| d.code.as_str()),
        "file_name": receipt.file_name,
        "state": receipt.state,
        "atomic": receipt.atomic,
        "media": receipt.media,
        "original": { "digest": receipt.original_digest, "bytes": receipt.original_bytes },
        "rows": {
            "received": receipt.rows_received, "stored": receipt.rows_stored, "unchanged": receipt.rows_unchanged,
            "replaced": receipt.rows_replaced, "withdrawn": receipt.rows_withdrawn, "rejected": receipt.rows_rejected,
        },
        "score": receipt.score,
        "dimensions": dimensions,
        "issues": receipt.issue_count,
        "problems": problems,
        "kept_not_mapped": kept.iter().map(|(k, n)| serde_json::json!({"kind": k, "count": n})).collect::<Vec<_>>(),
        "notes": receipt.notes,
        "failure": receipt.failure,
        "received_at": receipt.received_at,
        "finished_at": receipt.finished_at,
        "links": {
            "self": format!("/api/v1/batches/{}", receipt.id),
            "issues": format!("/api/v1/batches/{}/issues", receipt.id),
            "issues_csv": format!("/api/v1/batches/{}/issues.csv", receipt.id),
            "repair_csv": format!("/api/v1/batches/{}/repair.csv", receipt.id),
            "page": format!("/batches/{}", receipt.id),
        },
    })
}

/// When a day begins in China.
fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
        - chrono::Duration::seconds(i64::from(kernel::clock::CHINA_OFFSET_SECONDS))
}
