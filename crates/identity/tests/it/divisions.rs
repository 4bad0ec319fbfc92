//! Accounts, posts and teams follow their divisions and go back exactly.

use contracts::{DivisionHoldings, DivisionsMoved};
use store::jobs::Jobs;
use store::outbox;
use testkit::settle;

use crate::city::city;

#[tokio::test]
async fn accounts_posts_and_teams_move_with_their_divisions_and_go_back_exactly() {
    let city = city().await;
    sqlx::raw_sql(
        "insert into account (id, login, password_hash, name, role, institution_id, region, password_changed_at, created_at)
             overriding system value values
             (101, 'county', '', '县管理员', 'county_administrator', null, '411503000000', now(), now()),
             (102, 'cdc', '', '疾控', 'hospital_engineer', 1, '411503000000', now(), now()),
             (103, 'town', '', '乡医', 'township_doctor', 2, '411503102000', now(), now()),
             (104, 'city', '', '市', 'auditor', null, '411500000000', now(), now());
         insert into account_role (account_id, role, institution_id, region, since, granted_by_name, granted_at)
             select id, role, institution_id, region, now(), '', now() from account where id > 100;
         insert into account_role (account_id, role, institution_id, region, since, granted_by_name, granted_at)
             values (103, 'township_doctor', 2, '411504102000', now(), '', now());
         insert into team (name, kind, institution_id, region, created_by, created_at)
             values ('一队', 'family_doctor', 2, '411503102000', '', now());",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    let everything = async || -> String {
        sqlx::query_scalar(
            "select string_agg(line, ' ' order by line) from (
                 select 'account ' || id || '=' || region as line from account where id > 100
                 union all select 'role ' || account_id || '=' || region from account_role where account_id > 100
                 union all select 'team=' || region from team) l",
        )
        .fetch_one(city.db.pool())
        .await
        .unwrap()
    };
    let before = everything().await;
    let mut jobs = Jobs::new(city.db.db().clone(), city.clock.clone());
    city.identity.register_jobs(&mut jobs);
    let split = DivisionsMoved {
        operation_id: 9,
        year: 2025,
        moves: vec![("411503102000".into(), "411504102000".into())],
        divided: Some("411503000000".into()),
        institutions: vec![(1, "411504000000".into())],
        ..DivisionsMoved::default()
    };
    let tell = async |event: &DivisionsMoved| {
        city.db
            .transaction(async |tx| outbox::emit(tx, DivisionsMoved::TOPIC, "9", event).await)
            .await
            .unwrap();
        settle(&jobs).await;
    };
    for _ in 0..2 {
        tell(&split).await;
        assert_eq!(
            everything().await,
            "account 101=411503000000 account 102=411504000000 account 103=411504102000 account 104=411500000000 \
             role 101=411503000000 role 102=411504000000 role 103=411503102000 role 103=411504102000 \
             role 104=411500000000 team=411504102000"
        );
    }
    let counted = city.identity.by_division().count(&["411504102000".into()]).await.unwrap();
    assert_eq!(counted, [("411504102000".to_owned(), 1)]);
    // The second post of 103 was there before; it is not in a division that vanishes by another's fault.
    let undo = DivisionsMoved {
        moves: vec![("411504000000".into(), "411503000000".into())],
        undo: true,
        divided: None,
        institutions: vec![],
        ..split
    };
    tell(&undo).await;
    assert_eq!(everything().await, before);
}
