//! `/audit`: searching the audit trail.

use ::store::AuditEntry;
use axum::extract::{Query, State};
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use kernel::clock::{CHINA_OFFSET_SECONDS, to_china};
use kernel::{Purpose, Reach, Refusal};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tab, Tone, badge, chips, list as list_of, notice,
    page_head, thousands,
};
use web::{Frame, Reply};

use super::store::{self, Entry, Found, Search, Sight};
use super::{EXPORT, parts, words};
use crate::{Identity, page};

/// Days looked at when none are chosen and nothing leads to few entries.
const DAYS: i64 = 7;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Asked {
    at_from: String,
    at_to: String,
    actor: String,
    account: String,
    act: String,
    object: String,
    object_kind: String,
    object_id: String,
    person: String,
    institution: String,
    address: String,
    purpose: String,
    outcome: String,
    #[serde(skip_serializing)]
    pub after: String,
}

impl Asked {
    pub(super) fn search(&self, identity: &Identity) -> Result<Search, Refusal> {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let mut search = Search {
            from: day(&self.at_from)?,
            until: day(&self.at_to)?.map(|at| at + Duration::days(1)),
            actor: self.actor.clone(),
            account: number(&self.account),
            act: self.act.clone(),
            object: self.object.clone(),
            object_id: number(&self.object_id).map(|id| (self.object_kind.clone(), id)),
            person: number(&self.person),
            institutions: self.institutions(identity),
            address: self.address.clone(),
            purpose: self.purpose.clone(),
            outcome: self.outcome.clone(),
            after: store::place(&self.after),
        };
        let named = search.person.is_some() || search.account.is_some() || search.object_id.is_some();
        if search.from.is_none() && search.until.is_none() && !named {
            search.from = Some(start_of(identity.clock.today() - Duration::days(DAYS - 1)));
        }
        // Ever longer spans are looked at from the newest back: there must be a newest.
        search.until = search.until.or(Some(start_of(identity.clock.today()) + Duration::days(2)));
        Ok(search)
    }

    /// The institutions whose names hold what was typed.
    fn institutions(&self, identity: &Identity) -> Option<Vec<i32>> {
        let wanted = self.institution.trim();
        (!wanted.is_empty()).then(|| {
            let all = identity.institutions.all();
            all.iter()
                .filter(|card| card.name.contains(wanted) || card.short_name.contains(wanted))
                .filter_map(|card| i32::try_from(card.id.get()).ok())
                .collect()
        })
    }

    /// What was asked, for the entry that records the asking.
    fn told(&self) -> serde_json::Value {
        let mut told = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = told.as_object_mut() {
            fields.retain(|_, value| value.as_str().is_none_or(|text| !text.is_empty()));
        }
        told
    }
}

/// The beginning of a day that was typed; nothing was typed: `None`.
fn day(text: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let day: NaiveDate = text
        .trim()
        .parse()
        .map_err(|_| Refusal::invalid("audit.day", format!("日期“{text}”无法识别，应形如 2025-03-04。")))?;
    Ok(Some(start_of(day)))
}

/// The instant at which a day begins in China.
pub(super) fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() - Duration::seconds(i64::from(CHINA_OFFSET_SECONDS))
}

/// Searches and writes down that somebody did.
pub(super) async fn found(
    identity: &Identity,
    reach: &Reach,
    asked: &Asked,
    act: &'static str,
    limit: i64,
) -> kernel::Result<(Found, u64)> {
    let search = asked.search(identity)?;
    let sight = Sight::of(reach, &*identity.institutions);
    identity
        .db
        .personal(reach, identity.clock.now(), async |tx, _| {
            let found = store::search(tx, &sight, &search, limit).await?;
            let rows = found.entries.len() as u64;
            let whole = (rows as i64) < limit && search.after.is_none() && found.reached.is_none();
            let about = if whole { rows } else { store::estimate(tx, &sight, &search).await?.max(rows) };
            let entry = AuditEntry {
                act,
                object_kind: "audit",
                person_id: search.person,
                rows: i32::try_from(rows).ok(),
                detail: Some(asked.told()),
                ..AuditEntry::default()
            };
            Ok(((found, about), entry))
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
    let (mut found, about) = found(&identity, &reach, &asked, "audit.view", store::PAGE + 1).await?;
    let more = found.entries.len() as i64 > store::PAGE;
    found.entries.truncate(usize::try_from(store::PAGE).unwrap_or(50));
    let after = match (found.entries.last(), found.reached) {
        (Some(last), _) if more => Some(last.key()),
        // Not all of the span was looked at: the next page goes on from there.
        (_, Some(reached)) => Some(store::key(reached, 0)),
        _ => None,
    };
    let exact = !more && asked.after.is_empty() && found.reached.is_none();
    let shown = Shown { found, after, about, exact, export: allowed.caller().may(EXPORT) };
    Ok(frame.page("审计日志", view(&here, &asked, shown)))
}

struct Shown {
    found: Found,
    after: Option<String>,
    about: u64,
    exact: bool,
    export: bool,
}

fn view(here: &Here, asked: &Asked, shown: Shown) -> Markup {
    let acts = words::acts();
    let purposes = words::purposes();
    let outcomes = [("ok".to_owned(), "成功".to_owned()), ("failed".to_owned(), "未成功".to_owned())];
    let filters = [
        Filter::Days { name: "at", label: "日期" },
        Filter::Text { name: "actor", label: "操作人", hint: "姓名" },
        Filter::Text { name: "institution", label: "单位", hint: "名称" },
        Filter::Choice { name: "act", label: "操作", options: &acts },
        Filter::Text { name: "object", label: "对象", hint: "居民姓名、账号等" },
        Filter::Text { name: "address", label: "地址", hint: "10.1." },
        Filter::Choice { name: "purpose", label: "目的", options: &purposes },
        Filter::Choice { name: "outcome", label: "结果", options: &outcomes },
    ];
    let exports = [
        Export { label: "导出 XLSX", path: "/audit.xlsx" },
        Export { label: "导出 CSV", path: "/audit.csv" },
        Export { label: "导出 ATNA", path: "/audit.xml" },
    ];
    let line = match (shown.exact, shown.about) {
        (true, n) => format!("共 {} 条。未选日期时显示最近 7 天；查看本页也会记入日志。", thousands(n)),
        (false, n) => format!("约 {} 条（估计）。查看本页也会记入日志。", thousands(n)),
    };
    let reached = shown.found.reached.map(|at| to_china(at).format("%Y-%m-%d %H:%M").to_string());
    html! {
        (page_head(&[], "审计日志", &line, html! {}))
        (parts("/audit"))
        @let narrowed = narrowed(here, asked);
        @if !narrowed.is_empty() { (chips(&narrowed)) }
        @if let Some(reached) = &reached {
            (notice(Tone::Info, "这组条件没有可用的索引，先查到这里", &format!("{reached} 之后的都已查过；按“下一页”继续往前查，或者加上操作人、对象、单位等条件。")))
        }
        (list_of(here, &List {
            filters: &filters,
            total: shown.exact.then_some(shown.about),
            unit: "条",
            columns: &COLUMNS,
            rows: shown.found.entries.iter().map(row).collect(),
            paging: Paging::Cursor { before: None, after: shown.after },
            exports: if shown.export { &exports } else { &[] },
            empty: ("没有符合条件的记录", "请放宽日期或其他条件。"),
            empty_action: None,
        }))
    }
}

/// The columns of a list of entries.
pub(super) const COLUMNS: [Column<'static>; 8] = [
    Column::text("时间"),
    Column::text("操作人"),
    Column::text("单位"),
    Column::text("地址"),
    Column::text("操作"),
    Column::text("对象"),
    Column::text("目的"),
    Column::text("结果"),
];

/// An entry in a list.
pub(super) fn row(entry: &Entry) -> Row {
    let e = &entry.content;
    let tone = if e.outcome == "ok" { Tone::Neutral } else { Tone::Warn };
    Row::to(
        format!("/audit/entries/{}", entry.key()),
        vec![
            html! { span.mk-date { (page::time_exact(e.at)) } },
            html! { (e.actor) " " small { (e.role) } },
            html! { (e.institution_name) },
            html! { (words::address(&e.address)) },
            html! { (words::act(&e.act)) @if let Some(n) = e.row_count { " " small { (n) " 行" } } },
            html! { (e.object_label) },
            html! { (words::purpose(&e.purpose)) @if !e.note.is_empty() { " " small { (e.note) } } },
            badge(tone, words::outcome(&e.outcome)),
        ],
    )
}

/// Conditions that came by a link and not from the row of filters; each can be taken away.
fn narrowed(here: &Here, asked: &Asked) -> Vec<Tab> {
    let chip = |title: String, gone: &[(&str, &str)]| Tab {
        title: format!("{title} ✕"),
        href: here.with(gone).href(),
        count: None,
        current: true,
    };
    let mut out = Vec::new();
    if !asked.person.is_empty() {
        out.push(chip(format!("居民编号 {}", asked.person), &[("person", ""), ("after", "")]));
    }
    if !asked.account.is_empty() {
        out.push(chip(format!("账号编号 {}", asked.account), &[("account", ""), ("after", "")]));
    }
    if !asked.object_id.is_empty() {
        out.push(chip(
            format!("对象 {} {}", words::object(&asked.object_kind), asked.object_id),
            &[("object_id", ""), ("object_kind", ""), ("after", "")],
        ));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_in_china() {
        let at = day("2025-03-04").unwrap().unwrap();
        assert_eq!(at.to_rfc3339(), "2025-03-03T16:00:00+00:00");
        assert_eq!(day(" ").unwrap(), None);
        assert!(day("昨天").is_err());
    }
}
