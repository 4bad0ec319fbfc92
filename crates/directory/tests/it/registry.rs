//! The registers over HTTP, as the people who keep them: own institution, county, another county, a member of staff.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use catalog::Catalog;
use contracts::Institutions;
use directory::Directory;
use directory::registry::Registries;
use kernel::access::{CallerKind, Factor, InstitutionId};
use kernel::{Act, Assurance, Caller, Grant, Id, Line, RegionCode, Span, StaffId};
use serde_json::Value;
use sqlx::Row;
use store::jobs::Jobs;
use testkit::{TestClock, TestDb, settle};
use tower::ServiceExt;

const A: &str = "12100000400000624D";
const B: &str = "91350100M000100Y43";
const C: &str = "12360000491015900T";

struct City {
    db: TestDb,
    directory: Arc<Directory>,
    registries: Registries,
    jobs: Jobs,
}

async fn city() -> City {
    let migrations: Vec<_> = [store::migrate::MIGRATIONS, directory::MIGRATIONS].concat();
    let db = TestDb::create(&migrations, &[]).await;
    let catalog: Arc<Catalog> = Arc::new(catalog::shipped().unwrap());
    let directory = Arc::new(Directory::open(db.db().clone(), catalog.tables.clone()).await.unwrap());
    let clock: Arc<TestClock> = testkit::clock();
    let options = store::Settings::defaults(catalog.clone());
    let registries = Registries::new(directory.clone(), catalog, clock.clone(), options);
    let mut jobs = Jobs::new(db.db().clone(), clock);
    registries.register_jobs(&mut jobs);
    City { db, directory, registries, jobs }
}

fn person(account: i64, name: &str, acts: &[Act], span: Span) -> Caller {
    Caller {
        account: Some(Id::new(account)),
        name: name.into(),
        role: "测试".into(),
        grants: acts.iter().map(|act| Grant { line: Line::Administration, act: *act, span }).collect(),
        assurance: Assurance { factor: Factor::Second, fresh: true },
        ..Caller::blank(CallerKind::Staff)
    }
}

fn region(code: &str) -> Span {
    Span::Region(RegionCode::parse(code).unwrap())
}

fn county(code: &str) -> Caller {
    person(1, "县管理员", &[Act::Read, Act::Manage, Act::Approve, Act::Reveal], region(code))
}

impl City {
    async fn send(&self, request: Request<Body>, caller: &Caller) -> (StatusCode, String, String) {
        let mut request = request;
        request.extensions_mut().insert(Arc::new(caller.clone()));
        let response = self.registries.routes().into_router().oneshot(request).await.unwrap();
        let status = response.status();
        let to = response.headers().get(header::LOCATION).map_or("", |l| l.to_str().unwrap()).to_owned();
        let explained = response.extensions().get::<web::failure::Explained>().map(|e| e.message.clone());
        let body = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, explained.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()), to)
    }

    async fn get(&self, path: &str, caller: &Caller) -> (StatusCode, String) {
        let (status, body, _) = self.send(Request::get(path).body(Body::empty()).unwrap(), caller).await;
        (status, body)
    }

    async fn json(&self, path: &str, caller: &Caller) -> Value {
        let (status, body) = self.get(path, caller).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        caller: &Caller,
    ) -> (StatusCode, String, String) {
        let mut form = String::new();
        for (name, value) in fields {
            let coded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            form.push_str(&format!("{name}={coded}&"));
        }
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        self.send(request, caller).await
    }

    /// What must succeed, and where it leads.
    async fn done(&self, path: &str, fields: &[(&str, &str)], caller: &Caller) -> String {
        let (status, body, to) = self.post(path, fields, caller).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{path}: {body}");
        to
    }

    async fn hospital(&self, code: &str, name: &str, at: &str) -> InstitutionId {
        let fields =
            [("code", code), ("name", name), ("class", "A100"), ("sender_class", "hospital"), ("region", at)];
        self.done("/institutions/new", &fields, &county(&at[..4])).await;
        self.directory.by_code(code).unwrap().id
    }

    async fn staff(&self, institution: &str, number: &str, name: &str, more: &[(&str, &str)]) -> i64 {
        let mut fields =
            vec![("institution", institution), ("staff_no", number), ("name", name), ("category", "11")];
        fields.extend_from_slice(more);
        let to = self.done("/staff/new", &fields, &county("4115")).await;
        to.rsplit('/').next().unwrap().parse().unwrap()
    }

    async fn events(&self, topic: &str) -> Vec<Value> {
        sqlx::query("select body from outbox where topic = $1 order by id")
            .bind(topic)
            .fetch_all(self.db.pool())
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    async fn upload(
        &self,
        kind: &str,
        name: &str,
        bytes: &[u8],
        caller: &Caller,
    ) -> (StatusCode, String, String) {
        let mut body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\n{kind}\r\n--x\r\nContent-Disposition: \
             form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n--x--\r\n");
        let request = Request::post("/registry/imports")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from(body))
            .unwrap();
        self.send(request, caller).await
    }
}

#[tokio::test]
async fn a_county_registers_its_own_institutions_and_sees_no_others() {
    let city = city().await;
    let near = city.hospital(A, "近处医院", "411503").await;
    let far = city.hospital(B, "远处医院", "411521").await;
    let officer = county("411503");
    let (status, page) = city.get("/institutions", &officer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("近处医院") && !page.contains("远处医院"));
    for path in ["/institutions/export.csv", "/institutions/statistics", "/registry", "/registry/map"] {
        let (status, page) = city.get(path, &officer).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!page.contains("远处医院"), "{path}");
    }
    assert_eq!(city.get(&format!("/institutions/{near}"), &officer).await.0, StatusCode::OK);
    for path in ["", "/history", "/edit"] {
        let path = format!("/institutions/{far}{path}");
        assert_eq!(city.get(&path, &officer).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(city.get("/institutions?q=jcyy", &officer).await.1.contains("近处医院"));
    // Wrong check character, a division outside, a missing name: said beside the field, nothing stored.
    let wrong = [
        ("code", "121000004000006240"),
        ("name", ""),
        ("class", "A100"),
        ("sender_class", "hospital"),
        ("region", "411521"),
    ];
    let (status, page, _) = city.post("/institutions/new", &wrong, &officer).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for expected in ["校验位", "不在您的管辖范围内", "name-error", "121000004000006240"] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    // Who may only look may not write; who lacks the line does not get in.
    let reader = person(9, "看客", &[Act::Read], region("411503"));
    assert_eq!(city.post("/institutions/new", &wrong, &reader).await.0, StatusCode::FORBIDDEN);
    let mut doctor = reader.clone();
    doctor.grants[0].line = Line::Medical;
    assert_eq!(city.get("/institutions", &doctor).await.0, StatusCode::FORBIDDEN);
    // A code that is taken is told in the form.
    let again = [
        ("code", A),
        ("name", "又一家"),
        ("class", "A100"),
        ("sender_class", "hospital"),
        ("region", "411503"),
    ];
    let (_, page, _) = city.post("/institutions/new", &again, &officer).await;
    assert!(page.contains("已经登记过了"), "{page}");
    // A township's registrar is no commission: a new institution is the county's.
    let township = person(7, "乡镇", &[Act::Read, Act::Manage], region("411503001"));
    let clinic = [
        ("code", C),
        ("name", "卫生室"),
        ("class", "D600"),
        ("sender_class", "village"),
        ("region", "411503001200"),
    ];
    assert_eq!(city.post("/institutions/new", &clinic, &township).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_version_stays_and_a_day_shows_what_held_on_it() {
    let city = city().await;
    let id = city.hospital(A, "老名字医院", "411503").await;
    let officer = county("411503");
    let edit = format!("/institutions/{id}/edit");
    let form = |name: &'static str, from: &'static str, version: &'static str| {
        vec![
            ("code", A),
            ("name", name),
            ("class", "A100"),
            ("sender_class", "hospital"),
            ("region", "411503"),
            ("grade", "3"),
            ("_from", from),
            ("_version", version),
            ("_reason", "批复1号"),
        ]
    };
    city.done(&edit, &form("新名字医院", "2030-01-01", "1"), &officer).await;
    // Somebody else changed it meanwhile: nothing is overwritten.
    let (status, page, _) = city.post(&edit, &form("第三个名字", "", "1"), &officer).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("已被他人修改") && page.contains("第三个名字"), "nothing typed is lost");
    let now = city.json(&format!("/api/v1/institutions/{id}"), &officer).await;
    assert_eq!((now["name"].as_str(), now["version"].as_i64()), (Some("新名字医院"), Some(2)));
    let past = city.json(&format!("/api/v1/institutions/{id}?on=2029-12-31"), &officer).await;
    assert_eq!((past["name"].as_str(), past["version"].as_i64()), (Some("老名字医院"), Some(1)));
    let (_, page) = city.get(&format!("/institutions/{id}?on=2029-12-31"), &officer).await;
    assert!(page.contains("当日的登记内容") && page.contains("老名字医院"));
    let (_, page) = city.get(&format!("/institutions/{id}/history?a=1&b=2"), &officer).await;
    for expected in ["更名", "批复1号", "老名字医院", "新名字医院", "三级"] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    assert_eq!(city.directory.by_code(A).unwrap().name, "新名字医院", "others learn of it at once");
    let changes: Vec<String> = city
        .events("institution.changed")
        .await
        .iter()
        .map(|e| e["change"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(changes, ["opened", "renamed"]);
}

#[tokio::test]
async fn a_unit_asks_and_the_commission_decides() {
    let city = city().await;
    let id = city.hospital(A, "第一医院", "411503").await;
    let own = Span::Institution(id);
    let unit = Caller {
        institution: Some(id),
        ..person(5, "单位管理员", &[Act::Read, Act::Manage, Act::Approve], own)
    };
    let officer = county("411503");
    // Its telephone is the unit's own affair, its grade is not.
    let edit = format!("/institutions/{id}/edit");
    let base = [
        ("code", A),
        ("name", "第一医院"),
        ("class", "A100"),
        ("sender_class", "hospital"),
        ("region", "411503"),
    ];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = base.to_vec();
        all.extend_from_slice(more);
        all
    };
    let to = city.done(&edit, &with(&[("phone", "0376-6222222"), ("_version", "1")]), &unit).await;
    assert_eq!(to, format!("/institutions/{id}"));
    let asked = city
        .done(
            &edit,
            &with(&[("phone", "0376-6222222"), ("grade", "3"), ("_version", "2"), ("_reason", "评审通过")]),
            &unit,
        )
        .await;
    assert!(asked.starts_with("/registry/requests/"), "{asked}");
    let grade =
        async || city.json(&format!("/api/v1/institutions/{id}"), &officer).await["values"]["grade"].clone();
    assert!(grade().await.is_null(), "nothing is written before it is decided");
    // One's own request, another county's officer, a return without reason.
    let decide = format!("{asked}/decide");
    assert_eq!(city.post(&decide, &[("verdict", "approve")], &unit).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        city.post(&decide, &[("verdict", "approve")], &county("411521")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(city.get(&asked, &county("411521")).await.0, StatusCode::NOT_FOUND);
    assert!(city.post(&decide, &[("verdict", "return")], &officer).await.1.contains("写明原因"));
    let (_, page) = city.get("/registry/requests", &officer).await;
    assert!(page.contains("第一医院") && page.contains("待主管部门审核"));
    city.done(&decide, &[("verdict", "approve"), ("note", "属实")], &officer).await;
    assert_eq!(grade().await, "3");
    let (_, page) = city.get(&asked, &unit).await;
    assert!(page.contains("属实") && page.contains("已通过"));
    assert_eq!(city.post(&decide, &[("verdict", "approve")], &officer).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_member_of_staff_asks_the_unit_passes_on_and_the_commission_decides() {
    let city = city().await;
    let at = city.hospital(A, "第一医院", "411503").await;
    let number = "11010519491231002X";
    let id = city
        .staff(
            A,
            "0012",
            "张伟",
            &[("citizen_no", number), ("phone", "13812345678"), ("title", "医师"), ("sex", "2")],
        )
        .await;
    let me = Caller {
        staff: Some(StaffId::new(id)),
        account: Some(Id::new(50)),
        ..person(50, "张伟", &[], region("41"))
    };
    let unit = person(5, "医务科", &[Act::Read, Act::Approve], Span::Institution(at));
    let officer = county("411503");
    let (_, page) = city.get("/my/registration", &me).await;
    assert!(page.contains("138****5678") && !page.contains("13812345678"), "masked even for oneself");
    let stranger = person(51, "无登记", &[], region("41"));
    assert_eq!(city.get("/my/registration", &stranger).await.0, StatusCode::NOT_FOUND);
    // The telephone: the unit alone. What is masked and untouched stays what it was; other fields are not looked at.
    let asked = city
        .done(
            "/my/registration",
            &[("phone", "13987654321"), ("citizen_no", "110105********002X"), ("staff_no", "9999")],
            &me,
        )
        .await;
    assert_eq!(city.get(&asked, &stranger).await.0, StatusCode::NOT_FOUND);
    assert!(city.post("/my/registration", &[("phone", "13900000000")], &me).await.1.contains("待审核的申请"));
    city.done(&format!("{asked}/decide"), &[("verdict", "approve")], &unit).await;
    let revealed = city.post(&format!("/staff/{id}/reveal"), &[], &officer).await.1;
    assert!(revealed.contains("13987654321") && revealed.contains(number) && revealed.contains("0012"));
    // The title: the unit passes it on, the commission decides.
    let asked = city.done("/my/registration", &[("title", "主治医师"), ("_reason", "取得资格")], &me).await;
    city.done(&format!("{asked}/decide"), &[("verdict", "approve")], &unit).await;
    assert!(city.get(&asked, &me).await.1.contains("待主管部门审核"));
    assert_eq!(
        city.post(&format!("{asked}/decide"), &[("verdict", "approve")], &unit).await.0,
        StatusCode::FORBIDDEN
    );
    city.done(&format!("{asked}/decide"), &[("verdict", "approve")], &officer).await;
    let staff = city.json(&format!("/api/v1/staff/{id}"), &officer).await;
    assert_eq!(
        (staff["values"]["title"].as_str(), staff["values"]["title_name"].as_str()),
        (Some("233"), Some("主治医师"))
    );
    // Returned with the reason, and taken back.
    let asked = city.done("/my/registration", &[("department", "外科")], &me).await;
    city.done(&format!("{asked}/withdraw"), &[], &me).await;
    let asked = city.done("/my/registration", &[("department", "外科")], &me).await;
    city.done(&format!("{asked}/decide"), &[("verdict", "return"), ("note", "请先办调岗手续")], &unit).await;
    assert!(city.get("/my/registration", &me).await.1.contains("已退回"));
    // Nothing in the database tells the number or the telephone.
    let plain: i64 = sqlx::query_scalar(
        "select count(*) from (select content::text || guarded::text as t from registry_entry
            union all select content::text || guarded::text from registry_version
            union all select content::text || guarded::text from registry_request) x
         where strpos(t, '11010519491231002') > 0 or strpos(t, '13812345678') > 0 or strpos(t, '13987654321') > 0",
    )
    .fetch_one(city.db.pool())
    .await
    .unwrap();
    assert_eq!(plain, 0);
    let acts: Vec<String> =
        sqlx::query_scalar("select distinct act from audit_entry where act like 'registry.%' order by 1")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    for act in ["registry.ask", "registry.change", "registry.decide", "registry.reveal", "registry.withdraw"]
    {
        assert!(acts.iter().any(|a| a == act), "{act} is not in the trail: {acts:?}");
    }
}

#[tokio::test]
async fn institutions_merge_close_and_open_again_and_staff_move() {
    let city = city().await;
    let old = city.hospital(A, "老医院", "411503").await;
    let new = city.hospital(B, "新医院", "411503").await;
    let moving = city.staff(A, "1", "张伟", &[]).await;
    city.staff(A, "2", "李娜", &[]).await;
    city.staff(B, "2", "王芳", &[]).await;
    let officer = county("411503");
    let step = format!("/institutions/{old}/step");
    let merge =
        [("step", "merge"), ("into", B), ("with_staff", "1"), ("day", "2031-01-01"), ("reason", "批复2号")];
    assert!(city.post(&step, &merge[..4], &officer).await.1.contains("请写明原因"));
    let own = [("step", "merge"), ("into", A), ("reason", "x")];
    assert!(city.post(&step, &own, &officer).await.1.contains("不能并入它自己"));
    let (status, page, _) = city.post(&step, &merge, &officer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("李娜") && !page.contains("张伟"), "number 2 is taken there: {page}");
    let (_, page) = city.get(&format!("/institutions/{old}"), &officer).await;
    assert!(page.contains("由“新医院”承接"), "{page}");
    assert!(!city.get("/institutions", &officer).await.1.contains("老医院"));
    assert!(city.get("/institutions?state=merged", &officer).await.1.contains("老医院"));
    assert_eq!(city.directory.by_code(A).unwrap().id, old, "records keep pointing to the old institution");
    let merged = city.events("institution.changed").await.pop().unwrap();
    assert_eq!((merged["change"].as_str(), merged["into"].as_i64()), (Some("merged"), Some(new.get())));
    let moved = city.events("staff.moved").await;
    assert_eq!(moved.len(), 1);
    assert_eq!(
        (
            moved[0]["staff_id"].as_i64(),
            moved[0]["from_institution"].as_i64(),
            moved[0]["to_institution"].as_i64()
        ),
        (Some(moving), Some(old.get()), Some(new.get()))
    );
    city.done(&step, &[("step", "resume"), ("reason", "撤销合并")], &officer).await;
    assert!(city.get("/institutions", &officer).await.1.contains("老医院"));
    // Back again by hand, then gone.
    let person = format!("/staff/{moving}/step");
    city.done(
        &person,
        &[("step", "move"), ("into", A), ("staff_no", "1"), ("department", "内科"), ("reason", "调动")],
        &officer,
    )
    .await;
    let card = city.json(&format!("/api/v1/staff/{moving}"), &officer).await;
    assert_eq!(
        (card["institution"]["code"].as_str(), card["values"]["department"].as_str()),
        (Some(A), Some("内科"))
    );
    city.done(&person, &[("step", "end"), ("reason", "退休")], &officer).await;
    assert!(city.events("staff.moved").await.pop().unwrap()["to_institution"].is_null());
    assert_eq!(
        city.post(&person, &[("step", "end"), ("reason", "退休")], &officer).await.0,
        StatusCode::CONFLICT
    );
    // Another county's institution is no place to move somebody to.
    city.hospital(C, "外县医院", "411521").await;
    let away = [("step", "move"), ("into", C), ("staff_no", "1"), ("reason", "调动")];
    city.done(&person, &[("step", "resume"), ("reason", "返聘")], &officer).await;
    assert_eq!(city.post(&person, &away, &officer).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_may_bring_institutions_with_those_above_them_in_any_order() {
    let city = city().await;
    let officer = county("411503");
    let [leaf, mid, top, under, deeper, bad, own] = [
        "12411503910000003T",
        "12411503910000002P",
        "12411503910000001L",
        "124115039100000051",
        "124115039100000064",
        "12411503910000004X",
        "124115039100000077",
    ];
    let file = format!(
        "机构代码,机构名称,机构类别,上传类别,行政区划,主管机构,等级\n\
         {leaf},一村卫生室,D600,village,411503,{},\n\
         {mid},一乡卫生院,C220,township,411503,{top},\n\
         {top},县医院,A100,hospital,411503,,\n\
         {deeper},三村卫生室,D600,village,411503,{under},\n\
         {under},二乡卫生院,C220,township,411503,{bad},\n\
         {bad},外县医院,A100,hospital,411521,,\n\
         {own},自管医院,A100,hospital,411503,{own},\n",
        mid.to_lowercase()
    );
    let (status, body, to) = city.upload("institution", "机构.csv", file.as_bytes(), &officer).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let (_, page) = city.get(&to, &officer).await;
    for expected in ["执行导入（3 行）", "不能是本机构自己", "建议补填：等级、"] {
        assert!(page.contains(expected), "{expected} is missing: {page}");
    }
    for above in [under, bad] {
        assert!(page.contains(&format!("主管机构“{above}”在本文件中，但那一行不能导入")), "{page}");
    }
    city.done(&format!("{to}/apply"), &[], &officer).await;
    settle(&city.jobs).await;
    let (_, list) = city.get("/institutions", &officer).await;
    for name in ["一村卫生室", "一乡卫生院", "县医院"] {
        assert!(list.contains(name), "{name} is missing");
    }
    assert!(!list.contains("二乡卫生院") && !list.contains("自管医院"));
    let linked: i64 = sqlx::query_scalar("select count(*) from institution where parent_id is not null")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    assert_eq!(linked, 2, "wherever the row above stood");
    // Undone, whoever stands above whom.
    city.done(&format!("{to}/undo"), &[], &officer).await;
    settle(&city.jobs).await;
    assert!(!city.get("/institutions", &officer).await.1.contains("一乡卫生院"));
}

#[tokio::test]
async fn a_file_is_checked_row_by_row_then_applied_once_and_undone_whole() {
    let city = city().await;
    city.hospital(A, "第一医院", "411503").await;
    city.hospital(B, "外县医院", "411521").await;
    let known = city.staff(A, "1", "张伟", &[("title", "医师"), ("phone", "13812345678")]).await;
    let officer = county("411503");
    let file = format!(
        "机构代码,工号,姓名,人员类别,职称,手机号码,备注\n\
         {A},1,张伟,执业医师,主治医师,,改职称\n\
         {A},2,李娜,21,护师,13900001111,新\n\
         {A},2,李娜,21,护师,,重复\n\
         {A},3,王3,11,,,姓名不对\n\
         {B},4,赵六,11,,,外县\n\
         {A},5,周八,不知道,,1381,类别电话不对\n"
    );
    let (gb, _, _) = encoding_rs::GB18030.encode(&file);
    let (status, body, to) = city.upload("staff", "人员.csv", &gb, &officer).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let (_, page) = city.get(&to, &officer).await;
    for expected in ["与第 3 行重复", "不在您的管辖范围内", "没有用到的列：备注", "执行导入（2 行）"]
    {
        assert!(page.contains(expected), "{expected} is missing: {page}");
    }
    let count = async || -> i64 {
        sqlx::query_scalar("select count(*) from registry_entry where kind = 'staff' and state = 'active'")
            .fetch_one(city.db.pool())
            .await
            .unwrap()
    };
    assert_eq!(count().await, 1, "a dry run writes nothing");
    let (_, csv) = city.get(&format!("{to}/repair.csv"), &officer).await;
    assert_eq!(csv.lines().count(), 5, "heading and four refused rows: {csv}");
    assert!(csv.contains("不能导入的原因") && csv.contains("1381"));
    // Somebody else's import looks like none.
    let other = Caller { account: Some(Id::new(77)), ..county("411503") };
    assert_eq!(city.get(&to, &other).await.0, StatusCode::NOT_FOUND);
    city.done(&format!("{to}/apply"), &[], &officer).await;
    settle(&city.jobs).await;
    assert_eq!(count().await, 2);
    let changed = city.json(&format!("/api/v1/staff/{known}"), &officer).await;
    assert_eq!(
        (changed["values"]["title"].as_str(), changed["values"]["phone"].as_str()),
        (Some("233"), Some("138****5678")),
        "an empty cell changes nothing"
    );
    assert_eq!(city.post(&format!("{to}/apply"), &[], &officer).await.0, StatusCode::CONFLICT, "once");
    // The same file again says that nothing would change.
    let (_, _, again) = city.upload("staff", "人员.csv", file.as_bytes(), &officer).await;
    assert!(city.get(&again, &officer).await.1.contains("没有可以导入的行"));
    city.done(&format!("{to}/undo"), &[], &officer).await;
    settle(&city.jobs).await;
    assert_eq!(count().await, 1);
    let back = city.json(&format!("/api/v1/staff/{known}"), &officer).await;
    assert_eq!((back["values"]["title"].as_str(), back["version"].as_i64()), (Some("234"), Some(3)));
    // And the number that was taken back is free again.
    city.staff(A, "2", "李娜", &[]).await;
    let bad = city.upload("staff", "x.csv", "姓名\n张三\n".as_bytes(), &officer).await;
    assert!(bad.1.contains("缺少必需的列"), "{}", bad.1);
}

#[tokio::test]
async fn every_number_of_the_statistics_is_its_rows() {
    let city = city().await;
    city.hospital(A, "第一医院", "411503").await;
    city.hospital(B, "第二医院", "411521").await;
    for (at, number, title, birth) in [
        (A, "1", "231", "1970-05-01"),
        (A, "2", "233", "1990-05-01"),
        (B, "3", "233", "1990-05-02"),
        (B, "4", "", ""),
    ] {
        let name = ["张伟", "李娜", "王芳", "刘洋"][number.parse::<usize>().unwrap() - 1];
        city.staff(at, number, name, &[("title", title), ("birth_date", birth)]).await;
    }
    let officer = county("4115");
    for by in ["title", "education", "category", "age", "county"] {
        let (_, page) = city.get(&format!("/staff/statistics?by={by}"), &officer).await;
        let mut links = 0;
        for part in page.split("<a href=\"/staff").skip(1) {
            let Some((query, rest)) = part.split_once("\">") else { continue };
            let Some((number, _)) = rest.split_once('<') else { continue };
            let Ok(number) = number.parse::<i64>() else { continue };
            let path = format!("/api/v1/staff{}", query.replace("&amp;", "&"));
            let found = city.json(&path, &officer).await["total"].as_i64().unwrap();
            assert_eq!(found, number, "{by}: {path}");
            links += 1;
        }
        assert!(links >= 2, "{by}: {links} numbers lead somewhere");
    }
    let (_, page) = city.get("/registry", &officer).await;
    assert!(page.contains("href=\"/staff?county=411503000000\">2<"), "{page}");
    // Another county counts only its own.
    let (_, page) = city.get("/staff/statistics?by=title", &county("411521")).await;
    assert!(!page.contains("主任医师"));
}

#[tokio::test]
async fn statistics_are_told_in_the_divisions_of_a_year() {
    let city = city().await;
    let moved = city.hospital(A, "第一医院", "411503").await;
    city.hospital(B, "第二医院", "411521").await;
    for (at, number) in [(A, "1"), (A, "2"), (B, "3")] {
        city.staff(at, number, "张伟", &[("title", "231")]).await;
    }
    // Before 2025 the first hospital lay in the county of the second.
    for sql in [
        "insert into region (code, name, tier, initials, year)
         select code, name, 3, 'x', year from (values ('411503000000', '平桥区'), ('411521000000', '罗山县')) c (code, name),
            (values (2024), (2025)) y (year)",
        "insert into division_year (year, in_force_from) values (2024, '2024-01-01'), (2025, '2025-01-01')
         on conflict do nothing",
    ] {
        sqlx::query(sql).execute(city.db.pool()).await.unwrap();
    }
    // As an operation that moved it leaves behind; the operation itself is not looked at.
    let moved = format!(
        "set session_replication_role = replica;
         insert into institution_place values ({moved}, 2025, '411521000000', '411503000000', 1);
         reset session_replication_role"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(moved)).execute(city.db.pool()).await.unwrap();
    city.directory.refresh().await.unwrap();
    let officer = county("4115");
    for (year, expected) in [
        ("", "\"平桥区\",\"2\",\"2\",\"0\"\r\n\"罗山县\",\"1\",\"0\",\"1\""),
        ("&year=2025", "\"平桥区\",\"2\",\"2\",\"0\"\r\n\"罗山县\",\"1\",\"0\",\"1\""),
        ("&year=2024", "\"罗山县\",\"3\",\"3\""),
        ("&year=1999", "\"平桥区\",\"2\",\"2\",\"0\""),
    ] {
        let (_, csv) = city.get(&format!("/staff/statistics.csv?by=county{year}"), &officer).await;
        assert!(csv.contains(expected), "{year}: {csv}");
    }
    let (_, page) = city.get("/staff/statistics?by=title&year=2024", &officer).await;
    assert!(page.contains("按 2024 年版区划统计") && !page.contains("href=\"/staff?"), "{page}");
}

#[tokio::test]
async fn what_runs_out_is_listed_by_the_days_that_are_left() {
    let city = city().await;
    let id = city.hospital(A, "第一医院", "411503").await;
    let officer = county("411503");
    let today = kernel::Clock::local(testkit::clock().as_ref()).date();
    let day = |days: i64| (today + chrono::TimeDelta::days(days)).to_string();
    for (number, until) in [("L1", day(-3)), ("L2", day(20)), ("L3", day(400))] {
        let fields = [
            ("institution", A),
            ("kind", "01"),
            ("number", number),
            ("issued_by", "县卫健委"),
            ("valid_until", &until),
        ];
        city.done("/registry/licence/new", &fields, &officer).await;
    }
    let (_, page) = city.get("/registry/expiring", &officer).await;
    assert!(page.contains("已过期 3 天") && page.contains("还剩 20 天") && !page.contains("L3"), "{page}");
    assert!(!city.get("/registry/expiring?days=0", &officer).await.1.contains("L2"));
    assert!(!city.get("/registry/expiring", &county("411521")).await.1.contains("L1"));
    let panel = directory::registry::panel::panel(&city.registries);
    let card = panel.card(&officer).await.unwrap().unwrap();
    assert_eq!(card.lines.iter().map(|l| l.figure.as_str()).collect::<Vec<_>>(), ["1", "1"]);
    let (_, page) = city.get(&format!("/institutions/{id}?tab=licence"), &officer).await;
    assert!(page.contains("L1") && page.contains("L3"));
}

#[tokio::test]
async fn machines_read_json_fhir_and_the_feed_of_changes() {
    let city = city().await;
    let id = city.hospital(A, "第一医院", "411503").await;
    city.hospital(B, "外县医院", "411521").await;
    let staff = city
        .staff(
            A,
            "1",
            "张伟",
            &[("sex", "1"), ("title", "231"), ("licence_no", "110110000000001"), ("licence_kind", "1")],
        )
        .await;
    city.done(
        "/registry/department/new",
        &[("institution", A), ("name", "内科"), ("subject", "03")],
        &county("4115"),
    )
    .await;
    let officer = county("411503");
    let list = city.json("/api/v1/institutions", &officer).await;
    assert_eq!((list["total"].as_i64(), list["items"][0]["values"]["code"].as_str()), (Some(1), Some(A)));
    let organization = city.json(&format!("/fhir/Organization/{id}"), &officer).await;
    assert_eq!(organization["identifier"][0]["value"], A);
    let found = city.json(&format!("/fhir/Organization?identifier=urn:cn:gb32100|{A}"), &officer).await;
    assert_eq!((found["resourceType"].as_str(), found["total"].as_i64()), (Some("Bundle"), Some(1)));
    assert_eq!(city.json(&format!("/fhir/Organization?identifier={B}"), &officer).await["total"], 0);
    let practitioner = city.json(&format!("/fhir/Practitioner/{staff}"), &officer).await;
    assert_eq!(
        (practitioner["gender"].as_str(), practitioner["name"][0]["text"].as_str()),
        (Some("male"), Some("张伟"))
    );
    assert_eq!(practitioner["qualification"][0]["identifier"][0]["value"], "110110000000001");
    let role = city.json(&format!("/fhir/PractitionerRole?organization=Organization/{id}"), &officer).await;
    assert_eq!(role["entry"][0]["resource"]["practitioner"]["reference"], format!("Practitioner/{staff}"));
    let service = city.json("/fhir/HealthcareService?name=nk", &officer).await;
    assert_eq!(service["entry"][0]["resource"]["providedBy"]["reference"], format!("Organization/{id}"));
    assert_eq!(
        city.get("/fhir/Organization?planet=mars", &officer).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // The feed: page by page, nothing twice, nothing of another county.
    let (mut since, mut seen) = (0, Vec::new());
    loop {
        let page = city.json(&format!("/api/v1/registry/changes?since={since}&limit=1"), &officer).await;
        let changes = page["changes"].as_array().unwrap();
        if changes.is_empty() {
            break;
        }
        seen.extend(changes.iter().map(|c| c["register"].as_str().unwrap().to_owned()));
        since = page["next"].as_i64().unwrap();
    }
    assert_eq!(seen, ["institution", "staff", "department"]);
}
