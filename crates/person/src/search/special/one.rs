//! `/persons/special/{record}`: one special registration: what is known, what it waits for, and the form that writes the
//! papers that turned up.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use kernel::access::InstitutionId;
use kernel::{Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{
    Column, Field, Here, Kind, Row, Tone, badge, card, card_with, describe, fact, field, form_acts, notice,
    page_head, select_field, table,
};
use web::{Frame, Reply};

use super::list::{beside, born, institution, kind};
use super::read::{self, Place, Special};
use super::{LIST, answer, day, problem, sexes, time};
use crate::desk;
use crate::search::SearchPages;
use crate::search::pages::sex;
use crate::search::scraps::REGISTER;
use crate::special::identify::{Identified, Papers};

/// Kinds of credential that papers may have (CV02.01.101).
pub(super) const CREDENTIALS: [(&str, &str); 6] = [
    ("01", "居民身份证"),
    ("02", "居民户口簿"),
    ("03", "护照"),
    ("06", "港澳居民来往内地通行证"),
    ("07", "台湾居民来往内地通行证"),
    ("99", "其他法定有效证件"),
];

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    name: String,
    credential_kind: String,
    credential_no: String,
    sex: String,
    birth_date: String,
    phone: String,
    address: String,
}

impl Said {
    fn papers(&self) -> Result<Papers, Refusal> {
        let sex = if matches!(self.sex.as_str(), "1" | "2") { self.sex.clone() } else { String::new() };
        Ok(Papers {
            name: self.name.trim().to_owned(),
            sex,
            birth_date: day(&self.birth_date, "出生日期")?,
            credential_kind: self.credential_kind.clone(),
            credential_no: self.credential_no.split_whitespace().collect(),
            phone: self.phone.trim().to_owned(),
            address: self.address.trim().to_owned(),
        })
    }
}

fn unknown() -> Refusal {
    Refusal::not_found(
        "special.unknown",
        "没有找到这条特殊登记，或不在您的管辖范围内。请从特殊登记列表进入。",
    )
}

struct Seen {
    special: Special,
    together: Vec<Special>,
    waiting: i64,
}

async fn seen(pages: &SearchPages, allowed: &Allowed, record: &str) -> Result<Seen> {
    let id: i64 = record.parse().map_err(|_| unknown())?;
    let reach = allowed.reach(Purpose::of("care"))?;
    pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let place = Place::of(reach, &*pages.institutions);
            let special = read::one(tx, &place, id).await?.ok_or_else(unknown)?;
            let together = match special.mother_person {
                Some(mother) => {
                    let mut all = read::children(tx, &place, mother).await?;
                    all.retain(|c| c.id != id && close(c, &special));
                    all
                }
                None => Vec::new(),
            };
            let waiting = read::waiting(tx, id).await?;
            let entry = AuditEntry {
                act: "person.special_view",
                object_kind: "identity_record",
                object_id: Some(id),
                object_label: special.local_no.clone(),
                person_id: Some(special.person_id),
                ..AuditEntry::default()
            };
            Ok((Seen { special, together, waiting }, entry))
        })
        .await
}

/// Whether two children are of one birth.
fn close(a: &Special, b: &Special) -> bool {
    match (a.birth_date, b.birth_date) {
        (Some(a), Some(b)) => (a - b).num_days().abs() <= 2,
        _ => false,
    }
}

pub(crate) async fn page(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    Path(record): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let seen = seen(&pages, &allowed, &record).await?;
    Ok(frame.page("特殊登记", view(&pages, &allowed, &seen, &Said::default(), None)))
}

/// `POST /persons/special/{record}/identify`.
pub(crate) async fn identify(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    Path(record): Path<String>,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let seen = seen(&pages, &allowed, &record).await?;
    let asked = async {
        let papers = said.papers()?;
        let reach = allowed.reach(Purpose::of("care"))?;
        pages.index.identify(&reach, seen.special.id, &papers, pages.clock.now()).await
    };
    let asked = asked.await;
    answer(
        &frame,
        "特殊登记",
        asked,
        |found| done(&allowed, &seen.special, &found),
        |wrong| view(&pages, &allowed, &seen, &said, Some(wrong)),
    )
}

fn view(pages: &SearchPages, allowed: &Allowed, seen: &Seen, said: &Said, wrong: Option<&str>) -> Markup {
    let s = &seen.special;
    let caller = allowed.caller();
    let shown = |kind: &str, value: &str| pages.masks.shown_to(caller, kind, value);
    let tone = if s.settled() { Tone::Good } else { Tone::Warn };
    let by = s.special_at.map(|at| format!("{} {}", time(at), s.special_by)).unwrap_or_default();
    // Papers are written into registrations of one's own institution.
    let at = InstitutionId::new(s.institution_id.into());
    let writes = caller
        .decide(REGISTER, Purpose::of("care"))
        .is_ok_and(|reach| pages.institutions.by_id(at).is_some_and(|card| reach.covers(at, &card.region)));
    let mut facts = vec![
        fact("临时编号", &shown("local_no", &s.local_no)),
        fact("登记机构", &institution(pages, s.institution_id)),
        fact("登记", &by),
        fact("性别", sex(&s.sex)),
        fact("出生", &born(s, &shown)),
    ];
    if let (Some(mother), Some(person)) = (&s.mother_name, s.mother_person) {
        facts.push(("母亲".to_owned(), html! { a href={ "/record/" (person) } { (shown("name", mother)) } }));
        facts.push(fact("本次分娩顺序", &s.birth_order.map(|o| format!("第 {o} 个")).unwrap_or_default()));
    } else if !s.special_note.is_empty() {
        facts.push(fact("经过", &s.special_note));
    }
    if !s.called.is_empty() && s.called != s.name {
        facts.push(fact("现在的姓名", &shown("name", &s.called)));
    }
    html! {
        (page_head(&[LIST], &shown("name", &s.name), kind(&s.special), html! {
            (badge(tone, s.standing()))
            @if s.died_on.is_some() { " " (badge(Tone::Neutral, "已故")) }
            a.btn href={ "/record/" (s.person_id) } { "打开健康档案" }
            @if caller.may(desk::READ) { a.btn href={ "/index/persons/" (s.person_id) } { "居民身份" } }
        }))
        @if seen.waiting > 0 {
            (notice(Tone::Info, "待主索引核对", &format!("有 {} 项可能是同一人的登记在等核对员判断，判断后会自动归到一处。", seen.waiting)))
        }
        (card("登记", describe(&facts)))
        @if !seen.together.is_empty() { (card_with("同次分娩", html! {}, siblings(pages, allowed, &seen.together))) }
        @if writes { (form(s, said, wrong)) }
    }
}

fn siblings(pages: &SearchPages, allowed: &Allowed, all: &[Special]) -> Markup {
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let columns =
        [Column::text("姓名"), Column::text("母亲、分娩顺序"), Column::text("出生"), Column::text("状态")];
    let rows: Vec<Row> = all
        .iter()
        .map(|s| {
            Row::to(
                format!("/persons/special/{}", s.id),
                vec![
                    html! { (shown("name", &s.name)) },
                    html! { (beside(s, &shown)) },
                    html! { (born(s, &shown)) },
                    html! { (s.standing()) },
                ],
            )
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}

fn form(s: &Special, said: &Said, wrong: Option<&str>) -> Markup {
    let (title, line) = match s.special.as_str() {
        "newborn" => (
            "补登孩子本人的证件",
            "孩子上了户口、有了身份证号码后填写。补登后不再用母亲的信息；孩子在别处已有登记的，会自动归到一处。",
        ),
        "unknown" => (
            "查明身份",
            "家属认领或找到证件后填写。号码在平台上已有登记的，期间的记录会自动归到本人名下；没有证件的可只填姓名和出生日期，由主索引核对。",
        ),
        _ => ("补登证件", "补办或找到证件后填写。号码在平台上已有登记的，会自动归到本人名下。"),
    };
    let kinds: Vec<(String, String)> =
        CREDENTIALS.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let or = |said: &str, known: &str| if said.is_empty() { known } else { said }.to_owned();
    let kind = or(&said.credential_kind, if wrong.is_none() { "01" } else { "" });
    card(
        title,
        html! {
            (problem(wrong))
            p.mk-muted { (line) }
            form.mk-form method="post" action={ "/persons/special/" (s.id) "/identify" } {
                (field(&Field { name: "name", label: "姓名", value: &said.name, required: true, ..Field::default() }))
                (select_field(&Field { name: "credential_kind", label: "证件类别", value: &kind, hint: "没有证件的选“请选择”", ..Field::default() }, &kinds))
                (field(&Field { name: "credential_no", label: "证件号码", value: &said.credential_no, ..Field::default() }))
                (select_field(&Field { name: "sex", label: "性别", value: &said.sex, hint: "有身份证号码的可不填", ..Field::default() }, &sexes("不详")[1..]))
                (field(&Field { name: "birth_date", label: "出生日期", kind: Kind::Date, value: &said.birth_date, hint: "有身份证号码的可不填", ..Field::default() }))
                (field(&Field { name: "phone", label: "电话", value: &said.phone, ..Field::default() }))
                (field(&Field { name: "address", label: "住址", value: &said.address, ..Field::default() }))
                (form_acts("补登", Some(LIST.1)))
            }
        },
    )
}

fn done(allowed: &Allowed, s: &Special, found: &Identified) -> Markup {
    let (tone, title, text) = match (found.joined, found.task) {
        (true, _) => {
            (Tone::Good, "已归到本人名下", "平台上已有他的登记，期间的记录现在都在本人的健康档案里。")
        }
        (false, Some(_)) => (
            Tone::Info,
            "已补登，待核对",
            "平台上有一份登记可能是同一人，但还不能确定；主索引核对员判断后会归到一处。",
        ),
        (false, None) => {
            (Tone::Good, "已补登", "平台上没有他别的登记；以后别处按证件登记时，会自动归到一处。")
        }
    };
    html! {
        (page_head(&[LIST], "特殊登记", &s.local_no, html! {
            a.btn.btn-primary href={ "/record/" (found.person_id) } { "打开健康档案" }
            a.btn href=(LIST.1) { "返回列表" }
            @if let Some(task) = found.task { @if allowed.caller().may(desk::READ) { a.btn href={ "/index/review/" (task) } { "去核对" } } }
        }))
        (notice(tone, title, text))
    }
}
