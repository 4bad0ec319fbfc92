//! The audit trail at size: each kind of search, p50 and p99, beside the bare index read that leads to the same entries;
//! and what writing an entry costs beside a table without indexes.
//!
//! `cargo bench -p minkang-identity --bench audit`; `AUDIT_ENTRIES` (default 2000000) sets how many entries there are, spread
//! over 24 months. Fifty million need about 30 GB of disk and half an hour.

#![allow(clippy::print_stdout)] // its figures are its output

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use identity::audit::store::{Search, Sight, search};
use kernel::{Act, Caller, Clock, Line, Need, Purpose, SystemClock};
use sqlx::{AssertSqlSafe, PgPool};
use store::audit::{Keys, record};
use store::{AuditEntry, Cluster, Db, migrate};

const RUNS: usize = 200;
const MONTHS: i64 = 24;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let entries: i64 = std::env::var("AUDIT_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(&folder.path().join("postgres"), &|_| {}).await?;
    let db = Db::connect(cluster.connect_options(), 4).await?;
    let migrations: Vec<store::Migration> =
        store::MIGRATIONS.iter().chain(identity::MIGRATIONS).copied().collect();
    migrate(db.pool(), &migrations).await?;
    let outcome = measure(&db, entries).await;
    db.close().await;
    cluster.stop().await?;
    outcome
}

async fn measure(db: &Db, entries: i64) -> Outcome {
    let now = SystemClock.now();
    let began = Instant::now();
    fill(db.pool(), entries, now).await?;
    let size: String = sqlx::query_scalar(
        "select pg_size_pretty(sum(pg_total_relation_size(inhrelid))) from pg_inherits
             where inhparent = 'audit_entry'::regclass",
    )
    .fetch_one(db.pool())
    .await?;
    println!("{entries} entries, {size}, filled in {:.0} s", began.elapsed().as_secs_f64());
    searches(db, entries, now).await?;
    writing(db, now).await
}

async fn fill(pool: &PgPool, entries: i64, now: DateTime<Utc>) -> Outcome {
    let begin = now - TimeDelta::days(MONTHS * 30);
    sqlx::query("select audit_partitions($1, $2)").bind(begin).bind(MONTHS as i32 + 1).execute(pool).await?;
    // Filled bare, indexed afterwards.
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select indexname::text, indexdef from pg_indexes where tablename = 'audit_entry' and indexname <> 'audit_entry_pkey'",
    )
    .fetch_all(pool)
    .await?;
    for (name, _) in &indexes {
        sqlx::query(AssertSqlSafe(format!("drop index {name}"))).execute(pool).await?;
    }
    let mut done = 0;
    while done < entries {
        let until = (done + 1_000_000).min(entries);
        sqlx::query(
            "insert into audit_entry (at, account_id, session_id, kind, assurance, actor, role, institution_id,
                institution_name, region, address, act, object_kind, object_id, object_label, person_id, purpose, outcome,
                detail, mac)
             select $3::timestamptz + ($4::timestamptz - $3) * (n::float8 / $5), a, a * 10 + n % 10, 'staff', 'single',
                '医生' || a, '医生', a % 3300, '第' || (a % 3300) || '卫生院', '4115' || lpad((a % 3300)::text, 5, '0') || '000',
                '10.' || a % 3300 % 250 || '.' || a % 3300 / 250 || '.' || a % 250,
                case when k < 80 then 'record.view' when k < 88 then 'person.search' when k < 96 then 'sign_in'
                    when k < 99 then 'batch.receive' else 'account.unlock' end,
                case when k < 80 then 'person' when k < 88 then 'search' when k < 96 then 'account' else 'batch' end,
                case when k < 80 then p when k < 88 then null else a end,
                case when k < 80 then '居民' || p else '' end, case when k < 80 then p end,
                case when k < 80 then case when n % 20000 = 7 then 'emergency' else 'care' end else '' end,
                case when n % 211 = 0 then 'refused' else 'ok' end,
                '{\"tab\":\"概览\",\"care\":true}', decode('0102030405060708090a0b0c0d0e0f1011', 'hex')
             from generate_series($1::bigint, $2::bigint - 1) n, lateral (select
                (hashint8(n)::bigint & 2147483647) % 30000 + 1 as a, (hashint8(n + 7)::bigint & 2147483647) % 100 as k,
                (hashint8(n + 13)::bigint & 2147483647) % greatest($5 / 40, 1000) + 1 as p) r",
        )
        .bind(done)
        .bind(until)
        .bind(begin)
        .bind(now)
        .bind(entries)
        .execute(pool)
        .await?;
        done = until;
    }
    for (_, definition) in &indexes {
        // The definition of a partitioned index is of the parent alone.
        sqlx::query(AssertSqlSafe(definition.replace(" ON ONLY ", " ON "))).execute(pool).await?;
    }
    sqlx::query("vacuum analyze audit_entry").execute(pool).await?;
    Ok(())
}

/// A kind of search, and the bare read of the same entries.
struct Kind {
    name: &'static str,
    search: fn(u64, i64, DateTime<Utc>) -> Search,
    bare: &'static str,
    bind: fn(u64, i64) -> String,
}

fn account(n: u64) -> i64 {
    (n % 30_000) as i64 + 1
}

fn person(n: u64, entries: i64) -> i64 {
    (n % (entries / 40).max(1000).unsigned_abs()) as i64 + 1
}

fn all(now: DateTime<Utc>) -> Search {
    Search { until: Some(now + TimeDelta::days(1)), ..Search::default() }
}

const KINDS: [Kind; 12] = [
    Kind {
        name: "newest",
        search: |_, _, now| all(now),
        bare: "select at, id from audit_entry where $1 <> 'x' order by at desc, id desc limit 51",
        bind: |_, _| String::new(),
    },
    Kind {
        name: "a page in the middle",
        search: |n, _, now| Search {
            after: Some((now - TimeDelta::hours((n % 17_000) as i64), i64::MAX)),
            ..all(now)
        },
        bare: "select at, id from audit_entry where at < now() - make_interval(hours => $1::int) order by at desc limit 51",
        bind: |n, _| (n % 17_000).to_string(),
    },
    Kind {
        name: "person",
        search: |n, e, now| Search { person: Some(person(n, e)), ..all(now) },
        bare: "select at, id from audit_entry where person_id = $1::bigint order by at desc limit 51",
        bind: |n, e| person(n, e).to_string(),
    },
    Kind {
        name: "account",
        search: |n, _, now| Search { account: Some(account(n)), ..all(now) },
        bare: "select at, id from audit_entry where account_id = $1::bigint order by at desc limit 51",
        bind: |n, _| account(n).to_string(),
    },
    Kind {
        name: "actor's name",
        search: |n, _, now| Search { actor: format!("医生{}", account(n)), ..all(now) },
        bare: "select at, id from audit_entry where actor = '医生' || $1 order by at desc limit 51",
        bind: |n, _| account(n).to_string(),
    },
    Kind {
        name: "object's name",
        search: |n, e, now| Search { object: format!("居民{}", person(n, e)), ..all(now) },
        bare: "select at, id from audit_entry where object_label = '居民' || $1 and object_label <> '' order by at desc limit 51",
        bind: |n, e| person(n, e).to_string(),
    },
    Kind {
        name: "object",
        search: |n, _, now| Search { object_id: Some(("batch".into(), account(n))), ..all(now) },
        bare: "select at, id from audit_entry where object_kind = 'batch' and object_id = $1::bigint and object_kind <> 'person'
             order by at desc limit 51",
        bind: |n, _| account(n).to_string(),
    },
    Kind {
        name: "act",
        search: |_, _, now| Search { act: "account.unlock".into(), ..all(now) },
        bare: "select at, id from audit_entry where act = 'account.unlock' and $1 <> 'x' order by at desc limit 51",
        bind: |_, _| String::new(),
    },
    Kind {
        name: "institution",
        search: |n, _, now| Search { institutions: Some(vec![(n % 3300) as i32]), ..all(now) },
        bare: "select at, id from audit_entry where institution_id = $1::int order by at desc limit 51",
        bind: |n, _| (n % 3300).to_string(),
    },
    Kind {
        name: "address",
        search: |n, _, now| Search { address: format!("10.{}.{}.", n % 250, n % 13), ..all(now) },
        bare: "select at, id from audit_entry where address like $1 order by at desc limit 51",
        bind: |n, _| format!("10.{}.{}.%", n % 250, n % 13),
    },
    Kind {
        name: "failed, act, institution",
        search: |n, _, now| Search {
            outcome: "failed".into(),
            act: "sign_in".into(),
            institutions: Some(vec![(n % 3300) as i32]),
            ..all(now)
        },
        bare: "select at, id from audit_entry where institution_id = $1::int and outcome <> 'ok' and act = 'sign_in'
             order by at desc limit 51",
        bind: |n, _| (n % 3300).to_string(),
    },
    Kind {
        name: "a rare purpose, no index",
        search: |_, _, now| Search { purpose: "emergency".into(), ..all(now) },
        bare: "select at, id from audit_entry where $1 <> 'x' order by at desc limit 51",
        bind: |_, _| String::new(),
    },
];

async fn searches(db: &Db, entries: i64, now: DateTime<Utc>) -> Outcome {
    let caller = Caller::system("测速");
    let reach = caller.decide(Need::new(Line::Audit, Act::Read), Purpose::of("audit"))?;
    println!("{:<28}{:>10}{:>10}{:>14}{:>8}", "search", "p50 ms", "p99 ms", "bare p50 ms", "rows");
    for kind in &KINDS {
        let (mut times, mut bare, mut rows) = (Vec::new(), Vec::new(), 0);
        for run in 0..RUNS as u64 {
            let n = run.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let asked = (kind.search)(n, entries, now);
            let (took, found) = db
                .personal(&reach, now, async |tx, _| {
                    let began = Instant::now();
                    let found = search(tx, &Sight::whole(), &asked, 51).await?;
                    Ok(((began.elapsed(), found.entries.len()), AuditEntry::default()))
                })
                .await?;
            times.push(took.as_secs_f64() * 1000.0);
            rows += found;
            let began = Instant::now();
            sqlx::query(kind.bare).bind((kind.bind)(n, entries)).fetch_all(db.pool()).await?;
            bare.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        println!(
            "{:<28}{:>10.2}{:>10.2}{:>14.2}{:>8.1}",
            kind.name,
            at(&mut times, 0.5),
            at(&mut times, 0.99),
            at(&mut bare, 0.5),
            rows as f64 / RUNS as f64
        );
    }
    Ok(())
}

fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// What an entry costs within a transaction, beside the same row in a table without indexes and without a MAC.
async fn writing(db: &Db, now: DateTime<Utc>) -> Outcome {
    const COUNT: i64 = 5000;
    sqlx::query("create table bare_entry (like audit_entry including defaults)").execute(db.pool()).await?;
    let keyed = db.clone().with_keyring(testkit::keyring());
    let keys = Keys::open(&keyed, now).await?;
    let keyed = keyed.with_trail_key(keys.mac().clone());
    let caller = Caller { name: "王丽华".into(), role: "医生".into(), ..Caller::system("") };
    let began = Instant::now();
    keyed
        .transaction(async |tx| {
            for n in 0..COUNT {
                let entry = AuditEntry {
                    act: "record.view",
                    object_kind: "person",
                    object_id: Some(n * 997),
                    object_label: format!("居民{n}"),
                    person_id: Some(n * 997),
                    detail: Some(serde_json::json!({ "tab": "概览", "care": true })),
                    ..AuditEntry::default()
                };
                record(tx, &caller, &Purpose::of("care"), now, &entry).await?;
            }
            Ok(())
        })
        .await?;
    let whole = began.elapsed();
    let mut connection = db.pool().acquire().await?;
    sqlx::query("begin").execute(&mut *connection).await?;
    let began = Instant::now();
    for n in 0..COUNT {
        sqlx::query(
            "insert into bare_entry (at, actor, role, institution_name, address, act, object_kind, object_label, person_id,
                detail) values ($1, '王丽华', '医生', '', 'local', 'record.view', 'person', $2, $3, $4::text::json)",
        )
        .bind(now)
        .bind(format!("居民{n}"))
        .bind(n * 997)
        .bind("{\"tab\":\"概览\",\"care\":true}")
        .execute(&mut *connection)
        .await?;
    }
    let bare = began.elapsed();
    sqlx::query("commit").execute(&mut *connection).await?;
    println!(
        "writing an entry: {:.0} µs; the same row without indexes and MAC {:.0} µs",
        whole.as_secs_f64() * 1e6 / COUNT as f64,
        bare.as_secs_f64() * 1e6 / COUNT as f64
    );
    Ok(())
}
