//! The trail beyond its list: an entry in full, who looked, alerts from sealing to handling, the chain's page and job, FHIR,
//! and forwarding to a syslog server.

use std::sync::Arc;

use axum::http::StatusCode;
use catalog::SettingValue;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::{PersonTrait, PersonTraits, RecordLooks, StaffNames};
use futures::future::BoxFuture;
use identity::Identity;
use identity::audit::{Looks, Trail, alerts};
use kernel::access::InstitutionId;
use kernel::{Caller, Clock, RegionCode, Result};
use serde_json::Value;
use store::audit::{AnchorFile, Keys, Sealer};
use store::jobs::Jobs;
use tokio::io::AsyncReadExt;

use crate::city::{Browser, City, PASSWORD, city};

/// Everybody lives in one village; 陈同事 works at the second institution.
struct Neighbours;

impl PersonTraits for Neighbours {
    fn traits<'a>(&'a self, people: &'a [i64]) -> BoxFuture<'a, Result<Vec<PersonTrait>>> {
        let of = |id: &i64| PersonTrait {
            person_id: *id,
            name: format!("居民{id}"),
            region: RegionCode::parse("411503102003").unwrap(),
            local_nos: vec![(InstitutionId::new(2), format!("P{}", id * 7))],
        };
        Box::pin(async move { Ok(people.iter().map(of).collect()) })
    }
}

impl StaffNames for Neighbours {
    fn in_post<'a>(&'a self, pairs: &'a [(InstitutionId, String)]) -> BoxFuture<'a, Result<Vec<bool>>> {
        Box::pin(async move { Ok(pairs.iter().map(|(i, name)| i.get() == 2 && name == "陈同事").collect()) })
    }
}

struct Watched {
    city: City,
    identity: Identity,
    sealer: Sealer,
    folder: tempfile::TempDir,
}

async fn watched() -> Watched {
    let city = city().await;
    let folder = tempfile::tempdir().unwrap();
    let db = city.db.db().clone().with_keyring(testkit::keyring());
    let keys = Keys::open(&db, city.clock.now()).await.unwrap();
    let file = AnchorFile::at(&folder.path().join("anchors.log"));
    let sealer = Sealer::new(db, keys, file, city.clock.clone());
    let identity = city.identity.clone().with_trail(Trail {
        sealer: Some(sealer.clone()),
        people: Some(Arc::new(Neighbours)),
        staff: Some(Arc::new(Neighbours)),
    });
    // Alerts begin at the end of what is there.
    alerts::run(&identity).await.unwrap();
    Watched { city, identity, sealer, folder }
}

impl Watched {
    /// Looks at people by the doctor at the second institution, a minute apart.
    async fn looks(&self, account: i64, people: std::ops::Range<i64>, care: bool) {
        for person in people {
            self.look(account, person, &format!("居民{person}"), care).await;
            self.city.clock.advance(TimeDelta::minutes(1));
        }
    }

    async fn look(&self, account: i64, person: i64, label: &str, care: bool) {
        sqlx::query(
            "insert into audit_entry (at, account_id, kind, actor, role, institution_id, institution_name, region, address,
                act, object_kind, object_id, object_label, person_id, purpose, detail)
             values ($1, $2, 'staff', '王丽华', '医生', 2, '明港卫生院（虚构）', '411503102000', '10.1.1.1', 'record.view',
                'person', $3, $4, $3, 'care', json_build_object('care', $5::bool))",
        )
        .bind(self.city.clock.now())
        .bind(account)
        .bind(person)
        .bind(label)
        .bind(care)
        .execute(self.city.db.pool())
        .await
        .unwrap();
    }

    async fn evaluate(&self) -> usize {
        self.sealer.pass().await.unwrap();
        alerts::run(&self.identity).await.unwrap()
    }

    async fn rules(&self) -> Vec<String> {
        sqlx::query_scalar("select rule from audit_alert order by rule")
            .fetch_all(self.city.db.pool())
            .await
            .unwrap()
    }

    async fn auditor(&self) -> Browser {
        self.city.person("audit", "审计员甲", "auditor", None, "4115").await;
        let mut auditor = self.city.browser();
        auditor.sign_in("audit", PASSWORD).await;
        auditor
    }
}

/// The first address in a page that begins so.
fn link(page: &str, begin: &str) -> String {
    page.split("href=\"")
        .skip(1)
        .map(|part| part.split('"').next().unwrap().replace("&amp;", "&"))
        .find(|href| href.starts_with(begin))
        .unwrap_or_else(|| panic!("no link {begin} in {page}"))
}

#[tokio::test]
async fn an_alert_is_raised_once_shown_on_the_desk_and_handled_with_a_note() {
    let watched = watched().await;
    let doctor = watched.city.doctor().await;
    watched.looks(doctor, 1..20, false).await;
    assert!(watched.evaluate().await > 0);
    assert_eq!(
        watched.rules().await,
        ["same_village"],
        "eight of one village; nobody is out of care 20 times"
    );
    watched.look(doctor, 20, "陈同事", false).await;
    watched.look(doctor, 21, "王丽华", false).await;
    watched.evaluate().await;
    assert_eq!(watched.rules().await, ["colleague", "no_care", "own_record", "same_village"]);
    assert_eq!(watched.evaluate().await, 0, "nothing new");
    watched.looks(doctor, 30..34, false).await;
    assert_eq!(watched.evaluate().await, 0, "once a day about one subject");

    let mut auditor = watched.auditor().await;
    let list = auditor.get("/audit/alerts?state=open&rule=no_care").await.text;
    assert!(list.contains("王丽华调阅 21 位没有诊疗关系的居民") && list.contains("待处理"), "{list}");
    let path = link(&list, "/audit/alerts/");
    let page = auditor.get(&path).await.text;
    assert!(page.contains("逐条核对所填使用目的") && page.matches("/audit/entries/").count() >= 20, "{page}");
    let short = auditor.post(&path, &[("state", "handled"), ("note", "好")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", short.text);
    let done = auditor.post(&path, &[("state", "dismissed"), ("note", "年度核查，院长批准")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let page = auditor.get(&path).await.text;
    assert!(page.contains("已排除") && page.contains("年度核查，院长批准"), "{page}");
    assert!(!auditor.get("/audit/alerts?state=open").await.text.contains("调阅 21 位"));
    let card = alerts::panel(&watched.identity).card(&Caller::system("审计")).await.unwrap().unwrap();
    let lines: Vec<(&str, &str)> = card.lines.iter().map(|l| (l.text.as_str(), l.figure.as_str())).collect();
    assert_eq!(lines, [("中级异常告警待处理", "1"), ("低级异常告警待处理", "2")]);
    assert_eq!(watched.city.outcomes("audit.alert").await, ["ok"]);

    // Another county's auditor does not find it, and whoever may not decide cannot.
    watched.city.person("other", "审计员乙", "county_auditor", None, "411502").await;
    let mut other = watched.city.browser();
    other.sign_in("other", PASSWORD).await;
    assert_eq!(other.get(&path).await.status, StatusCode::NOT_FOUND);
    let note = [("state", "handled"), ("note", "与我无关的告警")];
    assert_eq!(other.post(&path, &note).await.status, StatusCode::NOT_FOUND);
    let mut doctor = watched.city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    assert_eq!(doctor.get("/audit/alerts").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn failed_sign_ins_and_then_one_that_works_are_noticed() {
    let watched = watched().await;
    watched.city.doctor().await;
    for _ in 0..4 {
        watched.city.browser().sign_in("wang.li", "wrong").await;
        watched.city.clock.advance(TimeDelta::minutes(1));
    }
    watched.city.browser().sign_in("wang.li", PASSWORD).await;
    watched.evaluate().await;
    assert_eq!(watched.rules().await, ["failed_then_in"]);
}

#[tokio::test]
async fn who_looked_is_grouped_and_only_what_is_held_is_left_out() {
    let watched = watched().await;
    let doctor = watched.city.doctor().await;
    for _ in 0..3 {
        watched.look(doctor, 42, "张三", true).await;
        watched.city.clock.advance(TimeDelta::minutes(5));
    }
    watched.city.clock.advance(TimeDelta::days(1));
    watched.look(doctor, 42, "张三", true).await;
    watched.look(777, 42, "张三", true).await;
    let port = Looks::new(watched.city.db.db().clone());
    let looks = port.looks(42, None, 10).await.unwrap();
    let told: Vec<(Option<i64>, i64)> = looks.iter().map(|l| (l.account_id, l.times)).collect();
    assert_eq!(told.len(), 3, "{looks:?}");
    assert!(told.contains(&(Some(doctor), 3)) && told.contains(&(Some(777), 1)));
    let earlier: Option<DateTime<Utc>> = looks.first().map(|l| l.last_at);
    assert_eq!(port.looks(42, earlier, 10).await.unwrap().len(), 1, "the next page");

    let mut auditor = watched.auditor().await;
    let page = auditor.get("/audit/persons/42").await.text;
    assert!(page.contains("谁看过 张三 的档案") && page.contains("3 次"), "{page}");
    let doctor_text = doctor.to_string();
    let why = [("account", doctor_text.as_str()), ("reason", "投诉核实中")];
    assert_eq!(auditor.post("/audit/persons/42/hold", &why).await.status, StatusCode::SEE_OTHER);
    let left = port.looks(42, None, 10).await.unwrap();
    assert_eq!(left.iter().map(|l| l.account_id).collect::<Vec<_>>(), [Some(777)]);
    let page = auditor.get("/audit/persons/42").await.text;
    assert!(page.contains("调查中，不向居民显示") && page.contains("投诉核实中"), "{page}");
    let hold: i64 =
        sqlx::query_scalar("select id from audit_hold").fetch_one(watched.city.db.pool()).await.unwrap();
    let hold = hold.to_string();
    let end = [("hold", hold.as_str()), ("reason", "核实完毕")];
    assert_eq!(auditor.post("/audit/persons/42/release", &end).await.status, StatusCode::SEE_OTHER);
    assert_eq!(port.looks(42, None, 10).await.unwrap().len(), 3);
    assert_eq!(watched.city.outcomes("audit.looks").await.len(), 2, "looking at who looked is written down");
    assert_eq!(auditor.get("/audit/persons/4711").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_entry_opens_in_full_and_as_an_audit_event() {
    let watched = watched().await;
    let doctor = watched.city.doctor().await;
    watched.looks(doctor, 1..4, true).await;
    let mut auditor = watched.auditor().await;
    let list = auditor.get("/audit?person=2").await.text;
    let path = link(&list, "/audit/entries/");
    let page = auditor.get(&path).await.text;
    assert!(page.contains("居民2") && page.contains("居民1") && page.contains("有诊疗关系"), "{page}");
    assert_eq!(auditor.get("/audit/entries/1-1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(auditor.get("/audit/entries/x").await.status, StatusCode::NOT_FOUND);

    let bundle = auditor.get("/fhir/AuditEvent?agent=7&date=ge2025-05-01&_count=2").await;
    assert_eq!(bundle.status, StatusCode::OK, "{}", bundle.text);
    let query = format!("/fhir/AuditEvent?agent=account:{doctor}&subtype=record.view&_count=2");
    let bundle: Value = serde_json::from_str(&auditor.get(&query).await.text).unwrap();
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 2);
    let next = bundle["link"].as_array().unwrap().iter().find(|l| l["relation"] == "next").unwrap();
    let rest: Value = serde_json::from_str(&auditor.get(next["url"].as_str().unwrap()).await.text).unwrap();
    assert_eq!(rest["entry"].as_array().unwrap().len(), 1);
    assert_eq!(rest["entry"][0]["resource"]["entity"][0]["what"]["reference"], "Patient/1");
    let lines = auditor.get(&format!("{query}&_format=ndjson")).await.text;
    assert_eq!(lines.lines().filter(|l| l.starts_with("{\"")).count(), 2, "{lines}");
    let one = rest["entry"][0]["fullUrl"].as_str().unwrap();
    assert!(auditor.get(one).await.text.contains("110110"));
    let messages = auditor.get("/audit.xml?person=2").await.text;
    assert!(messages.contains("<AuditMessage>") && messages.contains("居民2"), "{messages}");
    assert_eq!(auditor.get("/fhir/AuditEvent?date=gestern").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut doctor = watched.city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    assert_eq!(doctor.get("/fhir/AuditEvent").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_chain_is_verified_by_a_job_and_its_page_says_what_came_of_it() {
    let watched = watched().await;
    watched.city.doctor().await;
    let mut auditor = watched.auditor().await;
    assert!(auditor.get("/audit/chain").await.text.contains("还没有校验过"));
    watched.sealer.pass().await.unwrap();
    watched.sealer.anchor(TimeDelta::zero()).await.unwrap();
    let mut jobs = Jobs::new(watched.city.db.db().clone(), watched.city.clock.clone());
    identity::audit::register_jobs(&watched.identity, &mut jobs);
    sqlx::raw_sql(
        "set session_replication_role = replica;
         update audit_entry set actor = '别人' where id = (select min(id) from audit_entry);
         reset session_replication_role",
    )
    .execute(watched.city.db.pool())
    .await
    .unwrap();
    assert_eq!(auditor.post("/audit/chain/verify", &[]).await.status, StatusCode::SEE_OTHER);
    assert!(auditor.get("/audit/chain").await.text.contains("正在校验"));
    assert!(auditor.get("/audit/chain/progress").await.text.contains("正在校验"));
    let idle = jobs.run_until_idle().await.unwrap();
    assert_eq!((idle.waiting, idle.dead), (0, 0));
    let page = auditor.get("/audit/chain").await.text;
    assert!(page.contains("记录被改动") && page.contains("发现"), "{page}");
    assert!(auditor.get("/audit/chain/progress").await.text.contains("校验已结束"));
    assert!(watched.folder.path().join("anchors.log").exists());
}

#[tokio::test]
async fn entries_go_to_a_syslog_server_once_it_is_set() {
    let watched = watched().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let db = watched.city.db.db().clone();
    let options = store::Settings::defaults(Arc::new(catalog::shipped().unwrap()));
    let (by, now) = (Caller::system("运维"), watched.city.clock.now());
    let text = |t: &str| Some(SettingValue::Text(t.to_owned()));
    options.set(&db, &by, now, "audit.syslog_target", text(&target), "测试").await.unwrap();
    let identity = watched.identity.clone().with_options(options.clone());
    let mut jobs = Jobs::new(db.clone(), watched.city.clock.clone());
    identity::audit::register_jobs(&identity, &mut jobs);
    watched.sealer.pass().await.unwrap();
    identity::audit::tick(&identity).await.unwrap();
    jobs.run_until_idle().await.unwrap();
    assert_eq!(watched.city.outcomes("setting.change").await.len(), 1, "off: nothing is sent");

    let on = Some(SettingValue::Flag(true));
    options.set(&db, &by, now, "audit.syslog", on, "测试").await.unwrap();
    // The first run begins at the end of what is there.
    identity::audit::tick(&identity).await.unwrap();
    jobs.run_until_idle().await.unwrap();
    let doctor = watched.city.doctor().await;
    watched.look(doctor, 42, "张三", true).await;
    watched.sealer.pass().await.unwrap();
    identity::audit::tick(&identity).await.unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let idle = jobs.run_until_idle().await.unwrap();
    assert_eq!(idle.dead, 0);
    let text = received.await.unwrap();
    let (length, rest) = text.split_once(' ').unwrap();
    assert!(rest.len() >= length.parse().unwrap() && rest.starts_with("<85>1 2025-05-15T"), "{text}");
    assert!(text.contains("IHE+RFC-3881") && text.contains("张三"), "{text}");
}

#[tokio::test]
async fn what_leaves_as_a_file_and_what_is_refused_is_written_down_by_the_layer() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    let mut doctor = city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    assert_eq!(doctor.get("/audit").await.status, StatusCode::FORBIDDEN);
    assert_eq!(city.outcomes("access.refused").await, ["refused"]);
    assert_eq!(doctor.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let list = county.get("/accounts.csv?state=open").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    assert_eq!(county.get("/accounts").await.status, StatusCode::OK);
    let told: Vec<(String, String)> =
        sqlx::query_as("select object_label, detail->>'query' from audit_entry where act = 'page.export'")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(told, [("/accounts.csv", "state=open")]);
}
