//! Pages: the list of batches, the upload form, the receipt with its issues.

use axum::extract::{Multipart, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use contracts::InstitutionCard;
use futures::TryStreamExt;
use kernel::{Act, Line, Need, Purpose, Refusal};
use maud::{Markup, html};
use protect::Verdict;
use store::signature::Signed;
use tokio_util::io::StreamReader;
use web::ui::{
    self, Column, Figure, Filter, Here, List, Paging, Progress, Row, ScorePart, Tone, badge, card_with,
    figures, icon, notice, page_head, score_ring,
};
use web::{Access, Allowed, Frame, Reply, Routes};

use super::api;
use super::receipt::{self, Receipt, RuleCount};
use super::shown;
use crate::Exchange;
use crate::intake::{Door, Submission};

const SEND: Access = Access::Needs(Need::new(Line::Exchange, Act::Write));
const LOOK: Access = Access::Needs(Need::new(Line::Exchange, Act::Read));
const PER_PAGE: i64 = 50;

pub(super) fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes
        .get("/batches", LOOK, list)
        .get("/batches/new", SEND, form)
        .post_stream("/batches", SEND, send)
        .get("/batches/{batch}", LOOK, one)
        .get("/batches/{batch}/progress", LOOK, progress)
        .get("/batches/{batch}/issues", LOOK, issues)
}

/// `2025-03-04 14:05` in China.
fn shown(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

fn state_badge(receipt: &Receipt) -> Markup {
    match receipt.state.as_str() {
        "done" if receipt.rows_rejected > 0 => badge(Tone::Warn, "完成，有拒收"),
        "done" => badge(Tone::Good, "完成"),
        "failed" => badge(Tone::Bad, "未读完"),
        "processing" => badge(Tone::Info, "处理中"),
        _ => badge(Tone::Info, "已接收"),
    }
}

/// How a file was recognised, as people say it: `CSV · GB18030 · gzip` for `text/csv; charset=gb18030; gzip`.
fn media_words(media: &str) -> String {
    let word = |part: &str| match part.trim() {
        "text/csv" => "CSV".to_owned(),
        "application/x-ndjson" => "NDJSON".to_owned(),
        "application/json" => "JSON".to_owned(),
        "application/fhir+json" => "FHIR JSON".to_owned(),
        "application/fhir+ndjson" => "FHIR NDJSON".to_owned(),
        other => match other.strip_prefix("charset=") {
            Some(charset) => charset.to_uppercase(),
            None => other.to_owned(),
        },
    };
    media.split(';').map(word).collect::<Vec<_>>().join(" · ")
}

fn sender_name(exchange: &Exchange, receipt: &Receipt) -> String {
    exchange
        .institutions()
        .by_id(i64::from(receipt.institution_id).into())
        .map(|c: std::sync::Arc<InstitutionCard>| c.short_name.clone())
        .unwrap_or_default()
}

fn dataset_name(exchange: &Exchange, receipt: &Receipt) -> String {
    match receipt.dataset {
        Some(number) => {
            exchange.catalog().dataset_by_number(number).map(|d| d.name.clone()).unwrap_or_default()
        }
        None => "FHIR 资源".to_owned(),
    }
}

async fn list(State(exchange): State<Exchange>, allowed: Allowed, frame: Frame, here: Here) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let filter = receipt::Filter {
        institution: here.get("institution").and_then(|c| exchange.institutions().by_code(c)).map(|c| c.id),
        dataset: here.get("dataset").and_then(|d| exchange.catalog().dataset(d)).map(|d| d.number),
        state: here.get("state").map(str::to_owned),
        day: here.get("day").and_then(|d| d.parse().ok()),
        before: here.get("after").and_then(|b| b.parse().ok()),
    };
    let mut found = receipt::list(&exchange, &reach, &filter, PER_PAGE + 1).await?;
    let more = found.len() as i64 > PER_PAGE;
    found.truncate(PER_PAGE as usize);
    let datasets: Vec<(String, String)> =
        exchange.catalog().datasets.iter().map(|d| (d.code.clone(), d.name.clone())).collect();
    let states: Vec<(String, String)> = [("done", "完成"), ("processing", "处理中"), ("failed", "未读完")]
        .map(|(v, n)| (v.to_owned(), n.to_owned()))
        .to_vec();
    let rows = found
        .iter()
        .map(|r| {
            Row::to(
                format!("/batches/{}", r.id),
                vec![
                    html! { (r.id) },
                    html! { (shown(r.received_at)) },
                    html! { (sender_name(&exchange, r)) },
                    html! { (dataset_name(&exchange, r)) @if !r.file_name.is_empty() { br; small.mk-muted { (r.file_name) } } },
                    state_badge(r),
                    html! { (r.rows_received) },
                    html! { (r.rows_stored + r.rows_replaced) },
                    html! { (r.rows_rejected) },
                    html! { @match r.score { Some(s) => (ui::score_number(f64::from(s))), None => "—" } },
                ],
            )
        })
        .collect();
    let may_send = allowed.caller().may(Need::new(Line::Exchange, Act::Write));
    let body = html! {
        (page_head(&[], "数据上传", "每次上传是一个批次；打开批次看回执和问题清单。", html! {
            @if may_send { a.btn.btn-primary href="/batches/new" { (icon("upload")) " 上传文件" } }
        }))
        (ui::list(&here, &List {
            filters: &[
                Filter::Choice { name: "dataset", label: "数据集", options: &datasets },
                Filter::Choice { name: "state", label: "状态", options: &states },
                Filter::Day { name: "day", label: "接收日期" },
            ],
            total: None,
            unit: "个批次",
            columns: &[
                Column::text("批次"), Column::text("接收时间"), Column::text("机构"), Column::text("数据集"),
                Column::text("状态"), Column::number("收到"), Column::number("入库"), Column::number("拒收"),
                Column::number("得分"),
            ],
            rows,
            paging: Paging::Cursor {
                before: None,
                after: more.then(|| found.last().map(|r| r.id.to_string())).flatten(),
            },
            exports: &[],
            empty: ("还没有批次", "用上传页面、上传接口或前置目录发送文件后，回执会出现在这里。"),
            empty_action: may_send.then_some(("上传文件", "/batches/new")),
        }))
    };
    Ok(frame.page("数据上传", body))
}

async fn form(State(exchange): State<Exchange>, allowed: Allowed, frame: Frame, here: Here) -> Reply<Markup> {
    let chosen = here.get("dataset").unwrap_or_default();
    let own = allowed.caller().institution.is_some();
    let body = html! {
        (page_head(&[("数据上传", "/batches")], "上传文件", "文件先完整保存，再逐行校验；坏行不影响好行。", html! {}))
        section.mk-card { div.mk-card-body {
            form.mk-form method="post" action="/batches" enctype="multipart/form-data" {
                @if !own {
                    div.mk-field {
                        label for="institution" { "机构" em title="必填" { " *" } }
                        div.mk-field-line { select.form-select #institution name="institution" required {
                            @for card in exchange.institutions().all().iter() { option value=(card.code) { (card.name) } }
                        } }
                    }
                }
                div.mk-field {
                    label for="dataset" { "数据集" em title="必填" { " *" } }
                    div.mk-field-line { select.form-select #dataset name="dataset" required {
                        @for d in &exchange.catalog().datasets {
                            option value=(d.code) selected[d.code == chosen] { (d.name) "（" (d.code) "）" }
                        }
                    } }
                }
                div.mk-field {
                    label for="mode" { "方式" }
                    div.mk-field-line { select.form-select #mode name="mode" {
                        option value="rows" { "逐行：合格的行入库，不合格的行退回" }
                        option value="all" { "整批：有一行不合格就都不入库" }
                    } }
                }
                (ui::field(&ui::Field { name: "file", label: "文件", kind: ui::Kind::File, required: true,
                    hint: "CSV 或 NDJSON，可以 gzip 压缩；UTF-8 或 GB18030。列名可用字段名、中文名或数据元标识符。", ..ui::Field::default() }))
                p.mk-muted { "各数据集的字段、规则和表头模板见" a href="/datasets" { "数据集目录" } "。" }
                div.mk-acts { button.btn.btn-primary type="submit" { (icon("upload")) " 上传" } a.btn href="/batches" { "取消" } }
            }
        } }
    };
    Ok(frame.page("上传文件", body))
}

/// `POST /batches` (multipart): fields before the file say what it is.
async fn send(State(exchange): State<Exchange>, allowed: Allowed, mut parts: Multipart) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("upload"))?;
    let (mut dataset, mut mode, mut institution) = (None, None, None);
    let bad = |_| Refusal::invalid("batch.form", "表单没有传完整，没有保存任何数据。请重新选择文件并上传。");
    while let Some(part) = parts.next_field().await.map_err(bad)? {
        match part.name().unwrap_or_default() {
            "dataset" => dataset = Some(part.text().await.map_err(bad)?),
            "mode" => mode = Some(part.text().await.map_err(bad)?),
            "institution" => institution = Some(part.text().await.map_err(bad)?),
            "file" => {
                let submission = Submission {
                    institution: api::sender(&exchange, allowed.caller(), institution.as_deref())?,
                    dataset: Some(dataset.unwrap_or_default()),
                    door: Door::Form,
                    file_name: part.file_name().unwrap_or_default().chars().take(200).collect(),
                    request_key: None,
                    atomic: api::mode(mode.as_deref())?,
                    received_at: None,
                };
                let body = StreamReader::new(part.map_err(std::io::Error::other));
                let accepted = exchange.intake.accept(&reach, submission, body).await?;
                let id = accepted.batch;
                exchange.intake.finish_later(accepted);
                return Ok(Redirect::to(&format!("/batches/{id}")).into_response());
            }
            _ => {}
        }
    }
    Err(Refusal::invalid("batch.no_file", "没有选择文件。请选择文件后再上传。").into())
}

fn progress_piece(receipt: &Receipt) -> Markup {
    let again = format!("/batches/{}/progress", receipt.id);
    html! {
        (ui::progress(&Progress {
            title: "正在校验入库，可以离开本页，结果会留在批次列表里",
            done: receipt.rows_received.unsigned_abs(),
            total: None,
            unit: "行",
            rate: None,
            again: (!receipt.is_final()).then_some(again.as_str()),
        }))
    }
}

async fn progress(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Response> {
    let found = receipt::read(&exchange, &allowed.reach(Purpose::of("quality"))?, batch).await?;
    if found.is_final() {
        return Ok(([("HX-Refresh", "true")], html! {}).into_response());
    }
    Ok(progress_piece(&found).into_response())
}

async fn one(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    Path(batch): Path<i64>,
) -> Reply<Markup> {
    let found = receipt::read(&exchange, &allowed.reach(Purpose::of("quality"))?, batch).await?;
    let rules = receipt::rules(exchange.db(), batch).await?;
    let kept = receipt::kept(exchange.db(), batch).await?;
    let samples = match found.issue_count {
        0 => Vec::new(),
        _ => shown::issues(&exchange, &allowed, &found, 0, 20).await?,
    };
    let signed = receipt::signed(exchange.db(), exchange.catalog(), &found).await?;
    let title = format!("批次 {} · {}", found.id, dataset_name(&exchange, &found));
    let sends = allowed.caller().may(Need::new(Line::Exchange, Act::Write));
    let body = html! {
        (page_head(&[("数据上传", "/batches")], &title, "", html! {
            @if sends && found.issue_count > 0 && found.dataset.is_some() {
                a.btn.btn-primary href={ "/api/v1/batches/" (batch) "/repair.csv" } download { (icon("download")) " 下载待改正的行" }
            }
            @if sends { a.btn href={ "/api/v1/batches/" (batch) "/original" } download { (icon("file")) " 原始文件" } }
        }))
        (receipt_view(&exchange, &found, &rules, &kept))
        @if let Some((signed, verdict)) = &signed { (signature_card(signed, *verdict)) }
        @if found.issue_count > 0 { (issue_table(&exchange, batch, found.issue_count, &samples)) }
    };
    Ok(frame.page(&title, body))
}

/// Who signed the receipt, when, and whether it still is what was signed.
fn signature_card(signed: &Signed, verdict: Verdict) -> Markup {
    let tone = match verdict {
        Verdict::Intact => Tone::Good,
        Verdict::Altered => Tone::Bad,
        Verdict::UnknownKey => Tone::Warn,
    };
    let algorithm = if signed.algorithm == "sm2-sm3" { "SM2（国密）" } else { "Ed25519" };
    ui::card(
        "回执签名",
        html! {
            (ui::describe(&[
                ("是否完好".to_owned(), badge(tone, verdict.words())),
                ui::fact("签名者", &signed.signer_name),
                ui::fact("签名时间", &shown(signed.signed_at)),
                ui::fact("算法", algorithm),
                ui::fact("密钥", &signed.key_id),
            ]))
            @if verdict == Verdict::Altered {
                (notice(Tone::Bad, "回执与签名时不一致", "本批次的回执在签名之后被改动过。请不要采信这些数字，并立即告知平台的安全管理员。"))
            }
        },
    )
}

fn receipt_view(exchange: &Exchange, found: &Receipt, rules: &[RuleCount], kept: &[(String, i64)]) -> Markup {
    let parts: Vec<ScorePart> = catalog::Dimension::ALL
        .iter()
        .enumerate()
        .map(|(n, d)| ScorePart {
            name: d.name().to_owned(),
            score: found.dimension_scores.as_ref().and_then(|s| s.get(n).copied().flatten()).map(f64::from),
        })
        .collect();
    let figure = |label: &str, value: i64, note: &str| Figure {
        label: label.to_owned(),
        value: value.to_string(),
        note: note.to_owned(),
        href: None,
    };
    let notes: Vec<&str> = found.notes.as_array().into_iter().flatten().filter_map(|n| n.as_str()).collect();
    html! {
        @if !found.is_final() { (progress_piece(found)) }
        @if let Some(failure) = &found.failure { (notice(Tone::Bad, "文件没有读完", failure)) }
        section.mk-card { div.mk-card-body.mk-receipt {
            (score_ring(found.score.map(f64::from), &parts))
            div {
                (figures(&[
                    figure("收到", found.rows_received, "行"),
                    figure("新入库", found.rows_stored, "行"),
                    figure("未变", found.rows_unchanged, "行"),
                    figure("更正", found.rows_replaced, "行"),
                    figure("撤销", found.rows_withdrawn, "行"),
                    figure("拒收", found.rows_rejected, "行"),
                ]))
                (ui::describe(&[
                    ("状态".to_owned(), state_badge(found)),
                    ui::fact("机构", &sender_name(exchange, found)),
                    ui::fact("文件", &found.file_name),
                    ui::fact("格式", &media_words(&found.media)),
                    ui::fact("接收时间", &shown(found.received_at)),
                    ui::fact("完成时间", &found.finished_at.map(shown).unwrap_or_default()),
                    ui::fact("提交人", &found.submitted_by),
                    ui::fact("方式", if found.atomic { "整批" } else { "逐行" }),
                    ui::fact("原文摘要", &found.original_digest.chars().take(16).collect::<String>()),
                ]))
            }
        } }
        @for note in notes { (notice(Tone::Info, "", note)) }
        @if !kept.is_empty() {
            (notice(Tone::Info, "已保留、未映射的资源", &kept.iter().map(|(k, n)| format!("{k} {n} 个")).collect::<Vec<_>>().join("，")))
        }
        @if rules.iter().any(|r| r.failed > 0) { (rule_table(exchange, rules)) }
        @else if found.is_final() && found.failure.is_none() && found.rows_received > 0 {
            (notice(Tone::Good, "没有发现问题", "所有行都通过了全部规则。"))
        }
    }
}

fn rule_table(exchange: &Exchange, rules: &[RuleCount]) -> Markup {
    card_with(
        "问题按规则汇总",
        html! {},
        html! {
            div.mk-scroll.mk-stacked { table.mk-table {
                thead { tr { th { "规则" } th { "维度" } th.mk-num { "权重" } th.mk-num { "检查行数" } th.mk-num { "不合格" } th.mk-num { "占比" } th { "处理" } th { "如何改正" } } }
                tbody {
                    @for count in rules.iter().filter(|r| r.failed > 0) {
                        @if let Some((dataset, rule)) = rule_of(exchange, count) {
                            tr {
                                td data-label="规则" { (rule.message) @if exchange.catalog().datasets.len() > 1 { br; small.mk-muted { (dataset.name) " · " (rule.code) } } }
                                td.mk-nowrap data-label="维度" { (rule.dimension.name()) }
                                td.mk-num data-label="权重" { (rule.weight) }
                                td.mk-num data-label="检查行数" { (count.checked) }
                                td.mk-num data-label="不合格" { (count.failed) }
                                td.mk-num data-label="占比" { (format!("{:.1}%", count.failed as f64 * 100.0 / count.checked.max(1) as f64)) }
                                td data-label="处理" { @if rule.reject { (badge(Tone::Bad, "拒收")) } @else { (badge(Tone::Warn, "入库并扣分")) } }
                                td data-label="如何改正" { (rule.hint) }
                            }
                        }
                    }
                }
            } }
        },
    )
}

fn rule_of<'a>(
    exchange: &'a Exchange,
    count: &RuleCount,
) -> Option<(&'a catalog::Dataset, &'a catalog::Rule)> {
    let dataset = exchange.catalog().dataset_by_number(count.dataset)?;
    Some((dataset, dataset.rules.get(usize::try_from(count.rule).ok()?)?))
}

fn issue_table(exchange: &Exchange, batch: i64, total: i64, rows: &[receipt::IssueRow]) -> Markup {
    let links = html! {
        a href={ "/batches/" (batch) "/issues" } { "全部 " (total) " 条" }
        " · " a href={ "/api/v1/batches/" (batch) "/issues.csv" } download { "CSV" }
        " · " a href={ "/api/v1/batches/" (batch) "/issues.xlsx" } download { "XLSX" }
    };
    card_with("问题清单", links, html! { div.mk-scroll.mk-stacked { (issue_rows(exchange, rows)) } })
}

fn issue_rows(exchange: &Exchange, rows: &[receipt::IssueRow]) -> Markup {
    html! {
        table.mk-table {
            thead { tr { th.mk-num { "行号" } th { "列" } th { "原值" } th { "问题" } th { "如何改正" } th { "处理" } } }
            tbody { @for issue in rows.iter().map(|r| receipt::explain(exchange.catalog(), r)) {
                tr {
                    td.mk-num data-label="行号" { (issue.row) }
                    td.mk-nowrap data-label="列" { (issue.title) br; small.mk-muted { (issue.column) } }
                    td.mk-nowrap[issue.value.chars().count() <= 20] data-label="原值" { @if issue.value.is_empty() { span.mk-muted { "（空）" } } @else { code { (issue.value) } } }
                    td data-label="问题" { (issue.message) }
                    td data-label="如何改正" { (issue.hint) }
                    td data-label="处理" { @if issue.rejected { (badge(Tone::Bad, "拒收")) } @else { (badge(Tone::Warn, "扣分")) } }
                }
            } }
        }
    }
}

async fn issues(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(batch): Path<i64>,
) -> Reply<Markup> {
    let found = receipt::read(&exchange, &allowed.reach(Purpose::of("quality"))?, batch).await?;
    let page = here.get("page").and_then(|p| p.parse::<i64>().ok()).unwrap_or(1).max(1);
    let offset = page.saturating_sub(1).saturating_mul(PER_PAGE);
    let rows = shown::issues(&exchange, &allowed, &found, offset, PER_PAGE).await?;
    let crumb = format!("/batches/{batch}");
    let name = format!("批次 {batch}");
    let state = Paging::Numbered {
        page: page.unsigned_abs(),
        per_page: PER_PAGE.unsigned_abs(),
        total: found.issue_count.unsigned_abs(),
    };
    let body = html! {
        (page_head(&[("数据上传", "/batches"), (&name, &crumb)], "问题清单", "", html! {
            a.btn href={ "/api/v1/batches/" (batch) "/issues.csv" } download { (icon("download")) " CSV" }
            a.btn href={ "/api/v1/batches/" (batch) "/issues.xlsx" } download { (icon("download")) " XLSX" }
        }))
        section.mk-card { div.mk-scroll.mk-stacked { (issue_rows(&exchange, &rows)) } (ui::paging(&here, &state)) }
    };
    Ok(frame.page("问题清单", body))
}
