//! The audit trail: sealed, anchored, verified after every kind of tampering, and out of the serving role's hands.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use kernel::{Act, Caller, CallerKind, Clock, Id, Line, Need, Purpose, Refusal};
use protect::{Key, KeyState, Keyring};
use sqlx::AssertSqlSafe;
use store::audit::{self, AnchorFile, FaultKind, Keys, Report, Sealer, Span, verify};
use store::{AuditEntry, Db, migrate};
use testkit::{TestClock, TestDb};

struct Trail {
    test: TestDb,
    db: Db,
    clock: Arc<TestClock>,
    sealer: Sealer,
    folder: tempfile::TempDir,
}

impl Trail {
    async fn new() -> Self {
        let test = TestDb::create(store::MIGRATIONS, &[]).await;
        let folder = tempfile::tempdir().unwrap();
        let clock = testkit::clock();
        let (db, keys) = open(test.db().clone().with_keyring(testkit::keyring())).await;
        let sealer = Sealer::new(db.clone(), keys, AnchorFile::at(&anchors(&folder)), clock.clone());
        audit::partitions_ahead(&db, clock.now()).await.unwrap();
        Self { test, db, clock, sealer, folder }
    }

    /// Segments with `sizes` entries each, a minute apart, each anchored.
    async fn with(sizes: &[usize]) -> Self {
        let trail = Self::new().await;
        let mut n = 0;
        for size in sizes {
            for _ in 0..*size {
                n += 1;
                trail.write(n).await;
            }
            trail.seal().await;
            trail.clock.advance(TimeDelta::minutes(1));
        }
        trail
    }

    async fn write(&self, n: i64) {
        let entry = AuditEntry {
            act: "record.view",
            object_kind: "person",
            object_id: Some(n),
            person_id: Some(n),
            object_label: format!("居民{n}"),
            detail: Some(serde_json::json!({ "tab": "概览", "n": n, "x": 0.1 })),
            ..AuditEntry::default()
        };
        self.db
            .transaction(async |tx| {
                audit::record(tx, &doctor(), &Purpose::of("care"), self.clock.now(), &entry).await
            })
            .await
            .unwrap();
    }

    async fn seal(&self) {
        self.sealer.pass().await.unwrap();
        self.sealer.anchor(TimeDelta::zero()).await.unwrap();
    }

    async fn verify(&self) -> Report {
        verify(&self.db, self.sealer.keys(), self.sealer.file(), Span::default(), &|_, _| {}).await.unwrap()
    }

    /// As somebody who owns the database and has taken the triggers away.
    async fn tamper(&self, sql: &str) {
        let sql = format!("set session_replication_role = replica; {sql}; reset session_replication_role");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.db.pool()).await.unwrap();
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }
}

async fn open(db: Db) -> (Db, Keys) {
    let keys = Keys::open(&db, testkit::clock().now()).await.unwrap();
    (db.with_trail_key(keys.mac().clone()), keys)
}

/// A keyring as ours, of somebody else.
fn strangers_keys() -> Keyring {
    let key = |id, purpose, name: &str, algorithm: &str| Key {
        id,
        purpose,
        name: name.to_owned(),
        algorithm: algorithm.to_owned(),
        state: KeyState::Active,
        secret: vec![9; 32].into(),
    };
    Keyring::of(&[
        key(1, protect::Purpose::Data, "secrets", protect::cipher::AES_256_GCM),
        key(2, protect::Purpose::Sign, "audit", protect::sign::ED25519),
    ])
    .unwrap()
}

fn anchors(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("audit/anchors.log")
}

fn doctor() -> Caller {
    Caller {
        account: Some(Id::new(7)),
        name: "王丽华".into(),
        role: "乡镇卫生院医生".into(),
        address: "10.1.1.1".into(),
        session: Some(5),
        ..Caller::blank(CallerKind::Staff)
    }
}

/// Kinds, segments and entries of the faults.
fn faults(report: &Report) -> Vec<(FaultKind, Option<i64>, Option<i64>)> {
    report.faults.iter().map(|f| (f.kind, f.segment, f.entry)).collect()
}

#[tokio::test]
async fn what_is_shown_leaves_with_its_entry_or_not_at_all() {
    let trail = Trail::new().await;
    let reach =
        Caller::system("测试").decide(Need::new(Line::System, Act::Manage), Purpose::of("care")).unwrap();
    let look = async |n: i64| {
        let entry = AuditEntry { act: "record.view", object_kind: "person", ..AuditEntry::default() };
        let mut made = false;
        let page = trail.db.personal_shown(
            &reach,
            trail.clock.now(),
            async |_, _| {
                if n > 0 { Ok((n, entry)) } else { Err(Refusal::not_found("none", "没有").into()) }
            },
            |n| {
                made = true;
                format!("第 {n} 页")
            },
        );
        let page = page.await.ok();
        (page, made)
    };
    let written = async || trail.number("select count(*) from audit_entry").await;

    assert_eq!(look(1).await, (Some("第 1 页".to_owned()), true));
    assert_eq!((look(0).await, written().await), ((None, false), 1), "nothing was read: nothing is made");
    trail
        .tamper(
            "create function full_disk() returns trigger language plpgsql as 'begin raise exception ''full''; end';
             create trigger full_disk before insert on audit_entry for each row execute function full_disk()",
        )
        .await;
    assert_eq!((look(2).await, written().await), ((None, true), 1), "a page without its entry goes nowhere");
    trail.tamper("drop trigger full_disk on audit_entry").await;
    assert_eq!((look(3).await, written().await), ((Some("第 3 页".to_owned()), true), 2));
}

#[tokio::test]
async fn a_sound_trail_verifies_and_what_is_not_sealed_yet_is_no_fault() {
    let trail = Trail::with(&[3, 4]).await;
    trail.write(8).await;
    let report = trail.verify().await;
    assert!(report.sound(), "{report:?}");
    assert_eq!((report.segments, report.entries, report.unsealed, report.anchors), (2, 7, 1, 2));
    // Nothing new, no segment.
    trail.seal().await;
    assert_eq!(trail.sealer.pass().await.unwrap().segments, 0);
    assert_eq!(trail.verify().await.unsealed, 0);
    // In months, not in the partition for the rest.
    assert_eq!(trail.number("select count(*) from audit_entry_rest").await, 0);
}

#[tokio::test]
async fn a_slow_transaction_is_sealed_after_those_that_overtook_it() {
    let trail = Trail::with(&[1]).await;
    let mut slow = trail.db.pool().begin().await.unwrap();
    sqlx::query("select pg_current_xact_id(), nextval('audit_entry_no')").execute(&mut *slow).await.unwrap();
    sqlx::query(
        "insert into audit_entry (id, at, actor, role, institution_name, address, act, object_kind)
         values (currval('audit_entry_no'), '2025-05-15 01:30:00+00', '慢', '', '', '', 'x', 'y')",
    )
    .execute(&mut *slow)
    .await
    .unwrap();
    trail.write(2).await;
    trail.seal().await;
    assert_eq!(trail.number("select sum(entry_count) from audit_segment").await, 2);
    slow.commit().await.unwrap();
    trail.write(3).await;
    trail.seal().await;
    assert_eq!(trail.number("select sum(entry_count) from audit_segment").await, 4, "none is left out");
    assert_eq!(trail.number("select min_id from audit_segment where number = 3").await, 2);
    // Only its lack of a MAC is told, for the program did not write it.
    assert_eq!(faults(&trail.verify().await), [(FaultKind::Foreign, Some(3), Some(2))]);
}

#[tokio::test]
async fn an_altered_field_is_named() {
    let columns = [
        "actor = '李四'",
        "role = ''",
        "person_id = 99",
        "purpose = 'emergency'",
        "outcome = 'refused'",
        "detail = '{}'",
        "account_id = null",
        "session_id = 6",
        "mac = null",
        "row_count = 0",
        "before_digest = '\\x01'",
    ];
    let trail = Trail::with(&[columns.len(), 1]).await;
    for (n, change) in columns.iter().enumerate() {
        trail.tamper(&format!("update audit_entry set {change} where id = {}", n + 1)).await;
    }
    let report = trail.verify().await;
    let expected: Vec<_> =
        (1..=columns.len() as i64).map(|n| (FaultKind::Altered, Some(1), Some(n))).collect();
    assert_eq!(faults(&report), expected);
    assert_eq!(report.faults[0].at, Some(testkit::clock().now()));
}

#[tokio::test]
async fn a_moved_time_is_told_from_a_missing_entry() {
    let trail = Trail::with(&[3, 2]).await;
    trail.tamper("update audit_entry set at = at + interval '40 days' where id = 2").await;
    trail.tamper("delete from audit_entry where id = 5").await;
    assert_eq!(
        faults(&trail.verify().await),
        [(FaultKind::Altered, Some(1), Some(2)), (FaultKind::Missing, Some(2), Some(5))]
    );
}

#[tokio::test]
async fn an_inserted_entry_is_named() {
    let trail = Trail::with(&[3, 2]).await;
    // A copy of a genuine entry, MAC and transaction and all.
    trail
        .tamper("insert into audit_entry select (jsonb_populate_record(e, '{\"id\": 1000}')).* from audit_entry e where id = 2")
        .await;
    trail.write(6).await;
    let report = trail.verify().await;
    assert_eq!(faults(&report), [(FaultKind::Inserted, Some(1), Some(1000))], "{report:?}");
    assert_eq!(report.unsealed, 1);
    // One that pretends to be new is sealed at the next pass; its MAC tells.
    trail
        .tamper(
            "insert into audit_entry (at, actor, role, institution_name, address, act, object_kind, mac)
             values ('2025-05-15 01:30:30+00', '假', '', '', '', 'x', 'y', '\\x0102030405060708091011121314151617')",
        )
        .await;
    assert_eq!(trail.sealer.pass().await.unwrap().foreign, 1);
    let told = faults(&trail.verify().await);
    assert_eq!(told[0].0, FaultKind::Foreign, "{told:?}");
}

#[tokio::test]
async fn swapped_entries_are_named() {
    let trail = Trail::with(&[4]).await;
    trail
        .tamper(
            "update audit_entry set id = -2 where id = 2; update audit_entry set id = 2 where id = 3;
             update audit_entry set id = 3 where id = -2",
        )
        .await;
    assert_eq!(
        faults(&trail.verify().await),
        [(FaultKind::Reordered, Some(1), Some(2)), (FaultKind::Reordered, Some(1), Some(3))]
    );
}

#[tokio::test]
async fn a_deleted_segment_is_named_also_with_its_entries() {
    let trail = Trail::with(&[2, 2, 2]).await;
    trail.tamper("delete from audit_segment where number = 2").await;
    let told = faults(&trail.verify().await);
    assert_eq!(told[0], (FaultKind::SegmentMissing, Some(2), None));
    assert_eq!(
        told[1..],
        [(FaultKind::Inserted, None, Some(3)), (FaultKind::Inserted, None, Some(4))],
        "its entries are nobody's"
    );
    trail.tamper("delete from audit_entry where id in (3, 4)").await;
    assert_eq!(faults(&trail.verify().await), [(FaultKind::SegmentMissing, Some(2), None)]);
    // Closing the gap by renumbering does not help.
    trail.tamper("update audit_segment set number = 2 where number = 3").await;
    let told = faults(&trail.verify().await);
    assert!(told.contains(&(FaultKind::SegmentAltered, Some(2), None)), "{told:?}");
    assert!(told.contains(&(FaultKind::ChainBroken, Some(2), None)), "{told:?}");
    assert!(told.contains(&(FaultKind::AnchorMismatch, Some(2), None)), "{told:?}");
    assert!(told.contains(&(FaultKind::Truncated, Some(3), None)), "{told:?}");
}

#[tokio::test]
async fn a_tail_rewritten_without_the_key_is_found() {
    let trail = Trail::with(&[2, 2]).await;
    // Somebody with the database and the program, but with keys of their own, makes the second segment anew.
    trail.tamper("update audit_entry set actor = '别人', mac = null where id = 3").await;
    trail
        .tamper("delete from audit_segment where number = 2; delete from audit_anchor where segment = 2")
        .await;
    let other = tempfile::tempdir().unwrap();
    let elsewhere = TestDb::create(store::MIGRATIONS, &[]).await;
    let (_, keys) = open(elsewhere.db().clone().with_keyring(strangers_keys())).await;
    let forger = Sealer::new(trail.db.clone(), keys, AnchorFile::at(&anchors(&other)), trail.clock.clone());
    assert_eq!(forger.pass().await.unwrap().entries, 2);
    let report = trail.verify().await;
    let told = faults(&report);
    assert!(told.contains(&(FaultKind::BadSignature, Some(2), None)), "{told:?}");
    assert!(told.contains(&(FaultKind::AnchorMismatch, Some(2), None)), "{told:?}");
    assert!(told.contains(&(FaultKind::Foreign, Some(2), Some(3))), "{told:?}");
    assert!(!told.iter().any(|(_, segment, _)| *segment == Some(1)), "what is before is sound: {told:?}");
}

#[tokio::test]
async fn a_tail_cut_off_is_found_by_the_file_of_anchors() {
    let trail = Trail::with(&[2, 2]).await;
    trail
        .tamper(
            "delete from audit_segment where number = 2; delete from audit_entry where id > 2;
             delete from audit_anchor where segment = 2",
        )
        .await;
    assert_eq!(faults(&trail.verify().await), [(FaultKind::Truncated, Some(2), None)]);
    // Without the file nobody could tell; that a file that once was is gone, is told by the table.
    let file = anchors(&trail.folder);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(faults(&trail.verify().await), [(FaultKind::AnchorLost, Some(1), None)]);
    std::fs::write(&file, "no anchor\n").unwrap();
    let unreadable =
        verify(&trail.db, trail.sealer.keys(), trail.sealer.file(), Span::default(), &|_, _| {}).await;
    assert!(unreadable.is_err());
}

#[tokio::test]
async fn a_span_is_verified_alone() {
    let trail = Trail::with(&[2, 2, 2]).await;
    trail.tamper("update audit_entry set actor = '别人' where id in (1, 5)").await;
    let begin = testkit::clock().now();
    let span = Span { from: Some(begin + TimeDelta::minutes(1)), until: Some(begin + TimeDelta::minutes(2)) };
    let report = verify(&trail.db, trail.sealer.keys(), trail.sealer.file(), span, &|_, _| {}).await.unwrap();
    assert_eq!((report.segments, report.fault_count), (1, 0));
    let span = Span { from: Some(begin + TimeDelta::minutes(2)), until: None };
    let report = verify(&trail.db, trail.sealer.keys(), trail.sealer.file(), span, &|_, _| {}).await.unwrap();
    assert_eq!(faults(&report), [(FaultKind::Altered, Some(3), Some(5))]);
}

#[tokio::test]
async fn the_serving_role_can_only_add() {
    let trail = Trail::with(&[2]).await;
    store::role::ensure_serving(&trail.db).await.unwrap();
    sqlx::raw_sql("create table plain (n int); create table later (n int)")
        .execute(trail.db.pool())
        .await
        .unwrap();
    store::role::grant(&trail.db, store::role::SERVING).await.unwrap();
    // Again, when nothing is lacking, and with a hundred tables in any order of the planner.
    sqlx::raw_sql("analyze").execute(trail.db.pool()).await.unwrap();
    store::role::grant(&trail.db, store::role::SERVING).await.unwrap();
    let serving = Db::connect(trail.test.connect_options().username(store::role::SERVING), 2).await.unwrap();
    assert!(store::role::is_separate(&serving).await.unwrap());
    assert!(!store::role::is_separate(&trail.db).await.unwrap());
    let refused = [
        "update audit_entry set actor = ''",
        "update audit_entry set actor = '' where false",
        "delete from audit_entry",
        "truncate audit_entry",
        "drop table audit_entry",
        "alter table audit_entry disable trigger append_only",
        "drop trigger append_only on audit_entry",
        "alter table audit_entry detach partition audit_entry_202505",
        "delete from audit_entry_202505",
        "truncate audit_entry_202505",
        "drop table audit_entry_202505",
        "update audit_segment set number = 9",
        "delete from audit_segment",
        "truncate audit_segment",
        "delete from audit_anchor",
        "truncate audit_verification",
        "delete from audit_archive",
        "set session_replication_role = replica",
        "create or replace function append_only() returns trigger language sql as $$ select null $$",
        "insert into schema_migration values ('x', 'y', 'z')",
        "create table evil (n int)",
        "drop table plain",
    ];
    for sql in refused {
        let error = sqlx::query(sql).execute(serving.pool()).await.unwrap_err();
        let code = error.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
    }
    for sql in
        ["insert into plain values (1)", "update plain set n = 2", "delete from plain", "delete from job"]
    {
        sqlx::query(sql).execute(serving.pool()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let keyed = serving.clone().with_trail_key(trail.sealer.keys().mac().clone());
    let sealer =
        Sealer::new(keyed, trail.sealer.keys().clone(), trail.sealer.file().clone(), trail.clock.clone());
    trail.write(3).await;
    assert_eq!(sealer.pass().await.unwrap().entries, 1, "it seals");
    // The next month is made by the function, as the owner; the owner is held back by the trigger alone.
    trail.clock.advance(TimeDelta::days(40));
    assert!(audit::partitions_ahead(&serving, trail.clock.now()).await.unwrap() > 0);
    for sql in
        ["update audit_entry set actor = ''", "delete from audit_segment", "truncate audit_entry_202508"]
    {
        assert!(sqlx::query(sql).execute(trail.db.pool()).await.is_err(), "{sql}");
    }
    serving.close().await;
}

#[tokio::test]
async fn a_month_goes_to_a_file_by_command_and_the_rest_still_verifies() {
    let trail = Trail::with(&[3]).await;
    let month = testkit::clock().today();
    let archive = trail.folder.path().join("archive");
    let early = audit::archive(&trail.db, month, &archive, 6, trail.clock.now(), "审计员").await;
    assert!(early.is_err(), "six months stay");
    trail.clock.advance(TimeDelta::days(300));
    audit::partitions_ahead(&trail.db, trail.clock.now()).await.unwrap();
    trail.write(4).await;
    trail.seal().await;
    let archived = audit::archive(&trail.db, month, &archive, 6, trail.clock.now(), "审计员").await.unwrap();
    assert_eq!(archived.entry_count, 3);
    let text = std::fs::read_to_string(&archived.file).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains("居民2") && text.contains("王丽华"));
    assert_eq!(trail.number("select count(*) from audit_entry").await, 1);
    let report = trail.verify().await;
    assert!(report.sound(), "{report:?}");
    assert_eq!((report.archived, report.segments), (3, 2));
    // What goes missing elsewhere is still missing.
    trail.tamper("delete from audit_entry").await;
    assert_eq!(faults(&trail.verify().await), [(FaultKind::Missing, Some(2), Some(4))]);
}

#[tokio::test]
async fn a_trail_from_before_is_carried_over() {
    let test = TestDb::create(&store::MIGRATIONS[..3], &[]).await;
    sqlx::query(
        "insert into audit_entry (at, actor, role, institution_name, address, act, object_kind, detail)
         select '2025-01-31 15:00:00+00'::timestamptz + n * interval '2 hours', '旧', '', '', '', 'record.view', 'person',
            '{\"b\": 1, \"a\": [2.50]}' from generate_series(1, 500) n",
    )
    .execute(test.pool())
    .await
    .unwrap();
    migrate(test.pool(), store::MIGRATIONS).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (db, keys) = open(test.db().clone().with_keyring(testkit::keyring())).await;
    let sealer = Sealer::new(db.clone(), keys, AnchorFile::at(&anchors(&folder)), testkit::clock());
    let sealed = sealer.pass().await.unwrap();
    assert_eq!((sealed.entries, sealed.foreign), (500, 0));
    sealer.anchor(TimeDelta::zero()).await.unwrap();
    let report = verify(&db, sealer.keys(), sealer.file(), Span::default(), &|_, _| {}).await.unwrap();
    assert!(report.sound() && report.entries == 500, "{report:?}");
    let rest: i64 =
        sqlx::query_scalar("select count(*) from audit_entry_rest").fetch_one(db.pool()).await.unwrap();
    assert_eq!(rest, 0, "every month has its partition");
    let next: i64 =
        sqlx::query_scalar("select nextval('audit_entry_no')").fetch_one(db.pool()).await.unwrap();
    assert_eq!(next, 501);
}

#[tokio::test]
async fn after_a_restore_into_another_server_sealing_goes_on_by_number() {
    let trail = Trail::with(&[3]).await;
    // The other server counts its transactions from the beginning: what was brought along is far ahead.
    trail
        .tamper(
            "update audit_entry set xid = '900000000'; update audit_segment set snapshot = '900000001:900000001:'",
        )
        .await;
    trail.write(4).await;
    assert_eq!(trail.sealer.pass().await.unwrap().entries, 1, "only what is in no segment");
    trail.write(5).await;
    trail.write(6).await;
    assert_eq!(trail.sealer.pass().await.unwrap().entries, 2, "and then as ever");
    assert_eq!(trail.sealer.pass().await.unwrap().entries, 0);
    assert_eq!(trail.number("select floor_id from audit_segment where number = 2").await, 4);
}

#[tokio::test]
async fn the_serving_role_is_made_once_for_all_databases_of_a_server() {
    let (one, two) =
        tokio::join!(TestDb::create(store::MIGRATIONS, &[]), TestDb::create(store::MIGRATIONS, &[]));
    let (a, b, c) = tokio::join!(
        store::role::ensure_serving(one.db()),
        store::role::ensure_serving(two.db()),
        store::role::ensure_serving(one.db())
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
}
