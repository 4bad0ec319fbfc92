//! Claims and explanations of benefit: what was charged, item by item.

use serde_json::Value;

use super::graph::Target;
use super::people::Visit;
use super::view::{all, codings, first, has_code, name_of, text, time};
use super::visits::withdraw;
use super::{Mapper, NO_TIME, NO_VISIT, Outcome};

/// One charge.
struct Charge<'a> {
    no: String,
    name: &'a str,
    code: Option<&'a str>,
    amount: f64,
    price: Option<&'a Value>,
    quantity: Option<&'a Value>,
    at: &'a str,
}

fn money(value: Option<&Value>) -> Option<f64> {
    value?.get("value")?.as_f64().filter(|v| v.is_finite() && v.abs() < 1e12)
}

/// The total of a claim (an amount) or of an explanation (the one submitted).
fn total(resource: &Value) -> Option<&Value> {
    match resource.get("total")? {
        Value::Array(totals) => totals
            .iter()
            .find(|t| t.get("category").is_some_and(|c| has_code(c, &["submitted"])))
            .or_else(|| totals.first())
            .and_then(|t| t.get("amount")),
        amount => Some(amount),
    }
}

/// The charge of an item: its net amount, or price times quantity.
fn charged(item: &Value) -> Option<f64> {
    money(item.get("net")).or_else(|| {
        let price = money(item.get("unitPrice"))?;
        let count = item.get("quantity").map_or(Some(1.0), |q| q.get("value").and_then(Value::as_f64))?;
        Some(price * count)
    })
}

impl<'a> Mapper<'a> {
    pub(super) fn fees(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let resource = entry.content;
        if matches!(text(resource, "use"), Some("preauthorization" | "predetermination")) {
            return Err("预审或预估费用，没有发生");
        }
        let mut base = entry.id.to_string();
        if entry.kind == "ExplanationOfBenefit" {
            match self.graph.target(index, resource.get("claim")) {
                Some(Target::Entry(i)) if self.graph.entries[i].kind == "Claim" => {
                    return Err("与同一批中的费用申报（Claim）为同一笔费用，不重复计费");
                }
                // The claim may come another time: the same charges then have the same numbers.
                Some(Target::Outside(id, _)) => base = id.to_owned(),
                _ => {}
            }
        }
        let whose = self.whose(index)?;
        let visit = self.fee_visit(index).ok_or(NO_VISIT)?;
        let billed = resource.get("billablePeriod").and_then(|p| text(p, "start"));
        let at = billed.or_else(|| time(resource, &["created"])).or_else(|| visit.start()).ok_or(NO_TIME)?;
        let charges = self.charges(index, &base, at);
        if charges.is_empty() {
            return Err("没有金额");
        }
        let currency = total(resource)
            .or_else(|| first(resource, "item").and_then(|i| i.get("net")))
            .and_then(|t| text(t, "currency"))
            .filter(|c| *c != "CNY");
        let dataset = if visit.inpatient { "inpatient_fee_item" } else { "outpatient_fee_item" };
        for charge in charges {
            let mut draft = self.draft(dataset)?;
            self.put_person(&mut draft, &whose);
            self.put_staff(&mut draft, index, None, Some(&visit));
            draft.set("fee_no", Some(&charge.no));
            draft.set(if visit.inpatient { "stay_no" } else { "visit_no" }, Some(&visit.no));
            draft.set("receipt_no", Some(&base));
            draft.when("charged_at", Some(charge.at));
            draft.code("item_code", charge.code);
            draft.set("item_name", Some(charge.name));
            draft.number("unit_price", charge.price);
            draft.number("quantity", charge.quantity);
            draft.number("amount", Some(&Value::from(charge.amount)));
            if let Some(currency) = currency {
                draft.set("specification", Some(&format!("币种 {currency}")));
                draft.note(&format!(
                    "金额币种为 {}，按原数值记录，未换算",
                    currency.chars().take(3).collect::<String>()
                ));
            }
            withdraw(&mut draft, resource);
            self.add(index, draft);
        }
        Ok(())
    }

    /// The visit of a claim: that of an item, or of its prescription.
    fn fee_visit(&self, index: usize) -> Option<Visit<'a>> {
        let resource = self.graph.entries[index].content;
        let of_item = all(resource, "item").iter().find_map(|i| first(i, "encounter"));
        self.visit(index, of_item).or_else(|| {
            match self.graph.target(index, resource.get("prescription"))? {
                Target::Entry(i) => self.visit_of(i),
                _ => None,
            }
        })
    }

    /// The charges of a claim. Items that only name a diagnosis carry no money. What the total holds beyond the priced
    /// items belongs to the first item without a price, or to nobody.
    fn charges(&self, index: usize, base: &str, at: &'a str) -> Vec<Charge<'a>> {
        let resource = self.graph.entries[index].content;
        let mut out = Vec::new();
        let (mut sum, mut unpriced) = (0.0, None);
        for (i, item) in all(resource, "item").iter().enumerate() {
            let sequence = item.get("sequence").and_then(Value::as_u64).unwrap_or(i as u64 + 1);
            let product = item.get("productOrService");
            let charge = |amount: f64| Charge {
                no: format!("{base}-{sequence}"),
                name: product.and_then(name_of).unwrap_or("未注明项目"),
                code: product.and_then(|p| codings(p).map(|c| c.code).find(|c| !c.is_empty())),
                amount,
                price: item.get("unitPrice").and_then(|p| p.get("value")),
                quantity: item.get("quantity").and_then(|q| q.get("value")),
                at: time(item, &["servicedDate", "servicedPeriod"]).unwrap_or(at),
            };
            match charged(item) {
                Some(amount) => {
                    sum += amount;
                    out.push(charge(amount));
                }
                None if unpriced.is_none() && item.get("diagnosisSequence").is_none() => {
                    unpriced = Some((out.len(), charge(0.0)));
                }
                None => {}
            }
        }
        let rest = money(total(resource)).map(|t| ((t - sum) * 100.0).round() / 100.0).filter(|r| *r > 0.0);
        match (rest, unpriced) {
            (Some(rest), Some((place, mut charge))) => {
                charge.amount = rest;
                out.insert(place, charge);
            }
            (Some(rest), None) => out.push(Charge {
                no: format!("{base}-0"),
                name: "其他费用（未分项）",
                code: None,
                amount: rest,
                price: None,
                quantity: None,
                at,
            }),
            (None, _) => {}
        }
        out
    }
}
