//! The words of the review desk: kinds, states, fields and levels of the comparison model.

use chrono::{DateTime, Utc};
use web::ui::Tone;

/// Kinds of task: code, name, what it means.
pub(super) const KINDS: [(&str, &str, &str); 7] = [
    ("similar", "信息相近", "两处登记的信息相近，还不足以自动关联"),
    ("number", "证件号码有疑", "证件号码与持有人或登记的性别、出生日期不符"),
    ("two_numbers", "两个证件号码", "信息几乎相同，但登记了两个不同的有效证件号码"),
    ("newborn", "新生儿", "新生儿的临时登记可能与后来的本人登记是同一人"),
    ("unknown", "身份不明者", "身份不明患者的临时登记可能与某人是同一人"),
    ("suspect", "可疑人员", "夜间检查认为这些登记可能不是同一人"),
    ("run", "批量关联", "批量重新关联时提出"),
];

/// The name of a kind of task.
pub(super) fn kind(code: &str) -> &'static str {
    KINDS.iter().find(|k| k.0 == code).map_or("其他", |k| k.1)
}

/// Why a task of this kind stands in the queue.
pub(super) fn why(code: &str) -> &'static str {
    KINDS.iter().find(|k| k.0 == code).map_or("", |k| k.2)
}

/// States of a task that are shown: code and name.
pub(super) const STATES: [(&str, &str); 4] =
    [("open", "待核对"), ("second", "待复核"), ("asked", "待机构答复"), ("done", "已处理")];

/// Tone and name of a task's state and outcome.
pub(super) fn state(state: &str, outcome: &str) -> (Tone, &'static str) {
    match (state, outcome) {
        ("open", _) => (Tone::Warn, "待核对"),
        ("second", _) => (Tone::Warn, "待复核"),
        ("asked", _) => (Tone::Info, "待机构答复"),
        ("done", "same") => (Tone::Good, "是同一人"),
        ("done", "apart") => (Tone::Neutral, "不是同一人"),
        ("closed", _) => (Tone::Neutral, "已自动归并"),
        _ => (Tone::Neutral, "已处理"),
    }
}

/// An outcome as a phrase.
pub(super) fn outcome(code: &str) -> &'static str {
    match code {
        "same" => "是同一人",
        "apart" => "不是同一人",
        "gone" => "两边已归为一人",
        _ => "",
    }
}

/// Priorities: code, name, tone.
pub(super) const PRIORITIES: [(i16, &str, Tone); 5] = [
    (1, "特急", Tone::Bad),
    (2, "紧急", Tone::Warn),
    (3, "一般", Tone::Neutral),
    (4, "较低", Tone::Neutral),
    (5, "低", Tone::Neutral),
];

/// Name and tone of a priority.
pub(super) fn priority(number: i16) -> (Tone, &'static str) {
    PRIORITIES.iter().find(|p| p.0 == number).map_or((Tone::Neutral, "一般"), |p| (p.2, p.1))
}

/// The Chinese name of a field of the comparison model.
pub(super) fn field(code: &str) -> &str {
    match code {
        "" => "多项相同的折减",
        "name" => "姓名",
        "sex" => "性别",
        "birth_date" => "出生日期",
        "citizen_id" => "公民身份号码",
        "credential_no" => "其他证件号",
        "phone" => "本人电话",
        "contact_phone" => "联系人电话",
        "address" => "住址",
        "region" => "居住区划",
        "card_no" => "卡号",
        "ethnicity" => "民族",
        "guardian" => "联系人姓名",
        "institution" => "登记机构",
        // Of models before china-3.
        "name_phone" => "姓名与电话",
        "birth_surname_county" => "生日、姓与县区",
        "phone_birth" => "电话与生日",
        other => other,
    }
}

/// How two values agree, in the words of whoever compares them.
pub(super) fn level(code: &str) -> &str {
    match code {
        "exact" => "相同",
        "variant" => "异体、繁简",
        "homophone" => "同音",
        "shape" => "形近",
        "accent" => "方音相近",
        "near" => "差一处",
        "nickname" => "小名",
        "part" => "一方是另一方的一部分",
        "given" => "名相同",
        "surname" => "姓相同",
        "kin" => "同姓且名有一字相同（如同辈）",
        "swapped" => "姓名颠倒",
        "transposed" => "前后颠倒",
        "digit" => "错一位",
        "default" => "一方是默认值",
        "lunar" => "疑为农历",
        "year" => "同年",
        "near_year" => "年份相近",
        "tail" => "尾号相同",
        "close" => "相近",
        "loose" => "略相近",
        "same_invalid" => "同一个无效号码",
        "two_valid" => "两个不同的有效号码",
        "household" => "一家人常共有",
        "township" => "同乡镇",
        "county" => "同县区",
        "prefecture" => "同市",
        "different" => "不同",
        "missing" | "" => "",
        other => other,
    }
}

/// Kinds of entries of the identity time line.
pub(super) fn event(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "registered" => ("user-plus", "登记"),
        "linked" => ("link", "关联"),
        "updated" => ("edit", "更正登记"),
        "number" => ("id-badge-2", "号码归属变动"),
        "withdrawn" => ("trash", "撤回登记"),
        "moved" => ("switch-horizontal", "改归他人"),
        "special" => ("id-badge-2", "特殊登记"),
        "identified" => ("user-check", "补登证件"),
        "died" => ("ribbon-health", "登记死亡"),
        "revived" => ("arrow-back-up", "撤销死亡登记"),
        _ => ("history", "变动"),
    }
}

/// Why a record stands where it does.
pub(super) fn rule(code: &str) -> &str {
    match code {
        "citizen_id" => "公民身份号码相同",
        "local_no" => "同一机构的同一编号",
        "new" => "没有可关联的人，建立新的一人",
        "citizen_id_conflict" => "证件号码与持有人不符，未关联，待核对",
        "manual" => "人工处理",
        "model" | "score" | "matched" => "比对模型判断为同一人",
        other => other,
    }
}

/// Kinds of suspicion: code, name, what it means.
pub(super) const SUSPICIONS: [(&str, &str, &str); 7] = [
    ("two_deaths", "两次死亡", "不同登记的死亡日期不同，可能把两个人并成了一人"),
    ("two_sexes", "性别矛盾", "各登记的性别不同"),
    ("two_births", "出生日期矛盾", "各登记的出生日期相差较大"),
    ("birth_after_death", "死后出生", "出生日期晚于死亡日期"),
    ("after_death", "死后就诊", "死亡日期之后仍有诊疗记录"),
    ("two_places", "同时住院两地", "同一夜在两个城市住院，可能是两个人，或有人借用了证件"),
    ("many_records", "登记过多", "名下登记条数超过设定值"),
];

/// Name and meaning of a suspicion.
pub(super) fn suspicion(code: &str) -> (&'static str, &'static str) {
    SUSPICIONS.iter().find(|s| s.0 == code).map_or(("其他", ""), |s| (s.1, s.2))
}

/// The Chinese name of a blocking rule of the comparison model.
pub(super) fn block(code: &str) -> &str {
    match code {
        "citizen_id" => "公民身份号码",
        "card" => "卡号",
        "credential" => "其他证件号",
        "name_birth" => "姓名与生日",
        "name_door" => "姓名与门牌",
        "name_year_county" => "姓名、出生年与县区",
        "name_day_county" => "姓名、月日与县区",
        "name_township" => "姓名与乡镇",
        "birth_township" => "生日、性别与乡镇",
        "phone" => "电话",
        "guardian_birth" => "联系人与生日",
        other => other,
    }
}

/// Sex in a word.
pub(super) fn sex(code: &str) -> &'static str {
    match code {
        "1" => "男",
        "2" => "女",
        "9" => "未说明",
        _ => "未知",
    }
}

/// Sorts of special registration.
pub(super) fn special(code: &str) -> &'static str {
    match code {
        "newborn" => "新生儿",
        "unknown" => "身份不明者",
        "foreigner" => "境外人员",
        "undocumented" => "无证件者",
        _ => "",
    }
}

/// An instant in China, to the minute.
pub(super) fn time(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

/// How long something has waited, in a word or two.
pub(super) fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - at).num_minutes().max(0);
    match minutes {
        0..=59 => format!("{minutes} 分钟"),
        60..=1439 => format!("{} 小时", minutes / 60),
        _ => format!("{} 天", minutes / 1440),
    }
}
