//! The record page: whole HTML of persons picked at random, signed in, audit written, over HTTP on loopback; beside
//! the bare index read of the same entries in the same run.
//!
//! `cargo bench -p minkang --bench record`; `MINKANG_BENCH_PEOPLE` (default `20000,500000`) sets the sizes of the
//! city. Server, database and load share the machine's cores.

#![allow(clippy::print_stdout)] // its figures are its output

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use contracts::{Institutions, NewInstitution};
use identity::{NewAccount, Persona};
use kernel::{Caller, Clock, Purpose, RegionCode, SystemClock};
use minkang::platform::{Platform, Settings};
use sqlx::PgPool;
use store::AuditEntry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INSTITUTIONS: i64 = 20;
const CONNECTIONS: usize = 12;
const ROUND: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sizes = std::env::var("MINKANG_BENCH_PEOPLE").unwrap_or_else(|_| "20000,500000".to_owned());
    let mut medians = Vec::new();
    for size in sizes.split(',') {
        medians.push(city(size.trim().parse()?).await?);
    }
    if let [first, .., last] = medians.as_slice() {
        println!("p50 of the largest city is {:.2} times that of the smallest", last / first);
    }
    Ok(())
}

async fn city(people: i64) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        data: folder.path().to_owned(),
        database_url: None,
        database_owner_url: None,
        catalog_dir: None,
        master_key: None,
        connections: 16,
        base_url: String::new(),
    };
    let platform = Platform::open(&settings, Arc::new(SystemClock), &|_: &str| {}).await?;
    let outcome = measure(&platform, people).await;
    platform.close().await?;
    outcome
}

async fn measure(platform: &Platform, people: i64) -> anyhow::Result<f64> {
    let first = register(platform).await?;
    fill(platform.owner.pool(), first, people).await?;
    let persona = Persona {
        account: NewAccount {
            login: "bench".to_owned(),
            name: "测速医师".to_owned(),
            staff_no: "B1".to_owned(),
            role: "township_doctor".to_owned(),
            institution: Some(first.into()),
            region: RegionCode::parse("411503")?,
        },
        password: "Huanj-2026-Minkang!".to_owned(),
    };
    platform.identity.ensure_persona(&persona).await?;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let site = web::serve::Site::new(platform.identity.authenticator());
    let app = web::serve::build_app(platform.routes(), site);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(web::serve::serve(listener, app, async move {
        let _ = stopped.await;
    }));
    let cookie = sign_in(&address, &persona).await?;

    let (_, bytes) = get(&mut TcpStream::connect(&address).await?, &cookie, INSTITUTIONS).await?;
    run(&address, &cookie, people, ROUND / 4, None).await?;
    let (greatest, _) = run(&address, &cookie, people, ROUND, None).await?;
    let (half, mut times) = run(&address, &cookie, people, ROUND, Some(greatest / 2.0)).await?;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let bare = bare_reads(platform.owner.pool(), people).await?;
    println!(
        "{people} people: {greatest:.0} pages/s of {} KiB at most; at {half:.0}/s p50 {:.1} ms, p99 {:.1} ms; bare index \
         reads of the same entries {bare:.0}/s, ratio {:.2}",
        bytes / 1024,
        at(0.5),
        at(0.99),
        greatest / bare
    );
    audit_share(platform, &address, &cookie, people).await?;
    let _ = stop.send(());
    let _ = server.await;
    Ok(at(0.5))
}

/// What the audit entry adds to a view: one reader after the other, with the entry and with a rule that drops it, in
/// turns so that the machine's moods fall on both. The rule leaves the statement itself; its round trip passes while the
/// page is made, the work of sending it does not and is added. The last figures are of as many readers as there can be,
/// where nothing passes for nothing.
async fn audit_share(platform: &Platform, address: &str, cookie: &str, people: i64) -> anyhow::Result<()> {
    const TURNS: usize = 6;
    const VIEWS: usize = 500;
    let mut stream = TcpStream::connect(address).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let kept = turn % 2 == 0;
        keep_entries(platform, kept).await?;
        for view in 0..VIEWS {
            let n = (turn * VIEWS + view) as u64;
            let (spent, _) = get(&mut stream, cookie, person(n, people)).await?;
            if kept { &mut with } else { &mut without }.push(spent);
        }
    }
    let sending = sending(platform).await?;
    let mut trips = Vec::new();
    let mut connection = platform.db.pool().acquire().await?;
    for _ in 0..VIEWS {
        let began = Instant::now();
        sqlx::query("select 1").execute(&mut *connection).await?;
        trips.push(began.elapsed().as_micros() as u64);
    }
    drop(connection);
    let [with, without, trip] = [&mut with, &mut without, &mut trips].map(|times| {
        times.sort_unstable();
        times[times.len() / 2] as f64
    });
    let share = |of_statement: f64| 100.0 * (with - without + of_statement) / (without - of_statement);
    println!(
        "audit: p50 of a single reader {:.0} µs, {:.0} µs when the entry is dropped; sending it takes {sending:.0} µs, so \
         it adds {:.1} % (with the whole round trip of {trip:.0} µs {:.1} %)",
        with,
        without,
        share(sending),
        share(trip)
    );
    let mut rates = [0.0; 2];
    for turn in 0..4 {
        keep_entries(platform, turn % 2 == 0).await?;
        rates[turn % 2] += run(address, cookie, people, ROUND / 4, None).await?.0 / 2.0;
    }
    keep_entries(platform, true).await?;
    println!("audit: {:.0} pages/s at most, {:.0} when the entry is dropped", rates[0], rates[1]);
    Ok(())
}

async fn keep_entries(platform: &Platform, kept: bool) -> anyhow::Result<()> {
    let rule = if kept {
        "drop rule if exists dropped on audit_entry"
    } else {
        "create or replace rule dropped as on insert to audit_entry do instead nothing"
    };
    sqlx::query(rule).execute(platform.owner.pool()).await?;
    Ok(())
}

/// Microseconds of this process to make an entry, send it and hear of it; the entries themselves are dropped.
async fn sending(platform: &Platform) -> anyhow::Result<f64> {
    const COUNT: u32 = 5000;
    keep_entries(platform, false).await?;
    let caller = Caller { name: "王丽华".into(), role: "医生".into(), ..Caller::system("") };
    let entry = AuditEntry {
        act: "record.view",
        object_kind: "person",
        object_id: Some(997),
        object_label: "居民997".to_owned(),
        person_id: Some(997),
        detail: Some(serde_json::json!({ "tab": "概览", "more": false, "care": true })),
        ..AuditEntry::default()
    };
    let now = SystemClock.now();
    let before = cpu()?;
    platform
        .db
        .transaction(async |tx| {
            for _ in 0..COUNT {
                store::audit::record(tx, &caller, &Purpose::of("care"), now, &entry).await?;
            }
            Ok(())
        })
        .await?;
    Ok((cpu()? - before) as f64 / 1000.0 / f64::from(COUNT))
}

/// Nanoseconds that all threads of this process have had a processor.
fn cpu() -> anyhow::Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().map_or(Ok(0), str::parse)?;
    }
    Ok(sum)
}

async fn register(platform: &Platform) -> anyhow::Result<i64> {
    let mut first = 0;
    for n in 0..INSTITUTIONS {
        let id = platform
            .directory
            .register(NewInstitution {
                code: format!("12411503MB{n:07}X"),
                name: format!("测速卫生院{n}"),
                class: "C220".to_owned(),
                sender_class: "township".to_owned(),
                region: RegionCode::parse("411503")?,
                invented: true,
            })
            .await?;
        if n == 0 {
            first = id.get();
        }
    }
    Ok(first)
}

// A city by SQL: each person has one identity record, 12 visits with a diagnosis each and 15 laboratory results; what
// belongs to one person lies scattered over the tables, as it does when it comes day by day.
async fn fill(pool: &PgPool, first: i64, people: i64) -> anyhow::Result<()> {
    let statements = [
        "insert into person (name, sex, birth_date, phone, region)
         select '测' || n, (n % 2 + 1)::text, date '1950-01-01' + (n % 20000)::int, '138' || lpad(n::text, 8, '0'),
            '411503001001' from generate_series(1, $1) n where $2 > 0",
        "insert into identity_record (institution_id, local_no, person_id, name, sex, birth_date, link_rule, updated_at,
            registered, region)
         select $2 + n % 20, 'P' || n, n, '测' || n, (n % 2 + 1)::text, date '1950-01-01' + (n % 20000)::int, 'new',
            now(), true, '411503001001' from generate_series(1, $1) n",
        "insert into record_entry
         select n, timestamp '2024-01-01' + k * interval '60 days' + (n % 700) * interval '61 minutes', s.dataset,
            k * $1 * 2 + n * 2 + s.dataset, $2 + n % 20, s.dataset = 2, false, '内科门诊', 'I10.x00', s.title, '王医师'
         from generate_series(0, 11) k, generate_series(1, $1) n,
            (values (2::smallint, '内科门诊 特发性(原发性)高血压'), (3::smallint, '特发性(原发性)高血压')) s (dataset, title)
         order by k, n",
        "insert into fact_lab_result (id, identity_id, batch_id, occurred_at, digest, institution_id, version, row_no,
            report_no, item_no, patient_no, item_code, loinc_code, item_name, result_text, result_number, unit,
            reference_low, reference_high, abnormal_flag, reported_at)
         select 1000000000 + k * $1 + n, n, 1, timestamp '2025-01-01' + k * interval '30 days', gen_random_uuid(),
            $2 + n % 20, 1, 1, 'R' || n || '-' || k / 5, (k % 5)::text, 'P' || n, 'X' || k % 5, '14749-6', '葡萄糖',
            '6.50', 6.50, 'mmol/L', 3.9, 6.1, 'H', timestamp '2025-01-01' + k * interval '30 days'
         from generate_series(0, 14) k, generate_series(1, $1) n order by k, n",
    ];
    for statement in statements {
        sqlx::query(statement).bind(people).bind(first as i32).execute(pool).await?;
    }
    for statement in ["vacuum analyze", "checkpoint"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    // A city that was filled in minutes still has gigabytes to write out; one that grew day by day has not.
    std::process::Command::new("sync").status()?;
    Ok(())
}

async fn sign_in(address: &str, persona: &Persona) -> anyhow::Result<String> {
    let body = format!("login={}&password={}", persona.account.login, persona.password.replace('!', "%21"));
    let request = format!(
        "POST /sign-in HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let (head, _) = read_response(&mut stream).await?;
    head.lines()
        .filter_map(|l| l.strip_prefix("set-cookie: "))
        .find(|c| c.starts_with("minkang_session"))
        .and_then(|c| c.split(';').next())
        .map(str::to_owned)
        .ok_or_else(|| anyhow::anyhow!("sign-in failed: {head}"))
}

/// Fetches one record page; microseconds and bytes.
async fn get(stream: &mut TcpStream, cookie: &str, person: i64) -> anyhow::Result<(u64, usize)> {
    let began = Instant::now();
    let request = format!("GET /record/{person} HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (head, body) = read_response(stream).await?;
    let page = String::from_utf8_lossy(&body);
    anyhow::ensure!(
        head.starts_with("HTTP/1.1 200") && page.contains("高血压"),
        "not a record page: {}",
        head.lines().next().unwrap_or_default()
    );
    Ok((began.elapsed().as_micros() as u64, body.len()))
}

async fn read_response(stream: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut data = Vec::with_capacity(64 * 1024);
    loop {
        anyhow::ensure!(stream.read_buf(&mut data).await? > 0, "connection closed");
        let Some(end) = data.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&data[..end]).into_owned();
        let length: usize = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "))
            .map(str::parse)
            .transpose()?
            .unwrap_or(0);
        while data.len() < end + 4 + length {
            anyhow::ensure!(stream.read_buf(&mut data).await? > 0, "connection closed");
        }
        return Ok((head, data.split_off(end + 4)));
    }
}

/// Persons of the doctor's own institution, in no order.
fn person(turn: u64, people: i64) -> i64 {
    let own = (people / INSTITUTIONS).max(1) as u64;
    ((turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % own + 1) as i64 * INSTITUTIONS
}

/// Fetches pages for a while, as fast as possible or at a rate; pages per second and each page's microseconds, in the
/// second case from the moment at which it was due.
async fn run(
    address: &str,
    cookie: &str,
    people: i64,
    time: Duration,
    rate: Option<f64>,
) -> anyhow::Result<(f64, Vec<u64>)> {
    let turn = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, cookie, turn) = (address.to_owned(), cookie.to_owned(), turn.clone());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let mut times = Vec::new();
            while began.elapsed() < time {
                let n = turn.fetch_add(1, Ordering::Relaxed);
                let due = rate.map(|r| began + Duration::from_secs_f64(n as f64 / r));
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                let (spent, _) = get(&mut stream, &cookie, person(n, people)).await?;
                times.push(due.map_or(spent, |d| d.elapsed().as_micros() as u64));
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = tasks.join_next().await {
        all.extend(times??);
    }
    Ok((all.len() as f64 / began.elapsed().as_secs_f64(), all))
}

async fn bare_reads(pool: &PgPool, people: i64) -> anyhow::Result<f64> {
    let turn = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (pool, turn) = (pool.clone(), turn.clone());
        tasks.spawn(async move {
            while began.elapsed() < ROUND / 2 {
                let n = turn.fetch_add(1, Ordering::Relaxed);
                sqlx::query(
                    "select * from record_entry where identity_id = $1 order by occurred_at desc limit 400",
                )
                .bind(person(n, people))
                .fetch_all(&pool)
                .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(turn.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}
