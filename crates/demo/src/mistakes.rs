//! Mistakes that uploads have in real life, at documented rates.

use catalog::FieldKind;
use chrono::{Datelike, NaiveDate};

use crate::random::Random;
use crate::sheet::Row;

/// A sort of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// A recommended field is empty.
    MissingField,
    /// A local code stands in a field with a code table.
    WrongCode,
    /// Two times are exchanged.
    SwappedDates,
    /// An amount does not agree with its parts.
    WrongSum,
    /// The check digit of a citizen number is wrong.
    WrongCheckDigit,
    /// The row happened next year: it is rejected.
    FutureDate,
    /// The same row stands twice in a file.
    Duplicate,
    /// The row is sent again, corrected, some days later.
    Correction,
    /// The row is withdrawn some days later.
    Withdrawal,
    /// The whole file comes one to three days late.
    LateFile,
}

/// How often a row has a mistake, for an institution of usual care: chances in one (for [`Mistake::LateFile`] of a
/// file). [`Mistake::Correction`] follows from others: see [`CORRECTED`]. A mistake that a data set has no place for is not made.
pub const RATES: [(Mistake, f64); 9] = [
    (Mistake::MissingField, 0.020),
    (Mistake::WrongCode, 0.005),
    (Mistake::SwappedDates, 0.002),
    (Mistake::WrongSum, 0.004),
    (Mistake::WrongCheckDigit, 0.004),
    (Mistake::FutureDate, 0.0004),
    (Mistake::Duplicate, 0.003),
    (Mistake::Withdrawal, 0.0008),
    (Mistake::LateFile, 0.03),
];

/// Share of the rows with a mistake that are sent again without it.
pub const CORRECTED: f64 = 0.12;

/// The usual rate of a mistake.
#[must_use]
pub fn rate(mistake: Mistake) -> f64 {
    RATES.iter().find(|(m, _)| *m == mistake).map_or(0.0, |(_, r)| *r)
}

/// Draws at most one of the first six mistakes and makes it; what was made.
pub(crate) fn spoil(row: &mut Row<'_>, carelessness: f64, dice: &mut Random) -> Option<Mistake> {
    let mut left = dice.part() / carelessness;
    for (mistake, rate) in &RATES[..6] {
        if left < *rate {
            return make(*mistake, row, dice).then_some(*mistake);
        }
        left -= rate;
    }
    None
}

fn filled(row: &Row<'_>, columns: &[usize]) -> Vec<usize> {
    columns.iter().copied().filter(|c| !row.cell(*c).is_empty()).collect()
}

fn make(mistake: Mistake, row: &mut Row<'_>, dice: &mut Random) -> bool {
    let Some(sheet) = row.sheet else { return false };
    match mistake {
        Mistake::MissingField => {
            let columns = filled(row, &sheet.recommended);
            if columns.is_empty() {
                return false;
            }
            row.set_cell(*dice.pick(&columns), "");
        }
        Mistake::WrongCode => {
            let columns = filled(row, &sheet.codes);
            if columns.is_empty() {
                return false;
            }
            let wrong = *dice.pick(&["ZZ", "QT01", "XX9", "未知"]);
            row.set_cell(*dice.pick(&columns), wrong);
        }
        Mistake::SwappedDates => {
            let pair = sheet.orders.iter().copied().find(|(a, b)| {
                let fields = &sheet.dataset.fields;
                fields[*a].kind == FieldKind::DateTime
                    && fields[*b].kind == FieldKind::DateTime
                    && !row.cell(*a).is_empty()
                    && !row.cell(*b).is_empty()
                    && row.cell(*a) < row.cell(*b)
            });
            let Some((earlier, later)) = pair else { return false };
            let (a, b) = (row.cell(earlier).to_owned(), row.cell(later).to_owned());
            row.set_cell(earlier, b);
            row.set_cell(later, a);
        }
        Mistake::WrongSum => {
            let columns = filled(row, &sheet.sums);
            let Some(column) = columns.first().copied() else { return false };
            let Ok(amount) = row.cell(column).parse::<f64>() else { return false };
            row.set_cell(column, format_args!("{:.2}", amount + 10.0 * dice.between(1, 9) as f64));
        }
        Mistake::WrongCheckDigit => {
            let Some(column) = sheet.citizen else { return false };
            let number = row.cell(column).to_owned();
            if number.len() != 18 {
                return false;
            }
            let wrong = if number.ends_with('5') { '6' } else { '5' };
            row.set_cell(column, format_args!("{}{wrong}", &number[..17]));
        }
        Mistake::FutureDate => {
            let column = sheet.dataset.occurred;
            let text = row.cell(column).to_owned();
            let Some(date) = text.get(..10).and_then(|d| d.parse::<NaiveDate>().ok()) else { return false };
            // The 28th at most: next year has that day too.
            let next = date.with_day(date.day().min(28)).and_then(|d| d.with_year(d.year() + 1));
            let Some(next) = next else { return false };
            row.set_cell(column, format_args!("{next}{}", text.get(10..).unwrap_or_default()));
        }
        _ => return false,
    }
    true
}
