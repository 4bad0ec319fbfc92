//! `/persons/foreigner` and `/persons/undocumented`: who has a passport and no citizen number, and who has nothing to show.

use axum::Form;
use axum::extract::State;
use axum::response::Response;
use chrono::{Datelike, NaiveDate};
use contracts::Demographics;
use kernel::{Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Field, Kind, card, field, form_acts, page_head, select_field};
use web::{Frame, Reply};

use super::one::CREDENTIALS;
use super::{LIST, answer, day, issued, own, problem, sex_of, sexes};
use crate::search::SearchPages;
use crate::special::Special;

const FOREIGNER: &str = "登记境外人员";
const UNDOCUMENTED: &str = "登记无证件者";
/// Credentials of people from abroad: passport, permits, others (a card of permanent residence).
const ABROAD: [&str; 4] = ["03", "06", "07", "99"];

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    name: String,
    sex: String,
    birth_date: String,
    age: String,
    credential_kind: String,
    credential_no: String,
    nationality: String,
    phone: String,
    address: String,
    contact_name: String,
    contact_phone: String,
    why: String,
}

fn invalid(message: &str) -> Refusal {
    Refusal::invalid("special.invalid", message)
}

impl Said {
    fn common(&self, birth_date: Option<NaiveDate>, today: NaiveDate) -> Result<Demographics, Refusal> {
        if birth_date.is_some_and(|day| day > today) {
            return Err(invalid("出生日期不能在今天之后。"));
        }
        Ok(Demographics {
            name: self.name.split_whitespace().collect::<Vec<_>>().join(" "),
            sex: sex_of(&self.sex),
            birth_date,
            phone: self.phone.trim().to_owned(),
            address: self.address.trim().to_owned(),
            contact_name: self.contact_name.trim().to_owned(),
            contact_phone: self.contact_phone.trim().to_owned(),
            ..Demographics::default()
        })
    }

    fn foreigner(&self, today: NaiveDate) -> Result<Special, Refusal> {
        let number: String = self.credential_no.split_whitespace().collect::<String>().to_ascii_uppercase();
        if !ABROAD.contains(&self.credential_kind.as_str()) {
            return Err(invalid("请选择证件类别。"));
        }
        if !(5..=20).contains(&number.len()) || !number.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(invalid(
                "证件号码应为 5 至 20 位字母和数字，请照证件填写。没有证件的请按“无证件者”登记。",
            ));
        }
        let said = Demographics {
            credential_kind: self.credential_kind.clone(),
            credential_no: number,
            ..self.common(day(&self.birth_date, "出生日期")?, today)?
        };
        let nationality = self.nationality.trim().chars().take(40).collect();
        Ok(Special::Foreigner { said: Box::new(said), nationality })
    }

    fn undocumented(&self, today: NaiveDate) -> Result<Special, Refusal> {
        let birth_date = match (day(&self.birth_date, "出生日期")?, self.age.trim()) {
            (Some(day), _) => Some(day),
            (None, "") => None,
            (None, age) => {
                let years: i32 = age
                    .parse()
                    .ok()
                    .filter(|age| (0..=120).contains(age))
                    .ok_or_else(|| invalid("年龄应为 0 至 120 的整数。"))?;
                // The year is an estimate; the first of January says so to the comparison.
                NaiveDate::from_ymd_opt(today.year() - years, 1, 1)
            }
        };
        let why = self.why.trim();
        if !(2..=200).contains(&why.chars().count()) {
            return Err(invalid("请写明没有证件的原因（2 至 200 个字），例如：证件遗失，补办中。"));
        }
        let said = Box::new(self.common(birth_date, today)?);
        Ok(Special::Undocumented { said, why: why.to_owned() })
    }
}

pub(crate) async fn foreigner(frame: Frame) -> Reply<Markup> {
    Ok(frame.page(FOREIGNER, abroad(&Said::default(), None)))
}

pub(crate) async fn undocumented(frame: Frame) -> Reply<Markup> {
    Ok(frame.page(UNDOCUMENTED, without(&Said::default(), None)))
}

async fn register(
    pages: &SearchPages,
    allowed: &Allowed,
    special: Result<Special, Refusal>,
) -> Result<crate::special::Issued> {
    let at = own(allowed)?;
    let special = special?;
    let reach = allowed.reach(Purpose::of("care"))?;
    pages.index.register_special(&reach, at, &special, pages.clock.now()).await
}

/// `POST /persons/foreigner`.
pub(crate) async fn register_foreigner(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let asked = register(&pages, &allowed, said.foreigner(pages.clock.today())).await;
    let next = "同一证件号码以后在别的机构登记时，会自动归到一处；换了护照的，由主索引核对后合并。";
    answer(
        &frame,
        FOREIGNER,
        asked,
        |done| issued(FOREIGNER, &done, next, html! {}),
        |wrong| abroad(&said, Some(wrong)),
    )
}

/// `POST /persons/undocumented`.
pub(crate) async fn register_undocumented(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let asked = register(&pages, &allowed, said.undocumented(pages.clock.today())).await;
    let next = "找到或补办证件后，在“特殊登记”里打开这条登记补登；平台上已有登记的会归到本人名下。";
    answer(
        &frame,
        UNDOCUMENTED,
        asked,
        |done| issued(UNDOCUMENTED, &done, next, html! {}),
        |wrong| without(&said, Some(wrong)),
    )
}

fn text(name: &'static str, label: &'static str, value: &str, required: bool, hint: &'static str) -> Markup {
    field(&Field { name, label, value, required, hint, ..Field::default() })
}

fn abroad(said: &Said, wrong: Option<&str>) -> Markup {
    let kinds: Vec<(String, String)> = CREDENTIALS
        .iter()
        .filter(|(code, _)| ABROAD.contains(code))
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    let kind = if said.credential_kind.is_empty() { "03" } else { &said.credential_kind };
    html! {
        (page_head(&[LIST], FOREIGNER, "外国人、港澳台居民：没有公民身份号码，按护照或通行证登记。", html! {}))
        (card("证件", html! {
            (problem(wrong))
            form.mk-form method="post" action="/persons/foreigner" {
                (text("name", "姓名", &said.name, true, "照证件填写，先姓后名或依证件次序；有中文姓名的填中文姓名"))
                (select_field(&Field { name: "credential_kind", label: "证件类别", value: kind, required: true, ..Field::default() }, &kinds))
                (text("credential_no", "证件号码", &said.credential_no, true, ""))
                (text("nationality", "国籍（地区）", &said.nationality, false, ""))
                (select_field(&Field { name: "sex", label: "性别", value: &said.sex, required: true, ..Field::default() }, &sexes("不详")))
                (field(&Field { name: "birth_date", label: "出生日期", kind: Kind::Date, value: &said.birth_date, required: true, ..Field::default() }))
                (text("phone", "电话", &said.phone, false, ""))
                (text("address", "在华住址", &said.address, false, ""))
                (form_acts("登记", Some(LIST.1)))
            }
        }))
    }
}

fn without(said: &Said, wrong: Option<&str>) -> Markup {
    html! {
        (page_head(&[LIST], UNDOCUMENTED, "能说出自己是谁、但拿不出有效证件的患者。说不出姓名的，按“身份不明”登记。", html! { a.btn href="/persons/unknown" { "登记身份不明患者" } }))
        (card("患者自述", html! {
            (problem(wrong))
            form.mk-form method="post" action="/persons/undocumented" {
                (text("name", "姓名", &said.name, true, ""))
                (select_field(&Field { name: "sex", label: "性别", value: &said.sex, required: true, ..Field::default() }, &sexes("不详")))
                (field(&Field { name: "birth_date", label: "出生日期", kind: Kind::Date, value: &said.birth_date, ..Field::default() }))
                (field(&Field { name: "age", label: "年龄", kind: Kind::Number, value: &said.age, unit: "岁", hint: "说不出出生日期的填年龄", ..Field::default() }))
                (text("phone", "电话", &said.phone, false, ""))
                (text("address", "住址", &said.address, false, ""))
                (text("contact_name", "联系人", &said.contact_name, false, "陪同的家属或单位"))
                (text("contact_phone", "联系人电话", &said.contact_phone, false, ""))
                (field(&Field { name: "why", label: "没有证件的原因", kind: Kind::Long, value: &said.why, required: true, hint: "例如：证件遗失，补办中", ..Field::default() }))
                (form_acts("登记", Some(LIST.1)))
            }
        }))
    }
}
