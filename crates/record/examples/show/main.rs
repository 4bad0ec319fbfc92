//! Serves the record of invented people out of a test database, to look at: `cargo run -p minkang-record --example show`,
//! then open the address that it prints.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../../tests/it/city.rs"]
mod city;
#[path = "../../tests/it/people.rs"]
mod people;

use std::sync::Arc;

use futures::future::BoxFuture;
use kernel::{Caller, Id, RegionCode, Result, Span};
use tokio::net::TcpListener;
use web::{Authenticator, Face, Site, build_app};

/// Everybody is one doctor of the township centre.
struct Everybody;

impl Authenticator for Everybody {
    fn authenticate<'a>(&'a self, _: web::Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        let city = Span::Region(RegionCode::parse("4115").unwrap());
        let caller = Caller { account: Some(Id::new(7)), ..city::staff("王秀英", 7, 2, city) };
        Box::pin(async move { Ok(Some(Arc::new(caller))) })
    }
}

#[tokio::main]
async fn main() {
    let city = city::city().await;
    city.seed_zhang().await;
    // Enough of the years before, that the time line has a second page.
    for n in 0..24 {
        let (no, time) = (format!("B{n}"), format!("20{}-{:02}-07 08:30", 21 + n / 12, n % 12 + 1));
        let cells = [
            ("visit_no", no.as_str()),
            ("visit_time", &time),
            ("department_name", "心内科"),
            ("doctor_name", "刘主任"),
            ("diagnosis_code", "I10.x00x002"),
            ("diagnosis_name", "高血压"),
            ("chief_complaint", "复诊"),
        ];
        city.write("outpatient_visit", 1, 11, &cells).await;
    }
    let menu = city.catalog.menu.clone();
    let site = Site {
        face: Face { platform: "全民健康信息平台".into(), place: "信阳市".into(), menu },
        ..Site::new(Arc::new(Everybody))
    };
    let app = build_app(city.record.routes(), site);
    let listener = TcpListener::bind("127.0.0.1:8698").await.expect("port 8698 is free");
    println!("http://127.0.0.1:8698/record/{}", people::ZHANG);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    web::serve::serve(listener, app, stop).await.expect("it serves");
}
