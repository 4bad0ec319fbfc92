//! Which standard code an institution's own code probably means. Pure.

use catalog::CodeTable;
use standards::width::fold_char;

use super::index::SearchIndex;

/// A standard code for a local one.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// The standard code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Why, for the engineer.
    pub basis: String,
}

/// What other institutions chose for the same name or code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The standard code.
    pub code: String,
    /// How many institutions.
    pub institutions: i64,
    /// Whether for the same name (else: for the same code without one).
    pub by_name: bool,
}

/// Candidates that are looked at closely.
const CANDIDATES: usize = 40;

/// The best suggestions for a local code, best first. The table's names, other names, the shape of the code, and what
/// others chose are evidence; opposite words (左、右, 急性、慢性) and different numbers speak against a likeness.
pub fn suggest(
    index: &SearchIndex,
    (local_code, local_name): (&str, &str),
    chosen: &[Chosen],
    most: usize,
) -> Vec<Suggestion> {
    let table = index.table();
    // For each code the best evidence of each kind: others' choice, the code itself, the name.
    let mut evidence: Vec<(u32, Kinds)> = Vec::new();
    let mut add = |at: u32, kind: usize, score: f32, basis: String| {
        let place = match evidence.iter().position(|(own, _)| *own == at) {
            Some(place) => place,
            None => {
                evidence.push((at, [None, None, None]));
                evidence.len() - 1
            }
        };
        let best = &mut evidence[place].1[kind];
        if best.as_ref().is_none_or(|(own, _)| *own < score) {
            *best = Some((score, basis));
        }
    };
    let name = plain(local_name);
    for choice in chosen {
        let Some(at) = table.position(&choice.code) else { continue };
        let base = if choice.by_name { 0.93 } else { 0.80 };
        let score = (base + 0.02 * choice.institutions.min(3) as f32).min(0.99);
        add(at, OTHERS, score, format!("{} 家机构同样对照", choice.institutions));
    }
    if let Some(at) = same_code(table, local_code) {
        let like =
            if name.is_empty() { 0.6 } else { likeness(&name, &plain(&table.codes[at as usize].name)) };
        add(at, CODE, (0.55 + 0.43 * like).min(0.98), "编码写法不同，代码相同".to_owned());
    }
    if !name.is_empty() {
        for (at, alias, _) in index.alike(local_name, CANDIDATES) {
            let own = match alias {
                Some(alias) => &table.aliases[alias as usize].1,
                None => &table.codes[at as usize].name,
            };
            let like = likeness(&name, &plain(own));
            let (score, basis) = match (like >= 0.9995, alias) {
                (true, None) => (0.99, "名称相同".to_owned()),
                (true, Some(_)) => (0.97, format!("别名相同：{own}")),
                (false, None) => (like * 0.95, format!("名称相似 {:.0}%", like * 100.0)),
                (false, Some(_)) => (like * 0.93, format!("与别名“{own}”相似 {:.0}%", like * 100.0)),
            };
            if score >= 0.35 {
                add(at, NAME, score, basis);
            }
        }
    }
    let mut found: Vec<(u32, f32, String)> =
        evidence.into_iter().map(|(at, kinds)| joined(at, kinds)).collect();
    for (at, score, _) in &mut found {
        // A retired code is hardly ever meant, and the unspecified code before its extensions.
        if table.retired.contains_key(at) {
            *score *= 0.5;
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found
        .into_iter()
        .take(most)
        .map(|(at, score, basis)| {
            let code = &table.codes[at as usize];
            Suggestion { code: code.code.to_string(), name: code.name.to_string(), score, basis }
        })
        .collect()
}

/// Score and reason for each kind of evidence.
type Kinds = [Option<(f32, String)>; 3];

const OTHERS: usize = 0;
const CODE: usize = 1;
const NAME: usize = 2;

/// Evidence of several kinds makes surer than each of them.
fn joined(at: u32, kinds: Kinds) -> (u32, f32, String) {
    let (mut doubt, mut words) = (1.0f32, Vec::new());
    for (score, basis) in kinds.into_iter().flatten() {
        doubt *= 1.0 - score;
        words.push(basis);
    }
    (at, (1.0 - doubt).min(0.995), words.join("；"))
}

/// The code of the table that is the same but for case, points, full width and fillers: `i10`, `I10X00`, `I2140`.
fn same_code(table: &CodeTable, local: &str) -> Option<u32> {
    let folded: String = local.chars().map(fold_char).filter(|c| !c.is_whitespace()).collect();
    let upper = folded.to_uppercase().replace('X', "x");
    let mut tries = vec![upper.clone()];
    if matches!(table.hierarchy, catalog::Hierarchy::Icd10 | catalog::Hierarchy::Icd9) {
        let digits = if table.hierarchy == catalog::Hierarchy::Icd10 { 3 } else { 2 };
        if !upper.contains('.') && upper.len() > digits && upper.is_char_boundary(digits) {
            let (head, tail) = upper.split_at(digits);
            tries.push(format!("{head}.{tail}"));
        }
        for base in tries.clone() {
            tries.push(format!("{base}00"));
            tries.push(format!("{base}0"));
            tries.push(format!("{base}.x00"));
            // An extension of their own: the code that it extends.
            if let Some((stem, _)) = base.rsplit_once('x').filter(|(stem, _)| stem.len() > digits + 1) {
                tries.push(stem.to_owned());
            }
        }
    }
    tries.iter().find_map(|code| table.position(code))
}

/// A name without what writes differently and means the same: width, case, punctuation, Roman figures.
pub fn plain(name: &str) -> Vec<char> {
    let mut plain: Vec<char> = name
        .chars()
        .map(fold_char)
        .map(|c| match c {
            'Ⅰ' => '1',
            'Ⅱ' => '2',
            'Ⅲ' => '3',
            'Ⅳ' => '4',
            'Ⅴ' => '5',
            '症' => '证',
            other => other,
        })
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    // `II型` written with letters.
    for (figure, number) in
        [(&['i', 'i', 'i'][..], '3'), (&['i', 'v'], '4'), (&['i', 'i'], '2'), (&['i'], '1')]
    {
        let kind = |c: Option<&char>| matches!(c, Some('型' | '级' | '度' | '期'));
        let at = plain.windows(figure.len()).position(|w| w == figure);
        if let Some(at) = at.filter(|at| kind(plain.get(at + figure.len()))) {
            plain.splice(at..at + figure.len(), [number]);
        }
    }
    plain
}

/// Words that turn a name into another illness.
const OPPOSITES: &[(&str, &str)] = &[
    ("左", "右"),
    ("急", "慢"),
    ("上", "下"),
    ("内", "外"),
    ("前", "后"),
    ("良", "恶"),
    ("男", "女"),
    ("单", "双"),
    ("原发", "继发"),
    ("先天", "后天"),
    ("开放", "闭合"),
    ("甲", "乙"),
    ("乙", "丙"),
    ("高", "低"),
    ("不伴", "伴"),
];

/// How like two plain names are, 0 to 1: pairs of neighbouring characters, order (Jaro–Winkler) and characters.
pub fn likeness(a: &[char], b: &[char]) -> f32 {
    if a == b {
        return 1.0;
    }
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (text_a, text_b): (String, String) = (a.iter().collect(), b.iter().collect());
    let pairs = dice(a.windows(2), b.windows(2), (a.len() - 1) + (b.len() - 1));
    let single = dice(a.windows(1), b.windows(1), a.len() + b.len());
    let order = strsim::jaro_winkler(&text_a, &text_b) as f32;
    let mut like = (0.45 * pairs + 0.3 * order + 0.25 * single).min(0.999);
    let opposed = OPPOSITES.iter().any(|(x, y)| {
        let (ax, ay, bx, by) =
            (text_a.contains(x), text_a.contains(y), text_b.contains(x), text_b.contains(y));
        (ax && !ay && by && !bx) || (ay && !ax && bx && !by)
    });
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (da, db) = (digits(&text_a), digits(&text_b));
    if opposed || (!da.is_empty() && !db.is_empty() && da != db) {
        like *= 0.55;
    }
    like
}

/// Dice's coefficient over pieces, each counted as often as it comes.
fn dice<'a>(a: impl Iterator<Item = &'a [char]>, b: impl Iterator<Item = &'a [char]>, total: usize) -> f32 {
    if total == 0 {
        return 0.0;
    }
    let mut rest: Vec<&[char]> = b.collect();
    let mut shared = 0;
    for piece in a {
        if let Some(at) = rest.iter().position(|other| *other == piece) {
            rest.swap_remove(at);
            shared += 1;
        }
    }
    2.0 * shared as f32 / total as f32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use catalog::{Code, Hierarchy};

    fn index() -> SearchIndex {
        let codes = [
            ("I10.x00", "特发性（原发性）高血压"),
            ("E11.900", "2型糖尿病"),
            ("E10.900", "1型糖尿病"),
            ("J20.900", "急性支气管炎"),
            ("J42.x00", "慢性支气管炎"),
            ("S82.100", "左侧胫骨上端骨折"),
            ("S82.101", "右侧胫骨上端骨折"),
            ("K29.500", "慢性胃炎"),
            ("I21.400", "急性心内膜下心肌梗死"),
        ];
        let mut table = CodeTable {
            hierarchy: Hierarchy::Icd10,
            codes: codes.iter().map(|(c, n)| Code { code: (*c).into(), name: (*n).into() }).collect(),
            aliases: vec![(0, "高血压病".into())],
            ..CodeTable::default()
        };
        table.index();
        SearchIndex::new(Arc::new(table))
    }

    #[test]
    fn what_is_suggested_for_a_local_code() {
        let index = index();
        for (code, name, expected, at_least) in [
            ("H001", "高血压病", "I10.x00", 0.97),
            ("H002", "Ⅱ型糖尿病", "E11.900", 0.98),
            ("H003", "Ｉ型糖尿病", "E10.900", 0.5),
            ("H004", "慢性支气管炎急性发作", "J42.x00", 0.6),
            ("H005", "右胫骨上端骨折", "S82.101", 0.6),
            ("i10", "高血压", "I10.x00", 0.6),
            ("I2140", "心内膜下心梗", "I21.400", 0.6),
            ("K295", "", "K29.500", 0.7),
            ("K29.500x901", "慢性胃炎（本院）", "K29.500", 0.8),
        ] {
            let first = suggest(&index, (code, name), &[], 3).into_iter().next();
            let found = first.as_ref().map(|s| (s.code.as_str(), s.score >= at_least));
            assert_eq!(found, Some((expected, true)), "{code} {name}: {first:?}");
        }
        assert!(suggest(&index, ("X9", "完全无关词语"), &[], 3).is_empty());
    }

    #[test]
    fn what_others_chose_outweighs_a_likeness() {
        let chosen = [Chosen { code: "J20.900".into(), institutions: 3, by_name: true }];
        let first = suggest(&index(), ("Z1", "慢性支气管炎伴急性发作"), &chosen, 1);
        assert_eq!(first[0].code, "J20.900");
        assert!(first[0].basis.starts_with("3 家机构同样对照"), "{first:?}");
    }

    #[test]
    fn opposites_and_other_numbers_are_not_alike() {
        for (a, b) in [("左侧股骨骨折", "右侧股骨骨折"), ("1型糖尿病", "2型糖尿病"), ("急性胃炎", "慢性胃炎")]
        {
            assert!(likeness(&plain(a), &plain(b)) < 0.55, "{a} {b}");
        }
        assert!(likeness(&plain("慢性胃炎"), &plain("慢性 胃炎")) > 0.99);
    }
}
