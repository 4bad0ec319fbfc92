//! The entry form of every register: sections, code fields that are searched as one types, messages beside the field.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use catalog::{FieldKind, Pick, Register};
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result};
use maud::{Markup, html};
use serde_json::{Value, json};
use standards::pinyin::initials;
use web::route::Allowed;
use web::ui::{Field, Here, Kind, Tone, field, form_acts, notice, page_head, select_field};
use web::{Frame, Reply};

use super::super::Registries;
use super::super::examine::{Examined, Finding, StaffIndex, Texts, locates};
use super::super::model::Entry;
use super::super::requests::needs_commission;
use super::super::write::Act;
use super::{Place, address, day, id, reach};

/// Code tables with no more codes are a plain choice.
const CHOICES: usize = 16;
/// What a look-up answers at most.
const SUGGESTIONS: usize = 20;
/// Texts longer than this get several lines.
const LONG: u32 = 150;

pub(super) type Fields = HashMap<String, String>;

/// What a form is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Written at once.
    Direct,
    /// Asked for.
    Ask,
}

impl Registries {
    /// The member of staff that the texts of a part name, ready for the examiner.
    pub(in super::super) async fn staff_index(
        &self,
        register: &Register,
        rows: &[&[String]],
    ) -> Result<StaffIndex> {
        let (Some(at), Some(number)) = (register.field("institution"), register.field("staff_no")) else {
            return Ok(StaffIndex::new());
        };
        if !locates(register, "staff_no") {
            return Ok(StaffIndex::new());
        }
        let (mut institutions, mut numbers) = (Vec::new(), Vec::new());
        for row in rows {
            let code = standards::width::fold(row[at].trim()).to_uppercase();
            if let Some(card) = self.directory.by_code(&code) {
                institutions.push(card.id.get() as i32);
                numbers.push(standards::width::fold(row[number].trim()).into_owned());
            }
        }
        let found: Vec<(i32, String, i64)> = sqlx::query_as(
            "select e.institution_id, e.key, e.id from registry_entry e
             join unnest($1::int[], $2::text[]) as n (institution_id, key)
                on n.institution_id = e.institution_id and n.key = e.key
             where e.kind = 'staff' and e.parent_id is null and e.state <> 'removed'",
        )
        .bind(institutions)
        .bind(numbers)
        .fetch_all(self.db.pool())
        .await
        .map_err(|e| store::failure::db_error("look for staff by their numbers", e))?;
        Ok(found.into_iter().map(|(at, key, id)| ((i64::from(at), key), id)).collect())
    }

    /// Examines one entry's texts.
    pub(in super::super) async fn examine(
        &self,
        register: &Arc<Register>,
        reach: &Reach,
        texts: &Texts,
        before: Option<&Entry>,
    ) -> Result<Examined> {
        let staff = self.staff_index(register, &[texts.as_slice()]).await?;
        self.examiner(register, &staff).examine(reach, texts, before)
    }

    /// The texts of a form. What is still masked stands for the value that is there.
    pub(in super::super) fn typed(
        &self,
        register: &Register,
        form: &Fields,
        before: Option<&Entry>,
    ) -> Result<Texts> {
        let known = before
            .map(|entry| {
                Ok::<_, kernel::Error>((
                    self.texts_of(register, entry, true)?,
                    self.texts_of(register, entry, false)?,
                ))
            })
            .transpose()?;
        Ok(register
            .dataset
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| match (form.get(&field.name), &known) {
                (Some(text), Some((open, masked))) if register.is_guarded(at) && *text == masked[at] => {
                    open[at].clone()
                }
                (Some(text), _) => text.clone(),
                (None, Some((open, _))) => open[at].clone(),
                (None, None) => String::new(),
            })
            .collect())
    }
}

/// The fields of a form, by section.
pub(in super::super) fn fields(
    registries: &Registries,
    register: &Register,
    texts: &Texts,
    findings: &[Finding],
    only: Option<&[usize]>,
) -> Markup {
    let tables = registries.directory.tables_now();
    html! {
        @for (title, list) in &register.sections {
            @let list: Vec<usize> = list.iter().copied().filter(|at| only.is_none_or(|o| o.contains(at))).collect();
            @if !list.is_empty() {
                fieldset.mk-fieldset {
                    legend { (title) }
                    div.mk-form-grid {
                        @for at in list {
                            @let f = &register.dataset.fields[at];
                            @let error = findings.iter().find(|x| x.field == Some(at)).map(|x| x.message.as_str());
                            (control(registries, register, &tables, at, f, &texts[at], error))
                        }
                    }
                }
            }
        }
    }
}

fn control(
    registries: &Registries,
    register: &Register,
    tables: &catalog::CodeTables,
    at: usize,
    f: &catalog::Field,
    text: &str,
    error: Option<&str>,
) -> Markup {
    let mut shown = Field {
        name: &f.name,
        label: &f.title,
        value: text,
        required: f.required,
        error,
        unit: &f.unit,
        ..Field::default()
    };
    let name = registries.shown(register, at, text);
    let chosen = if name != text && !text.is_empty() { format!("当前：{name}") } else { String::new() };
    shown.hint = &chosen;
    match (register.picks[at], &f.kind) {
        (Some(Pick::Institution), _) => field(&Field { pick: "/registry/pick/institution", ..shown }),
        (Some(Pick::Region), _) => field(&Field { pick: "/registry/pick/region", ..shown }),
        (_, FieldKind::Code { table, .. }) => {
            let Some(known) = tables.get(table) else { return field(&shown) };
            if known.codes.len() <= CHOICES {
                shown.hint = "";
                let mut options: Vec<(String, String)> =
                    known.codes.iter().map(|c| (c.code.to_string(), c.name.to_string())).collect();
                if !text.is_empty() && known.name_of(text).is_none() {
                    options.push((text.to_owned(), text.to_owned()));
                }
                return select_field(&shown, &options);
            }
            field(&Field { pick: &format!("/api/v1/codes/{table}"), ..shown })
        }
        (_, FieldKind::Date) => field(&Field { kind: Kind::Date, ..shown }),
        (_, FieldKind::Integer | FieldKind::Decimal { .. }) => field(&Field { kind: Kind::Number, ..shown }),
        (_, FieldKind::Text { max }) if *max > LONG => field(&Field { kind: Kind::Long, ..shown }),
        _ => field(&shown),
    }
}

struct Sheet<'a> {
    way: Way,
    texts: &'a Texts,
    findings: &'a [Finding],
    version: i32,
    reason: &'a str,
    from: &'a str,
    back: String,
}

fn page_of(registries: &Registries, register: &Register, title: &str, sheet: &Sheet) -> Markup {
    let path = register.path();
    let others: Vec<&Finding> = sheet.findings.iter().filter(|f| f.field.is_none()).collect();
    let (label, line) = match sheet.way {
        Way::Direct => ("保存", "带 * 的必须填写。代码字段可以输入名称、拼音首字母或代码查找。"),
        Way::Ask => ("提交申请", "您提交的是申请：由卫生健康行政部门审核通过后生效。"),
    };
    html! {
        (page_head(&[("注册管理", "/registry"), (register.dataset.name.as_str(), path.as_str())], title, line, html! {}))
        @if !sheet.findings.is_empty() {
            (notice(Tone::Bad, "还没有保存", &format!("有 {} 处需要修改，说明在各项下方。", sheet.findings.len())))
        }
        @for finding in others { (notice(Tone::Bad, "不能保存", &finding.message)) }
        section.mk-card {
            form.mk-form method="post" {
                input type="hidden" name="_version" value=(sheet.version);
                (fields(registries, register, sheet.texts, sheet.findings, None))
                fieldset.mk-fieldset {
                    legend { "登记说明" }
                    div.mk-form-grid {
                        @if sheet.way == Way::Direct {
                            (field(&Field { name: "_from", label: "自何日起有效", kind: Kind::Date, value: sheet.from, ..Field::default() }))
                        }
                        (field(&Field { name: "_reason", label: "修改原因、依据", value: sheet.reason, hint: "例如文号、电话核实", ..Field::default() }))
                    }
                }
                (form_acts(label, Some(&sheet.back)))
            }
        }
    }
}

fn prefilled(register: &Register, here: &Here) -> Texts {
    register.dataset.fields.iter().map(|f| here.get(&f.name).unwrap_or("").to_owned()).collect()
}

async fn new_page(
    place: &Place,
    params: &RawPathParams,
    here: &Here,
    frame: &Frame,
    way: Way,
) -> Result<Markup> {
    let register = place.register(params)?;
    let mut texts = prefilled(&register, here);
    if let (Some(at), Some(own)) =
        (register.field("institution"), frame.caller.as_ref().and_then(|c| c.institution))
        && texts[at].is_empty()
        && let Some(card) = place.registries.directory.by_id(own)
    {
        texts[at] = card.code.clone();
    }
    let title = format!("登记{}", register.dataset.name);
    let today = place.registries.clock.local().date().to_string();
    let sheet = Sheet {
        way,
        texts: &texts,
        findings: &[],
        version: 0,
        reason: "",
        from: &today,
        back: register.path(),
    };
    Ok(frame.page(&title, page_of(&place.registries, &register, &title, &sheet)))
}

pub(super) async fn blank(
    State(place): State<Place>,
    params: RawPathParams,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    Ok(new_page(&place, &params, &here, &frame, Way::Direct).await?)
}

pub(super) async fn ask_blank(
    State(place): State<Place>,
    params: RawPathParams,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    Ok(new_page(&place, &params, &here, &frame, Way::Ask).await?)
}

async fn edit_page(
    place: &Place,
    params: &RawPathParams,
    allowed: &Allowed,
    frame: &Frame,
    way: Way,
) -> Result<Markup> {
    let registries = &place.registries;
    let register = place.register(params)?;
    let entry = registries.entry(&register, &reach(allowed)?, id(params)?).await?;
    let texts = registries.texts_of(&register, &entry, false)?;
    let title = format!("修改：{}", entry.name);
    let today = registries.clock.local().date().to_string();
    let sheet = Sheet {
        way,
        texts: &texts,
        findings: &[],
        version: entry.version,
        reason: "",
        from: &today,
        back: address(&register, &entry),
    };
    Ok(frame.page(&title, page_of(registries, &register, &title, &sheet)))
}

pub(super) async fn edit(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    frame: Frame,
) -> Reply<Markup> {
    Ok(edit_page(&place, &params, &allowed, &frame, Way::Direct).await?)
}

pub(super) async fn ask_edit(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    frame: Frame,
) -> Reply<Markup> {
    Ok(edit_page(&place, &params, &allowed, &frame, Way::Ask).await?)
}

async fn submit(
    place: &Place,
    params: &RawPathParams,
    allowed: &Allowed,
    frame: &Frame,
    form: &Fields,
    way: Way,
    existing: bool,
) -> Result<Response> {
    let registries = &place.registries;
    let register = place.register(params)?;
    let reach = reach(allowed)?;
    let entry = match existing {
        true => Some(registries.entry(&register, &reach, id(params)?).await?),
        false => None,
    };
    let texts = registries.typed(&register, form, entry.as_ref())?;
    let text = |name: &str| form.get(name).map_or("", String::as_str);
    let mut examined = registries.examine(&register, &reach, &texts, entry.as_ref()).await?;
    let today = registries.clock.local().date();
    if let Some(mut draft) = examined.draft.take() {
        if existing {
            draft.base_version = text("_version").parse().ok();
        }
        let caller = allowed.caller();
        let at = entry
            .as_ref()
            .map(|e| e.institution)
            .or_else(|| draft.institution.map(|i| kernel::Id::new(i.into())));
        let commission =
            match (at, draft.content.get("region").and_then(Value::as_str).map(RegionCode::parse)) {
                (Some(at), _) => registries.is_commission(&reach, at),
                (None, Some(Ok(region))) => registries.is_commission_of(&reach, &region),
                _ => false,
            };
        // A unit keeps its own registers; what the commission decides about becomes a request by itself.
        if way == Way::Ask || (!commission && needs_commission(&register, &draft, entry.as_ref())) {
            let request = registries.ask(caller, &draft, entry.as_ref(), text("_reason"), false).await?;
            return Ok(Redirect::to(&format!("/registry/requests/{request}")).into_response());
        }
        let act = Act {
            valid_from: day(text("_from"), today)?,
            ..Act::now(registries, caller, text("_reason").trim())
        };
        let before = entry.as_ref().map(|e| Value::Object(e.content.clone()));
        match registries.save(caller, &draft, &act, before).await {
            Ok(written) => {
                let number = if register.code() == "institution" {
                    i64::from(written.institution)
                } else {
                    written.entry
                };
                return Ok(Redirect::to(&format!("{}/{number}", register.path())).into_response());
            }
            // What is taken is told in the form, where it can be mended; nothing typed is lost.
            Err(kernel::Error::Refused(refusal)) => {
                examined.findings = vec![Finding { field: None, message: refusal.message, reject: true }];
            }
            Err(fault) => return Err(fault),
        }
    }
    let findings: Vec<Finding> = examined.findings.into_iter().filter(|f| f.reject).collect();
    let title =
        entry.as_ref().map_or(format!("登记{}", register.dataset.name), |e| format!("修改：{}", e.name));
    let sheet = Sheet {
        way,
        texts: &texts,
        findings: &findings,
        version: text("_version").parse().unwrap_or(0),
        reason: text("_reason"),
        from: text("_from"),
        back: entry.as_ref().map_or(register.path(), |e| address(&register, e)),
    };
    let page = frame.page(&title, page_of(registries, &register, &title, &sheet));
    Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

macro_rules! submission {
    ($name:ident, $way:expr, $existing:expr) => {
        pub(super) async fn $name(
            State(place): State<Place>,
            params: RawPathParams,
            allowed: Allowed,
            frame: Frame,
            Form(form): Form<Fields>,
        ) -> Reply<Response> {
            Ok(submit(&place, &params, &allowed, &frame, &form, $way, $existing).await?)
        }
    };
}
submission!(create, Way::Direct, false);
submission!(save, Way::Direct, true);
submission!(ask_new, Way::Ask, false);
submission!(ask_save, Way::Ask, true);

/// `GET /registry/pick/institution?q=`: institutions in reach, for fields.
pub(super) async fn pick_institution(
    State(place): State<Place>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Vec<Value>>> {
    let reach = reach(&allowed)?;
    let text = standards::width::fold(here.get("q").unwrap_or("")).trim().to_lowercase();
    let all = place.registries.directory.all();
    let found = all
        .iter()
        .filter(|c| reach.covers(c.id, &c.region))
        .filter(|c| {
            text.is_empty()
                || c.name.contains(&text)
                || c.code.to_lowercase().starts_with(&text)
                || initials(&c.name).contains(&text)
        })
        .take(SUGGESTIONS)
        .map(|c| json!({ "code": c.code, "name": c.name }))
        .collect();
    Ok(Json(found))
}

/// `GET /registry/pick/region?q=`: divisions in reach, for fields.
pub(super) async fn pick_region(
    State(place): State<Place>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Vec<Value>>> {
    let text = standards::width::fold(here.get("q").unwrap_or("")).trim().to_lowercase();
    if text.is_empty() {
        return Ok(Json(Vec::new()));
    }
    let scope = reach(&allowed)?.scope();
    let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select distinct on (length(rtrim(code, '0')), code) code, name from region
         where code like any($1) and (starts_with(code, $2) or strpos(name, $2) > 0 or starts_with(initials, $2))
         order by length(rtrim(code, '0')), code, year desc limit $3",
    )
    .bind(prefixes)
    .bind(&text)
    .bind(SUGGESTIONS as i64)
    .fetch_all(place.registries.db.pool())
    .await
    .map_err(|e| store::failure::db_error("look for divisions", e))?;
    let named = |code: &str, name: &str| {
        RegionCode::parse(code).map_or(name.to_owned(), |c| place.registries.directory.region_name(&c))
    };
    let found = rows.iter().map(|(code, name)| json!({ "code": code, "name": named(code, name) })).collect();
    Ok(Json(found))
}
