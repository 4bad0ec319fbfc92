//! Institutions × days: what came, what did not, how good it was. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use catalog::Catalog;
use chrono::NaiveDate;
use contracts::InstitutionCard;

use super::counts::{Count, DayCount};
use super::scope::{Expected, Span};

/// An institution's day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// What came.
    pub count: Count,
    /// Daily data sets that did not come. Empty on the present day, which is not over.
    pub missing: Vec<i16>,
    /// How many daily data sets were to come.
    pub expected: usize,
}

impl Cell {
    /// Whether nothing came although something was to come.
    pub fn is_blank(&self) -> bool {
        self.count.received == 0 && !self.missing.is_empty()
    }
}

/// An institution over the days.
#[derive(Debug, Clone)]
pub struct Line {
    /// The institution.
    pub card: Arc<InstitutionCard>,
    /// One for each day.
    pub cells: Vec<Cell>,
    /// All days together.
    pub total: Count,
}

impl Line {
    /// Data sets missing, added up over the days.
    pub fn missing(&self) -> usize {
        self.cells.iter().map(|c| c.missing.len()).sum()
    }
    /// Days on which nothing came at all although something was to come.
    pub fn blank_days(&self) -> usize {
        self.cells.iter().filter(|c| c.is_blank()).count()
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Board {
    /// The days, oldest first.
    pub days: Vec<NaiveDate>,
    /// The present day.
    pub today: NaiveDate,
    /// One for each institution, in the order given.
    pub lines: Vec<Line>,
}

impl Board {
    /// Lays counts out. What is not among `counts` did not come.
    pub fn build(
        cards: &[Arc<InstitutionCard>],
        counts: &[DayCount],
        span: Span,
        today: NaiveDate,
        expected: &Expected,
    ) -> Self {
        let days = span.days();
        let by_key: HashMap<(i64, NaiveDate), &DayCount> =
            counts.iter().map(|c| ((c.institution, c.day), c)).collect();
        let mut by_class: HashMap<&str, Vec<i16>> = HashMap::new();
        let lines = cards
            .iter()
            .map(|card| {
                let due =
                    by_class.entry(&card.sender_class).or_insert_with(|| expected.by(&card.sender_class));
                let mut total = Count::default();
                let cells = days
                    .iter()
                    .map(|day| {
                        let found = by_key.get(&(card.id.get(), *day));
                        let came = found.map(|f| f.came.as_slice()).unwrap_or_default();
                        let missing = if *day < today {
                            due.iter().filter(|d| !came.contains(d)).copied().collect()
                        } else {
                            Vec::new()
                        };
                        let count = found.map(|f| f.count).unwrap_or_default();
                        total.add(&count);
                        Cell { count, missing, expected: due.len() }
                    })
                    .collect();
                Line { card: card.clone(), cells, total }
            })
            .collect();
        Self { days, today, lines }
    }

    /// All institutions together.
    pub fn total(&self) -> Count {
        let mut total = Count::default();
        self.lines.iter().for_each(|l| total.add(&l.total));
        total
    }

    /// On the day at a position: institutions that were to send, and those of them that sent something.
    pub fn reporting(&self, position: usize) -> (usize, usize) {
        let due = self.lines.iter().filter_map(|l| l.cells.get(position)).filter(|c| c.expected > 0);
        let came = due.clone().filter(|c| c.count.received > 0).count();
        (due.count(), came)
    }

    /// The counts of all institutions on the day at a position.
    pub fn day_total(&self, position: usize) -> Count {
        let mut total = Count::default();
        self.lines.iter().filter_map(|l| l.cells.get(position)).for_each(|c| total.add(&c.count));
        total
    }

    /// Puts the lines in another order.
    pub fn sort(&mut self, order: Order, catalog: &Catalog) {
        match order {
            Order::Division => {}
            Order::Missing => {
                self.lines
                    .sort_by_key(|l| (std::cmp::Reverse(l.blank_days()), std::cmp::Reverse(l.missing())));
            }
            Order::Worst | Order::Best => {
                // Who sent nothing that could be judged is worst.
                let score = |l: &Line| l.total.score(catalog).total.unwrap_or(-1.0);
                self.lines.sort_by(|a, b| score(a).total_cmp(&score(b)));
                if order == Order::Best {
                    self.lines.reverse();
                }
            }
        }
    }
}

/// The order of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By division, then name.
    Division,
    /// Most missing first.
    Missing,
    /// Lowest score first.
    Worst,
    /// Highest score first.
    Best,
}

impl Order {
    /// From the address field `order`.
    pub fn read(text: Option<&str>) -> Self {
        match text {
            Some("missing") => Order::Missing,
            Some("worst") => Order::Worst,
            Some("best") => Order::Best,
            _ => Order::Division,
        }
    }
}
