//! Serves the quality pages over an invented city in a database of the test bench, to look at:
//! `cargo run -p minkang-exchange --example quality_city`, then open the address that it prints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    dead_code
)]

#[path = "../tests/it/city.rs"]
mod city;

use std::net::SocketAddr;

use city::{Seed, card, city_of};

const PLACES: [(&str, &str); 4] =
    [("411502", "浉河区"), ("411503", "平桥区"), ("411521", "罗山县"), ("411522", "光山县")];

#[tokio::main]
async fn main() {
    let mut cards = Vec::new();
    let mut id = 0;
    for (region, place) in PLACES {
        let mut add = |name: String, class: &str, town: &str| {
            id += 1;
            cards.push(card(id, &name, class, &format!("{region}{town}")));
        };
        for kind in ["人民医院", "中医院"] {
            add(format!("{place}{kind}"), "hospital", "");
        }
        add(format!("{place}妇幼保健院"), "maternal_child", "");
        for town in ["东关", "西河", "明港", "五里", "兰店", "王岗", "高店", "洋河"] {
            add(format!("{place}{town}镇卫生院"), "township", "101");
        }
        add(format!("{place}疾控中心"), "cdc", "");
    }
    let city = city_of(cards.clone()).await;
    let mut seeds = Vec::new();
    let mut state = 20_250_515_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    for card in &cards {
        let habit = 0.004 + random() * random() * 0.12;
        let lazy = random() < 0.12;
        for ago in 0..62 {
            if (lazy && random() < 0.25) || random() < 0.008 {
                continue;
            }
            for dataset in &city.catalog.datasets {
                let sends = dataset.expect.daily && dataset.expect.senders.contains(&card.sender_class);
                // The present day has begun for some.
                if !sends || random() < 0.006 || (ago == 0 && random() < 0.6) {
                    continue;
                }
                let size = if card.sender_class == "hospital" { 900.0 } else { 90.0 };
                let received = (size * (0.5 + random())) as i64;
                let bad = habit * (0.4 + random() * 1.2);
                seeds.push(Seed {
                    institution: card.id.get(),
                    dataset: dataset.code.clone().leak(),
                    day: city.ago(ago),
                    received,
                    rejected: (received as f64 * bad / 6.0) as i64,
                    broken: [bad, bad * 0.6, bad * (0.5 + 2.0 * random()), bad * 0.4],
                });
            }
        }
    }
    city.seed(&seeds).await;
    rules(&city).await;
    for no in ["V001", "V002"] {
        city.send(
            "outpatient_fee_item",
            &format!("visit_no,fee_no,patient_no,charged_at,item_name,amount\n{no},{no}-1,P001,2025-05-14 09:20,血常规,25\n"),
        )
        .await;
    }
    city.send(
        "outpatient_visit",
        "门诊就诊流水号,患者编号,患者姓名,性别代码,就诊日期时间,身份证件号码,联系电话,主要诊断代码,主要诊断名称,门诊费用金额\n\
         V001,P001,张秀英,2,2025-05-14 09:10,41150319581107122X,13812345678,I10,高血压病,120.00\n\
         V003,P002,李建国,1,2025-05-14 10:20,,,E11.9,糖尿病,80.00\n",
    )
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/quality", listener.local_addr().unwrap());
    let persona: &'static str = std::env::args().nth(1).unwrap_or_else(|| "manager".to_owned()).leak();
    let app = city.app(Some(persona)).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app)
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap() })
        .await
        .unwrap();
}

// Counts of rules in the month, for the first hospital.
async fn rules(city: &city::City) {
    for dataset in &city.catalog.datasets {
        for rule in 0..dataset.rules.len() as i64 {
            let failed =
                [0, 3, 0, 41, 0, 0, 7, 0, 128, 0][((rule * 7 + i64::from(dataset.number)) % 10) as usize];
            sqlx::query("insert into quality_rule_month values (1, $1, '2025-05-01', $2, 4000, $3)")
                .bind(dataset.number)
                .bind(rule as i16)
                .bind(failed)
                .execute(city.db.pool())
                .await
                .unwrap();
        }
    }
}
