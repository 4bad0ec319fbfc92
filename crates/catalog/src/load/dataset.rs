//! One file of `datasets/`.

use std::collections::HashMap;

use crate::codes::CodeTables;
use crate::model::{
    Dataset, EntryKind, Expectation, Field, FieldKind, Parent, PersonFields, RecordView, Sensitivity,
    TitlePart,
};
use crate::source::{At, Table};
use crate::title;

use super::{Link, rules};

/// Columns that every fact table has.
const RESERVED: &[&str] = &[
    "id",
    "institution_id",
    "identity_id",
    "occurred_at",
    "version",
    "digest",
    "batch_id",
    "row_no",
    "received_at",
];

/// Words of SQL that cannot be column names without quotes.
const SQL_WORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "default",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

const SECTIONS: &[&str] =
    &["visit", "laboratory", "examination", "medication", "public_health", "immunization", "document"];
const SUMMARIES: &[&str] = &["problem", "medicine", "allergy", "immunization", "result", "death", "none"];
/// Classes of institutions.
const SENDERS: &[&str] = &["hospital", "township", "village", "maternal_child", "cdc"];

/// Where the names of a data set stand in its file.
pub(super) struct Places {
    pub number: usize,
    pub code: usize,
    pub aliases: Vec<usize>,
}

/// The fields read so far, to find positions by name.
pub(super) struct Fields<'a> {
    pub list: &'a [Field],
}

impl Fields<'_> {
    /// The position of a named field; reports an unknown one.
    pub fn find(&self, table: &Table<'_>, name: &At<&str>) -> Option<usize> {
        let position = self.list.iter().position(|f| f.name == name.value);
        if position.is_none() {
            table.report(name.at, format!("没有名为“{}”的字段", name.value));
        }
        position
    }
    /// The field that `key` names, if it is given.
    pub fn optional(&self, table: &Table<'_>, key: &'static str) -> Option<usize> {
        table.text(key).and_then(|name| self.find(table, &name))
    }
    /// The fields that `key` lists.
    pub fn several(&self, table: &Table<'_>, key: &'static str) -> Vec<usize> {
        table.texts(key).iter().filter_map(|name| self.find(table, name)).collect()
    }
}

/// Whether a text is a plain identifier of at most `most` characters.
pub(super) fn is_identifier(text: &str, most: usize) -> bool {
    text.len() <= most
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Reads a data set; problems go to the source of `root`.
pub(super) fn read(root: Table<'_>, tables: &CodeTables) -> (Dataset, Vec<Link>, Places) {
    let number = root.whole::<i16>("number");
    match number {
        None if !root.has("number") => root.report(0, "缺少“number”（1～32767 的整数）"),
        Some(At { value, at }) if value < 1 => root.report(at, "“number”应为 1～32767 的整数"),
        _ => {}
    }
    let code = root.needed("code");
    if !code.value.is_empty() && !is_identifier(code.value, 50) {
        root.report(code.at, "“code”应为小写字母开头，只含小写字母、数字和下划线，不超过 50 个字符");
    }
    let name = root.needed("name").value.to_owned();
    let aliases = root.texts("aliases");
    let mut fields = Vec::new();
    let mut implied = Vec::new();
    let field_tables = root.tables("fields");
    if field_tables.is_empty() {
        root.report(root.at, "没有任何字段（fields）");
    }
    let mut field_at = Vec::new();
    for table in field_tables {
        field_at.push(table.at);
        let (field, extra) = read_field(table, tables);
        fields.push(field);
        implied.push(extra);
    }
    check_headings(&root, &fields, &field_at);

    let find = Fields { list: &fields };
    let key = find.several(&root, "key");
    if key.is_empty() {
        root.report(root.at, "缺少“key”（业务主键字段列表）");
    }
    let occurred_name = root.needed("occurred");
    let occurred = if occurred_name.value.is_empty() { None } else { find.find(&root, &occurred_name) };
    if let Some(field) = occurred
        && !matches!(fields[field].kind, FieldKind::Date | FieldKind::DateTime)
    {
        root.report(occurred_name.at, "“occurred”应为 date 或 datetime 字段");
    }
    let revision = find.optional(&root, "revision");
    if let Some(field) = revision
        && !matches!(fields[field].kind, FieldKind::Text { .. } | FieldKind::Code { .. } | FieldKind::Integer)
    {
        root.report(root.at, "“revision”应为 text、code 或 integer 字段");
    }
    let person = root.table("person").map(|table| read_person(table, &find));
    let mut links = Vec::new();
    let parent = root.table("parent").map(|table| {
        links.push(Link::Parent { at: table.at });
        let dataset = table.needed("dataset").value.to_owned();
        let fields = find.several(&table, "fields");
        table.finish();
        Parent { dataset, fields }
    });
    let record = root.table("record").map(|table| read_record(table, &find));
    let expect = read_expectation(root.table("expect"));
    if record.is_some() && person.is_none() {
        root.report(root.at, "有 [record] 就必须有 [person]：记录要知道属于谁");
    }

    for (what, position) in key
        .iter()
        .map(|k| ("业务主键", *k))
        .chain(occurred.map(|o| ("发生时间", o)))
        .chain(person.as_ref().map(|p| ("患者编号", p.local_no)))
    {
        let field = fields.get(position);
        if let Some(field) = field.filter(|f| !f.required) {
            root.report(field_at[position], format!("字段“{}”是{what}，必须写 required = true", field.name));
        }
        if let Some(field) = field.filter(|f| {
            what == "业务主键" && matches!(f.kind, FieldKind::Decimal { .. } | FieldKind::Boolean)
        }) {
            root.report(field_at[position], format!("字段“{}”的类型不能作业务主键", field.name));
        }
    }

    let mut dataset = Dataset {
        number: number.map_or(0, |n| n.value),
        code: code.value.to_owned(),
        name,
        aliases: aliases.iter().map(|a| a.value.to_owned()).collect(),
        standard: root.string("standard"),
        group: root.string("group"),
        description: root.string("description"),
        fields: Vec::new(),
        key,
        occurred: occurred.unwrap_or(0),
        person,
        revision,
        parent,
        rules: Vec::new(),
        record,
        expect,
        probe: crate::probe::Probe::default(),
    };
    let rule_tables = root.tables("rules");
    dataset.rules = rules::read(&root, rule_tables, &dataset, &fields, &implied, tables, &mut links);
    protect(&root, &dataset, &mut fields, &implied, &field_at);
    dataset.fields = fields;
    let places = Places {
        number: number.map_or(0, |n| n.at),
        code: code.at,
        aliases: aliases.iter().map(|a| a.at).collect(),
    };
    root.finish();
    (dataset, links, places)
}

/// What a field says beside itself: the limits of its implied range rule, and whether it says itself if it is encrypted.
#[derive(Default)]
pub(super) struct Implied {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub protect: Option<bool>,
}

/// Which fields are encrypted where they are stored. Names, keys and what lists show stay plain: they are searched,
/// joined and listed by.
fn protect(root: &Table<'_>, dataset: &Dataset, fields: &mut [Field], implied: &[Implied], at: &[usize]) {
    let mut plain: HashMap<usize, &str> = HashMap::new();
    for position in &dataset.key {
        plain.insert(*position, "业务主键");
    }
    plain.extend(dataset.revision.map(|f| (f, "修改标志")));
    plain.extend(dataset.parent.iter().flat_map(|p| &p.fields).map(|f| (*f, "上级数据的键")));
    if let Some(person) = &dataset.person {
        plain.insert(person.local_no, "患者编号");
        plain.extend([person.name, person.sex].into_iter().flatten().map(|f| (f, "姓名或性别")));
    }
    let mut listed: Vec<usize> = Vec::new();
    if let Some(view) = &dataset.record {
        listed.extend(view.department.iter().chain(&view.disease));
        listed.extend(view.title.iter().chain(&view.detail).filter_map(|part| match part {
            TitlePart::Field(position) => Some(*position),
            TitlePart::Text(_) => None,
        }));
    }
    for (position, field) in fields.iter_mut().enumerate() {
        let text = matches!(field.kind, FieldKind::Text { .. });
        let wanted = implied[position].protect;
        if wanted == Some(true) && !text {
            root.report(at[position], format!("字段“{}”不是 text，不能 protect", field.name));
        }
        if let Some(what) = plain.get(&position).filter(|_| wanted == Some(true)) {
            root.report(at[position], format!("字段“{}”是{what}，要按它查找，不能 protect", field.name));
        }
        field.protect = text
            && wanted.unwrap_or(field.sensitivity != Sensitivity::Ordinary)
            && !plain.contains_key(&position);
        if field.protect && listed.contains(&position) {
            root.report(
                at[position],
                format!(
                    "字段“{}”加密存放，不能用在 [record] 的标题、摘要、科室或疾病中（或写 protect = false）",
                    field.name
                ),
            );
        }
    }
}

pub(super) fn read_field(table: Table<'_>, tables: &CodeTables) -> (Field, Implied) {
    let name = table.needed("name");
    if !name.value.is_empty() && !is_identifier(name.value, 50) {
        table.report(
            name.at,
            format!("字段名“{}”应为小写字母开头，只含小写字母、数字和下划线，不超过 50 个字符", name.value),
        );
    }
    if RESERVED.contains(&name.value) {
        table.report(name.at, format!("字段名“{}”是系统列名，请换一个", name.value));
    }
    if SQL_WORDS.contains(&name.value) {
        table.report(name.at, format!("字段名“{}”是 SQL 保留字，请换一个", name.value));
    }
    let title = table.needed("title").value.to_owned();
    let kind_name = table.needed("type");
    let max = table.whole::<u32>("max");
    if let Some(At { at, .. }) = max.filter(|m| !(1..=100_000_000).contains(&m.value)) {
        table.report(at, "“max”应在 1 和 100000000 之间");
    }
    let code_table = table.text("table");
    let scale = table.whole::<u32>("scale");
    let (min, max_value) = (table.number("min"), table.number("max_value"));
    let limits_at = table.at;
    let mut used = (false, false, false, false);
    let kind = match kind_name.value {
        "text" => {
            used.0 = true;
            if max.is_none() {
                table.report(table.at, format!("text 字段“{}”缺少“max”（最大字符数）", name.value));
            }
            FieldKind::Text { max: max.map_or(1, |m| m.value) }
        }
        "code" => {
            (used.0, used.1) = (true, true);
            match code_table {
                None => table.report(table.at, format!("code 字段“{}”缺少“table”（代码表）", name.value)),
                Some(id) if tables.get(id.value).is_none() => {
                    table.report(id.at, format!("没有代码表“{}”（codes/{}.tsv）", id.value, id.value));
                }
                _ => {}
            }
            FieldKind::Code {
                table: code_table.map(|t| t.value.to_owned()).unwrap_or_default(),
                max: max.map_or(50, |m| m.value),
            }
        }
        "integer" => {
            used.3 = true;
            FieldKind::Integer
        }
        "decimal" => {
            (used.2, used.3) = (true, true);
            match scale {
                None => {
                    table.report(table.at, format!("decimal 字段“{}”缺少“scale”（小数位数）", name.value))
                }
                Some(At { value, at }) if value > 8 => table.report(at, "“scale”最多为 8"),
                _ => {}
            }
            FieldKind::Decimal { scale: scale.map_or(0, |s| s.value.min(8)) }
        }
        "date" => FieldKind::Date,
        "datetime" => FieldKind::DateTime,
        "boolean" => FieldKind::Boolean,
        other => {
            if !other.is_empty() {
                table.report(
                    kind_name.at,
                    format!(
                        "不认识的类型“{other}”：应为 text code integer decimal date datetime boolean 之一"
                    ),
                );
            }
            used = (true, true, true, true);
            FieldKind::Text { max: u32::MAX }
        }
    };
    for (given, fits, key) in [
        (max.is_some(), used.0, "max"),
        (code_table.is_some(), used.1, "table"),
        (scale.is_some(), used.2, "scale"),
        (min.is_some(), used.3, "min"),
        (max_value.is_some(), used.3, "max_value"),
    ] {
        if given && !fits {
            let hint = if key == "max" && used.3 { "（数值上限写 max_value）" } else { "" };
            table.report(limits_at, format!("{} 字段不能有“{key}”{hint}", kind_name.value));
        }
    }
    if min.zip(max_value).is_some_and(|(least, greatest)| least > greatest) {
        table.report(limits_at, "“min”大于“max_value”");
    }
    let required = table.flag("required").unwrap_or(false);
    let recommended = table.flag("recommended").unwrap_or(false);
    let sensitivity = table.text("sensitivity").map_or(Sensitivity::Ordinary, |text| match text.value {
        "ordinary" => Sensitivity::Ordinary,
        "identifying" => Sensitivity::Identifying,
        "restricted" => Sensitivity::Restricted,
        other => {
            table.report(
                text.at,
                format!("不认识的 sensitivity“{other}”：应为 ordinary identifying restricted 之一"),
            );
            Sensitivity::Ordinary
        }
    });
    let protect = table.flag("protect");
    let field = Field {
        name: name.value.to_owned(),
        title,
        element: table.string("element"),
        kind,
        required,
        recommended: recommended && !required,
        unit: table.string("unit"),
        aliases: table.texts("aliases").iter().map(|a| a.value.to_owned()).collect(),
        sensitivity,
        protect: false,
    };
    table.finish();
    (field, Implied { min, max: max_value, protect })
}

/// Names, titles and aliases must lead to one field each.
pub(super) fn check_headings(root: &Table<'_>, fields: &[Field], at: &[usize]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (position, field) in fields.iter().enumerate() {
        let mut own: Vec<String> = vec![field.name.to_lowercase(), field.title.to_lowercase()];
        own.extend(field.aliases.iter().map(|a| a.to_lowercase()));
        own.sort();
        own.dedup();
        for heading in own.into_iter().filter(|h| !h.is_empty()) {
            if let Some(other) = seen.insert(heading.clone(), position) {
                root.report(
                    at[position],
                    format!("“{heading}”已是字段“{}”的名称、标题或别名", fields[other].name),
                );
            }
        }
    }
}

fn read_person(table: Table<'_>, find: &Fields<'_>) -> PersonFields {
    let local_no = table.needed("local_no");
    let local_no = if local_no.value.is_empty() { None } else { find.find(&table, &local_no) };
    let optional = |key| find.optional(&table, key);
    let person = PersonFields {
        local_no: local_no.unwrap_or(0),
        name: optional("name"),
        sex: optional("sex"),
        birth_date: optional("birth_date"),
        credential_kind: optional("credential_kind"),
        credential_no: optional("credential_no"),
        card_no: optional("card_no"),
        phone: optional("phone"),
        address: optional("address"),
        region: optional("region"),
        blood_abo: optional("blood_abo"),
        blood_rh: optional("blood_rh"),
        ethnicity: optional("ethnicity"),
        contact_name: optional("contact_name"),
        contact_relation: optional("contact_relation"),
        contact_phone: optional("contact_phone"),
        died_on: optional("died_on"),
        registration: table.flag("registration").unwrap_or(false),
    };
    for (key, position, fits) in [
        ("birth_date", person.birth_date, true),
        ("died_on", person.died_on, true),
        ("name", person.name, false),
        ("sex", person.sex, false),
        ("credential_kind", person.credential_kind, false),
        ("credential_no", person.credential_no, false),
    ] {
        let Some(field) = position.and_then(|p| find.list.get(p)) else { continue };
        let is_date = matches!(field.kind, FieldKind::Date | FieldKind::DateTime);
        let is_text = matches!(field.kind, FieldKind::Text { .. } | FieldKind::Code { .. });
        if (fits && !is_date) || (!fits && !is_text) {
            table.report(table.at, format!("[person] 的“{key}”不能是字段“{}”的类型", field.name));
        }
    }
    table.finish();
    person
}

fn read_record(table: Table<'_>, find: &Fields<'_>) -> RecordView {
    let one_of = |key: &'static str, allowed: &[&str], default: Option<&str>| {
        let text = match default {
            Some(default) => table.text(key).unwrap_or(At { value: default, at: table.at }),
            None => table.needed(key),
        };
        if !text.value.is_empty() && !allowed.contains(&text.value) {
            table.report(text.at, format!("“{key}”不能是“{}”：应为 {} 之一", text.value, allowed.join(" ")));
        }
        text.value.to_owned()
    };
    let section = one_of("section", SECTIONS, None);
    let entry = match one_of("entry", &["timeline", "summary", "part"], Some("timeline")).as_str() {
        "summary" => EntryKind::Summary,
        "part" => EntryKind::Part,
        _ => EntryKind::Timeline,
    };
    let summary = one_of("summary", SUMMARIES, Some("none"));
    let abnormal = table.table("abnormal").and_then(|abnormal| {
        let field = abnormal.needed("field");
        let position = find.find(&abnormal, &field);
        let codes: Vec<String> = abnormal.texts("codes").iter().map(|c| c.value.to_owned()).collect();
        if codes.is_empty() {
            abnormal.report(abnormal.at, "“codes”不能为空");
        }
        abnormal.finish();
        Some((position?, codes))
    });
    let title = read_template(&table, find, "title");
    if title.is_empty() && entry == EntryKind::Timeline {
        table.report(table.at, "时间轴条目（entry = \"timeline\"）必须有 title");
    }
    let view = RecordView {
        section,
        icon: table.string("icon"),
        label: table.needed("label").value.to_owned(),
        entry,
        title,
        detail: read_template(&table, find, "detail"),
        department: find.optional(&table, "department"),
        cared_by: find.optional(&table, "cared_by"),
        disease: find.optional(&table, "disease"),
        abnormal,
        summary,
        columns: find.several(&table, "columns"),
    };
    table.finish();
    view
}

pub(super) fn read_template(table: &Table<'_>, find: &Fields<'_>, key: &'static str) -> Vec<TitlePart> {
    let Some(text) = table.text(key) else { return Vec::new() };
    let (parts, unknown) = title::parse(text.value, |name| find.list.iter().position(|f| f.name == name));
    for name in unknown {
        table.report(text.at, format!("“{key}”中的“{name}”不是字段，或花括号不成对"));
    }
    for part in &parts {
        if let TitlePart::Field(position) = part
            && find.list[*position].sensitivity == Sensitivity::Restricted
        {
            let name = &find.list[*position].name;
            table.report(text.at, format!("“{key}”不能含受限字段“{name}”：列表页会显示给所有人"));
        }
    }
    parts
}

fn read_expectation(table: Option<Table<'_>>) -> Expectation {
    let Some(table) = table else { return Expectation { daily: false, senders: Vec::new() } };
    let daily = table.flag("daily").unwrap_or(false);
    let senders = table.texts("senders");
    for sender in senders.iter().filter(|s| !SENDERS.contains(&s.value)) {
        table.report(
            sender.at,
            format!("不认识的机构类别“{}”：应为 {} 之一", sender.value, SENDERS.join(" ")),
        );
    }
    table.finish();
    Expectation { daily, senders: senders.iter().map(|s| s.value.to_owned()).collect() }
}
