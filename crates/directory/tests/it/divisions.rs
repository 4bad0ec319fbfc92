//! Divisions: a county splits in two and last year's table is unchanged; merges, moves, undo; editions from lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::{
    DivisionHoldings, DivisionsFollowed, DivisionsMoved, InstitutionCard, Institutions, NewInstitution,
};
use directory::Directory;
use directory::divisions::import::{self, List};
use directory::divisions::plan::{PartOf, Request};
use directory::divisions::{APPROVE, Divisions, MANAGE};
use futures::future::BoxFuture;
use kernel::access::{CallerKind, Grant, Span};
use kernel::{Caller, Clock, Id, Purpose, Reach, RegionCode, Result};
use store::jobs::{Job, Jobs};
use store::{Db, DbDoing, outbox};
use testkit::{TestClock, TestDb, settle};

use crate::registries;

pub fn code(text: &str) -> RegionCode {
    RegionCode::parse(text).unwrap()
}

/// Another context that keeps something by division: households.
pub struct Households(pub Db);

impl DivisionHoldings for Households {
    fn part(&self) -> &'static str {
        "people"
    }
    fn title(&self) -> &'static str {
        "居民（人）"
    }
    fn count<'a>(&'a self, codes: &'a [String]) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as(
                "select region, count(*) from household where region = any($1) group by 1 order by 1",
            )
            .bind(codes)
            .fetch_all(self.0.pool())
            .await
            .db("count households")
        })
    }
    fn count_all<'a>(&'a self) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as("select region, count(*) from household group by 1")
                .fetch_all(self.0.pool())
                .await
                .db("count households")
        })
    }
    fn rows_of(&self, _: &RegionCode) -> Option<String> {
        None
    }
}

/// Follows as every context does: rows noted, so that the undo is exact.
async fn follow(db: Db, job: Job) -> Result<()> {
    let event: DivisionsMoved = job.read()?;
    let (from, to): (Vec<&str>, Vec<&str>) =
        event.moves.iter().map(|(f, t)| (f.as_str(), t.as_str())).unzip();
    db.transaction(async |tx| {
        if event.undo {
            sqlx::query("update household h set region = was from household_note n where n.id = h.id and operation = $1")
                .bind(event.operation_id)
                .execute(&mut **tx)
                .await
                .db("back")?;
        } else {
            sqlx::query(
                "insert into household_note select $1, id, region from household where region = any($2)",
            )
            .bind(event.operation_id)
            .bind(&from)
            .execute(&mut **tx)
            .await
            .db("note")?;
        }
        let done = sqlx::query(
            "update household h set region = m.t from unnest($1::text[], $2::text[]) as m (f, t) where h.region = m.f",
        )
        .bind(&from)
        .bind(&to)
        .execute(&mut **tx)
        .await
        .db("move")?;
        let followed = DivisionsFollowed {
            operation_id: event.operation_id,
            part: "people".into(),
            undo: event.undo,
            moved: done.rows_affected() as i64,
        };
        outbox::emit(tx, DivisionsFollowed::TOPIC, &event.operation_id.to_string(), &followed).await?;
        job.finish_in(tx).await
    })
    .await
}

/// A city of three counties under test.
pub struct City {
    pub db: TestDb,
    pub directory: Arc<Directory>,
    pub divisions: Divisions,
    pub jobs: Jobs,
    pub clock: Arc<TestClock>,
    pub institutions: BTreeMap<&'static str, Arc<InstitutionCard>>,
}

/// Two counties with townships and villages, institutions in each, some households, editions 2024 and 2025.
pub async fn city() -> City {
    let (db, directory) = registries().await;
    let clock = testkit::clock();
    let rows = [
        ("41", "河南省"),
        ("4115", "信阳市"),
        ("411502", "浉河区"),
        ("411502001", "老城街道"),
        ("411502001001", "东关居委会"),
        ("411503", "平桥区"),
        ("411503001", "五里店街道"),
        ("411503001001", "李家寨村"),
        ("411503001002", "王岗村"),
        ("411503100", "明港镇"),
        ("411503100001", "新集村"),
        ("411503101", "长台关镇"),
    ];
    let text: String = rows.iter().map(|(c, n)| format!("{c}\t{n}\n")).collect();
    let divisions =
        Divisions::new(Arc::clone(&directory), clock.clone(), vec![Arc::new(Households(db.db().clone()))]);
    sqlx::raw_sql(
        "create table household (id int primary key, region text not null);
         create table household_note (operation bigint, id int, was text);
         insert into household select n, '411503001001' from generate_series(1, 30) n;
         insert into household select n, '411503100001' from generate_series(31, 40) n;
         insert into household select n, '411503000000' from generate_series(41, 45) n;
         insert into household select n, '411502001001' from generate_series(46, 50) n;",
    )
    .execute(db.pool())
    .await
    .unwrap();
    let system = Caller::system("操作员");
    for year in [2024, 2025] {
        let list = import::read(&[text.clone().into_bytes()]).unwrap();
        divisions.import(&system, year, None, list, &code("4115"), false).await.unwrap();
    }
    let mut institutions = BTreeMap::new();
    for (key, number, region) in [
        ("hospital", "1", "411503"),
        ("cdc", "2", "411503"),
        ("township", "3", "411503100"),
        ("village", "4", "411503001001"),
        ("other", "5", "411502001"),
    ] {
        let new = NewInstitution {
            code: format!("12411503MB0000000{number}"),
            name: format!("{key}机构"),
            class: "A100".into(),
            sender_class: "hospital".into(),
            region: code(region),
            invented: true,
        };
        let id = directory.register(new).await.unwrap();
        institutions.insert(key, directory.by_id(id).unwrap());
    }
    let mut jobs = Jobs::new(db.db().clone(), clock.clone());
    divisions.register_jobs(&mut jobs);
    let own = db.db().clone();
    jobs.on("test.follow", move |job| follow(own.clone(), job));
    jobs.subscribe(DivisionsMoved::TOPIC, "test.follow");
    City { db, directory, divisions, jobs, clock, institutions }
}

/// A member of staff with every right on divisions in a region, who has just proved who they are.
pub fn officer(account: i64, region: &str) -> Caller {
    let mut caller = Caller {
        account: Some(Id::new(account)),
        name: format!("工作人员{account}"),
        role: "卫健委".into(),
        region: code(region),
        grants: kernel::Act::ALL
            .into_iter()
            .map(|act| Grant { line: kernel::Line::Administration, act, span: Span::Region(code(region)) })
            .collect(),
        ..Caller::blank(CallerKind::Staff)
    };
    caller.assurance.fresh = true;
    caller
}

fn manage(caller: &Caller) -> Reach {
    caller.decide(MANAGE, Purpose::of("administration")).unwrap()
}

fn approve(caller: &Caller) -> Reach {
    caller.decide(APPROVE, Purpose::of("administration")).unwrap()
}

impl City {
    /// Files, has it approved by somebody else, and carries it out.
    pub async fn carry_out(&self, request: &Request) -> i64 {
        let id = self
            .divisions
            .ask(&manage(&officer(1, "4115")), 2025, request, "豫民行批〔2025〕1 号")
            .await
            .unwrap();
        self.divisions.decide(&approve(&officer(2, "4115")), id, true, "").await.unwrap();
        settle(&self.jobs).await;
        id
    }

    async fn state(&self, id: i64) -> String {
        self.divisions.operation(&manage(&officer(1, "4115")), id).await.unwrap().state
    }

    /// Everything that an operation may change, as text.
    async fn everything(&self) -> String {
        sqlx::query_scalar(
            "select string_agg(line, E'\\n' order by line) from (
                 select concat_ws('|', 'region', year, code, name, parent, tier, initials, class, origin) as line from region
                 union all select concat_ws('|', 'institution', id, region) from institution
                 union all select concat_ws('|', 'household', id, region) from household
                 union all select concat_ws('|', 'change', year, from_code, to_code, share) from division_change
                 union all select concat_ws('|', 'place', institution_id, until_year, region) from institution_place) l",
        )
        .fetch_one(self.db.pool())
        .await
        .unwrap()
    }

    /// Institutions by county in the divisions of a year.
    fn table(&self, year: i16) -> BTreeMap<String, usize> {
        let mut table = BTreeMap::new();
        for card in self.directory.all().iter() {
            let county = self.directory.region_in(card, year).at(kernel::Tier::County);
            *table.entry(self.directory.region_name_in(&county, year)).or_default() += 1;
        }
        table
    }

    async fn lies(&self, key: &str) -> String {
        let card = self.directory.by_id(self.institutions[key].id).unwrap();
        card.region.prefix().to_owned()
    }
}

/// 平桥区 is split: 明港镇 and 长台关镇 become 明港区, and the centre for disease control goes along.
pub fn split(city: &City) -> Request {
    Request::Split {
        code: code("411503"),
        parts: vec![
            PartOf { code: code("411503"), name: "平桥区".into() },
            PartOf { code: code("411504"), name: "明港区".into() },
        ],
        children: vec![
            (code("411503001"), code("411503")),
            (code("411503100"), code("411504")),
            (code("411503101"), code("411504")),
        ],
        rest: code("411503"),
        institutions: vec![(city.institutions["cdc"].id.get(), code("411504"))],
        addresses: vec![],
    }
}

#[tokio::test]
async fn a_county_splits_in_two_and_last_years_table_is_unchanged() {
    let city = city().await;
    let (before, last_year) = (city.everything().await, city.table(2024));
    assert_eq!(last_year, [("信阳市平桥区".to_owned(), 4), ("信阳市浉河区".to_owned(), 1)].into());
    let preview = city.divisions.preview(&manage(&officer(1, "4115")), 2025, &split(&city)).await.unwrap();
    assert_eq!(preview.held.iter().map(|h| h.total()).collect::<Vec<_>>(), [1, 10]);

    let id = city.carry_out(&split(&city)).await;
    assert_eq!(city.state(id).await, "done");
    assert_eq!(city.lies("hospital").await, "411503");
    assert_eq!(city.lies("cdc").await, "411504");
    assert_eq!(city.lies("township").await, "411504100");
    assert_eq!(city.table(2024), last_year);
    assert_eq!(
        city.table(2025),
        [("信阳市平桥区".to_owned(), 2), ("信阳市明港区".to_owned(), 2), ("信阳市浉河区".to_owned(), 1)]
            .into()
    );
    let there: i64 = sqlx::query_scalar("select count(*) from household where region = '411504100001'")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    assert_eq!(there, 10);
    // A figure by code is asked for in the divisions of either year, by Rust and by SQL alike.
    for (own, asked, from, expected) in [
        (2024, 2025, "411503", "411503000000 0.75, 411504000000 0.25"),
        (2025, 2024, "411504", "411503000000 1"),
        (2025, 2024, "411504100001", "411503100001 1"),
        (2024, 2025, "411502", "411502000000 1"),
    ] {
        let by_sql: Vec<(String, f64)> = sqlx::query_as("select code, share from division_in($1, $2, $3)")
            .bind(code(from).as_str())
            .bind(own as i16)
            .bind(asked as i16)
            .fetch_all(city.db.pool())
            .await
            .unwrap();
        let text = |rows: Vec<(String, f64)>| {
            rows.iter().map(|(c, s)| format!("{c} {s}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(text(by_sql), expected, "{from} {own}→{asked}");
        let by_rust = city.directory.translate_division(code(from), own as i16, asked as i16);
        assert_eq!(text(by_rust.iter().map(|(c, s)| (c.as_str().to_owned(), *s)).collect()), expected);
    }

    // The undo is exact, and who came meanwhile goes home.
    let new = NewInstitution {
        code: "12411503MB00000009".into(),
        name: "新机构".into(),
        class: "A100".into(),
        sender_class: "hospital".into(),
        region: code("411504101"),
        invented: true,
    };
    let newcomer = city.directory.register(new).await.unwrap();
    city.divisions.undo(&approve(&officer(2, "4115")), id, "批复撤销").await.unwrap();
    settle(&city.jobs).await;
    assert_eq!(city.state(id).await, "undone");
    assert_eq!(city.directory.by_id(newcomer).unwrap().region, code("411503101"));
    for table in ["registry_version", "registry_entry"] {
        let delete = format!("delete from {table} where institution_id = $1");
        let delete = sqlx::AssertSqlSafe(delete);
        sqlx::query(delete).bind(newcomer.get() as i32).execute(city.db.pool()).await.unwrap();
    }
    sqlx::query("delete from institution where id = $1")
        .bind(newcomer.get() as i32)
        .execute(city.db.pool())
        .await
        .unwrap();
    assert_eq!(city.everything().await, before);
}

#[tokio::test]
async fn every_kind_of_operation_is_carried_out_and_undone_exactly() {
    let city = city().await;
    let table: Vec<(Request, &str, &str)> = vec![
        (
            Request::Merge {
                from: vec![code("411503100"), code("411503101")],
                into: code("411503100"),
                name: "明港镇".into(),
            },
            "township",
            "411503100",
        ),
        (
            Request::Merge {
                from: vec![code("411502"), code("411503")],
                into: code("411505"),
                name: "信州区".into(),
            },
            "township",
            "411505100",
        ),
        (Request::Move { codes: vec![code("411503100")], to: code("411502") }, "township", "411502100"),
        (Request::Rename { code: code("411503100"), name: "明港街道".into() }, "township", "411503100"),
        (
            Request::Abolish { code: code("411503001001"), into: Some(code("411503001002")) },
            "village",
            "411503001002",
        ),
        (Request::Abolish { code: code("411503101"), into: None }, "village", "411503001001"),
        (
            Request::Split {
                code: code("411503001001"),
                parts: vec![
                    PartOf { code: code("411503001005"), name: "李东村".into() },
                    PartOf { code: code("411503001006"), name: "李西村".into() },
                ],
                children: vec![],
                rest: code("411503001005"),
                institutions: vec![(city.institutions["village"].id.get(), code("411503001006"))],
                addresses: vec![("三组".into(), code("411503001006"))],
            },
            "village",
            "411503001006",
        ),
    ];
    for (request, who, place) in table {
        let before = city.everything().await;
        let id = city.carry_out(&request).await;
        assert_eq!(city.state(id).await, "done", "{request:?}");
        assert_eq!(city.lies(who).await, place, "{request:?}");
        let orphans: i64 = sqlx::query_scalar(
            "select count(*) from region r where tier > 1
             and not exists (select from region p where p.year = r.year and p.code = r.parent)",
        )
        .fetch_one(city.db.pool())
        .await
        .unwrap();
        assert_eq!(orphans, 0, "{request:?}");
        let lost: i64 = sqlx::query_scalar(
            "select count(*) from household h where not exists (select from region r where r.year = 2025 and r.code = h.region)",
        )
        .fetch_one(city.db.pool())
        .await
        .unwrap();
        assert_eq!(lost, 0, "{request:?}");
        city.divisions.undo(&approve(&officer(2, "4115")), id, "试办").await.unwrap();
        settle(&city.jobs).await;
        assert_eq!(city.state(id).await, "undone");
        assert_eq!(city.everything().await, before, "{request:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let city = city().await;
    let (one, two) = (officer(1, "4115"), officer(2, "4115"));
    let asked = async |caller: &Caller, request: Request| {
        let error = city.divisions.ask(&manage(caller), 2025, &request, "依据").await.unwrap_err();
        match error {
            kernel::Error::Refused(refusal) => refusal.code,
            other => panic!("{other}"),
        }
    };
    let rename = |to: &str| Request::Rename { code: code("411503"), name: to.into() };
    let merge = |from: &str, into: &str| Request::Merge {
        from: vec![code(from)],
        into: code(into),
        name: "新".into(),
    };
    let county = officer(3, "411503");
    for (caller, request, expected) in [
        (&one, rename("平桥区"), "divisions.same"),
        (&one, rename(""), "divisions.name"),
        (&one, merge("411503", "411503"), "divisions.one"),
        (&one, merge("411503", "411502001"), "divisions.tier"),
        (&one, merge("411599", "411503"), "divisions.unknown"),
        (&one, Request::Abolish { code: code("411503001"), into: None }, "divisions.not_empty"),
        (&one, Request::Abolish { code: code("411503001001"), into: None }, "divisions.held"),
        (&county, split(&city), "divisions.out_of_reach"),
        (
            &county,
            Request::Move { codes: vec![code("411503100")], to: code("411502") },
            "divisions.out_of_reach",
        ),
        (&one, Request::Move { codes: vec![code("411503001001")], to: code("411502") }, "divisions.tier"),
    ] {
        assert_eq!(asked(caller, request.clone()).await, expected, "{request:?}");
    }
    let Request::Split { code: whole, parts, rest, .. } = split(&city) else { unreachable!() };
    let forgetful = Request::Split {
        code: whole,
        parts,
        children: vec![],
        rest,
        institutions: vec![],
        addresses: vec![],
    };
    assert_eq!(asked(&one, forgetful).await, "divisions.unassigned");

    // Nobody approves their own, nothing is decided twice, and one at a time touches a division.
    let id = city.divisions.ask(&manage(&one), 2025, &split(&city), "依据").await.unwrap();
    assert!(city.divisions.decide(&approve(&one), id, true, "").await.is_err());
    assert_eq!(
        asked(&two, Request::Rename { code: code("411503100"), name: "明港".into() }).await,
        "divisions.under_way"
    );
    city.divisions.decide(&approve(&two), id, true, "").await.unwrap();
    assert!(city.divisions.decide(&approve(&two), id, true, "").await.is_err());
    settle(&city.jobs).await;

    // The undo waits for what came later, and says so.
    let later = city.carry_out(&Request::Rename { code: code("411504"), name: "明港新区".into() }).await;
    let operation = city.divisions.operation(&manage(&one), id).await.unwrap();
    let why = city.divisions.why_not_undo(&operation).await.unwrap();
    assert!(why.iter().any(|w| w.contains("明港新区")), "{why:?}");
    assert!(city.divisions.undo(&approve(&two), id, "撤").await.is_err());
    city.divisions.undo(&approve(&two), later, "撤").await.unwrap();
    settle(&city.jobs).await;
    city.divisions.undo(&approve(&two), id, "撤").await.unwrap();
    settle(&city.jobs).await;
    assert_eq!(city.state(id).await, "undone");

    // Asked for on an edition that changed meanwhile: not carried out, with the reason.
    let id = city.divisions.ask(&manage(&one), 2025, &split(&city), "依据").await.unwrap();
    sqlx::query("update region set name = '别名' where year = 2025 and code = '411503100000'")
        .execute(city.db.pool())
        .await
        .unwrap();
    city.divisions.decide(&approve(&two), id, true, "").await.unwrap();
    settle(&city.jobs).await;
    let failed = city.divisions.operation(&manage(&one), id).await.unwrap();
    assert_eq!(failed.state, "failed");
    assert!(failed.decided_note.contains("明港镇"), "{}", failed.decided_note);
}

#[tokio::test]
async fn an_edition_to_come_waits_for_its_day() {
    let city = city().await;
    let day = "2026-01-01".parse().unwrap();
    city.divisions.begin_edition(&Caller::system("操作员"), 2026, day).await.unwrap();
    assert_eq!(city.divisions.in_force().unwrap(), 2025);
    let request = Request::Move { codes: vec![code("411503100")], to: code("411502") };
    assert!(city.divisions.ask(&manage(&officer(1, "4115")), 2025, &request, "依据").await.is_err());
    let id = city.divisions.ask(&manage(&officer(1, "4115")), 2026, &request, "依据").await.unwrap();
    city.divisions.decide(&approve(&officer(2, "4115")), id, true, "").await.unwrap();
    let idle = city.jobs.run_until_idle().await.unwrap();
    assert_eq!((idle.waiting, city.state(id).await.as_str()), (1, "approved"));
    city.clock.set("2025-12-31T16:00:00Z".parse().unwrap());
    settle(&city.jobs).await;
    assert_eq!(city.state(id).await, "done");
    assert_eq!(
        (city.divisions.in_force().unwrap(), city.lies("township").await.as_str()),
        (2026, "411502100")
    );
    assert_eq!(city.table(2025)["信阳市平桥区"], 4);
    assert_eq!(city.clock.today().to_string(), "2026-01-01");
}

#[tokio::test]
async fn an_edition_is_imported_with_a_dry_run_and_a_report() {
    let city = city().await;
    let system = Caller::system("操作员");
    // Townships only: 明港镇 has another code, 长台关镇 is gone, 新镇 came, 老城街道 is renamed.
    let text = "code,name\n41,河南省\n4115,信阳市\n411502,浉河区\n411502001,老城办事处\n411502100,明港镇\n\
        411503,平桥区\n411503001,五里店街道\n411503102,新镇\nbad,坏\n";
    let list = || import::read(&[text.as_bytes().to_vec()]).unwrap();
    let before = city.everything().await;
    let dry = city.divisions.import(&system, 2026, None, list(), &code("4115"), true).await.unwrap();
    let counts = |r: &import::ImportReport| ["added", "gone", "renamed", "moved"].map(|k| r.count(k));
    assert_eq!((counts(&dry), dry.carried, dry.unread_count), ([1, 1, 1, 2], 4, 1));
    assert_eq!(city.everything().await, before);
    let report = city.divisions.import(&system, 2026, None, list(), &code("4115"), false).await.unwrap();
    assert_eq!(counts(&report), counts(&dry));
    city.clock.set("2026-02-01T00:00:00Z".parse().unwrap());
    assert_eq!(city.divisions.in_force().unwrap(), 2026);
    // What lies in codes that changed follows once somebody has approved.
    city.divisions.decide(&approve(&officer(2, "4115")), report.operation.unwrap(), true, "").await.unwrap();
    settle(&city.jobs).await;
    assert_eq!(city.lies("township").await, "411502100");
    assert_eq!(city.table(2025)["信阳市平桥区"], 4);
    // Again: nothing differs, nothing is asked for.
    let again = city.divisions.import(&system, 2026, None, list(), &code("4115"), false).await.unwrap();
    assert_eq!((counts(&again), again.operation), ([0; 4], None));
    assert!(city.divisions.import(&system, 2026, None, list(), &code("4116"), true).await.is_err());
    assert!(city.divisions.import(&system, 26, None, List::default(), &code("4115"), true).await.is_err());
}
