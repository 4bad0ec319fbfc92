//! The registers at one glance: resources of the city by county, what runs out, and institutions on the map.

use std::collections::BTreeMap;

use axum::extract::State;
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result, Tier};
use maud::{Markup, html};
use serde_json::json;
use sqlx::Row as _;
use store::DbDoing;
use web::route::Allowed;
use web::ui::{
    self, Column, Figure, Filter as Choose, Here, List, Paging, Row, Tone, badge, card, figures, list,
    page_head, table, thousands,
};
use web::ui::{Chart, Height};
use web::{Frame, Reply};

use super::super::Registries;
use super::{PAGE, Place, counties, reach};
use crate::divisions::edition;
use crate::divisions::plan::Unit;

/// What is counted of one county.
#[derive(Debug, Clone, Copy, Default)]
struct County {
    institutions: i64,
    staff: i64,
    doctors: i64,
    nurses: i64,
    beds: i64,
    occupied: i64,
    ct: i64,
    mr: i64,
    equipment: i64,
    vehicles: i64,
    ready: i64,
}

async fn by_county(registries: &Registries, reach: &Reach) -> Result<BTreeMap<RegionCode, County>> {
    let scope = reach.scope();
    let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
    let rows = sqlx::query(
        "select left(i.region, 6) as county,
            count(*) filter (where e.kind = 'institution') as institutions,
            count(*) filter (where e.kind = 'staff') as staff,
            count(*) filter (where e.kind = 'staff' and e.content ->> 'category' in ('11', '12')) as doctors,
            count(*) filter (where e.kind = 'staff' and e.content ->> 'category' = '21') as nurses,
            coalesce(sum((e.content ->> 'open_beds')::int) filter (where e.kind = 'bed'), 0)::bigint as beds,
            coalesce(sum((e.content ->> 'occupied')::int) filter (where e.kind = 'bed'), 0)::bigint as occupied,
            count(*) filter (where e.kind = 'equipment' and e.content ->> 'kind' = 'CT') as ct,
            count(*) filter (where e.kind = 'equipment' and e.content ->> 'kind' = 'MR') as mr,
            count(*) filter (where e.kind = 'equipment') as equipment,
            count(*) filter (where e.kind = 'vehicle') as vehicles,
            count(*) filter (where e.kind = 'vehicle' and e.content ->> 'state' = '1') as ready
         from registry_entry e join institution i on i.id = e.institution_id
         where e.state = 'active' and e.kind in ('institution', 'staff', 'bed', 'equipment', 'vehicle')
            and (i.region like any($1) or e.institution_id = any($2))
         group by 1",
    )
    .bind(prefixes)
    .bind(institutions)
    .fetch_all(registries.db.pool())
    .await
    .db("count resources by county")?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let n = |name: &str| row.try_get::<i64, _>(name).unwrap_or(0);
            Some((
                RegionCode::parse(row.get(0)).ok()?,
                County {
                    institutions: n("institutions"),
                    staff: n("staff"),
                    doctors: n("doctors"),
                    nurses: n("nurses"),
                    beds: n("beds"),
                    occupied: n("occupied"),
                    ct: n("ct"),
                    mr: n("mr"),
                    equipment: n("equipment"),
                    vehicles: n("vehicles"),
                    ready: n("ready"),
                },
            ))
        })
        .collect())
}

fn share(part: i64, whole: i64) -> String {
    if whole == 0 { "—".to_owned() } else { format!("{:.1}%", part as f64 * 100.0 / whole as f64) }
}

pub(super) async fn page(State(place): State<Place>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let registries = &place.registries;
    let reach = reach(&allowed)?;
    let all = by_county(registries, &reach).await?;
    let people = registries.people_by_county().await?;
    let mut sum = County::default();
    for c in all.values() {
        sum = County {
            institutions: sum.institutions + c.institutions,
            staff: sum.staff + c.staff,
            doctors: sum.doctors + c.doctors,
            nurses: sum.nurses + c.nurses,
            beds: sum.beds + c.beds,
            occupied: sum.occupied + c.occupied,
            ct: sum.ct + c.ct,
            mr: sum.mr + c.mr,
            equipment: sum.equipment + c.equipment,
            vehicles: sum.vehicles + c.vehicles,
            ready: sum.ready + c.ready,
        };
    }
    let figure = |label: &str, n: i64, note: String, href: &str| Figure {
        label: label.to_owned(),
        value: thousands(n.unsigned_abs()),
        note,
        href: Some(href.to_owned()),
    };
    let top = figures(&[
        figure("机构", sum.institutions, String::new(), "/institutions"),
        figure(
            "卫生人员",
            sum.staff,
            format!("执业（助理）医师 {}，注册护士 {}", sum.doctors, sum.nurses),
            "/staff",
        ),
        figure(
            "开放床位",
            sum.beds,
            format!("占用 {}（{}）", sum.occupied, share(sum.occupied, sum.beds)),
            "/registry/bed",
        ),
        figure("大型设备", sum.equipment, format!("CT {}，磁共振 {}", sum.ct, sum.mr), "/registry/equipment"),
        figure("车辆", sum.vehicles, format!("车况良好 {}", sum.ready), "/registry/vehicle"),
    ]);
    let columns = [
        Column::text("县（市、区）"),
        Column::number("机构"),
        Column::number("卫生人员"),
        Column::number("医师"),
        Column::number("护士"),
        Column::number("医护比"),
        Column::number("每千人口医师"),
        Column::number("开放床位"),
        Column::number("床位使用率"),
        Column::number("CT"),
        Column::number("磁共振"),
        Column::number("车辆"),
    ];
    let rows: Vec<Row> = all
        .iter()
        .map(|(county, c)| {
            let to = |path: &str, n: i64| {
                let sign = if path.contains('?') { '&' } else { '?' };
                html! { @if n == 0 { span.mk-muted { "0" } } @else { a href={ (path) (sign) "county=" (county) } { (thousands(n.unsigned_abs())) } } }
            };
            let thousand = people.get(county).filter(|p| **p > 0).map_or("—".to_owned(), |p| {
                format!("{:.2}", c.doctors as f64 * 1000.0 / *p as f64)
            });
            Row::plain(vec![
                html! { (registries.directory.region_name(county)) },
                to("/institutions", c.institutions),
                to("/staff", c.staff),
                html! { (c.doctors) },
                to("/staff?category=21", c.nurses),
                html! { @if c.doctors == 0 { "—" } @else { "1∶" (format!("{:.2}", c.nurses as f64 / c.doctors as f64)) } },
                html! { (thousand) },
                to("/registry/bed", c.beds),
                html! { (share(c.occupied, c.beds)) },
                to("/registry/equipment?kind=CT", c.ct),
                to("/registry/equipment?kind=MR", c.mr),
                to("/registry/vehicle", c.vehicles),
            ])
        })
        .collect();
    let doors = registries.catalog.registers.iter().filter(|r| r.listed);
    let body = html! {
        (page_head(&[], "注册管理", "全市医疗卫生资源一览：机构、人员、床位、设备、车辆。点击数字查看明细。", html! {
            a.btn href="/registry/map" { (ui::icon("map-2")) "机构地图" }
            a.btn href="/registry/expiring" { (ui::icon("calendar-time")) "到期提醒" }
            a.btn href="/registry/requests" { (ui::icon("checklist")) "变更申请" }
            a.btn href="/registry/imports" { (ui::icon("file-import")) "成批导入" }
        }))
        (top)
        (card("各县（市、区）资源", html! {
            @if rows.is_empty() { (ui::empty("还没有登记机构", "先登记机构，再登记人员、床位和设备。", Some(("机构", "/institutions")))) }
            @else { (table(&Here::new("/registry", ""), &columns, &rows)) }
            p.mk-muted { "每千人口按居民主索引中现住该县的人数计算；没有人口数据的显示“—”。医师为执业医师和执业助理医师。" }
        }))
        (card("注册库", html! {
            div.mk-doors {
                @for r in doors { a href=(r.path()) { (ui::icon(&r.icon)) span { b { (r.dataset.name) } small { (r.dataset.description) } } } }
            }
        }))
    };
    Ok(frame.page("注册管理", body))
}

/// What has run out or will soon, of every register.
pub(super) async fn expiring(
    State(place): State<Place>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let registries = &place.registries;
    let reach = reach(&allowed)?;
    let today = registries.clock.local().date();
    let days: i64 = here
        .get("days")
        .and_then(|d| d.parse().ok())
        .unwrap_or(registries.options.whole("registry.expiry_days"));
    let until = today.checked_add_signed(chrono::TimeDelta::days(days.clamp(0, 3660))).unwrap_or(today);
    let scope = reach.scope();
    let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
    let kind = here.get("kind").unwrap_or("");
    let at: u64 = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).max(1);
    let rows = sqlx::query(
        "select e.id, e.kind, e.institution_id, e.name, e.expires_on, p.name, count(*) over ()
         from registry_entry e join institution i on i.id = e.institution_id left join registry_entry p on p.id = e.parent_id
         where e.expires_on <= $1 and e.state = 'active' and (i.region like any($2) or e.institution_id = any($3))
            and ($4 = '' or e.kind = $4)
         order by e.expires_on, e.id limit $5 offset $6",
    )
    .bind(until)
    .bind(prefixes)
    .bind(institutions)
    .bind(kind)
    .bind(PAGE as i64)
    .bind(((at - 1) * PAGE) as i64)
    .fetch_all(registries.db.pool())
    .await
    .db("read what runs out")?;
    let total = rows.first().map_or(0, |r| r.get::<i64, _>(6)).unsigned_abs();
    let kinds: Vec<(String, String)> = registries
        .catalog
        .registers
        .iter()
        .filter(|r| r.expires.is_some())
        .map(|r| (r.code().to_owned(), r.dataset.name.clone()))
        .collect();
    let shown = rows
        .iter()
        .filter_map(|row| {
            let register = registries.catalog.register(row.get(1))?;
            let day: chrono::NaiveDate = row.get(4);
            let left = (day - today).num_days();
            let (tone, text) = match left {
                ..0 => (Tone::Bad, format!("已过期 {} 天", -left)),
                0..=30 => (Tone::Warn, format!("还剩 {left} 天")),
                _ => (Tone::Neutral, format!("还剩 {left} 天")),
            };
            let institution = kernel::Id::new(row.get::<i32, _>(2).into());
            let owner: Option<String> = row.get(5);
            Some(Row::to(
                format!("{}/{}", register.path(), row.get::<i64, _>(0)),
                vec![
                    html! { (row.get::<String, _>(3)) @if let Some(owner) = owner { " " small { (owner) } } },
                    html! { (register.dataset.name) },
                    html! { (registries.institution_name(institution)) },
                    html! { (day) },
                    badge(tone, &text),
                ],
            ))
        })
        .collect();
    let spans: Vec<(String, String)> = [
        (days, format!("{days} 天内（设定）")),
        (30, "30 天内".into()),
        (180, "半年内".into()),
        (365, "一年内".into()),
        (0, "已过期".into()),
    ]
    .into_iter()
    .map(|(d, n)| (d.to_string(), n))
    .collect();
    let body = html! {
        (page_head(&[("注册管理", "/registry")], "到期提醒", "机构许可证件、人员执业注册和多点执业的有效期，按剩余天数排列。", html! {}))
        (list(&here, &List {
            filters: &[
                Choose::Pick { name: "days", label: "期限", options: &spans },
                Choose::Choice { name: "kind", label: "类别", options: &kinds },
            ],
            total: Some(total),
            unit: "项",
            columns: &[Column::text("名称"), Column::text("类别"), Column::text("机构"), Column::text("有效期至"), Column::text("剩余")],
            rows: shown,
            paging: Paging::Numbered { page: at, per_page: PAGE, total },
            exports: &[],
            empty: ("没有临近到期的证件", "在所选期限内，没有许可证件或执业注册到期。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("到期提醒", body))
}

/// Institutions on one map from which it is crowded, and that are read for it at most: more than a city has.
const CROWDED: usize = 500;
const MAPPED: i64 = 20_000;

/// The chart of institutions by class: over the counties of a city where their shapes are known, else by longitude and
/// latitude alone.
fn located(
    city: RegionCode,
    counties: &[Unit],
    groups: &BTreeMap<String, Vec<serde_json::Value>>,
) -> serde_json::Value {
    let geometry = web::asset_url(&format!("map-{}.json", city.prefix()));
    let drawn = city.tier() == Some(Tier::City) && !geometry.ends_with("/missing");
    let crowded = groups.values().map(Vec::len).sum::<usize>() > CROWDED;
    let points = |place: &str| -> Vec<serde_json::Value> {
        let one = |(name, data): (&String, &Vec<serde_json::Value>)| json!({ "type": "scatter", "name": name, "symbolSize": if crowded { 6 } else { 9 }, "coordinateSystem": place, "data": data });
        groups.iter().map(one).collect()
    };
    if !drawn {
        return json!({
            "grid": { "left": 8, "right": 24, "top": 36, "bottom": 8, "containLabel": true },
            "legend": { "top": 0 },
            "tooltip": { "trigger": "item", "formatter": "{b}" },
            "xAxis": { "type": "value", "scale": true, "name": "经度" },
            "yAxis": { "type": "value", "scale": true, "name": "纬度" },
            "series": points("cartesian2d"),
        });
    }
    let titles: BTreeMap<&str, &str> =
        counties.iter().map(|county| (county.code.prefix(), county.name.as_str())).collect();
    json!({
        "map": geometry,
        "geo": { "top": 40, "bottom": 12, "titles": titles },
        "legend": { "top": 0 },
        "tooltip": { "trigger": "item", "formatter": "{b}" },
        "series": points("geo"),
    })
}

/// Institutions by their coordinates, with the list of those that have none.
pub(super) async fn map(
    State(place): State<Place>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let registries = &place.registries;
    let reach = reach(&allowed)?;
    let register = registries.register("institution")?.clone();
    let mut filter = super::super::read::Filter::of(&register, &here, registries.clock.local().date());
    filter.sort = String::new();
    let entries = registries.page(&register, &reach, &filter, MAPPED, 0).await?;
    // A city's village rooms would hide everything else.
    let crowded =
        entries.len() > CROWDED && here.get("county").is_none() && here.get("sender_class").is_none();
    let mut left_out = 0;
    let number = |e: &super::super::model::Entry, field: &str| {
        e.content.get(field).and_then(serde_json::Value::as_f64)
    };
    let tables = registries.directory.tables_now();
    let mut groups: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    let (mut placed, mut missing) = (Vec::new(), Vec::new());
    for e in &entries {
        match (number(e, "longitude"), number(e, "latitude")) {
            (Some(..), Some(..)) if crowded && e.text("sender_class") == "village" => left_out += 1,
            (Some(x), Some(y)) => {
                let class = tables.display("sender_class", &e.text("sender_class")).to_owned();
                groups.entry(class).or_default().push(json!({
                    "value": [x, y], "name": e.name, "href": format!("/institutions/{}", e.institution),
                }));
                placed.push(e);
            }
            _ => missing.push(e),
        }
    }
    let chosen = here.get("county").and_then(|c| RegionCode::parse(c).ok());
    let city = chosen.unwrap_or(allowed.caller().region).at(Tier::City);
    let year = registries.directory.regions_now().edition_on(registries.clock.today()).map_or(0, |e| e.year);
    let option = located(city, &edition::children(&registries.db, year, &city).await?, &groups);
    let row = |e: &&super::super::model::Entry| {
        Row::to(
            format!("/institutions/{}", e.institution),
            vec![
                html! { (e.name) },
                html! { (e.text("address")) },
                html! { (e.text("longitude")) " " (e.text("latitude")) },
            ],
        )
    };
    let columns = [Column::text("机构"), Column::text("地址"), Column::text("坐标")];
    let rows: Vec<Row> = placed.iter().map(row).collect();
    let counties = counties(registries, &reach);
    let classes: Vec<(String, String)> = tables
        .get("sender_class")
        .map(|t| t.codes.iter().map(|c| (c.code.to_string(), c.name.to_string())).collect())
        .unwrap_or_default();
    let body = html! {
        (page_head(&[("注册管理", "/registry"), ("机构", "/institutions")], "机构地图", "按登记的经纬度标出；点击一个点打开机构。县界为示意图形，只作展示，不作划界依据。", html! {}))
        section.mk-card { (ui::filter_form(&here, &[
            Choose::Choice { name: "county", label: "县（市、区）", options: &counties },
            Choose::Choice { name: "sender_class", label: "上传类别", options: &classes },
        ])) }
        @if left_out > 0 {
            (ui::notice(Tone::Info, &format!("村卫生室 {left_out} 家没有标出"), "选择县（市、区）或上传类别“村卫生室”后标出。"))
        }
        @if placed.is_empty() {
            (ui::empty("没有登记了坐标的机构", "在机构资料的“地址与联系”中填写经度和纬度，机构就会出现在地图上。", Some(("机构列表", "/institutions"))))
        } @else {
            (ui::chart(&Chart { id: "map", title: &format!("机构位置（{} 家）", placed.len()), option: &option,
                table: table(&here, &columns, &rows), download: None, height: Height::Tall }))
        }
        @if !missing.is_empty() {
            (card(&format!("没有坐标的机构（{} 家）", missing.len()), html! {
                ul { @for e in missing.iter().take(200) { li { a href={ "/institutions/" (e.institution) } { (e.name) } } } }
            }))
        }
    };
    Ok(frame.page("机构地图", body))
}
