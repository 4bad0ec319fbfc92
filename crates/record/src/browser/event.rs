//! An opened event: its own fields, everything that belongs to it by the catalogue's parent relations, where it came
//! from, and its earlier versions.

use std::sync::Arc;

use catalog::{CodeTables, Dataset, EntryKind};
use contracts::PersonCard;
use kernel::Result;
use sqlx::Row as _;
use store::{DbDoing, Gated};
use web::ui::PersonBanner;

use super::overview::Line;
use super::{Browser, Place, no_event};
use crate::facts::{self, Fact};
use crate::fields::{self, Shown};
use crate::laboratory::{self, ResultRow};

/// What an opened event shows.
#[derive(Debug, Clone, Default)]
pub struct EventView {
    /// Title.
    pub title: String,
    /// Icon of the kind.
    pub icon: String,
    /// Kind in a word.
    pub kind: String,
    /// `2025-03-04 14:05`.
    pub when: String,
    /// Institution.
    pub institution: String,
    /// The banner, for a whole page.
    pub banner: Option<PersonBanner>,
    /// Its own fields.
    pub fields: Vec<Shown>,
    /// What belongs to it.
    pub parts: Vec<Part>,
    /// What it belongs to: kind, title, page.
    pub parent: Option<(String, String, String)>,
    /// Other events of the day at the same institution.
    pub same_day: Vec<Line>,
    /// The batch it came in.
    pub batch: i64,
    /// Its version.
    pub version: i32,
    /// Its own page.
    pub href: String,
}

/// Things of one kind that belong to an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Kind in a word.
    pub title: String,
    /// How many there are.
    pub count: usize,
    /// They themselves.
    pub body: Body,
}

/// How things that belong to an event are shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Results of a laboratory.
    Results(Vec<ResultRow>),
    /// A table.
    Table {
        /// Headings.
        columns: Vec<String>,
        /// Cells; `true` marks a row that is abnormal.
        rows: Vec<(Vec<String>, bool)>,
    },
    /// Fees: sums by class (name, count, amount), then the rows.
    Fees {
        /// Sums.
        classes: Vec<(String, usize, String)>,
        /// The total.
        total: String,
        /// Headings.
        columns: Vec<String>,
        /// Cells.
        rows: Vec<(Vec<String>, bool)>,
    },
    /// Events of their own: title and page.
    Links(Vec<(String, String)>),
    /// Each with its fields and what belongs to it.
    Blocks(Vec<(Vec<Shown>, Vec<Part>)>),
}

/// An earlier version: when it ended, whether it was withdrawn, and its differing values (title, then, now).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: i32,
    /// When it was replaced.
    pub ended: String,
    /// The batch that replaced it; none when the platform itself corrected it.
    pub batch: Option<i64>,
    /// Why the platform corrected it; empty when a batch did.
    pub reason: String,
    /// Differences to the version after it.
    pub changes: Vec<(String, String, String)>,
}

/// The versions of a fact.
#[derive(Debug, Clone, Default)]
pub struct VersionsView {
    /// The banner.
    pub banner: PersonBanner,
    /// Title of the event.
    pub title: String,
    /// The event's page.
    pub href: String,
    /// Number of the present version.
    pub now: i32,
    /// Earlier ones, newest first.
    pub versions: Vec<Version>,
}

impl Browser {
    pub(super) async fn event(
        &self,
        tx: &mut Gated<'_>,
        card: &PersonCard,
        place: &Place,
        dataset: &Arc<Dataset>,
        fact: i64,
        whole: bool,
    ) -> Result<EventView> {
        let tables = self.ports.terminology.tables();
        let identities: Vec<i64> = card.identities.iter().map(|i| i.identity_id).collect();
        let fact = self.fact(tx, dataset, fact, &identities).await?;
        let view = dataset.record.as_ref().ok_or_else(no_event)?;
        let parts = self.parts(tx, place, dataset, &fact, &identities, &tables).await?;
        let parent = self.parent(tx, place, dataset, &fact, &identities, &tables).await?;
        let mut same_day = Vec::new();
        let mut banner = None;
        if whole {
            if let Some(identity) = fact.identity_id {
                let day = crate::entries::same_day(tx, identity, fact.occurred_at.date()).await?;
                let others = day.iter().filter(|e| (e.dataset, e.fact_id) != (dataset.number, fact.id));
                same_day = others.filter_map(|entry| self.line(place, entry)).collect();
            }
            let known = self.known(tx, card).await?;
            banner = Some(self.banner_of(card, place, &known, &tables));
        }
        let title = catalog::title::render(&view.title, dataset, &fact.values, &tables);
        let time = crate::entries::clock_time(fact.occurred_at);
        Ok(EventView {
            title: if title.is_empty() { view.label.clone() } else { title },
            icon: view.icon.clone(),
            kind: view.label.clone(),
            when: format!("{} {time}", fact.occurred_at.date()).trim_end().to_owned(),
            institution: self.institution(fact.institution),
            banner,
            fields: fields::shown(dataset, &fact, &tables),
            parts,
            parent,
            same_day,
            batch: fact.batch_id,
            version: fact.version,
            href: place.event(&dataset.code, fact.id),
        })
    }

    async fn fact(
        &self,
        tx: &mut Gated<'_>,
        dataset: &Dataset,
        fact: i64,
        identities: &[i64],
    ) -> Result<Fact> {
        if dataset.person.is_none() {
            return Err(no_event().into());
        }
        let found = facts::by_ids(tx, dataset, &facts::all(dataset), &[fact], identities).await?;
        found.into_iter().next().ok_or_else(|| no_event().into())
    }

    fn children_of(&self, dataset: &Dataset) -> Vec<(Arc<Dataset>, Vec<usize>)> {
        let mut children: Vec<_> = self
            .ports
            .catalog
            .datasets
            .iter()
            .filter(|d| d.record.is_some())
            .filter_map(|d| {
                Some((d.clone(), d.parent.as_ref().filter(|p| p.dataset == dataset.code)?.fields.clone()))
            })
            .collect();
        // The numbers follow the order of care: diagnoses before prescriptions before fees.
        children.sort_by_key(|(child, _)| child.number);
        children
    }

    /// What belongs to an event, two levels deep: a visit's prescriptions with their items.
    async fn parts(
        &self,
        tx: &mut Gated<'_>,
        place: &Place,
        dataset: &Dataset,
        fact: &Fact,
        identities: &[i64],
        tables: &CodeTables,
    ) -> Result<Vec<Part>> {
        let key = facts::key_of(fact, &dataset.key);
        let mut out = Vec::new();
        for (child, columns) in self.children_of(dataset) {
            let rows = facts::by_fields(
                tx,
                &child,
                &facts::all(&child),
                fact.institution,
                &columns,
                std::slice::from_ref(&key),
                identities,
            )
            .await?;
            if rows.is_empty() {
                continue;
            }
            let mut below = Vec::new();
            for (grandchild, columns) in self.children_of(&child) {
                let keys: Vec<Vec<String>> = rows.iter().map(|row| facts::key_of(row, &child.key)).collect();
                let all = facts::all(&grandchild);
                let found =
                    facts::by_fields(tx, &grandchild, &all, fact.institution, &columns, &keys, identities)
                        .await?;
                below.push((grandchild, columns, found));
            }
            out.push(part(place, &child, &rows, &below, tables));
        }
        Ok(out)
    }

    async fn parent(
        &self,
        tx: &mut Gated<'_>,
        place: &Place,
        dataset: &Dataset,
        fact: &Fact,
        identities: &[i64],
        tables: &CodeTables,
    ) -> Result<Option<(String, String, String)>> {
        let Some(link) = &dataset.parent else { return Ok(None) };
        let Some(parent) = self.ports.catalog.dataset(&link.dataset).filter(|d| d.record.is_some()) else {
            return Ok(None);
        };
        let key = facts::key_of(fact, &link.fields);
        if key.iter().any(String::is_empty) {
            return Ok(None);
        }
        let found = facts::by_fields(
            tx,
            parent,
            &facts::all(parent),
            fact.institution,
            &parent.key,
            &[key],
            identities,
        )
        .await?;
        Ok(found.first().zip(parent.record.as_ref()).map(|(found, view)| {
            (
                view.label.clone(),
                catalog::title::render(&view.title, parent, &found.values, tables),
                place.event(&parent.code, found.id),
            )
        }))
    }

    pub(super) async fn versions(
        &self,
        tx: &mut Gated<'_>,
        card: &PersonCard,
        place: &Place,
        dataset: &Arc<Dataset>,
        fact: i64,
    ) -> Result<VersionsView> {
        let tables = self.ports.terminology.tables();
        let known = self.known(tx, card).await?;
        let fact = self.fact(tx, dataset, fact, &known.identities).await?;
        let rows = sqlx::query(
            "select version, content, ended_at, ended_by_batch, coalesce(reason, '') from fact_history
             where dataset = $1 and fact_id = $2 order by id desc limit 50",
        )
        .bind(dataset.number)
        .bind(fact.id)
        .fetch_all(&mut ***tx)
        .await
        .db("read the history of a fact")?;
        let opener = tx.keyring().opener();
        let mut versions = Vec::new();
        let mut after: Vec<String> =
            (0..dataset.fields.len()).map(|f| facts::plain(&fact.values[f])).collect();
        for row in rows {
            let mut content: serde_json::Value = row.try_get(1).db("read the history of a fact")?;
            store::facts::open_json(&opener, dataset, &mut content)?;
            let then: Vec<String> =
                dataset.fields.iter().map(|field| plain_json(&content[field.name.as_str()])).collect();
            // An earlier version may have said what is protected, though the present one does not.
            let values: Vec<catalog::Value> =
                then.iter().map(|text| catalog::Value::Text(text.as_str().into())).collect();
            if !tx.reach().sees(dataset.probe.category(&values), fact.institution) {
                continue;
            }
            let ended: chrono::DateTime<chrono::Utc> = row.try_get(2).db("read the history of a fact")?;
            versions.push(Version {
                number: row.try_get(0).db("read the history of a fact")?,
                ended: kernel::clock::to_china(ended).format("%Y-%m-%d %H:%M").to_string(),
                batch: row.try_get(3).db("read the history of a fact")?,
                reason: row.try_get(4).db("read the history of a fact")?,
                changes: changes(dataset, &then, &after, &tables),
            });
            after = then;
        }
        let title = dataset
            .record
            .as_ref()
            .map(|view| catalog::title::render(&view.title, dataset, &fact.values, &tables))
            .unwrap_or_default();
        Ok(VersionsView {
            banner: self.banner_of(card, place, &known, &tables),
            title,
            href: place.event(&dataset.code, fact.id),
            now: fact.version,
            versions,
        })
    }
}

// A value of a kept row as `facts::plain` writes it.
fn plain_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => match text.as_bytes().get(10) {
            // A time: `2025-03-04T14:05:06`.
            Some(b'T') if text.len() >= 19 => text.replacen('T', " ", 1),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

fn changes(
    dataset: &Dataset,
    then: &[String],
    after: &[String],
    tables: &CodeTables,
) -> Vec<(String, String, String)> {
    let listed = fields::listed(dataset);
    let same =
        |a: &str, b: &str| a == b || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b);
    (0..dataset.fields.len())
        .filter(|field| Some(*field) != dataset.revision && !same(&then[*field], &after[*field]))
        .map(|field| {
            let hidden = match dataset.fields[field].sensitivity {
                catalog::Sensitivity::Restricted => true,
                catalog::Sensitivity::Identifying => !listed.contains(&field),
                catalog::Sensitivity::Ordinary => false,
            };
            let named = |text: &str| match &dataset.fields[field].kind {
                _ if hidden && !text.is_empty() => fields::RESTRICTED.to_owned(),
                catalog::FieldKind::Code { table, .. } => tables.display(table, text).to_owned(),
                _ => text.to_owned(),
            };
            (fields::title(dataset, field).to_owned(), named(&then[field]), named(&after[field]))
        })
        .collect()
}

type Below = [(Arc<Dataset>, Vec<usize>, Vec<Fact>)];

fn part(place: &Place, dataset: &Dataset, rows: &[Fact], below: &Below, tables: &CodeTables) -> Part {
    let view = dataset.record.as_ref();
    let title = view.map_or_else(|| dataset.name.clone(), |v| v.label.clone());
    let body = if view.is_some_and(|v| v.summary == "result") {
        Body::Results(rows.iter().filter_map(|row| laboratory::row(dataset, row, tables)).collect())
    } else if view.is_some_and(|v| v.entry == EntryKind::Timeline) {
        Body::Links(
            rows.iter()
                .map(|row| {
                    let title = view
                        .map(|v| catalog::title::render(&v.title, dataset, &row.values, tables))
                        .filter(|t| !t.is_empty());
                    (title.unwrap_or_else(|| dataset.name.clone()), place.event(&dataset.code, row.id))
                })
                .collect(),
        )
    } else if below.iter().any(|(_, _, found)| !found.is_empty()) || is_wide(dataset) {
        Body::Blocks(
            rows.iter()
                .map(|row| {
                    let key = facts::key_of(row, &dataset.key);
                    let parts = below
                        .iter()
                        .filter_map(|(child, columns, found)| {
                            let mine: Vec<Fact> =
                                found.iter().filter(|f| facts::key_of(f, columns) == key).cloned().collect();
                            (!mine.is_empty()).then(|| part(place, child, &mine, &[], tables))
                        })
                        .collect();
                    (fields::shown(dataset, row, tables), parts)
                })
                .collect(),
        )
    } else {
        let (columns, cells) = cells(dataset, rows, tables);
        match (dataset.field("fee_class"), dataset.field("amount")) {
            (Some(class), Some(amount)) => {
                let (classes, total) = sums(dataset, rows, class, amount, tables);
                Body::Fees { classes, total, columns, rows: cells }
            }
            _ => Body::Table { columns, rows: cells },
        }
    };
    Part { title, count: rows.len(), body }
}

// Without chosen columns a data set of many fields makes no table.
fn is_wide(dataset: &Dataset) -> bool {
    fields::listed(dataset).len() > 16
}

type Cells = Vec<(Vec<String>, bool)>;

fn cells(dataset: &Dataset, rows: &[Fact], tables: &CodeTables) -> (Vec<String>, Cells) {
    let columns = fields::columns(dataset, rows);
    let marked = dataset.record.as_ref().and_then(|v| v.abnormal.as_ref());
    let cells = rows
        .iter()
        .map(|row| {
            let bad = marked.is_some_and(|(field, codes)| {
                row.values[*field].text().is_some_and(|v| codes.iter().any(|c| c == v))
            });
            (columns.iter().map(|c| fields::text(dataset, row, *c, tables)).collect(), bad)
        })
        .collect();
    (columns.iter().map(|c| fields::title(dataset, *c).to_owned()).collect(), cells)
}

fn sums(
    dataset: &Dataset,
    rows: &[Fact],
    class: usize,
    amount: usize,
    tables: &CodeTables,
) -> (Vec<(String, usize, String)>, String) {
    let mut list: Vec<(String, usize, rust_decimal::Decimal)> = Vec::new();
    for row in rows {
        let name = match fields::text(dataset, row, class, tables) {
            name if name.is_empty() => "未分类".to_owned(),
            name => name,
        };
        let value = row.values[amount].decimal().unwrap_or_default();
        match list.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, count, sum)) => {
                *count += 1;
                *sum += value;
            }
            None => list.push((name, 1, value)),
        }
    }
    list.sort_by_key(|(_, _, sum)| std::cmp::Reverse(*sum));
    let total: rust_decimal::Decimal = list.iter().map(|(_, _, sum)| *sum).sum();
    let classes = list.into_iter().map(|(name, count, sum)| (name, count, format!("{sum:.2}"))).collect();
    (classes, format!("{total:.2}"))
}
