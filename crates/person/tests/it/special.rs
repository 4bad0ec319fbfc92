//! Special registrations over HTTP: a newborn under its mother, people from abroad and without documents, an unknown
//! patient who turns out to be somebody, deaths recorded and taken back; who may, who sees, and what the trail keeps.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use contracts::{Demographics, Terminology};
use kernel::access::InstitutionId;
use kernel::{Act, Caller, CallerKind, Grant, Id, Line, RegionCode, Span};
use person::MasterIndex;
use person::desk::Desk;
use person::search::SearchPages;
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

struct Ward {
    db: TestDb,
    index: Arc<MasterIndex>,
    app: Router,
}

fn county(code: &str) -> Span {
    Span::Region(RegionCode::parse(code).unwrap())
}

/// A nurse of a hospital, or whoever else writes there.
fn nurse(at: InstitutionId) -> Caller {
    let span = Span::Institution(at);
    let grants = [Act::Read, Act::Write, Act::Export].map(|act| Grant { line: Line::Medical, act, span });
    Caller {
        account: Some(Id::new(5)),
        name: "赵护士".into(),
        roles: vec!["hospital_nurse".into()],
        institution: Some(at),
        grants: grants.into(),
        ..Caller::blank(CallerKind::Staff)
    }
}

/// Who looks after the master index of a division.
fn steward(code: &str) -> Caller {
    let grants = [Act::Read, Act::Write, Act::Export].map(|act| Grant {
        line: Line::PersonIndex,
        act,
        span: county(code),
    });
    Caller {
        account: Some(Id::new(9)),
        name: "索主管".into(),
        roles: vec!["index_supervisor".into()],
        grants: grants.into(),
        ..Caller::blank(CallerKind::Staff)
    }
}

impl Ward {
    async fn new() -> Ward {
        let (db, _) = city().await;
        let options = store::Settings::defaults(Arc::new(catalog::shipped().unwrap()));
        let index = Arc::new(MasterIndex::new(db.db().clone()).with_options(options, Arc::new(Two)));
        let masks = catalog::shipped().unwrap().masks;
        let pages = SearchPages {
            db: db.db().clone(),
            institutions: Arc::new(Two),
            clock: testkit::clock(),
            masks: masks.clone(),
            index: index.clone(),
        };
        let desk = Desk {
            db: db.db().clone(),
            index: index.clone(),
            institutions: Arc::new(Two),
            clock: testkit::clock(),
            masks,
            codes: Arc::new(NoCodes),
            notices: None,
        };
        let app = person::search::routes(pages).merge(person::desk::routes(desk)).into_router();
        Ward { db, index, app }
    }

    async fn send(&self, mut request: Request<Body>, who: &Caller) -> (StatusCode, String) {
        request.extensions_mut().insert(Arc::new(who.clone()));
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let explained = response.extensions().get::<web::failure::Explained>().map(|e| e.message.clone());
        let body = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
        (status, explained.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()))
    }

    async fn get(&self, path: &str, who: &Caller) -> (StatusCode, String) {
        self.send(Request::get(path).body(Body::empty()).unwrap(), who).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)], who: &Caller) -> (StatusCode, String) {
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.join("&")))
            .unwrap();
        self.send(request, who).await
    }

    async fn register(&self, at: InstitutionId, row: Demographics) -> i64 {
        let record = link(&self.db, &self.index, at, &[row]).await.unwrap()[0];
        self.person(record).await
    }

    async fn person(&self, record: i64) -> i64 {
        sqlx::query_scalar("select person_id from identity_record where id = $1")
            .bind(record)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// Records of a kind of special registration, the oldest first.
    async fn special(&self, kind: &str) -> Vec<i64> {
        sqlx::query_scalar("select id from identity_record where special = $1 order by id")
            .bind(kind)
            .fetch_all(self.db.pool())
            .await
            .unwrap()
    }

    async fn died_on(&self, person: i64) -> Option<chrono::NaiveDate> {
        sqlx::query_scalar("select died_on from person where id = $1")
            .bind(person)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn has(page: &str, words: &[&str], lacks: &[&str]) {
    for word in words {
        assert!(page.contains(word), "{word} is missing in {page}");
    }
    for word in lacks {
        assert!(!page.contains(word), "{word} must not be in {page}");
    }
}

fn mother() -> Demographics {
    registration("M1", "刘芳", "2", "1996-05-05", &number("1996-05-05", 2))
}

#[tokio::test]
async fn newborns_are_registered_under_their_mother_and_get_their_own_number_later() {
    let ward = Ward::new().await;
    let mother = ward.register(COUNTY_HOSPITAL, mother()).await;
    let father = registration("M2", "刘芳", "1", "1990-05-05", &number("1990-05-05", 1));
    let father = ward.register(COUNTY_HOSPITAL, father).await;
    let nurse = nurse(COUNTY_HOSPITAL);
    let today = kernel::Clock::today(&*testkit::clock()).to_string();

    let (_, page) = ward.get("/persons/newborn", &nurse).await;
    has(&page, &["请先查找母亲"], &[]);
    let (_, page) = ward.get(&format!("/persons/newborn?q={}", encoded("刘芳")), &nurse).await;
    has(
        &page,
        &[&format!("/persons/newborn?mother={mother}"), "29 岁"],
        &[&format!("/persons/newborn?mother={father}")],
    );
    let (_, page) = ward.get(&format!("/persons/newborn?mother={mother}"), &nurse).await;
    has(&page, &["刘芳", "本次分娩顺序", "1996-05-05"], &["已登记的新生儿"]);

    let mother_no = mother.to_string();
    let twin = |order: &'static str, at: &'static str| {
        [
            ("mother", mother_no.as_str()),
            ("order", order),
            ("sex", "2"),
            ("birth_date", today.as_str()),
            ("born_at", at),
            ("name", ""),
        ]
    };
    let (status, page) = ward.post("/persons/newborn", &twin("1", "08:35"), &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    has(&page, &["已登记", "N2025", "登记下一个"], &[]);
    let (status, page) = ward.post("/persons/newborn", &twin("2", "08:41"), &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    // Pressed twice; a father; somebody else's patient; nonsense.
    let (status, page) = ward.post("/persons/newborn", &twin("2", "08:41"), &nurse).await;
    assert_eq!(status, StatusCode::CONFLICT);
    has(&page, &["已经登记过了"], &[]);
    for (name, value, expected, words) in [
        ("mother", father.to_string(), StatusCode::UNPROCESSABLE_ENTITY, "登记为男性"),
        ("born_at", "25:70".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "24 小时制"),
        ("order", "三".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "本次分娩顺序"),
        ("birth_date", "2019-01-01".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "一周岁以内"),
        ("mother", "x".to_owned(), StatusCode::NOT_FOUND, "没有找到这位母亲"),
    ] {
        let mut form = twin("3", "09:00").to_vec();
        form.retain(|(n, _)| *n != name);
        form.push((name, value.as_str()));
        let (status, page) = ward.post("/persons/newborn", &form, &nurse).await;
        assert_eq!(status, expected, "{name}={value}: {page}");
        has(&page, &[words], &[]);
    }
    let elsewhere = self::nurse(TOWNSHIP);
    let (status, _) = ward.get(&format!("/persons/newborn?mother={mother}"), &elsewhere).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a mother of another hospital is not chosen");

    let twins = ward.special("newborn").await;
    assert_eq!(twins.len(), 2);
    // They look like one child to every comparison, and nobody is asked: they are told apart from each other and from
    // the mother.
    let asked: i64 =
        sqlx::query_scalar("select count(*) from review_task").fetch_one(ward.db.pool()).await.unwrap();
    let apart: i64 = sqlx::query_scalar("select count(*) from identity_pair where verdict = 'apart'")
        .fetch_one(ward.db.pool())
        .await
        .unwrap();
    assert_eq!((asked, apart), (0, 3));
    let (first, second) =
        (format!("/persons/special/{}", twins[0]), format!("/persons/special/{}", twins[1]));
    let (_, page) = ward.get(&first, &nurse).await;
    has(
        &page,
        &[
            "刘芳之女",
            "母亲",
            "第 1 个",
            "08:35",
            "同次分娩",
            &second,
            "补登孩子本人的证件",
            "待孩子本人的证件",
        ],
        &[],
    );
    assert_eq!(ward.get(&first, &elsewhere).await.0, StatusCode::NOT_FOUND);

    // The tie is on the pages of identity of both.
    let steward = steward("4115");
    let child = ward.person(twins[0]).await;
    let (_, page) = ward.get(&format!("/index/persons/{child}"), &steward).await;
    has(&page, &[&format!("/index/persons/{mother}"), "第 1 个", "08:35 出生", "特殊登记"], &[]);
    let (_, page) = ward.get(&format!("/index/persons/{mother}"), &steward).await;
    has(&page, &[&format!("/index/persons/{child}"), "第 2 个"], &[]);

    // The child's own number arrives; the tie stays, and the list has one less.
    let (_, page) = ward.get("/persons/special", &nurse).await;
    has(&page, &[&first, &second, "母亲 刘芳，本次分娩第 2 个"], &[]);
    let own = number(&today, 2);
    let papers = [("name", "王小宝"), ("credential_kind", "01"), ("credential_no", own.as_str())];
    let identify = format!("{first}/identify");
    assert_eq!(ward.post(&identify, &papers, &elsewhere).await.0, StatusCode::NOT_FOUND);
    let boys = number(&today, 1);
    let wrong =
        [("name", "王小宝"), ("credential_kind", "01"), ("credential_no", boys.as_str()), ("sex", "2")];
    let (status, page) = ward.post(&identify, &wrong, &nurse).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    has(&page, &["与身份证号码不符", "王小宝"], &[]);
    let (status, page) = ward.post(&identify, &papers, &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    has(&page, &["已补登"], &[]);
    let (_, page) = ward.get("/persons/special", &nurse).await;
    has(&page, &[&second], &[&format!("{first}\"")]);
    let (_, page) = ward.get("/persons/special?state=settled", &nurse).await;
    has(&page, &[&first, "王小宝", "已有本人证件", "母亲 刘芳，本次分娩第 1 个"], &[]);
}

#[tokio::test]
async fn an_unknown_patient_turns_out_to_be_somebody() {
    let ward = Ward::new().await;
    let id = number("1970-03-04", 1);
    let known = registration("T7", "周建设", "1", "1970-03-04", &id);
    let known = ward.register(TOWNSHIP, known).await;
    let nurse = nurse(COUNTY_HOSPITAL);
    let form = [("sex", "1"), ("age", "50"), ("circumstances", "火车站晕倒，120 送来")];
    assert_eq!(ward.post("/persons/unknown", &form, &nurse).await.0, StatusCode::OK);
    let record = ward.special("unknown").await[0];
    let before = ward.person(record).await;
    let path = format!("/persons/special/{record}");
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["火车站晕倒", "约 1975 年", "待查明身份", "查明身份"], &[]);
    // By name alone nobody is found, and the registration stays open.
    let named = [("name", "周建设")];
    let (status, page) = ward.post(&format!("{path}/identify"), &named, &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert_eq!(ward.person(record).await, before);
    let papers =
        [("name", "周建设"), ("credential_kind", "01"), ("credential_no", id.as_str()), ("birth_date", "")];
    let (status, page) = ward.post(&format!("{path}/identify"), &papers, &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    has(&page, &["已归到本人名下", &format!("/record/{known}")], &[]);
    assert_eq!(ward.person(record).await, known);
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["已归入本人名下"], &["待查明身份"]);
    let (_, page) = ward.get(&format!("/index/persons/{known}"), &steward("4115")).await;
    has(&page, &["身份不明者", "火车站晕倒", "补登证件"], &[]);
}

#[tokio::test]
async fn people_from_abroad_and_without_documents_are_registered() {
    let ward = Ward::new().await;
    let nurse = nurse(COUNTY_HOSPITAL);
    let tom = [
        ("name", "LEE  TOM"),
        ("credential_kind", "03"),
        ("credential_no", "g1234567"),
        ("nationality", "新加坡"),
        ("sex", "1"),
        ("birth_date", "1980-02-03"),
    ];
    let (status, page) = ward.post("/persons/foreigner", &tom, &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    has(&page, &["已登记", "F2025"], &[]);
    let record = ward.special("foreigner").await[0];
    let (_, page) = ward.get(&format!("/persons/special/{record}"), &nurse).await;
    has(&page, &["LEE TOM", "国籍（地区）：新加坡", "有有效证件"], &[]);
    for (name, value, words) in [
        ("credential_kind", "01", "证件类别"),
        ("credential_no", "12", "5 至 20 位"),
        ("birth_date", "2030-01-01", "今天之后"),
        ("name", " ", "请填写姓名"),
    ] {
        let mut form = tom.to_vec();
        form.retain(|(n, _)| *n != name);
        form.push((name, value));
        let (status, page) = ward.post("/persons/foreigner", &form, &nurse).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}: {page}");
        has(&page, &[words], &[]);
    }
    let without = [("name", "吴名"), ("sex", "1"), ("age", "40"), ("why", "证件遗失，补办中")];
    let (status, page) = ward.post("/persons/undocumented", &without, &nurse).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let (status, _) = ward.post("/persons/undocumented", &without[..3], &nurse).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "no reason is given");
    // Who belongs to no institution registers nobody.
    let homeless = Caller { institution: None, ..nurse.clone() };
    assert_eq!(
        ward.post("/persons/undocumented", &without, &homeless).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );

    // The list: what is open, filters, the download, whom it is for.
    let (_, page) = ward.get("/persons/special", &nurse).await;
    has(&page, &["吴名", "待补证件", "证件遗失", "登记新生儿", "导出 CSV"], &["LEE TOM"]);
    let (_, page) = ward.get("/persons/special?state=all&kind=foreigner", &nurse).await;
    has(&page, &["LEE TOM"], &["吴名"]);
    let number: String =
        sqlx::query_scalar("select local_no from identity_record where special = 'undocumented'")
            .fetch_one(ward.db.pool())
            .await
            .unwrap();
    let (_, page) = ward.get(&format!("/persons/special?state=all&q={number}"), &nurse).await;
    has(&page, &["吴名"], &["LEE TOM"]);
    let (_, page) = ward.get("/persons/special?day_from=2025-05-16", &nurse).await;
    has(&page, &["没有符合条件的特殊登记"], &["吴名"]);
    let (_, csv) = ward.get("/persons/special.csv?state=all", &nurse).await;
    has(&csv, &["\"LEE TOM\",\"境外人员\"", "\"待补证件\""], &[]);
    let (_, page) = ward.get("/persons/special?state=all", &self::nurse(TOWNSHIP)).await;
    has(&page, &[], &["吴名", "LEE TOM"]);
    let (status, page) = ward.get("/index/special?state=all", &steward("4115")).await;
    assert_eq!(status, StatusCode::OK);
    has(&page, &["吴名", "/index/persons/", "/index/special.csv"], &["登记新生儿"]);
    let (_, page) = ward.get("/index/special?state=all", &steward("42")).await;
    has(&page, &[], &["吴名"]);
    for (path, who) in [("/index/special", &nurse), ("/persons/special", &steward("4115"))] {
        assert_eq!(ward.get(path, who).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let acts: Vec<String> = sqlx::query_scalar("select distinct act from audit_entry order by act")
        .fetch_all(ward.db.pool())
        .await
        .unwrap();
    for act in ["person.special", "person.special_list", "person.special_export", "person.special_view"] {
        assert!(acts.iter().any(|a| a == act), "{act} is missing in {acts:?}");
    }
}

#[tokio::test]
async fn a_death_is_recorded_and_taken_back() {
    let ward = Ward::new().await;
    let person = ward.register(COUNTY_HOSPITAL, mother()).await;
    let nurse = nurse(COUNTY_HOSPITAL);
    let path = format!("/persons/death/{person}");
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["刘芳", "死亡日期", "信息来源"], &["撤销死亡登记"]);
    let elsewhere = self::nurse(TOWNSHIP);
    assert_eq!(ward.get(&path, &elsewhere).await.0, StatusCode::NOT_FOUND);
    let death = |day: &'static str, source: &'static str, no: &'static str| {
        [("died_on", day), ("source", source), ("certificate_no", no), ("note", "院外死亡")]
    };
    assert_eq!(
        ward.post(&path, &death("2025-05-10", "family", ""), &elsewhere).await.0,
        StatusCode::NOT_FOUND
    );
    for (form, words) in [
        (death("2030-05-10", "family", ""), "今天之后"),
        (death("1990-05-10", "family", ""), "早于出生日期"),
        (death("2025-05-10", "rumour", ""), "信息的来源"),
        (death("2025-05-10", "certificate", ""), "证明编号"),
        (death("", "family", ""), "请填写死亡日期"),
    ] {
        let (status, page) = ward.post(&path, &form, &nurse).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{form:?}");
        has(&page, &[words], &[]);
    }
    assert_eq!(ward.died_on(person).await, None);
    assert_eq!(ward.post(&path, &death("2025-05-10", "police", ""), &nurse).await.0, StatusCode::SEE_OTHER);
    assert_eq!(ward.died_on(person).await, Some("2025-05-10".parse().unwrap()));
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["公安部门", "赵护士", "撤销死亡登记", "院外死亡"], &["信息来源"]);
    let (status, page) = ward.post(&path, &death("2025-05-11", "family", ""), &nurse).await;
    assert_eq!(status, StatusCode::CONFLICT);
    has(&page, &["请先撤销"], &[]);
    let (_, page) = ward.get(&format!("/index/persons/{person}"), &steward("4115")).await;
    has(&page, &["已故", "登记死亡", "公安部门"], &[]);

    let withdraw = format!("{path}/withdraw");
    let why = [("reason", "登记错了人")];
    assert_eq!(ward.post(&withdraw, &why, &elsewhere).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ward.post(&withdraw, &[("reason", "")], &nurse).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ward.post(&withdraw, &why, &nurse).await.0, StatusCode::SEE_OTHER);
    assert_eq!(ward.died_on(person).await, None);
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["已撤销", "登记错了人", "信息来源"], &["撤销死亡登记"]);
    assert_eq!(ward.post(&withdraw, &why, &nurse).await.0, StatusCode::CONFLICT);

    // A certificate that came as data is not taken back here.
    let row = Demographics {
        local_no: "M1".into(),
        died_on: Some("2025-05-12".parse().unwrap()),
        ..Demographics::default()
    };
    link(&ward.db, &ward.index, COUNTY_HOSPITAL, &[row]).await.unwrap();
    let (_, page) = ward.get(&path, &nurse).await;
    has(&page, &["由机构上传的死亡登记"], &["撤销死亡登记"]);
    assert_eq!(ward.post(&withdraw, &why, &nurse).await.0, StatusCode::CONFLICT);
    let told: Vec<String> = sqlx::query_scalar(
        "select kind || ':' || actor from identity_event where kind in ('died', 'revived') order by id",
    )
    .fetch_all(ward.db.pool())
    .await
    .unwrap();
    assert_eq!(told, ["died:赵护士", "revived:赵护士"]);
}

/// The list and the page of a mother's children go by their indexes, however many registrations there are.
#[tokio::test]
async fn lists_follow_their_indexes() {
    let ward = Ward::new().await;
    let sql = "
        insert into person (id, created_at) overriding system value
        select n, now() from generate_series(100000, 139999) n;
        insert into identity_record (institution_id, local_no, person_id, link_rule, updated_at, special)
        select 1 + n % 2, 'x' || n, 100000 + n % 40000, 'new', now(), case when n % 100 = 0 then 'unknown' else '' end
        from generate_series(1, 60000) n;
        update identity_record set mother_id = id - 1 where special <> '';
        vacuum analyze identity_record; analyze person";
    for statement in sql.split(';') {
        sqlx::raw_sql(statement).execute(ward.db.pool()).await.unwrap();
    }
    for (what, index) in [
        (
            "(i.institution_id = any(array[1, 2]) or i.region like any(array['4115%'])) and ('' = '' or i.special = '')
             and (p.citizen_blind is not null or i.credential_no <> '' or o.others > 0) = false
             order by i.id desc limit 31",
            "identity_record_special",
        ),
        (
            "i.mother_id in (select r.id from identity_record r where r.person_id = 100007)
             order by i.birth_date desc limit 20",
            "identity_record_mother",
        ),
    ] {
        let statement = format!(
            "explain select i.id, o.others, m.name from identity_record i join person p on p.id = i.person_id
             left join identity_record m on m.id = i.mother_id
             cross join lateral (select count(*) as others from identity_record x
                                 where x.person_id = i.person_id and x.id <> i.id and x.special = '') o
             where i.special <> '' and {what}"
        );
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_all(ward.db.pool())
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
}
