//! A hospital's own codes from the first upload to the translated fact: counted, mapped, approved, translated, kept.

use axum::http::StatusCode;
use directory::terminology::maps::{Decision, NewMap};
use kernel::{Caller, Clock};

use crate::city::{city, counts};

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

#[tokio::test]
async fn an_approved_map_translates_what_is_uploaded_and_coverage_follows() {
    let city = city().await;
    let mut program = city.program(0).await;
    let first = program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    assert_eq!(counts(&first)[1], 30, "an unknown code of a partial table is stored: {first}");

    // The figures of the coverage page are those of the facts.
    let facts = "select count(*) from fact_visit_diagnosis where diagnosis_code is not null";
    let unknown = "select count(*) from fact_visit_diagnosis where diagnosis_code = 'B001'";
    assert_eq!(
        city.count("select sum(coded)::bigint from code_day where table_id = 'icd10'").await,
        city.count(facts).await
    );
    assert_eq!(
        city.count("select sum(unmapped)::bigint from code_day where table_id = 'icd10'").await,
        city.count(unknown).await
    );
    let by_day = "select count(*) from (select occurred_at::date as day, count(*) as n from fact_visit_diagnosis
            where diagnosis_code = 'B001' group by 1) f
        full join (select day, sum(row_count)::bigint as n from code_unmapped_day where code = 'B001' group by 1) u
            using (day) where f.n is distinct from u.n";
    assert_eq!(city.count(by_day).await, 0, "day by day as well");
    assert_eq!(
        city.count("select row_count from local_code where code = 'B001' and name = '高血压病（本院）'")
            .await,
        10
    );

    // Sending the same again counts nothing twice.
    program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    assert_eq!(city.count("select sum(coded)::bigint from code_day where table_id = 'icd10'").await, 30);

    let mut engineer = city.staff("engineer").await;
    let page = engineer.get("/code-coverage?day_from=2025-05-12&day_to=2025-05-14").await.text();
    assert!(page.contains("33.3%"), "{page}");
    let one = engineer.get("/code-coverage/code?table=icd10&code=B001").await.text();
    assert!(one.contains("/quality/rows?") && one.contains("dataset=visit_diagnosis"), "{one}");
    assert_eq!(engineer.get("/code-coverage/code?table=icd10&code=NO").await.status, StatusCode::NOT_FOUND);

    let map = NewMap {
        table: "icd10".into(),
        local_code: "B001".into(),
        standard_code: "I10.x00".into(),
        ..NewMap::default()
    };
    let (directory, now) = (&city.platform.directory, city.clock.now());
    let hospital = city.institutions[0];
    directory.propose_maps(hospital, &[map], false, &Caller::system("赵工"), now).await.unwrap();
    let decision = Decision { approve: true, ..Decision::default() };
    let ids = [city.count("select id from code_map").await];
    let decided = directory
        .decide_maps(&[hospital.get() as i32], &ids, decision, &Caller::system("审批"), now)
        .await
        .unwrap();
    assert_eq!(decided.done, 1);

    // From now on it is translated before it is checked; what the hospital wrote stays beside the fact.
    program.upload("visit_diagnosis", "", diagnoses(100..130)).await.good();
    assert_eq!(
        city.count("select count(*) from fact_visit_diagnosis where diagnosis_code = 'B001'").await,
        10
    );
    assert_eq!(city.count("select sum(mapped)::bigint from code_day where table_id = 'icd10'").await, 10);
    let kept = "select count(*) from code_kept k join fact_visit_diagnosis f on f.id = k.fact_id
        where k.local_code = 'B001' and k.local_name = '高血压病（本院）' and k.field = 'diagnosis_code'
            and f.diagnosis_code = 'I10.x00'";
    assert_eq!(city.count(kept).await, 10);

    // The earlier rows sent once more are translated as well, and keep their facts.
    let again = program.upload("visit_diagnosis", "", diagnoses(0..30)).await.good();
    assert_eq!(counts(&again)[3], 10, "only what was unknown is replaced: {again}");
    assert_eq!(
        city.count("select count(*) from fact_visit_diagnosis where diagnosis_code = 'B001'").await,
        0
    );
    assert_eq!(city.count(kept).await, 20);

    // Another hospital's B001 is none of it.
    let mut other = city.program(2).await;
    other.upload("visit_diagnosis", "", diagnoses(0..3)).await.good();
    assert_eq!(
        city.count("select count(*) from fact_visit_diagnosis where diagnosis_code = 'B001'").await,
        1
    );
    testkit::settle(&city.platform.jobs).await;
}
