//! Configuration over HTTP: changed with a reason, undone, taken out and in as a file; who may.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use directory::settings::{Configuration, StartOption, routes};
use kernel::access::{CallerKind, Grant, Span};
use kernel::{Act, Caller, Id, Line, RegionCode};
use store::Settings;
use testkit::TestDb;
use tower::ServiceExt;

fn caller(acts: &[Act], fresh: bool) -> Caller {
    let mut caller = Caller {
        account: Some(Id::new(1)),
        name: "系统管理员".into(),
        role: "系统管理员".into(),
        grants: acts
            .iter()
            .map(|act| Grant { line: Line::System, act: *act, span: Span::Region(RegionCode::NATION) })
            .collect(),
        ..Caller::blank(CallerKind::Staff)
    };
    caller.assurance.fresh = fresh;
    caller
}

struct Bench {
    db: TestDb,
    configuration: Configuration,
}

async fn bench() -> Bench {
    let db = TestDb::create(store::migrate::MIGRATIONS, &[]).await;
    let catalog = Arc::new(catalog::shipped().unwrap());
    let options = Settings::open(db.db(), catalog).await.unwrap();
    let caches = store::cache::Caches::default();
    let about =
        store::cache::Declared { name: "test.one", title: "测试缓存", about: "", lives: None, most: 9 };
    let _ = caches.entries::<i64, i64>(about, testkit::clock());
    let start = vec![StartOption { title: "数据目录", value: "/srv/minkang".into(), option: "--data" }];
    let configuration = Configuration {
        db: db.db().clone(),
        options,
        clock: testkit::clock(),
        start: Arc::new(start),
        caches,
    };
    Bench { db, configuration }
}

impl Bench {
    async fn ask(&self, path: &str, form: Option<&str>, caller: &Caller) -> (StatusCode, String) {
        let mut request = match form {
            None => Request::get(path).body(Body::empty()).unwrap(),
            Some(form) => Request::post(path)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(form.to_owned()))
                .unwrap(),
        };
        request.extensions_mut().insert(Arc::new(caller.clone()));
        let response = routes(self.configuration.clone()).into_router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

const CODE: &str = "/settings/sign_in.idle_minutes";

#[tokio::test]
async fn a_setting_is_changed_with_a_reason_and_undone() {
    let bench = bench().await;
    let manager = caller(&[Act::Read, Act::Manage], true);
    let (_, page) = bench.ask("/settings", None, &manager).await;
    assert!(page.contains("无操作自动退出") && page.contains("30 分钟") && page.contains("未改过"), "{page}");
    let value = || bench.configuration.options.whole("sign_in.idle_minutes");
    for (form, expected, then) in [
        ("act=set&value=20", StatusCode::UNPROCESSABLE_ENTITY, 30),
        ("act=set&value=2&reason=试", StatusCode::UNPROCESSABLE_ENTITY, 30),
        ("act=set&value=abc&reason=试", StatusCode::UNPROCESSABLE_ENTITY, 30),
        ("act=undo", StatusCode::UNPROCESSABLE_ENTITY, 30),
        ("act=set&value=20&reason=测评要求", StatusCode::SEE_OTHER, 20),
        ("act=set&value=15&reason=再紧一些", StatusCode::SEE_OTHER, 15),
        ("act=undo", StatusCode::SEE_OTHER, 20),
        ("act=default&reason=恢复", StatusCode::SEE_OTHER, 30),
        ("act=undo", StatusCode::SEE_OTHER, 20),
    ] {
        assert_eq!(bench.ask(CODE, Some(form), &manager).await.0, expected, "{form}");
        assert_eq!(value(), then, "{form}");
    }
    let (_, page) = bench.ask(CODE, None, &manager).await;
    assert!(
        page.contains("测评要求") && page.contains("默认（30 分钟）") && page.contains("撤销 2025-05-15"),
        "{page}"
    );
    let (_, page) = bench.ask("/settings?state=set", None, &manager).await;
    assert!(page.contains("sign_in.idle_minutes") && !page.contains("sign_in.session_hours"));
    let (_, page) = bench.ask("/settings/changes?q=测评", None, &manager).await;
    assert!(page.contains("测评要求") && !page.contains("再紧一些"));
    let (_, page) = bench.ask("/settings/changes.csv", None, &manager).await;
    assert_eq!(page.lines().count(), 6);
    let audited: i64 = sqlx::query_scalar("select count(*) from audit_entry where act = 'setting.change'")
        .fetch_one(bench.db.pool())
        .await
        .unwrap();
    assert_eq!(audited, 5);
    // Another process reads the same.
    let other = Settings::open(bench.db.db(), Arc::new(catalog::shipped().unwrap())).await.unwrap();
    assert_eq!(other.whole("sign_in.idle_minutes"), 20);
}

#[tokio::test]
async fn settings_go_out_and_come_in_as_a_file() {
    let bench = bench().await;
    let manager = caller(&[Act::Read, Act::Manage], true);
    bench.ask(CODE, Some("act=set&value=20&reason=测评要求"), &manager).await;
    let (_, file) = bench.ask("/settings/settings.toml", None, &manager).await;
    assert!(file.contains("\nidle_minutes = 20\n") && file.contains("\n# session_hours = 12\n"), "{file}");
    // What was taken out changes nothing when it comes in.
    assert!(directory::settings::read(&bench.configuration.options, &file).unwrap().is_empty());
    let import = |text: &str, act: &str| format!("act={act}&reason=迁移&text={}", text.replace('\n', "%0A"));
    let (status, page) = bench
        .ask(
            "/settings/file",
            Some(&import("[sign_in]\nidle_minutes=999\nnone=1\n[x]\ny=true", "apply")),
            &manager,
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("有 3 处错误") && page.contains("x.y"), "{page}");
    let good = "[sign_in]\nidle_minutes = 25\nsession_hours = 12\n";
    let (_, page) = bench.ask("/settings/file", Some(&import(good, "try")), &manager).await;
    assert!(page.contains("会改动 1 项"), "{page}");
    assert_eq!(bench.configuration.options.whole("sign_in.idle_minutes"), 20);
    assert_eq!(
        bench.ask("/settings/file", Some(&import(good, "apply")), &manager).await.0,
        StatusCode::SEE_OTHER
    );
    assert_eq!(bench.configuration.options.whole("sign_in.idle_minutes"), 25);
    assert!(!bench.configuration.options.is_set("sign_in.session_hours"));
}

#[tokio::test]
async fn only_the_system_administrator_changes_and_only_after_a_fresh_proof() {
    let bench = bench().await;
    let form = Some("act=set&value=20&reason=试");
    for (who, form, expected) in [
        (caller(&[Act::Read, Act::Manage], false), form, StatusCode::FORBIDDEN),
        (caller(&[Act::Read], true), form, StatusCode::FORBIDDEN),
        (caller(&[], true), None, StatusCode::FORBIDDEN),
        (caller(&[Act::Read], true), None, StatusCode::OK),
    ] {
        assert_eq!(bench.ask(CODE, form, &who).await.0, expected);
    }
    let reader = caller(&[Act::Read], true);
    let (_, page) = bench.ask(CODE, None, &reader).await;
    assert!(!page.contains("恢复默认值") && !page.contains("<form method=\"post\" action=\"/settings/"));
    assert!(bench.ask("/settings/start", None, &reader).await.1.contains("/srv/minkang"));
    assert!(bench.ask("/settings/caches", None, &reader).await.1.contains("测试缓存"));
    assert_eq!(bench.ask("/settings/none.such", None, &reader).await.0, StatusCode::NOT_FOUND);
    let manager = caller(&[Act::Read, Act::Manage], true);
    assert_eq!(
        bench.ask("/settings/caches/clear", Some("name=test.one"), &manager).await.0,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        bench.ask("/settings/caches/clear", Some("name=none"), &manager).await.0,
        StatusCode::NOT_FOUND
    );
}
