//! The record browser (C3): a person's page with its tabs, an opened event, the trend of a result, paper, and the
//! form that asks why. Every page exists twice: for staff under `/record`, for hospital workstations under `/embed`.

mod ask;
mod event;
mod load;
mod opened;
mod overview;
mod place;
mod print;
#[cfg(test)]
mod samples;
mod sections;
mod trend;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use catalog::Dataset;
use contracts::PersonCard;
use kernel::Refusal;
use maud::Markup;
use store::Gated;
use web::ui::Here;
use web::{Access, Allowed, Frame, Reply, Routes};

use crate::Ports;
use crate::door::{Look, NEED, Opened, REVEAL, nobody};
use crate::guard::{self, Barrier, Because};
use crate::summary::Kinds;

pub use place::{Place, Section};

/// What the pages work with.
#[derive(Debug, Clone)]
pub struct Browser {
    ports: Ports,
    kinds: Arc<Kinds>,
    /// The data set of laboratory results and the statement that reads its newest rows.
    results: Option<(Arc<Dataset>, Arc<str>)>,
}

impl Browser {
    /// Pages over these ports.
    pub fn new(ports: Ports) -> Self {
        let kinds = Arc::new(Kinds::of(&ports.catalog));
        let results = ports
            .catalog
            .datasets
            .iter()
            .find(|d| d.record.as_ref().is_some_and(|view| view.summary == "result"))
            .map(|d| (d.clone(), crate::facts::latest_statement(d, &crate::laboratory::fields(d)).into()));
        Self { ports, kinds, results }
    }

    fn dataset(&self, code: &str) -> Result<&Arc<Dataset>, Refusal> {
        self.ports.catalog.dataset(code).filter(|d| d.record.is_some()).ok_or_else(no_event)
    }
}

/// The pages.
pub fn routes(browser: Browser) -> Routes<()> {
    let mut routes = Routes::new();
    for root in ["/record", "/embed/record"] {
        let path = |rest: &str| format!("{root}/{{person}}{rest}");
        let need = Access::Needs(NEED);
        routes = routes
            .get(&path(""), need, page)
            .get(&path("/event/{dataset}/{fact}"), need, open_event)
            .get(&path("/event/{dataset}/{fact}/history"), need, history)
            .get(&path("/result"), need, result)
            .get(&path("/print"), need, paper)
            .get(&path("/purpose"), need, purpose_form)
            .post(&path("/purpose"), need, purpose)
            .get(&path("/glass"), need, glass_form)
            .post(&path("/glass"), need, glass)
            .post(&path("/reveal"), need, reveal);
    }
    routes.with_state(browser)
}

impl Browser {
    /// What stands in the way, and how to get past it.
    fn barred(
        &self,
        allowed: &Allowed,
        frame: &Frame,
        place: &Place,
        card: &PersonCard,
        barrier: Barrier,
        problem: &str,
    ) -> Markup {
        match barrier {
            Barrier::Purpose => framed(frame, place, "填写使用目的", self.ask(card, place, problem)),
            Barrier::Restricted => {
                let form =
                    guard::form(&self.ports, allowed.caller(), card, place, Because::Restricted, problem);
                framed(frame, place, "紧急调阅", form)
            }
        }
    }
}

fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(nobody)
}

fn no_event() -> Refusal {
    Refusal::not_found("record.no_event", "没有找到这条记录。它可能已被上传机构撤销，或不属于这位居民。")
}

// A whole page in the frame of whoever looks: hospital workstations get no rail.
fn framed(frame: &Frame, place: &Place, title: &str, body: Markup) -> Markup {
    if place.embedded && !frame.partial { frame.bare(title, body) } else { frame.page(title, body) }
}

async fn page(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let more = frame.partial && here.get("part") == Some("more");
    let section = place.section;
    let look = Look {
        act: "record.view",
        detail: Some(serde_json::json!({ "tab": section.title(), "more": more })),
    };
    let barred = |card: &PersonCard, barrier| browser.barred(&allowed, &frame, &place, card, barrier, "");
    if more {
        let read = async |tx: &mut Gated<'_>, card: &PersonCard| browser.more(tx, card, &place).await;
        let show = |opened: Opened<_>| match opened {
            Opened::Shown(lines) => overview::lines(&lines),
            Opened::Barred(card, barrier) => barred(&card, barrier),
        };
        return browser.ports.open_shown(&allowed, person, None, look, read, show).await;
    }
    let read = async |tx: &mut Gated<'_>, card: &PersonCard| browser.gather(tx, card, &place).await;
    let show = |opened: Opened<_>| match opened {
        Opened::Shown(gathered) => {
            let view = browser.compose(&place, gathered);
            framed(&frame, &place, &view.title, overview::page(&place, &view))
        }
        Opened::Barred(card, barrier) => barred(&card, barrier),
    };
    browser.ports.open_shown(&allowed, person, None, look, read, show).await
}

async fn open_event(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path((person, dataset, fact)): Path<(String, String, String)>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let dataset = browser.dataset(&dataset)?;
    let fact = fact.parse::<i64>().map_err(|_| no_event())?;
    let look = Look {
        act: "record.event",
        detail: Some(serde_json::json!({ "dataset": dataset.code, "fact": fact, "name": dataset.name })),
    };
    let whole = !frame.partial;
    let read = async |tx: &mut Gated<'_>, card: &PersonCard| {
        browser.event(tx, card, &place, dataset, fact, whole).await
    };
    let show = |opened: Opened<_>| match opened {
        Opened::Shown(view) if frame.partial => opened::in_place(&view),
        Opened::Shown(view) => framed(&frame, &place, &view.title, opened::page(&place, &view)),
        Opened::Barred(card, barrier) => browser.barred(&allowed, &frame, &place, &card, barrier, ""),
    };
    browser.ports.open_shown(&allowed, person, None, look, read, show).await
}

async fn history(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path((person, dataset, fact)): Path<(String, String, String)>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let dataset = browser.dataset(&dataset)?;
    let fact = fact.parse::<i64>().map_err(|_| no_event())?;
    let look = Look {
        act: "record.history",
        detail: Some(serde_json::json!({ "dataset": dataset.code, "fact": fact, "name": dataset.name })),
    };
    let read =
        async |tx: &mut Gated<'_>, card: &PersonCard| browser.versions(tx, card, &place, dataset, fact).await;
    let show = |opened: Opened<_>| match opened {
        Opened::Shown(view) => framed(&frame, &place, "历史版本", opened::versions(&place, &view)),
        Opened::Barred(card, barrier) => browser.barred(&allowed, &frame, &place, &card, barrier, ""),
    };
    browser.ports.open_shown(&allowed, person, None, look, read, show).await
}

async fn result(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let item = here.get("item").unwrap_or_default().to_owned();
    let look = Look {
        act: "record.result",
        detail: Some(serde_json::json!({ "item": item.chars().take(100).collect::<String>() })),
    };
    let read = async |tx: &mut Gated<'_>, card: &PersonCard| browser.trend(tx, card, &place, &item).await;
    let show = |opened: Opened<trend::TrendView>| match opened {
        Opened::Shown(view) => framed(&frame, &place, &view.title, trend::page(&place, &view)),
        Opened::Barred(card, barrier) => browser.barred(&allowed, &frame, &place, &card, barrier, ""),
    };
    browser.ports.open_shown(&allowed, person, None, look, read, show).await
}

async fn paper(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let look = Look { act: "record.print", detail: None };
    let read = async |tx: &mut Gated<'_>, card: &PersonCard| browser.gather(tx, card, &place).await;
    let show = |opened: Opened<_>| match opened {
        Opened::Shown(gathered) => {
            let view = browser.compose(&place, gathered);
            let caller = allowed.caller();
            let by = print::PrintedBy {
                who: &caller.name,
                institution: &caller.institution_name,
                at: browser.ports.clock.local(),
            };
            frame.bare(&view.title, print::page(&place, &view, &by))
        }
        Opened::Barred(card, barrier) => browser.barred(&allowed, &frame, &place, &card, barrier, ""),
    };
    browser.ports.open_shown(&allowed, person, None, look, read, show).await
}

/// Who it is, for a form about a record: whether it is open or barred, nothing of it is read.
async fn whose(browser: &Browser, allowed: &Allowed, person: i64, act: &'static str) -> Reply<PersonCard> {
    let look = Look { act, detail: None };
    let opened = browser.ports.open(allowed, person, None, look, async |_, card| Ok(card.clone())).await?;
    Ok(match opened {
        Opened::Shown(card) => card,
        Opened::Barred(card, _) => *card,
    })
}

async fn purpose_form(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let card = whose(&browser, &allowed, person, "record.purpose_form").await?;
    Ok(framed(&frame, &place, "填写使用目的", browser.ask(&card, &place, "")))
}

/// What the banner masks, in full; each time is an entry of the trail.
async fn reveal(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    allowed.caller().decide(REVEAL, kernel::Purpose::of("care"))?;
    let look = Look { act: "record.reveal", detail: None };
    let opened = browser.ports.open(&allowed, person, None, look, async |_, card| Ok(card.clone())).await?;
    Ok(match opened {
        Opened::Shown(card) => {
            let region = browser.ports.institutions.region_name(&card.region);
            let whole = opened::whole(&card, &region);
            if frame.partial { whole } else { framed(&frame, &place, "完整信息", whole) }
        }
        Opened::Barred(card, barrier) => browser.barred(&allowed, &frame, &place, &card, barrier, ""),
    })
}

async fn glass_form(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
) -> Reply<Markup> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    let card = whose(&browser, &allowed, person, "record.glass_form").await?;
    let form = guard::form(&browser.ports, allowed.caller(), &card, &place, Because::Protected, "");
    Ok(framed(&frame, &place, "紧急调阅", form))
}

async fn glass(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
    axum::Form(form): axum::Form<guard::GlassForm>,
) -> Reply<Response> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    match form.read() {
        Ok((kind, reason)) => {
            browser.ports.break_glass(&allowed, person, kind, &reason).await?;
            Ok(Redirect::to(&place.back(&form.back)).into_response())
        }
        Err(problem) => {
            let card = whose(&browser, &allowed, person, "record.glass_form").await?;
            let again =
                guard::form(&browser.ports, allowed.caller(), &card, &place, Because::Protected, problem);
            Ok(framed(&frame, &place, "紧急调阅", again).into_response())
        }
    }
}

async fn purpose(
    State(browser): State<Browser>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(person): Path<String>,
    axum::Form(form): axum::Form<ask::PurposeForm>,
) -> Reply<Response> {
    let person = number(&person)?;
    let place = Place::of(&here, person);
    match form.read() {
        Ok(purpose) => {
            browser.ports.give_purpose(&allowed, person, purpose).await?;
            Ok(Redirect::to(&place.back(&form.back)).into_response())
        }
        Err(problem) => {
            let look = Look { act: "record.view", detail: None };
            // Whoever is in care, or gave a purpose before, goes straight in.
            let opened = browser.ports.open(&allowed, person, None, look, async |_, _| Ok(())).await?;
            Ok(match opened {
                Opened::Shown(()) => Redirect::to(&place.back(&form.back)).into_response(),
                Opened::Barred(card, barrier) => {
                    browser.barred(&allowed, &frame, &place, &card, barrier, problem).into_response()
                }
            })
        }
    }
}
