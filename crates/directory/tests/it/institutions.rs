//! Registering institutions, and who sees which.

use axum::http::StatusCode;
use contracts::{Institutions, NewInstitution};
use directory::Directory;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Grant, Line, RegionCode, Span};

use crate::{get, registries, shipped};

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

fn administrator(span: Span) -> Caller {
    let grants = vec![Grant { line: Line::Administration, act: Act::Read, span }];
    Caller { grants, ..Caller::system("测试") }
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

#[tokio::test]
async fn the_pages_show_only_what_is_in_reach() {
    let (_db, directory) = registries().await;
    let near = directory.register(hospital("ABC1", "近处医院", "411503")).await.unwrap();
    let far = directory.register(hospital("ABC2", "远处医院", "411521")).await.unwrap();
    let county = || Some(administrator(Span::Region(region("411503"))));
    let (status, page) = get(&directory, "/institutions", county()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("近处医院") && !page.contains("远处医院"));
    let (_, csv) = get(&directory, "/institutions.csv", county()).await;
    assert!(csv.contains("ABC1") && !csv.contains("ABC2"));
    assert_eq!(get(&directory, &format!("/institutions/{near}"), county()).await.0, StatusCode::OK);
    assert_eq!(get(&directory, &format!("/institutions/{far}"), county()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&directory, "/institutions/999", county()).await.0, StatusCode::NOT_FOUND);
    let own = Some(administrator(Span::Institution(InstitutionId::new(far.get()))));
    let (_, page) = get(&directory, "/institutions?q=ycyy", own).await;
    assert!(page.contains("远处医院") && !page.contains("近处医院"));
    assert_eq!(get(&directory, "/institutions", None).await.0, StatusCode::UNAUTHORIZED);
    let mut doctor = administrator(Span::Region(region("4115")));
    doctor.grants[0].line = Line::Medical;
    assert_eq!(get(&directory, "/institutions", Some(doctor)).await.0, StatusCode::FORBIDDEN);
}
