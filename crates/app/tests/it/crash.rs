//! The program dies at each step of intake, and 50 times at random during a load. After each restart every
//! acknowledged row is there exactly once and everything written agrees with itself.

use std::time::{Duration, Instant};

use crate::city::counts;
use crate::rows::{patients, visit, visits};
use crate::server::{Home, Server};
use crate::sound::assert_sound;

/// Every crash point of intake, and on which pass to die. Files of [`first`] have two chunks.
const POINTS: [&str; 15] = [
    "intake.kept",
    "intake.accepted",
    "intake.begun",
    "intake.read",
    "intake.read:2",
    "intake.linked",
    "intake.facts_written",
    "intake.facts_written:2",
    "intake.indexed",
    "intake.chunk_written:2",
    "intake.chunk_committed",
    "intake.chunk_committed:2",
    "intake.closing",
    "intake.close_written",
    "intake.closed",
];

/// Rows of a file that is sent while the program dies: more than one chunk.
const ROWS: u32 = 4_500;

#[tokio::test(flavor = "multi_thread")]
async fn the_program_may_die_at_every_step_of_intake() {
    let home = Home::make().await;
    let mut stored = 0;
    for (n, point) in POINTS.into_iter().enumerate() {
        let began = Instant::now();
        let first = n as u32 * ROWS;
        // New rows, corrections of the round before, and two rows that are rejected.
        let mut file = visits(first..first + ROWS, 300, 80);
        let corrected = if n == 0 { 0 } else { 100 };
        for old in 0..corrected {
            file.push_str(&visit(first - ROWS + old, (first - ROWS + old) % 300, 99));
            file.push('\n');
        }
        file.push_str(&visit(first, 0, 80).replace(&format!("V{first:07}"), ""));
        file.push('\n');
        file.push_str(&visit(first, 0, 80).replace("2025-05-", "2025-13-"));
        file.push('\n');
        let all = i64::from(ROWS + corrected + 2);
        let expected = [all, i64::from(ROWS), 0, i64::from(corrected), 0, 2];

        let mut server = home.start(&[("MINKANG_CRASH_AT", point)]).await;
        let key = format!("round-{n}");
        let answer = server.upload("wait=false", &key, file.as_bytes()).await;
        server.until_dead().await;
        drop(server);
        let acknowledged = answer.is_ok_and(|reply| reply.status == 202);

        let server = home.start(&[]).await;
        home.settled().await;
        let known: Option<i64> = sqlx::query_scalar("select id from batch where request_key = $1")
            .bind(&key)
            .fetch_optional(&home.database)
            .await
            .unwrap();
        assert!(known.is_some() || !acknowledged, "{point}: acknowledged and forgotten");
        assert_eq!(known.is_none(), point == "intake.kept", "{point}: accepted is accepted");
        // The sender heard nothing, or a number: either way it asks again.
        let reply = server.upload("", &key, file.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 200, "{point}: {}\n{}", reply.text(), home.log());
        let receipt = reply.json();
        assert_eq!(
            (receipt["state"].as_str(), counts(&receipt)),
            (Some("done"), expected),
            "{point}: {receipt}"
        );
        assert!(known.is_none_or(|id| receipt["batch"] == id), "{point}");
        stored += i64::from(ROWS);
        assert_eq!(home.count("select count(*) from fact_outpatient_visit").await, stored, "{point}");
        assert_sound(&home.database).await;
        if n % 5 == 1 {
            let again = server.upload("", &format!("{key} again"), file.as_bytes()).await.unwrap().json();
            assert_eq!(counts(&again)[1..5], [0, i64::from(ROWS + corrected), 0, 0], "{point}: {again}");
            assert_sound(&home.database).await;
        }
        server.stop().await;
        eprintln!("{point}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

/// Crash points that a bundle passes as well.
const BUNDLE_POINTS: [&str; 4] =
    ["intake.chunk_written:2", "intake.chunk_committed", "intake.close_written", "intake.closed"];

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_stored_or_kept_once_whenever_the_program_dies() {
    let home = Home::make().await;
    for (n, point) in BUNDLE_POINTS.into_iter().enumerate() {
        // More than one run of resources; one in ten is of a kind that is not mapped.
        let resources: String = (0..2_500)
            .map(|r| match r % 10 {
                0 => format!("{{\"resourceType\":\"Basic\",\"id\":\"b{n}-{r}\"}}\n"),
                _ => format!(
                    "{{\"resourceType\":\"Patient\",\"id\":\"p{n}-{r}\",\"gender\":\"female\",\
                     \"birthDate\":\"1960-05-01\",\"name\":[{{\"text\":\"王小明\"}}]}}\n"
                ),
            })
            .collect();
        let key = format!("idempotency-key: bundle-{n}\r\n");
        let mut server = home.start(&[("MINKANG_CRASH_AT", point)]).await;
        assert!(server.post("/fhir", &key, [resources.as_bytes()]).await.is_err(), "{point}");
        server.until_dead().await;
        drop(server);
        let server = home.start(&[]).await;
        home.settled().await;
        let reply = server.post("/fhir", &key, [resources.as_bytes()]).await.unwrap();
        assert_eq!(reply.status, 200, "{point}: {}", reply.text());
        let times = n as i64 + 1;
        assert_eq!(home.count("select count(*) from batch").await, times, "{point}");
        assert_eq!(home.count("select count(*) from kept_resource").await, 250 * times, "{point}");
        assert_eq!(home.count("select count(*) from fact_patient").await, 2_250 * times, "{point}");
        assert_eq!(home.count("select sum(rows_stored)::bigint from batch").await, 2_250 * times, "{point}");
        server.stop().await;
    }
}

/// People of the file that is registered while the program dies.
const PEOPLE: u32 = 2_500;
/// Persons that have records.
const PERSONS: &str = "select count(distinct person_id) from identity_record";

/// Registering, writing the keys of what was there before, and evaluating everybody anew: whenever the program dies,
/// nobody is there twice and nobody is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_may_die_at_every_step_of_linking() {
    let home = Home::make().await;
    let path = "/api/v1/datasets/patient/batches";
    // The same people under two numbers each, the second time linked to the first.
    for (n, (point, prefix)) in [("person.decided", "P"), ("person.linked", "Q")].into_iter().enumerate() {
        let file = patients(0..PEOPLE).replace("\nP", &format!("\n{prefix}"));
        let key = format!("idempotency-key: {prefix}\r\n");
        let mut server = home.start(&[("MINKANG_CRASH_AT", point)]).await;
        let _ = server.post(&format!("{path}?wait=false"), &key, [file.as_bytes()]).await;
        server.until_dead().await;
        drop(server);
        let server = home.start(&[]).await;
        home.settled().await;
        let reply = server.post(path, &key, [file.as_bytes()]).await.unwrap();
        assert_eq!(reply.status, 200, "{point}: {}", reply.text());
        let records = i64::from(PEOPLE) * (n as i64 + 1);
        assert_eq!(home.count("select count(*) from identity_record").await, records, "{point}");
        assert_eq!(home.count(PERSONS).await, i64::from(PEOPLE), "{point}");
        // As an earlier version left it, for the next round: nothing has keys.
        for sql in ["delete from link_key", "delete from link_keyed"] {
            sqlx::query(sql).execute(&home.database).await.unwrap();
        }
        server.stop().await;
    }

    // It may die before it answers.
    let mut server = home.launch(&[("MINKANG_CRASH_AT", "person.keyed")]);
    server.until_dead().await;
    drop(server);
    let server = home.start(&[]).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while home.count("select count(*) from link_keyed where done").await == 0 {
        assert!(Instant::now() < deadline, "keys are not written to the end\n{}", home.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let keyless = "select count(*) from identity_record i where not exists
        (select from link_key k where k.identity_id = i.id)";
    assert_eq!(home.count(keyless).await, 0);

    // Keys that nobody makes: it may die between two parts of the sweep.
    for sql in [
        "insert into link_key select n, (select min(id) from identity_record) from generate_series(1, 60000) as n",
        "update link_keyed set swept = 0, clean = false",
    ] {
        sqlx::query(sql).execute(&home.database).await.unwrap();
    }
    let made = home.count("select count(*) from link_key where key not between 1 and 60000").await;
    server.stop().await;
    let mut server = home.launch(&[("MINKANG_CRASH_AT", "person.swept")]);
    server.until_dead().await;
    drop(server);
    let server = home.start(&[]).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while home.count("select count(*) from link_keyed where clean").await == 0 {
        assert!(Instant::now() < deadline, "keys are not swept to the end\n{}", home.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(home.count("select count(*) from link_key").await, made);

    // Everybody apart, as if nobody had been linked.
    for sql in [
        "insert into person (name, sex, birth_date) select local_no, sex, birth_date from identity_record
         where local_no like 'Q%'",
        "update identity_record i set person_id = p.id, claim_blind = null from person p where p.name = i.local_no",
    ] {
        sqlx::query(sql).execute(&home.database).await.unwrap();
    }
    assert_eq!(home.count(PERSONS).await, i64::from(PEOPLE) * 2);
    server.stop().await;
    assert!(!relink(&home, "person.run_applied"), "it dies after the first part");
    assert!(relink(&home, ""));
    let server = home.start(&[]).await;
    assert_eq!(home.count(PERSONS).await, i64::from(PEOPLE));
    assert_eq!(home.count("select count(*) from identity_record").await, i64::from(PEOPLE) * 2);
    assert_sound(&home.database).await;
    server.stop().await;
}

/// `minkang person relink --apply`; whether it ended well.
fn relink(home: &Home, crash: &str) -> bool {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_minkang"));
    command.arg("--data").arg(home.folder.path()).args(["person", "relink", "--apply"]);
    if crash.is_empty() {
        command.env_remove("MINKANG_CRASH_AT");
    } else {
        command.env("MINKANG_CRASH_AT", crash);
    }
    command.output().unwrap().status.success()
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A file of the load.
struct File {
    key: String,
    rows: u32,
    text: String,
    acknowledged: bool,
}

const KILLS: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_during_a_load_lose_nothing_and_double_nothing() {
    let home = Home::make().await;
    let mut dice = Dice(20_250_515);
    let mut files: Vec<File> = Vec::new();
    let mut next = 0;
    let began = Instant::now();
    for kill in 0..KILLS {
        // One in five dies while it starts or recovers.
        if kill % 5 == 4 {
            let server = home.launch(&[]);
            tokio::time::sleep(Duration::from_millis(dice.below(1_200))).await;
            server.kill();
            continue;
        }
        let server = home.start(&[]).await;
        let moment = Duration::from_millis(dice.below(700));
        let _ = tokio::time::timeout(moment, send_some(&server, &mut files, &mut next, &mut dice)).await;
        // One in six takes the database server with it, as a power cut does.
        if kill % 6 == 3 {
            home.kill_database();
        }
        server.kill();
    }
    let survived = files.iter().filter(|f| f.acknowledged).count();
    eprintln!(
        "{KILLS} kills, {} files sent, {survived} acknowledged, {:.0} s",
        files.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(survived > 10, "the load is no load");

    let server = home.start(&[]).await;
    home.settled().await;
    assert_eq!(home.count("select count(*) from batch where state <> 'done'").await, 0, "{}", home.log());
    assert_sound(&home.database).await;
    for file in &files {
        let found: Option<(i64, i64)> =
            sqlx::query_as("select rows_received, rows_rejected from batch where request_key = $1")
                .bind(&file.key)
                .fetch_optional(&home.database)
                .await
                .unwrap();
        assert!(found.is_some() || !file.acknowledged, "{}: acknowledged and forgotten", file.key);
        assert!(found.is_none_or(|f| f == (i64::from(file.rows), 0)), "{}: {found:?}", file.key);
        // What was never acknowledged is sent again, as the sender would.
        if found.is_none() {
            assert_eq!(server.upload("", &file.key, file.text.as_bytes()).await.unwrap().status, 200);
        }
    }
    assert_eq!(home.count("select count(*) from fact_outpatient_visit").await, i64::from(next));
    assert_eq!(home.count("select count(*) from fact_outpatient_visit where version <> 1").await, 0);
    assert_sound(&home.database).await;
    server.stop().await;
}

// Sends files until the time is up; the last one is often cut off on its way.
async fn send_some(server: &Server, files: &mut Vec<File>, next: &mut u32, dice: &mut Dice) {
    loop {
        let rows = 20 + dice.below(1_500) as u32;
        let text = visits(*next..*next + rows, 400, 80);
        *next += rows;
        let at = files.len();
        files.push(File { key: format!("file-{at}"), rows, text, acknowledged: false });
        let query = if dice.below(3) == 0 { "" } else { "wait=false" };
        let sent = server.upload(query, &files[at].key, files[at].text.as_bytes()).await;
        match sent {
            Ok(reply) if reply.status == 429 => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(reply) => files[at].acknowledged = matches!(reply.status, 200 | 202),
            Err(_) => return,
        }
    }
}
