//! Pages of terminology: code tables, editions, maps of institutions' own codes, coverage.

mod codes;
mod coverage;
mod editions;
mod maps;
mod stored;

use std::sync::Arc;

use axum::extract::Multipart;
use contracts::InstitutionCard;
use kernel::{Act, Caller, Line, Need, Reach, Refusal, Result};
use maud::{Markup, html};
use web::ui::{Here, Tone, notice_closable};
use web::{Access, Routes};

use crate::Directory;

/// Looking at an institution's own codes and their coverage.
pub const LOOK: Need = Need::new(Line::Administration, Act::Read);
/// Proposing maps: the institution's engineer.
pub const PROPOSE: Need = Need::new(Line::Exchange, Act::Write);
/// Deciding on maps: the terminology officer.
pub const APPROVE: Need = Need::new(Line::Administration, Act::Approve);
/// Loading editions.
pub const LOAD: Need = Need::new(Line::System, Act::Manage);

/// Rows on a page.
const PAGE: usize = 50;
/// The largest file that is imported, in bytes.
const LARGEST: usize = 30 * 1024 * 1024;

/// The routes of terminology.
pub fn routes(directory: Arc<Directory>) -> Routes<()> {
    let signed_in = Access::SignedIn("代码表是公开标准，任何登录用户填报、核对数据时都要查阅");
    let look = Access::Needs(LOOK);
    Routes::new()
        .get("/codes", signed_in, codes::list_page)
        .get("/codes.csv", signed_in, codes::list_csv)
        .get("/codes/{table}", signed_in, codes::table_page)
        .get("/codes/{table}/code", signed_in, codes::code_page)
        .get("/codes/{table}/export.csv", signed_in, codes::export)
        .get("/codes/{table}/export.xlsx", signed_in, codes::export_xlsx)
        .get("/codes/{table}/editions", signed_in, editions::page)
        .get("/codes/{table}/compare", signed_in, editions::compare)
        .get("/codes/{table}/compare.csv", signed_in, editions::compare_csv)
        .get("/codes/{table}/import", Access::Needs(LOAD), editions::form)
        .post_stream("/codes/{table}/import", Access::Needs(LOAD), editions::load)
        .post("/codes/{table}/validity", Access::Needs(LOAD), editions::validity)
        .get("/api/v1/codes/{table}", signed_in, codes::json)
        .get("/api/v1/codes/{table}/search", signed_in, codes::search)
        .get("/code-maps", look, maps::page)
        .get("/code-maps.csv", look, maps::csv)
        .get("/code-maps.xlsx", look, maps::xlsx)
        .get("/code-maps/import", Access::Needs(PROPOSE), maps::form)
        .post_stream("/code-maps/import", Access::Needs(PROPOSE), maps::load)
        .post("/code-maps/propose", Access::Needs(PROPOSE), maps::propose)
        .post("/code-maps/withdraw", Access::Needs(PROPOSE), maps::withdraw)
        .post("/code-maps/decide", Access::Needs(APPROVE), maps::decide)
        .post("/code-maps/undo", Access::Needs(APPROVE), maps::undo)
        .get("/code-coverage", look, coverage::page)
        .get("/code-coverage.csv", look, coverage::csv)
        .get("/code-coverage.xlsx", look, coverage::xlsx)
        .get("/code-coverage/codes", look, coverage::codes)
        .get("/code-coverage/codes.csv", look, coverage::codes_csv)
        .get("/code-coverage/code", look, coverage::code)
        .with_state(Arc::clone(&directory))
        .merge(crate::terminology::fhir::routes(directory))
}

/// The page asked for, from 1, and the rows that it shows.
fn page_of<T>(here: &Here, rows: Vec<T>) -> (u64, u64, Vec<T>) {
    let total = rows.len();
    let page = page_number(here, total as u64);
    let rows = rows.into_iter().skip((page as usize - 1) * PAGE).take(PAGE).collect();
    (page, total as u64, rows)
}

/// The page asked for, from 1, within what there is.
fn page_number(here: &Here, total: u64) -> u64 {
    let last = total.div_ceil(PAGE as u64).max(1);
    here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1u64).clamp(1, last)
}

/// What was typed to search by, in lower case and half width.
fn asked(here: &Here) -> String {
    standards::width::fold(here.get("q").unwrap_or("")).trim().to_lowercase()
}

/// The institutions in reach, as SQL wants them.
pub(super) fn reached(directory: &Directory, reach: &Reach) -> Vec<i32> {
    cards(directory, reach).iter().map(|card| card.id.get() as i32).collect()
}

/// The institutions whose division is in reach: who approves maps does so for a region, never for the own institution.
pub(super) fn governed(directory: &Directory, reach: &Reach) -> Vec<i32> {
    let cards = cards(directory, reach);
    cards.iter().filter(|card| reach.covers_region(&card.region)).map(|card| card.id.get() as i32).collect()
}

/// The institutions in reach, ordered by division then name.
fn cards(directory: &Directory, reach: &Reach) -> Vec<Arc<InstitutionCard>> {
    let all = Arc::clone(&directory.institutions_now().all);
    all.iter().filter(|card| reach.covers(card.id, &card.region)).cloned().collect()
}

/// The institution named by a field, or the caller's own, or the only one in reach; out of reach is not found.
fn one(
    directory: &Directory,
    reach: &Reach,
    code: Option<&str>,
) -> Result<Option<Arc<InstitutionCard>>, Refusal> {
    let cards = cards(directory, reach);
    match code {
        Some(code) => {
            cards.into_iter().find(|card| card.code == code).map(Some).ok_or_else(|| {
                Refusal::not_found("institution.unknown", "没有这个机构，或不在您的权限范围内。")
            })
        }
        None => {
            let own = reach.caller().institution;
            let mine = cards.iter().find(|card| Some(card.id) == own).cloned();
            Ok(mine.or_else(|| if cards.len() == 1 { cards.first().cloned() } else { None }))
        }
    }
}

/// Institutions as choices of a filter.
fn institution_options(cards: &[Arc<InstitutionCard>]) -> Vec<(String, String)> {
    cards.iter().map(|card| (card.code.clone(), card.short_name.clone())).collect()
}

/// Tables for which institutions usually have codes of their own, as choices of a filter.
fn table_options(directory: &Directory) -> Vec<(String, String)> {
    let now = directory.tables_now();
    let mut tables: Vec<_> = now.tables.values().filter(|t| t.local_codes).collect();
    tables.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    tables.into_iter().map(|t| (t.id.clone(), t.name.clone())).collect()
}

/// Whether a caller holds a right.
fn may(caller: &Caller, need: Need) -> bool {
    caller.may(need)
}

/// What the last step did, as the address says it.
fn told(here: &Here) -> Markup {
    let count = here.get("n").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let own = here.get("own").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let (title, text) = match here.get("done") {
        Some("proposed") => {
            (format!("已提交 {count} 条对照"), "审批通过后，新上传的和已存的数据会自动转换为标准编码。")
        }
        Some("approved") => (
            format!("已批准 {count} 条对照"),
            "即刻生效：之后上传的数据按对照转换，已存的数据在后台转换，院内编码同时保留。",
        ),
        Some("rejected") => (format!("已退回 {count} 条对照"), "医院可以看到退回的理由，更正后重新提交。"),
        Some("withdrawn") => (format!("已撤回 {count} 条对照"), ""),
        Some("ended") => (
            format!("已停用 {count} 条对照"),
            "之后上传的数据不再按它转换；已转换的数据在后台恢复为院内编码。",
        ),
        Some("follow") if count > 0 => {
            ("已安排继续转换存量数据".to_owned(), "后台从中断处接着进行，稍后刷新本页查看进度。")
        }
        Some("follow") => ("没有未完成的存量数据转换".to_owned(), "可能刚刚已经完成，见下方的记录。"),
        Some("validity") => ("施行日期已修改".to_owned(), ""),
        Some("loaded") => ("新版本已导入".to_owned(), "变化见下方的版本列表，可与任一版本比较。"),
        _ => return html! {},
    };
    html! {
        @if count > 0 || own == 0 { (notice_closable(Tone::Good, &title, text)) }
        @if own > 0 {
            (notice_closable(Tone::Warn, &format!("{own} 条是您自己提交的，没有处理"), "提交和审批须由两个人完成，请由另一位审批人处理。"))
        }
    }
}

/// What a form with a file holds: its fields and the file's name and bytes.
struct Sent {
    fields: Vec<(String, String)>,
    file_name: String,
    bytes: Vec<u8>,
}

impl Sent {
    fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.trim())
    }

    async fn read(mut parts: Multipart) -> Result<Self, Refusal> {
        let bad =
            |_| Refusal::invalid("codes.form", "表单没有传完整，没有改动任何数据。请重新选择文件并提交。");
        let mut sent = Self { fields: Vec::new(), file_name: String::new(), bytes: Vec::new() };
        while let Some(mut part) = parts.next_field().await.map_err(bad)? {
            let name = part.name().unwrap_or_default().to_owned();
            let mut bytes = Vec::new();
            let most = if name == "file" { LARGEST } else { 4096 };
            while let Some(piece) = part.chunk().await.map_err(bad)? {
                if bytes.len() + piece.len() > most {
                    return Err(Refusal::new(
                        kernel::RefusalKind::TooLarge,
                        "codes.too_large",
                        "文件超过 30 MB。请去掉多余的列，或分成几个文件导入。",
                    ));
                }
                bytes.extend_from_slice(&piece);
            }
            if name == "file" {
                sent.file_name = part.file_name().unwrap_or_default().chars().take(200).collect();
                sent.bytes = bytes;
            } else {
                sent.fields.push((name, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        if sent.bytes.is_empty() {
            return Err(Refusal::invalid(
                "codes.no_file",
                "没有选择文件，或文件是空的。请选择文件后再提交。",
            ));
        }
        Ok(sent)
    }
}

/// `2025-03-04 14:05` in China.
fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}
