//! The wizard: from a division to an operation; what it would move is shown before anybody asks for it.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use contracts::Institutions;
use kernel::{Error, Reach, Refusal, RegionCode, Result, Tier};
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Field, Here, Kind, Tone, card, field, form_acts, notice, page_head, select_field};
use web::{Frame, Reply};

use super::super::operation::out_of_reach;
use super::super::plan::{PartOf, Request, Unit, kind_name, parent};
use super::super::{Divisions, edition};
use super::{code_of, operations, reach};

/// The most parts of a split.
const PARTS: usize = 4;

/// The fields of the form as they were sent or stand in the address.
struct Given(Vec<(String, String)>);

impl Given {
    fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.trim())
    }
    fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, v)| k == key && !v.trim().is_empty()).map(|(_, v)| v.trim()).collect()
    }
    /// Fields whose names begin so: the rest of the name, and the value.
    fn starting(&self, key: &str) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .filter_map(|(k, v)| Some((k.strip_prefix(key)?, v.trim())))
            .filter(|(_, v)| !v.is_empty())
            .collect()
    }

    fn code(&self, key: &str) -> Result<RegionCode, Refusal> {
        let text = self.get(key);
        RegionCode::parse(text).map_err(|_| {
            Refusal::invalid(
                "divisions.code",
                format!("“{text}”不是区划代码，应为 12 位（或 4、6、9 位）数字。"),
            )
        })
    }

    fn part(&self, number: &str) -> Result<RegionCode, Refusal> {
        self.code(&format!("part{number}_code"))
    }

    /// The operation that the form describes.
    fn request(&self) -> Result<Request, Refusal> {
        let code = self.code("code")?;
        let codes = |key: &str| -> Result<Vec<RegionCode>, Refusal> {
            let texts = self.all(key);
            let texts =
                texts.iter().flat_map(|t| t.split(|c: char| !c.is_ascii_digit())).filter(|t| !t.is_empty());
            texts
                .map(|t| {
                    RegionCode::parse(t)
                        .map_err(|_| Refusal::invalid("divisions.code", format!("“{t}”不是区划代码。")))
                })
                .collect()
        };
        Ok(match self.get("kind") {
            "rename" => Request::Rename { code, name: self.get("name").to_owned() },
            "merge" => {
                let mut from = codes("with")?;
                from.extend(codes("more")?);
                from.push(code);
                let into = if self.get("into").is_empty() { code } else { self.code("into")? };
                Request::Merge { from, into, name: self.get("name").to_owned() }
            }
            "split" => {
                let mut parts = Vec::new();
                for number in 1..=PARTS {
                    let name = self.get(&format!("part{number}_name"));
                    if !name.is_empty() {
                        parts.push(PartOf { code: self.part(&number.to_string())?, name: name.to_owned() });
                    }
                }
                let mut children = Vec::new();
                for (child, part) in self.starting("child_") {
                    let child = RegionCode::parse(child).map_err(|_| out_of_reach())?;
                    children.push((child, self.part(part)?));
                }
                let mut institutions = Vec::new();
                for (institution, part) in self.starting("institution_") {
                    institutions.push((institution.parse().map_err(|_| out_of_reach())?, self.part(part)?));
                }
                let mut addresses = Vec::new();
                for number in 1..=PARTS {
                    for words in self.get(&format!("part{number}_address")).split(['、', '，', ',', ' ']) {
                        if !words.trim().is_empty() {
                            addresses.push((words.trim().to_owned(), self.part(&number.to_string())?));
                        }
                    }
                }
                let rest = if self.get("rest").is_empty() { "1" } else { self.get("rest") };
                Request::Split { code, rest: self.part(rest)?, parts, children, institutions, addresses }
            }
            "move" => {
                let to = if self.get("other_parent").is_empty() { "to" } else { "other_parent" };
                Request::Move { codes: vec![code], to: self.code(to)? }
            }
            "abolish" => {
                let into = if self.get("into").is_empty() { None } else { Some(self.code("into")?) };
                Request::Abolish { code, into }
            }
            _ => return Err(Refusal::invalid("divisions.kind", "请选择调整的种类。")),
        })
    }
}

/// `GET /divisions/operations/new?kind=…&code=…`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let given = Given(here.pairs().to_vec());
    let body = form(&desk, &reach(&allowed)?, &given, None).await?;
    Ok(frame.page("办理区划调整", body))
}

/// Everything the form needs to know of the division.
async fn form(desk: &Divisions, reach: &Reach, given: &Given, problem: Option<&str>) -> Result<Markup> {
    let code = code_of(given.get("code"))?;
    let known = desk.directory.regions_now();
    let Some(year) = known.newest() else { return desk.in_force().map(|_| html! {}) };
    let unit = edition::one(desk.db(), year, &code).await?.filter(|_| reach.covers_region(&code));
    let unit = unit.ok_or_else(out_of_reach)?;
    let kind = given.get("kind");
    let above = parent(&code).unwrap_or(RegionCode::NATION);
    let siblings: Vec<Unit> = edition::children(desk.db(), year, &above)
        .await?
        .into_iter()
        .filter(|u| u.code != code && u.code.tier() == code.tier())
        .collect();
    let fields = match kind {
        "rename" => html! {
            (field(&Field { name: "name", label: "新名称", value: or(given.get("name"), &unit.name), required: true, focus: true, ..Field::default() }))
        },
        "merge" => merge_fields(&unit, &siblings, given),
        "split" => split_fields(desk, &unit, &siblings, year, given).await?,
        "move" => move_fields(desk, year, &above, given).await?,
        "abolish" => html! {
            (select_field(&Field { name: "into", label: "由哪个区划接收", value: given.get("into"), hint: "名下没有机构、居民、账号和下级区划时可以不选", ..Field::default() }, &choices(&siblings)))
        },
        _ => return Err(Refusal::invalid("divisions.kind", "请从区划页面上选择调整的种类。").into()),
    };
    let title = format!("{}：{}", kind_name(kind), known.full_name_in(&code, year));
    let back = format!("/divisions/{code}?year={year}");
    Ok(html! {
        (page_head(&[("行政区划", "/divisions"), (&unit.name, &back)], &title,
            &format!("在 {year} 年版上办理。先预览会变动什么，确认后提交，由另一位有审批权限的人员审批。"), html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "还不能办理", problem)) }
        (card("调整内容", html! {
            form method="post" action="/divisions/operations/preview" {
                input type="hidden" name="kind" value=(kind);
                input type="hidden" name="code" value=(code);
                (fields)
                (field(&Field { name: "reason", label: "依据", kind: Kind::Long, value: given.get("reason"), required: true, hint: "批准文件的名称和文号，或情况说明", ..Field::default() }))
                (form_acts("预览影响", Some(&back)))
            }
        }))
    })
}

fn or<'a>(value: &'a str, otherwise: &'a str) -> &'a str {
    if value.is_empty() { otherwise } else { value }
}

fn choices(units: &[Unit]) -> Vec<(String, String)> {
    units.iter().map(|u| (u.code.as_str().to_owned(), format!("{}（{}）", u.name, u.code.prefix()))).collect()
}

fn merge_fields(unit: &Unit, siblings: &[Unit], given: &Given) -> Markup {
    let chosen = given.all("with");
    let mut into = vec![(unit.code.as_str().to_owned(), format!("{}（{}）", unit.name, unit.code.prefix()))];
    into.extend(choices(siblings));
    html! {
        fieldset.mk-field {
            legend { "与哪些区划合并" }
            div.mk-picks {
                @for sibling in siblings {
                    label { input type="checkbox" name="with" value=(sibling.code) checked[chosen.contains(&sibling.code.as_str())]; " " (sibling.name) " " small.mk-muted { (sibling.code.prefix()) } }
                }
                @if siblings.is_empty() { p.mk-muted { "同一上级下没有别的同级区划。" } }
            }
        }
        (field(&Field { name: "more", label: "其他上级下的同级区划", value: given.get("more"), hint: "填写区划代码，多个用逗号分开", ..Field::default() }))
        (field(&Field { name: "into", label: "合并后的代码", value: or(given.get("into"), unit.code.as_str()), required: true, hint: "其中一个的代码，或一个没有用过的新代码", ..Field::default() }))
        (field(&Field { name: "name", label: "合并后的名称", value: or(given.get("name"), &unit.name), required: true, ..Field::default() }))
    }
}

/// The `nth` free code after a division's own among its siblings; one that was used in an earlier edition is refused
/// when the operation is planned.
fn next_code(unit: &Unit, siblings: &[Unit], nth: usize) -> String {
    let end = unit.code.prefix().len();
    let start = parent(&unit.code).map_or(0, |p| p.prefix().len());
    let width = end - start;
    let own: u32 = unit.code.as_str()[start..end].parse().unwrap_or(0);
    let code =
        |number: u32| format!("{}{number:0width$}{}", &unit.code.as_str()[..start], "0".repeat(12 - end));
    let free = (own + 1..10u32.pow(width as u32)).map(code);
    free.filter(|c| siblings.iter().all(|s| s.code.as_str() != c)).nth(nth - 1).unwrap_or_default()
}

async fn split_fields(
    desk: &Divisions,
    unit: &Unit,
    siblings: &[Unit],
    year: i16,
    given: &Given,
) -> Result<Markup> {
    let children = edition::children(desk.db(), year, &unit.code).await?;
    let own: Vec<_> = desk.directory.all().iter().filter(|c| c.region == unit.code).cloned().collect();
    // At first everything stays; who fills in the form says what leaves.
    let stays = if given.get("part1_name").is_empty() { "1" } else { "" };
    let parts: Vec<(String, String)> = (1..=PARTS).map(|n| (n.to_string(), format!("新区划 {n}"))).collect();
    let select = |name: String, chosen: &str| {
        html! {
            select.form-select name=(name) aria-label="去向" {
                option value="" { "请选择" }
                @for (value, title) in &parts { option value=(value) selected[chosen == value] { (title) } }
            }
        }
    };
    Ok(html! {
        h3 { "拆分为" }
        p.mk-muted { "至少填写两个；保留原代码的一个排在前面。不需要的留空。" }
        @for number in 1..=PARTS {
            @let (code, name) = (format!("part{number}_code"), format!("part{number}_name"));
            @let proposed = if number == 1 { unit.code.as_str().to_owned() } else { next_code(unit, siblings, number - 1) };
            @let proposed_name = if number == 1 { unit.name.as_str() } else { "" };
            div.mk-form-grid {
                (field(&Field { name: &name, label: &format!("新区划 {number} 的名称"), value: or(given.get(&name), proposed_name), required: number <= 2, ..Field::default() }))
                (field(&Field { name: &code, label: "代码", value: or(given.get(&code), &proposed), ..Field::default() }))
                @if unit.code.tier() == Some(Tier::Village) {
                    @let words = format!("part{number}_address");
                    (field(&Field { name: &words, label: "地址中有这些字的居民", value: given.get(&words), hint: "如 三组、四组", ..Field::default() }))
                }
            }
        }
        @if !children.is_empty() {
            h3 { "下级区划的去向（" (children.len()) " 个）" }
            p.mk-muted { "先都归“新区划 1”，请改选要分出去的。" }
            div.mk-picks {
                @for child in &children {
                    label { (child.name) " " small.mk-muted { (child.code.prefix()) }
                        (select(format!("child_{}", child.code), or(given.get(&format!("child_{}", child.code)), stays))) }
                }
            }
        }
        @if !own.is_empty() {
            h3 { "本级机构的去向（" (own.len()) " 家）" }
            p.mk-muted { "不选的随“其余”。" }
            div.mk-picks {
                @for card in &own {
                    label { (card.name) (select(format!("institution_{}", card.id), given.get(&format!("institution_{}", card.id)))) }
                }
            }
        }
        (select_field(&Field { name: "rest", label: "其余（只登记到本级的居民、账号等）归", value: or(given.get("rest"), "1"), required: true, ..Field::default() }, &parts))
    })
}

async fn move_fields(desk: &Divisions, year: i16, above: &RegionCode, given: &Given) -> Result<Markup> {
    let top = parent(above).unwrap_or(RegionCode::NATION);
    let parents: Vec<Unit> =
        edition::children(desk.db(), year, &top).await?.into_iter().filter(|u| u.code != *above).collect();
    Ok(html! {
        (select_field(&Field { name: "to", label: "划归", value: given.get("to"), ..Field::default() }, &choices(&parents)))
        (field(&Field { name: "other_parent", label: "或填写新上级的代码", value: given.get("other_parent"), hint: "新上级不在上面的选项中时填写", ..Field::default() }))
    })
}

/// Either what the operation would do, or the form again with what is wrong.
async fn again(
    desk: &Divisions,
    reach: &Reach,
    frame: &Frame,
    given: &Given,
    error: Error,
) -> Reply<Response> {
    let Error::Refused(refusal) = error else { return Err(error.into()) };
    let body = form(desk, reach, given, Some(&refusal.message)).await?;
    Ok((web::failure::status(refusal.kind), frame.page("办理区划调整", body)).into_response())
}

/// `POST /divisions/operations/preview`
pub(super) async fn preview(
    State(desk): State<Divisions>,
    allowed: Allowed,
    frame: Frame,
    Form(sent): Form<Vec<(String, String)>>,
) -> Reply<Response> {
    let (reach, given) = (reach(&allowed)?, Given(sent));
    let year = desk.directory.regions_now().newest().unwrap_or_default();
    let request = match given.request() {
        Ok(request) => request,
        Err(refusal) => return again(&desk, &reach, &frame, &given, refusal.into()).await,
    };
    let preview = match desk.preview(&reach, year, &request).await {
        Ok(preview) => preview,
        Err(error) => return again(&desk, &reach, &frame, &given, error).await,
    };
    let total: i64 = preview.held.iter().map(|h| h.total()).sum();
    let title = format!("预览：{}", kind_name(request.kind()));
    let body = html! {
        (page_head(&[("行政区划", "/divisions")], &title, "还没有改动任何数据。核对无误后提交审批。", html! {}))
        (notice(Tone::Info, &format!("区划变化 {} 处，随之变动 {total} 项", preview.plan.touched().len()),
            "往年的统计不受影响：机构保留当年的所在区划，按代码的统计可以换算到任何一年的区划。执行后可以撤回。"))
        (operations::held_card(&desk, &preview.held, year))
        (operations::plan_card(&preview.plan, year))
        (card("提交", html! {
            p { "依据：" (given.get("reason")) }
            form method="post" action="/divisions/operations" {
                @for (key, value) in &given.0 { input type="hidden" name=(key) value=(value); }
                div.mk-form-acts {
                    button.btn.btn-primary type="submit" { "提交审批" }
                    a.btn href={ "/divisions/operations/new?kind=" (given.get("kind")) "&code=" (given.get("code")) } { "重新填写" }
                }
            }
        }))
    };
    Ok(frame.page(&title, body).into_response())
}

/// `POST /divisions/operations`
pub(super) async fn ask(
    State(desk): State<Divisions>,
    allowed: Allowed,
    frame: Frame,
    Form(sent): Form<Vec<(String, String)>>,
) -> Reply<Response> {
    let (reach, given) = (reach(&allowed)?, Given(sent));
    let year = desk.directory.regions_now().newest().unwrap_or_default();
    let request = match given.request() {
        Ok(request) => request,
        Err(refusal) => return again(&desk, &reach, &frame, &given, refusal.into()).await,
    };
    match desk.ask(&reach, year, &request, given.get("reason")).await {
        Ok(id) => Ok(Redirect::to(&format!("/divisions/operations/{id}")).into_response()),
        Err(error) => again(&desk, &reach, &frame, &given, error).await,
    }
}
