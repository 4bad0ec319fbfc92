//! Downloads: the list of issues (CSV, XLSX), the offending rows for repair, the original file.

use std::io::Write;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use kernel::error::Doing;
use kernel::{Error, Purpose, Refusal, Result};
use rust_xlsxwriter::{Workbook, Worksheet};
use web::{Allowed, Reply};

use super::receipt::{self, Explained};
use super::shown;
use crate::Exchange;
use crate::read::{neutralise, rows_by_number};

/// Issues in one file at most. An Excel sheet holds 1,048,576 rows.
const MOST_ISSUES: i64 = 500_000;

/// Heading of the last column of the file for repair.
const REPAIR_WHOLE: &str = "问题（上传时忽略本列）";

/// The same when not all offending rows fit into one file.
const REPAIR_PART: &str =
    "问题（上传时忽略本列；问题行太多，本文件只含前一部分，改正上传后请再下载其余部分）";

const HEADINGS: [&str; 8] = ["行号", "列名", "中文名", "规则", "原值", "问题", "如何改正", "是否拒收"];

fn cells(issue: &Explained) -> [String; 8] {
    [
        issue.row.to_string(),
        issue.column.clone(),
        issue.title.clone(),
        issue.rule.clone(),
        issue.value.clone(),
        issue.message.clone(),
        issue.hint.clone(),
        if issue.rejected { "拒收".to_owned() } else { "已存，计分".to_owned() },
    ]
}

async fn explained(exchange: &Exchange, allowed: &Allowed, batch: i64) -> Result<Vec<Explained>> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let found = receipt::read(exchange, &reach, batch).await?;
    let rows = shown::issues(exchange, allowed, &found, 0, MOST_ISSUES).await?;
    Ok(rows.iter().map(|r| receipt::explain(exchange.catalog(), r)).collect())
}

fn attachment(name: &str, media: &'static str, body: impl Into<Body>) -> Response {
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, media.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, body.into()).into_response()
}

/// `GET /api/v1/batches/{batch}/issues.csv`
pub(super) async fn issues_csv(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Response> {
    let issues = explained(&exchange, &allowed, batch).await?;
    let rows = issues.iter().map(|i| cells(i).to_vec());
    let bytes = csv_bytes(HEADINGS.iter().map(|h| (*h).to_owned()).collect(), rows)?;
    Ok(attachment(&format!("issues-{batch}.csv"), "text/csv; charset=utf-8", bytes))
}

/// `GET /api/v1/batches/{batch}/issues.xlsx`
pub(super) async fn issues_xlsx(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Response> {
    let issues = explained(&exchange, &allowed, batch).await?;
    let bytes =
        tokio::task::spawn_blocking(move || xlsx_bytes(&issues)).await.doing("write a workbook")??;
    let media = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    Ok(attachment(&format!("issues-{batch}.xlsx"), media, bytes))
}

/// `GET /api/v1/batches/{batch}/repair.csv`: the offending rows as they came, with what is wrong in the last
/// column; to be corrected and uploaded again (the last column is ignored then).
pub(super) async fn repair_csv(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let found = receipt::read(&exchange, &reach, batch).await?;
    if found.dataset.is_none() {
        let message = "FHIR 批次没有待改正的行可下载。请对照问题清单改正资源后重新发送。";
        return Err(Refusal::invalid("batch.no_repair", message).into());
    }
    let issues = explained(&exchange, &allowed, batch).await?;
    shown::taken(&exchange, &allowed, &found, "batch.repair").await?;
    let file = exchange.intake.parts().objects.open(&found.original_digest).await?;
    let bytes = tokio::task::spawn_blocking(move || -> Result<Vec<u8>> {
        let mut numbers: Vec<u64> = issues.iter().filter_map(|i| u64::try_from(i.row).ok()).collect();
        numbers.dedup();
        let originals =
            rows_by_number(file, &numbers, None).map_err(|e| Error::fault("read an original", e))?;
        let mut headings = originals.headings.clone();
        let width = headings.len();
        let part = originals.truncated || found.issue_count > issues.len() as i64;
        headings.push(if part { REPAIR_PART } else { REPAIR_WHOLE }.to_owned());
        let mut at = 0;
        let rows = originals.rows.into_iter().map(|row| {
            while at < issues.len() && (issues[at].row as u64) < row.number {
                at += 1;
            }
            let mine = issues[at..].iter().take_while(|i| i.row as u64 == row.number);
            let words: Vec<String> = mine.map(|i| format!("{}：{}", i.title, i.message)).collect();
            let mut cells = row.cells;
            cells.resize(width, String::new());
            cells.push(words.join("；"));
            cells
        });
        csv_bytes(headings, rows)
    })
    .await
    .doing("write the file for repair")??;
    Ok(attachment(&format!("repair-{batch}.csv"), "text/csv; charset=utf-8", bytes))
}

/// `GET /api/v1/batches/{batch}/original`: the bytes as they came.
pub(super) async fn original(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let found = receipt::read(&exchange, &reach, batch).await?;
    shown::taken(&exchange, &allowed, &found, "batch.original").await?;
    let file = exchange.intake.parts().objects.open(&found.original_digest).await?;
    let stream = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file));
    Ok(attachment(&format!("batch-{batch}"), "application/octet-stream", Body::from_stream(stream)))
}

// With a byte-order mark, so that spreadsheet programs take it for UTF-8; cells that look like formulas are made text.
fn csv_bytes(headings: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.write_all("\u{feff}".as_bytes()).doing("write CSV")?;
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(bytes);
    writer.write_record(&headings).doing("write CSV")?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| neutralise(cell).into_owned())).doing("write CSV")?;
    }
    writer.into_inner().map_err(|e| Error::fault("write CSV", e.to_string()))
}

fn xlsx_bytes(issues: &[Explained]) -> Result<Vec<u8>> {
    let mut workbook = Workbook::new();
    let sheet: &mut Worksheet = workbook.add_worksheet();
    sheet.set_name("问题清单").doing("write a workbook")?;
    for (column, heading) in HEADINGS.iter().enumerate() {
        sheet.write_string(0, column as u16, *heading).doing("write a workbook")?;
    }
    for (row, issue) in issues.iter().enumerate() {
        for (column, cell) in cells(issue).iter().enumerate() {
            sheet.write_string(row as u32 + 1, column as u16, cell).doing("write a workbook")?;
        }
    }
    sheet.set_freeze_panes(1, 0).doing("write a workbook")?;
    workbook.save_to_buffer().doing("write a workbook")
}
