//! What an access decision costs: `decide` and then asking what it covers, for callers with 1, 10 and 100 grants.
//!
//! `cargo bench -p minkang-kernel` prints nanoseconds for each; the aim is 5 µs at most.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use kernel::{Act, Caller, CallerKind, Grant, Id, Line, Need, Purpose, RegionCode, Span};

const ROUNDS: u32 = 50_000;

fn caller(grants: usize) -> Option<Caller> {
    let need = (Line::Medical, Act::Read);
    let county = RegionCode::parse("411503").ok()?;
    let spans =
        [Span::Institution(Id::new(7)), Span::OwnPatients, Span::Team(Id::new(3)), Span::Region(county)];
    // Half of the grants are of the line and act that is asked for, the covering one last.
    let list = (0..grants).map(|n| {
        let (line, act) = if n % 2 == 0 || n + 1 == grants { need } else { (Line::PublicHealth, Act::Write) };
        let span = if n + 1 == grants { Span::Region(county) } else { spans[n % 3] };
        Grant { line, act, span }
    });
    Some(Caller {
        name: "王丽华".to_owned(),
        role: "乡镇卫生院医生、家庭医生".to_owned(),
        institution: Some(Id::new(7)),
        institution_name: "明港镇中心卫生院".to_owned(),
        region: county,
        address: "10.1.1.1".to_owned(),
        staff_no: "D007".to_owned(),
        roles: vec!["township_doctor".to_owned(), "family_doctor".to_owned()],
        categories: vec!["std".to_owned(), "tuberculosis".to_owned(), "abortion".to_owned()],
        grants: list.collect(),
        ..Caller::blank(CallerKind::Staff)
    })
}

fn main() {
    let need = Need::new(Line::Medical, Act::Read);
    let Ok(place) = RegionCode::parse("411503102007") else { return };
    for grants in [1, 10, 100] {
        let Some(caller) = caller(grants) else { return };
        let mut covered = 0u32;
        let began = Instant::now();
        for _ in 0..ROUNDS {
            let reach = black_box(&caller).decide(need, Purpose::of("care"));
            covered +=
                u32::from(reach.is_ok_and(|r| r.covers(Id::new(99), &place) && r.covers_region(&place)));
        }
        let each = began.elapsed().as_nanos() / u128::from(ROUNDS);
        println!(
            "{grants:>4} grants: {each:>6} ns a decision with two questions ({covered} of {ROUNDS} covered)"
        );
    }
}
