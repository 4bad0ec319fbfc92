//! Charts: an ECharts option drawn by our script, with the title, the rows as a table and downloads beside it.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

/// How tall a chart is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Height {
    /// 180 px.
    Low,
    /// 280 px.
    #[default]
    Middle,
    /// 420 px.
    Tall,
}

/// A chart. A data item of the option may be `{value, href}`: a click on it leads to its rows.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// Identifier in the page.
    pub id: &'a str,
    /// Subject and unit, e.g. `每日门诊量（人次）`.
    pub title: &'a str,
    /// The ECharts option; components: bar, line, scatter, heat map, pie; tool tip, legend, zoom, marks.
    pub option: &'a Value,
    /// The same numbers as a table, see [`super::table`].
    pub table: Markup,
    /// Where the rows can be downloaded.
    pub download: Option<&'a str>,
    /// Height.
    pub height: Height,
}

/// Renders a chart as a card.
pub fn chart(chart: &Chart) -> Markup {
    let size = match chart.height {
        Height::Low => "mk-chart-low",
        Height::Middle => "",
        Height::Tall => "mk-chart-tall",
    };
    // `<` cannot end the script element early when it is written as an escape, which JSON reads as the same.
    let json = chart.option.to_string().replace('<', "\\u003c");
    html! {
        section class={ "mk-card mk-chart " (size) } id=(chart.id) data-chart data-title=(chart.title) {
            div.mk-card-head {
                h2 { (chart.title) }
                div.mk-acts.mk-chart-acts {
                    button.mk-link type="button" data-chart-picture { "存为图片" }
                    @if let Some(href) = chart.download { a.mk-link href=(href) download { "下载数据" } }
                }
            }
            script type="application/json" { (PreEscaped(json)) }
            div.mk-chart-canvas role="img" aria-label={ (chart.title) "；数据见下方表格" } {}
            details { summary { "以表格查看" } (chart.table) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_the_script_element() {
        let option = serde_json::json!({ "title": "</script><script>alert(1)</script>" });
        let html = chart(&Chart {
            id: "c",
            title: "t",
            option: &option,
            table: html! {},
            download: None,
            height: Height::Middle,
        })
        .into_string();
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(html.contains("\\u003c/script>"));
    }
}
