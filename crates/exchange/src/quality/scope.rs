//! What a quality page looks at: institutions within reach, days, one data set or all; and what was to come.

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Catalog, Dataset};
use chrono::{Datelike, Days, NaiveDate};
use contracts::{InstitutionCard, Institutions};
use kernel::{Reach, Refusal, RegionCode, Result, Tier};
use web::ui::Here;

/// Classes of institutions by what they send.
pub const CLASSES: [(&str, &str); 5] = [
    ("hospital", "医院"),
    ("township", "乡镇卫生院"),
    ("village", "村卫生室"),
    ("maternal_child", "妇幼保健"),
    ("cdc", "疾控中心"),
];

/// The Chinese name of a class.
pub fn class_name(class: &str) -> &str {
    CLASSES.iter().find(|(code, _)| *code == class).map_or(class, |(_, name)| name)
}

/// The institutions in reach, ordered by division then name.
pub fn in_reach(institutions: &dyn Institutions, reach: &Reach) -> Vec<Arc<InstitutionCard>> {
    institutions.all().iter().filter(|c| reach.covers(c.id, &c.region)).cloned().collect()
}

/// One institution by its code; not found when out of reach.
pub fn one(institutions: &dyn Institutions, reach: &Reach, code: &str) -> Result<Arc<InstitutionCard>> {
    institutions.by_code(code).filter(|c| reach.covers(c.id, &c.region)).ok_or_else(|| {
        Refusal::not_found("institution.unknown", "没有这个机构，或不在您的权限范围内。").into()
    })
}

/// Numbers of institutions as SQL wants them.
pub fn numbers(cards: &[Arc<InstitutionCard>]) -> Vec<i32> {
    cards.iter().map(|c| c.id.get() as i32).collect()
}

/// What the filters of a page say; a value that cannot be read counts as not given.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Data set.
    pub dataset: Option<Arc<Dataset>>,
    /// Division of the county.
    pub county: Option<String>,
    /// Class of institution.
    pub class: Option<String>,
    /// Part of a name or the beginning of a code.
    pub text: String,
}

impl Choice {
    /// From the address.
    pub fn read(here: &Here, catalog: &Catalog) -> Self {
        Self {
            dataset: here.get("dataset").and_then(|d| catalog.dataset(d)).cloned(),
            county: here.get("county").map(str::to_owned),
            class: here.get("class").map(str::to_owned),
            text: here.get("q").unwrap_or_default().trim().to_owned(),
        }
    }

    /// Whether an institution is among what is looked at.
    pub fn holds(&self, card: &InstitutionCard) -> bool {
        self.holds_at(card, card.region.at(Tier::County))
    }

    /// The same for an institution that lies in this county, e.g. in the divisions of an earlier year.
    pub fn holds_at(&self, card: &InstitutionCard, county: RegionCode) -> bool {
        self.county.as_deref().is_none_or(|c| county.as_str() == c)
            && self.class.as_deref().is_none_or(|c| card.sender_class == c)
            && (self.text.is_empty() || card.name.contains(&self.text) || card.code.starts_with(&self.text))
    }
}

/// Counties of institutions, for a filter.
pub fn counties(institutions: &dyn Institutions, cards: &[Arc<InstitutionCard>]) -> Vec<(String, String)> {
    let mut counties: Vec<_> = cards.iter().map(|c| c.region.at(Tier::County)).collect();
    counties.sort();
    counties.dedup();
    counties.iter().map(|c| (c.as_str().to_owned(), institutions.region_name(c))).collect()
}

/// Classes that occur among institutions, for a filter.
pub fn classes(cards: &[Arc<InstitutionCard>]) -> Vec<(String, String)> {
    let occurs = |class: &str| cards.iter().any(|c| c.sender_class == class);
    CLASSES.iter().filter(|(c, _)| occurs(c)).map(|(c, n)| ((*c).to_owned(), (*n).to_owned())).collect()
}

/// The data sets, for a filter.
pub fn datasets(catalog: &Catalog) -> Vec<(String, String)> {
    catalog.datasets.iter().map(|d| (d.code.clone(), d.name.clone())).collect()
}

/// A span of days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First.
    pub from: NaiveDate,
    /// Last.
    pub to: NaiveDate,
}

/// The most days that a page looks at.
pub const MOST_DAYS: u64 = 366;

impl Span {
    /// So many days up to one.
    pub fn last(days: u64, to: NaiveDate) -> Self {
        Self { from: to - Days::new(days.clamp(1, MOST_DAYS) - 1), to }
    }

    /// The month of a day up to that day.
    pub fn month_to(day: NaiveDate) -> Self {
        Self { from: day.with_day(1).unwrap_or(day), to: day }
    }

    /// From the address fields `{name}_from` and `{name}_to`; what is missing comes from `otherwise`. Never longer
    /// than [`MOST_DAYS`].
    pub fn read(here: &Here, name: &str, otherwise: Span) -> Self {
        let day = |end: &str| here.get(&format!("{name}_{end}")).and_then(|d| d.parse::<NaiveDate>().ok());
        let to = day("to").unwrap_or(otherwise.to);
        let from = day("from").unwrap_or(otherwise.from).min(to);
        Self { from: from.max(Span::last(MOST_DAYS, to).from), to }
    }

    /// Every day of it.
    pub fn days(&self) -> Vec<NaiveDate> {
        self.from.iter_days().take_while(|d| *d <= self.to).collect()
    }
}

/// Which data sets each class of institution is expected to send every day.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    by_class: HashMap<String, Vec<i16>>,
    any_class: Vec<i16>,
}

impl Expected {
    /// What the catalogue expects; only of one data set when it is given.
    pub fn of(catalog: &Catalog, dataset: Option<i16>) -> Self {
        let mut expected = Expected::default();
        let daily =
            catalog.datasets.iter().filter(|d| d.expect.daily && dataset.is_none_or(|n| n == d.number));
        for d in daily {
            if d.expect.senders.is_empty() {
                expected.any_class.push(d.number);
            }
            for class in &d.expect.senders {
                expected.by_class.entry(class.clone()).or_default().push(d.number);
            }
        }
        expected
    }

    /// What a class sends every day.
    pub fn by(&self, class: &str) -> Vec<i16> {
        self.by_class.get(class).into_iter().flatten().chain(&self.any_class).copied().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_days() {
        let day = |t: &str| t.parse::<NaiveDate>().unwrap();
        let month = Span::month_to(day("2025-03-04"));
        assert_eq!(Span::last(3, day("2025-03-01")).days().len(), 3);
        assert_eq!((month.from, month.days().len()), (day("2025-03-01"), 4));
        let table = [
            ("", "2025-03-01", "2025-03-04"),
            ("d_from=2025-02-27", "2025-02-27", "2025-03-04"),
            ("d_from=2025-03-09&d_to=2025-03-02", "2025-03-02", "2025-03-02"),
            ("d_from=1925-03-09", "2024-03-04", "2025-03-04"),
            ("d_from=nonsense", "2025-03-01", "2025-03-04"),
        ];
        for (query, from, to) in table {
            let span = Span::read(&Here::new("/x", query), "d", month);
            assert_eq!((span.from, span.to), (day(from), day(to)), "{query}");
        }
    }
}
