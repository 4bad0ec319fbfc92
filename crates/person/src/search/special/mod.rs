//! Special registrations on pages (特殊登记): newborns, unknown patients, people from abroad and without documents are
//! registered, listed while nobody knows who they are, and put right; a death is recorded and taken back.

pub(crate) mod death;
pub(crate) mod list;
pub(crate) mod named;
pub(crate) mod newborn;
pub(crate) mod one;
mod read;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Act, Error, Line, Need, Refusal, Result};
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Tone, card, describe, fact, notice, page_head};
use web::{Frame, Reply};

use crate::special::Issued;

/// Taking the list out.
pub const EXPORT: Need = Need::new(Line::Medical, Act::Export);

/// The list.
pub(crate) const LIST: (&str, &str) = ("特殊登记", "/persons/special");

/// The institution at which somebody registers: the own one.
fn own(allowed: &Allowed) -> Result<InstitutionId, Refusal> {
    allowed.caller().institution.ok_or_else(|| {
        Refusal::invalid(
            "special.institution",
            "您的账号不属于任何医疗机构，不能登记患者。请由接诊机构的医生登记。",
        )
    })
}

/// The page of what was done, or the form again with what was wrong.
fn answer<T>(
    frame: &Frame,
    title: &str,
    asked: Result<T>,
    done: impl FnOnce(T) -> Markup,
    again: impl FnOnce(&str) -> Markup,
) -> Reply<Response> {
    match asked {
        Ok(done_with) => Ok(frame.page(title, done(done_with)).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = again(&refusal.message);
            Ok((web::failure::status(refusal.kind), frame.page(title, body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// What was wrong with a form.
fn problem(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { (notice(Tone::Bad, "没有登记", text)) } }
}

/// A number was given: what to do with it, and what one may want to do next.
fn issued(title: &str, issued: &Issued, next: &str, more: Markup) -> Markup {
    html! {
        (page_head(&[LIST], title, "", html! {
            a.btn.btn-primary href={ "/record/" (issued.person_id) } { "打开健康档案" }
            a.btn href={ "/persons/special/" (issued.identity_id) } { "查看登记" }
            (more)
        }))
        (notice(Tone::Good, "已登记", "开单、用药、检验都用这个编号；新生儿和不能自述的患者请写在腕带上。"))
        (card("临时身份", describe(&[fact("临时编号", &issued.number), fact("以后", next)])))
    }
}

/// A day that was typed; `None` for nothing.
fn day(text: &str, what: &str) -> Result<Option<NaiveDate>, Refusal> {
    match text.trim() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Refusal::invalid("special.day", format!("{what}应为日期，如 2025-05-01。"))),
    }
}

/// A time of day that was typed, `HH:MM`; `None` for nothing.
fn hour(text: &str) -> Result<Option<NaiveTime>, Refusal> {
    match text.trim() {
        "" => Ok(None),
        text => NaiveTime::parse_from_str(text, "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
            .map(Some)
            .map_err(|_| Refusal::invalid("special.time", "时间应为 24 小时制的时和分，如 08:35。")),
    }
}

/// An instant in China, to the minute.
fn time(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

/// Sexes of a form; the first where it cannot be told.
fn sexes(unknown: &str) -> [(String, String); 3] {
    [("0", unknown), ("1", "男"), ("2", "女")].map(|(a, b)| (a.to_owned(), b.to_owned()))
}

/// A sex code that was chosen.
fn sex_of(code: &str) -> String {
    if matches!(code, "1" | "2") { code } else { "0" }.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_are_read_or_refused() {
        assert_eq!(day(" 2025-05-01 ", "日期").unwrap(), NaiveDate::from_ymd_opt(2025, 5, 1));
        assert_eq!(day("", "日期").unwrap(), None);
        assert!(day("5月1日", "日期").is_err() && hour("25:00").is_err());
        assert_eq!(hour("08:35").unwrap(), NaiveTime::from_hms_opt(8, 35, 0));
    }
}
