//! In-patient stays in two cities: who is listed, who is not, and how a suspicion comes, is explained and goes.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use contracts::{Demographics, InstitutionCard, Institutions, NewInstitution, Stay, Stays};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Clock, Line, Need, Purpose, RegionCode, Result};
use person::MasterIndex;
use person::operations::Order;
use store::Gated;
use testkit::TestDb;

use crate::interface::settled;
use crate::{link, number, registration};

/// Two hospitals in one city, one in another, each with its number.
const HERE: InstitutionId = InstitutionId::new(1);
const NEXT_DOOR: InstitutionId = InstitutionId::new(2);
const AWAY: InstitutionId = InstitutionId::new(3);

struct Three;

impl Institutions for Three {
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>> {
        self.all().iter().find(|c| c.id == id).cloned()
    }
    fn by_code(&self, _: &str) -> Option<Arc<InstitutionCard>> {
        None
    }
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        let card = |id: InstitutionId, code: &str| {
            Arc::new(InstitutionCard {
                id,
                code: id.to_string(),
                name: format!("医院{id}"),
                short_name: format!("医院{id}"),
                sender_class: "hospital".into(),
                region: RegionCode::parse(code).unwrap(),
                invented: true,
            })
        };
        Arc::new(vec![card(HERE, "411503"), card(NEXT_DOOR, "411521"), card(AWAY, "410105")])
    }
    fn region_name(&self, code: &RegionCode) -> String {
        format!("区划{code}")
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        Box::pin(async { Err(kernel::Error::fault("register", "not here")) })
    }
}

/// Stays with the batch that brought them.
#[derive(Default)]
struct Known(Mutex<Vec<(i64, Stay)>>);

impl Known {
    fn add(&self, batch: i64, identity_id: i64, institution: InstitutionId, from: &str, until: &str) {
        let at = |day: &str| -> NaiveDateTime { format!("{day}T10:00:00").parse().unwrap() };
        let stay = Stay {
            identity_id,
            institution,
            admitted_at: at(from),
            discharged_at: (!until.is_empty()).then(|| at(until)),
        };
        self.0.lock().unwrap().push((batch, stay));
    }
}

impl Stays for Known {
    fn of<'a, 'c>(&'a self, _: &'a mut Gated<'c>, ids: &'a [i64]) -> BoxFuture<'a, Result<Vec<Stay>>>
    where
        'c: 'a,
    {
        let all = self.0.lock().unwrap();
        let found = all.iter().map(|(_, s)| *s).filter(|s| ids.contains(&s.identity_id)).collect();
        Box::pin(async move { Ok(found) })
    }
    fn stored_after<'a, 'c>(
        &'a self,
        _: &'a mut Gated<'c>,
        place: Option<i64>,
    ) -> BoxFuture<'a, Result<(Vec<i64>, i64)>>
    where
        'c: 'a,
    {
        let all = self.0.lock().unwrap();
        let last = all.iter().map(|(batch, _)| *batch).max().unwrap_or(0);
        let ids = place.map_or(Vec::new(), |place| {
            all.iter().filter(|(batch, _)| *batch > place).map(|(_, s)| s.identity_id).collect()
        });
        Box::pin(async move { Ok((ids, last)) })
    }
}

struct World {
    db: TestDb,
    index: MasterIndex,
    stays: Arc<Known>,
    now: DateTime<Utc>,
}

impl World {
    async fn new() -> World {
        let migrations: Vec<_> = [store::migrate::MIGRATIONS, person::MIGRATIONS].concat();
        let db = TestDb::create(&migrations, &[]).await;
        let stays = Arc::new(Known::default());
        let options = store::Settings::defaults(Arc::new(catalog::shipped().unwrap()));
        let index = MasterIndex::new(db.db().clone())
            .with_options(options, Arc::new(Three))
            .with_stays(stays.clone());
        World { db, index, stays, now: testkit::clock().now() }
    }

    /// Somebody with their own number, known at these hospitals; the records in that order.
    async fn known_at(&self, serial: u16, at: &[InstitutionId]) -> Vec<i64> {
        let id = number("1970-02-03", serial);
        let mut records = Vec::new();
        for institution in at {
            let row = Demographics {
                phone: format!("1380000{serial:04}"),
                ..registration(&format!("L{serial}"), &format!("钱{serial}"), "1", "1970-02-03", &id)
            };
            records.push(link(&self.db, &self.index, *institution, &[row]).await.unwrap()[0]);
        }
        records
    }

    async fn person(&self, record: i64) -> i64 {
        sqlx::query_scalar("select person_id from identity_record where id = $1")
            .bind(record)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// The look of the next night: new and gone.
    async fn night(&mut self) -> (i64, i64) {
        settled(&self.db).await;
        self.now += Duration::days(1);
        let found = self.index.look(self.now).await.unwrap();
        (found.new, found.gone)
    }

    async fn listed(&self) -> Vec<(i64, String)> {
        sqlx::query_as(
            "select person_id, state from index_suspect where kind = 'two_places' order by person_id",
        )
        .fetch_all(self.db.pool())
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn who_lies_in_two_cities_at_once_is_listed() {
    let mut world = World::new().await;
    let both = world.known_at(1, &[HERE, AWAY]).await;
    world.stays.add(1, both[0], HERE, "2025-03-01", "2025-03-10");
    world.stays.add(1, both[1], AWAY, "2025-03-05", "2025-03-12");
    // Touching, moved on one day.
    let moved = world.known_at(3, &[HERE, AWAY]).await;
    world.stays.add(1, moved[0], HERE, "2025-03-01", "2025-03-05");
    world.stays.add(1, moved[1], AWAY, "2025-03-05", "2025-03-12");
    // Two hospitals of one city.
    let near = world.known_at(5, &[HERE, NEXT_DOOR]).await;
    world.stays.add(1, near[0], HERE, "2025-03-01", "2025-03-10");
    world.stays.add(1, near[1], NEXT_DOOR, "2025-03-05", "2025-03-12");
    // One after the other, months apart; and known in two cities with stays in one.
    let later = world.known_at(7, &[HERE, AWAY]).await;
    world.stays.add(1, later[0], HERE, "2025-01-01", "2025-01-10");
    world.stays.add(1, later[1], AWAY, "2025-03-05", "2025-03-12");
    let visitor = world.known_at(9, &[HERE, AWAY]).await;
    world.stays.add(1, visitor[0], HERE, "2025-03-01", "2025-03-10");

    assert_eq!(world.night().await, (1, 0));
    let suspect = world.person(both[0]).await;
    assert_eq!(world.listed().await, [(suspect, "open".to_owned())]);
    let detail: serde_json::Value =
        sqlx::query_scalar("select detail from index_suspect").fetch_one(world.db.pool()).await.unwrap();
    assert_eq!(detail["overlaps"][0][0]["institution"], HERE.get());
    assert_eq!(detail["overlaps"][0][1]["until"], "2025-03-12");
    assert_eq!(world.night().await, (0, 0), "once");

    // A stay that comes later is found by its batch; two persons that become one by what changed.
    world.stays.add(2, visitor[1], AWAY, "2025-03-08", "");
    assert_eq!(world.night().await, (1, 0));
    let (a, b) = (world.known_at(11, &[HERE]).await[0], world.known_at(13, &[AWAY]).await[0]);
    world.stays.add(2, a, HERE, "2025-04-01", "2025-04-10");
    world.stays.add(2, b, AWAY, "2025-04-02", "2025-04-09");
    assert_eq!(world.night().await, (0, 0));
    sqlx::query("update identity_record set number_disowned = true, own_blind = null, claim_blind = null where id = $1")
        .bind(b)
        .execute(world.db.pool())
        .await
        .unwrap();
    sqlx::query("update person set citizen_id = null, citizen_blind = null where id = $1")
        .bind(world.person(b).await)
        .execute(world.db.pool())
        .await
        .unwrap();
    let order = Order::Merge { into: world.person(a).await, from: world.person(b).await };
    let all = Caller::system("测试").decide(Need::new(Line::System, Act::Manage), Purpose::of("background"));
    let all = all.unwrap();
    let done = world.index.operate(&all, &Three, &order, "看起来是一人", world.now).await.unwrap();
    assert_eq!(world.night().await, (1, 0));
    // Taken apart again, the suspicion is gone.
    world.index.undo(&all, &Three, done.operation, "不是一人", world.now).await.unwrap();
    assert_eq!(world.night().await, (0, 1));
}

#[tokio::test]
async fn an_explained_overlap_is_not_asked_again_but_another_one_is() {
    let mut world = World::new().await;
    let both = world.known_at(1, &[HERE, AWAY]).await;
    world.stays.add(1, both[0], HERE, "2025-03-01", "2025-03-10");
    world.stays.add(1, both[1], AWAY, "2025-03-05", "2025-03-12");
    assert_eq!(world.night().await, (1, 0));
    sqlx::query("update index_suspect set state = 'explained', note = '请假外出就医'")
        .execute(world.db.pool())
        .await
        .unwrap();
    world.stays.add(2, both[0], HERE, "2025-04-20", "2025-04-22");
    assert_eq!(world.night().await, (0, 0));
    let person = world.person(both[0]).await;
    assert_eq!(world.listed().await, [(person, "explained".to_owned())]);
    world.stays.add(3, both[1], AWAY, "2025-04-21", "2025-04-25");
    world.night().await;
    assert_eq!(world.listed().await, [(person, "open".to_owned())]);
    // The hospital corrects its dates: the second overlap is gone, and with it the first, which was explained.
    world.stays.0.lock().unwrap().retain(|(batch, _)| *batch < 2);
    world.stays.add(4, both[1], AWAY, "2025-05-01", "2025-05-02");
    world.stays.0.lock().unwrap().retain(|(_, s)| s.institution == AWAY);
    assert_eq!(world.night().await, (0, 1));
    assert_eq!(world.listed().await, [(person, "gone".to_owned())]);
}

/// Neither the records of somebody nor their stays are looked for by going through a table.
#[tokio::test]
async fn a_night_follows_indexes() {
    let world = World::new().await;
    let sql = "
        insert into person (id, created_at) overriding system value
        select n, now() from generate_series(100000, 139999) n;
        insert into identity_record (institution_id, local_no, person_id, link_rule, updated_at)
        select 1 + n % 3, 'x' || n, 100000 + n % 40000, 'new', now() from generate_series(1, 60000) n;
        insert into identity_event (identity_id, to_person, kind, rule, at)
        select n, n, 'registered', 'new', now() from generate_series(1, 60000) n;
        analyze identity_record; analyze identity_event";
    sqlx::raw_sql(sql).execute(world.db.pool()).await.unwrap();
    for (statement, index) in [
        (
            "explain select i.person_id, array_agg(i.id) from identity_record i
             join unnest(array[1,2,3], array['4115','4115','4101']) as c (institution_id, city)
               on c.institution_id = i.institution_id
             where i.person_id in (select person_id from identity_record where id = any(array[1,2,3,4,5]))
             group by i.person_id having count(distinct c.city) > 1",
            "identity_record_person",
        ),
        (
            "explain select e.identity_id, e.xid::text, e.id from identity_event e
             where (e.xid, e.id) > ('5'::xid8, 0) and e.xid < pg_snapshot_xmin(pg_current_snapshot())
             order by e.xid, e.id limit 100",
            "identity_event_feed",
        ),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(statement).fetch_all(world.db.pool()).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
}
