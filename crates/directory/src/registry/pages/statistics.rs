//! Counting a register by code, county and age; every number leads to its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use catalog::{FieldKind, Register};
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result, Tier};
use maud::{Markup, html};
use serde_json::json;
use sqlx::Row as _;
use store::DbDoing;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{self, Column, Filter as Choose, Here, Row, card, filter_form, page_head, table, thousands};
use web::ui::{Chart, Height};
use web::{Frame, Reply};

use super::super::Registries;
use super::super::read::{AGES, Filter, NONE, bind_limits, limits};
use super::{Place, reach};

/// The word for counting by age.
const AGE: &str = "age";
/// The word for counting by county alone.
const COUNTY: &str = "county";

const BY_FIELD: &str = concat!(
    "select i.region, i.id, coalesce(e.content ->> $15, '') as value, count(*) as n,
        sum((e.content ->> $16)::numeric)::float8 as a, sum((e.content ->> $17)::numeric)::float8 as b,
        sum((e.content ->> $18)::numeric)::float8 as c ",
    limits!(),
    " group by 1, 2, 3"
);
const BY_AGE: &str = concat!(
    "select i.region, i.id,
        case when e.content ->> 'birth_date' is null then ''
            else (extract(year from age($15::date, (e.content ->> 'birth_date')::date)))::int::text end as value,
        count(*) as n, null::float8 as a, null::float8 as b, null::float8 as c ",
    limits!(),
    " group by 1, 2, 3"
);

/// What is counted: by value and county.
#[derive(Debug, Default)]
pub(in super::super) struct Counted {
    /// Values in order, with their names.
    pub values: Vec<(String, String)>,
    /// Counties in order.
    pub counties: Vec<RegionCode>,
    /// By value and county.
    pub cells: BTreeMap<(String, RegionCode), i64>,
    /// Sums of the measures, by value.
    pub sums: BTreeMap<String, Vec<f64>>,
}

impl Counted {
    fn of(&self, value: &str) -> i64 {
        self.counties.iter().map(|c| self.cell(value, c)).sum()
    }
    fn cell(&self, value: &str, county: &RegionCode) -> i64 {
        self.cells.get(&(value.to_owned(), *county)).copied().unwrap_or(0)
    }
    fn total(&self) -> i64 {
        self.cells.values().sum()
    }
}

fn band(age: &str) -> String {
    let years: i64 = match age.parse() {
        Ok(years) => years,
        Err(_) => return NONE.to_owned(),
    };
    AGES.iter()
        .find(|(code, _)| {
            code.split_once('-').is_some_and(|(from, to)| {
                from.parse::<i64>().is_ok_and(|f| years >= f) && to.parse::<i64>().is_ok_and(|t| years <= t)
            })
        })
        .map_or(NONE.to_owned(), |(code, _)| (*code).to_owned())
}

impl Registries {
    /// Counts a register by a field (or `age`, `county`) and county, in the divisions of a year.
    pub(in super::super) async fn counted(
        &self,
        register: &Register,
        reach: &Reach,
        filter: &Filter,
        by: &str,
        years: Years,
    ) -> Result<Counted> {
        let names: Vec<Option<&str>> = (0..3)
            .map(|at| register.measures.get(at).map(|p| register.dataset.fields[*p].name.as_str()))
            .collect();
        let rows = if by == AGE {
            bind_limits!(sqlx::query(BY_AGE), register.code(), reach, filter).bind(self.clock.local().date())
        } else {
            bind_limits!(sqlx::query(BY_FIELD), register.code(), reach, filter)
                .bind(if by == COUNTY { "" } else { by })
                .bind(names[0].unwrap_or(""))
                .bind(names[1].unwrap_or(""))
                .bind(names[2].unwrap_or(""))
        }
        .fetch_all(self.db.pool())
        .await
        .db("count a register")?;
        let tables = self.directory.tables_now();
        let table = register.field(by).and_then(|p| match &register.dataset.fields[p].kind {
            FieldKind::Code { table, .. } => tables.get(table),
            _ => None,
        });
        let mut counted = Counted::default();
        let mut seen = BTreeMap::new();
        let known = self.directory.regions_now();
        for row in &rows {
            let region = RegionCode::parse(row.get(0)).unwrap_or(RegionCode::NATION);
            let county = known.place(row.get::<i32, _>(1).into(), region, years.asked).at(Tier::County);
            let raw: String = row.get(2);
            let value = match by {
                AGE => band(&raw),
                COUNTY => county.as_str().to_owned(),
                _ if raw.is_empty() => NONE.to_owned(),
                _ => raw,
            };
            let order = match by {
                AGE => AGES.iter().position(|(code, _)| *code == value).unwrap_or(usize::MAX),
                COUNTY => 0,
                _ if value == NONE => usize::MAX,
                _ => table.and_then(|t| t.position(&value)).map_or(usize::MAX - 1, |at| at as usize),
            };
            seen.insert((order, value.clone()), ());
            *counted.cells.entry((value.clone(), county)).or_default() += row.get::<i64, _>(3);
            let sums = counted.sums.entry(value).or_insert_with(|| vec![0.0; 3]);
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += row.get::<Option<f64>, _>(4 + at).unwrap_or(0.0);
            }
            if !counted.counties.contains(&county) {
                counted.counties.push(county);
            }
        }
        counted.counties.sort();
        counted.values = seen
            .into_keys()
            .map(|(_, value)| {
                let name = match by {
                    AGE => AGES.iter().find(|(c, _)| *c == value).map_or("（未填）", |(_, n)| n).to_owned(),
                    COUNTY => RegionCode::parse(&value)
                        .map_or_else(|_| value.clone(), |c| known.full_name_in(&c, years.asked)),
                    _ if value == NONE => "（未填）".to_owned(),
                    _ => table.and_then(|t| t.name_of(&value)).unwrap_or(&value).to_owned(),
                };
                (value, name)
            })
            .collect();
        Ok(counted)
    }
}

/// The edition of divisions that institutions have, and the one that figures are asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Years {
    own: i16,
    asked: i16,
}

impl Years {
    /// By the edition in force, in that of `?year=`; in the edition in force where there is no such edition.
    fn of(registries: &Registries, here: &Here) -> Self {
        let known = registries.directory.regions_now();
        let own = known.edition_on(registries.clock.today()).map_or(0, |edition| edition.year);
        let asked = here.get("year").and_then(|year| year.parse().ok());
        Self { own, asked: asked.filter(|year| known.edition(*year).is_some()).unwrap_or(own) }
    }

    fn translated(self) -> bool {
        self.own != self.asked
    }

    fn options(self, registries: &Registries) -> Vec<(String, String)> {
        let known = registries.directory.regions_now();
        let mut years: Vec<i16> = known.editions.iter().map(|edition| edition.year).collect();
        years.sort_unstable_by_key(|year| (*year != self.asked, std::cmp::Reverse(*year)));
        let name = |year: i16| format!("{year} 年版{}", if year == self.own { "（现行）" } else { "" });
        years.into_iter().map(|year| (year.to_string(), name(year))).collect()
    }
}

/// By what a register can be counted, with titles.
fn ways(register: &Register) -> Vec<(String, String)> {
    let mut ways: Vec<(String, String)> = register
        .statistics
        .iter()
        .map(|p| (register.dataset.fields[*p].name.clone(), register.dataset.fields[*p].title.clone()))
        .collect();
    if register.field("birth_date").is_some() {
        ways.push((AGE.to_owned(), "年龄".to_owned()));
    }
    ways.push((COUNTY.to_owned(), "县（市、区）".to_owned()));
    ways
}

async fn ask(
    place: &Place,
    params: &RawPathParams,
    allowed: &Allowed,
    here: &Here,
) -> Result<(Arc<Register>, String, String, Years, Counted)> {
    let register = place.register(params)?;
    let reach = reach(allowed)?;
    let ways = ways(&register);
    let (by, title) = here
        .get("by")
        .and_then(|by| ways.iter().find(|(code, _)| code == by))
        .or_else(|| ways.first())
        .cloned()
        .unwrap_or_default();
    let filter = Filter::of(&register, here, place.registries.clock.local().date());
    let years = Years::of(&place.registries, here);
    let counted = place.registries.counted(&register, &reach, &filter, &by, years).await?;
    Ok((register, by, title, years, counted))
}

pub(super) async fn page(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (register, by, title, years, counted) = ask(&place, &params, &allowed, &here).await?;
    let body = view(&place.registries, &register, &here, (&by, &title), years, &counted);
    Ok(frame.page("统计", body))
}

fn view(
    registries: &Registries,
    register: &Register,
    here: &Here,
    (by, title): (&str, &str),
    years: Years,
    counted: &Counted,
) -> Markup {
    let path = register.path();
    let rows_at = |value: &str, county: Option<&RegionCode>| {
        let mut change = vec![("by", ""), ("year", "")];
        if by != COUNTY {
            change.push((by, value));
        }
        let county =
            county.map(|c| c.as_str().to_owned()).or_else(|| (by == COUNTY).then(|| value.to_owned()));
        if let Some(county) = &county {
            change.push(("county", county));
        }
        here.with(&change).at(&path).href()
    };
    let several = by != COUNTY && counted.counties.len() > 1;
    let names: Vec<String> =
        counted.counties.iter().map(|c| registries.directory.region_name_in(c, years.asked)).collect();
    let measures: Vec<&catalog::Field> =
        register.measures.iter().take(3).map(|p| &register.dataset.fields[*p]).collect();
    let measure_titles: Vec<String> = measures.iter().map(|f| format!("{}（{}）", f.title, f.unit)).collect();
    let mut columns = vec![Column::text(title), Column::number("合计")];
    columns.extend(measure_titles.iter().map(|t| Column::number(t)));
    if several {
        columns.extend(names.iter().map(|n| Column::number(n)));
    }
    // In the divisions of another year no list has the same rows.
    let number = |n: i64, href: String| {
        html! {
            @if n == 0 { span.mk-muted { "0" } }
            @else if years.translated() { (thousands(n.unsigned_abs())) }
            @else { a href=(href) { (thousands(n.unsigned_abs())) } }
        }
    };
    let mut rows: Vec<Row> = counted
        .values
        .iter()
        .map(|(value, name)| {
            let mut cells = vec![html! { (name) }, number(counted.of(value), rows_at(value, None))];
            let sums = counted.sums.get(value);
            cells.extend(
                (0..measures.len())
                    .map(|at| html! { (sums.map_or(0.0, |s| (s[at] * 100.0).round() / 100.0)) }),
            );
            if several {
                cells.extend(
                    counted.counties.iter().map(|c| number(counted.cell(value, c), rows_at(value, Some(c)))),
                );
            }
            Row::plain(cells)
        })
        .collect();
    if counted.values.len() > 1 {
        let all = here.with(&[("by", ""), ("year", "")]).at(&path);
        let mut cells = vec![html! { b { "合计" } }, number(counted.total(), all.href())];
        cells.extend((0..measures.len()).map(|at| {
            html! { ((counted.sums.values().map(|s| s[at]).sum::<f64>() * 100.0).round() / 100.0) }
        }));
        if several {
            cells.extend(counted.counties.iter().map(|c| {
                let n = counted.values.iter().map(|(v, _)| counted.cell(v, c)).sum();
                number(n, all.with(&[("county", c.as_str())]).href())
            }));
        }
        rows.push(Row::plain(cells));
    }
    let option = json!({
        "grid": { "left": 8, "right": 16, "top": 16, "bottom": 8, "containLabel": true },
        "tooltip": { "trigger": "axis" },
        "xAxis": { "type": "category", "data": counted.values.iter().map(|(_, n)| n).collect::<Vec<_>>() },
        "yAxis": { "type": "value", "min": 0, "minInterval": 1 },
        "series": [{
            "type": "bar", "barMaxWidth": 48,
            "data": counted.values.iter()
                .map(|(v, _)| json!({ "value": counted.of(v),
                    "href": (!years.translated()).then(|| rows_at(v, None)) })).collect::<Vec<_>>(),
        }],
    });
    let heading = format!("{}按{title}分布（{}）", register.dataset.name, register.unit);
    let csv = here.at(&format!("{path}/statistics.csv")).href();
    let ways = ways(register);
    let editions = years.options(registries);
    let list = html! { (table(here, &columns, &rows)) };
    html! {
        (page_head(&[("注册管理", "/registry"), (register.dataset.name.as_str(), path.as_str())], "统计",
            "点击任何数字，查看它所数的条目。统计口径与列表一致。", html! { a.btn href=(csv) { (ui::icon("download")) "下载数据" } }))
        section.mk-card {
            (filter_form(here, &[
                Choose::Pick { name: "by", label: "统计口径", options: &ways },
                Choose::Pick { name: "year", label: "按哪年区划", options: &editions },
            ]))
        }
        @if years.translated() {
            (ui::notice(ui::Tone::Info, "", &format!("按 {} 年版区划统计：机构算在当年所在的县区。明细按现行区划列出，所以这里的数字不能点开。", years.asked)))
        }
        @if counted.values.is_empty() {
            (ui::empty("没有可统计的条目", "符合条件的条目为零。请放宽条件，或先登记。", Some(("返回列表", &path))))
        } @else {
            (ui::chart(&Chart { id: "by", title: &heading, option: &option, table: list.clone(), download: Some(&csv), height: Height::Middle }))
            (card(&heading, list))
        }
    }
}

pub(super) async fn csv(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    let (register, _, title, years, counted) = ask(&place, &params, &allowed, &here).await?;
    let names: Vec<String> =
        counted.counties.iter().map(|c| place.registries.directory.region_name_in(c, years.asked)).collect();
    let mut heads = vec![title.as_str(), "合计"];
    heads.extend(names.iter().map(String::as_str));
    let rows = counted.values.iter().map(|(value, name)| {
        let mut row = vec![name.clone(), counted.of(value).to_string()];
        row.extend(counted.counties.iter().map(|c| counted.cell(value, c).to_string()));
        row
    });
    Ok(download::csv(&format!("{}-statistics.csv", register.code()), &heads, rows.collect::<Vec<_>>()))
}
