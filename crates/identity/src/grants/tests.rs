//! The rules of granting: tables of cases, and what no sequence of grants may lead to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use catalog::{Catalog, Role, RoleGrant, RoleSpan};
use kernel::access::InstitutionId;
use kernel::{Act, Grant, Id, Line, RegionCode, Span};
use proptest::prelude::*;

use super::rules::*;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| catalog::shipped().expect("the shipped definitions"));

/// Two counties of a city: hospital 1, township 2 and village 4 in the first; hospital 3 in the second.
const UNITS: [(i64, &str, &str); 4] = [
    (1, "hospital", "411503"),
    (2, "township", "411503102"),
    (3, "hospital", "411502"),
    (4, "village", "411503102201"),
];

fn region(code: &str) -> RegionCode {
    RegionCode::parse(code).unwrap()
}

fn region_of(id: InstitutionId) -> RegionCode {
    UNITS.iter().find(|u| u.0 == id.get()).map_or(RegionCode::NATION, |u| region(u.2))
}

fn unit_of(post: &Post) -> &'static str {
    match post.institution {
        None => "authority",
        Some(id) => UNITS.iter().find(|u| u.0 == id.get()).map_or("", |u| u.1),
    }
}

#[allow(clippy::panic)]
fn role(code: &str) -> &'static Role {
    CATALOG.role(code).unwrap_or_else(|| panic!("no role {code}"))
}

fn at(institution: Option<i64>, code: &str) -> Post {
    Post { institution: institution.map(Id::new), region: region(code) }
}

fn outcome(giver: &str, from: Post, given: &str, to: Post, held: &[&str]) -> &'static str {
    let own = of_role(role(giver), &from, &[]);
    let held = held.iter().map(|code| role(code)).collect();
    let gift = Gift { role: role(given), post: to, unit: unit_of(&to), to_oneself: false, held };
    may_assign(&own, &gift, region_of).map_or_else(|refusal| refusal.code, |()| "given")
}

#[test]
fn who_may_give_what_where() {
    let county = at(None, "411503");
    let city = at(None, "4115");
    let hospital = at(Some(1), "411503");
    let township = at(Some(2), "411503102");
    let village = at(Some(4), "411503102201");
    let cases = [
        // A county's administrator: posts of the county, up to the own level.
        ("county_administrator", county, "township_doctor", township, "given"),
        ("county_administrator", county, "hospital_engineer", hospital, "given"),
        ("county_administrator", county, "hospital_doctor", hospital, "given"),
        ("county_administrator", county, "county_administrator", county, "given"),
        ("county_administrator", county, "village_doctor", village, "given"),
        ("county_administrator", county, "family_doctor", township, "given"),
        ("county_administrator", county, "statistics_officer", county, "given"),
        // The other county, the city, a wider division for a post at home.
        ("county_administrator", county, "hospital_doctor", at(Some(3), "411502"), "grants.post"),
        ("county_administrator", county, "county_administrator", at(None, "411502"), "grants.post"),
        ("county_administrator", county, "city_data_manager", city, "grants.post"),
        ("county_administrator", county, "hospital_doctor", at(Some(1), "4115"), "grants.beyond"),
        // Where a post cannot be held.
        ("county_administrator", county, "township_doctor", hospital, "grants.unit"),
        ("county_administrator", county, "city_data_manager", county, "grants.tier"),
        ("county_administrator", county, "commission_director", county, "grants.tier"),
        // The three administrators are granted on the line of security alone.
        ("county_administrator", county, "security_administrator", county, "grants.beyond"),
        ("county_administrator", county, "county_auditor", county, "grants.beyond"),
        ("city_administrator", city, "platform_operator", city, "grants.beyond"),
        ("security_administrator", city, "platform_operator", city, "given"),
        ("security_administrator", city, "auditor", city, "given"),
        ("security_administrator", city, "security_administrator", at(None, "411503"), "given"),
        ("security_administrator", at(None, "411503"), "county_auditor", county, "given"),
        ("security_administrator", at(None, "411503"), "auditor", city, "grants.post"),
        // Using gives nothing to grant.
        ("hospital_doctor", hospital, "hospital_nurse", hospital, "grants.post"),
        ("city_data_manager", city, "city_data_manager", city, "grants.post"),
        ("platform_operator", city, "help_desk", city, "grants.beyond"),
        ("county_director", county, "township_doctor", township, "grants.post"),
        // An institution's own administrator, and a township for its villages.
        ("hospital_administrator", hospital, "hospital_doctor", hospital, "given"),
        ("hospital_administrator", hospital, "hospital_engineer", hospital, "given"),
        ("hospital_administrator", hospital, "supervision_officer", hospital, "grants.unit"),
        ("hospital_administrator", hospital, "hospital_doctor", at(Some(3), "411502"), "grants.post"),
        ("hospital_administrator", hospital, "county_administrator", county, "grants.post"),
        ("township_administrator", township, "township_doctor", township, "given"),
        ("township_administrator", township, "village_doctor", village, "given"),
        ("township_administrator", township, "hospital_doctor", hospital, "grants.post"),
        ("township_administrator", township, "mch_officer", township, "grants.beyond"),
    ];
    for (giver, from, given, to, expected) in cases {
        assert_eq!(outcome(giver, from, given, to, &[]), expected, "{giver} gives {given} at {to:?}");
    }
}

/// No role is left that nobody could ever give: somebody of the city or a county may, at some post.
#[test]
fn every_role_can_be_given_by_somebody() {
    let places: Vec<Post> = posts()
        .into_iter()
        .chain([at(Some(1), "411503"), at(Some(2), "411503102"), at(Some(4), "411503102201")])
        .collect();
    for role in &CATALOG.roles {
        let unit_exists = role.units.is_empty()
            || role.units.iter().any(|u| u == "authority" || UNITS.iter().any(|(_, class, _)| class == u));
        let given = places.iter().any(|post| {
            ["security_administrator", "city_administrator"]
                .iter()
                .any(|giver| outcome(giver, at(None, "4115"), &role.code, *post, &[]) == "given")
        });
        assert!(given || !unit_exists, "nobody of the city can give {}", role.code);
    }
    // The unit's own administrator opens the unit's own staff.
    for (giver, from, roles) in [
        (
            "hospital_administrator",
            at(Some(1), "411503"),
            &[
                "hospital_doctor",
                "hospital_nurse",
                "infectious_doctor",
                "psychiatric_doctor",
                "technician",
                "pharmacist",
            ] as &[&str],
        ),
        (
            "township_administrator",
            at(Some(2), "411503102"),
            &["township_doctor", "township_public_health_officer"],
        ),
        (
            "county_administrator",
            at(None, "411503"),
            &["county_administrator", "statistics_officer", "county_director"],
        ),
    ] {
        for given in roles {
            assert_eq!(outcome(giver, from, given, from, &[]), "given", "{giver} gives {given}");
        }
    }
}

#[test]
fn conflicting_roles_are_refused_with_the_reason() {
    let city = at(None, "4115");
    let hospital = at(Some(1), "411503");
    let cases: [(&str, Post, &str, Post, &[&str], &str); 7] = [
        ("security_administrator", city, "auditor", city, &["platform_operator"], "grants.conflict"),
        ("security_administrator", city, "auditor", city, &["security_administrator"], "grants.conflict"),
        ("security_administrator", city, "platform_operator", city, &["auditor"], "grants.conflict"),
        ("security_administrator", city, "auditor", city, &["help_desk"], "given"),
        ("security_administrator", city, "auditor", city, &["city_administrator"], "grants.conflict"),
        (
            "security_administrator",
            city,
            "hospital_engineer",
            hospital,
            &["hospital_quality_officer"],
            "grants.conflict",
        ),
        (
            "security_administrator",
            city,
            "county_director",
            at(None, "411503"),
            &["county_administrator"],
            "grants.conflict",
        ),
    ];
    for (giver, from, given, to, held, expected) in cases {
        assert_eq!(outcome(giver, from, given, to, held), expected, "{given} beside {held:?}");
    }
    let own = of_role(role("security_administrator"), &city, &[]);
    let gift =
        |to_oneself, held| Gift { role: role("auditor"), post: city, unit: "authority", to_oneself, held };
    let three = may_assign(&own, &gift(false, vec![role("platform_operator")]), region_of).unwrap_err();
    assert!(
        three.message.contains("须由三人分别担任") && three.message.contains("系统管理员"),
        "{}",
        three.message
    );
    assert_eq!(may_assign(&own, &gift(true, vec![]), region_of).unwrap_err().code, "grants.self");
    assert_eq!(may_withdraw(&own, &gift(true, vec![]), region_of).unwrap_err().code, "grants.self");
    assert!(may_withdraw(&own, &gift(false, vec![role("platform_operator")]), region_of).is_ok());
}

#[test]
fn spans_are_resolved_against_the_post() {
    let all = Role {
        grants: RoleSpan::ALL
            .into_iter()
            .map(|span| RoleGrant { line: Line::Medical, act: Act::Read, span })
            .collect(),
        ..Role::default()
    };
    let spans = |post: &Post, teams: &[kernel::TeamId]| -> Vec<Span> {
        of_role(&all, post, teams).iter().map(|g| g.span).collect()
    };
    assert_eq!(
        spans(&at(Some(7), "411503001"), &[Id::new(5)]),
        [
            Span::Institution(Id::new(7)),
            Span::Region(region("411503001")),
            Span::Region(region("411503")),
            Span::Region(region("4115")),
            Span::Region(region("41")),
            Span::Team(Id::new(5)),
            Span::OwnPatients,
        ]
    );
    assert_eq!(spans(&at(None, "4115"), &[]).len(), 5, "nothing of no institution and of no team");
}

#[test]
fn a_client_reaches_its_own_institution_only() {
    let grants = of_client(Id::new(3), false);
    assert!(grants.iter().all(|g| g.span == Span::Institution(Id::new(3)) && g.line == Line::Exchange));
    assert_eq!(grants.len(), 2);
}

#[test]
fn exceptions_are_asked_for_use_and_decided_by_others() {
    for (line, act, administers, expected) in [
        (Line::Medical, Act::Read, false, "ok"),
        (Line::Medical, Act::Reveal, false, "ok"),
        (Line::Statistics, Act::Export, true, "ok"),
        (Line::Medical, Act::Read, true, "exception.administrator"),
        (Line::Medical, Act::Grant, false, "exception.not_for_use"),
        (Line::Administration, Act::Manage, false, "exception.not_for_use"),
        (Line::Audit, Act::Read, false, "exception.not_for_use"),
    ] {
        let said = may_ask(line, act, administers).map_or_else(|r| r.code, |()| "ok");
        assert_eq!(said, expected, "{line:?} {act:?}");
    }
    let director = of_role(role("county_director"), &at(None, "411503"), &[]);
    let hospital = of_role(role("hospital_director"), &at(Some(1), "411503"), &[]);
    let administrator = of_role(role("county_administrator"), &at(None, "411503"), &[]);
    let person = |code: &str, at: &[i64]| Target::Person {
        region: RegionCode::parse(code).unwrap_or(RegionCode::NATION),
        institutions: at.iter().map(|id| Id::new(*id)).collect(),
    };
    let cases = [
        (&director, Line::Medical, Target::Institution(Id::new(1)), false, "ok"),
        (&director, Line::Medical, Target::Institution(Id::new(1)), true, "exception.own"),
        (&director, Line::Medical, Target::Institution(Id::new(3)), false, "exception.no_right"),
        (&director, Line::Medical, Target::Region(region("4115")), false, "exception.no_right"),
        (&director, Line::Medical, person("411503102", &[]), false, "ok"),
        (&director, Line::Medical, person("411502", &[3]), false, "exception.no_right"),
        (&director, Line::Medical, person("411502", &[3, 1]), false, "ok"),
        (&director, Line::Medical, person("", &[]), false, "exception.no_right"),
        (&hospital, Line::Medical, Target::Institution(Id::new(1)), false, "ok"),
        (&hospital, Line::DiseaseControl, Target::Institution(Id::new(1)), false, "exception.no_right"),
        (&hospital, Line::Medical, Target::Region(region("411503")), false, "exception.no_right"),
        (&administrator, Line::Medical, Target::Institution(Id::new(1)), false, "exception.no_right"),
    ];
    for (own, line, target, concerned, expected) in cases {
        let said = may_decide(own, line, &target, concerned, region_of).map_or_else(|r| r.code, |()| "ok");
        assert_eq!(said, expected, "{line:?} {target:?}");
    }
}

/// Somebody of the county, with the roles they came to hold.
#[derive(Debug, Clone, Default)]
struct Holder {
    roles: Vec<(usize, Post)>,
}

impl Holder {
    fn grants(&self) -> Vec<Grant> {
        self.roles.iter().flat_map(|(r, post)| of_role(&CATALOG.roles[*r], post, &[])).collect()
    }
}

fn posts() -> Vec<Post> {
    let mut posts: Vec<Post> = UNITS.iter().map(|(id, _, code)| at(Some(*id), code)).collect();
    posts.extend(["41", "4115", "411503", "411502", "411503102"].map(|code| at(None, code)));
    // Posts for which somebody asks a wider division than the institution's own.
    posts.extend([at(Some(1), "4115"), at(Some(2), "411503"), at(Some(4), "41")]);
    posts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the staff of a county give one another, and in whatever order, nobody comes to hold a right that
    /// reaches out of the county, nobody's own rights change by their own act, and nobody carries two duties.
    #[test]
    fn no_sequence_of_grants_leads_out_of_the_county(
        steps in prop::collection::vec((0usize..6, 0usize..6, 0usize..64, 0usize..64), 1..80)
    ) {
        let county = region("411503");
        let index = |code: &str| CATALOG.roles.iter().position(|r| r.code == code).unwrap();
        let mut people = vec![Holder::default(); 6];
        // The strongest staff a county can have.
        for (who, code) in [(0, "county_administrator"), (1, "security_administrator"), (2, "county_director")] {
            people[who].roles.push((index(code), at(None, "411503")));
        }
        people[3].roles.push((index("hospital_administrator"), at(Some(1), "411503")));
        people[4].roles.push((index("township_administrator"), at(Some(2), "411503102")));
        let posts = posts();
        for (giver, receiver, which, place) in steps {
            let (which, post) = (which % CATALOG.roles.len(), posts[place % posts.len()]);
            let own = people[giver].grants();
            let held = people[receiver].roles.iter().map(|(r, _)| &CATALOG.roles[*r]).collect();
            let gift = Gift {
                role: &CATALOG.roles[which],
                post,
                unit: unit_of(&post),
                to_oneself: giver == receiver,
                held,
            };
            if may_assign(&own, &gift, region_of).is_ok() {
                prop_assert_ne!(giver, receiver);
                people[receiver].roles.push((which, post));
            }
        }
        for person in &people {
            for grant in person.grants() {
                let inside = match grant.span {
                    Span::Region(code) => county.contains(&code),
                    Span::Institution(id) => county.contains(&region_of(id)),
                    _ => true,
                };
                prop_assert!(inside, "{:?} reaches out of the county", grant);
            }
            for (_, post) in &person.roles {
                prop_assert!(post.institution.is_none_or(|id| county.contains(&region_of(id))));
            }
            let mut duties: Vec<Line> =
                person.roles.iter().filter_map(|(r, _)| CATALOG.roles[*r].duty()).collect();
            duties.sort_unstable();
            duties.dedup();
            prop_assert!(duties.len() <= 1, "{duties:?}");
        }
    }
}
