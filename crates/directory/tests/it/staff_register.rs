//! The port of registered staff.

use chrono::{TimeZone, Utc};
use contracts::{Institutions, NewInstitution, NewStaff, StaffRegister};
use kernel::RegionCode;

use crate::registries;

#[tokio::test]
async fn who_is_registered_once_is_found_by_number_name_and_initials() {
    let (db, directory) = registries().await;
    let hospital = Institutions::register(
        directory.as_ref(),
        NewInstitution {
            code: "ABC1".into(),
            name: "第一医院".into(),
            class: "A100".into(),
            sender_class: "hospital".into(),
            region: RegionCode::parse("411503").unwrap(),
            invented: true,
        },
    )
    .await
    .unwrap();
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 18, 0, 0).unwrap();
    let new = NewStaff {
        name: "张伟".into(),
        staff_no: "0012".into(),
        institution: hospital,
        department: "内科".into(),
        title: "主治医师".into(),
    };
    let register = async || {
        db.db().transaction(async |tx| StaffRegister::register(directory.as_ref(), tx, &new, now).await).await
    };
    let id = register().await.unwrap();
    assert_eq!(register().await.unwrap(), id, "the same number at the same place is the same person");
    let staff: &dyn StaffRegister = directory.as_ref();
    let card = staff.by_id(id).await.unwrap().unwrap();
    assert_eq!((card.name.as_str(), card.department.as_str(), card.in_post), ("张伟", "内科", true));
    assert_eq!(staff.by_number(hospital, " 0012").await.unwrap().unwrap(), card);
    for text in ["张", "zw", "ＺＷ", "001", ""] {
        let found = staff.find(Some(hospital), text, 10).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&card), "{text}");
    }
    assert!(staff.find(None, "李", 10).await.unwrap().is_empty());
    // The first version begins on the day in China, not in Greenwich.
    let day: chrono::NaiveDate =
        sqlx::query_scalar("select valid_from from registry_version where entry_id = $1")
            .bind(id.get())
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(day.to_string(), "2026-11-23");
    let nameless = NewStaff { name: " ".into(), ..new.clone() };
    let refused = db.db().transaction(async |tx| staff.register(tx, &nameless, now).await).await;
    assert!(refused.unwrap_err().to_string().starts_with("staff.incomplete"));
}
