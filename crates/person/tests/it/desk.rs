//! The review desk over HTTP: who sees what, one decision after the other, the second pair of eyes, asking an
//! institution, a person's identity with merge, split and pin, and what the audit trail says of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use contracts::{Demographics, Terminology};
use kernel::access::InstitutionId;
use kernel::{Act, Caller, CallerKind, Clock, Grant, Id, Line, RegionCode, Span};
use person::desk::{Desk, routes};
use testkit::TestDb;
use tower::ServiceExt;

use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

struct NoCodes;

impl Terminology for NoCodes {
    fn tables(&self) -> Arc<catalog::CodeTables> {
        Arc::default()
    }
}

pub struct City {
    pub db: TestDb,
    pub index: Arc<person::MasterIndex>,
    app: Router,
}

fn caller(account: i64, name: &str, role: &str, line: Line, acts: &[Act], span: Span) -> Caller {
    Caller {
        account: Some(Id::new(account)),
        name: name.into(),
        roles: vec![role.into()],
        grants: acts.iter().map(|act| Grant { line, act: *act, span }).collect(),
        ..Caller::blank(CallerKind::Staff)
    }
}

/// A reviewer of a division.
pub fn reviewer(account: i64, name: &str, prefix: &str) -> Caller {
    let span = Span::Region(RegionCode::parse(prefix).unwrap());
    caller(account, name, "index_reviewer", Line::PersonIndex, &[Act::Read, Act::Write], span)
}

/// Who answers for the index of the city.
pub fn supervisor() -> Caller {
    let acts = [Act::Read, Act::Write, Act::Export, Act::Manage, Act::Approve, Act::Reveal];
    let mut caller = reviewer(9, "索主管", "41");
    let span = caller.grants[0].span;
    caller.grants = acts.iter().map(|act| Grant { line: Line::PersonIndex, act: *act, span }).collect();
    caller.roles = vec!["index_supervisor".into()];
    caller
}

/// The township's engineer.
fn engineer() -> Caller {
    let span = Span::Institution(TOWNSHIP);
    caller(20, "龚工", "hospital_engineer", Line::Exchange, &[Act::Read, Act::Write], span)
}

impl City {
    pub async fn new() -> City {
        let (db, index) = city().await;
        let index = Arc::new(index);
        let desk = Desk {
            db: db.db().clone(),
            index: index.clone(),
            institutions: Arc::new(Two),
            clock: testkit::clock(),
            masks: catalog::shipped().unwrap().masks,
            codes: Arc::new(NoCodes),
            notices: None,
        };
        City { app: routes(desk).into_router(), db, index }
    }

    pub async fn register(&self, at: InstitutionId, row: Demographics) -> i64 {
        link(self.db.db(), &self.index, at, &[row]).await.unwrap()[0]
    }

    /// Two registrations with different valid numbers and everything else alike: a task that wants two people.
    async fn two_numbers(&self) -> (i64, i64) {
        let row = |serial| Demographics {
            phone: "13812345678".into(),
            region: "411503102001".into(),
            ..registration("a", "欧阳建国", "1", "1980-03-14", &number("1980-03-14", serial))
        };
        (self.register(COUNTY_HOSPITAL, row(1)).await, self.register(TOWNSHIP, row(3)).await)
    }

    /// Two registrations that nothing but sound and birth connect, and the question whether they are one person. Asked
    /// here, whatever the model in force thinks of them.
    pub async fn asked(&self) -> (i64, i64) {
        let (a, b) = self.alike().await;
        sqlx::query(
            "insert into review_task (kind, a, b, identities, weight, probability, contributions, priority, county,
                opened_at, updated_at)
             select 'similar', $1, $2, array[$1, $2]::bigint[], 12, 0.7,
                '[{\"field\": \"name\", \"level\": \"homophone\", \"weight\": 7.6}]', 3, '411503', $3, $4
             where not exists (select from review_task)",
        )
        .bind(a)
        .bind(b)
        .bind(testkit::clock().now())
        .bind(testkit::clock().now() - chrono::Duration::hours(1))
        .execute(self.db.pool())
        .await
        .unwrap();
        (a, b)
    }

    /// Two registrations that nothing but sound and birth connect.
    async fn alike(&self) -> (i64, i64) {
        let row = |local: &str, name: &str, id: &str| Demographics {
            region: "411503102001".into(),
            ..registration(local, name, "1", "1960-03-10", id)
        };
        let one = self.register(COUNTY_HOSPITAL, row("b", "卓文伟", &number("1960-03-10", 5))).await;
        let mut other = row("c", "卓文玮", "");
        other.region = String::new();
        (one, self.register(TOWNSHIP, other).await)
    }

    async fn send(&self, request: Request<Body>, who: &Caller) -> (StatusCode, String, String) {
        let mut request = request;
        request.extensions_mut().insert(Arc::new(who.clone()));
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let to = response.headers().get(header::LOCATION).map_or("", |l| l.to_str().unwrap()).to_owned();
        let explained = response.extensions().get::<web::failure::Explained>().map(|e| e.message.clone());
        let body = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
        (status, explained.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()), to)
    }

    pub async fn get(&self, path: &str, who: &Caller) -> (StatusCode, String) {
        let (status, body, _) = self.send(Request::get(path).body(Body::empty()).unwrap(), who).await;
        (status, body)
    }

    pub async fn post(&self, path: &str, form: &str, who: &Caller) -> (StatusCode, String, String) {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        self.send(request, who).await
    }

    pub async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    pub async fn person(&self, record: i64) -> i64 {
        sqlx::query_scalar("select person_id from identity_record where id = $1")
            .bind(record)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }
}

pub fn assert_has(page: &str, words: &[&str], lacks: &[&str]) {
    // Marks on single characters do not part the words.
    let page = page.replace("<mark class=\"mk-char\">", "").replace("</mark>", "");
    for word in words {
        assert!(page.contains(word), "{word} is missing in {page}");
    }
    for word in lacks {
        assert!(!page.contains(word), "{word} must not be in {page}");
    }
}

#[tokio::test]
async fn the_queue_and_the_comparison_show_what_is_in_reach_masked_and_audited() {
    let city = City::new().await;
    let (a, b) = city.two_numbers().await;
    let (li, elsewhere) = (reviewer(1, "李核对", "4115"), reviewer(2, "外县", "411502"));
    let (status, page) = city.get("/index/review", &li).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["欧阳建国", "两个证件号码", "紧急", "机构1", "机构2", "开始核对"], &["导出 CSV"]);
    // Of the other county nothing is seen, whichever way one comes.
    let (_, page) = city.get("/index/review", &elsewhere).await;
    assert_has(&page, &["没有待核对的登记"], &["欧阳建国"]);
    let task: i64 = city.one("select id from review_task").await;
    let path = format!("/index/review/{task}");
    for (person, expected) in [(&elsewhere, StatusCode::NOT_FOUND), (&engineer(), StatusCode::FORBIDDEN)] {
        assert_eq!(city.get(&path, person).await.0, expected);
        let form = "outcome=apart&why=外县核对";
        assert_eq!(city.post(&format!("{path}/decide"), form, person).await.0, expected);
    }
    assert_eq!(city.get("/index/review.csv", &li).await.0, StatusCode::FORBIDDEN);
    assert_eq!(city.get("/index/review/nonsense", &li).await.0, StatusCode::NOT_FOUND);

    let (status, page) = city.get(&path, &li).await;
    assert_eq!(status, StatusCode::OK);
    let whole = number("1980-03-14", 1);
    assert_has(
        &page,
        &["是不是同一人", "欧阳建国", "411503********", "mk-bit-for", "另一人复核", "data-key=\"1\""],
        &[whole.as_str(), "13812345678", "显示完整号码"],
    );
    // In full: a right of its own, and an act in the trail.
    assert_eq!(city.post(&format!("{path}/reveal"), "", &li).await.0, StatusCode::FORBIDDEN);
    let (status, page, _) = city.post(&format!("{path}/reveal"), "", &supervisor()).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &[whole.as_str(), "13812345678"], &[]);
    let seen: Vec<(String, Option<i64>)> = sqlx::query_as(
        "select act, person_id from audit_entry where act in ('person.review_view', 'person.reveal') order by act, id",
    )
    .fetch_all(city.db.pool())
    .await
    .unwrap();
    let both = [city.person(a).await, city.person(b).await];
    for act in ["person.review_view", "person.reveal"] {
        let mut persons: Vec<i64> = seen.iter().filter(|(a, _)| a == act).filter_map(|(_, p)| *p).collect();
        persons.sort_unstable();
        assert_eq!(persons, both, "{act} is noted for both persons");
    }
    let (_, csv) = city.get("/index/review.csv", &supervisor()).await;
    assert_has(&csv, &["欧阳建国", "两个证件号码", "待核对"], &[whole.as_str()]);
}

#[tokio::test]
async fn one_decision_leads_to_the_next_and_is_never_asked_again() {
    let city = City::new().await;
    let (a, b) = city.asked().await;
    assert_ne!(city.person(a).await, city.person(b).await);
    let li = reviewer(1, "李核对", "4115");
    let (_, _, first) = city.send(Request::get("/index/review/next").body(Body::empty()).unwrap(), &li).await;
    let task: i64 = city.one("select id from review_task").await;
    assert_eq!(first, format!("/index/review/{task}"));
    // Somebody else has it open.
    city.get(&first, &li).await;
    let (_, page) = city.get(&first, &reviewer(3, "赵核对", "4115")).await;
    assert_has(&page, &["李核对 正在核对这一项"], &[]);
    let (_, _, none) = city
        .send(Request::get("/index/review/next").body(Body::empty()).unwrap(), &reviewer(3, "赵核对", "4115"))
        .await;
    assert_eq!(none, "/index/review?was=empty");

    let decide = format!("{first}/decide");
    assert_eq!(city.post(&decide, "outcome=maybe", &li).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _, to) = city.post(&decide, "outcome=same&why=", &li).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(to.starts_with("/index/review/next?") && to.contains("was=same"), "{to}");
    assert_eq!(city.person(a).await, city.person(b).await);
    let (_, page) = city.get(&first, &li).await;
    assert_has(&page, &["结论：是同一人", "李核对", "撤销这个结论"], &["data-key=\"1\""]);
    let (_, page) = city.get("/index/review?state=done", &li).await;
    assert_has(&page, &["卓文伟", "是同一人"], &[]);
    assert_eq!(city.post(&decide, "outcome=apart", &li).await.0, StatusCode::CONFLICT, "decided already");

    // Undone: both as before, and the task waits again.
    let operation: i64 = city.one("select id from person_operation").await;
    let undo = format!("/index/operations/{operation}/undo");
    assert_eq!(city.post(&undo, "reason=", &li).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _, to) = city.post(&undo, &format!("reason=误操作&back=task:{task}"), &li).await;
    assert_eq!((status, to), (StatusCode::SEE_OTHER, first.clone()));
    assert_ne!(city.person(a).await, city.person(b).await);
    let (_, page) = city.get("/index/operations", &li).await;
    assert_has(&page, &["合并", "撤销", "误操作", "已撤销", "李核对"], &[]);

    // Kept apart for good: registered anew, the question does not come back.
    assert_eq!(city.post(&decide, "outcome=apart&why=两人均到场", &li).await.0, StatusCode::SEE_OTHER);
    city.alike().await;
    assert_ne!(city.person(a).await, city.person(b).await);
    assert_eq!(
        city.one::<i64>("select count(*) from review_task where state in ('open', 'asked', 'second')").await,
        0
    );
    let (_, page) = city.get("/index/figures", &li).await;
    assert_has(&page, &["积压与工效", "李核对"], &[]);
}

#[tokio::test]
async fn what_is_risky_wants_another_pair_of_eyes() {
    let city = City::new().await;
    city.two_numbers().await;
    let (li, wang) = (reviewer(1, "李核对", "4115"), reviewer(2, "王核对", "4115"));
    let task: i64 = city.one("select id from review_task").await;
    let decide = format!("/index/review/{task}/decide");
    let (_, _, to) = city.post(&decide, "outcome=same&why=核对了户口簿", &li).await;
    assert!(to.contains("was=second"), "{to}");
    let (_, page) = city.get(&format!("/index/review/{task}"), &li).await;
    assert_has(&page, &["须另一人复核", "您不能复核自己的结论"], &["data-key=\"1\""]);
    assert_eq!(city.post(&decide, "outcome=same", &li).await.0, StatusCode::CONFLICT);
    let (_, page) = city.get(&format!("/index/review/{task}"), &wang).await;
    assert_has(&page, &["李核对 判断“是同一人”", "核对了户口簿", "data-key=\"1\""], &[]);
    let (_, _, to) = city.post(&decide, "outcome=apart&why=照片不同", &wang).await;
    assert!(to.contains("was=disputed"), "{to}");
    let (_, page) = city.get(&format!("/index/review/{task}"), &li).await;
    assert_has(&page, &["待核对", "data-key=\"1\""], &[]);
}

#[tokio::test]
async fn an_institution_is_asked_and_answers_about_its_own_registration_only() {
    let city = City::new().await;
    let (_, b) = city.two_numbers().await;
    let li = reviewer(1, "李核对", "4115");
    let task: i64 = city.one("select id from review_task").await;
    let ask = format!("/index/review/{task}/ask");
    let thin = format!("identity={b}&question=?");
    assert_eq!(city.post(&ask, &thin, &li).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let foreign = "identity=999999&question=请核对出生日期";
    assert_eq!(city.post(&ask, foreign, &li).await.0, StatusCode::NOT_FOUND);
    let form = format!("identity={b}&question=请核对身份证号码");
    assert_eq!(city.post(&ask, &form, &li).await.0, StatusCode::SEE_OTHER);
    assert_eq!(city.one::<String>("select state from review_task").await, "asked");

    let (_, page) = city.get("/index/questions", &engineer()).await;
    assert_has(&page, &["请核对身份证号码", "机构2", "待答复"], &["机构1"]);
    let question: i64 = city.one("select id from review_question").await;
    let path = format!("/index/questions/{question}");
    let (status, page) = city.get(&path, &engineer()).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["院内编号", "登记无误"], &["机构1", "欧阳建国"]);
    // Another institution's engineer does not find it.
    let other = Caller {
        grants: vec![Grant {
            line: Line::Exchange,
            act: Act::Write,
            span: Span::Institution(COUNTY_HOSPITAL),
        }],
        ..engineer()
    };
    assert_eq!(city.get(&path, &other).await.0, StatusCode::NOT_FOUND);
    let answer = format!("{path}/answer");
    assert_eq!(city.post(&answer, "answer=perhaps", &engineer()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let form = "answer=wrong&note=抄错一位";
    assert_eq!(city.post(&answer, form, &other).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.post(&answer, form, &engineer()).await.0, StatusCode::SEE_OTHER);
    assert_eq!(city.post(&answer, form, &engineer()).await.0, StatusCode::CONFLICT);
    let (_, page) = city.get(&format!("/index/review/{task}"), &li).await;
    assert_has(&page, &["待核对", "登记有误", "抄错一位", "龚工"], &[]);
}

#[tokio::test]
async fn a_person_is_merged_split_and_pinned_by_hand_with_reasons() {
    let city = City::new().await;
    let (a, b) = city.alike().await;
    let li = reviewer(1, "李核对", "4115");
    let (one, other) = (city.person(a).await, city.person(b).await);
    let merge = format!("/index/persons/{one}/merge");
    let (_, page) = city.get(&format!("{merge}?q=卓文"), &li).await;
    assert_has(&page, &[&format!("other={other}"), "卓文玮"], &[&format!("other={one}\"")]);
    let (_, page) = city.get(&format!("{merge}?other={other}"), &li).await;
    assert!(page.contains("mk-char"), "{page}");
    assert_has(&page, &["合并为一人"], &[]);
    let form = format!("other={other}&reason=本人电话确认");
    let (status, _, to) = city.post(&merge, &form, &li).await;
    assert_eq!((status, to), (StatusCode::SEE_OTHER, format!("/index/persons/{one}")));
    assert_eq!(city.person(b).await, one);
    // The old address leads to where the registrations went.
    let (status, _, to) =
        city.send(Request::get(format!("/index/persons/{other}")).body(Body::empty()).unwrap(), &li).await;
    assert_eq!((status, to), (StatusCode::SEE_OTHER, format!("/index/persons/{one}")));

    let (_, page) = city.get(&format!("/index/persons/{one}"), &li).await;
    assert_has(
        &page,
        &["最佳记录", "身份时间线", "本人电话确认", "机构1", "机构2", "1 条不同", "拆分勾选的登记"],
        &[],
    );
    let pin = format!("/index/persons/{one}/pin");
    let form = format!("record={b}&field=name&act=pin&reason=以身份证为准");
    assert_eq!(city.post(&pin, &form, &li).await.0, StatusCode::SEE_OTHER);
    assert_eq!(
        city.one::<String>("select name from person where merged_into is null and name <> ''").await,
        "卓文玮"
    );
    let (_, page) = city.get(&format!("/index/persons/{one}"), &li).await;
    assert_has(&page, &["人工指定", "以身份证为准", "取消指定"], &[]);

    let split = format!("/index/persons/{one}/split");
    assert_eq!(
        city.post(&split, "reason=不是一人", &li).await.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "nothing chosen"
    );
    let form = format!("record={b}&reason=照片不同");
    let (status, _, to) = city.post(&split, &form, &li).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let now = city.person(b).await;
    assert!(now != one && to == format!("/index/persons/{now}"), "{to}");
    let (_, page) = city.get(&to, &li).await;
    assert_has(&page, &["照片不同", "李核对"], &[]);
    let elsewhere = reviewer(2, "外县", "411502");
    assert_eq!(city.get(&to, &elsewhere).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.post(&split, &form, &elsewhere).await.0, StatusCode::NOT_FOUND);
    let disown = format!("/index/records/{a}/disown");
    assert_eq!(city.post(&disown, "reason=借用他人证件", &li).await.0, StatusCode::SEE_OTHER);
    let (_, page) = city.get(&format!("/index/persons/{}", city.person(a).await), &li).await;
    assert_has(&page, &["不属本人", "借用他人证件"], &[]);
}

#[tokio::test]
async fn suspicious_people_runs_and_models_have_their_pages() {
    let city = City::new().await;
    let (a, _) = city.two_numbers().await;
    let person = city.person(a).await;
    sqlx::query(
        "insert into index_suspect (person_id, kind, detail, found_at, seen_at)
         values ($1, 'two_sexes', '{\"sexes\": [\"1\", \"2\"]}', now(), now())",
    )
    .bind(person)
    .execute(city.db.pool())
    .await
    .unwrap();
    let li = reviewer(1, "李核对", "4115");
    let (_, page) = city.get("/index/suspects", &li).await;
    assert_has(&page, &["欧阳建国", "性别矛盾"], &[]);
    let (_, page) = city.get("/index/suspects", &reviewer(2, "外县", "411502")).await;
    assert_has(&page, &["没有可疑的人员"], &["欧阳建国"]);
    let suspect: i64 = city.one("select id from index_suspect").await;
    let explain = format!("/index/suspects/{suspect}/explain");
    assert_eq!(city.post(&explain, "note=", &li).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        city.post(&explain, "note=已核实", &reviewer(2, "外县", "411502")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(city.post(&explain, "note=已核实", &li).await.0, StatusCode::SEE_OTHER);
    let (_, page) = city.get("/index/suspects?state=explained", &li).await;
    assert_has(&page, &["已核实", "李核对"], &[]);

    assert_eq!(city.get("/index/runs", &li).await.0, StatusCode::FORBIDDEN);
    let mut boss = supervisor();
    boss.assurance.fresh = true;
    let (status, _, run) = city.post("/index/runs", "kind=relink", &boss).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(city.post("/index/runs", "kind=train", &boss).await.0, StatusCode::CONFLICT, "one at a time");
    sqlx::query("update index_run set state = 'proposed', statistics = '{\"moved\": 3, \"merged\": 2}'")
        .execute(city.db.pool())
        .await
        .unwrap();
    let (_, page) = city.get(&run, &boss).await;
    assert_has(&page, &["待审批", "批准并执行", "改变归属的登记"], &[]);
    let (status, ..) = city.post(&format!("{run}/decide"), "decision=reject&reason=抽查有误", &boss).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, page) = city.get("/index/runs", &boss).await;
    assert_has(&page, &["重新关联", "已退回"], &[]);
    let (status, page) = city.get("/index/models", &boss).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["比对模型"], &[]);
    assert_eq!(city.get("/index/models/77", &boss).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_root_of_the_section_leads_to_the_first_page_of_the_reader() {
    let city = City::new().await;
    let face = Arc::new(web::Face { menu: catalog::shipped().unwrap().menu.clone(), ..web::Face::default() });
    let lead = async |who: &Caller| {
        let mut request = Request::get("/index").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Arc::new(who.clone()));
        request.extensions_mut().insert(face.clone());
        let response = city.app.clone().oneshot(request).await.unwrap();
        let to = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
        (response.status(), to.unwrap_or_default())
    };
    let manager =
        caller(7, "管模型", "x", Line::PersonIndex, &[Act::Manage], Span::Region(RegionCode::NATION));
    let doctor = caller(8, "王医生", "x", Line::Medical, &[Act::Read], Span::Institution(TOWNSHIP));
    for (who, to) in [
        (reviewer(1, "核对员", "4115"), "/index/review"),
        (supervisor(), "/index/review"),
        (manager, "/index/runs"),
        (engineer(), "/index/questions"),
    ] {
        assert_eq!(lead(&who).await, (StatusCode::SEE_OTHER, to.to_owned()), "{}", who.name);
    }
    assert_eq!(lead(&doctor).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_model_alone_says_how_to_get_another() {
    let city = City::new().await;
    let (status, page) = city.get("/index/models", &supervisor()).await;
    assert_eq!(status, StatusCode::OK);
    for words in ["只有一个模型", "训练模型", "name=\"kind\" value=\"train\""] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("开始比较"));
    sqlx::query(
        "insert into person_model (version, definition, parameters, blocking, trained_on, trained_at, actor)
         values ('t1', '', '{}', '', 10, now(), '索主管')",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    let (_, page) = city.get("/index/models", &supervisor()).await;
    assert!(page.contains("开始比较") && !page.contains("只有一个模型"), "{page}");
}
