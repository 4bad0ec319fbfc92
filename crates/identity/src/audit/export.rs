//! The filtered entries as a file: CSV, XLSX, and AuditMessages after DICOM PS3.15.

use axum::extract::{Query, State};
use axum::http::{HeaderName, header};
use kernel::error::Doing;
use kernel::{Purpose, Result};
use rust_xlsxwriter::{Format, Workbook};
use web::Reply;
use web::route::Allowed;

use super::pages::{Asked, found};
use super::store::Entry;
use super::{atna, words};
use crate::{Identity, page};

const HEADS: [&str; 18] = [
    "时间",
    "姓名",
    "角色",
    "单位",
    "行政区划",
    "调用方",
    "身份强度",
    "会话",
    "地址",
    "操作",
    "对象类别",
    "对象",
    "居民编号",
    "行数",
    "目的",
    "说明",
    "结果",
    "详情",
];

fn cells(entry: &Entry) -> Vec<String> {
    let e = &entry.content;
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    vec![
        page::time_exact(e.at),
        e.actor.clone(),
        e.role.clone(),
        e.institution_name.clone(),
        e.region.clone(),
        words::kind(&e.kind).to_owned(),
        words::assurance(&e.assurance),
        number(e.session_id),
        words::address(&e.address).to_owned(),
        words::act(&e.act).to_owned(),
        words::object(&e.object_kind).to_owned(),
        e.object_label.clone(),
        number(e.person_id),
        number(e.row_count.map(i64::from)),
        words::purpose(&e.purpose).to_owned(),
        e.note.clone(),
        words::outcome(&e.outcome).to_owned(),
        e.detail.clone().unwrap_or_default(),
    ]
}

/// All that is filtered, up to the limit that is set; the export is an entry of its own with the number of rows.
async fn entries(identity: &Identity, allowed: &Allowed, mut asked: Asked) -> Result<Vec<Entry>> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    asked.after = String::new();
    let most = identity.options.whole("audit.export_rows").max(100);
    Ok(found(identity, &reach, &asked, "audit.export", most).await?.0.entries)
}

pub(super) async fn csv(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<web::download::Download> {
    let entries = entries(&identity, &allowed, asked).await?;
    Ok(web::download::csv("audit.csv", &HEADS, entries.iter().map(cells)))
}

type Workbooks = ([(HeaderName, &'static str); 3], Vec<u8>);

pub(super) async fn xlsx(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<Workbooks> {
    let entries = entries(&identity, &allowed, asked).await?;
    // Fifty thousand rows of cells take a while: not on a thread that serves others.
    let bytes = tokio::task::spawn_blocking(move || workbook(&entries)).await.doing("write a workbook")??;
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.xlsx\""),
            (header::CACHE_CONTROL, "no-store"),
        ],
        bytes,
    ))
}

fn workbook(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.set_name("审计日志").doing("write a workbook")?;
    let bold = Format::new().set_bold();
    for (column, head) in HEADS.iter().enumerate() {
        sheet.write_string_with_format(0, column as u16, *head, &bold).doing("write a workbook")?;
    }
    for (at, entry) in entries.iter().enumerate() {
        for (column, cell) in cells(entry).iter().enumerate() {
            sheet.write_string(at as u32 + 1, column as u16, cell).doing("write a workbook")?;
        }
    }
    sheet.set_freeze_panes(1, 0).doing("write a workbook")?;
    sheet.set_column_width(0, 20).doing("write a workbook")?;
    workbook.save_to_buffer().doing("write a workbook")
}

pub(super) async fn atna(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<([(HeaderName, &'static str); 3], String)> {
    let entries = entries(&identity, &allowed, asked).await?;
    let source = identity.settings.base_url.clone();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AuditMessages>\n");
    for entry in &entries {
        text.push_str(&atna::message(entry.id, &entry.content, &source));
        text.push('\n');
    }
    text.push_str("</AuditMessages>\n");
    Ok((
        [
            (header::CONTENT_TYPE, "application/xml; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.xml\""),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_workbook_holds_every_entry_as_text() {
        let content = ::store::audit::Content { object_label: "=cmd()".into(), ..Default::default() };
        let entry = Entry { id: 1, content };
        assert_eq!(cells(&entry).len(), HEADS.len());
        let bytes = workbook(&[entry.clone(), entry]).unwrap();
        assert!(bytes.starts_with(b"PK") && bytes.len() > 1000);
    }
}
