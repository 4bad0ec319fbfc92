//! What people fall ill with, by season, age and sex, and what is done about it.

mod acute;
mod admission;
mod chronic;

pub use acute::AILMENTS;
pub use admission::{ADMISSIONS, Admission, DELIVERIES};
pub use chronic::{CHRONIC, Chronic, DIABETES, HYPERTENSION};

use crate::imaging::Image;
use crate::laboratory::Panel;

/// When in the year an illness comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// Any time.
    Always,
    /// Cold months.
    Winter,
    /// Warm months.
    Summer,
    /// Early summer and autumn.
    Children,
}

impl Season {
    /// How much commoner than on average it is in a month (1 to 12).
    #[must_use]
    pub fn weight(self, month: u32) -> f64 {
        let month = (month as usize + 11) % 12;
        match self {
            Season::Always => 1.0,
            Season::Winter => [2.4, 1.9, 1.2, 0.8, 0.5, 0.3, 0.3, 0.3, 0.4, 0.7, 1.2, 2.0][month],
            Season::Summer => [0.4, 0.4, 0.6, 0.8, 1.1, 1.6, 2.1, 2.0, 1.4, 0.8, 0.5, 0.3][month],
            Season::Children => [0.2, 0.2, 0.5, 1.4, 2.5, 2.6, 1.3, 0.6, 0.9, 1.1, 0.5, 0.2][month],
        }
    }
}

/// An illness for which people see a doctor.
#[derive(Debug)]
pub struct Ailment {
    /// ICD-10.
    pub code: &'static str,
    /// How common it is among those concerned.
    pub weight: f64,
    /// Ages, first and last.
    pub ages: (i64, i64),
    /// `Some(true)`: women only.
    pub woman: Option<bool>,
    /// Season.
    pub season: Season,
    /// 0 a village clinic will do, 1 a township centre, 2 a hospital.
    pub level: u8,
    /// Department in a hospital and in a township centre.
    pub departments: [&'static str; 2],
    /// Chief complaint; `{}` is the time it has lasted.
    pub complaint: &'static str,
    /// What the doctor finds.
    pub findings: &'static str,
    /// Advice.
    pub advice: &'static str,
    /// 0 none, 1 fever, 2 fever by bacteria.
    pub fever: u8,
    /// Medicines of which some are given.
    pub drugs: &'static [&'static str],
    /// Laboratory panels that may be asked for.
    pub panels: &'static [Panel],
    /// Imaging that may be asked for.
    pub image: Option<Image>,
    /// Code in `notifiable_disease` if it must be reported.
    pub notifiable: Option<&'static str>,
}
