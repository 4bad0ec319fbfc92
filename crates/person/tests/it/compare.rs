//! Models compared by what each would decide: the figures against what re-evaluation really does with each of them, a
//! sample against the whole, and the pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use contracts::Demographics;
use kernel::Clock;
use person::MasterIndex;
use person::runs::{Asked, SHIPPED, chosen};
use store::Db;

use crate::desk::{City, assert_has, reviewer, supervisor};
use crate::index::{assert_sound, everywhere, partition, somebody};
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link};

const DEFINITION: &str = include_str!("../../../../catalog/person-index/china.toml");

/// A model that links only what is all but certain.
async fn strict(db: &Db) -> i64 {
    let definition = DEFINITION.replace("link = 0.97", "link = 0.9999999");
    assert_ne!(definition, DEFINITION);
    sqlx::query_scalar(
        "insert into person_model (version, definition, blocking, trained_at, actor)
         values ('strict', $1, '', now(), '测试') returning id",
    )
    .bind(definition)
    .fetch_one(db.pool())
    .await
    .unwrap()
}

/// Each of these people twice: some alike in everything, some in name and birth only.
async fn twice(db: &Db, index: &MasterIndex, people: std::ops::Range<usize>) {
    for n in people {
        let one = Demographics { local_no: format!("a{n}"), ..somebody(n) };
        let mut other = Demographics { local_no: format!("b{n}"), ..somebody(n) };
        match n % 3 {
            0 => other.phone = String::new(),
            1 => (other.phone, other.region) = (String::new(), String::new()),
            _ => {}
        }
        link(db, index, COUNTY_HOSPITAL, &[one]).await.unwrap();
        link(db, index, TOWNSHIP, &[other]).await.unwrap();
    }
}

type Pairs = BTreeSet<(i64, i64)>;

/// Pairs of records of one person.
async fn together(db: &Db) -> Pairs {
    let mut pairs = Pairs::new();
    for records in partition(db).await {
        let records: Vec<i64> = records.into_iter().collect();
        for (i, a) in records.iter().enumerate() {
            pairs.extend(records[i + 1..].iter().map(|b| (*a, *b)));
        }
    }
    pairs
}

/// What re-evaluation with a model makes of the registry; taken back again.
async fn evaluated(db: &Db, index: &MasterIndex, model: i64) -> (Pairs, usize) {
    let (now, reach) = (testkit::clock().now(), everywhere("测试"));
    index.put_in_force(&reach, model, "试算", now).await.unwrap();
    let run = index.start_run("relink", "测试", now).await.unwrap();
    index.propose(run, now).await.unwrap();
    index.decide_run(&reach, run, true, "试算", now).await.unwrap();
    index.apply_run(run, now).await.unwrap();
    let out = (together(db).await, partition(db).await.len());
    index.undo_run(&reach, run, "试算完毕", now).await.unwrap();
    index.undo_run_now(run, now).await.unwrap();
    index.put_in_force(&reach, SHIPPED, "试算完毕", now).await.unwrap();
    out
}

async fn kept(db: &Db, run: i64) -> Vec<(i64, i64, i32, bool)> {
    sqlx::query_as("select a, b, models, joined from index_difference where run_id = $1 order by no")
        .bind(run)
        .fetch_all(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_a_comparison_says_is_what_re_evaluation_does() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    twice(db.db(), &index, 0..45).await;
    let strict = strict(db.db()).await;
    let learnt = index.start_run("train", "测试", now).await.unwrap();
    let trained = index.learn(learnt, now).await.unwrap();
    let before = partition(db.db()).await;
    let models = vec![SHIPPED, strict, trained];
    let asked = Asked { models: models.clone(), one_in: 0 };
    let run = index.start_comparison(&asked, "测试", now).await.unwrap();
    let compared = index.compare_models(run, now).await.unwrap();
    assert_eq!(partition(db.db()).await, before, "nothing is changed");
    assert_eq!((compared.records, compared.linked, compared.one_in), (90, 90, 1));

    let present = together(db.db()).await;
    assert_eq!((compared.pairs, compared.persons), (present.len() as u64, before.len() as u64));
    let mut really = Vec::new();
    for (would, model) in compared.models.iter().zip(&models) {
        let (pairs, persons) = evaluated(db.db(), &index, *model).await;
        assert_eq!(would.id, *model);
        assert_eq!((would.pairs, would.persons), (pairs.len() as u64, persons as u64), "{would:?}");
        assert_eq!(would.new_pairs, pairs.difference(&present).count() as u64, "{would:?}");
        assert_eq!(would.lost_pairs, present.difference(&pairs).count() as u64, "{would:?}");
        really.push(pairs);
    }
    assert_eq!(partition(db.db()).await, before);
    assert_sound(db.db()).await;
    // Whoever only some of them would link, all of them kept in so small a registry, once each.
    let kept_now = kept(db.db(), run).await;
    for (set, count) in &compared.differing {
        let every: Pairs = really.iter().flatten().copied().collect();
        let of = |pair: &(i64, i64)| (0..3).fold(0, |s, m| s | u32::from(really[m].contains(pair)) << m);
        let expected: Pairs = every.into_iter().filter(|p| of(p) == *set).collect();
        assert_eq!(*count, expected.len() as u64, "{set:b}");
        let listed: Vec<(i64, i64)> =
            kept_now.iter().filter(|k| k.2 as u32 == *set).map(|k| (k.0, k.1)).collect();
        assert_eq!(listed.len(), expected.len());
        assert_eq!(listed.into_iter().collect::<Pairs>(), expected, "{set:b}");
    }
    assert!(!kept_now.is_empty(), "the strict model links less: {compared:?}");
    assert!(kept_now.iter().all(|(a, b, _, joined)| *joined == present.contains(&(*a, *b))));
    let evidence: sqlx::types::Json<Vec<person::runs::Says>> =
        sqlx::query_scalar("select evidence from index_difference where run_id = $1 limit 1")
            .bind(run)
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(evidence.len(), 3);
    assert!(evidence.iter().all(|s| s.parts.iter().any(|p| p.field == "name" && p.weight > 0.0)));
    // A run that is repeated begins anew.
    let again = index.compare_models(run, now).await.unwrap();
    assert_eq!((&again.differing, again.pairs), (&compared.differing, compared.pairs));
    assert_eq!(kept(db.db(), run).await, kept_now);
    assert_eq!(index.run(run).await.unwrap().unwrap().state, "done");
}

#[tokio::test]
async fn a_sample_keeps_both_sides_and_is_counted_up() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    twice(db.db(), &index, 0..60).await;
    let strict = strict(db.db()).await;
    let asked = |one_in| Asked { models: vec![SHIPPED, strict], one_in };
    let mut done = Vec::new();
    for one_in in [1, 4] {
        let run = index.start_comparison(&asked(one_in), "测试", now).await.unwrap();
        done.push((run, index.compare_models(run, now).await.unwrap()));
    }
    let [(all, whole), (part, sample)] = &done[..] else { panic!() };
    assert!(sample.linked < whole.linked && sample.linked > 120 / 4, "{} of {}", sample.linked, whole.linked);
    // What has a chosen side is found as in the whole, and stands for the rest in the known proportion.
    let of_whole: Vec<_> = kept(db.db(), *all).await;
    let touched: BTreeSet<_> =
        of_whole.iter().filter(|(a, b, ..)| chosen(*a, 4) || chosen(*b, 4)).copied().collect();
    assert!(!touched.is_empty());
    assert_eq!(kept(db.db(), *part).await.into_iter().collect::<BTreeSet<_>>(), touched);
    let stands_for = 1.0 / (1.0 - 0.75 * 0.75);
    for (set, count) in &sample.differing {
        let met = touched.iter().filter(|(_, _, s, _)| *s as u32 == *set).count() as f64;
        assert_eq!(*count, (met * stands_for).round() as u64, "{set:b}");
    }
    assert_eq!(sample.records, whole.records);
}

#[tokio::test]
async fn only_models_that_are_there_are_compared_and_only_two_to_four() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    let broken: i64 = sqlx::query_scalar(
        "insert into person_model (version, definition, blocking, trained_at, actor)
         values ('broken', '[model]', '', now(), '测试') returning id",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    for models in [vec![], vec![SHIPPED], vec![SHIPPED, SHIPPED], vec![SHIPPED, 77], vec![SHIPPED, broken]] {
        let asked = Asked { models, one_in: 0 };
        assert!(index.request_comparison(&asked, "测试", now).await.is_err(), "{asked:?}");
    }
    let runs: i64 = sqlx::query_scalar("select count(*) from index_run").fetch_one(db.pool()).await.unwrap();
    assert_eq!(runs, 0);
    // Nobody is registered: nothing differs.
    let strict = strict(db.db()).await;
    let asked = Asked { models: vec![SHIPPED, strict], one_in: 0 };
    let run = index.start_comparison(&asked, "测试", now).await.unwrap();
    let compared = index.compare_models(run, now).await.unwrap();
    assert_eq!((compared.records, compared.differing.values().sum::<u64>()), (0, 0));
}

#[tokio::test]
async fn jobs_carry_comparisons_out_and_what_is_refused_has_failed_for_people_to_read() {
    let (db, index) = city().await;
    let (now, index) = (testkit::clock().now(), Arc::new(index));
    let clock: Arc<dyn Clock> = testkit::clock();
    let mut jobs = store::Jobs::new(db.db().clone(), clock.clone());
    index.register_jobs(&mut jobs, &clock);
    let nobody = index.request_run("train", "测试", now).await.unwrap();
    jobs.run_until_idle().await.unwrap();
    let run = index.run(nobody).await.unwrap().unwrap();
    assert_eq!(run.state, "failed");
    assert!(run.failure.contains("登记太少"), "{run:?}");
    twice(db.db(), &index, 0..6).await;
    let strict = strict(db.db()).await;
    let asked = Asked { models: vec![SHIPPED, strict], one_in: 0 };
    let run = index.request_comparison(&asked, "测试", now).await.unwrap();
    jobs.run_until_idle().await.unwrap();
    let run = index.run(run).await.unwrap().unwrap();
    assert_eq!((run.state.as_str(), run.total, run.done), ("done", 12, 12));
    // One that was broken off does not stand in the way of the next.
    let left = index.start_comparison(&asked, "命令行", now).await.unwrap();
    index.fail_run(left, "中断", now).await.unwrap();
    assert_eq!(index.run(left).await.unwrap().unwrap().state, "failed");
}

#[tokio::test]
async fn a_comparison_is_asked_for_looked_at_and_decided_upon_on_pages() {
    let city = City::new().await;
    let now = testkit::clock().now();
    twice(city.db.db(), &city.index, 0..12).await;
    let strict = strict(city.db.db()).await;
    let mut boss = supervisor();
    boss.assurance.fresh = true;
    let li = reviewer(1, "李核对", "4115");
    let (_, page) = city.get("/index/models", &boss).await;
    assert_has(&page, &["比较模型", "随平台发布", "strict", "开始比较"], &[]);
    let form = format!("kind=compare&model=0&model={strict}");
    assert_eq!(city.post("/index/runs", &form, &li).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        city.post("/index/runs", "kind=compare&model=0", &boss).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let (status, _, run) = city.post("/index/runs", &form, &boss).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, page) = city.get(&run, &boss).await;
    assert_has(&page, &["比较模型", "计算中"], &["各模型会作出的结论"]);
    let id: i64 = run.rsplit('/').next().unwrap().parse().unwrap();
    let compared = city.index.compare_models(id, now).await.unwrap();
    assert!(compared.differing[&1] > 0, "{compared:?}");

    let (status, page) = city.get(&run, &boss).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["各模型会作出的结论", "仅 ", "将与别人合并的人", "启用 strict", "样例（随机）"], &[]);
    let (status, page) = city.get(&format!("{run}/pairs?models=1"), &boss).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["结论不同的登记对", "导出 CSV", "机构1", "机构2"], &["没有符合条件的样例"]);
    let (_, page) = city.get(&format!("{run}/pairs?models=2"), &boss).await;
    assert_has(&page, &["没有符合条件的样例"], &[]);
    let no: i32 = city.one("select no from index_difference order by no limit 1").await;
    let pair = format!("{run}/pairs/{no}");
    let (status, page) = city.get(&pair, &boss).await;
    assert_eq!(status, StatusCode::OK);
    let phone = somebody(2).phone;
    assert_has(
        &page,
        &["各模型的证据", "登记对照", "归为一人", "不归为一人", "mk-bit-for"],
        &[phone.as_str()],
    );
    assert_eq!(city.get(&format!("{run}/pairs/99999"), &boss).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.get(&pair, &li).await.0, StatusCode::FORBIDDEN);
    let (status, csv) = city.get(&format!("{run}/pairs.csv"), &boss).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&csv, &["会归为一人的模型", "strict 证据（比特）", "姓名 相同"], &[phone.as_str()]);
    // Who answers for another county sees no registration of this one.
    let mut elsewhere = supervisor();
    for grant in &mut elsewhere.grants {
        grant.span = reviewer(2, "外县", "411502").grants[0].span;
    }
    let (_, page) = city.get(&format!("{run}/pairs"), &elsewhere).await;
    assert_has(&page, &["没有符合条件的样例"], &["机构1"]);
    assert_eq!(city.get(&pair, &elsewhere).await.0, StatusCode::NOT_FOUND);
    let (_, csv) = city.get(&format!("{run}/pairs.csv"), &elsewhere).await;
    assert_eq!(csv.trim().lines().count(), 1, "{csv}");
    // Put in force from there, and the former back.
    let force = |model: i64| format!("/index/models/{model}/force");
    assert_eq!(city.post(&force(strict), "reason=抽查样例无误", &boss).await.0, StatusCode::SEE_OTHER);
    assert!(city.one::<bool>("select in_force from person_model").await);
    let (_, page) = city.get(&run, &boss).await;
    assert_has(&page, &["启用 china"], &["启用 strict"]);
    let (status, _, to) = city.post(&force(SHIPPED), "reason=换回", &boss).await;
    assert_eq!((status, to.as_str()), (StatusCode::SEE_OTHER, "/index/models/0"));
    assert!(!city.one::<bool>("select in_force from person_model").await);
    let (status, page) = city.get(&to, &boss).await;
    assert_eq!(status, StatusCode::OK);
    assert_has(&page, &["使用中", "随平台发布"], &[]);
    let looks: i64 = city
        .one("select count(*) from audit_entry where act in ('person.run_view', 'person.run_export')")
        .await;
    assert!(looks >= 6, "{looks}");
}
