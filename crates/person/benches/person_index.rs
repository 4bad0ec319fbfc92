//! On-line linking: registrations a second and their latency with so many people in the index, each registration in a
//! transaction of its own, beside the same rows written without any decision in the same run.
//!
//! `cargo bench -p minkang-person --bench person_index`; `MINKANG_BENCH_PEOPLE` lists sizes (default 100000,1000000).
//! A cluster of its own with fsync; the index is filled by COPY and keyed by the job that upgrades keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{Demographics, Linker};
use kernel::access::InstitutionId;
use person::MasterIndex;
use protect::Domain;
use standards::CitizenId;
use standards::pinyin::initials;
use store::Db;
use store::cluster::Cluster;
use store::copy::CopyRows;

/// Registrations measured one by one: so many that the first writes of a page after a checkpoint, which are logged whole, do
/// not rule them.
const SINGLES: usize = 60_000;
/// At once: as many as keep two cores busy while some wait for the disk.
const WORKERS: usize = 8;
/// Registrations in chunks.
const CHUNK: usize = 500;
const CHUNKS: usize = 20;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000, 0).unwrap()
}

/// A number from two, well mixed.
fn mix(seed: u64, salt: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 29
}

const FAMILY: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常";
const GIVEN: &str = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国志文海燕春荣金凤俊峰晓东雪婷宇浩然子涵梓萱欣怡诗琪嘉美佳慧颖鑫博睿哲彤瑶琳雯倩云飞龙虎鹏程万里德福贵财喜庆祥瑞和顺安康宁";

/// The `n`-th person of the province: names as frequent as such names are, a home, a telephone.
fn person(n: u64, people: u64) -> Demographics {
    let pick = |text: &str, at: u64| text.chars().nth((at as usize) % text.chars().count()).unwrap();
    // The first families are the most frequent.
    let family = {
        let r = (mix(n, 1) % 10_000) as f64 / 10_000.0;
        (r * r * FAMILY.chars().count() as f64) as u64
    };
    let mut name = String::from(pick(FAMILY, family));
    name.push(pick(GIVEN, mix(n, 2)));
    if mix(n, 3) % 10 > 1 {
        name.push(pick(GIVEN, mix(n, 4)));
    }
    let birth = NaiveDate::from_ymd_opt(1935, 1, 1).unwrap() + chrono::Days::new(mix(n, 5) % 32_000);
    let man = mix(n, 6).is_multiple_of(2);
    let serial = (mix(n, 7) % 499) as u16 * 2 + u16::from(man);
    let township = mix(n, 8) % (people / 20_000).max(5);
    let region =
        format!("4115{:02}{:03}{:03}", 2 + township / 20 % 90, 100 + township % 20, 200 + mix(n, 9) % 15);
    let id = if mix(n, 10).is_multiple_of(10) {
        String::new()
    } else {
        CitizenId::compose(&region[..6], birth, serial.max(1))
            .map(|c| c.as_str().to_owned())
            .unwrap_or_default()
    };
    Demographics {
        local_no: format!("P{n}"),
        name,
        sex: if man { "1" } else { "2" }.into(),
        birth_date: Some(birth),
        credential_kind: if id.is_empty() { String::new() } else { "01".into() },
        credential_no: id,
        phone: format!("1{:010}", 3_000_000_000 + mix(n / (1 + mix(n, 11) % 2), 12) % 6_999_999_999),
        address: format!("{}村{}组{}号", pick(GIVEN, mix(n, 13)), 1 + mix(n, 14) % 12, 1 + mix(n, 15) % 200),
        region,
        registration: true,
        ..Default::default()
    }
}

/// The `n`-th registration that is measured: half new people, four in ten known ones at another institution, the rest of
/// them with a mistake and without a number.
fn registration(n: u64, people: u64) -> Demographics {
    let mut row = match mix(n, 77) % 10 {
        0..5 => person(people + n, people),
        5..9 => person(mix(n, 78) % people, people),
        _ => {
            let mut row = person(mix(n, 79) % people, people);
            row.credential_no.clear();
            row.birth_date = row.birth_date.map(|d| d + chrono::Days::new(1));
            row
        }
    };
    row.local_no = format!("M{n}");
    row
}

#[tokio::main]
async fn main() {
    let sizes = std::env::var("MINKANG_BENCH_PEOPLE").unwrap_or_else(|_| "100000,1000000".into());
    println!(
        "{:>9} {:>8} {:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>6}",
        "people", "fill s", "single/s", "p50 ms", "p99 ms", "max ms", "chunked/s", "raw/s", "ratio"
    );
    for people in sizes.split(',').filter_map(|s| s.trim().parse::<u64>().ok()) {
        let folder = tempfile::Builder::new().prefix("minkang-bench").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let cluster = Cluster::start(&folder.path().join("postgres"), &|_: &str| {}).await.unwrap();
        let db = Db::connect(cluster.connect_options(), WORKERS as u32 + 2).await.unwrap();
        let migrations: Vec<_> = [store::MIGRATIONS, person::MIGRATIONS].concat();
        store::migrate(db.pool(), &migrations).await.unwrap();
        let db = db.with_keyring(testkit::keyring());
        measure(&db, people).await;
        db.close().await;
        cluster.stop().await.unwrap();
    }
}

async fn measure(db: &Db, people: u64) {
    let began = Instant::now();
    fill(db, people).await;
    let index = Arc::new(MasterIndex::new(db.clone()));
    index.write_keys(now()).await.unwrap();
    run(db, "alter table link_key add primary key (key, identity_id)").await;
    let keys: i64 = sqlx::query_scalar("select count(*) from link_key").fetch_one(db.pool()).await.unwrap();
    let keys = (keys as f64 / people as f64).round() as u64;
    // As it would be left by the nights before; otherwise its vacuum falls into what is measured.
    run(db, "vacuum (analyze)").await;
    run(db, "checkpoint").await;
    let filled = began.elapsed();

    // Warm.
    for n in 0..400 {
        single(db, &index, 1_000_000_000 + n, people).await;
    }
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (db, index, next) = (db.clone(), index.clone(), next.clone());
        workers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= SINGLES {
                    return taken;
                }
                let began = Instant::now();
                single(&db, &index, n as u64, people).await;
                taken.push(began.elapsed());
            }
        }));
    }
    let mut taken: Vec<Duration> = Vec::new();
    for worker in workers {
        taken.extend(worker.await.unwrap());
    }
    let singles = SINGLES as f64 / began.elapsed().as_secs_f64();
    taken.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;

    let began = Instant::now();
    for chunk in 0..CHUNKS {
        let rows: Vec<_> =
            (0..CHUNK).map(|n| registration((10_000_000 + chunk * CHUNK + n) as u64, people)).collect();
        db.transaction(async |tx| index.link(tx, InstitutionId::new(3), &rows, 1, now()).await)
            .await
            .unwrap();
    }
    let chunked = (CHUNK * CHUNKS) as f64 / began.elapsed().as_secs_f64();
    let raw = raw(db, keys).await;
    println!(
        "{people:>9} {:>8.0} {singles:>9.0} {:>8.2} {:>8.2} {:>8.2} {chunked:>10.0} {raw:>9.0} {:>6.2}",
        filled.as_secs_f64(),
        ms(taken[taken.len() / 2]),
        ms(taken[taken.len() * 99 / 100]),
        ms(taken[taken.len() - 1]),
        singles / raw
    );
    let sizes: Vec<(String, i64)> = sqlx::query_as(
        "select relname::text, pg_total_relation_size(oid)::bigint from pg_class
         where relname in ('person', 'identity_record', 'link_key') order by 1",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    for (table, bytes) in sizes {
        println!("          {table}: {:.0} bytes a person", bytes as f64 / people as f64);
    }
}

async fn single(db: &Db, index: &MasterIndex, n: u64, people: u64) {
    let row = [registration(n, people)];
    let mut retry = store::db::Retry::default();
    loop {
        let institution = InstitutionId::new(2 + (n % 5) as i64);
        match db.transaction(async |tx| index.link(tx, institution, &row, 1, now()).await).await {
            Err(error) if retry.again(&error).await => {}
            out => break drop(out.unwrap()),
        }
    }
}

/// The same rows in the same tables without looking at anything: person, record, its keys, an event; as many at once.
async fn raw(db: &Db, keys: u64) -> f64 {
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (db, next) = (db.clone(), next.clone());
        workers.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= SINGLES {
                    return;
                }
                let keys: Vec<i64> = (0..keys).map(|k| mix(n as u64, 900 + k) as i64).collect();
                db.transaction(async |tx| {
                    sqlx::query(
                        "with p as (insert into person (name, sex, birth_date, created_at)
                             values ('原样', '1', date '1980-01-01', now()) returning id)
                         , i as (insert into identity_record
                                 (institution_id, local_no, person_id, name, initials, link_rule, updated_at)
                             select 900, $1, id, '原样', 'yy', 'new', now() from p returning id, person_id)
                         , k as (insert into link_key (key, identity_id) select k, id from i, unnest($2::bigint[]) k)
                         insert into identity_event (identity_id, to_person, kind, rule, at)
                             select id, person_id, 'registered', 'new', now() from i",
                    )
                    .bind(format!("raw{n}"))
                    .bind(&keys)
                    .execute(&mut **tx)
                    .await
                    .unwrap();
                    Ok(())
                })
                .await
                .unwrap();
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    SINGLES as f64 / began.elapsed().as_secs_f64()
}

async fn run(db: &Db, statement: &'static str) {
    sqlx::raw_sql(statement).execute(db.pool()).await.unwrap();
}

/// One record for each person, by COPY.
async fn fill(db: &Db, people: u64) {
    run(db, "alter table link_key drop constraint link_key_pkey").await;
    let step = 20_000;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<(CopyRows, CopyRows)>(2);
    let keyring = db.keyring().clone();
    let maker = tokio::task::spawn_blocking(move || {
        let sealer = keyring.sealer(Domain::Identity).unwrap();
        let blinder = keyring.blinder(Domain::Identity).unwrap();
        let wide = |kind: &str, text: &str| u128::from_be_bytes(blinder.blind(kind, text));
        let mut numbers = std::collections::HashSet::new();
        let mut from = 0;
        while from < people {
            let to = (from + step).min(people);
            let (mut persons, mut records) =
                (CopyRows::new(10, step as usize), CopyRows::new(22, step as usize));
            for n in from..to {
                let mut p = person(n, people);
                // Two with one number would be one person.
                let fingerprint = p.credential_no.bytes().fold(7, |h, b| mix(h, b.into()));
                if !p.credential_no.is_empty() && !numbers.insert(fingerprint) {
                    p.credential_no.clear();
                }
                let id = n as i64 + 1;
                let citizen = sealer.text("person.citizen_id", &p.credential_no).unwrap();
                let phone = sealer.text("person.phone", &p.phone).unwrap();
                let address = sealer.text("person.address", &p.address).unwrap();
                let blind = (!p.credential_no.is_empty()).then(|| wide("citizen", &p.credential_no));
                persons.row();
                persons.int8(id);
                persons.text(&p.name);
                persons.text(&p.sex);
                persons.date(p.birth_date.unwrap());
                match blind {
                    Some(b) => {
                        persons.text(&citizen);
                        persons.digest(b);
                    }
                    None => {
                        persons.null();
                        persons.null();
                    }
                }
                persons.text(&phone);
                persons.text(&address);
                persons.text(&p.region);
                persons.instant(now());
                records.row();
                records.int8(id);
                records.int4(1);
                records.text(&p.local_no);
                records.int8(id);
                records.text(&p.name);
                records.text(&initials(&p.name));
                records.text(&p.sex);
                records.date(p.birth_date.unwrap());
                records.text("new");
                records.text(if blind.is_some() { "01" } else { "" });
                records.text(&sealer.text("person.credential_no", &p.credential_no).unwrap());
                match blind {
                    Some(_) => records.text(&citizen),
                    None => records.null(),
                }
                for kind in ["citizen", "credential", "citizen", "citizen"] {
                    match blind {
                        Some(_) => records.digest(wide(kind, &p.credential_no)),
                        None => records.null(),
                    }
                }
                records.text(&phone);
                records.digest(wide("phone", &p.phone));
                records.text(&address);
                records.text(&p.region);
                records.boolean(true);
                records.instant(now());
            }
            from = to;
            if sender.blocking_send((persons, records)).is_err() {
                return;
            }
        }
    });
    while let Some((persons, records)) = receiver.recv().await {
        db.transaction(async |tx| {
            persons
                .send(
                    tx,
                    "copy person (id, name, sex, birth_date, citizen_id, citizen_blind, phone, address, region,
                        created_at) from stdin (format binary)",
                )
                .await?;
            records
                .send(
                    tx,
                    "copy identity_record (id, institution_id, local_no, person_id, name, initials, sex, birth_date,
                        link_rule, credential_kind, credential_no, citizen_id, citizen_blind, credential_blind,
                        own_blind, claim_blind, phone, phone_blind, address, region, registered, updated_at)
                     from stdin (format binary)",
                )
                .await
        })
        .await
        .unwrap();
    }
    maker.await.unwrap();
    run(
        db,
        "select setval(pg_get_serial_sequence('person', 'id'), (select max(id) from person));
         select setval(pg_get_serial_sequence('identity_record', 'id'), (select max(id) from identity_record))",
    )
    .await;
}
