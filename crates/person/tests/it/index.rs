//! The index against a real PostgreSQL: evidence, order of arrival, what happens at once, acts of people and their undo.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Demographics, InstitutionCard, Institutions, NewInstitution, PersonCards};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Clock, Line, Need, Purpose, Reach, RegionCode, Result, Span};
use person::MasterIndex;
use person::operations::{Done, Order};
use person::review::{Decided, Outcome};
use person::special::Special;
use store::Db;
use testkit::TestDb;

use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

/// No institutions.
pub struct Nobody;

impl Institutions for Nobody {
    fn by_id(&self, _: InstitutionId) -> Option<std::sync::Arc<InstitutionCard>> {
        None
    }
    fn by_code(&self, _: &str) -> Option<std::sync::Arc<InstitutionCard>> {
        None
    }
    fn all(&self) -> std::sync::Arc<Vec<std::sync::Arc<InstitutionCard>>> {
        std::sync::Arc::default()
    }
    fn region_name(&self, code: &RegionCode) -> String {
        code.to_string()
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        Box::pin(async { Err(kernel::Error::fault("register", "not here")) })
    }
}

pub fn everywhere(name: &str) -> Reach {
    Caller::system(name).decide(Need::new(Line::System, Act::Manage), Purpose::of("background")).unwrap()
}

/// Somebody who signed in, with the whole country in reach.
fn officer(account: i64, name: &str) -> Reach {
    let caller = Caller {
        account: Some(kernel::Id::new(account)),
        name: name.into(),
        grants: vec![kernel::Grant {
            line: Line::Administration,
            act: Act::Manage,
            span: Span::Region(RegionCode::NATION),
        }],
        ..Caller::blank(kernel::CallerKind::Staff)
    };
    caller.decide(Need::new(Line::Administration, Act::Manage), Purpose::of("background")).unwrap()
}

fn with_phone(row: Demographics, phone: &str) -> Demographics {
    Demographics { phone: phone.into(), region: "411503102001".into(), ..row }
}

/// People who have nothing in common.
pub fn somebody(n: usize) -> Demographics {
    let family = ["欧阳", "司徒", "王", "李", "赵", "钱", "孙", "周", "吴", "郑", "冯", "陈", "楚", "魏"];
    let given = ["建国", "雅", "德胜", "秀兰", "志强", "桂英", "俊", "玉珍", "海涛", "丽华", "云飞"];
    let birth = format!("19{}-{:02}-{:02}", 40 + n * 7 % 59, 1 + n * 5 % 12, 1 + n * 11 % 28);
    let name = format!("{}{}", family[n % family.len()], given[n % given.len()]);
    let row = registration("", &name, if n.is_multiple_of(2) { "1" } else { "2" }, &birth, "");
    Demographics {
        phone: format!("1{}{:08}", 30 + n % 60, n as u64 * 48_271_073 % 100_000_000),
        region: format!("4115031020{:02}", 1 + n % 30),
        ..row
    }
}

/// Records by person, as the table has them.
pub async fn partition(db: &Db) -> BTreeSet<BTreeSet<i64>> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("select person_id, id from identity_record").fetch_all(db.pool()).await.unwrap();
    let mut by_person: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for (person, id) in rows {
        by_person.entry(person).or_default().insert(id);
    }
    by_person.into_values().collect()
}

async fn person_of(db: &Db, id: i64) -> i64 {
    sqlx::query_scalar("select person_id from identity_record where id = $1")
        .bind(id)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

async fn count(db: &Db, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap()
}

/// What must hold of every index, whatever was done to it.
pub async fn assert_sound(db: &Db) {
    for (what, sql) in [
        (
            "a number that two persons hold",
            "select count(*) from (select citizen_blind from person where citizen_blind is not null
                group by 1 having count(*) > 1) x",
        ),
        (
            "two numbers in one person",
            "select count(*) from (select person_id from identity_record
                where own_blind is not null and not number_disowned
                group by 1 having count(distinct own_blind) > 1) x",
        ),
        (
            "a claim that is not its person's number",
            "select count(*) from identity_record i join person p on p.id = i.person_id
                where i.claim_blind is distinct from
                      case when i.own_blind = p.citizen_blind and not i.number_disowned then i.own_blind end",
        ),
        (
            "a number without a record that has it",
            "select count(*) from person p where citizen_blind is not null and not exists (
                select from identity_record i where i.person_id = p.id and i.claim_blind = p.citizen_blind)",
        ),
        (
            "an empty person that leads nowhere",
            "select count(*) from person p where merged_into is null
                and not exists (select from identity_record i where i.person_id = p.id)",
        ),
        (
            "a person with records that is said to have been merged",
            "select count(*) from person p where merged_into is not null
                and exists (select from identity_record i where i.person_id = p.id)",
        ),
        (
            "records together that were told apart",
            "select count(*) from identity_pair p join identity_record a on a.id = p.a
                join identity_record b on b.id = p.b where p.verdict = 'apart' and a.person_id = b.person_id",
        ),
        (
            "a number that nobody holds though somebody waits for it",
            "select count(*) from identity_record i join person p on p.id = i.person_id
                where i.own_blind is not null and not i.number_disowned and p.citizen_blind is null
                  and not exists (select from person h where h.citizen_blind = i.own_blind)",
        ),
        ("a claim that was left", "select count(*) from link_claim"),
    ] {
        let found: i64 = sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap();
        assert_eq!(found, 0, "{what}");
    }
}

async fn act(db: &TestDb, index: &MasterIndex, order: Order) -> Result<Done> {
    let _ = db;
    index.operate(&everywhere("测试"), &Nobody, &order, "测试理由", testkit::clock().now()).await
}

async fn undo(index: &MasterIndex, operation: i64) -> Result<Done> {
    index.undo(&everywhere("测试"), &Nobody, operation, "撤销理由", testkit::clock().now()).await
}

#[tokio::test]
async fn evidence_links_and_doubt_is_asked() {
    let base = || registration("a", "欧阳建国", "1", "1980-03-14", "");
    let phone = "13812345678";
    let n = number("1980-03-14", 1);
    let table = [
        (
            "name, birth, phone",
            with_phone(base(), phone),
            with_phone(Demographics { local_no: "b".into(), ..base() }, phone),
            Some(true),
        ),
        (
            "one number arrives elsewhere",
            with_phone(base(), phone),
            with_phone(registration("b", "欧阳建国", "1", "1980-03-14", &n), phone),
            Some(true),
        ),
        (
            "a homophone",
            with_phone(base(), phone),
            with_phone(registration("b", "欧阳健国", "1", "1980-03-14", ""), phone),
            Some(true),
        ),
        (
            "father and son of one telephone",
            with_phone(base(), phone),
            with_phone(registration("b", "欧阳明", "1", "2006-07-01", ""), phone),
            Some(false),
        ),
        (
            "twins",
            with_phone(registration("a", "欧阳大双", "1", "2012-05-05", ""), phone),
            with_phone(registration("b", "欧阳小双", "1", "2012-05-05", ""), phone),
            Some(false),
        ),
        (
            "two valid numbers",
            with_phone(registration("a", "欧阳建国", "1", "1980-03-14", &n), phone),
            with_phone(registration("b", "欧阳建国", "1", "1980-03-14", &number("1980-03-14", 3)), phone),
            Some(false),
        ),
    ];
    for (case, first, second, one) in table {
        let (db, index) = city().await;
        let a = link(&db, &index, COUNTY_HOSPITAL, &[first]).await.unwrap()[0];
        let b = link(&db, &index, TOWNSHIP, &[second]).await.unwrap()[0];
        let together = person_of(&db, a).await == person_of(&db, b).await;
        if let Some(one) = one {
            assert_eq!(together, one, "{case}");
        }
        assert_sound(&db).await;
    }
    // Two valid numbers beside equal names, births and telephones: people are asked.
    let (db, index) = city().await;
    for (institution, serial) in [(COUNTY_HOSPITAL, 1), (TOWNSHIP, 3)] {
        let row = registration("a", "欧阳建国", "1", "1980-03-14", &number("1980-03-14", serial));
        link(&db, &index, institution, &[with_phone(row, phone)]).await.unwrap();
    }
    let open = "select count(*) from review_task where state = 'open'";
    assert_eq!(count(&db, open).await, 1);
}

#[tokio::test]
async fn later_evidence_opens_a_link_again() {
    let (db, index) = city().await;
    let phone = "13812345678";
    let (one, other) = (number("1980-03-14", 1), number("1980-03-14", 3));
    let at =
        |local: &str, id: &str| with_phone(registration(local, "欧阳建国", "1", "1980-03-14", id), phone);
    let a = link(&db, &index, COUNTY_HOSPITAL, &[at("a", &one)]).await.unwrap()[0];
    let b = link(&db, &index, TOWNSHIP, &[at("b", "")]).await.unwrap()[0];
    assert_eq!(person_of(&db, a).await, person_of(&db, b).await);
    // The second turns out to have a number of its own.
    link(&db, &index, TOWNSHIP, &[at("b", &other)]).await.unwrap();
    assert_ne!(person_of(&db, a).await, person_of(&db, b).await);
    assert_sound(&db).await;
    // It was a mistake: the number goes, and the evidence holds again.
    link(&db, &index, TOWNSHIP, &[at("b", "")]).await.unwrap();
    assert_eq!(person_of(&db, a).await, person_of(&db, b).await);
    assert_sound(&db).await;
    // A registration that becomes somebody else's altogether, or is withdrawn, leaves.
    let else_ = registration("b", "司徒雅", "2", "1951-11-30", "");
    link(&db, &index, TOWNSHIP, std::slice::from_ref(&else_)).await.unwrap();
    assert_ne!(person_of(&db, a).await, person_of(&db, b).await);
    link(&db, &index, TOWNSHIP, &[at("b", &one)]).await.unwrap();
    assert_eq!(person_of(&db, a).await, person_of(&db, b).await);
    let gone = Demographics { withdrawn: true, ..at("b", &one) };
    assert_eq!(link(&db, &index, TOWNSHIP, std::slice::from_ref(&gone)).await.unwrap(), [b]);
    assert_ne!(person_of(&db, a).await, person_of(&db, b).await);
    let unknown = Demographics { local_no: "never".into(), ..gone };
    assert_eq!(link(&db, &index, TOWNSHIP, &[unknown]).await.unwrap(), [0]);
    assert_sound(&db).await;
}

#[tokio::test]
async fn decisions_that_contradict_through_a_third_keep_apart_who_was_told_apart() {
    let (db, index) = city().await;
    let row = |n: usize| Demographics { local_no: n.to_string(), ..somebody(n) };
    let numbered = |n: usize| {
        let birth = row(n).birth_date.unwrap().to_string();
        let credential_no = number(&birth, if row(n).sex == "1" { 1 } else { 2 });
        Demographics { credential_kind: "01".into(), credential_no, ..row(n) }
    };
    let mut ids = Vec::new();
    for n in 0..3 {
        let one = [if n == 0 { numbered(n) } else { row(n) }];
        ids.push(link(&db, &index, COUNTY_HOSPITAL, &one).await.unwrap()[0]);
    }
    let mut minutes = 0;
    let mut act = async |order: Order| {
        minutes += 1;
        let now = testkit::clock().now() + chrono::TimeDelta::minutes(minutes);
        index.operate(&everywhere("测试"), &Nobody, &order, "测试理由", now).await.unwrap();
    };
    let [a, between, b] = ids[..] else { panic!("{ids:?}") };
    act(Order::Merge { into: person_of(&db, a).await, from: person_of(&db, between).await }).await;
    act(Order::Merge { into: person_of(&db, a).await, from: person_of(&db, b).await }).await;
    // A second number parts the one between, the others are told apart, the number goes: both want it by decision.
    link(&db, &index, COUNTY_HOSPITAL, &[numbered(1)]).await.unwrap();
    assert_ne!(person_of(&db, a).await, person_of(&db, between).await);
    act(Order::Unlink { record: b }).await;
    link(&db, &index, COUNTY_HOSPITAL, &[row(1)]).await.unwrap();
    assert_sound(&db).await;
    assert_eq!(person_of(&db, between).await, person_of(&db, b).await, "the later decision holds");
}

#[tokio::test]
async fn a_number_from_before_encryption_is_found_and_claimed() {
    let (db, index) = city().await;
    let n = number("1980-03-14", 1);
    let row = |local: &str| registration(local, "欧阳建国", "1", "1980-03-14", &n);
    let a = link(&db, &index, COUNTY_HOSPITAL, &[row("a")]).await.unwrap()[0];
    for sql in [
        "update identity_record set citizen_id = $1, credential_no = $1, citizen_blind = null, own_blind = null,
            claim_blind = null, credential_blind = null",
        "update person set citizen_id = $1, citizen_blind = null",
    ] {
        sqlx::query(sql).bind(&n).execute(db.pool()).await.unwrap();
    }
    let b = link(&db, &index, TOWNSHIP, &[row("b")]).await.unwrap()[0];
    assert_eq!(person_of(&db, a).await, person_of(&db, b).await);
    index.write_keys(testkit::clock().now()).await.unwrap();
    assert_sound(&db).await;
    assert_eq!(count(&db, "select count(*) from identity_record where claim_blind is not null").await, 2);
}

#[tokio::test]
async fn a_number_in_dispute_stays_with_its_holder_whoever_comes_near_the_other() {
    let (db, index) = city().await;
    let n = number("1980-03-14", 1);
    let holder = registration("a", "司徒德胜", "1", "1980-03-14", &n);
    let other = with_phone(registration("b", "欧阳建国", "1", "1980-03-14", &n), "13812345678");
    let near = with_phone(registration("c", "欧阳建国", "1", "1980-03-14", ""), "13812345678");
    let holder = link(&db, &index, COUNTY_HOSPITAL, &[holder]).await.unwrap()[0];
    let other = link(&db, &index, TOWNSHIP, &[other]).await.unwrap()[0];
    assert_eq!(count(&db, "select count(*) from review_task where kind = 'number'").await, 1);
    let near = link(&db, &index, InstitutionId::new(3), &[near]).await.unwrap()[0];
    assert_eq!(person_of(&db, near).await, person_of(&db, other).await);
    let held: i64 = count(&db, "select id from person where citizen_blind is not null").await;
    assert_eq!(held, person_of(&db, holder).await);
    assert_sound(&db).await;
}

#[tokio::test]
async fn the_order_of_arrival_does_not_matter() {
    let phone = "13812345678";
    let n = number("1980-03-14", 1);
    let rows = [
        with_phone(registration("p1", "欧阳建国", "1", "1980-03-14", &n), phone),
        with_phone(registration("p2", "欧阳建国", "1", "1980-03-14", ""), phone),
        with_phone(registration("p3", "欧阳健国", "1", "1980-03-14", ""), phone),
        registration("p4", "欧阳建国", "1", "1980-03-14", &n),
        with_phone(registration("q1", "欧阳明", "1", "2006-07-01", ""), phone),
        registration("q2", "欧阳明", "1", "2006-07-01", &number("2006-07-01", 5)),
        with_phone(registration("q3", "欧阳明", "1", "2006-07-01", &number("2006-07-01", 5)), phone),
        registration("r1", "司徒雅", "2", "1951-11-30", ""),
    ];
    let mut expected: Option<BTreeSet<BTreeSet<String>>> = None;
    let mut seed = 7_u64;
    for round in 0..8 {
        let (db, index) = city().await;
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if round == 1 {
            order.reverse();
        } else if round > 1 {
            for i in (1..order.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(i, (seed >> 33) as usize % (i + 1));
            }
        }
        for at in &order {
            let institution = InstitutionId::new(1 + *at as i64 % 3);
            link(&db, &index, institution, std::slice::from_ref(&rows[*at])).await.unwrap();
        }
        let found: Vec<(i64, String)> = sqlx::query_as("select person_id, local_no from identity_record")
            .fetch_all(db.pool())
            .await
            .unwrap();
        let mut by_person: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for (person, no) in found {
            by_person.entry(person).or_default().insert(no);
        }
        let found: BTreeSet<BTreeSet<String>> = by_person.into_values().collect();
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert_eq!(&found, expected, "in the order {order:?}"),
        }
        assert_sound(&db).await;
    }
    assert_eq!(expected.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_registrations_at_once_without_numbers_become_one_person() {
    let (db, _) = city().await;
    let mut uploads = tokio::task::JoinSet::new();
    for institution in 1..=8 {
        let db = db.db().clone();
        uploads.spawn(async move {
            let index = MasterIndex::new(db.clone());
            let rows: Vec<_> =
                (0..20).map(|n| Demographics { local_no: format!("x{n}"), ..somebody(n) }).collect();
            link(&db, &index, InstitutionId::new(institution), &rows).await
        });
    }
    while let Some(done) = uploads.join_next().await {
        assert_eq!(done.unwrap().unwrap().len(), 20);
    }
    assert_eq!(count(&db, "select count(distinct person_id) from identity_record").await, 20);
    assert_eq!(count(&db, "select count(*) from person").await, 20);
    assert_sound(&db).await;
}

#[tokio::test]
async fn what_people_decide_survives_what_comes_later() {
    let (db, index) = city().await;
    let phone = "13812345678";
    let at = |local: &str| with_phone(registration(local, "欧阳建国", "1", "1980-03-14", ""), phone);
    let a = link(&db, &index, COUNTY_HOSPITAL, &[at("a")]).await.unwrap()[0];
    let b = link(&db, &index, TOWNSHIP, &[at("b")]).await.unwrap()[0];
    let person = person_of(&db, a).await;
    assert_eq!(person_of(&db, b).await, person);
    let split = act(&db, &index, Order::Split { person, records: vec![b] }).await.unwrap();
    assert_ne!(person_of(&db, b).await, person);
    // The same registration again, changed a little: it stays where it was put.
    let again = Demographics { address: "平桥区五里店街道".into(), ..at("b") };
    link(&db, &index, TOWNSHIP, &[again]).await.unwrap();
    assert_ne!(person_of(&db, a).await, person_of(&db, b).await);
    assert_eq!(
        count(&db, "select count(*) from review_task where state = 'open'").await,
        0,
        "never asked again"
    );
    assert_sound(&db).await;
    // The undo brings back exactly what was there.
    undo(&index, split.operation).await.unwrap();
    assert_eq!(person_of(&db, b).await, person);
    assert_eq!(count(&db, "select count(*) from identity_pair").await, 0);
    assert!(undo(&index, split.operation).await.is_err(), "once only");
    assert_sound(&db).await;
    // Merged by hand, they stay together although nothing says that they are one.
    let stranger =
        link(&db, &index, TOWNSHIP, &[registration("c", "司徒雅", "2", "1951-11-30", "")]).await.unwrap()[0];
    let from = person_of(&db, stranger).await;
    let merged = act(&db, &index, Order::Merge { into: person, from }).await.unwrap();
    link(&db, &index, TOWNSHIP, &[registration("c", "司徒雅", "2", "1951-12-01", "")]).await.unwrap();
    assert_eq!(person_of(&db, stranger).await, person);
    let moved = db
        .background("a test", async |tx| {
            let card = index.card(tx, from).await?.map(|c| c.person_id);
            Ok((card, person::card::moved_to(tx, from).await?))
        })
        .await
        .unwrap();
    assert_eq!(moved, (Some(person), Some(person)), "the old address leads on");
    let told: i64 = count(&db, "select count(*) from outbox where topic = 'person.linked'").await;
    assert_eq!(told, 3, "split, undo, merge");
    undo(&index, merged.operation).await.unwrap();
    assert_eq!(person_of(&db, stranger).await, from);
    assert_sound(&db).await;
    let audited = count(&db, "select count(*) from audit_entry where act like 'person.%'").await;
    assert_eq!(audited, 4);
}

#[tokio::test]
async fn review_tasks_are_answered_once_by_two_people_where_it_is_risky() {
    let (db, index) = city().await;
    let phone = "13812345678";
    let mut ids = Vec::new();
    for (institution, serial) in [(COUNTY_HOSPITAL, 1), (TOWNSHIP, 3)] {
        let row = registration("a", "欧阳建国", "1", "1980-03-14", &number("1980-03-14", serial));
        ids.push(link(&db, &index, institution, &[with_phone(row, phone)]).await.unwrap()[0]);
    }
    let task: i64 = sqlx::query_scalar("select id from review_task").fetch_one(db.pool()).await.unwrap();
    let now = testkit::clock().now();
    let decide =
        async |who: &Reach, outcome| index.decide(who, &Nobody, task, outcome, "看过证件", now).await;
    let (li, wang) = (officer(1, "李核对"), officer(2, "王核对"));
    assert_eq!(decide(&li, Outcome::Same).await.unwrap(), Decided::Second);
    assert!(decide(&li, Outcome::Same).await.is_err(), "not by the same eyes");
    assert_eq!(decide(&wang, Outcome::Apart).await.unwrap(), Decided::Disputed);
    assert_eq!(decide(&li, Outcome::Same).await.unwrap(), Decided::Second);
    // Two valid numbers cannot be one person, whoever says so.
    let refused = decide(&wang, Outcome::Same).await.unwrap_err();
    assert!(refused.to_string().starts_with("index.two_numbers"), "{refused}");
    act(&db, &index, Order::Disown { record: ids[1] }).await.unwrap();
    let Decided::Done(operation) = decide(&wang, Outcome::Same).await.unwrap() else { panic!("not done") };
    assert_eq!(person_of(&db, ids[0]).await, person_of(&db, ids[1]).await);
    assert_sound(&db).await;
    undo(&index, operation).await.unwrap();
    assert_ne!(person_of(&db, ids[0]).await, person_of(&db, ids[1]).await);
    assert_eq!(count(&db, "select count(*) from review_task where state = 'open'").await, 1, "open again");
    let Decided::Done(_) = decide(&li, Outcome::Apart).await.unwrap() else { panic!("not done") };
    assert!(decide(&wang, Outcome::Same).await.is_err(), "answered");
    let again = registration("a", "欧阳建国", "1", "1980-03-14", &number("1980-03-14", 1));
    let again = Demographics { address: "五里店".into(), ..with_phone(again, phone) };
    link(&db, &index, COUNTY_HOSPITAL, &[again]).await.unwrap();
    assert_eq!(
        count(&db, "select count(*) from review_task where state = 'open'").await,
        0,
        "never asked again"
    );
    assert_sound(&db).await;
}

#[tokio::test]
async fn best_values_are_chosen_and_pinned() {
    let (db, index) = city().await;
    let n = number("1980-03-14", 1);
    let rows = [
        (COUNTY_HOSPITAL, with_phone(registration("a", "欧阳建国", "1", "1980-03-14", &n), "13812345678")),
        (TOWNSHIP, with_phone(registration("b", "欧阳建国", "1", "1980-03-14", &n), "13900000000")),
        (
            InstitutionId::new(3),
            with_phone(registration("c", "欧阳健国", "1", "1980-03-14", &n), "13700000000"),
        ),
    ];
    let mut ids = Vec::new();
    for (institution, row) in &rows {
        ids.push(link(&db, &index, *institution, std::slice::from_ref(row)).await.unwrap()[0]);
    }
    let person = person_of(&db, ids[0]).await;
    let card = async || {
        db.background("a test", async |tx| Ok(index.card(tx, person).await?.unwrap())).await.unwrap()
    };
    assert_eq!((card().await.name.as_str(), card().await.phone.as_str()), ("欧阳建国", "13700000000"));
    let pin = act(&db, &index, Order::Pin { record: ids[1], field: "phone".into() }).await.unwrap();
    assert_eq!(card().await.phone, "13900000000");
    let sources: serde_json::Value = sqlx::query_scalar("select sources from person where id = $1")
        .bind(person)
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!((sources["phone"].as_i64(), sources["name"].as_i64()), (Some(ids[1]), Some(ids[1])));
    undo(&index, pin.operation).await.unwrap();
    assert_eq!(card().await.phone, "13700000000");
    // Where everything comes from is the same after a merge and its undo.
    let before: Vec<serde_json::Value> =
        sqlx::query_scalar("select to_jsonb(p) - 'version' from person p order by id")
            .fetch_all(db.pool())
            .await
            .unwrap();
    let other =
        link(&db, &index, TOWNSHIP, &[registration("z", "司徒雅", "2", "1951-11-30", "")]).await.unwrap()[0];
    let from = person_of(&db, other).await;
    let merged = act(&db, &index, Order::Merge { into: person, from }).await.unwrap();
    undo(&index, merged.operation).await.unwrap();
    let after: Vec<serde_json::Value> =
        sqlx::query_scalar("select to_jsonb(p) - 'version' from person p order by id")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(after[..before.len()], before[..]);
}

#[tokio::test]
async fn special_registrations() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    let reach = everywhere("急诊");
    let mother = registration("m", "刘芳", "2", "1995-03-04", &number("1995-03-04", 2));
    let mother = link(&db, &index, COUNTY_HOSPITAL, &[mother]).await.unwrap()[0];
    let today = kernel::clock::to_china(now).date();
    let twin = |order| Special::Newborn {
        mother,
        order,
        sex: "1".into(),
        birth_date: today,
        born_at: None,
        name: String::new(),
    };
    let mut children = BTreeSet::new();
    for order in [1, 2] {
        children.insert(
            index.register_special(&reach, COUNTY_HOSPITAL, &twin(order), now).await.unwrap().person_id,
        );
    }
    assert_eq!(children.len(), 2, "twins are two");
    assert!(!children.contains(&person_of(&db, mother).await));
    assert!(index.register_special(&reach, COUNTY_HOSPITAL, &twin(0), now).await.is_err());
    let unknown =
        Special::Unknown { sex: "1".into(), age: Some(40), circumstances: "107国道车祸".into() };
    let one = index.register_special(&reach, COUNTY_HOSPITAL, &unknown, now).await.unwrap();
    let two = index.register_special(&reach, COUNTY_HOSPITAL, &unknown, now).await.unwrap();
    assert!(one.person_id != two.person_id && one.number.starts_with('U') && one.number != two.number);
    // The child gets a name and a number; people are asked whether it is one of the two.
    let own = number(&today.to_string(), 1);
    let child = Demographics {
        contact_name: "刘芳".into(),
        ..registration("k", "王小宝", "1", &today.to_string(), &own)
    };
    link(&db, &index, TOWNSHIP, &[child]).await.unwrap();
    assert!(count(&db, "select count(*) from review_task where kind = 'newborn'").await >= 1);
    assert_sound(&db).await;
}

#[tokio::test]
async fn deaths_are_written_and_taken_back_and_odd_people_are_listed() {
    let (db, index) = city().await;
    let n = number("1940-03-14", 1);
    let a = link(&db, &index, COUNTY_HOSPITAL, &[registration("a", "欧阳建国", "1", "1940-03-14", &n)])
        .await
        .unwrap()[0];
    link(&db, &index, TOWNSHIP, &[registration("b", "欧阳建国", "1", "1940-03-14", &n)]).await.unwrap();
    let died = |institution, local: &str, day: &str| {
        let row = Demographics {
            local_no: local.into(),
            died_on: Some(day.parse().unwrap()),
            ..Default::default()
        };
        (institution, row)
    };
    let person = person_of(&db, a).await;
    let known = async || -> Option<chrono::NaiveDate> {
        sqlx::query_scalar("select died_on from person where id = $1")
            .bind(person)
            .fetch_one(db.pool())
            .await
            .unwrap()
    };
    let (at, row) = died(COUNTY_HOSPITAL, "a", "2025-01-02");
    link(&db, &index, at, std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(known().await, Some("2025-01-02".parse().unwrap()));
    let now = testkit::clock().now();
    assert_eq!(index.look(now).await.unwrap().new, 0);
    let (at, second) = died(TOWNSHIP, "b", "2025-02-03");
    link(&db, &index, at, std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(index.look(now + chrono::Duration::days(1)).await.unwrap().new, 1);
    link(&db, &index, at, &[Demographics { withdrawn: true, ..second }]).await.unwrap();
    let found = index.look(now + chrono::Duration::days(2)).await.unwrap();
    assert_eq!((found.new, found.gone), (0, 1));
    link(&db, &index, COUNTY_HOSPITAL, &[Demographics { withdrawn: true, ..row }]).await.unwrap();
    assert_eq!(known().await, None);
}

#[tokio::test]
async fn a_registry_from_before_gets_its_keys_and_is_evaluated_anew_and_back() {
    let (db, index) = city().await;
    let at = |n: usize, local: &str| Demographics { local_no: local.into(), ..somebody(n) };
    // As the first linker left them: without keys, everybody a person of their own.
    for n in 0..12 {
        link(&db, &index, COUNTY_HOSPITAL, &[at(n, &format!("a{n}"))]).await.unwrap();
        sqlx::query("truncate link_key").execute(db.pool()).await.unwrap();
        link(&db, &index, TOWNSHIP, &[at(n, &format!("b{n}"))]).await.unwrap();
        sqlx::query("truncate link_key").execute(db.pool()).await.unwrap();
    }
    assert_eq!(partition(&db).await.len(), 24);
    let now = testkit::clock().now();
    assert_eq!(index.write_keys(now).await.unwrap(), 24);
    assert_eq!(index.write_keys(now).await.unwrap(), 0, "once");
    let before = partition(&db).await;
    // Two that people have told apart stay apart.
    let ids: Vec<i64> =
        sqlx::query_scalar("select id from identity_record order by id").fetch_all(db.pool()).await.unwrap();
    act(&db, &index, Order::Apart { a: ids[0], b: ids[1] }).await.unwrap();
    let run = index.start_run("relink", "测试", now).await.unwrap();
    let moves = index.propose(run, now).await.unwrap();
    assert_eq!(partition(&db).await, before, "a proposal changes nothing");
    assert_eq!(moves, 11);
    let reach = everywhere("测试");
    index.decide_run(&reach, run, true, "统计看过", now).await.unwrap();
    assert!(index.decide_run(&reach, run, true, "统计看过", now).await.is_err());
    index.apply_run(run, now).await.unwrap();
    assert_eq!(partition(&db).await.len(), 13);
    assert_eq!(index.run(run).await.unwrap().unwrap().state, "applied");
    assert_sound(&db).await;
    index.undo_run(&reach, run, "测试撤销", now).await.unwrap();
    index.undo_run_now(run, now).await.unwrap();
    assert_eq!(partition(&db).await, before);
    assert_eq!(count(&db, "select count(*) from index_change where state = 'undone'").await, 11);
    assert_sound(&db).await;
    // Learning from the registry gives a model that can be put in force.
    let run = index.start_run("train", "测试", now).await.unwrap();
    let model = index.learn(run, now).await.unwrap();
    index.put_in_force(&reach, model, "试用", now).await.unwrap();
    assert!(index.models().await.unwrap()[0].in_force);
    link(&db, &index, TOWNSHIP, &[at(50, "c")]).await.unwrap();
    let version: String =
        sqlx::query_scalar("select model_version from identity_event order by id desc limit 1")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(version, format!("registry-{run}"));
}
