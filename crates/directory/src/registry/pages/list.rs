//! The list of a register: filters, columns and downloads as its definition says.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use catalog::{FieldKind, Register};
use kernel::{Reach, Result};
use maud::{Markup, html};
use serde_json::json;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    self, Column, Export, Filter as Choose, Here, List, Paging, Row, Tone, badge, list, page_head,
};
use web::{Frame, Reply};

use super::super::Registries;
use super::super::model::{Entry, State as Standing};
use super::super::read::{AGES, Filter, NONE};
use super::super::sheet::{self, SheetDownload};
use super::super::write::audit_act;
use super::{ASK, MANAGE, PAGE, Place, address, counties, reach};

/// Code tables with more codes are not offered as a filter whole.
const CHOICES: usize = 90;

pub(in super::super) struct Shown {
    pub heads: Vec<String>,
    pub cells: Vec<Vec<String>>,
}

impl Registries {
    /// Entries as rows of texts: names of codes, institutions by short name.
    pub(in super::super) fn rows(
        &self,
        register: &Register,
        entries: &[Entry],
        fields: &[usize],
        full: bool,
    ) -> Result<Shown> {
        let mut cells = Vec::with_capacity(entries.len());
        for entry in entries {
            let texts = self.texts_of(register, entry, false)?;
            cells.push(
                fields
                    .iter()
                    .map(|at| match register.dataset.fields[*at].name.as_str() {
                        "institution" if !full => self.institution_name(entry.institution),
                        _ if full => texts[*at].clone(),
                        _ => self.shown(register, *at, &texts[*at]),
                    })
                    .collect(),
            );
        }
        let heads = fields.iter().map(|at| register.dataset.fields[*at].title.clone()).collect();
        Ok(Shown { heads, cells })
    }
}

fn table_of(kind: &FieldKind) -> Option<&str> {
    match kind {
        FieldKind::Code { table, .. } => Some(table),
        _ => None,
    }
}

pub(super) fn standing(register: &Register, state: Standing) -> Option<Markup> {
    let (tone, text) = match state {
        Standing::Active => return None,
        Standing::Ended | Standing::Closed | Standing::Left => {
            (Tone::Neutral, format!("已{}", register.ended))
        }
        other => (Tone::Neutral, other.name().to_owned()),
    };
    Some(badge(tone, &text))
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
    let reach = reach(&allowed)?;
    let today = registries.clock.local().date();
    let filter = Filter::of(&register, &here, today);
    let total = registries.count(&register, &reach, &filter).await?.unsigned_abs();
    let last = total.div_ceil(PAGE).max(1);
    let at = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1u64).clamp(1, last);
    let entries = registries.page(&register, &reach, &filter, PAGE as i64, ((at - 1) * PAGE) as i64).await?;
    let body = view(registries, &register, &reach, &allowed, &here, &entries, (at, total))?;
    Ok(frame.page(&register.dataset.name, body))
}

fn view(
    registries: &Registries,
    register: &Arc<Register>,
    reach: &Reach,
    allowed: &Allowed,
    here: &Here,
    entries: &[Entry],
    (at, total): (u64, u64),
) -> Result<Markup> {
    let shown = registries.rows(register, entries, &register.list, false)?;
    let named = register
        .list
        .iter()
        .position(|p| register.title.iter().any(|t| matches!(t, catalog::TitlePart::Field(f) if f == p)))
        .unwrap_or(0);
    let rows = entries
        .iter()
        .zip(&shown.cells)
        .map(|(entry, cells)| {
            let mut cells: Vec<Markup> = cells.iter().map(|text| html! { (text) }).collect();
            if let Some(mark) = standing(register, entry.state) {
                cells[named] = html! { (cells[named]) " " (mark) };
            }
            cells.push(html! { (entry.score) "%" });
            Row::to(address(register, entry), cells)
        })
        .collect();
    let mut columns: Vec<Column> = register
        .list
        .iter()
        .map(|p| {
            let field = &register.dataset.fields[*p];
            let number = matches!(field.kind, FieldKind::Integer | FieldKind::Decimal { .. });
            let column = if number { Column::number(&field.title) } else { Column::text(&field.title) };
            if Some(*p) == register.expires { column.by("expires") } else { column }
        })
        .collect();
    columns.push(Column::number("完整度").by("score"));
    let tables = registries.directory.tables_now();
    let choices: Vec<(usize, Vec<(String, String)>)> = register
        .filters
        .iter()
        .filter_map(|p| {
            let table = tables.get(table_of(&register.dataset.fields[*p].kind)?)?;
            let chosen = here.get(&register.dataset.fields[*p].name).is_some();
            (chosen || table.codes.len() <= CHOICES).then(|| {
                let mut all: Vec<(String, String)> =
                    table.codes.iter().map(|c| (c.code.to_string(), c.name.to_string())).collect();
                all.push((NONE.to_owned(), "（未填）".to_owned()));
                (*p, all)
            })
        })
        .collect();
    let counties = counties(registries, reach);
    let mut states: Vec<(String, String)> = vec![("active".to_owned(), "正常".to_owned())];
    states.extend(Standing::SHOWN[1..].iter().filter(|s| fits(register, **s)).map(|s| {
        let name = if matches!(s, Standing::Merged) {
            s.name().to_owned()
        } else {
            format!("已{}", register.ended)
        };
        (s.word().to_owned(), name)
    }));
    states.push(("all".to_owned(), "全部状态".to_owned()));
    let ages: Vec<(String, String)> = AGES.iter().map(|(c, n)| ((*c).to_owned(), (*n).to_owned())).collect();
    let mut filters =
        vec![Choose::Text { name: "q", label: "查询", hint: "名称、拼音首字母、编号" }];
    if counties.len() > 1 {
        filters.push(Choose::Choice { name: "county", label: "县（市、区）", options: &counties });
    }
    for (p, options) in &choices {
        let field = &register.dataset.fields[*p];
        filters.push(Choose::Choice { name: &field.name, label: &field.title, options });
    }
    if here.get("age").is_some() {
        filters.push(Choose::Choice { name: "age", label: "年龄", options: &ages });
    }
    filters.push(Choose::Pick { name: "state", label: "状态", options: &states });
    let path = register.path();
    let (csv, xlsx) = (format!("{path}/export.csv"), format!("{path}/export.xlsx"));
    let caller = allowed.caller();
    let (new, ask) = (format!("{path}/new"), format!("{path}/ask"));
    let limited = here
        .get("institution")
        .and_then(|i| i.parse::<i64>().ok())
        .and_then(|i| contracts::Institutions::by_id(registries.directory.as_ref(), kernel::Id::new(i)));
    let acts = html! {
        a.btn href=(here.with(&[("page", ""), ("sort", "")]).at(&format!("{path}/statistics")).href()) { (ui::icon("chart-bar")) "统计" }
        @if caller.may(MANAGE) {
            a.btn href={ "/registry/imports/new?kind=" (register.code()) } { (ui::icon("file-import")) "导入" }
            a.btn.btn-primary href=(new) { (ui::icon("plus")) "登记" }
        } @else if caller.may(ASK) {
            a.btn.btn-primary href=(ask) { (ui::icon("plus")) "申请登记" }
        }
    };
    let line = match &limited {
        Some(card) => format!("{}：{}", card.name, register.dataset.description),
        None => register.dataset.description.clone(),
    };
    let empty_action = caller.may(MANAGE).then_some(("登记", new.as_str()));
    Ok(html! {
        (page_head(&[("注册管理", "/registry")], &register.dataset.name, &line, acts))
        (list(here, &List {
            filters: &filters,
            total: Some(total),
            unit: &register.unit,
            columns: &columns,
            rows,
            paging: Paging::Numbered { page: at, per_page: PAGE, total },
            exports: &[Export { label: "导出 CSV", path: &csv }, Export { label: "导出 XLSX", path: &xlsx }],
            empty: ("没有符合条件的条目", "请放宽查询条件；还没有登记的，可以逐个登记或用电子表格成批导入。"),
            empty_action,
        }))
    })
}

fn fits(register: &Register, state: Standing) -> bool {
    match state {
        Standing::Closed | Standing::Merged => register.code() == "institution",
        Standing::Left => register.code() == "staff",
        Standing::Ended => !matches!(register.code(), "institution" | "staff"),
        _ => true,
    }
}

/// Everything that the filter finds, as an import takes it back: codes, not names. Identifying fields stay masked.
async fn all(
    place: &Place,
    params: &RawPathParams,
    allowed: &Allowed,
    here: &Here,
) -> Result<(Arc<Register>, Shown)> {
    let registries = &place.registries;
    let register = place.register(params)?;
    let reach = reach(allowed)?;
    let filter = Filter::of(&register, here, registries.clock.local().date());
    let entries = registries.page(&register, &reach, &filter, sheet::ROWS as i64, 0).await?;
    let fields: Vec<usize> = (0..register.dataset.fields.len()).collect();
    let mut shown = registries.rows(&register, &entries, &fields, true)?;
    shown.heads.push("机构名称（参考）".to_owned());
    shown.heads.push("状态（参考）".to_owned());
    for (cells, entry) in shown.cells.iter_mut().zip(&entries) {
        cells.push(registries.institution_name(entry.institution));
        cells.push(entry.state.name().to_owned());
    }
    let (caller, now) = (allowed.caller(), registries.clock.now());
    registries
        .db
        .transaction(async |tx| {
            let detail =
                json!({ "register": register.code(), "rows": shown.cells.len(), "query": here.href() });
            let object = ("registry", None, register.dataset.name.as_str());
            audit_act(tx, caller, now, "registry.export", object, detail).await
        })
        .await?;
    Ok((register, shown))
}

pub(super) async fn csv(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    let (register, shown) = all(&place, &params, &allowed, &here).await?;
    let heads: Vec<&str> = shown.heads.iter().map(String::as_str).collect();
    Ok(download::csv(&format!("{}.csv", register.code()), &heads, shown.cells))
}

pub(super) async fn xlsx(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
) -> Reply<SheetDownload> {
    let (register, shown) = all(&place, &params, &allowed, &here).await?;
    let heads: Vec<&str> = shown.heads.iter().map(String::as_str).collect();
    Ok(sheet::xlsx(&format!("{}.xlsx", register.code()), &register.dataset.name, &heads, shown.cells)?)
}

/// An empty workbook with the headings that an import reads.
pub(super) async fn template(State(place): State<Place>, params: RawPathParams) -> Reply<SheetDownload> {
    let register = place.register(&params)?;
    let heads: Vec<&str> = register.dataset.fields.iter().map(|f| f.title.as_str()).collect();
    Ok(sheet::xlsx(
        &format!("{}-template.xlsx", register.code()),
        &register.dataset.name,
        &heads,
        Vec::new(),
    )?)
}
