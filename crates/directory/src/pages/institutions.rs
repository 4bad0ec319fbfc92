//! The registry of institutions: list, detail, export. Shows only what is in reach.

use std::sync::Arc;

use axum::extract::{Path, State};
use contracts::{InstitutionCard, Institutions};
use kernel::access::InstitutionId;
use kernel::{Purpose, Reach, Refusal, Result, Tier};
use maud::{Markup, html};
use sqlx::Row as _;
use standards::pinyin::initials;
use store::DbDoing;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list, page_head,
};
use web::{Frame, Reply};

use super::{PAGE, asked, page_of};
use crate::Directory;

/// What institutions are expected to send, by class.
const CLASSES: [(&str, &str); 5] = [
    ("hospital", "医院"),
    ("township", "乡镇卫生院、社区卫生服务中心"),
    ("village", "村卫生室"),
    ("maternal_child", "妇幼保健机构"),
    ("cdc", "疾病预防控制机构"),
];

fn class_name(class: &str) -> &str {
    CLASSES.iter().find(|(code, _)| *code == class).map_or(class, |(_, name)| name)
}

fn filtered(directory: &Directory, reach: &Reach, here: &Here) -> Vec<Arc<InstitutionCard>> {
    let text = asked(here);
    let letters = text.chars().all(|c| c.is_ascii_alphanumeric());
    let class = here.get("class");
    let county = here.get("county");
    directory
        .all()
        .iter()
        .filter(|c| reach.covers(c.id, &c.region))
        .filter(|c| class.is_none_or(|class| c.sender_class == class))
        .filter(|c| county.is_none_or(|county| c.region.at(Tier::County).as_str() == county))
        .filter(|c| {
            text.is_empty()
                || c.name.to_lowercase().contains(&text)
                || c.code.to_lowercase().starts_with(&text)
                || (letters
                    && (initials(&c.name).contains(&text) || initials(&c.short_name).starts_with(&text)))
        })
        .cloned()
        .collect()
}

pub(super) async fn list_page(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("registry"))?;
    let mut counties: Vec<_> = directory
        .all()
        .iter()
        .filter(|c| reach.covers(c.id, &c.region))
        .map(|c| c.region.at(Tier::County))
        .collect();
    counties.sort();
    counties.dedup();
    let counties: Vec<(String, String)> =
        counties.iter().map(|c| (c.as_str().to_owned(), directory.region_name(c))).collect();
    let (page, total, cards) = page_of(&here, filtered(&directory, &reach, &here));
    let rows = cards
        .iter()
        .map(|c| {
            Row::to(
                format!("/institutions/{}", c.id),
                vec![
                    html! { (c.name) @if c.invented { " " (badge(Tone::Neutral, "演示")) } },
                    html! { (c.code) },
                    html! { (class_name(&c.sender_class)) },
                    html! { (directory.region_name(&c.region)) },
                ],
            )
        })
        .collect();
    let classes: Vec<(String, String)> =
        CLASSES.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
    let searched = here.get("q").is_some() || here.get("class").is_some() || here.get("county").is_some();
    let empty = if searched {
        ("没有符合条件的机构", "请放宽条件，或核对名称和代码。")
    } else {
        (
            "还没有登记机构",
            "系统管理员可用命令 minkang registry institution 登记机构，登记后机构才能上传数据。",
        )
    };
    let body = html! {
        (page_head(&[], "机构", "在本平台登记、可以上传数据的医疗卫生机构。", html! {}))
        (list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "查询", hint: "名称、拼音首字母、机构代码" },
                Filter::Choice { name: "class", label: "类别", options: &classes },
                Filter::Choice { name: "county", label: "县（市、区）", options: &counties },
            ],
            total: Some(total),
            unit: "家机构",
            columns: &[
                Column::text("名称"),
                Column::text("机构代码"),
                Column::text("类别"),
                Column::text("行政区划"),
            ],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/institutions.csv" }],
            empty,
            empty_action: None,
        }))
    };
    Ok(frame.page("机构", body))
}

pub(super) async fn export(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    let reach = allowed.reach(Purpose::of("registry"))?;
    let rows = filtered(&directory, &reach, &here).into_iter().map(|c| {
        vec![
            c.name.clone(),
            c.code.clone(),
            class_name(&c.sender_class).to_owned(),
            c.region.as_str().to_owned(),
            directory.region_name(&c.region),
            if c.invented { "是" } else { "否" }.to_owned(),
        ]
    });
    let heads = ["名称", "机构代码", "类别", "区划代码", "行政区划", "演示机构"];
    Ok(download::csv("institutions.csv", &heads, rows))
}

/// What the detail shows beyond the card.
struct More {
    class: String,
    address: String,
    phone: String,
    parent: Option<String>,
    opened_on: Option<chrono::NaiveDate>,
    closed_on: Option<chrono::NaiveDate>,
    identifiers: Vec<(String, String)>,
}

async fn more(directory: &Directory, id: InstitutionId) -> Result<More> {
    let row = sqlx::query(
        "select i.class, i.address, i.phone, p.name as parent, i.opened_on, i.closed_on
         from institution i left join institution p on p.id = i.parent_id where i.id = $1",
    )
    .bind(id.get() as i32)
    .fetch_one(directory.db.pool())
    .await
    .db("read an institution")?;
    let identifiers = sqlx::query_as(
        "select kind, value from institution_identifier where institution_id = $1 order by kind, value",
    )
    .bind(id.get() as i32)
    .fetch_all(directory.db.pool())
    .await
    .db("read identifiers of an institution")?;
    (|| {
        Ok(More {
            class: row.try_get("class")?,
            address: row.try_get("address")?,
            phone: row.try_get("phone")?,
            parent: row.try_get("parent")?,
            opened_on: row.try_get("opened_on")?,
            closed_on: row.try_get("closed_on")?,
            identifiers,
        })
    })()
    .db("read an institution")
}

pub(super) async fn detail_page(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    Path(id): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("registry"))?;
    let found = directory.by_id(InstitutionId::new(id)).filter(|c| reach.covers(c.id, &c.region));
    let c = found.ok_or_else(|| {
        Refusal::not_found("institution.unknown", "没有这家机构，或它不在您的管辖范围内。请从机构列表进入。")
    })?;
    let more = more(&directory, c.id).await?;
    let day = |d: Option<chrono::NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
    let mut facts = vec![
        fact("机构代码", &c.code),
        fact("简称", &c.short_name),
        fact("上传类别", class_name(&c.sender_class)),
        fact("机构分类代码（WS 218）", &more.class),
        fact("行政区划", &format!("{}（{}）", directory.region_name(&c.region), c.region)),
        fact("上级机构", more.parent.as_deref().unwrap_or("")),
        fact("地址", &more.address),
        fact("电话", &more.phone),
        fact("开办日期", &day(more.opened_on)),
        fact("注销日期", &day(more.closed_on)),
    ];
    facts.extend(more.identifiers.iter().map(|(kind, value)| fact(kind, value)));
    let line = if c.invented { "演示机构，为演示而虚构，并不存在。" } else { "" };
    let body = html! {
        (page_head(&[("机构", "/institutions")], &c.name, line, html! {
            a.btn href={ "/quality?institution=" (c.id) } { "质量监测" }
        }))
        (card("登记信息", describe(&facts)))
    };
    Ok(frame.page(&c.name, body))
}
