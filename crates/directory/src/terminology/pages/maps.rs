//! `/code-maps`: institutions' own codes (院内码对照), from the open ones with suggestions to the decided ones.

use std::sync::Arc;

use axum::extract::{Multipart, State};
use axum::response::{IntoResponse, Redirect, Response};
use contracts::InstitutionCard;
use kernel::{Purpose, Refusal, Result};
use maud::{Markup, html};
use web::download::{self, Download};
use web::ui::{
    Column, Export, Field, Filter, Here, Kind, List, Paging, Row, Tab, Tone, badge, card, card_with, empty,
    field, form_acts, list, notice, page_head, select_field, table as plain_table, tabs, thousands,
};
use web::{Allowed, Frame, Reply};

use super::{
    APPROVE, PAGE, PROPOSE, Sent, asked, cards, governed, institution_options, may, one, page_number,
    reached, stored, table_options, time, told,
};
use crate::Directory;
use crate::sheet::{self, SheetDownload};
use crate::terminology::maps::{
    Decision, Ending, Filter as Lines, MapLine, NewMap, Proposed, RELATIONS, STATES, read_map,
};
use crate::terminology::reader::read_grid;

/// Suggestions at least so sure may be proposed all at once.
const SURE: f32 = 0.95;
/// Open codes that are proposed in one go at most.
const AT_ONCE: i64 = 2_000;
/// Lines that an export has at most.
const EXPORT: i64 = 200_000;

fn word<'w>(words: &[(&'w str, &'w str)], code: &'w str) -> &'w str {
    words.iter().find(|(own, _)| *own == code).map_or(code, |(_, word)| word)
}

fn state_badge(state: &str) -> Markup {
    let tone = match state {
        "approved" => Tone::Good,
        "proposed" => Tone::Info,
        "rejected" => Tone::Warn,
        _ => Tone::Neutral,
    };
    badge(tone, word(&STATES, state))
}

fn percent(score: Option<f32>) -> String {
    score.map_or_else(|| "人工".to_owned(), |s| format!("{:.0}%", s * 100.0))
}

/// `GET /code-maps?state=&table=&institution=&q=&page=`
pub(super) async fn page(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let open =
        here.get("state") == Some("open") || (here.get("state").is_none() && may(allowed.caller(), PROPOSE));
    let state = here.get("state").unwrap_or(if open { "open" } else { "proposed" }).to_owned();
    let mut parts: Vec<(&str, &str)> = vec![("open", "待对照")];
    parts.extend(STATES);
    let views: Vec<Tab> = parts
        .iter()
        .map(|(code, title)| Tab {
            title: (*title).to_owned(),
            href: here.with(&[("state", code), ("page", ""), ("done", ""), ("n", ""), ("own", "")]).href(),
            count: None,
            current: state == *code,
        })
        .collect();
    let inside = if open {
        open_codes(&directory, &allowed, &reach, &here).await?
    } else {
        decided(&directory, &allowed, &reach, &here, &state).await?
    };
    let body = html! {
        (page_head(&[("代码表", "/codes")], "院内码对照", "医院自己的编码与标准编码的对照：医院提交，术语管理员审批，批准后上传的和已存的数据自动转换，院内编码同时保留。", html! {
            a.btn href="/code-coverage" { "编码覆盖率" }
            @if may(allowed.caller(), PROPOSE) { a.btn.btn-primary href="/code-maps/import" { "导入对照表" } }
        }))
        (told(&here))
        (tabs(&views))
        (inside)
    };
    Ok(frame.page("院内码对照", body))
}

async fn decided(
    directory: &Arc<Directory>,
    allowed: &Allowed,
    reach: &kernel::Reach,
    here: &Here,
    state: &str,
) -> Result<Markup> {
    let cards = cards(directory, reach);
    let chosen = one_filter(directory, reach, here)?;
    let institutions: Vec<i32> = match &chosen {
        Some(card) => vec![card.id.get() as i32],
        None => cards.iter().map(|c| c.id.get() as i32).collect(),
    };
    let text = asked(here);
    let filter = Lines {
        institutions: &institutions,
        table: here.get("table"),
        state: Some(state),
        text: &text,
        at_least: here.get("least").and_then(|l| l.parse().ok()),
    };
    let total = directory.maps_count(&filter).await?.unsigned_abs();
    let page = page_number(here, total);
    let lines = directory.maps(&filter, PAGE as i64, (page as i64 - 1) * PAGE as i64).await?;
    let followed = matches!(state, "approved" | "ended");
    let of_lines = match followed {
        true => directory.stored_of_lines(&lines.iter().map(|line| line.id).collect::<Vec<_>>()).await?,
        false => Default::default(),
    };
    let may_go_on = match may(allowed.caller(), APPROVE) {
        true => governed(directory, reach),
        false => Vec::new(),
    };
    let runs = match followed {
        true => stored::runs(directory, here, &cards, &institutions, &may_go_on).await?,
        false => html! {},
    };
    let tables = directory.tables_now();
    let decides = may(allowed.caller(), APPROVE) && matches!(state, "proposed" | "approved");
    let takes_back = !decides && may(allowed.caller(), PROPOSE) && state == "proposed";
    let row = |line: &MapLine| {
        let name =
            cards.iter().find(|c| c.id.get() as i32 == line.institution_id).map_or("", |c| &*c.short_name);
        let gone = tables.get(&line.table_id).is_some_and(|t| !t.contains(&line.standard_code));
        let mut cells = vec![
            html! { @if decides || takes_back { input type="checkbox" name="id" value=(line.id) form="decide" aria-label="选择"; } },
            html! { (name) br; small.mk-muted { (tables.get(&line.table_id).map_or(line.table_id.as_str(), |t| &t.name)) } },
            html! { (line.local_code) br; small { (line.local_name) } },
            html! { (line.standard_code) " " (line.standard_name)
            @if line.relation != "equivalent" { " " (badge(Tone::Info, word(&RELATIONS, &line.relation))) }
            @if gone { " " (badge(Tone::Bad, "标准码已停用")) } },
            html! { (percent(line.score)) br; small.mk-muted { (line.basis) } },
            html! { (thousands(line.rows.unsigned_abs())) },
            html! { (line.proposed_by) br; small.mk-muted { (time(line.proposed_at)) } },
            html! {
                (state_badge(&line.state))
                @if let (Some(by), Some(at)) = (&line.decided_by, line.decided_at) { br; small.mk-muted { (by) " " (time(at)) } }
                @if let Some(from) = line.valid_from { small.mk-muted { (from) " 起" @if let Some(to) = line.valid_to { "，" (to) " 停" } } }
                @if !line.note.is_empty() { br; small { (line.note) } }
            },
        ];
        if followed {
            cells.push(stored::cell(of_lines.get(&line.id), state == "ended"));
        }
        Row::plain(cells)
    };
    let mut columns = vec![
        Column::text(""),
        Column::text("机构"),
        Column::text("院内编码"),
        Column::text("标准编码"),
        Column::text("依据"),
        Column::number("累计行数"),
        Column::text("提交"),
        Column::text("状态"),
    ];
    columns.extend(followed.then(|| Column::text("存量数据")));
    let rows: Vec<Row> = lines.iter().map(row).collect();
    let (institution_choices, table_choices) = (institution_options(&cards), table_options(directory));
    let least: Vec<(String, String)> = ["0.95", "0.9", "0.8"]
        .map(|l| (l.to_owned(), format!("{}% 以上", l.parse::<f32>().unwrap_or(0.0) * 100.0)))
        .to_vec();
    let mut filters =
        vec![Filter::Text { name: "q", label: "查询", hint: "院内或标准的编码、名称" }];
    if cards.len() > 1 {
        filters.push(Filter::Choice { name: "institution", label: "机构", options: &institution_choices });
    }
    filters.push(Filter::Choice { name: "table", label: "代码表", options: &table_choices });
    filters.push(Filter::Choice { name: "least", label: "相似度", options: &least });
    let acts = match (decides, takes_back, state) {
        (true, _, "proposed") => deciding(here, total),
        (true, _, _) => card(
            "停用",
            html! {
                form.mk-form id="decide" method="post" action="/code-maps/undo" {
                    (kept(here))
                    div.mk-form-acts {
                        button.btn type="submit" { "停用选中的对照" }
                        span.mk-muted { "之后上传的数据不再按它转换，已转换的数据恢复为院内编码" }
                    }
                }
            },
        ),
        (_, true, _) => html! {
            form.mk-form-line id="decide" method="post" action="/code-maps/withdraw" { (kept(here)) button.btn type="submit" { "撤回选中的" } }
        },
        _ => html! {},
    };
    Ok(html! {
        (list(here, &List {
            filters: &filters,
            total: Some(total),
            unit: "条对照",
            columns: &columns,
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/code-maps.csv" }, Export { label: "导出 XLSX", path: "/code-maps.xlsx" }],
            empty: ("没有这样的对照", "请放宽条件，或换一个状态查看。"),
            empty_action: None,
        }))
        @if !lines.is_empty() { (acts) }
        (runs)
    })
}

/// The filters that a form carries on, so that the page comes back as it was.
fn kept(here: &Here) -> Markup {
    html! {
        @for name in ["state", "table", "institution", "q", "least"] {
            @if let Some(value) = here.get(name) { input type="hidden" name=(name) value=(value); }
        }
    }
}

fn deciding(here: &Here, total: u64) -> Markup {
    card(
        "审批",
        html! {
            form.mk-form id="decide" method="post" action="/code-maps/decide" {
                (kept(here))
                (field(&Field { name: "note", label: "意见", hint: "退回时必填，医院会看到", ..Field::default() }))
                div.mk-form-acts {
                    button.btn.btn-primary type="submit" name="act" value="approve" { "批准选中的" }
                    button.btn type="submit" name="act" value="reject" { "退回选中的" }
                    @if here.get("least").is_some() {
                        button.btn type="submit" name="act" value="approve_all" { "批准符合条件的全部 " (thousands(total)) " 条" }
                    } @else {
                        span.mk-muted { "按相似度筛选后，可以一次批准符合条件的全部" }
                    }
                }
            }
        },
    )
}

async fn open_codes(
    directory: &Arc<Directory>,
    allowed: &Allowed,
    reach: &kernel::Reach,
    here: &Here,
) -> Result<Markup> {
    let cards = cards(directory, reach);
    let (institution_choices, table_choices) = (institution_options(&cards), table_options(directory));
    let chosen = one(directory, reach, here.get("institution"))?;
    let table_id = here
        .get("table")
        .or_else(|| table_choices.iter().find(|(id, _)| id == "icd10").map(|(id, _)| id.as_str()))
        .unwrap_or("");
    let tables: Vec<(String, String)> = {
        // What is shown without a choice stands first.
        let mut sorted = table_choices.clone();
        sorted.sort_by_key(|(id, _)| id != table_id);
        sorted
    };
    let mut filters = Vec::new();
    if cards.len() > 1 {
        filters.push(Filter::Choice { name: "institution", label: "机构", options: &institution_choices });
    }
    filters.push(Filter::Pick { name: "table", label: "代码表", options: &tables });
    let here = &here.with(&[("state", "open")]);
    let page_asked = here.get("page").and_then(|p| p.parse::<i64>().ok()).unwrap_or(1).max(1);
    let (total, codes) = match &chosen {
        Some(card) => {
            directory.open_codes(card.id, table_id, PAGE as i64, (page_asked - 1) * PAGE as i64).await?
        }
        None => (0, Vec::new()),
    };
    let total = total.unsigned_abs();
    let proposes = may(allowed.caller(), PROPOSE);
    let institution = chosen.as_ref().map_or("", |card| card.code.as_str());
    let suggest_url = format!("/api/v1/codes/{table_id}/search?active=1&limit=10");
    let rows = codes
        .iter()
        .map(|open| {
            let best = open.suggestions.first();
            Row::plain(vec![
                html! { (open.code) br; small { (open.name) } },
                html! { (thousands(open.rows.unsigned_abs())) },
                html! { (open.last_seen) },
                html! {
                    @if open.suggestions.is_empty() { span.mk-muted { "没有相近的标准编码，请手工查找" } }
                    @for s in &open.suggestions {
                        div { b { (s.code) } " " (s.name) " " small.mk-muted { (percent(Some(s.score))) " " (s.basis) } }
                    }
                },
                html! {
                    @if proposes {
                        form.mk-form-line method="post" action="/code-maps/propose" {
                            input type="hidden" name="institution" value=(institution);
                            input type="hidden" name="table" value=(table_id);
                            input type="hidden" name="local_code" value=(open.code);
                            input.form-control name="standard_code" value=(best.map_or("", |s| s.code.as_str())) required
                                aria-label="标准编码" data-pick=(suggest_url) autocomplete="off";
                            select.form-select name="relation" aria-label="关系" {
                                @for (code, title) in RELATIONS { option value=(code) { (title) } }
                            }
                            button.btn type="submit" { "提交" }
                        }
                    }
                },
            ])
        })
        .collect();
    let empty = if chosen.is_none() {
        ("请先选择机构", "选择一家机构，查看它上传过而没有标准编码、也没有对照的院内编码。")
    } else {
        ("没有待对照的院内编码", "上传数据中的编码都是标准编码，或已有对照。")
    };
    Ok(html! {
        (list(here, &List {
            filters: &filters,
            total: chosen.is_some().then_some(total),
            unit: "个院内编码",
            columns: &[
                Column::text("院内编码"), Column::number("累计行数"), Column::text("最近出现"), Column::text("建议的标准编码"), Column::text("对照"),
            ],
            rows,
            paging: Paging::Numbered { page: page_number(here, total), per_page: PAGE as u64, total },
            exports: &[],
            empty,
            empty_action: None,
        }))
        @if proposes && total > 0 {
            form.mk-form-line method="post" action="/code-maps/propose" {
                input type="hidden" name="institution" value=(institution);
                input type="hidden" name="table" value=(table_id);
                input type="hidden" name="all" value="1";
                button.btn.btn-primary type="submit" { "把相似度 95% 以上的建议全部提交审批" }
            }
        }
    })
}

/// The institution of the filter; none when nothing is chosen.
fn one_filter(
    directory: &Directory,
    reach: &kernel::Reach,
    here: &Here,
) -> Result<Option<Arc<InstitutionCard>>, Refusal> {
    match here.get("institution") {
        Some(code) => one(directory, reach, Some(code)),
        None => Ok(None),
    }
}

fn proposer(directory: &Directory, allowed: &Allowed, code: Option<&str>) -> Result<Arc<InstitutionCard>> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let card = one(directory, &reach, code)?;
    Ok(card.ok_or_else(|| Refusal::invalid("map.no_institution", "请指明是哪家机构的编码。"))?)
}

/// `POST /code-maps/propose`: one line, or with `all` every suggestion that is sure enough.
pub(super) async fn propose(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    body: String,
) -> Reply<Redirect> {
    let form = Here::new("", &body);
    let card = proposer(&directory, &allowed, form.get("institution"))?;
    let table = form.get("table").unwrap_or("");
    let maps: Vec<NewMap> = if form.get("all") == Some("1") {
        let (_, codes) = directory.open_codes(card.id, table, AT_ONCE, 0).await?;
        codes
            .into_iter()
            .filter_map(|open| {
                let best = open.suggestions.into_iter().next().filter(|s| s.score >= SURE)?;
                Some(NewMap {
                    table: table.to_owned(),
                    local_code: open.code,
                    local_name: open.name,
                    standard_code: best.code,
                    score: Some(best.score),
                    basis: best.basis,
                    ..NewMap::default()
                })
            })
            .collect()
    } else {
        vec![NewMap {
            table: table.to_owned(),
            local_code: form.get("local_code").unwrap_or("").to_owned(),
            local_name: form.get("local_name").unwrap_or("").to_owned(),
            standard_code: form.get("standard_code").unwrap_or("").trim().to_owned(),
            relation: form.get("relation").unwrap_or("").to_owned(),
            score: None,
            basis: "人工选择".to_owned(),
        }]
    };
    let report = directory.propose_maps(card.id, &maps, false, allowed.caller(), directory.now()).await?;
    if let Some(problem) = report.problems.first().filter(|_| report.added == 0) {
        return Err(Refusal::invalid("map.unsound", format!("没有提交：{problem}。")).into());
    }
    let back = Here::new("/code-maps", "").with(&[
        ("state", "open"),
        ("table", table),
        ("institution", form.get("institution").unwrap_or("")),
        ("done", "proposed"),
        ("n", &report.added.to_string()),
    ]);
    Ok(Redirect::to(&back.href()))
}

fn ids(form: &Here) -> Result<Vec<i64>, Refusal> {
    let ids: Vec<i64> =
        form.pairs().iter().filter(|(k, _)| k == "id").filter_map(|(_, v)| v.parse().ok()).collect();
    if ids.is_empty() {
        return Err(Refusal::invalid("map.none", "没有选择任何一条。请先在列表中勾选。"));
    }
    Ok(ids)
}

fn back(form: &Here, done: &str, n: usize, own: usize) -> Redirect {
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let mut fields = vec![("done", done.to_owned()), ("n", number(n)), ("own", number(own))];
    for name in ["state", "table", "institution", "q", "least"] {
        fields.push((name, form.get(name).unwrap_or("").to_owned()));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Redirect::to(&Here::new("/code-maps", "").with(&fields).href())
}

/// `POST /code-maps/decide`
pub(super) async fn decide(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    body: String,
) -> Reply<Redirect> {
    let form = Here::new("", &body);
    let reach = allowed.reach(Purpose::of("administration"))?;
    let mut institutions = governed(&directory, &reach);
    if form.get("act") == Some("follow") {
        let card = one_filter(&directory, &reach, &form)?;
        let card = card.filter(|card| institutions.iter().any(|id| i64::from(*id) == card.id.get()));
        let card = card.ok_or_else(|| {
            Refusal::not_found("institution.unknown", "没有这个机构，或不在您的权限范围内。")
        })?;
        let (caller, now) = (allowed.caller(), directory.now());
        let going = directory.follow_again(card.id.get() as i32, caller, now).await?;
        return Ok(back(&form, "follow", usize::from(going), 0));
    }
    let (approve, ids) = match form.get("act") {
        Some("approve_all") => {
            let least = form
                .get("least")
                .and_then(|l| l.parse::<f32>().ok())
                .ok_or_else(|| Refusal::invalid("map.no_threshold", "成批批准前请先按相似度筛选。"))?;
            if let Some(card) = one_filter(&directory, &reach, &form)? {
                institutions.retain(|id| i64::from(*id) == card.id.get());
            }
            let text = asked(&form);
            let filter = Lines {
                institutions: &institutions,
                table: form.get("table"),
                state: Some("proposed"),
                text: &text,
                at_least: Some(least),
            };
            let lines = directory.maps(&filter, EXPORT, 0).await?;
            (true, lines.into_iter().map(|line| line.id).collect())
        }
        Some("reject") => (false, ids(&form)?),
        Some("approve") => (true, ids(&form)?),
        _ => return Err(Refusal::invalid("map.act", "请选择批准或退回。").into()),
    };
    let decision = Decision {
        approve,
        note: form.get("note").unwrap_or(""),
        valid_from: form.get("valid_from").and_then(|d| d.parse().ok()),
    };
    let decided =
        directory.decide_maps(&institutions, &ids, decision, allowed.caller(), directory.now()).await?;
    Ok(back(&form, if approve { "approved" } else { "rejected" }, decided.done, decided.own))
}

/// `POST /code-maps/undo`
pub(super) async fn undo(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    body: String,
) -> Reply<Redirect> {
    let form = Here::new("", &body);
    let institutions = governed(&directory, &allowed.reach(Purpose::of("administration"))?);
    let n = directory
        .end_maps(&institutions, &ids(&form)?, Ending::Undo, allowed.caller(), directory.now())
        .await?;
    Ok(back(&form, "ended", n, 0))
}

/// `POST /code-maps/withdraw`
pub(super) async fn withdraw(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    body: String,
) -> Reply<Redirect> {
    let form = Here::new("", &body);
    let institutions = reached(&directory, &allowed.reach(Purpose::of("administration"))?);
    let n = directory
        .end_maps(&institutions, &ids(&form)?, Ending::Withdraw, allowed.caller(), directory.now())
        .await?;
    Ok(back(&form, "withdrawn", n, 0))
}

const HEADS: [&str; 15] = [
    "机构",
    "代码表",
    "院内编码",
    "院内名称",
    "标准编码",
    "标准名称",
    "关系",
    "相似度",
    "依据",
    "状态",
    "提交人",
    "审批人",
    "施行",
    "停用",
    "存量数据",
];

async fn exported(directory: &Directory, allowed: &Allowed, here: &Here) -> Result<Vec<Vec<String>>> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let cards = cards(directory, &reach);
    let institutions: Vec<i32> = match one_filter(directory, &reach, here)? {
        Some(card) => vec![card.id.get() as i32],
        None => cards.iter().map(|c| c.id.get() as i32).collect(),
    };
    let text = asked(here);
    let filter = Lines {
        institutions: &institutions,
        table: here.get("table"),
        state: here.get("state").filter(|s| *s != "open"),
        text: &text,
        at_least: here.get("least").and_then(|l| l.parse().ok()),
    };
    let lines = directory.maps(&filter, EXPORT, 0).await?;
    let of_lines = directory.stored_of_lines(&lines.iter().map(|line| line.id).collect::<Vec<_>>()).await?;
    let day = |day: Option<chrono::NaiveDate>| day.map(|d| d.to_string()).unwrap_or_default();
    let row = |m: MapLine| {
        let stored = stored::words(of_lines.get(&m.id), m.state == "ended");
        vec![
            cards
                .iter()
                .find(|c| c.id.get() as i32 == m.institution_id)
                .map(|c| c.name.clone())
                .unwrap_or_default(),
            m.table_id,
            m.local_code,
            m.local_name,
            m.standard_code,
            m.standard_name,
            word(&RELATIONS, &m.relation).to_owned(),
            percent(m.score),
            m.basis,
            word(&STATES, &m.state).to_owned(),
            m.proposed_by,
            m.decided_by.unwrap_or_default(),
            day(m.valid_from),
            day(m.valid_to),
            stored,
        ]
    };
    Ok(lines.into_iter().map(row).collect())
}

pub(super) async fn csv(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    Ok(download::csv("code-maps.csv", &HEADS, exported(&directory, &allowed, &here).await?))
}

pub(super) async fn xlsx(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<SheetDownload> {
    Ok(sheet::xlsx("code-maps.xlsx", "院内码对照", &HEADS, &exported(&directory, &allowed, &here).await?)?)
}

fn import_page(directory: &Directory, cards: &[Arc<InstitutionCard>], told: &Markup) -> Markup {
    let (institutions, tables) = (institution_options(cards), table_options(directory));
    html! {
        (page_head(&[("院内码对照", "/code-maps")], "导入对照表", "先试运行，看哪些行可用、哪些行有问题，再提交审批。", html! {}))
        (told)
        (card("文件", html! {
            form.mk-form method="post" action="/code-maps/import" enctype="multipart/form-data" {
                @if cards.len() > 1 { (select_field(&Field { name: "institution", label: "机构", required: true, ..Field::default() }, &institutions)) }
                (select_field(&Field { name: "table", label: "代码表", required: true, hint: "文件中有“代码表”列时以它为准", ..Field::default() }, &tables))
                (field(&Field { name: "file", label: "文件", kind: Kind::File, required: true, hint: "CSV 或 XLSX；表头要有院内编码、标准编码，可有院内名称、代码表、关系", ..Field::default() }))
                label.mk-check { input type="checkbox" name="dry_run" value="1" checked; " 试运行：只检查，不提交" }
                (form_acts("开始", Some("/code-maps")))
            }
        }))
    }
}

pub(super) async fn form(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    frame: Frame,
) -> Reply<Markup> {
    let cards = cards(&directory, &allowed.reach(Purpose::of("administration"))?);
    Ok(frame.page("导入对照表", import_page(&directory, &cards, &html! {})))
}

fn checked(report: &Proposed, here: &Here) -> Markup {
    let problems: Vec<Row> =
        report.problems.iter().take(100).map(|p| Row::plain(vec![html! { (p) }])).collect();
    html! {
        (notice(Tone::Info, "试运行结果：没有提交", &format!(
            "可提交 {} 条，已有相同对照 {} 条，有问题 {} 条。去掉“试运行”后再次选择文件即可提交。",
            report.added, report.unchanged, report.problems.len())))
        (card_with("有问题的行", html! {}, html! {
            @if problems.is_empty() { (empty("没有问题", "所有行都可以提交。", None)) }
            @else { (plain_table(here, &[Column::text("问题")], &problems)) }
        }))
    }
}

pub(super) async fn load(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
    parts: Multipart,
) -> Reply<Response> {
    let sent = Sent::read(parts).await?;
    let card = proposer(&directory, &allowed, Some(sent.get("institution")).filter(|i| !i.is_empty()))?;
    let maps = read_map(&read_grid(&sent.bytes)?, sent.get("table"))?;
    let dry_run = sent.get("dry_run") == "1";
    let report = directory.propose_maps(card.id, &maps, dry_run, allowed.caller(), directory.now()).await?;
    if dry_run {
        let cards = cards(&directory, &allowed.reach(Purpose::of("administration"))?);
        return Ok(frame
            .page("导入对照表", import_page(&directory, &cards, &checked(&report, &here)))
            .into_response());
    }
    Ok(Redirect::to(&format!("/code-maps?state=proposed&done=proposed&n={}", report.added)).into_response())
}
