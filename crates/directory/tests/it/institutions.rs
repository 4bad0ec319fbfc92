//! Registering institutions, and who sees which.

use contracts::{Institutions, NewInstitution};
use directory::Directory;
use kernel::RegionCode;

use crate::{registries, shipped};

fn region(code: &str) -> RegionCode {
    RegionCode::parse(code).unwrap()
}

fn hospital(code: &str, name: &str, at: &str) -> NewInstitution {
    NewInstitution {
        code: code.into(),
        name: name.into(),
        class: "A100".into(),
        sender_class: "hospital".into(),
        region: region(at),
        invented: true,
    }
}

#[tokio::test]
async fn a_registered_institution_is_found_by_everybody() {
    let (db, directory) = registries().await;
    let a = directory.register(hospital(" abc1 ", "第一医院", "411503")).await.unwrap();
    let b = directory.register(hospital("ABC2", "第二医院", "411502")).await.unwrap();
    assert_ne!(a, b);
    assert_eq!(directory.by_code("abc1").unwrap().name, "第一医院");
    assert_eq!(directory.by_id(b).unwrap().code, "ABC2");
    let order: Vec<String> = directory.all().iter().map(|c| c.name.clone()).collect();
    assert_eq!(order, ["第二医院", "第一医院"], "by division, then name");
    // Again: the same identifier; a new name replaces the old one.
    assert_eq!(directory.register(hospital("ABC1", "第一人民医院", "411503")).await.unwrap(), a);
    assert_eq!(directory.all().len(), 2);
    assert_eq!(directory.by_id(a).unwrap().name, "第一人民医院");
    sqlx::query("insert into institution_identifier values ('pdy', 'PDY-9', $1)")
        .bind(b.get() as i32)
        .execute(db.pool())
        .await
        .unwrap();
    // Another process reads the same.
    let other = Directory::open(db.db().clone(), shipped()).await.unwrap();
    assert_eq!(other.by_code("pdy-9").unwrap().id, b);
    assert_eq!(other.by_id(a), directory.by_id(a));
    let refused = directory.register(hospital("", "无代码", "411503")).await.unwrap_err();
    assert!(refused.to_string().starts_with("institution.incomplete"));
}

#[tokio::test]
async fn what_another_process_registers_arrives() {
    let (db, directory) = registries().await;
    let other = std::sync::Arc::new(Directory::open(db.db().clone(), shipped()).await.unwrap());
    let follower = tokio::spawn({
        let other = std::sync::Arc::clone(&other);
        async move { other.follow().await }
    });
    directory.register(hospital("ABC1", "第一医院", "411503")).await.unwrap();
    let arrived = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while other.by_code("ABC1").is_none() {
            tokio::task::yield_now().await;
        }
    });
    arrived.await.expect("the other process never heard of the institution");
    follower.abort();
}
