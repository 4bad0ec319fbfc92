//! `/persons/unknown`: a patient whom nobody knows gets a temporary number, so that care and records can begin at once;
//! who it was is put right later by merging.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kernel::{Act, Error, Line, Need, Purpose, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Field, Kind, Tone, card, describe, fact, field, form_acts, notice, page_head, select_field};
use web::{Frame, Reply};

use crate::search::SearchPages;
use crate::special::{Issued, Special};

/// Who treats the patient registers the patient, at the own institution.
pub const REGISTER: Need = Need::new(Line::Medical, Act::Write);

const WAY: &[(&str, &str)] = &[("居民查询", "/persons"), ("线索查找", "/persons/scraps")];
const TITLE: &str = "登记身份不明患者";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    sex: String,
    #[serde(default)]
    age: String,
    #[serde(default)]
    circumstances: String,
}

impl Said {
    fn special(&self) -> Result<Special, Refusal> {
        let circumstances = self.circumstances.trim();
        if !(4..=200).contains(&circumstances.chars().count()) {
            return Err(Refusal::invalid(
                "unknown.circumstances",
                "请写明发现或送来的时间、地点和经过（4 至 200 个字），以后凭它查明身份。",
            ));
        }
        let age = match self.age.trim() {
            "" => None,
            text => Some(text.parse::<u8>().ok().filter(|age| *age <= 120).ok_or_else(|| {
                Refusal::invalid("unknown.age", "估计年龄应为 0 至 120 的整数；看不出来的可以不填。")
            })?),
        };
        let sex = if matches!(self.sex.as_str(), "1" | "2") { self.sex.clone() } else { "0".to_owned() };
        Ok(Special::Unknown { sex, age, circumstances: circumstances.to_owned() })
    }
}

pub(crate) async fn form(frame: Frame) -> Reply<Markup> {
    Ok(frame.page(TITLE, view(&Said::default(), None)))
}

pub(crate) async fn register(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let asked = match (said.special(), allowed.caller().institution) {
        (Ok(special), Some(own)) => {
            let reach = allowed.reach(Purpose::of("emergency"))?;
            pages.index.register_special(&reach, own, &special, pages.clock.now()).await
        }
        (Err(refusal), _) => Err(refusal.into()),
        (_, None) => Err(Refusal::invalid(
            "unknown.institution",
            "您的账号不属于任何医疗机构，不能登记患者。请由接诊机构的医生登记。",
        )
        .into()),
    };
    match asked {
        Ok(issued) => Ok(frame.page(TITLE, done(&issued)).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = view(&said, Some(&refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page(TITLE, body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn view(said: &Said, problem: Option<&str>) -> Markup {
    let sexes = [("0", "不能辨别"), ("1", "男"), ("2", "女")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    html! {
        (page_head(WAY, TITLE, "先按线索查找；确实不知道是谁，再登记。登记后立即得到临时编号和健康档案，查明身份后合并到本人名下，期间的记录不会丢失。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有登记", problem)) }
        (card("患者", html! {
            form.mk-form method="post" action="/persons/unknown" {
                (select_field(&Field { name: "sex", label: "性别", value: &said.sex, required: true, ..Field::default() }, &sexes))
                (field(&Field { name: "age", label: "估计年龄", kind: Kind::Number, value: &said.age, unit: "岁", hint: "看不出来可以不填", ..Field::default() }))
                (field(&Field { name: "circumstances", label: "发现或送来的经过", kind: Kind::Long, value: &said.circumstances, required: true,
                    hint: "时间、地点、谁送来、随身物品和体貌特征；会留在身份时间线和审计日志中", ..Field::default() }))
                (form_acts("登记", Some("/persons/scraps")))
            }
        }))
    }
}

fn done(issued: &Issued) -> Markup {
    html! {
        (page_head(WAY, TITLE, "", html! {
            a.btn.btn-primary href={ "/record/" (issued.person_id) } { "打开健康档案" }
        }))
        (notice(Tone::Good, "已登记", "请把临时编号写在腕带上；开单、用药、检验都用它。"))
        (card("临时身份", describe(&[
            fact("临时编号", &issued.number),
            fact("查明身份后", "在“主索引”中把它合并到本人名下；合并前后的记录都在同一份档案里。"),
        ])))
    }
}
