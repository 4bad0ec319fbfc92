//! Loading the shipped divisions.

use contracts::Institutions;
use kernel::RegionCode;

use crate::registries;

#[tokio::test]
async fn one_prefecture_is_loaded_from_the_shipped_list() {
    let (db, directory) = registries().await;
    let report = directory.load_shipped_regions("4115").await.unwrap();
    assert!(report.found > 3_000 && report.found < 6_000, "{report:?}");
    assert_eq!(report.added, report.found as u64);
    for (code, name) in
        [("41", "河南省"), ("4115", "信阳市"), ("411503", "信阳市平桥区"), ("4101", "410100000000")]
    {
        assert_eq!(directory.region_name(&RegionCode::parse(code).unwrap()), name);
    }
    let orphans: i64 = sqlx::query_scalar(
        "select count(*) from region r where tier > 1
         and not exists (select from region p where p.year = r.year and p.code = r.parent)",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert_eq!(orphans, 0);
    // Again: nothing changes; a name that was different is put right.
    sqlx::query("update region set name = '旧名' where code = '411503000000'")
        .execute(db.pool())
        .await
        .unwrap();
    let again = directory.load_shipped_regions("4115").await.unwrap();
    assert_eq!((again.added, again.renamed), (0, 1));
    // A city without districts is its own county.
    let report = directory.load_shipped_regions("4419").await.unwrap();
    assert_eq!(report.added, report.found as u64);
    assert_eq!(directory.region_name(&RegionCode::parse("441900").unwrap()), "东莞市");
    for wrong in ["9999", "41x5", ""] {
        assert!(directory.load_shipped_regions(wrong).await.is_err(), "{wrong}");
    }
}
