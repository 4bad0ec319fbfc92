//! What nobody should send: each is answered with a sentence that says what is wrong, and the service lives on.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::city::{Answer, Browser, city, counts};
use crate::rows::{VISIT_HEADINGS, gzip, visit, visits};
use crate::server::Home;
use crate::sound::assert_sound;

/// Everything that an answer tells its reader: the error, the receipt's failure and notes, the issues' messages.
async fn told(program: &mut Browser, answer: &Answer) -> String {
    let json = answer.json();
    let mut text = format!("{} {} {}", json["error"]["message"], json["failure"], json["notes"]);
    if let Some(link) = json["links"]["issues"].as_str() {
        let issues = program.get(link).await.good();
        for issue in issues["issues"].as_array().unwrap() {
            text.push_str(issue["message"].as_str().unwrap());
        }
    }
    text
}

fn has_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[tokio::test]
async fn every_bad_file_is_refused_with_a_reason() {
    let city = city().await;
    let mut his = city.program(0).await;
    let good = visits(0..50, 5, 80);
    let many: String = (0..10_000).map(|n| format!("c{n},")).collect();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_row = format!("{{\"visit_no\": {}{}}}\n", "{\"a\":".repeat(10_000), "1}".repeat(10_000));
    let mut half_gzip = gzip(visits(0..5_000, 50, 80).as_bytes());
    half_gzip.truncate(half_gzip.len() / 2);
    let mut damaged_gzip = gzip(good.as_bytes());
    let last = damaged_gzip.len() - 6;
    damaged_gzip[last] ^= 0x55;
    let mut nul = visits(0..3, 5, 80).into_bytes();
    nul.extend_from_slice(b"\0\0\0\0,\0\n");
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // A word that what is told must contain, and the bytes.
    let table: Vec<(&str, &str, Vec<u8>)> = vec![
        ("truncated gzip", "gzip", half_gzip),
        ("damaged gzip", "gzip", damaged_gzip),
        ("gzip of nothing that is known", "", gzip(&[0x9f; 4_000])),
        ("UTF-16", "UTF-16", utf16),
        ("no text at all", "", [0xff, 0xfe, 0xfd, 0x80, 0x81, 0x82, 0x0a].repeat(100)),
        ("10,000 columns", "列", format!("{many}\n{many}\n").into_bytes()),
        ("the same heading twice", "重复", format!("visit_no,{good}").into_bytes()),
        (
            "the same heading by two names",
            "重复",
            good.replacen("visit_no,", "visit_no,JZLSH,", 1).into_bytes(),
        ),
        ("NUL bytes", "", nul),
        ("JSON, 10,000 deep", "", deep.clone().into_bytes()),
        ("NDJSON, 10,000 deep", "", deep_row.into_bytes()),
        ("XML", "XML", b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>".to_vec()),
        ("nothing", "", Vec::new()),
        ("a zip file", "", b"PK\x03\x04\x14\0\0\0\x08\0aaaaaaaaaaaaaaaaaaaaaaaa".to_vec()),
        ("no heading that is known", "", b"a,b,c\n1,2,3\n".to_vec()),
    ];
    for (what, word, body) in table {
        let answer = his.upload("outpatient_visit", "", body).await;
        let text = told(&mut his, &answer).await;
        eprintln!("{what}: {} {}", answer.status, text.chars().take(160).collect::<String>());
        // NUL bytes spoil only their own row.
        let spoiled_rows = answer.status == StatusCode::OK && counts(&answer.json())[5] > 0;
        assert!(
            answer.status.is_client_error() || spoiled_rows,
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(has_chinese(&text) && text.contains(word), "{what}: {text}");
    }
    let answer = his.upload("outpatient_visit", "", visits(90_000..90_010, 5, 80)).await;
    assert_eq!(counts(&answer.good()), [10, 10, 0, 0, 0, 0], "the service lives on");

    for (what, body) in [
        ("JSON, 10,000 deep", deep),
        (
            "a deep bundle",
            format!(
                "{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":{}{}}}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            ),
        ),
        ("XML", "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"batch\"/></Bundle>".to_owned()),
        ("nothing", String::new()),
        (
            "a truncated bundle",
            "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{".to_owned(),
        ),
    ] {
        let request = Request::post("/fhir").header("content-type", "application/fhir+json");
        let answer = his.send(request, Body::from(body)).await;
        eprintln!("fhir, {what}: {} {}", answer.status, answer.text().chars().take(300).collect::<String>());
        assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.text());
        assert!(has_chinese(&answer.text()), "{what}: {}", answer.text());
    }
    for (path, status) in [
        ("/api/v1/datasets/nothing/batches", StatusCode::NOT_FOUND),
        ("/api/v1/datasets/outpatient_visit/batches?mode=some", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/datasets/outpatient_visit/batches?wait=perhaps", StatusCode::BAD_REQUEST),
    ] {
        let answer = his.send(Request::post(path), Body::from(good.clone())).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(has_chinese(&answer.error().1), "{path}: {}", answer.text());
    }
    assert_sound(city.db.pool()).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let city = city().await;
    let mut his = city.program(0).await;
    let pieces = vec![Ok(visits(0..100, 5, 80).into_bytes()), Err(std::io::Error::other("connection reset"))];
    let answer = his.upload("outpatient_visit", "", Body::from_stream(futures::stream::iter(pieces))).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
    assert!(answer.error().1.contains("中断"), "{}", answer.text());
    assert_eq!(city.count("select count(*) from batch").await, 0);
    let incoming = city.folder.path().join("objects/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}

/// The program's memory may grow by this much over what it needs at rest, in MiB.
const HEADROOM: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_whatever_is_sent() {
    let home = Home::make().await;
    let server = home.start(&[]).await;
    let path = "/api/v1/datasets/outpatient_visit/batches";
    let warm = server.upload("", "warm", visits(0..5_000, 50, 80).as_bytes()).await.unwrap();
    assert_eq!(warm.status, 200, "{}", warm.text());
    let before = server.peak_memory();

    // 200 MB in one line: as one cell, as one quoted cell, as columns, compressed.
    let megabyte = vec![b'x'; 1 << 20];
    let columns = b"12345678,1234567".repeat(1 << 16);
    let start = format!("{VISIT_HEADINGS}\n{}\n", visit(1, 1, 80)).into_bytes();
    let bomb = gzip(&[start.clone(), vec![b'x'; 200 << 20]].concat());
    let long = |first: &'static [u8], piece| {
        std::iter::once(first).chain(std::iter::repeat_n(piece, 200)).collect::<Vec<&[u8]>>()
    };
    let quoted = [start.clone(), b"\"".to_vec()].concat();
    for (what, pieces) in [
        ("one cell", [vec![&start[..]], long(b"", &megabyte)].concat()),
        ("one quoted cell", [vec![&quoted[..]], long(b"", &megabyte)].concat()),
        ("one heading", long(b"", &megabyte)),
        ("columns", [vec![&start[..]], long(b"", &columns)].concat()),
        ("one JSON text", long(b"{\"visit_no\":\"", &megabyte)),
        ("compressed", vec![&bomb[..]]),
    ] {
        let reply = server.post(path, "", pieces).await.unwrap();
        let receipt = reply.json();
        // The line that is too long is a row of its own, or the end of the reading.
        let message = match receipt["failure"].as_str() {
            Some(failure) => failure.to_owned(),
            None => {
                assert_eq!(receipt["rows"]["rejected"], 1, "{what}: {receipt}");
                let issues = server.get(receipt["links"]["issues"].as_str().unwrap()).await.unwrap().json();
                let unreadable =
                    issues["issues"].as_array().unwrap().iter().find(|i| i["rule"] == "unreadable");
                unreadable.unwrap()["message"].as_str().unwrap().to_owned()
            }
        };
        eprintln!("{what}: {} {message} peak {} MiB", reply.status, server.peak_memory());
        assert!(has_chinese(&message), "{what}: {message}");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < HEADROOM, "200 MB in one line cost {grown} MiB");
    let reply = server.upload("", "after", visits(0..10, 50, 80).as_bytes()).await.unwrap();
    assert_eq!(counts(&reply.json()), [10, 0, 10, 0, 0, 0], "{}", reply.text());
    assert_sound(&home.database).await;
    server.stop().await;
}
