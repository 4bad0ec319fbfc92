//! In-patient stays as the master index reads them, after the real pipeline stored, corrected and withdrew them.

use chrono::NaiveDateTime;
use contracts::{Stay, Stays};
use exchange::StoredStays;

use crate::city::{City, city};

/// Identity records with new stays since a place, sorted, and the place of now.
async fn after(city: &City, place: Option<i64>) -> (Vec<i64>, i64) {
    let port = StoredStays::new(&city.catalog);
    let read = city.db.background("a test", async |tx| port.stored_after(tx, place).await).await;
    let (mut ids, place) = read.unwrap();
    ids.sort_unstable();
    (ids, place)
}

async fn of(city: &City, identities: &[i64]) -> Vec<Stay> {
    let port = StoredStays::new(&city.catalog);
    let read = city.db.background("a test", async |tx| port.of(tx, identities).await).await;
    let mut stays = read.unwrap();
    stays.sort_by_key(|s| s.admitted_at);
    stays
}

fn stay(no: &str, patient: &str, from: &str, until: &str, mark: &str) -> String {
    format!(
        "stay_no,patient_no,admitted_at,discharged_at,revision_mark\n{no},{patient},{from},{until},{mark}\n"
    )
}

#[tokio::test]
async fn stays_are_found_by_the_batch_that_brought_them() {
    let city = city().await;
    assert_eq!(after(&city, None).await, (vec![], 0));
    let first = city.send("inpatient_stay", &stay("S1", "P1", "2025-05-01 09:00", "", "")).await;
    let (ids, place) = after(&city, Some(0)).await;
    assert_eq!((ids.len(), place), (1, first));
    let one = ids[0];
    city.send("inpatient_stay", &stay("S2", "P2", "2025-05-02 09:00", "2025-05-06 10:00", "")).await;
    let (ids, place) = after(&city, Some(place)).await;
    assert!(ids.len() == 1 && ids[0] != one, "{ids:?}");
    // The discharge that comes later is a correction of the same row, found by the batch that brought it.
    city.send("inpatient_stay", &stay("S1", "P1", "2025-05-01 09:00", "2025-05-08 10:00", "1")).await;
    let (ids, place) = after(&city, Some(place)).await;
    assert_eq!(ids, [one]);
    let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    let stays = of(&city, &[one]).await;
    assert_eq!(stays.len(), 1);
    assert_eq!((stays[0].identity_id, stays[0].institution.get()), (one, 1));
    assert_eq!(stays[0].admitted_at, at("2025-05-01 09:00"));
    assert_eq!(stays[0].discharged_at, Some(at("2025-05-08 10:00")));
    assert_eq!(after(&city, Some(place)).await, (vec![], place));
    // A batch under way keeps the place before it: what it has stored is read again the next time.
    sqlx::query("update batch set state = 'processing' where id = $1")
        .bind(first)
        .execute(city.db.pool())
        .await
        .unwrap();
    assert_eq!(after(&city, None).await.1, first - 1);
}
