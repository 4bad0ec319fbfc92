//! The history of an entry: every version with what it changed, and any two versions side by side.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use catalog::Register;
use kernel::Result;
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Column, Filter as Choose, Here, Row, card, filter_form, page_head, table};
use web::{Frame, Reply};

use super::super::Registries;
use super::super::guard::Guard;
use super::super::model::{Version, as_text, change_name};
use super::{Place, address, id, reach, time};

/// A difference between two versions: the field, before, after.
pub(in super::super) type Difference = (String, String, String);

impl Registries {
    /// What differs between two contents, as people read it; identifying fields stay masked.
    pub(in super::super) fn differences(
        &self,
        register: &Register,
        before: Option<&Version>,
        after: &Version,
    ) -> Result<Vec<Difference>> {
        let guard = Guard::new(self.db.keyring());
        let mut all = Vec::new();
        for (at, field) in register.dataset.fields.iter().enumerate() {
            let name = field.name.as_str();
            if register.is_guarded(at) {
                let of = |v: Option<&Version>| -> Result<(String, String)> {
                    match v.and_then(|v| v.guarded.get(name)) {
                        Some(sealed) => Ok((guard.open(name, sealed)?, guard.masked(name, sealed)?)),
                        None => Ok((String::new(), String::new())),
                    }
                };
                let ((old, was), (new, is)) = (of(before)?, of(Some(after))?);
                if old != new {
                    all.push((field.title.clone(), was, is));
                }
                continue;
            }
            let text = |v: &Version| v.content.get(name).map(as_text).unwrap_or_default();
            let (old, new) = (before.map(text).unwrap_or_default(), text(after));
            if old != new {
                all.push((
                    field.title.clone(),
                    self.shown(register, at, &old),
                    self.shown(register, at, &new),
                ));
            }
        }
        if let Some(before) = before {
            if before.institution != after.institution {
                let name = |v: &Version| self.institution_name(v.institution);
                all.push(("所属机构".to_owned(), name(before), name(after)));
            }
            if before.state != after.state {
                all.push(("状态".to_owned(), before.state.name().to_owned(), after.state.name().to_owned()));
            }
        }
        Ok(all)
    }
}

pub(in super::super) fn differences_table(all: &[Difference]) -> Markup {
    let rows: Vec<Row> = all
        .iter()
        .map(|(field, was, is)| {
            Row::plain(vec![
                html! { (field) },
                html! { @if was.is_empty() { span.mk-muted { "（空）" } } @else { (was) } },
                html! { b { @if is.is_empty() { "（空）" } @else { (is) } } },
            ])
        })
        .collect();
    table(&Here::default(), &[Column::text("项目"), Column::text("修改前"), Column::text("修改后")], &rows)
}

pub(super) async fn page(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let registries = &place.registries;
    let register = place.register(&params)?;
    let entry = registries.entry(&register, &reach(&allowed)?, id(&params)?).await?;
    let versions = registries.versions(entry.id).await?;
    let body = view(registries, &register, &here, &versions)?;
    let base = address(&register, &entry);
    let path = register.path();
    let way = [
        ("注册管理", "/registry"),
        (register.dataset.name.as_str(), path.as_str()),
        (entry.name.as_str(), base.as_str()),
    ];
    Ok(frame.page(
        "变更历史",
        html! {
            (page_head(&way, "变更历史", "每次登记和修改都留有版本：谁、何时、为什么、改了什么。", html! {}))
            (body)
        },
    ))
}

fn view(
    registries: &Registries,
    register: &Arc<Register>,
    here: &Here,
    versions: &[Version],
) -> Result<Markup> {
    let numbered = |key: &str| {
        here.get(key)
            .and_then(|n| n.parse::<i32>().ok())
            .and_then(|n| versions.iter().find(|v| v.version == n))
    };
    let options: Vec<(String, String)> = versions
        .iter()
        .map(|v| (v.version.to_string(), format!("第 {} 版（{}）", v.version, v.valid_from)))
        .collect();
    let compared = match (numbered("a"), numbered("b")) {
        (Some(a), Some(b)) => Some((a, b, registries.differences(register, Some(a), b)?)),
        _ => None,
    };
    let mut told = Vec::with_capacity(versions.len());
    for (at, version) in versions.iter().enumerate() {
        told.push((version, registries.differences(register, versions.get(at + 1), version)?));
    }
    Ok(html! {
        section.mk-card {
            (filter_form(here, &[
                Choose::Choice { name: "a", label: "从", options: &options },
                Choose::Choice { name: "b", label: "到", options: &options },
            ]))
            @if let Some((a, b, all)) = &compared {
                @if all.is_empty() { p.mk-muted { "第 " (a.version) " 版与第 " (b.version) " 版内容相同。" } }
                @else { (differences_table(all)) }
            } @else { p.mk-muted { "选择两个版本，逐项对照它们的差别。" } }
        }
        @for (version, all) in &told {
            (card(&format!("第 {} 版 · {}", version.version, change_name(&version.change)), html! {
                p {
                    (time(version.recorded_at)) " · " (version.recorded_by) " · 自 " (version.valid_from) " 起有效"
                    @if !version.reason.is_empty() { " · " (version.reason) }
                    @if let Some(import) = version.import { " · " a href={ "/registry/imports/" (import) } { "导入 " (import) } }
                    @if let Some(request) = version.request { " · " a href={ "/registry/requests/" (request) } { "申请 " (request) } }
                }
                @if version.version > 1 && !all.is_empty() { (differences_table(all)) }
                @else if version.version > 1 { p.mk-muted { "内容没有变化。" } }
            }))
        }
    })
}
