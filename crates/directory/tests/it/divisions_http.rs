//! The pages and interface of the divisions over HTTP: the split of a county from the wizard to the undo.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use directory::divisions::pages::routes;
use kernel::Caller;
use testkit::settle;
use tower::ServiceExt;

use crate::divisions::{City, city, officer};

async fn send(city: &City, request: Request<Body>, caller: &Caller) -> (StatusCode, String, String) {
    let mut request = request;
    request.extensions_mut().insert(std::sync::Arc::new(caller.clone()));
    let all = routes(city.divisions.clone()).merge(directory::fhir::location::routes(city.divisions.clone()));
    let response = all.into_router().oneshot(request).await.unwrap();
    let status = response.status();
    let to = response.headers().get(header::LOCATION).map_or("", |l| l.to_str().unwrap()).to_owned();
    let explained = response.extensions().get::<web::failure::Explained>().map(|e| e.message.clone());
    let body = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
    (status, explained.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()), to)
}

async fn get(city: &City, path: &str, caller: &Caller) -> (StatusCode, String) {
    let (status, body, _) = send(city, Request::get(path).body(Body::empty()).unwrap(), caller).await;
    (status, body)
}

async fn post(city: &City, path: &str, form: &str, caller: &Caller) -> (StatusCode, String, String) {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .unwrap();
    send(city, request, caller).await
}

#[tokio::test]
async fn a_county_is_split_from_the_wizard_to_the_undo() {
    let city = city().await;
    let (one, two) = (officer(1, "4115"), officer(2, "4115"));
    let (status, form) = get(&city, "/divisions/operations/new?kind=split&code=411503000000", &one).await;
    assert_eq!(status, StatusCode::OK);
    for expected in ["child_411503100000", "411504000000", "hospital机构", "依据"] {
        assert!(form.contains(expected), "{expected} is missing");
    }
    let cdc = city.institutions["cdc"].id;
    let sent = format!(
        "kind=split&code=411503000000&part1_name=平桥区&part1_code=411503000000&part2_name=明港区\
         &part2_code=411504000000&child_411503001000=1&child_411503100000=2&child_411503101000=2\
         &institution_{cdc}=2&rest=1&reason=豫民行批1号"
    );
    // Something forgotten: the form again, with what was typed and what is missing.
    let forgotten = sent.replace("child_411503101000=2", "x=1");
    let (status, page, _) = post(&city, "/divisions/operations/preview", &forgotten, &one).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("长台关镇") && page.contains("豫民行批1号"));
    let (status, page, _) = post(&city, "/divisions/operations/preview", &sent, &one).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("居民（人） 10") && page.contains("明港区"), "{page}");
    // Without a fresh proof of identity nothing is filed.
    let mut stale = one.clone();
    stale.assurance.fresh = false;
    assert_eq!(post(&city, "/divisions/operations", &sent, &stale).await.0, StatusCode::FORBIDDEN);
    let (status, _, operation) = post(&city, "/divisions/operations", &sent, &one).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(get(&city, &operation, &one).await.1.contains("申请人不能审批自己的申请"));
    assert!(get(&city, &operation, &two).await.1.contains("同意并执行"));
    let (status, why, _) = post(&city, &format!("{operation}/decide"), "decision=approve", &one).await;
    assert_eq!((status, why.contains("另一位")), (StatusCode::FORBIDDEN, true));
    let (status, ..) = post(&city, &format!("{operation}/decide"), "decision=approve", &two).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(get(&city, &format!("{operation}/progress"), &two).await.1.contains("正在执行"));
    settle(&city.jobs).await;

    // The new county and the old one, in both years.
    let (_, page) = get(&city, "/divisions/411504000000", &one).await;
    assert!(page.contains("明港区") && page.contains("明港镇") && page.contains("来自"), "{page}");
    let (_, page) = get(&city, "/divisions/411503000000?on=2024-06-01", &one).await;
    assert!(page.contains("明港镇") && page.contains("2024 年版"));
    let (_, page) = get(&city, "/divisions/411503100000", &one).await;
    assert!(page.contains("这个区划已不在本版中"));
    let (_, page) = get(&city, "/divisions/compare?from=2024&to=2025", &one).await;
    assert!(page.contains("变更代码") && page.contains("411504100001"), "{page}");
    let (_, page) = get(&city, "/divisions/compare.csv?from=2024&to=2025", &one).await;
    assert!(page.contains("\"新增\",\"\",\"\",\"411504000000\",\"明港区\""), "{page}");
    let (_, map) = get(&city, "/divisions/map", &one).await;
    assert!(map.contains("明港区") && map.contains("浉河区"));
    let (_, json) = get(&city, "/api/v1/divisions/mapping?own=2024&asked=2025&code=411503100001", &one).await;
    assert!(json.contains("411504100001"), "{json}");
    let (_, json) = get(&city, "/api/v1/divisions/411504?year=2025", &one).await;
    assert!(json.contains("信阳市明港区") && json.contains("长台关镇"), "{json}");
    assert_eq!(get(&city, "/api/v1/divisions/411504?year=2024", &one).await.0, StatusCode::NOT_FOUND);
    let (_, json) = get(&city, "/api/v1/divisions/changes?from=2024&to=2025", &one).await;
    assert!(json.contains("\"share\":0.25"), "{json}");

    let (status, ..) = post(&city, &format!("{operation}/undo"), "reason=撤", &two).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    settle(&city.jobs).await;
    assert!(get(&city, &operation, &two).await.1.contains("已撤回"));
    assert_eq!(get(&city, "/divisions/411504000000", &one).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_tree_the_list_and_their_figures_show_what_is_in_reach() {
    let city = city().await;
    let (whole, county) = (officer(1, "4115"), officer(2, "411502"));
    let (_, page) = get(&city, "/divisions", &whole).await;
    assert!(page.contains("平桥区") && page.contains("正在统计"));
    settle(&city.jobs).await;
    let (_, page) = get(&city, "/divisions", &whole).await;
    assert!(page.contains("<b>45</b>") && page.contains("统计于"), "{page}");
    let (_, page) = get(&city, "/divisions/below/411503000000?year=2025", &whole).await;
    assert!(page.contains("明港镇") && page.contains("<b>10</b>"));
    let (_, page) = get(&city, "/divisions/below/411503000000", &county).await;
    assert!(page.contains("明港镇") && !page.contains("<b>10</b>"), "{page}");
    for (text, found) in [("mgz", true), ("明港", true), ("4115031", true), ("没有", false)] {
        let (_, page) = get(&city, &format!("/divisions?q={text}"), &whole).await;
        assert_eq!(page.contains("信阳市平桥区明港镇"), found, "{text}");
    }
    let (_, page) = get(&city, "/divisions/list?tier=5&within=411503000000", &whole).await;
    assert!(page.contains("新集村") && !page.contains("东关居委会"));
    let (_, page) = get(&city, "/divisions/list.csv?tier=5", &whole).await;
    assert_eq!(page.lines().count(), 5);
    let request = Request::get("/divisions/list.xlsx").body(Body::empty()).unwrap();
    assert_eq!(send(&city, request, &whole).await.0, StatusCode::OK);
    assert_eq!(get(&city, "/divisions/999999000000", &whole).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&city, "/divisions/nonsense", &whole).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_county_keeps_its_own_villages() {
    let city = city().await;
    let (county, other) = (officer(2, "411503"), officer(3, "411502"));
    let add = "/divisions/411503100000/add";
    let (status, _, to) = post(&city, add, "name=新集二村&class=220&reason=批复", &county).await;
    assert_eq!((status, to.as_str()), (StatusCode::SEE_OTHER, "/divisions/411503100002?year=2025"));
    let (_, page) = get(&city, "/divisions/411503100002", &county).await;
    assert!(page.contains("村庄（220）") && page.contains("本地增设"), "{page}");
    for (path, form, caller, expected) in [
        (add, "name=别村&number=001&reason=批复", &county, StatusCode::CONFLICT),
        (add, "name=别村&number=7&reason=批复", &county, StatusCode::UNPROCESSABLE_ENTITY),
        (add, "name=&reason=批复", &county, StatusCode::UNPROCESSABLE_ENTITY),
        (add, "name=别村&reason=批复", &other, StatusCode::NOT_FOUND),
        ("/divisions/411503000000/change", "name=别区&reason=批复", &county, StatusCode::FORBIDDEN),
        (
            "/divisions/411503100002/change",
            "name=新集新村&class=2&reason=批复",
            &county,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/divisions/411503100002/change",
            "name=新集新村&class=210&reason=批复",
            &county,
            StatusCode::SEE_OTHER,
        ),
        // Ten households live there.
        ("/divisions/411503100001/abolish", "reason=批复", &county, StatusCode::CONFLICT),
        ("/divisions/411503100002/abolish", "reason=批复", &county, StatusCode::SEE_OTHER),
    ] {
        assert_eq!(post(&city, path, form, caller).await.0, expected, "{path} {form}");
    }
    let (_, page) = get(&city, "/divisions/411503100002", &county).await;
    assert!(page.contains("这个区划已不在本版中") && !page.contains("注销"), "{page}");
    let (_, page) = get(&city, "/divisions/operations", &county).await;
    assert!(page.contains("增设：新集二村") && page.contains("撤销：新集新村"), "{page}");
}

#[tokio::test]
async fn an_edition_is_imported_on_the_page() {
    let city = city().await;
    let city_officer = officer(1, "4115");
    let form = |real: bool| {
        let mut body = String::new();
        let mut part = |name: &str, value: &str| {
            body.push_str(&format!(
                "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        };
        part("year", "2026");
        part("prefix", "4115");
        if real {
            part("real", "1");
        }
        body.push_str("--b\r\ncontent-disposition: form-data; name=\"files\"; filename=\"a.csv\"\r\n\r\n");
        body.push_str("code,name\n4115,信阳市\n411502,浉河区\n411503,平桥新区\n411506,新区\n\r\n--b--\r\n");
        Request::post("/divisions/import")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
            .body(Body::from(body))
            .unwrap()
    };
    let (status, page, _) = send(&city, form(false), &city_officer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("试运行完成") && page.contains("平桥新区"), "{page}");
    assert_eq!(get(&city, "/api/v1/divisions/411506", &city_officer).await.0, StatusCode::NOT_FOUND);
    let (_, page, _) = send(&city, form(true), &city_officer).await;
    assert!(page.contains("2026 年版已导入"), "{page}");
    assert!(get(&city, "/api/v1/divisions/411506?year=2026", &city_officer).await.1.contains("新区"));
    // A county may not import its city.
    assert_eq!(send(&city, form(true), &officer(2, "411503")).await.0, StatusCode::NOT_FOUND);
    let begin = "year=2027&from=2027-01-01";
    assert_eq!(
        post(&city, "/divisions/editions", begin, &officer(2, "411503")).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(post(&city, "/divisions/editions", begin, &city_officer).await.0, StatusCode::SEE_OTHER);
    assert!(get(&city, "/divisions/import", &city_officer).await.1.contains("沿用 2026 年版"));
}

#[tokio::test]
async fn divisions_are_locations_of_fhir() {
    let city = city().await;
    let caller = officer(1, "4115");
    let read = async |path: &str| -> serde_json::Value {
        let (status, body) = get(&city, path, &caller).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        serde_json::from_str(&body).unwrap()
    };
    let county = read("/fhir/Location/411503000000").await;
    assert_eq!((county["name"].as_str(), county["status"].as_str()), (Some("平桥区"), Some("active")));
    assert_eq!(county["physicalType"]["coding"][0]["code"], "jdn");
    assert_eq!(county["partOf"]["reference"], "Location/411500000000");
    assert_eq!(read("/fhir/Location/411503000000?date=2024-05-01").await["status"], "inactive");
    let below = read("/fhir/Location?partof=Location/411503000000&_count=2").await;
    assert_eq!((below["total"].as_i64(), below["entry"].as_array().unwrap().len()), (Some(3), 2));
    assert!(below["link"][1]["url"].as_str().unwrap().contains("_offset=2"));
    assert_eq!(read("/fhir/Location?identifier=urn:cn:division:12|411503100000").await["total"], 1);
    assert_eq!(read("/fhir/Location?name=明港").await["entry"][0]["resource"]["name"], "明港镇");
    assert_eq!(get(&city, "/fhir/Location/411599000000", &caller).await.0, StatusCode::NOT_FOUND);
}
