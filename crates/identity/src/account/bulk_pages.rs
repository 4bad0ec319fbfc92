//! `/accounts/import`: accounts from a spreadsheet, with a dry run and a sheet of first passwords shown once.

use ::store::DbDoing;
use axum::extract::{Multipart, Path, State};
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use kernel::{Error, Id, Refusal, Result};
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Tone, badge, card, card_with, notice, page_head};
use web::{Frame, Reply};

use super::admin_pages::{WAY, givable, role_name};
use super::bulk::{self, HEADS, Judged, MOST};
use super::no_account;
use crate::Identity;
use crate::page::{self, FileOut};

/// How long a dry run waits for its confirmation.
const WAITS: Duration = Duration::hours(1);

pub(super) async fn blank(State(identity): State<Identity>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    Ok(frame.page("批量开通账号", form(&identity, &allowed, None)?))
}

pub(super) async fn template(State(identity): State<Identity>, allowed: Allowed) -> Reply<FileOut> {
    let reach = identity.opening_reach(&allowed)?;
    let roles = givable(&identity, &reach);
    let role = roles.first().map(|r| r.name.clone()).unwrap_or_default();
    let unit = identity
        .institutions
        .all()
        .iter()
        .find(|card| reach.covers(card.id, &card.region))
        .map(|card| card.name.clone())
        .unwrap_or_default();
    let sample = vec!["张三".to_owned(), "0001".to_owned(), "zhang.san".to_owned(), role, unit];
    Ok(page::xlsx("accounts-template.xlsx", "账号", &HEADS, &[sample])?)
}

pub(super) async fn dry_run(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    mut parts: Multipart,
) -> Reply<Response> {
    let mut bytes = None;
    while let Ok(Some(part)) = parts.next_field().await {
        if part.name() == Some("file") {
            bytes = part.bytes().await.ok();
            break;
        }
    }
    match judged(&identity, &allowed, bytes.as_deref().unwrap_or_default()).await {
        Ok((draft, rows)) => Ok(frame.page("核对批量开通", checked(&identity, draft, &rows)).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = form(&identity, &allowed, Some(&refusal.message))?;
            Ok((web::failure::status(refusal.kind), frame.page("批量开通账号", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn judged(identity: &Identity, allowed: &Allowed, bytes: &[u8]) -> Result<(i64, Vec<Judged>)> {
    let reach = identity.opening_reach(allowed)?;
    let account = allowed.caller().account.ok_or_else(no_account)?;
    let rows = identity.judge_lines(&reach, &bulk::read(bytes)?).await?;
    let now = identity.clock.now();
    let kept = serde_json::to_value(&rows).map_err(|error| Error::fault("keep a dry run", error))?;
    let draft = identity
        .db
        .transaction(async |tx| {
            sqlx::query("delete from account_draft where created_at < $1")
                .bind(now - WAITS)
                .execute(&mut **tx)
                .await
                .db("forget old dry runs")?;
            sqlx::query_scalar(
                "insert into account_draft (account_id, rows, created_at) values ($1, $2, $3) returning id",
            )
            .bind(account.get())
            .bind(&kept)
            .bind(now)
            .fetch_one(&mut **tx)
            .await
            .db("keep a dry run")
        })
        .await?;
    Ok((draft, rows))
}

pub(super) async fn open(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(draft): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let reach = identity.opening_reach(&allowed)?;
    let account = allowed.caller().account.ok_or_else(no_account)?;
    let now = identity.clock.now();
    // Taken away first: pressed twice, it opens once.
    let kept: Option<serde_json::Value> = identity
        .db
        .transaction(async |tx| {
            sqlx::query_scalar(
                "delete from account_draft where id = $1 and account_id = $2 and created_at > $3 returning rows",
            )
            .bind(draft)
            .bind(Id::get(account))
            .bind(now - WAITS)
            .fetch_optional(&mut **tx)
            .await
            .db("take up a dry run")
        })
        .await?;
    let rows: Vec<Judged> = kept
        .and_then(|kept| serde_json::from_value(kept).ok())
        .ok_or_else(|| Refusal::not_found("import.gone", "这次核对已用过或已过期，请重新上传文件。"))?;
    let good: Vec<_> = rows.into_iter().filter(|row| row.problem.is_none()).map(|row| row.account).collect();
    if good.is_empty() {
        return Err(Refusal::invalid("import.nothing", "没有可以开通的行。").into());
    }
    let firsts = identity.open_all(&reach, &good).await?;
    let cells: Vec<Vec<Markup>> = good
        .iter()
        .zip(&firsts)
        .map(|(account, first)| {
            let unit = identity.gatekeeper.unit_name(account.institution, &account.region);
            vec![
                html! { (account.name) },
                html! { (unit) },
                html! { (role_name(&identity, &account.role)) },
                html! { (account.login) },
                html! { code.mk-secret { (first) } },
            ]
        })
        .collect();
    Ok(frame.page("账号已开通", html! {
        (page_head(WAY, "账号已开通", "", html! {
            button.btn.btn-primary type="button" data-act="print" { "打印" }
            a.btn href="/accounts" { "返回列表" }
        }))
        (notice(Tone::Warn, "初始密码只显示这一次", "请现在打印，分别交给本人。离开本页后无法再次查看；本人首次登录须修改。"))
        (card_with(&format!("已开通 {} 个账号", good.len()), html! {}, page::table(&["姓名", "单位", "角色", "登录名", "初始密码"], &cells)))
    }))
}

fn form(identity: &Identity, allowed: &Allowed, problem: Option<&str>) -> Result<Markup, Refusal> {
    let reach = identity.opening_reach(allowed)?;
    let names: Vec<&str> = givable(identity, &reach).into_iter().map(|r| r.name.as_str()).collect();
    Ok(html! {
        (page_head(WAY, "批量开通账号", "上传后先核对，确认后才开通。", html! { a.btn href="/accounts/import/template.xlsx" { "下载模板" } }))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有核对", problem)) }
        (card("上传人员名单", html! {
            form method="post" action="/accounts/import" enctype="multipart/form-data" {
                (page::control("文件", "file", &format!("Excel（.xlsx）或 CSV，一次最多 {MOST} 人"), &html! {
                    input.form-control id="file" name="file" type="file" accept=".xlsx,.csv" required;
                }))
                p.mk-muted { "列：" (HEADS.join("、")) "。工号可空；卫生健康行政部门的人员不填机构；机构填全称或编码。" }
                p.mk-muted { "您可以授予的角色：" (names.join("、")) "。" }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "核对" } a.btn href="/accounts" { "取消" } }
            }
        }))
    })
}

fn checked(identity: &Identity, draft: i64, rows: &[Judged]) -> Markup {
    let good = rows.iter().filter(|row| row.problem.is_none()).count();
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                html! { (row.number) },
                html! { (row.account.name) @if !row.account.staff_no.is_empty() { " " small { (row.account.staff_no) } } },
                html! { (row.account.login) },
                html! { (role_name(identity, &row.account.role)) },
                html! { (identity.gatekeeper.unit_name(row.account.institution, &row.account.region)) },
                match &row.problem {
                    None => badge(Tone::Good, "可以开通"),
                    Some(problem) => html! { (badge(Tone::Bad, "有问题")) " " (problem) },
                },
            ]
        })
        .collect();
    html! {
        (page_head(WAY, "核对批量开通", &format!("共 {} 行，可以开通 {good} 行。", rows.len()), html! {}))
        @if good < rows.len() {
            (notice(Tone::Warn, &format!("{} 行有问题，不会开通", rows.len() - good), "可以先开通其余的行，或改好文件后重新上传。"))
        }
        (card_with("核对结果", html! {}, page::table(&["行", "姓名", "登录名", "角色", "单位", "结果"], &cells)))
        div.mk-form-acts {
            @if good > 0 { (page::act_button(&format!("/accounts/import/{draft}/open"), &format!("开通这 {good} 个账号"), "btn-primary")) }
            a.btn href="/accounts/import" { "重新上传" }
        }
    }
}
