//! Reading what a record page shows, in as few queries as there can be: the newest entries, the newest laboratory
//! results, and what the chosen tab needs beyond them.

use std::collections::BTreeMap;

use catalog::{CodeTables, EntryKind};
use contracts::PersonCard;
use kernel::access::InstitutionId;
use kernel::{Act, Need, Result};
use store::Gated;
use web::ui::{Alert, Allergies, PersonBanner, Tab, Tone};

use super::overview::{Line, Lines, Side};
use super::sections::{self, Content};
use super::{Browser, Place, Section};
use crate::banner::banner;
use crate::door::REVEAL;
use crate::entries::{self, Entry, Filter};
use crate::facts::{self, Fact};
use crate::laboratory::{self, ResultRow};
use crate::summary;

/// The need of the page where a death is recorded (`person`).
const RECORD_DEATH: Need = Need::new(kernel::Line::Medical, Act::Write);

/// Entries read at once: a decade of an ordinary life.
const ENTRIES: i64 = 400;
/// Results looked through for the latest abnormal ones.
const RESULTS: i64 = 60;
/// Events on a page of the time line.
pub const PAGE: usize = 30;

/// What a record page shows.
#[derive(Debug, Clone, Default)]
pub struct RecordView {
    /// Title of the page.
    pub title: String,
    /// The banner.
    pub banner: PersonBanner,
    /// The tabs.
    pub tabs: Vec<Tab>,
    /// What is always visible.
    pub side: Side,
    /// The chosen tab.
    pub content: Content,
    /// Protected entries that are not shown, in words; empty when there are none.
    pub hidden: String,
    /// Whether the viewer may record restrictions of this record.
    pub may_restrict: bool,
    /// Whether the viewer treats patients and may record that somebody died.
    pub may_record_death: bool,
}

/// What every page of a person starts from.
pub(super) struct Known {
    pub identities: Vec<i64>,
    pub entries: Vec<Entry>,
    /// How many of the newest entries are protected and not shown, by category.
    pub hidden: BTreeMap<String, usize>,
    /// Whether `entries` are all there are.
    pub whole: bool,
    /// Entries of the summary beyond the newest ones.
    pub older: Vec<Entry>,
    pub allergies: Vec<(String, String)>,
    /// The person's card as the viewer sees it.
    pub shown: PersonCard,
    /// Whether the viewer may see in full what is masked.
    pub may_reveal: bool,
}

/// What was read for a person's page.
pub(super) struct Gathered {
    card: PersonCard,
    known: Known,
    /// The newest laboratory results.
    results: Vec<Fact>,
    of_tab: OfTab,
    /// Of the first page of the time line.
    events: Vec<Entry>,
    may_restrict: bool,
    may_record_death: bool,
}

/// What the chosen tab needs beyond the newest entries and results.
enum OfTab {
    Nothing,
    Results(Vec<Fact>),
    Medicines { all: Vec<Entry>, orders: Vec<sections::Order> },
    Doses(Vec<sections::Dose>),
    Trends(Vec<sections::Trend>),
}

impl Known {
    fn all(&self) -> Vec<&Entry> {
        self.entries.iter().chain(&self.older).collect()
    }
}

impl Browser {
    /// The newest entries and what a life must never lose: its allergies and problems.
    pub(super) async fn known(&self, tx: &mut Gated<'_>, card: &PersonCard) -> Result<Known> {
        let identities: Vec<i64> = card.identities.iter().map(|i| i.identity_id).collect();
        let entries::Newest { entries, hidden, whole } = entries::latest(tx, &identities, ENTRIES).await?;
        let older = if whole {
            Vec::new()
        } else {
            let wanted = [&self.kinds.problems[..], &self.kinds.allergies, &self.kinds.deaths].concat();
            entries::points(tx, &identities, &wanted).await?
        };
        let allergies = self.allergies(tx, &identities, entries.iter().chain(&older)).await?;
        let caller = tx.reach().caller();
        let shown = crate::banner::masked(card, &self.ports.catalog.masks, caller);
        let may_reveal = shown != *card && caller.may(REVEAL);
        Ok(Known { identities, entries, hidden, whole, older, allergies, shown, may_reveal })
    }

    /// Allergies that hold: substance and reaction. Asks the facts, because an entry does not say which were ruled out.
    async fn allergies<'a>(
        &self,
        tx: &mut Gated<'_>,
        identities: &[i64],
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<Vec<(String, String)>> {
        let found: Vec<&Entry> = entries.filter(|e| self.kinds.allergies.contains(&e.dataset)).collect();
        let tables = self.ports.terminology.tables();
        let mut out: Vec<(String, String)> = Vec::new();
        for number in &self.kinds.allergies {
            let ids: Vec<i64> = found.iter().filter(|e| e.dataset == *number).map(|e| e.fact_id).collect();
            let Some(dataset) = self.ports.catalog.dataset_by_number(*number).filter(|_| !ids.is_empty())
            else {
                continue;
            };
            let mut facts = facts::by_ids(tx, dataset, &facts::all(dataset), &ids, identities).await?;
            facts.sort_by_key(|fact| std::cmp::Reverse(fact.occurred_at));
            let Some(view) = &dataset.record else { continue };
            for fact in facts {
                // 2: ruled out.
                if fact.text(dataset, "status") == "2" {
                    continue;
                }
                let name = catalog::title::render(&view.title, dataset, &fact.values, &tables);
                if !name.is_empty() && !out.iter().any(|(known, _)| *known == name) {
                    out.push((name, catalog::title::render(&view.detail, dataset, &fact.values, &tables)));
                }
            }
        }
        Ok(out)
    }

    /// Reads what a person's page needs; [`Browser::compose`] makes the page of it.
    pub(super) async fn gather(
        &self,
        tx: &mut Gated<'_>,
        card: &PersonCard,
        place: &Place,
    ) -> Result<Gathered> {
        let tables = self.ports.terminology.tables();
        let known = self.known(tx, card).await?;
        let results = match &self.results {
            Some((dataset, statement)) => {
                let fields = laboratory::fields(dataset);
                facts::latest_by(tx, statement.to_string(), dataset, &fields, &known.identities, RESULTS)
                    .await?
            }
            None => Vec::new(),
        };
        let of_tab = match place.section {
            Section::Laboratory => OfTab::Results(self.all_results(tx, &known.identities).await?),
            Section::Medication => OfTab::Medicines {
                all: entries::of_datasets(tx, &known.identities, &self.kinds.medicines, 2000).await?,
                orders: self.orders(tx, &known.identities, &tables).await?,
            },
            Section::Immunization => OfTab::Doses(self.doses(tx, &known.identities, place, &tables).await?),
            Section::PublicHealth => OfTab::Trends(self.measured(tx, &known.identities, place).await?),
            _ => OfTab::Nothing,
        };
        let events = match place.section {
            Section::Medication | Section::Immunization => Vec::new(),
            _ => self.events(tx, &known, place).await?,
        };
        Ok(Gathered {
            card: card.clone(),
            known,
            results,
            of_tab,
            events,
            may_restrict: tx.reach().caller().may(crate::guard::RESTRICT),
            may_record_death: tx.reach().caller().may(RECORD_DEATH),
        })
    }

    /// A person's page. Reads nothing: it is made while the audit entry is written.
    pub(super) fn compose(&self, place: &Place, gathered: Gathered) -> RecordView {
        let tables = self.ports.terminology.tables();
        let Gathered { card, known, results, of_tab, events, may_restrict, may_record_death } = gathered;
        let side = self.side(&known, &self.rows(&results, &tables), &tables);
        let banner = self.banner_with(&card, place, &known, &side.problems, &tables);
        let lines = |events| self.lines(&known, place, events, &tables);
        let content = match of_tab {
            OfTab::Results(facts) => Content::Laboratory {
                items: laboratory::by_item(self.rows(&facts, &tables)),
                reports: lines(events),
            },
            OfTab::Medicines { all, orders } => {
                let medicines = summary::medicines(&all, &self.kinds);
                Content::Medication {
                    current: summary::current(&medicines, &known.entries).len(),
                    medicines: medicines.into_iter().map(|m| (self.institution(m.institution), m)).collect(),
                    orders,
                }
            }
            OfTab::Doses(doses) => Content::Immunization { doses },
            OfTab::Trends(trends) => Content::Events { trends, lines: lines(events) },
            OfTab::Nothing => Content::Events { trends: Vec::new(), lines: lines(events) },
        };
        RecordView {
            title: format!("{}的健康档案", crate::banner::name(&known.shown)),
            banner,
            tabs: self.tabs(place, &known),
            side,
            content,
            hidden: self.hidden(&known),
            may_restrict,
            may_record_death,
        }
    }

    /// What is not shown, e.g. `3 条受保护的记录`. Which category it is would tell what is protected.
    fn hidden(&self, known: &Known) -> String {
        match known.hidden.values().sum::<usize>() {
            0 => String::new(),
            count => format!("有 {count} 条受保护的记录未显示"),
        }
    }

    /// The next lines of a time line.
    pub(super) async fn more(&self, tx: &mut Gated<'_>, card: &PersonCard, place: &Place) -> Result<Lines> {
        let identities: Vec<i64> = card.identities.iter().map(|i| i.identity_id).collect();
        let events = entries::events(tx, &identities, &self.filter(place), PAGE as i64 + 1).await?;
        Ok(self.page_of(place, events))
    }

    /// The banner of a page that shows nothing else of the summary.
    pub(super) fn banner_of(
        &self,
        card: &PersonCard,
        place: &Place,
        known: &Known,
        tables: &CodeTables,
    ) -> PersonBanner {
        let problems = summary::problems(&known.all(), &self.kinds, tables);
        self.banner_with(card, place, known, &problems, tables)
    }

    fn banner_with(
        &self,
        card: &PersonCard,
        place: &Place,
        known: &Known,
        problems: &[summary::Problem],
        tables: &CodeTables,
    ) -> PersonBanner {
        let allergies = if known.allergies.is_empty() {
            Allergies::Unrecorded
        } else {
            Allergies::Known(known.allergies.iter().map(|(name, _)| name.clone()).collect())
        };
        let all = known.all();
        let today = self.ports.clock.today();
        let mut alerts = summary::alerts(card, problems, &all, &self.kinds, today);
        if card.identities.len() > 1 {
            alerts.push(Alert {
                tone: Tone::Neutral, text: format!("{} 家机构建档", institutions_of(card))
            });
        }
        let region = self.ports.institutions.region_name(&card.region);
        let reveal = known.may_reveal.then(|| format!("{}/reveal", place.base));
        banner(&known.shown, today, tables, region, Some(place.base.clone()), reveal, allergies, alerts)
    }

    fn side(&self, known: &Known, results: &[ResultRow], tables: &CodeTables) -> Side {
        let all = known.all();
        let medicines = summary::medicines(&known.entries, &self.kinds);
        Side {
            problems: summary::problems(&all, &self.kinds, tables),
            medicines: summary::current(&medicines, &known.entries).into_iter().cloned().collect(),
            allergies: known.allergies.clone(),
            abnormal: laboratory::latest_abnormal(results).into_iter().cloned().collect(),
            measures: summary::measures(&known.entries, &self.kinds)
                .into_iter()
                .map(|m| (self.code_of(m.dataset).to_owned(), m))
                .collect(),
        }
    }

    /// Laboratory results as rows; those without a value are left out.
    fn rows(&self, facts: &[Fact], tables: &CodeTables) -> Vec<ResultRow> {
        let Some((dataset, _)) = &self.results else { return Vec::new() };
        facts.iter().filter_map(|fact| laboratory::row(dataset, fact, tables)).collect()
    }

    async fn all_results(&self, tx: &mut Gated<'_>, identities: &[i64]) -> Result<Vec<Fact>> {
        let Some((dataset, _)) = &self.results else { return Ok(Vec::new()) };
        facts::latest(tx, dataset, &laboratory::fields(dataset), identities, 3000).await
    }

    /// The filter of the time line: tab and kind as data sets.
    fn filter(&self, place: &Place) -> Filter {
        let of_section = |code: &str| {
            self.ports
                .catalog
                .datasets
                .iter()
                .filter(|d| d.record.as_ref().is_some_and(|v| code.is_empty() || v.section == code))
                .map(|d| d.number)
                .collect::<Vec<i16>>()
        };
        let datasets = match (place.section, self.ports.catalog.dataset(&place.kind)) {
            (_, Some(dataset)) => Some(vec![dataset.number]),
            (Section::Overview, None) => None,
            (section, None) => Some(of_section(section.code())),
        };
        Filter { datasets, ..place.filter.clone() }
    }

    /// The events of the time line's first page, and one more if there is another page.
    async fn events(&self, tx: &mut Gated<'_>, known: &Known, place: &Place) -> Result<Vec<Entry>> {
        let filter = self.filter(place);
        let events: Vec<Entry> =
            known.entries.iter().filter(|e| filter.passes(e)).take(PAGE + 1).cloned().collect();
        if events.len() <= PAGE && !known.whole {
            return entries::events(tx, &known.identities, &filter, PAGE as i64 + 1).await;
        }
        Ok(events)
    }

    fn lines(&self, known: &Known, place: &Place, events: Vec<Entry>, tables: &CodeTables) -> Lines {
        let mut lines = self.page_of(place, events);
        lines.choices = self.choices(known, place, tables);
        lines
    }

    fn page_of(&self, place: &Place, mut events: Vec<Entry>) -> Lines {
        let next = (events.len() > PAGE).then(|| {
            events.truncate(PAGE);
            events.last().map(|last| place.after(last))
        });
        Lines {
            events: events.iter().filter_map(|entry| self.line(place, entry)).collect(),
            next: next.flatten(),
            ..Lines::default()
        }
    }

    /// An entry as a line of the time line; `None` when its data set is no longer defined.
    pub(super) fn line(&self, place: &Place, entry: &Entry) -> Option<Line> {
        let dataset = self.ports.catalog.dataset_by_number(entry.dataset)?;
        let view = dataset.record.as_ref()?;
        Some(Line {
            date: entry.day().to_string(),
            time: entry.time(),
            icon: view.icon.clone(),
            kind: view.label.clone(),
            title: if entry.title.is_empty() { view.label.clone() } else { entry.title.clone() },
            detail: entry.detail.clone(),
            abnormal: entry.abnormal,
            institution: self.institution(entry.institution),
            href: place.event(&dataset.code, entry.fact_id),
        })
    }

    /// Chips and choices, counted over the entries at hand.
    fn choices(&self, known: &Known, place: &Place, tables: &CodeTables) -> sections::Choices {
        let within = Filter { after: None, ..self.filter(place) };
        let of_tab = Filter {
            datasets: self.filter(&Place { kind: String::new(), ..place.clone() }).datasets,
            ..Filter::default()
        };
        let label = |number: i16| {
            let dataset = self.ports.catalog.dataset_by_number(number)?;
            Some((dataset.code.clone(), dataset.record.as_ref()?.label.clone()))
        };
        sections::choices(
            known.entries.iter().filter(|e| e.timeline && of_tab.passes(e)),
            &within,
            known.whole,
            label,
            |institution| self.institution(institution),
            |category| tables.display("icd10", category).to_owned(),
        )
    }

    fn tabs(&self, place: &Place, known: &Known) -> Vec<Tab> {
        let mut counts = [0_u64; Section::ALL.len()];
        for entry in known.entries.iter().filter(|e| e.timeline || self.kinds.medicines.contains(&e.dataset))
        {
            let section = self.ports.catalog.dataset_by_number(entry.dataset).and_then(|d| d.record.as_ref());
            if let Some(index) =
                section.and_then(|view| Section::ALL.iter().position(|s| s.code() == view.section))
            {
                counts[index] += 1;
            }
        }
        Section::ALL
            .into_iter()
            .zip(counts)
            .map(|(section, count)| Tab {
                title: section.title().to_owned(),
                href: place.tab(section),
                count: (known.whole && section != Section::Overview).then_some(count),
                current: section == place.section,
            })
            .collect()
    }

    /// The short name of an institution.
    pub(super) fn institution(&self, id: InstitutionId) -> String {
        match self.ports.institutions.by_id(id) {
            Some(card) if !card.short_name.is_empty() => card.short_name.clone(),
            Some(card) => card.name.clone(),
            None => "（已注销机构）".to_owned(),
        }
    }

    fn code_of(&self, number: i16) -> &str {
        self.ports.catalog.dataset_by_number(number).map_or("", |d| d.code.as_str())
    }

    /// Orders of medicines during stays in hospital: data sets of the tab that are shown inside their parents.
    async fn orders(
        &self,
        tx: &mut Gated<'_>,
        identities: &[i64],
        tables: &CodeTables,
    ) -> Result<Vec<sections::Order>> {
        let mut out = Vec::new();
        for dataset in &self.ports.catalog.datasets {
            let Some(view) = dataset
                .record
                .as_ref()
                .filter(|v| v.section == Section::Medication.code() && v.entry == EntryKind::Part)
            else {
                continue;
            };
            // Prescriptions are shown by their items.
            let Some(drug) = dataset.field("drug_code") else { continue };
            let facts = facts::latest(tx, dataset, &facts::all(dataset), identities, 300).await?;
            let is_drug =
                |fact: &&Fact| !fact.values[drug].is_null() || fact.text(dataset, "item_kind") == "01";
            out.extend(facts.iter().filter(is_drug).map(|fact| {
                sections::Order {
                    name: catalog::title::render(&view.title, dataset, &fact.values, tables),
                    usage: catalog::title::render(&view.detail, dataset, &fact.values, tables),
                    from: fact.occurred_at.date(),
                    until: fact
                        .value(dataset, "stopped_at")
                        .and_then(catalog::Value::date)
                        .map(|d| d.to_string())
                        .unwrap_or_default(),
                    institution: self.institution(fact.institution),
                }
            }));
        }
        Ok(out)
    }
}

fn institutions_of(card: &PersonCard) -> usize {
    let mut ids: Vec<InstitutionId> = card.identities.iter().map(|i| i.institution).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}
