//! Writing protected values anew: plain ones of an earlier version, and those of an older key, while others write.

use std::sync::Arc;

use kernel::Clock;
use protect::provider::LocalMaster;
use protect::{Domain, KeyState, is_sealed, sealed_with};
use serde_json::json;
use store::keys::{SETTLE, Suite, Vault};
use store::reseal::{Form, Part, PartColumn, Resealer, fact_parts, sweeps};
use store::{Db, Jobs};
use testkit::{TestClock, TestDb, clock, settle};

const TABLE: &str = "create table thing (id int, phone text, phone_blind bytea, note text, body jsonb,
    secrets jsonb not null default '{}')";

async fn fresh() -> (TestDb, Arc<TestClock>, Resealer) {
    let test = TestDb::create(store::MIGRATIONS, &[TABLE.to_owned()]).await;
    let clock = clock();
    let master = LocalMaster::parse(&format!("sm4-gcm:{}", "ab".repeat(16)), "a test").unwrap();
    let vault = Vault::open(&test, Arc::new(master), Suite::National, clock.now()).await.unwrap();
    let db: Db = test.db().clone().with_keyring(vault.keyring().clone());
    let catalog = Arc::new(catalog::shipped().unwrap());
    let mut parts = fact_parts(&catalog);
    parts.retain(|p| p.table == "fact_history");
    parts.push(Part {
        table: "thing".into(),
        domain: Domain::Facts,
        columns: vec![
            PartColumn::found("phone", "thing.phone", "phone_blind", "phone"),
            PartColumn::text("note", "thing.note"),
            PartColumn { form: Form::Json, ..PartColumn::text("body", "thing.body") },
            PartColumn::fields("secrets", "thing"),
        ],
    });
    (test, clock.clone(), Resealer { db, vault, catalog, parts: Arc::new(parts), clock })
}

async fn things(db: &Db) -> Vec<(i32, Option<String>, Option<Vec<u8>>, Option<String>, serde_json::Value)> {
    sqlx::query_as("select id, phone, phone_blind, note, body from thing order by id")
        .fetch_all(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_plain_is_sealed_and_found_and_a_new_key_takes_over() {
    let (_test, clock, own) = fresh().await;
    sqlx::raw_sql(
        "insert into thing (id, phone, phone_blind, note, body) select n, '138' || lpad(n::text, 8, '0'), null, case when n % 3 = 0 then '' else '备注' || n end,
            jsonb_build_object('n', n) from generate_series(1, 9000) n;
         insert into thing (id, phone, phone_blind, note, body) values (9001, null, null, null, '{}')",
    )
    .execute(own.db.pool())
    .await
    .unwrap();
    let mut jobs = Jobs::new(own.db.clone(), clock.clone());
    own.register(&mut jobs);
    assert!(own.request_if_needed().await.unwrap());
    clock.advance(SETTLE);
    settle(&jobs).await;

    let ring = own.vault.keyring();
    let rows = things(&own.db).await;
    assert_eq!(rows.len(), 9001);
    for (id, phone, blind, note, body) in &rows[..9000] {
        let number = format!("138{id:08}");
        let phone = phone.as_deref().unwrap();
        assert!(is_sealed(phone));
        assert_eq!(ring.open_text("thing.phone", phone).unwrap(), number);
        assert_eq!(blind.as_deref().unwrap(), ring.blind(Domain::Facts, "phone", &number).unwrap());
        let note = note.as_deref().unwrap();
        assert!(if id % 3 == 0 { note.is_empty() } else { is_sealed(note) });
        let body = ring.open_text("thing.body", body.as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), json!({ "n": id }));
    }
    assert_eq!(rows[9000].1, None);
    assert!(sweeps(&own.db).await.unwrap().iter().all(|s| s.done));
    assert!(!own.request_if_needed().await.unwrap(), "nothing is left to do");

    let old = sealed_with(rows[0].1.as_deref().unwrap());
    own.vault.rotate(Domain::Facts, clock.now()).await.unwrap();
    assert!(own.request_if_needed().await.unwrap());
    clock.advance(SETTLE);
    settle(&jobs).await;
    let new = ring.active(Domain::Facts).unwrap();
    assert_ne!(old, Some(new));
    let rows = things(&own.db).await;
    assert!(rows[..9000].iter().all(|r| sealed_with(r.1.as_deref().unwrap()) == Some(new)));
    assert_eq!(ring.open_text("thing.phone", rows[77].1.as_deref().unwrap()).unwrap(), "13800000078");
    let states: Vec<KeyState> = own.vault.status().await.unwrap().iter().map(|k| k.state).collect();
    assert!(states.contains(&KeyState::Retired) && !states.contains(&KeyState::Reading));
}

#[tokio::test]
async fn a_pass_that_was_cut_off_goes_on_where_it_was() {
    let (_test, clock, own) = fresh().await;
    sqlx::raw_sql("insert into thing (id, phone, phone_blind, note, body) select n, '139' || n, null, repeat('x', 200), '{}' from generate_series(1, 5000) n")
        .execute(own.db.pool())
        .await
        .unwrap();
    // One value cannot be opened: the job ends there, and what came before stays done.
    let stranger = own.vault.keyring().seal_text(Domain::Facts, "elsewhere", "x").unwrap();
    let last = "update thing set note = $1 where id = 5000";
    sqlx::query(last).bind(stranger.replace('~', "~9")).execute(own.db.pool()).await.unwrap();
    assert!(own.run(None).await.is_err());
    let sweep = sweeps(&own.db).await.unwrap().into_iter().find(|s| s.table_name == "thing").unwrap();
    assert!(sweep.page > 0 && !sweep.done && sweep.changed > 0, "{sweep:?}");
    sqlx::query(last).bind("好了").execute(own.db.pool()).await.unwrap();
    own.run(None).await.unwrap();
    let rows = things(&own.db).await;
    assert!(rows.iter().all(|r| is_sealed(r.1.as_deref().unwrap()) && is_sealed(r.3.as_deref().unwrap())));
    let sweep = sweeps(&own.db).await.unwrap().into_iter().find(|s| s.table_name == "thing").unwrap();
    assert!(sweep.done && sweep.changed == 5000, "each row was written once: {sweep:?}");
    drop(clock);
}

#[tokio::test]
async fn values_within_an_object_follow_each_by_itself() {
    let (_test, clock, own) = fresh().await;
    let ring = own.vault.keyring();
    let phone = ring.seal_text(Domain::Facts, "thing.phone", "13800138000").unwrap();
    let before = json!({ "phone": phone, "number": "110101199003070011", "none": "", "count": 3 });
    sqlx::query("insert into thing (id, secrets) values (1, $1), (2, '{}')")
        .bind(&before)
        .execute(own.db.pool())
        .await
        .unwrap();
    let read = async || -> serde_json::Value {
        sqlx::query_scalar("select secrets from thing where id = 1").fetch_one(own.db.pool()).await.unwrap()
    };
    own.run(None).await.unwrap();
    let after = read().await;
    assert_eq!(after["phone"], before["phone"], "sealed by the key in force already");
    let number = after["number"].as_str().unwrap();
    assert_eq!(ring.open_text("thing.number", number).unwrap(), "110101199003070011");
    assert_eq!((after["none"].as_str(), after["count"].as_i64()), (Some(""), Some(3)));

    own.vault.rotate(Domain::Facts, clock.now()).await.unwrap();
    clock.advance(SETTLE);
    own.run(None).await.unwrap();
    let new = ring.active(Domain::Facts).unwrap();
    let after = read().await;
    for (field, plain) in [("phone", "13800138000"), ("number", "110101199003070011")] {
        let sealed = after[field].as_str().unwrap();
        assert_eq!(sealed_with(sealed), Some(new));
        assert_eq!(ring.open_text(&format!("thing.{field}"), sealed).unwrap(), plain);
    }
}

#[tokio::test]
async fn kept_versions_are_sealed_by_the_catalogue() {
    let (_test, _clock, own) = fresh().await;
    let patient = own.catalog.dataset("patient").unwrap().clone();
    let content = json!({ "phone": "13800138000", "patient_name": "张三", "credential_no": null });
    sqlx::query(
        "insert into fact_history (dataset, fact_id, institution_id, business_key, version, content, ended_at,
            ended_by_batch, withdrawn) values ($1, 1, 1, '{}', 1, $2, now(), 1, false)",
    )
    .bind(patient.number)
    .bind(&content)
    .execute(own.db.pool())
    .await
    .unwrap();
    own.run(None).await.unwrap();
    let mut kept: serde_json::Value =
        sqlx::query_scalar("select content from fact_history").fetch_one(own.db.pool()).await.unwrap();
    assert!(is_sealed(kept["phone"].as_str().unwrap()));
    assert_eq!(kept["patient_name"], "张三");
    store::facts::open_json(&own.db.keyring().opener(), &patient, &mut kept).unwrap();
    assert_eq!(kept, content);
}
