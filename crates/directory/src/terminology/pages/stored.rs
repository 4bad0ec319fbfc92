//! How far stored rows have followed the maps (存量数据转换): a card above the decided maps, a cell in each line. Pure but
//! for the reading.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::InstitutionCard;
use kernel::Result;
use maud::{Markup, html};
use web::ui::{Column, Here, Row, Tone, badge, card_with, table, thousands};

use super::time;
use crate::Directory;
use crate::terminology::stored::{LineRun, Run};

/// Runs that the card shows.
const RUNS: i64 = 10;

/// A run whose pass is over and that waits for uploads which were checked by the maps before.
const UPLOADS: &str = "等待正在处理的上传";

fn count(n: i64) -> String {
    thousands(n.unsigned_abs())
}

fn state_badge(run: &Run, now: DateTime<Utc>) -> Markup {
    match run.state.as_str() {
        "done" => badge(Tone::Good, "已完成"),
        "failed" if run.gave_up => badge(Tone::Bad, "已停止"),
        "failed" => badge(Tone::Warn, "中断，将自动重试"),
        _ if run.stalled(now) => badge(Tone::Bad, "长时间没有进展"),
        _ if run.waits_since.is_some() => badge(Tone::Info, UPLOADS),
        "running" => badge(Tone::Info, "进行中"),
        _ => badge(Tone::Neutral, "等待开始"),
    }
}

/// What became of the stored rows because of a line; in words for an export as well.
pub(super) fn words(line: Option<&LineRun>, ended: bool) -> String {
    let Some(LineRun { run, changed }) = line else { return String::new() };
    let what = if ended { "恢复" } else { "转换" };
    match run.state.as_str() {
        "done" => format!("已{what} {} 处", count(*changed)),
        "waiting" => "等待开始".to_owned(),
        "running" if run.waits_since.is_some() => format!("{UPLOADS}，已{what} {} 处", count(*changed)),
        _ => {
            let percent = run.percent().map(|p| format!(" {p}%")).unwrap_or_default();
            let state = if run.state == "running" { "进行中" } else { "中断" };
            format!("{state}{percent}，已{what} {} 处", count(*changed))
        }
    }
}

/// The cell of a line.
pub(super) fn cell(line: Option<&LineRun>, ended: bool) -> Markup {
    html! {
        (words(line, ended))
        @if let Some(LineRun { run, .. }) = line {
            @if let Some(at) = run.finished_at { br; small.mk-muted { (time(at)) } }
            @if let Some(why) = &run.failure { br; small { (why) } }
        }
    }
}

/// The card with the latest runs; nothing when there was none. `decides`: the institutions for which the reader may go
/// on with one.
pub(super) async fn runs(
    directory: &Directory,
    here: &Here,
    cards: &[Arc<InstitutionCard>],
    institutions: &[i32],
    decides: &[i32],
) -> Result<Markup> {
    let runs = directory.stored_runs(institutions, RUNS).await?;
    if runs.is_empty() {
        return Ok(html! {});
    }
    let now = directory.now();
    let row = |run: &Run| {
        let institution = cards.iter().find(|c| c.id.get() == i64::from(run.institution_id));
        Row::plain(vec![
            html! { (institution.map_or("", |c| &*c.short_name)) },
            html! { (run.lines) " 条对照" br; small.mk-muted { (run.asked_by) " " (time(run.asked_at)) } },
            html! {
                (state_badge(run, now))
                @if let Some(why) = &run.failure { br; small { (why) } }
                @if run.stalled(now) {
                    @if let Some(card) = institution.filter(|_| decides.contains(&run.institution_id)) {
                        form.mk-form-line method="post" action="/code-maps/decide" {
                            input type="hidden" name="institution" value=(card.code);
                            input type="hidden" name="state" value=(here.get("state").unwrap_or("approved"));
                            button.btn type="submit" name="act" value="follow" { "从中断处继续" }
                        }
                    }
                }
            },
            html! {
                (count(run.rows_seen))
                @if let Some(total) = run.rows_total { " / " (count(total.max(run.rows_seen))) }
                @if let Some(percent) = run.percent() { br; small.mk-muted { (percent) "%" } }
            },
            html! { (count(run.translated)) },
            html! { (count(run.restored)) },
            html! { @match run.finished_at { Some(at) => (time(at)), None => "—" } },
        ])
    };
    let rows: Vec<Row> = runs.iter().map(row).collect();
    let hint = html! { small { "已存的数据随对照的批准和停用转换或恢复；每次改动都留在该记录的历史版本中。本功能启用之前已停用的对照不追溯恢复" } };
    Ok(card_with(
        "存量数据转换",
        hint,
        table(
            here,
            &[
                Column::text("机构"),
                Column::text("由来"),
                Column::text("状态"),
                Column::number("已核对行数"),
                Column::number("转换"),
                Column::number("恢复"),
                Column::text("完成时间"),
            ],
            &rows,
        ),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(state: &str) -> Run {
        let at = DateTime::from_timestamp(1_747_000_000, 0).unwrap();
        Run {
            id: 1,
            institution_id: 1,
            state: state.to_owned(),
            asked_at: at,
            asked_by: "审批".to_owned(),
            started_at: None,
            stepped_at: None,
            waits_since: None,
            finished_at: None,
            rows_total: Some(200),
            rows_seen: 50,
            translated: 7,
            restored: 0,
            failure: None,
            gave_up: false,
            lines: 1,
        }
    }

    #[test]
    fn a_line_says_how_far_its_rows_are() {
        let said = |state: &str, ended| words(Some(&LineRun { run: run(state), changed: 1_207 }), ended);
        assert_eq!(said("done", false), "已转换 1,207 处");
        assert_eq!(said("done", true), "已恢复 1,207 处");
        assert_eq!(said("waiting", false), "等待开始");
        assert_eq!(said("running", false), "进行中 25%，已转换 1,207 处");
        assert_eq!(said("failed", false), "中断 25%，已转换 1,207 处");
        assert_eq!(words(None, false), "");
        let waits = Run { waits_since: Some(run("running").asked_at), ..run("running") };
        let line = LineRun { run: waits, changed: 3 };
        assert_eq!(words(Some(&line), false), "等待正在处理的上传，已转换 3 处");
    }

    #[test]
    fn a_run_that_is_not_over_never_shows_the_whole() {
        let all = Run { rows_seen: 900, ..run("running") };
        assert_eq!((all.percent(), run("done").percent()), (Some(99), Some(100)));
        assert_eq!(Run { rows_total: None, ..run("running") }.percent(), None);
        let minutes = |n| run("running").asked_at + chrono::TimeDelta::minutes(n);
        assert!(!run("running").stalled(minutes(5)) && run("running").stalled(minutes(60)));
        assert!(Run { gave_up: true, ..run("failed") }.stalled(minutes(0)));
        assert!(!run("done").stalled(minutes(60)));
        assert!(!run("waiting").stalled(minutes(60)) && run("waiting").stalled(minutes(25 * 60)));
    }
}
