//! The hunt for false merges: the people whom an index must never take for one another, many times more of them than in a
//! city, registered as carelessly as the hard level is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use benchmark::{Household, Kind, Level, Mistaken, Plan, Rates, Registration, Score, Truth};
use common::divisions;
use linkage::{Batch, Model, Options};

struct City {
    rows: Vec<Registration>,
    truth: Truth,
    names: Vec<(String, String)>,
}

/// A city with some rates changed; only the registrations that `keep` likes.
fn city(
    records: u64,
    level: Level,
    changes: &[(Kind, f64)],
    seed: u64,
    keep: impl Fn(&Registration) -> bool,
) -> City {
    let plan = Plan { records, level, seed, prefix: "4199".to_owned() };
    let rates =
        changes.iter().fold(Rates::shipped(level).unwrap(), |rates, (kind, rate)| rates.with(*kind, *rate));
    let layout = benchmark::lay_out(&plan, &divisions()).unwrap();
    let mut city = City { rows: Vec::new(), truth: Truth::default(), names: Vec::new() };
    benchmark::make(&plan, &rates, &layout, |household: &Household, row| {
        if !keep(row) {
            return Ok(());
        }
        let person = household.people.iter().find(|p| p.number == row.person).unwrap();
        city.truth.add(row, &person.name, &person.birth.to_string());
        city.names.push((person.name.clone(), person.birth.to_string()));
        city.rows.push(row.clone());
        Ok(())
    })
    .unwrap();
    city
}

/// The values of a registration by the names of the model's fields.
fn values(row: &Registration) -> [(&str, &str); 13] {
    [
        ("name", &row.name),
        ("sex", row.sex),
        ("birth_date", &row.birth_date),
        ("citizen_id", &row.citizen_id),
        ("credential_no", &row.credential_no),
        ("card_no", &row.card_no),
        ("phone", &row.phone),
        ("contact_phone", &row.contact_phone),
        ("address", &row.address),
        ("region", &row.region),
        ("ethnicity", row.ethnicity),
        ("guardian", row.guardian()),
        ("institution", &row.institution),
    ]
}

/// Learns from the registrations, without the truth, and links them.
fn link(city: &City) -> Score {
    let model = Model::china().unwrap();
    let mut batch = Batch::new(&model, city.rows.len());
    for row in &city.rows {
        batch.push(model.prepare(values(row)));
    }
    let options = Options::default();
    let trained = batch.train("hunt", &options);
    let linked = batch.link(&model.clone().with_trained(&trained), &options);
    let score = Score::of_groups(&city.truth, &linked.assignment);
    let mut groups: std::collections::HashMap<u32, Vec<usize>> = std::collections::HashMap::new();
    for (row, group) in linked.assignment.iter().enumerate() {
        groups.entry(*group).or_default().push(row);
    }
    for rows in
        groups.values().filter(|rows| rows.iter().any(|r| city.rows[*r].person != city.rows[rows[0]].person))
    {
        println!("-- taken for one:");
        for row in rows {
            let r = &city.rows[*row];
            println!(
                "{} {:?} | {} {} {} {} {} card {} {} {} {} | guardian {} | {}",
                r.person,
                city.names[*row],
                r.name,
                r.sex,
                r.birth_date,
                r.citizen_id,
                r.credential_no,
                r.card_no,
                r.phone,
                r.region,
                r.address,
                r.guardian(),
                r.kinds.iter().map(Kind::code).collect::<Vec<_>>().join(" ")
            );
        }
    }
    println!(
        "pairs {:?} P {:.5} R {:.5} {:?}",
        score.pairs,
        score.pairs.precision(),
        score.pairs.recall(),
        score.mistaken
    );
    score
}

fn none(score: &Score, forbidden: &[Mistaken]) {
    let found: Vec<_> = score.mistaken.iter().filter(|(who, _)| forbidden.contains(who)).collect();
    assert!(found.is_empty(), "{found:?}");
    // Linking nothing would be no art.
    assert!(score.pairs.recall() > 0.96, "{:.4}", score.pairs.recall());
}

/// Whether a registration is under the patient's own name: not a newborn's, not with somebody else's card or number.
fn own(row: &Registration) -> bool {
    let kinds = [Kind::NewbornRegistered, Kind::BorrowedCard, Kind::ChildUnderParent, Kind::UnknownPatient];
    !kinds.iter().any(|kind| row.kinds.has(*kind))
}

/// Whether it says enough for anybody to tell twins apart: a number, or the whole name and the family's telephone and door.
fn tells(row: &Registration) -> bool {
    let door = ![Kind::AddressMissing, Kind::AddressTownship, Kind::AddressVariant]
        .iter()
        .any(|k| row.kinds.has(*k));
    let phone = !row.phone.is_empty() && !row.kinds.has(Kind::PhoneShared);
    !row.citizen_id.is_empty() || (phone && door)
}

/// Ten times as many twins as are born; their names share a character, their numbers follow one another, their homes and
/// telephones are the same.
#[test]
fn twins_are_two_people() {
    let city = city(20_000, Level::Hard, &[(Kind::Twin, 0.15)], 3, |row| own(row) && tells(row));
    none(&link(&city), &[Mistaken::Twins, Mistaken::Household]);
}

/// Twenty-five times as many people of one village, name and day of birth as at the hard level, each registered with a number
/// or a card. (Without either, at another door and telephone, they cannot be told from somebody who moved.)
#[test]
fn namesakes_of_one_village_are_two_people() {
    let numbered =
        |row: &Registration| own(row) && !(row.citizen_id.is_empty() && row.credential_no.is_empty());
    let city = city(20_000, Level::Hard, &[(Kind::Namesake, 0.01)], 4, numbered);
    none(&link(&city), &[Mistaken::Namesakes, Mistaken::Strangers]);
}

/// Seventeen times as many borrowed cards: the chain through a card and, in a third of them, through the lender's number.
#[test]
fn who_borrows_a_card_stays_who_they_are() {
    let city = city(20_000, Level::Hard, &[(Kind::BorrowedCard, 0.05)], 5, |row| !row.kinds.has(Kind::Twin));
    none(&link(&city), &[Mistaken::Borrowed, Mistaken::Household]);
}

/// Everybody's children are registered at birth, all of them under the mother's number, and later one in ten again.
#[test]
fn a_newborn_is_not_its_mother() {
    let changes =
        [(Kind::NewbornRegistered, 1.0), (Kind::NewbornUnderMother, 1.0), (Kind::ChildUnderParent, 0.1)];
    let city = city(20_000, Level::Hard, &changes, 7, |row| !row.kinds.has(Kind::Twin));
    none(&link(&city), &[Mistaken::UnderParent, Mistaken::Household]);
}

/// The hard level as it is: fathers and sons, couples, sisters with one telephone and one door.
#[test]
fn a_household_is_not_one_person() {
    let score = link(&city(20_000, Level::Hard, &[], 6, |_| true));
    none(&score, &[Mistaken::Household, Mistaken::Borrowed, Mistaken::UnderParent, Mistaken::Strangers]);
    assert!(score.pairs.precision() > 0.999, "{:.5}", score.pairs.precision());
}
