//! Signatures of documents: intact, altered, unknown key.

use kernel::{Caller, Clock};
use protect::{Keyring, Verdict};
use serde_json::json;
use store::signature::{self, canonical};
use testkit::{TestDb, clock};

#[tokio::test]
async fn who_signed_what_and_when_cannot_be_changed_unseen() {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let by = Caller { institution_name: "平桥县医院".into(), ..Caller::system("王丽华") };
    let content = "出院小结：痊愈".as_bytes();
    db.transaction(async |tx| {
        signature::sign(tx, "platform", &by, ("document", 7), content, clock().now()).await
    })
    .await
    .unwrap();
    let kept = signature::of(&db, "document", 7).await.unwrap().remove(0);
    let ring = db.keyring();
    assert_eq!(kept.check(ring, content), Verdict::Intact);
    assert_eq!(kept.check(ring, "出院小结：好转".as_bytes()), Verdict::Altered);
    assert_eq!(kept.check(&Keyring::closed(), content), Verdict::UnknownKey);
    for (what, sql) in [
        ("who", "update signature set signer_name = '李四'"),
        ("where", "update signature set institution_name = '别处'"),
        ("when", "update signature set signed_at = signed_at - interval '1 day'"),
        ("of what", "update signature set object_id = 8"),
        ("which content", "update signature set digest = sha256('x')"),
        ("the signature", "update signature set signature = set_byte(signature, 3, 7)"),
    ] {
        let altered = db
            .transaction(async |tx| {
                // The table only grows; whoever owns the database can change that.
                sqlx::raw_sql("set local session_replication_role = replica")
                    .execute(&mut **tx)
                    .await
                    .unwrap();
                sqlx::raw_sql(sql).execute(&mut **tx).await.unwrap();
                let found: signature::Signed =
                    sqlx::query_as("select * from signature").fetch_one(&mut **tx).await.unwrap();
                let verdict = found.check(ring, content);
                sqlx::raw_sql("delete from signature").execute(&mut **tx).await.unwrap();
                signature::sign(tx, "platform", &by, ("document", 7), content, clock().now()).await?;
                Ok(verdict)
            })
            .await
            .unwrap();
        assert_eq!(altered, Verdict::Altered, "{what}");
    }
    let refused = db
        .transaction(async |tx| {
            signature::sign(tx, "institution-9", &by, ("document", 7), content, clock().now()).await
        })
        .await;
    assert!(refused.is_err(), "nobody has such a key");
}

#[test]
fn one_form_of_json() {
    let text = r#"{"b":[1,{"z":null,"a":"甲\"乙"}],"a":98.5}"#;
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(canonical(&value), r#"{"a":98.5,"b":[1,{"a":"甲\"乙","z":null}]}"#);
    assert_eq!(signature::covered(&json!({"x": 1, "y": 2}), &["y", "z"]), r#"{"y":2,"z":null}"#);
}
