//! Where in a record a page is: whose, which tab, which filter; and the links from there.

use chrono::{NaiveDate, NaiveTime};
use kernel::Id;
use web::ui::Here;

use crate::entries::{Cursor, Entry, Filter};

/// A tab of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// 概览
    Overview,
    /// 就诊
    Visit,
    /// 检验
    Laboratory,
    /// 检查
    Examination,
    /// 用药
    Medication,
    /// 公卫服务
    PublicHealth,
    /// 预防接种
    Immunization,
    /// 文书
    Document,
}

impl Section {
    /// All of them, in the order shown.
    pub const ALL: [Section; 8] = [
        Section::Overview,
        Section::Visit,
        Section::Laboratory,
        Section::Examination,
        Section::Medication,
        Section::PublicHealth,
        Section::Immunization,
        Section::Document,
    ];

    /// As it stands in the address and in the definitions of data sets; empty for the overview.
    pub const fn code(self) -> &'static str {
        match self {
            Section::Overview => "",
            Section::Visit => "visit",
            Section::Laboratory => "laboratory",
            Section::Examination => "examination",
            Section::Medication => "medication",
            Section::PublicHealth => "public_health",
            Section::Immunization => "immunization",
            Section::Document => "document",
        }
    }

    /// The tab's title.
    pub const fn title(self) -> &'static str {
        match self {
            Section::Overview => "概览",
            Section::Visit => "就诊",
            Section::Laboratory => "检验",
            Section::Examination => "检查",
            Section::Medication => "用药",
            Section::PublicHealth => "公卫服务",
            Section::Immunization => "预防接种",
            Section::Document => "文书",
        }
    }
}

/// Where a page is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The person's page without a query.
    pub base: String,
    /// Whose record.
    pub person: i64,
    /// Whether it is shown inside a hospital's own workstation.
    pub embedded: bool,
    /// The tab.
    pub section: Section,
    /// The address, for links that change one thing.
    pub here: Here,
    /// Code of the data set that the time line is narrowed to, or empty.
    pub kind: String,
    /// The other filters; their data sets are filled in from tab and kind.
    pub filter: Filter,
}

impl Place {
    /// Out of the address.
    pub fn of(here: &Here, person: i64) -> Self {
        let embedded = here.path().starts_with("/embed/");
        let base = if embedded { format!("/embed/record/{person}") } else { format!("/record/{person}") };
        let text = |key: &str| here.get(key).map(|v| v.chars().take(100).collect::<String>());
        let section =
            Section::ALL.into_iter().find(|s| Some(s.code()) == here.get("tab")).unwrap_or(Section::Overview);
        Self {
            person,
            embedded,
            section,
            kind: text("kind").unwrap_or_default(),
            filter: Filter {
                datasets: None,
                institution: here
                    .get("institution")
                    .and_then(|v| v.parse::<i32>().ok())
                    .map(|v| Id::new(v.into())),
                department: text("department"),
                disease: text("disease"),
                after: here.get("after").and_then(Cursor::read),
            },
            here: here.at(&base).with(&[("part", "")]),
            base,
        }
    }

    /// The tab's own address.
    pub fn tab(&self, section: Section) -> String {
        Here::new(&self.base, "").with(&[("tab", section.code())]).href()
    }
    /// An event's own page.
    pub fn event(&self, dataset: &str, fact: i64) -> String {
        format!("{}/event/{dataset}/{fact}", self.base)
    }
    /// The trend of a laboratory item.
    pub fn result(&self, key: &str) -> String {
        Here::new(&format!("{}/result", self.base), "").with(&[("item", key)]).href()
    }
    /// This page with one filter changed, from the first entry on.
    pub fn filtered(&self, key: &str, value: &str) -> String {
        self.here.with(&[(key, value), ("after", "")]).href()
    }
    /// The page that begins with the newest event of a year.
    pub fn filtered_after_year(&self, year: i32) -> String {
        let after = NaiveDate::from_ymd_opt(year + 1, 1, 1)
            .map(|day| Cursor { occurred_at: day.and_time(NaiveTime::MIN), fact_id: 0 }.write());
        self.here.with(&[("after", &after.unwrap_or_default())]).href()
    }
    /// The overview narrowed to one disease.
    pub fn disease(&self, category: &str) -> String {
        Here::new(&self.base, "").with(&[("disease", category)]).href()
    }
    /// The page after this entry.
    pub fn after(&self, entry: &Entry) -> Here {
        self.here.with(&[("after", &Cursor::of(entry).write())])
    }
    /// Whether any filter is on.
    pub fn is_filtered(&self) -> bool {
        !self.kind.is_empty()
            || self.filter.institution.is_some()
            || self.filter.department.is_some()
            || self.filter.disease.is_some()
    }
    /// Where somebody who gave a purpose wanted to go: a page of this very record, else its overview.
    pub fn back(&self, wanted: &str) -> String {
        let rest = wanted.strip_prefix(&self.base);
        let within = rest.is_some_and(|r| r.is_empty() || r.starts_with(['/', '?']));
        // A redirect must not lead back to the form, nor carry what could end a header line.
        if within
            && !wanted.contains("/purpose")
            && !wanted.contains("/glass")
            && wanted.chars().all(|c| c.is_ascii_graphic())
        {
            wanted.to_owned()
        } else {
            self.base.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_within_the_record() {
        let place = Place::of(&Here::new("/record/7/purpose", ""), 7);
        for (wanted, expected) in [
            ("/record/7?tab=visit", "/record/7?tab=visit"),
            ("/record/7/event/death/3", "/record/7/event/death/3"),
            ("/record/7", "/record/7"),
            ("/record/70", "/record/7"),
            ("/record/7/purpose", "/record/7"),
            ("https://example.org/", "/record/7"),
            ("//example.org", "/record/7"),
            ("", "/record/7"),
        ] {
            assert_eq!(place.back(wanted), expected, "{wanted}");
        }
        let embedded = Place::of(&Here::new("/embed/record/7", "tab=laboratory&part=more"), 7);
        assert!(embedded.embedded && embedded.section == Section::Laboratory);
        assert_eq!(embedded.event("death", 3), "/embed/record/7/event/death/3");
        assert_eq!(embedded.filtered("kind", "death"), "/embed/record/7?tab=laboratory&kind=death");
    }
}
