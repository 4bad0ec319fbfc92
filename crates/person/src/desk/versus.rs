//! Models side by side by what each would decide: what a run of the kind `compare` came to, and the forms that ask for one.

use kernel::Result;
use maud::{Markup, html};
use serde_json::Value;
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, badge, card, card_with, icon, notice, table, thousands};

use super::{APPROVE, Desk, models, versus_pair};
use crate::runs::{Compared, SHIPPED, Would};

/// Models that the form offers.
const OFFERED: usize = 12;
/// Pairs that the page of a comparison shows.
const SHOWN: i64 = 10;

/// A model to choose: number, name, whether it is in force.
pub(super) type Choice = (i64, String, bool);

/// The names of models on the pages of a comparison.
pub(super) fn title(would: &Would) -> String {
    if would.id == SHIPPED {
        format!("{}（随平台发布）", would.version)
    } else {
        would.version.clone()
    }
}

/// Asks which models to compare; the one in force and the newest are chosen.
pub(super) fn form(all: &[Choice]) -> Markup {
    if all.len() < 2 {
        return card(
            "比较模型",
            html! {
                div.mk-empty {
                    (icon("folder"))
                    strong { "只有一个模型，还没有可比较的" }
                    p { "训练用本库的登记学习每一项相同、不同各值多少证据，得到第二个模型，列在上面；然后在这里比较两个模型会作出的结论，再决定启用哪一个。训练不改变任何归属。" }
                    form.mk-inline method="post" action="/index/runs" data-confirm="训练只产生一个新模型，比较后再启用，不改变任何归属。现在开始吗？" {
                        input type="hidden" name="kind" value="train";
                        button.btn.btn-primary type="submit" { "训练模型" }
                        a.btn href="/index/runs?kind=train" { "查看训练记录" }
                    }
                }
            },
        );
    }
    let newest = all.iter().filter(|m| !m.2).map(|m| m.0).max();
    card(
        "比较模型",
        html! {
            p { "在本库的登记上，看各个模型会把哪些登记归为一人、哪些送人工核对，与现状有什么不同。只作比较，不改变任何归属。" }
            form.mk-inline method="post" action="/index/runs" {
                input type="hidden" name="kind" value="compare";
                @for (id, version, in_force) in all.iter().take(OFFERED) {
                    label { input type="checkbox" name="model" value=(id) checked[*in_force || Some(*id) == newest]; " " (version) @if *in_force { "（使用中）" } }
                }
                button.btn.btn-primary type="submit" { "开始比较" }
            }
        },
    )
}

/// Asks for a comparison of one model with another.
pub(super) fn against(model: i64, others: &[Choice]) -> Markup {
    card(
        "比较结果",
        html! {
            form.mk-inline method="post" action="/index/runs" {
                input type="hidden" name="kind" value="compare";
                label for="model" { "在本库的登记上，与另一个模型比较各自会作出的结论：" }
                select.form-select id="model" name="model" {
                    @for (id, version, in_force) in others { option value=(id) selected[*in_force] { (version) @if *in_force { "（使用中）" } } }
                }
                input type="hidden" name="model" value=(model);
                button.btn type="submit" { "开始比较" }
            }
        },
    )
}

/// The models of a set of bits, by name.
pub(super) fn of_set(models: &[Would], set: u32) -> String {
    let named = models.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, m)| title(m));
    named.collect::<Vec<_>>().join("、")
}

/// What a comparison says of each model: title, of now, of a model, what it means.
type Line = (&'static str, fn(&Compared) -> Option<u64>, fn(&Would) -> u64, &'static str);

const LINES: [Line; 8] = [
    ("人数", |c| Some(c.persons), |w| w.persons, ""),
    ("归为一人的登记对", |c| Some(c.pairs), |w| w.pairs, "直接或经由其他登记归为一人"),
    ("较现状新归为一人的登记对", |_| None, |w| w.new_pairs, ""),
    ("较现状不再归为一人的登记对", |_| None, |w| w.lost_pairs, ""),
    ("将与别人合并的人", |_| None, |w| w.joined, "现有的人"),
    ("将被拆分的人", |_| None, |w| w.split, "现有的人"),
    ("送人工核对的登记对", |_| None, |w| w.reviews, "人工已有结论的不再送"),
    ("登记最多的一人", |_| None, |w| w.largest, "条登记；只看比对到的"),
];

/// The result, with what can be done.
pub(super) async fn result(desk: &Desk, allowed: &Allowed, run: i64, statistics: &Value) -> Result<Markup> {
    let Ok(compared) = serde_json::from_value::<Compared>(statistics.clone()) else {
        return Ok(notice(Tone::Bad, "统计无法读取", "这次比较由较早的版本作出，请重新比较一次。"));
    };
    let models = &compared.models;
    let in_force: Vec<i64> = models::choices(desk).await?.iter().filter(|m| m.2).map(|m| m.0).collect();
    let number = |n: u64| html! { (thousands(n)) };
    let mut rows: Vec<Row> = LINES
        .iter()
        .map(|line| {
            let mut cells = vec![
                html! { (line.0) @if !line.3.is_empty() { " " small.mk-muted { (line.3) } } },
                line.1(&compared).map(number).unwrap_or_default(),
            ];
            cells.extend(models.iter().map(|m| number(line.2(m))));
            Row::plain(cells)
        })
        .collect();
    let mut time = vec![html! { "比对用时 " small.mk-muted { "不含读取登记" } }, html! {}];
    time.extend(models.iter().map(|m| match m.seconds {
        short if short < 1.0 => html! { (format!("{:.0} 毫秒", short * 1000.0)) },
        long => html! { (format!("{long:.1} 秒")) },
    }));
    rows.push(Row::plain(time));
    let heads: Vec<String> = models.iter().map(title).collect();
    let mut columns = vec![Column::text("项目"), Column::number("现状")];
    columns.extend(heads.iter().map(|h| Column::number(h)));
    let differing: Vec<Row> = compared
        .differing
        .iter()
        .filter(|(_, pairs)| **pairs > 0)
        .map(|(set, pairs)| {
            Row::to(
                format!("/index/runs/{run}/pairs?models={set}"),
                vec![html! { "仅 " (of_set(models, *set)) }, html! { (thousands(*pairs)) }],
            )
        })
        .collect();
    let (found, more) = versus_pair::first(desk, allowed, run, SHOWN).await?;
    let part = compared.one_in > 1;
    Ok(html! {
        @if part {
            (notice(Tone::Info, &format!("抽样比较：每 {} 条登记抽取 1 条", compared.one_in),
                &format!("本库共 {} 条登记，按编号散列抽取，连同与抽到的登记有共同比对键的、以及现归同一人的，共 {} 条一起比对；表中数字按抽样比例推算到全部，只计至少一方被抽到的登记对。",
                    thousands(compared.records), thousands(compared.linked))))
        }
        (card_with("各模型会作出的结论", html! { small.mk-muted { (if part { "推算到全部登记" } else { "全部登记" }) " " (thousands(compared.records)) " 条；人工结论对各模型同样有效" } },
            table(&Here::default(), &columns, &rows)))
        @if differing.is_empty() {
            (notice(Tone::Good, "结论完全相同", "这些模型会把同样的登记归为一人。送人工核对的可能仍有不同，见上表。"))
        } @else {
            (card_with("只有一部分模型会归为一人的登记对", html! { small.mk-muted { "点开查看样例" } },
                table(&Here::default(), &[Column::text("会归为一人的模型"), Column::number("登记对")], &differing)))
            (card_with("样例（随机）", html! { a href={ "/index/runs/" (run) "/pairs" } { (if more { "全部样例与导出" } else { "样例与导出" }) } },
                versus_pair::rows(desk, allowed, run, models, &found)))
        }
        @if allowed.caller().may(APPROVE) {
            @for model in models.iter().filter(|m| !in_force.contains(&m.id)) {
                (card(&format!("启用 {}", title(model)), html! {
                    p { "启用后，新到的登记按这个模型比对；已有的归属不变，需要时再发起“重新评估全部登记”。" }
                    form.mk-inline method="post" action={ "/index/models/" (model.id) "/force" } {
                        input.form-control name="reason" required minlength="2" maxlength="200" placeholder="理由，例如：比较后抽查样例无误" aria-label="理由" autocomplete="off";
                        button.btn.btn-primary type="submit" { "启用这个模型" }
                    }
                }))
            }
        }
        @for model in models.iter().filter(|m| in_force.contains(&m.id)) {
            p.mk-muted { (badge(Tone::Good, "使用中")) " " a href={ "/index/models/" (model.id) } { (title(model)) } }
        }
    })
}
