//! The quality matrix: institutions × days, colour with number, missing days hatched, a click drills.

use maud::{Markup, html};

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum MatrixCell {
    /// Nothing is expected on this day.
    None,
    /// Something was expected and did not come.
    Missing {
        /// What the hover explains.
        explain: String,
        /// Where a click leads.
        href: Option<String>,
    },
    /// A score from 0 to 100 on a day on which a part of what was expected did not come: marked in the corner.
    Partial {
        /// The score of what came.
        score: f64,
        /// What the hover explains.
        explain: String,
        /// Where a click leads.
        href: Option<String>,
    },
    /// A score from 0 to 100.
    Score {
        /// The score.
        score: f64,
        /// What the hover explains.
        explain: String,
        /// Where a click leads.
        href: Option<String>,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixRow {
    /// The institution.
    pub name: String,
    /// Its page.
    pub href: Option<String>,
    /// One cell per day.
    pub cells: Vec<MatrixCell>,
}

/// The class of a score: eight steps, fine near the top where institutions differ.
fn step(score: f64) -> &'static str {
    match score {
        s if s >= 99.0 => "mk-q7",
        s if s >= 97.0 => "mk-q6",
        s if s >= 95.0 => "mk-q5",
        s if s >= 90.0 => "mk-q4",
        s if s >= 85.0 => "mk-q3",
        s if s >= 75.0 => "mk-q2",
        s if s >= 60.0 => "mk-q1",
        _ => "mk-q0",
    }
}

/// Whole points, cut and not rounded, so that 99.9 is not 100.
fn whole(score: f64) -> String {
    format!("{:.0}", score.clamp(0.0, 100.0).floor())
}

fn linked(href: Option<&str>, text: &str) -> Markup {
    match href {
        Some(href) => html! { a href=(href) { (text) } },
        None => html! { span { (text) } },
    }
}

/// The matrix with its legend. `days` are the column headings, e.g. `03-04`.
pub fn matrix(heading: &str, days: &[String], rows: &[MatrixRow]) -> Markup {
    html! {
        div.mk-scroll.mk-card-body {
            table.mk-matrix {
                thead { tr { th scope="col" { (heading) } @for day in days { th scope="col" { (day) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" title=(row.name) { (linked(row.href.as_deref(), &row.name)) }
                            @for cell in &row.cells {
                                @match cell {
                                    MatrixCell::None => td.mk-q-none { span { "·" } },
                                    MatrixCell::Missing { explain, href } => td.mk-q-missing title=(explain) {
                                        (linked(href.as_deref(), "缺"))
                                    },
                                    MatrixCell::Partial { score, explain, href } => td class={ (step(*score)) " mk-q-partial" } title=(explain) {
                                        (linked(href.as_deref(), &whole(*score)))
                                    },
                                    MatrixCell::Score { score, explain, href } => td class=(step(*score)) title=(explain) {
                                        (linked(href.as_deref(), &whole(*score)))
                                    },
                                }
                            }
                        }
                    }
                }
            }
        }
        div.mk-legend {
            @for (class, text) in [("mk-q0", "60 以下"), ("mk-q1", "60"), ("mk-q2", "75"), ("mk-q3", "85"),
                ("mk-q4", "90"), ("mk-q5", "95"), ("mk-q6", "97"), ("mk-q7", "99 以上"), ("mk-q-missing", "应传未传"), ("mk-q5 mk-q-partial", "部分未传"),
                ("mk-q-none", "当日无应传")] {
                span { i class=(class) {} (text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_never_rounded_up_to_full() {
        let cell = MatrixCell::Score { score: 99.96, explain: String::new(), href: None };
        let row = MatrixRow { name: "某院".into(), href: None, cells: vec![cell] };
        let html = matrix("机构", &["03-04".into()], &[row]).into_string();
        assert!(html.contains(">99<") && !html.contains(">100<"));
        let cell = MatrixCell::Partial { score: 91.0, explain: "缺：处方".into(), href: None };
        let row = MatrixRow { name: "某院".into(), href: None, cells: vec![cell] };
        assert!(matrix("机构", &["03-04".into()], &[row]).into_string().contains("mk-q4 mk-q-partial"));
        assert_eq!((step(100.0), step(59.9), step(90.0)), ("mk-q7", "mk-q0", "mk-q4"));
    }
}
