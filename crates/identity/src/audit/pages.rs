//! `/audit`: searching and exporting the audit trail.

use ::store::AuditEntry;
use axum::extract::{Query, State};
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Purpose, Reach};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Filter, Here, Paging, Tone, badge, empty, filter_form, page_head, paging};
use web::{Frame, Reply};

use super::store::{self, Entry, Search};
use super::{EXPORT, words};
use crate::{Identity, page};

/// Days looked at when none are chosen.
const DAYS: i64 = 7;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    at_from: String,
    #[serde(default)]
    at_to: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    act: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    after: String,
}

impl Asked {
    fn search(&self, today: NaiveDate) -> Search {
        let to = self.at_to.parse().unwrap_or(today);
        let from = self.at_from.parse().unwrap_or(to - Duration::days(DAYS - 1));
        Search {
            from: start_of(from),
            until: start_of(to) + Duration::days(1),
            actor: self.actor.clone(),
            act: self.act.clone(),
            object: self.object.clone(),
            outcome: self.outcome.clone(),
            before: self.after.parse().ok(),
        }
    }
    /// What was asked, for the entry that records the asking.
    fn told(&self) -> serde_json::Value {
        serde_json::json!({
            "from": self.at_from, "to": self.at_to, "actor": self.actor, "act": self.act, "object": self.object,
            "outcome": self.outcome,
        })
    }
}

/// The instant at which a day begins in China.
fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() - Duration::seconds(i64::from(CHINA_OFFSET_SECONDS))
}

async fn found(
    identity: &Identity,
    reach: &Reach,
    asked: &Asked,
    act: &'static str,
    limit: i64,
) -> kernel::Result<Vec<Entry>> {
    let search = asked.search(identity.clock.today());
    let institutions: Vec<i32> = identity
        .institutions
        .all()
        .iter()
        .filter(|card| reach.covers(card.id, &card.region))
        .filter_map(|card| i32::try_from(card.id.get()).ok())
        .collect();
    identity
        .db
        .personal(reach, identity.clock.now(), async |tx, reach| {
            let entries = store::search(tx, reach, &institutions, &search, limit).await?;
            let entry =
                AuditEntry { act, object_kind: "audit", detail: Some(asked.told()), ..AuditEntry::default() };
            Ok((entries, entry))
        })
        .await
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    let mut entries = found(&identity, &reach, &asked, "audit.view", store::PAGE + 1).await?;
    let more = entries.len() as i64 > store::PAGE;
    entries.truncate(usize::try_from(store::PAGE).unwrap_or(50));
    let after = entries.last().filter(|_| more).map(|entry| entry.id.to_string());
    let export = allowed.caller().may(EXPORT).then(|| here.with(&[("after", "")]).at("/audit.csv").href());
    Ok(frame.page("审计日志", view(&here, &entries, after, export.as_deref())))
}

pub(super) async fn export(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<page::Download> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    let asked = Asked { after: String::new(), ..asked };
    let entries = found(&identity, &reach, &asked, "audit.export", store::EXPORT).await?;
    let heads = ["时间", "姓名", "角色", "单位", "地址", "操作", "对象", "目的", "说明", "结果"];
    Ok(page::csv(
        "audit.csv",
        &heads,
        entries.into_iter().map(|e| {
            vec![
                page::time_exact(e.at),
                e.actor,
                e.role,
                e.institution_name,
                words::address(&e.address).to_owned(),
                words::act(&e.act).to_owned(),
                e.object_label,
                words::purpose(&e.purpose).to_owned(),
                e.note,
                words::outcome(&e.outcome).to_owned(),
            ]
        }),
    ))
}

fn view(here: &Here, entries: &[Entry], after: Option<String>, export: Option<&str>) -> Markup {
    let acts: Vec<(String, String)> =
        words::ACTS.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
    let outcomes = [("ok".to_owned(), "成功".to_owned()), ("failed".to_owned(), "未成功".to_owned())];
    let rows: Vec<Vec<Markup>> = entries
        .iter()
        .map(|e| {
            let ok = e.outcome == "ok";
            vec![
                html! { span.mk-date { (page::time_exact(e.at)) } },
                html! { (e.actor) " " small { (e.role) } },
                html! { (e.institution_name) },
                html! { (words::address(&e.address)) },
                html! { (words::act(&e.act)) },
                html! { (e.object_label) },
                html! { (words::purpose(&e.purpose)) @if !e.note.is_empty() { " " small { (e.note) } } },
                badge(if ok { Tone::Neutral } else { Tone::Warn }, words::outcome(&e.outcome)),
            ]
        })
        .collect();
    html! {
        (page_head(&[], "审计日志", "未选日期时显示最近 7 天；查看本页也会记入日志。", html! {}))
        section.mk-card.mk-list {
            (filter_form(here, &[
                Filter::Days { name: "at", label: "日期" },
                Filter::Text { name: "actor", label: "操作人", hint: "姓名" },
                Filter::Choice { name: "act", label: "操作", options: &acts },
                Filter::Text { name: "object", label: "对象", hint: "居民姓名、账号等" },
                Filter::Choice { name: "outcome", label: "结果", options: &outcomes },
            ]))
            (page::list_bar(&format!("本页 {} 条", entries.len()), &html! {
                @if let Some(export) = export { a href=(export) { "导出 CSV" } }
            }))
            @if rows.is_empty() {
                (empty("没有符合条件的记录", "请放宽日期或其他条件。", None))
            } @else {
                (page::table(&["时间", "操作人", "单位", "地址", "操作", "对象", "目的", "结果"], &rows))
            }
        }
        (paging(here, &Paging::Cursor { before: None, after }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_in_china() {
        let day = NaiveDate::from_ymd_opt(2025, 3, 4).unwrap();
        assert_eq!(start_of(day).to_rfc3339(), "2025-03-03T16:00:00+00:00");
        let search = Asked::default().search(day);
        assert_eq!((search.until - search.from).num_days(), 7);
    }
}
