//! The form that asks why somebody opens the record of a person who is not in their care.

use contracts::PersonCard;
use kernel::Purpose;
use maud::{Markup, html};
use serde::Deserialize;
use web::mask;
use web::ui::{Tone, age, card as ui_card, notice, page_head};

use super::{Browser, Place};
use crate::banner::sex;
use crate::door::PURPOSES;

/// Longest note kept, in characters.
const NOTE: usize = 200;

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct PurposeForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    note: String,
    /// Where the viewer was going.
    #[serde(default)]
    pub back: String,
}

impl PurposeForm {
    /// The purpose, or what is missing.
    pub fn read(&self) -> Result<Purpose, &'static str> {
        let note = self.note.trim();
        if !PURPOSES.iter().any(|(code, _)| *code == self.code) {
            return Err("请选择使用目的。");
        }
        if note.chars().filter(|c| c.is_alphanumeric()).count() < 2 {
            return Err("请填写事由，说明为什么需要查看这份档案。");
        }
        Ok(Purpose { code: self.code.clone(), note: note.chars().take(NOTE).collect() })
    }
}

/// What may be known before a purpose is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskView {
    /// Masked.
    pub name: String,
    /// In a word.
    pub sex: &'static str,
    /// E.g. `67 岁`.
    pub age: String,
    /// What was wrong with the form sent before; empty at first.
    pub problem: String,
}

impl Browser {
    pub(super) fn ask(&self, card: &PersonCard, place: &Place, problem: &str) -> Markup {
        let today = self.ports.clock.today();
        let view = AskView {
            name: mask::name(&card.name),
            sex: sex(&card.sex),
            age: card.birth_date.map(|b| age(b, card.died_on.unwrap_or(today))).unwrap_or_default(),
            problem: problem.to_owned(),
        };
        form(place, &view)
    }
}

/// Renders the form.
pub fn form(place: &Place, view: &AskView) -> Markup {
    let name = if view.name.is_empty() { "（未登记姓名）" } else { &view.name };
    html! {
        div.mk-record-ask {
            (page_head(&[], "填写使用目的", "这位居民没有在您所在机构就诊或建档。按规定，查看其健康档案须说明目的，本次查看会记入审计日志。", html! {}))
            (ui_card("居民", html! {
                p.mk-record-who { strong { (name) } " " (view.sex) @if !view.age.is_empty() { " · " (view.age) } }
            }))
            @if !view.problem.is_empty() { (notice(Tone::Bad, "还不能打开", &view.problem)) }
            (ui_card("使用目的", html! {
                form method="post" action={ (place.base) "/purpose" } {
                    input type="hidden" name="back" value=(place.here.href());
                    fieldset.mk-choices {
                        legend.mk-hidden { "使用目的" }
                        @for (code, title) in PURPOSES {
                            label { input type="radio" name="code" value=(code) required; " " (title) }
                        }
                    }
                    div.mk-field {
                        label for="note" { "事由 " em { "*" } }
                        input.form-control id="note" name="note" maxlength="200" required minlength="2" autocomplete="off"
                            placeholder="例如：患者由外院转来，需了解既往用药和过敏史";
                        small { "在两小时内再次打开这份档案不必重填。" }
                    }
                    div.mk-form-acts {
                        button.btn.btn-primary type="submit" { "查看健康档案" }
                        @if !place.embedded { a.btn href="/persons" { "返回居民查询" } }
                    }
                }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::ui::Here;

    #[test]
    fn a_purpose_needs_a_choice_and_a_reason() {
        for (code, note, good) in [
            ("emergency", "昏迷送入急诊", true),
            ("public_health", " 随访 ", true),
            ("emergency", "", false),
            ("emergency", "。。", false),
            ("emergency", "x", false),
            ("", "昏迷送入急诊", false),
            ("upload", "昏迷送入急诊", false),
        ] {
            let form = PurposeForm { code: code.into(), note: note.into(), back: String::new() };
            assert_eq!(form.read().is_ok(), good, "{code} {note}");
        }
    }

    #[test]
    fn nothing_but_the_masked_name_is_shown() {
        let place = Place::of(&Here::new("/record/7", "tab=laboratory"), 7);
        for view in [
            AskView::default(),
            AskView {
                name: "张*".into(),
                sex: "男",
                age: "67 岁".into(),
                problem: "请选择使用目的。".into(),
            },
        ] {
            let html = form(&place, &view).into_string();
            assert!(
                html.contains("action=\"/record/7/purpose\"") && html.contains("/record/7?tab=laboratory")
            );
            assert!(!html.contains(" style="));
        }
    }
}
