//! Breaking the glass: what the form asks, what is kept, who is told, and what waits on the reviewer's desk.

use ::store::AuditEntry;
use contracts::{DeskCard, DeskLine, DeskPanel, Notice, NoticeTo, PersonCard};
use futures::future::BoxFuture;
use kernel::{Caller, Purpose, Result, Span};
use maud::{Markup, html};
use serde::Deserialize;
use web::ui::{Tone, age, card, notice, page_head};
use web::{Allowed, Reply, mask};

use super::rules::within;
use super::{BREAK, WATCH, store};
use crate::Ports;
use crate::banner::sex;
use crate::browser::Place;
use crate::door::{nobody, viewer};

/// What kinds of emergency there are: code and name.
pub const KINDS: [(&str, &str); 4] = [
    ("resuscitation", "抢救或急诊处置"),
    ("unconscious", "患者意识不清，无法说明病史"),
    ("consultation", "紧急会诊"),
    ("other", "其他紧急情况"),
];

/// The Chinese name of a kind.
pub fn kind_name(code: &str) -> &'static str {
    KINDS.iter().find(|(c, _)| *c == code).map_or("其他紧急情况", |(_, name)| name)
}

/// Least and greatest length of a reason, in letters.
const REASON: (usize, usize) = (8, 300);

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
pub struct GlassForm {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    reason: String,
    /// Where the viewer was going.
    #[serde(default)]
    pub back: String,
}

impl GlassForm {
    /// Kind and reason, or what is missing.
    pub fn read(&self) -> Result<(&str, String), &'static str> {
        let reason = self.reason.trim();
        if !KINDS.iter().any(|(code, _)| *code == self.kind) {
            return Err("请选择紧急情况的种类。");
        }
        if reason.chars().filter(|c| c.is_alphanumeric()).count() < REASON.0 {
            return Err("请写明紧急调阅的理由，至少 8 个字：患者情况、为什么必须现在查看。");
        }
        Ok((&self.kind, reason.chars().take(REASON.1).collect()))
    }
}

impl Ports {
    /// Breaks the glass over a person's record: needs the right of [`BREAK`], which must reach the person or the
    /// person be in care. Kept, audited and told to those who watch, in one transaction.
    pub async fn break_glass(&self, allowed: &Allowed, person: i64, kind: &str, reason: &str) -> Reply<()> {
        let now = self.clock.now();
        let purpose = Purpose { code: "emergency".to_owned(), note: reason.to_owned() };
        let reach = allowed.caller().decide(BREAK, purpose.clone())?;
        let read = allowed.reach(purpose)?;
        let hours = |code| chrono::Duration::hours(self.options.whole(code));
        let (open, due) = (hours("record.glass_hours"), hours("record.glass_review_hours"));
        self.db
            .personal(&reach, now, async |tx, reach| {
                let card = self.persons.card(tx, person).await?.ok_or_else(nobody)?;
                let caller = reach.caller();
                // By the right to break it, or by the right to read what is in care.
                let place = self.place_of(tx, &read, &card).await?;
                if !place.care && !within(reach, &card, &*self.institutions) {
                    return Err(nobody().into());
                }
                let viewer = viewer(caller);
                let glass = store::NewGlass {
                    viewer: &viewer,
                    person,
                    label: mask::name(&card.name),
                    kind,
                    reason,
                    at: now,
                    expires_at: now + open,
                    due_at: now + due,
                };
                let id = store::break_glass(tx, caller, &glass).await?;
                if let Some(notices) = &self.notices {
                    let notice = Notice {
                        title: format!(
                            "{}（{}）紧急调阅了一份健康档案，请复核",
                            caller.name, caller.institution_name
                        ),
                        link: format!("/glass/{id}"),
                        urgent: true,
                    };
                    notices.send(tx, NoticeTo::Holders(WATCH, caller.region), &notice, now).await?;
                }
                let entry = AuditEntry {
                    act: "record.break_glass",
                    object_kind: "person",
                    object_id: Some(person),
                    object_label: card.name,
                    person_id: Some(person),
                    detail: Some(serde_json::json!({ "glass": id, "kind": kind_name(kind) })),
                    ..AuditEntry::default()
                };
                Ok(((), entry))
            })
            .await?;
        Ok(())
    }
}

/// Why the form is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// A restriction bars the record.
    Restricted,
    /// The record is open, protected content is not.
    Protected,
}

/// The form. Without the right to break the glass it says whom to ask.
pub(crate) fn form(
    ports: &Ports,
    caller: &Caller,
    card_of: &PersonCard,
    place: &Place,
    because: Because,
    problem: &str,
) -> Markup {
    let today = ports.clock.today();
    let masked = mask::name(&card_of.name);
    let name = if masked.is_empty() { "（未登记姓名）" } else { &masked };
    let line = match because {
        Because::Restricted => "这份档案已封存，或居民本人拒绝他人调阅。除紧急情况外不能查看。",
        Because::Protected => {
            "这份档案中有受保护的内容（如精神卫生、性病与艾滋病、遗传等），按您的角色不显示。"
        }
    };
    let hours = ports.options.whole("record.glass_hours");
    html! {
        div.mk-record-ask {
            (page_head(&[], "紧急调阅", line, html! {}))
            (card("居民", html! {
                p.mk-record-who {
                    strong { (name) } " " (sex(&card_of.sex))
                    @if let Some(birth) = card_of.birth_date { " · " (age(birth, card_of.died_on.unwrap_or(today))) }
                }
            }))
            @if !problem.is_empty() { (notice(Tone::Bad, "还不能打开", problem)) }
            @if caller.may(BREAK) {
                (notice(Tone::Warn, "每一次紧急调阅都会立即通知审计人员并逐例复核",
                    "您的姓名、单位、理由和此后查看的每一项内容都会记录。没有紧急情况而调阅，将按规定追究责任。"))
                (card("紧急情况", html! {
                    form method="post" action={ (place.base) "/glass" } {
                        input type="hidden" name="back" value=(place.here.href());
                        fieldset.mk-choices {
                            legend.mk-hidden { "紧急情况" }
                            @for (code, title) in KINDS {
                                label { input type="radio" name="kind" value=(code) required; " " (title) }
                            }
                        }
                        div.mk-field {
                            label for="reason" { "理由 " em { "*" } }
                            textarea.form-control id="reason" name="reason" rows="3" maxlength="300" required minlength="8"
                                placeholder="例如：患者昏迷由 120 送入，需立即了解既往用药、过敏和传染病情况" {}
                            small { "打开后 " (hours) " 小时内有效，到时自动关闭。" }
                        }
                        div.mk-form-acts {
                            button.btn.btn-danger type="submit" { "紧急调阅" }
                            a.btn href=(place.base) { "返回" }
                        }
                    }
                }))
            } @else {
                (notice(Tone::Neutral, "您的角色没有紧急调阅的权限",
                    "如确因工作需要，请联系有权限的急诊医生，或向安全管理员申请限时授权。"))
                div.mk-form-acts { a.btn href="/persons" { "返回居民查询" } }
            }
        }
    }
}

/// The reviewer's panel on the desk.
struct Panel(Ports);

/// What waits for review, for the desk of those who watch.
pub(crate) fn panel(ports: &Ports) -> std::sync::Arc<dyn DeskPanel> {
    std::sync::Arc::new(Panel(ports.clone()))
}

/// Patterns of the divisions that a caller's grants of a need reach.
pub(super) fn regions(caller: &Caller, need: kernel::Need) -> Vec<String> {
    caller
        .grants
        .iter()
        .filter(|g| g.line == need.line && g.act == need.act)
        .filter_map(|g| match g.span {
            Span::Region(code) => Some(format!("{}%", code.prefix())),
            _ => None,
        })
        .collect()
}

impl DeskPanel for Panel {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            if !caller.may(WATCH) {
                return Ok(None);
            }
            let (waiting, overdue) = self
                .0
                .db
                .transaction(async |tx| store::waiting(tx, &regions(caller, WATCH), self.0.clock.now()).await)
                .await?;
            let mut lines = vec![DeskLine {
                text: "紧急调阅待复核".to_owned(),
                figure: waiting.to_string(),
                link: "/glass?state=waiting".to_owned(),
                urgent: waiting > 0,
            }];
            if overdue > 0 {
                lines.insert(
                    0,
                    DeskLine {
                        text: "紧急调阅复核已逾期".to_owned(),
                        figure: overdue.to_string(),
                        link: "/glass?state=overdue".to_owned(),
                        urgent: true,
                    },
                );
            }
            Ok(Some(DeskCard { title: "紧急调阅".to_owned(), lines }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glass_needs_a_kind_and_a_real_reason() {
        for (kind, reason, good) in [
            ("unconscious", "患者昏迷需了解用药史", true),
            ("unconscious", "急救", false),
            ("unconscious", "。。。。。。。。。。", false),
            ("", "患者昏迷需了解用药史", false),
            ("care", "患者昏迷需了解用药史", false),
        ] {
            let form = GlassForm { kind: kind.into(), reason: reason.into(), back: String::new() };
            assert_eq!(form.read().is_ok(), good, "{kind} {reason}");
        }
    }
}
