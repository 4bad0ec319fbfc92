//! `/audit/entries/{key}`: an entry in full, and what the same session did around it.

use ::store::AuditEntry;
use axum::extract::{Path, State};
use kernel::{Purpose, Refusal};
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Here, Row, Tone, badge, card, card_with, describe, fact, page_head, table};
use web::{Frame, Reply};

use super::store::{self, Entry, Sight};
use super::{pages, words};
use crate::{Identity, page};

fn nothing() -> Refusal {
    Refusal::not_found(
        "audit.no_entry",
        "没有找到这条审计记录。它可能已随所在月份归档，或不在您的权限范围内。",
    )
}

pub(super) async fn page(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(key): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let place = store::place(&key).ok_or_else(nothing)?;
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let (entry, around) = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let found = store::one(tx, &sight, place).await?.ok_or_else(nothing)?;
            let entry = AuditEntry {
                act: "audit.view",
                object_kind: "audit_entry",
                object_id: Some(found.0.id),
                object_label: words::act(&found.0.content.act).to_owned(),
                person_id: found.0.content.person_id,
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    Ok(frame.page("审计记录", view(&here, &entry, &around)))
}

fn hex(bytes: Option<&Vec<u8>>) -> String {
    bytes.map(|b| b.iter().map(|b| format!("{b:02x}")).collect()).unwrap_or_default()
}

fn view(here: &Here, entry: &Entry, around: &[Entry]) -> Markup {
    let e = &entry.content;
    let text = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let leads = |label: &str, href: String| html! { a href=(href) { (label) } };
    let mut who = vec![
        fact("姓名", &e.actor),
        fact("角色", &e.role),
        fact("单位", &e.institution_name),
        fact("行政区划", &e.region),
        fact("调用方", words::kind(&e.kind)),
        fact("身份强度", &words::assurance(&e.assurance)),
        fact("会话", &text(e.session_id)),
        fact("地址", words::address(&e.address)),
    ];
    if !e.agent.is_empty() {
        who.push(fact("浏览器或程序", &e.agent));
    }
    if let Some(account) = e.account_id {
        who.push(("账号".to_owned(), leads("此账号的全部记录", format!("/audit?account={account}"))));
    }
    let mut what = vec![
        fact("操作", &format!("{}（{}）", words::act(&e.act), e.act)),
        fact("对象类别", words::object(&e.object_kind)),
        fact("对象", &e.object_label),
        fact("行数", &text(e.row_count.map(i64::from))),
        fact("使用目的", words::purpose(&e.purpose)),
        fact("说明", &e.note),
        (
            "结果".to_owned(),
            badge(if e.outcome == "ok" { Tone::Neutral } else { Tone::Warn }, words::outcome(&e.outcome)),
        ),
        fact("耗时", &e.duration_ms.map(|ms| format!("{ms} 毫秒")).unwrap_or_default()),
    ];
    if let Some(person) = e.person_id {
        what.push(("居民".to_owned(), leads("谁看过这位居民的档案", format!("/audit/persons/{person}"))));
    }
    if let Some(object) = e.object_id.filter(|_| e.object_kind != "person") {
        let href = format!("/audit?object_kind={}&object_id={object}", e.object_kind);
        what.push(("同一对象".to_owned(), leads("此对象的全部记录", href)));
    }
    let rows: Vec<Row> = around
        .iter()
        .map(|other| {
            let row = pages::row(other);
            if other.id == entry.id { Row { href: None, mark: "mk-row-warn", ..row } } else { row }
        })
        .collect();
    html! {
        (page_head(&[("审计日志", "/audit")], words::act(&e.act),
            &format!("{} · 编号 {}", page::time_exact(e.at), entry.id), html! {}))
        (card("谁", describe(&who)))
        (card("做了什么", describe(&what)))
        @if e.before_digest.is_some() || e.after_digest.is_some() {
            (card("改动前后", describe(&[
                fact("改动前的摘要（SHA-256）", &hex(e.before_digest.as_ref())),
                fact("改动后的摘要（SHA-256）", &hex(e.after_digest.as_ref())),
            ])))
        }
        @if let Some(detail) = &e.detail { (card("详情", details(detail))) }
        (card_with("同一会话前后", html! { "前后各 10 条，一小时之内" }, html! {
            @if rows.len() > 1 { (table(here, &pages::COLUMNS, &rows)) }
            @else { div.mk-card-body.mk-muted { "这条记录前后一小时内，同一会话没有别的操作。" } }
        }))
    }
}

/// The details, one line for each; what was before and after a change side by side.
fn details(detail: &str) -> Markup {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(detail) else {
        return html! { pre { (detail) } };
    };
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "（空）".to_owned(),
        other => other.to_string(),
    };
    let changed = fields.get("before").zip(fields.get("after"));
    html! {
        @if let Some((before, after)) = changed {
            (page::table(&["项目", "改动前", "改动后"], &compare(before, after).into_iter().map(|(name, b, a)| vec![
                html! { (name) }, html! { (b) }, html! { @if a == b { (a) } @else { strong { (a) } } },
            ]).collect::<Vec<_>>()))
        }
        (describe(&fields.iter().filter(|(name, _)| changed.is_none() || !matches!(name.as_str(), "before" | "after"))
            .map(|(name, value)| fact(words::detail(name), &word(value))).collect::<Vec<_>>()))
    }
}

fn compare(before: &serde_json::Value, after: &serde_json::Value) -> Vec<(String, String, String)> {
    let word = |value: Option<&serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => "（空）".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match (before.as_object(), after.as_object()) {
        (Some(b), Some(a)) => {
            let mut names: Vec<&String> = b.keys().chain(a.keys()).collect();
            names.sort();
            names.dedup();
            names.into_iter().map(|n| (words::detail(n).to_owned(), word(b.get(n)), word(a.get(n)))).collect()
        }
        _ => vec![("值".to_owned(), word(Some(before)), word(Some(after)))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_both_sides_field_by_field() {
        let html =
            details(r#"{"before":{"role":"医生"},"after":{"role":"管理员","state":"open"},"reason":"调岗"}"#)
                .into_string();
        assert!(html.contains("<strong>管理员</strong>") && html.contains("医生") && html.contains("（空）"));
        assert!(html.contains("调岗") && !html.contains("before"), "{html}");
        assert!(details("[1]").into_string().contains("<pre>[1]</pre>"));
    }
}
