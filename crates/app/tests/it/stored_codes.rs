//! Rows that were stored before a map of a hospital's own codes was approved: they follow the approval, another map, and
//! the end of a map; also when the process dies half-way.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::TimeDelta;
use contracts::StoredCodes;
use directory::terminology::maps::{Decision, Ending, NewMap};
use exchange::intake::stored::Followed;
use kernel::{Caller, Clock};
use sqlx::AssertSqlSafe;

use crate::city::{City, city, counts, until};
use crate::sound::assert_sound;

/// Diagnoses `range` of one patient each: every third with the code `B001` of the hospital itself.
fn diagnoses(range: std::ops::Range<u32>) -> String {
    let mut csv = String::from(
        "visit_no,diagnosis_no,patient_no,patient_name,diagnosis_code,diagnosis_name,diagnosed_at\n",
    );
    for n in range {
        let (code, name) =
            if n % 3 == 0 { ("B001", "高血压病（本院）") } else { ("I10.x00", "特发性高血压") };
        csv.push_str(&format!("V{n},1,P{n},张三,{code},{name},2025-05-{:02} 09:00:00\n", 12 + n % 3));
    }
    csv
}

/// A map proposed by the engineer and approved; its number.
async fn approve(city: &City, table: &str, local: &str, standard: &str) -> i64 {
    let map = NewMap {
        table: table.into(),
        local_code: local.into(),
        standard_code: standard.into(),
        ..NewMap::default()
    };
    let (directory, now, hospital) = (&city.platform.directory, city.clock.now(), city.institutions[0]);
    let report = directory.propose_maps(hospital, &[map], false, &Caller::system("赵工"), now).await.unwrap();
    assert_eq!(report.added, 1, "{report:?}");
    let id = city.count("select max(id) from code_map").await;
    let decision = Decision { approve: true, ..Decision::default() };
    let ids = [hospital.get() as i32];
    let decided = directory.decide_maps(&ids, &[id], decision, &Caller::system("审批"), now).await.unwrap();
    assert_eq!(decided.done, 1);
    id
}

async fn end(city: &City, id: i64) {
    let ids = [city.institutions[0].get() as i32];
    let (directory, now) = (&city.platform.directory, city.clock.now());
    let ended = directory.end_maps(&ids, &[id], Ending::Undo, &Caller::system("审批"), now).await.unwrap();
    assert_eq!(ended, 1);
}

async fn step(city: &City, rows: i64) -> Followed {
    let intake = &city.platform.exchange.intake;
    intake.follow_maps(&*city.platform.directory, city.institutions[0], rows).await.unwrap()
}

/// Diagnoses of the first hospital with a code.
async fn with(city: &City, code: &str) -> i64 {
    let sql = "select count(*) from fact_visit_diagnosis where institution_id = $1 and diagnosis_code = $2";
    let query = sqlx::query_scalar(sql).bind(city.institutions[0].get() as i32).bind(code);
    query.fetch_one(city.db.pool()).await.unwrap()
}

const KEPT: &str = "select count(*) from code_kept k join fact_visit_diagnosis f on f.id = k.fact_id
    where k.local_code = 'B001' and k.local_name = '高血压病（本院）' and k.field = 'diagnosis_code'";
const UNKNOWN: &str = "select coalesce(sum(row_count), 0)::bigint from code_unmapped_day where code = 'B001'
    and institution_id = (select min(institution_id) from code_translation)";
const COVERAGE: &str =
    "select (sum(unmapped) * 1000 + sum(mapped))::bigint from code_day where table_id = 'icd10'
    and institution_id = (select min(institution_id) from code_translation)";

#[tokio::test]
async fn stored_rows_follow_a_map_from_its_approval_to_its_end() {
    let city = city().await;
    let (mut program, mut other) = (city.program(0).await, city.program(2).await);
    program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    other.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    let entries = "select count(*) from record_entry where disease = 'B001'";
    assert_eq!(city.count(entries).await, 20, "both hospitals' entries");

    let first = approve(&city, "icd10", "B001", "I10.x00").await;
    assert_eq!(city.count("select count(*) from code_translation where state = 'waiting'").await, 1);
    testkit::settle(&city.platform.jobs).await;

    assert_eq!((with(&city, "B001").await, with(&city, "I10.x00").await), (0, 30));
    assert_eq!(
        city.count("select count(*) from fact_visit_diagnosis where diagnosis_code = 'B001'").await,
        10,
        "another hospital's B001 is none of it"
    );
    assert_eq!((city.count(KEPT).await, city.count(entries).await), (10, 10));
    assert_eq!((city.count(UNKNOWN).await, city.count(COVERAGE).await), (0, 10), "coverage follows");
    // The history says why and what was before; the row is still that of its batch.
    let history = format!(
        "select count(*) from fact_history h join fact_visit_diagnosis f on f.id = h.fact_id and f.version = 2
         where h.reason = '编码映射批准：B001 → I10.x00（对照 {first}）' and h.ended_by_batch is null and not h.withdrawn
            and h.version = 1 and h.content ->> 'diagnosis_code' = 'B001' and f.batch_id = (h.content ->> 'batch_id')::bigint"
    );
    let told: i64 = sqlx::query_scalar(AssertSqlSafe(history)).fetch_one(city.db.pool()).await.unwrap();
    assert_eq!(told, 10);
    let audit = "select count(*) from audit_entry where act = 'codes.map_stored'
        and detail ->> 'translated' = '10' and detail ->> 'restored' = '0'";
    assert_eq!(city.count(audit).await, 1);

    // The file sent again is what is stored: nothing to replace.
    let again = program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    assert_eq!(counts(&again)[2..4], [30, 0], "all unchanged: {again}");

    // Another standard code for the same local one.
    let second = approve(&city, "icd10", "B001", "I10").await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!((with(&city, "I10").await, with(&city, "I10.x00").await), (10, 20), "only what was B001");
    assert_eq!((city.count(KEPT).await, city.count(COVERAGE).await), (10, 10));

    // The end of the map puts back what was sent, and only that.
    end(&city, second).await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!((with(&city, "B001").await, with(&city, "I10.x00").await), (10, 20));
    assert_eq!((city.count(KEPT).await, city.count(entries).await), (0, 20));
    assert_eq!((city.count(UNKNOWN).await, city.count(COVERAGE).await), (10, 10_000));
    assert_eq!(city.count("select count(*) from fact_history where reason like '编码映射停用：%'").await, 10);

    // Once more, with nothing to change: nothing is written.
    let written = "select count(*) from fact_history";
    let before = city.count(written).await;
    sqlx::query(
        "update code_translation set state = 'waiting', dataset = null, after_key = null where id = 1",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    while step(&city, 7).await != Followed::Nothing {}
    assert_eq!(city.count(written).await, before);
    let again = program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    assert_eq!(counts(&again)[2..4], [30, 0], "put back as it was sent: {again}");
    testkit::settle(&city.platform.jobs).await;
    assert_sound(city.db.pool()).await;
}

#[tokio::test]
async fn a_run_that_dies_half_way_goes_on_where_it_was() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..90)).await.good();
    testkit::settle(&city.platform.jobs).await;
    approve(&city, "icd10", "B001", "I10.x00").await;
    let page = "select rows_seen from code_translation";
    // Up to the data set that has rows, and two pages of it.
    let mut steps = 0;
    while city.count(page).await < 20 {
        assert_eq!(step(&city, 10).await, Followed::More);
        steps += 1;
        assert!(steps < 50, "the run goes nowhere");
    }
    let left = with(&city, "B001").await;
    assert!(left > 0 && left < 30, "it is half-way: {left}");
    assert_eq!(city.count("select translated from code_translation").await, 30 - left);

    // The process dies when the rows of a page are written and the page is not yet noted.
    let mut holds = city.db.pool().begin().await.unwrap();
    sqlx::query("select 1 from code_translation_line for update").execute(&mut *holds).await.unwrap();
    let (intake, directory, hospital) =
        (city.platform.exchange.intake.clone(), city.platform.directory.clone(), city.institutions[0]);
    let dying = tokio::spawn(async move { intake.follow_maps(&*directory, hospital, 60).await });
    until("the step waits to note what its lines changed", async || {
        city.count(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                and query like 'update code_translation_line%'",
        )
        .await
            == 1
    })
    .await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    holds.rollback().await.unwrap();
    assert_eq!((with(&city, "B001").await, city.count(page).await), (left, 20), "nothing of it stands");

    testkit::settle(&city.platform.jobs).await;
    assert_eq!((with(&city, "B001").await, with(&city, "I10.x00").await), (0, 90));
    assert_eq!((city.count(KEPT).await, city.count("select count(*) from fact_history").await), (30, 30));
    let run = "select count(*) from code_translation where state = 'done' and rows_seen = rows_total
        and translated = 30 and failure is null and finished_at is not null";
    assert_eq!(city.count(run).await, 1, "every row was looked at once");
    assert_eq!(city.count("select changed from code_translation_line").await, 30);
    assert_sound(city.db.pool()).await;
}

#[tokio::test]
async fn a_batch_under_way_when_a_map_is_approved_is_followed_as_well() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    let under_way = "update batch set finished_at = null";
    sqlx::query(under_way).execute(city.db.pool()).await.unwrap();
    approve(&city, "icd10", "B001", "I10.x00").await;
    let mut came = step(&city, 100).await;
    while came == Followed::More {
        came = step(&city, 100).await;
    }
    assert_eq!(came, Followed::Later);
    // It stored a row that was checked by the maps before, behind the run.
    sqlx::query("update fact_visit_diagnosis set diagnosis_code = 'B001' where visit_no = 'V1'")
        .execute(city.db.pool())
        .await
        .unwrap();
    sqlx::query("update batch set finished_at = received_at").execute(city.db.pool()).await.unwrap();
    while step(&city, 100).await != Followed::Nothing {}
    assert_eq!(with(&city, "B001").await, 0);
    assert_eq!(city.count("select pass::bigint from code_translation where state = 'done'").await, 2);
}

#[tokio::test]
async fn an_upload_that_stays_under_way_is_waited_for_and_in_the_end_said() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    approve(&city, "icd10", "B001", "I10.x00").await;
    // It came a little after the decision, through a process that had not read the maps again.
    city.clock.advance(TimeDelta::minutes(2));
    sqlx::query("update batch set finished_at = null, received_at = $1")
        .bind(city.clock.now())
        .execute(city.db.pool())
        .await
        .unwrap();
    for _ in 0..10 {
        let mut came = step(&city, 100).await;
        while came == Followed::More {
            came = step(&city, 100).await;
        }
        assert_eq!(came, Followed::Later);
        city.clock.advance(TimeDelta::minutes(10));
    }
    let mut engineer = city.staff("engineer").await;
    let page = engineer.get("/code-maps?state=approved").await.text();
    assert!(page.contains("等待正在处理的上传"), "{page}");
    // Another approval does not stand behind it.
    approve(&city, "icd10", "B002", "I10").await;
    let second = "select rows_seen from code_translation where id = 2";
    step(&city, 100).await;
    assert_eq!(
        city.count("select count(*) from code_translation where id = 2 and state = 'running'").await,
        1
    );
    while step(&city, 100).await == Followed::More {}
    assert!(city.count(second).await > 0);

    city.clock.advance(TimeDelta::hours(23));
    while step(&city, 100).await != Followed::Nothing {
        city.clock.advance(TimeDelta::minutes(30));
    }
    assert_eq!(
        city.count("select count(*) from code_translation where state = 'failed' and gave_up").await,
        2
    );
    let page = city.staff("engineer").await.get("/code-maps?state=approved").await.text();
    assert!(page.contains("已停止") && page.contains("24 小时"), "{page}");

    // The upload ends after all, and an approver goes on: once more from the beginning.
    sqlx::query("update fact_visit_diagnosis set diagnosis_code = 'B001' where visit_no = 'V1'")
        .execute(city.db.pool())
        .await
        .unwrap();
    sqlx::query("update batch set finished_at = $1")
        .bind(city.clock.now())
        .execute(city.db.pool())
        .await
        .unwrap();
    let hospital = city.institutions[0].get() as i32;
    let (officer, now) = (Caller::system("审批"), city.clock.now());
    assert!(city.platform.directory.follow_again(hospital, &officer, now).await.unwrap());
    city.clock.advance(TimeDelta::minutes(1));
    testkit::settle(&city.platform.jobs).await;
    assert_eq!(with(&city, "B001").await, 0);
    assert_eq!(city.count("select count(*) from code_translation where state = 'done'").await, 2);
}

#[tokio::test]
async fn what_a_sender_replaced_after_the_end_of_the_map_stays_as_it_was_sent() {
    let city = city().await;
    let mut program = city.program(0).await;
    program.upload("visit_diagnosis", "", diagnoses(0..3)).await.good();
    testkit::settle(&city.platform.jobs).await;
    let id = approve(&city, "icd10", "B001", "I10.x00").await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!(city.count(KEPT).await, 1);
    // The map ends; before the run comes by, the hospital sends the row with a standard code of its own choice.
    end(&city, id).await;
    let sent = diagnoses(0..1).replace("B001", "I10");
    let receipt = program.upload("visit_diagnosis", "", sent).await.good();
    assert_eq!(counts(&receipt)[3], 1, "replaced: {receipt}");
    assert_eq!(city.count("select count(*) from code_kept").await, 0, "what was sent before is forgotten");

    // One that was left behind by an earlier version of the program is not believed either, and goes.
    let second = approve(&city, "icd10", "B009", "I10").await;
    let third = approve(&city, "icd10", "B001", "I10.x00").await;
    testkit::settle(&city.platform.jobs).await;
    sqlx::query(
        "insert into code_kept (fact_id, dataset, field, local_code)
         select id, (select max(dataset) from code_day where table_id = 'icd10'), 'diagnosis_code', 'B009'
         from fact_visit_diagnosis where visit_no = 'V1'",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    end(&city, second).await;
    end(&city, third).await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!((with(&city, "I10").await, with(&city, "I10.x00").await), (1, 2));
    assert_eq!(city.count("select count(*) from code_kept").await, 0);
}

#[tokio::test]
async fn a_run_that_gave_up_does_not_bury_later_approvals() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    approve(&city, "icd10", "B002", "I10").await;
    sqlx::query("update code_translation set state = 'running'").execute(city.db.pool()).await.unwrap();
    approve(&city, "icd10", "B001", "I10.x00").await;
    // The job of both dies at the first: the second gets one of its own.
    let jobs = "select count(*) from job where kind = 'exchange.stored_codes'";
    sqlx::query("delete from job").execute(city.db.pool()).await.unwrap();
    let directory = &city.platform.directory;
    directory.failed(city.institutions[0], "平台内部出错", false).await.unwrap();
    assert_eq!(city.count(jobs).await, 0, "it is tried again by itself");
    directory.failed(city.institutions[0], "平台内部出错", true).await.unwrap();
    assert_eq!(city.count(jobs).await, 1);
    testkit::settle(&city.platform.jobs).await;
    assert_eq!(with(&city, "B001").await, 0);
    let states =
        "select count(*) from code_translation where (id = 1 and gave_up) or (id = 2 and state = 'done')";
    assert_eq!(city.count(states).await, 2, "the one that gave up waits for somebody");
}

#[tokio::test]
async fn a_job_leaves_the_rest_to_the_next_one_so_that_others_get_their_turn() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    approve(&city, "icd10", "B001", "I10.x00").await;
    let (intake, directory, hospital) =
        (&city.platform.exchange.intake, &*city.platform.directory, city.institutions[0]);
    let mut turns = 0;
    loop {
        sqlx::query("delete from job").execute(city.db.pool()).await.unwrap();
        intake.follow_for(directory, hospital, Duration::ZERO).await.unwrap();
        let due = "select count(*) from job where kind = 'exchange.stored_codes' and state = 'ready' and attempts = 0";
        if city.count(due).await == 0 {
            break;
        }
        turns += 1;
        assert!(turns < 50, "it goes nowhere");
    }
    assert!(turns > 2, "a page, the next data set, the end: {turns}");
    assert_eq!(with(&city, "B001").await, 0);
    assert_eq!(city.count("select count(*) from code_translation where state = 'done'").await, 1);
}

#[tokio::test]
async fn what_patients_are_known_by_is_linked_again() {
    let city = city().await;
    let csv = "patient_no,patient_name,sex,birth_date,credential_kind,credential_no,registered_at\n\
        P1,张三,1,1980-01-01,SFZ,411503198001010017,2025-05-12 09:00:00\n";
    let receipt = city.program(0).await.upload("patient", "", csv).await.good();
    assert_eq!(counts(&receipt)[1], 1, "{receipt}");
    let kind = "select count(*) from identity_record where credential_kind = 'SFZ'";
    assert_eq!(city.count(kind).await, 1);
    let id = approve(&city, "cv02_01_101_credential", "SFZ", "01").await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!(city.count("select count(*) from fact_patient where credential_kind = '01'").await, 1);
    assert_eq!(city.count(kind).await, 0, "the identity record follows");
    let known = "select count(*) from identity_record where citizen_blind is not null";
    assert_eq!(city.count(known).await, 1, "the number is that of a citizen now");
    end(&city, id).await;
    testkit::settle(&city.platform.jobs).await;
    assert_eq!((city.count(kind).await, city.count(known).await), (1, 0));
}

#[tokio::test]
async fn pages_show_how_far_stored_rows_are_and_let_the_officer_go_on() {
    let city = city().await;
    city.program(0).await.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    testkit::settle(&city.platform.jobs).await;
    approve(&city, "icd10", "B001", "I10.x00").await;
    let mut engineer = city.staff("engineer").await;
    let page = engineer.get("/code-maps?state=approved").await.text();
    assert!(page.contains("存量数据转换") && page.contains("等待开始"), "{page}");

    // Given up: it says why, and only who approves maps of the region may go on with it.
    sqlx::query(
        "update code_translation set state = 'failed', gave_up = true, failure = '平台内部出错，详细原因见系统日志'",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    sqlx::query("delete from job where kind = 'exchange.stored_codes'")
        .execute(city.db.pool())
        .await
        .unwrap();
    let page = engineer.get("/code-maps?state=approved").await.text();
    assert!(page.contains("已停止") && page.contains("平台内部出错"), "{page}");
    let go_on = [("act", "follow"), ("institution", crate::city::INSTITUTIONS[0][0]), ("state", "approved")];
    assert!(!page.contains("从中断处继续"));
    assert_eq!(engineer.form("/code-maps/decide", &go_on).await.status, StatusCode::FORBIDDEN);
    let hospital = city.institutions[0].get() as i32;
    let (officer, now) = (Caller::system("审批"), city.clock.now());
    assert!(city.platform.directory.follow_again(hospital, &officer, now).await.unwrap());
    testkit::settle(&city.platform.jobs).await;
    assert_eq!(with(&city, "B001").await, 0);
    let page = engineer.get("/code-maps?state=approved").await.text();
    assert!(page.contains("已转换 10 处") && page.contains("已完成"), "{page}");
    let csv = engineer.get("/code-maps.csv?state=approved").await.text();
    assert!(csv.contains("存量数据") && csv.contains("已转换 10 处"), "{csv}");
    assert!(!city.platform.directory.follow_again(hospital, &officer, now).await.unwrap(), "nothing is left");
}
