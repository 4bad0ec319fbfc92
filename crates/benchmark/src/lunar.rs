//! The lunar calendar, as near as a generator needs it: which lunar day somebody calls their birthday.
//!
//! New moons by the mean lunation with the two largest corrections of Meeus (right to about two hours, so one date in
//! twelve may be a day off), months numbered by where the sun stands. That is how people
//! who tell a lunar birthday are off, too.

use chrono::{Datelike, NaiveDate};

/// Days of a mean lunation.
const LUNATION: f64 = 29.530_588_861;

/// The Julian day at noon of a date.
fn julian(date: NaiveDate) -> f64 {
    f64::from(date.num_days_from_ce()) + 1_721_424.5 + 0.5
}

/// The Julian day of the `number`-th new moon since January 2000, in China's time.
fn new_moon(number: f64) -> f64 {
    let centuries = number / 1_236.85;
    let radians = std::f64::consts::PI / 180.0;
    let sun = (2.5534 + 29.105_356_70 * number) * radians;
    let moon = (201.5643 + 385.816_935_28 * number) * radians;
    2_451_550.097_66 + LUNATION * number + 0.000_154_37 * centuries * centuries - 0.407_2 * moon.sin()
        + 0.172_41 * sun.sin()
        + 8.0 / 24.0
}

/// Where the sun stands among the stars on a Julian day, in degrees, to a hundredth.
fn sun(day: f64) -> f64 {
    let days = day - 2_451_545.0;
    let anomaly = (357.528 + 0.985_600_3 * days).to_radians();
    280.460 + 0.985_647_4 * days + 1.915 * anomaly.sin() + 0.020 * (2.0 * anomaly).sin()
}

/// Month (1 to 12) and day (1 to 30) of the lunar calendar; leap months are called by the month before them.
#[must_use]
pub fn lunar(date: NaiveDate) -> (u32, u32) {
    // China's midnight is half a day before the Julian day's whole number.
    let today = julian(date) - 0.5;
    let mut number = ((today - 2_451_550.1) / LUNATION).round();
    while (new_moon(number) - 0.5).floor() + 0.5 > today {
        number -= 1.0;
    }
    while (new_moon(number + 1.0) - 0.5).floor() + 0.5 <= today {
        number += 1.0;
    }
    let first = (new_moon(number) - 0.5).floor() + 0.5;
    let day = (today - first) as u32 + 1;
    // The first month holds the moment at which the sun stands at 330 degrees (雨水), each further one 30 degrees more.
    let last = (new_moon(number + 1.0) - 0.5).floor() + 0.5 - 8.0 / 24.0;
    let months = ((sun(last) - 330.0).rem_euclid(360.0) / 30.0).floor() as i64;
    (months.rem_euclid(12) as u32 + 1, day.clamp(1, 30))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (solar, month, day) in [
            ((2000, 2, 5), 1, 1),
            ((2024, 2, 10), 1, 1),
            ((2023, 9, 29), 8, 15),
            ((2025, 10, 6), 8, 15),
            ((1990, 1, 27), 1, 1),
            ((1960, 1, 28), 1, 1),
            ((2026, 2, 17), 1, 1),
            ((2021, 6, 14), 5, 5),
        ] {
            let date = NaiveDate::from_ymd_opt(solar.0, solar.1, solar.2).unwrap();
            let (m, d) = lunar(date);
            assert_eq!(m, month, "{date}");
            assert!(d.abs_diff(day) <= 1, "{date}: {d}");
        }
    }
}
