//! Rules between data sets, through the real pipeline.

use crate::city::{City, city};

async fn findings(city: &City) -> Vec<(String, String, String)> {
    let rows: Vec<(i16, i16, String)> =
        sqlx::query_as("select dataset, rule, value from cross_finding order by dataset, rule, value")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    rows.into_iter()
        .map(|(dataset, rule, value)| {
            let dataset = city.catalog.dataset_by_number(dataset).unwrap();
            (dataset.code.clone(), dataset.rules[rule as usize].code.clone(), value)
        })
        .collect()
}

fn visit(no: &str, fee: &str) -> String {
    format!("visit_no,patient_no,visit_time,total_fee\n{no},P001,2025-05-14 09:10,{fee}\n")
}

fn items(rows: &[(&str, &str, &str)]) -> String {
    let city = catalog::shipped().unwrap();
    let dataset = city.dataset("outpatient_fee_item").unwrap();
    // The heading names what must be there; other required fields get a filler.
    let mut text = dataset.fields.iter().filter(|f| f.required || f.name == "visit_no" || f.name == "amount");
    let heads: Vec<&catalog::Field> = text.by_ref().collect();
    let mut csv = heads.iter().map(|f| f.name.clone()).collect::<Vec<_>>().join(",") + "\n";
    for (visit, item, amount) in rows {
        let cell = |f: &&catalog::Field| -> String {
            if dataset.key.iter().any(|k| dataset.fields[*k].name == f.name) && f.name != "visit_no" {
                return (*item).to_owned();
            }
            match (f.name.as_str(), &f.kind) {
                ("visit_no", _) => (*visit).to_owned(),
                ("amount", _) => (*amount).to_owned(),
                (_, catalog::FieldKind::Date | catalog::FieldKind::DateTime) => "2025-05-14 09:20".to_owned(),
                (_, catalog::FieldKind::Integer | catalog::FieldKind::Decimal { .. }) => "1".to_owned(),
                _ => "P001".to_owned(),
            }
        };
        csv += &(heads.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    }
    csv
}

#[tokio::test]
async fn a_child_without_parent_is_found_and_settled_when_the_parent_arrives() {
    let city = city().await;
    city.send("outpatient_fee_item", &items(&[("V001", "1", "50"), ("V001", "2", "70"), ("V009", "3", "9")]))
        .await;
    let orphans = findings(&city).await;
    assert_eq!(orphans.len(), 3, "{orphans:?}");
    assert!(
        orphans
            .iter()
            .all(|(dataset, rule, _)| dataset == "outpatient_fee_item" && rule.contains("belongs_to"))
    );
    // The same rows again, as before and as corrections: each is found once.
    city.send("outpatient_fee_item", &items(&[("V001", "1", "50"), ("V001", "2", "70"), ("V009", "3", "9")]))
        .await;
    city.send("outpatient_fee_item", &items(&[("V009", "3", "10")])).await;
    assert_eq!(findings(&city).await.len(), 3);
    city.send("outpatient_visit", &visit("V001", "120.00")).await;
    let left = findings(&city).await;
    assert_eq!(left.iter().map(|f| f.2.as_str()).collect::<Vec<_>>(), ["V009"]);
    // They show on the day and its rows.
    let day = city.page("engineer", "/quality/day?institution=12411500MB0000001X&day=2025-05-14").await;
    assert!(day.contains("数据集之间的问题"));
    let rows = "/quality/rows?institution=12411500MB0000001X&day=2025-05-14&dataset=outpatient_fee_item";
    let dataset = city.catalog.dataset("outpatient_fee_item").unwrap();
    let rule = dataset.rules.iter().position(|r| r.check.is_cross()).unwrap();
    let page = city.page("engineer", &format!("{rows}&rule={rule}")).await;
    assert!(page.contains("V009") && !page.contains("V001"));
    // A finding goes with its row.
    let withdrawal =
        items(&[("V009", "3", "10")]).replace('\n', ",\n").replacen(",\n", ",revision_mark\n", 1);
    let withdrawal = withdrawal.trim_end_matches(",\n").to_owned() + ",2\n";
    city.send("outpatient_fee_item", &withdrawal).await;
    assert_eq!(findings(&city).await, []);
}

#[tokio::test]
async fn a_total_that_disagrees_with_its_children_is_found_until_it_is_corrected() {
    let city = city().await;
    // Without any child nothing is said: they may still come.
    city.send("outpatient_visit", &visit("V001", "120.00")).await;
    assert_eq!(findings(&city).await, []);
    city.send("outpatient_fee_item", &items(&[("V001", "1", "50"), ("V001", "2", "60")])).await;
    let wrong = findings(&city).await;
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].0 == "outpatient_visit" && wrong[0].2 == "120.00");
    // Evaluating again makes no second finding; a corrected total that is still wrong shows its new value.
    city.send("outpatient_visit", &visit("V001", "130.00")).await;
    let wrong = findings(&city).await;
    assert_eq!((wrong.len(), wrong[0].2.as_str()), (1, "130.00"));
    // The missing item comes: settled. Within the tolerance: not found.
    city.send("outpatient_visit", &visit("V001", "110.04")).await;
    assert_eq!(findings(&city).await, []);
    city.send("outpatient_fee_item", &items(&[("V001", "3", "1")])).await;
    assert_eq!(findings(&city).await.len(), 1);
    city.send("outpatient_visit", &visit("V001", "111.00")).await;
    assert_eq!(findings(&city).await, []);
}
