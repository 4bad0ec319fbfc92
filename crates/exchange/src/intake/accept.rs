//! Accepting a batch: its original bytes and its row in `batch` are made safe before anything else happens.

use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Purpose, Reach, Refusal, Result};
use store::{AuditEntry, DbDoing};
use tokio::io::AsyncRead;

use super::Intake;

/// The door through which a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /api/v1/datasets/{dataset}/batches`
    Api,
    /// The upload form.
    Form,
    /// The watched folder.
    Folder,
    /// `minkang import`
    Command,
    /// `POST /fhir`
    Fhir,
}

impl Door {
    /// As stored.
    pub const fn code(self) -> &'static str {
        match self {
            Door::Api => "api",
            Door::Form => "form",
            Door::Folder => "folder",
            Door::Command => "command",
            Door::Fhir => "fhir",
        }
    }
}

/// What a door knows of a batch before reading it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who sends.
    pub institution: InstitutionId,
    /// Code or alias of the data set; `None` for FHIR, which feeds several.
    pub dataset: Option<String>,
    /// The door.
    pub door: Door,
    /// The file's name, if it has one.
    pub file_name: String,
    /// Idempotency key of the request: the same key again gives the first receipt.
    pub request_key: Option<String>,
    /// All or nothing: one rejected row rejects the batch.
    pub atomic: bool,
    /// When it counts as received; `None` is now. Only the operator's command sets it, to load old files with
    /// the day on which they came.
    pub received_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// A batch whose bytes are safe.
#[derive(Debug)]
pub struct Accepted {
    /// Its number.
    pub batch: i64,
    /// Whether this request had been accepted before.
    pub repeated: bool,
    pub(super) place: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Intake {
    /// Keeps the original and registers the batch. When this returns, the batch will be carried to its end even
    /// if the program is killed at once.
    pub fn accept<'a>(
        &'a self,
        reach: &'a Reach,
        submission: Submission,
        body: impl AsyncRead + Send + Unpin + 'a,
    ) -> BoxFuture<'a, Result<Accepted>> {
        self.accept_boxed(reach, submission, Box::new(body))
    }

    // Not generic, so that it is compiled here and not again in every crate that uploads something.
    fn accept_boxed<'a>(
        &'a self,
        reach: &'a Reach,
        submission: Submission,
        body: Box<dyn AsyncRead + Send + Unpin + 'a>,
    ) -> BoxFuture<'a, Result<Accepted>> {
        Box::pin(self.keep(reach, submission, body))
    }

    async fn keep(
        &self,
        reach: &Reach,
        submission: Submission,
        body: Box<dyn AsyncRead + Send + Unpin + '_>,
    ) -> Result<Accepted> {
        let parts = &self.inner.parts;
        let institution = self.institution(submission.institution)?;
        if !reach.covers(institution.id, &institution.region) {
            return Err(
                Refusal::not_found("institution.unknown", "没有这个机构，或不在您的权限范围内。").into()
            );
        }
        let dataset = match &submission.dataset {
            None => None,
            Some(code) => Some(parts.catalog.dataset(code).ok_or_else(|| {
                Refusal::not_found(
                    "batch.unknown_dataset",
                    format!("没有名为“{code}”的数据集。数据集的名称见“数据集目录”页面。"),
                )
            })?),
        };
        crate::limits::may_send(reach.caller(), dataset.map(AsRef::as_ref))?;
        let number = dataset.map(|d| d.number);
        if let Some(id) = self.earlier(&submission, number).await? {
            return Ok(Accepted { batch: id, repeated: true, place: None });
        }
        // Out of an address it may hold what no database text can, and be of any length.
        let file_name: String = submission.file_name.chars().filter(|c| !c.is_control()).take(200).collect();
        // Asked before the body is read, taken after it: slow senders must not hold the places of others.
        drop(self.place()?);
        let original = parts.objects.put_stream(body).await?;
        let place = self.place()?;
        store::crash::point("intake.kept");
        let received_at = submission.received_at.unwrap_or_else(|| parts.clock.now());
        let now = parts.clock.now();
        let batch = parts
            .db
            .transaction(async |tx| {
                let id: Option<i64> = sqlx::query_scalar(
                    "insert into batch (institution_id, dataset, door, file_name, request_key, original_digest,
                        original_bytes, media, atomic, state, submitted_by, received_at)
                     values ($1, $2, $3, $4, $5, $6, $7, '', $8, 'accepted', $9, $10)
                     on conflict (institution_id, request_key) where request_key is not null do nothing
                     returning id",
                )
                .bind(institution.id.get() as i32)
                .bind(number)
                .bind(submission.door.code())
                .bind(&file_name)
                .bind(&submission.request_key)
                .bind(&original.digest)
                .bind(original.bytes as i64)
                .bind(submission.atomic)
                .bind(&reach.caller().name)
                .bind(received_at)
                .fetch_optional(&mut **tx)
                .await
                .db("register a batch")?;
                if let Some(id) = id {
                    let entry = AuditEntry {
                        act: "batch.receive",
                        object_kind: "batch",
                        object_id: Some(id),
                        object_label: match dataset {
                            Some(d) => format!("{} {file_name}", d.name),
                            None => format!("FHIR {file_name}"),
                        },
                        ..AuditEntry::default()
                    };
                    store::record(tx, reach.caller(), &Purpose::of("upload"), now, &entry).await?;
                }
                Ok(id)
            })
            .await?;
        store::crash::point("intake.accepted");
        match batch {
            Some(id) => Ok(Accepted { batch: id, repeated: false, place: Some(place) }),
            // The same request came twice at the same instant; the other one carries it.
            None => match self.earlier(&submission, number).await? {
                Some(id) => Ok(Accepted { batch: id, repeated: true, place: None }),
                None => Err(Refusal::conflict("batch.key", "同一请求标识正在处理，请稍后查询。").into()),
            },
        }
    }

    // A key that was used for another data set would answer with a receipt of other rows: these would be lost.
    async fn earlier(&self, submission: &Submission, dataset: Option<i16>) -> Result<Option<i64>> {
        let Some(key) = &submission.request_key else { return Ok(None) };
        let found: Option<(i64, Option<i16>)> =
            sqlx::query_as("select id, dataset from batch where institution_id = $1 and request_key = $2")
                .bind(submission.institution.get() as i32)
                .bind(key)
                .fetch_optional(self.inner.parts.db.pool())
                .await
                .db("look for an earlier request")?;
        match found {
            Some((id, earlier)) if earlier != dataset => Err(Refusal::conflict(
                "batch.key_used",
                format!("请求标识“{key}”已用于另一数据集的批次 {id}，本次数据没有接收。请换一个 Idempotency-Key 重新发送。"),
            )
            .into()),
            found => Ok(found.map(|(id, _)| id)),
        }
    }
}
