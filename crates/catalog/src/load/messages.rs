//! What a breach means and how to mend it, in Chinese, where a definition does not say.

use crate::codes::CodeTables;
use crate::model::{Check, Dataset, Field, FieldKind, Pattern};

/// A number without a superfluous fraction.
fn plain(number: f64) -> String {
    format!("{number}")
}

fn titles(fields: &[Field], positions: &[usize]) -> String {
    positions
        .iter()
        .filter_map(|p| fields.get(*p))
        .map(|f| format!("“{}”", f.title))
        .collect::<Vec<_>>()
        .join("、")
}

/// Message and hint of a rule.
pub(super) fn of(
    check: &Check,
    field: Option<usize>,
    dataset: &Dataset,
    fields: &[Field],
    tables: &CodeTables,
) -> (String, String) {
    let own = field.and_then(|f| fields.get(f));
    let title = own.map_or("", |f| f.title.as_str());
    let named = |position: usize| fields.get(position).map_or("", |f| f.title.as_str());
    match check {
        Check::Required => {
            (format!("“{title}”为空"), format!("请补填“{title}”；确实没有时请与数据管理部门确认填报口径"))
        }
        Check::Type => match own.map(|f| &f.kind) {
            _ if field.is_some() && field == dataset.revision => {
                (format!("“{title}”无法识别"), "修改标志应为 0（新增）、1（修改）或 2（撤销）".to_owned())
            }
            Some(FieldKind::Integer) => {
                (format!("“{title}”不是整数"), "请只填整数，不要带单位或文字，如 120".to_owned())
            }
            Some(FieldKind::Decimal { scale }) => (
                format!("“{title}”不是数值"),
                format!("请只填数字，不要带单位或文字，保留 {scale} 位小数，如 12.5"),
            ),
            Some(FieldKind::Date) => {
                (format!("“{title}”不是有效日期"), "请写成 2025-03-04 或 20250304".to_owned())
            }
            Some(FieldKind::DateTime) => (
                format!("“{title}”不是有效的日期时间"),
                "请写成 2025-03-04 14:05:06 或 20250304T140506".to_owned(),
            ),
            Some(FieldKind::Boolean) => (format!("“{title}”不是是/否"), "请填 1 或 0（是 / 否）".to_owned()),
            _ => (format!("“{title}”无法读取"), "请检查内容是否含有特殊字符".to_owned()),
        },
        Check::Length(max) => {
            (format!("“{title}”超过 {max} 个字符"), format!("请缩短到 {max} 个字符以内，并检查是否有列错位"))
        }
        Check::InTable => {
            let table = match own.map(|f| &f.kind) {
                Some(FieldKind::Code { table, .. }) => tables.get(table),
                _ => None,
            };
            let name = table.map_or("", |t| t.name.as_str());
            let standard = table.map(|t| t.standard.as_str()).filter(|s| !s.is_empty());
            let source = standard.map_or_else(String::new, |s| format!("（{s}）"));
            let shown: Vec<String> = table
                .filter(|t| t.codes.len() <= 8)
                .map(|t| t.codes.iter().map(|c| format!("{} {}", c.code, c.name)).collect())
                .unwrap_or_default();
            let choices = if shown.is_empty() { String::new() } else { format!("：{}", shown.join("，")) };
            (
                format!("“{title}”的代码不在“{name}”代码表中"),
                format!("请使用“{name}”{source}的代码或名称{choices}"),
            )
        }
        Check::Range { min, max } => {
            let unit = own.map_or("", |f| f.unit.as_str());
            let limits = match (min, max) {
                (Some(least), Some(greatest)) => {
                    format!("应在 {} 到 {}{unit} 之间", plain(*least), plain(*greatest))
                }
                (Some(least), None) => format!("应不小于 {}{unit}", plain(*least)),
                (None, Some(greatest)) => format!("应不大于 {}{unit}", plain(*greatest)),
                (None, None) => "应在合理范围内".to_owned(),
            };
            (format!("“{title}”{limits}"), "请核对数值和单位；单位不同时请换算后上传".to_owned())
        }
        Check::Format(pattern) => {
            let (what, hint) = match pattern {
                Pattern::Phone => ("电话号码", "请填 11 位手机号，或带区号的固定电话，如 0376-6366666"),
                Pattern::CreditCode => {
                    ("统一社会信用代码", "应为 18 位，末位为校验码，字母不含 I、O、S、V、Z")
                }
                Pattern::Icd10 => ("ICD-10 编码", "请填编码而不是名称，如 I10.x00"),
                Pattern::Icd9Procedure => ("ICD-9-CM-3 手术操作编码", "请填编码而不是名称，如 47.0100"),
                Pattern::Digits => ("数字串", "请只填 0～9 的数字"),
                Pattern::PersonName => ("人员姓名", "请填真实姓名，不要填“不详”“测试”等占位文字或数字"),
                Pattern::Region => ("行政区划代码", "应为 6、9 或 12 位数字的行政区划代码"),
                Pattern::InstitutionCode => (
                    "机构代码",
                    "应为 18 位统一社会信用代码（末位为校验位），没有的填 22 位卫生机构代码（WS 218）",
                ),
            };
            (format!("“{title}”不是有效的{what}"), hint.to_owned())
        }
        Check::RequiredIf { other, equals } => {
            let other = named(*other);
            let condition = if equals.is_empty() {
                format!("已填“{other}”时")
            } else {
                format!("“{other}”为 {} 时", equals.join("、"))
            };
            (format!("{condition}“{title}”不能为空"), format!("请补填“{title}”，或核对“{other}”"))
        }
        Check::AnyOf(several) => {
            let names = titles(fields, several);
            (format!("{names}至少应填一项"), format!("请补填{names}中的任意一项"))
        }
        Check::DateOrder { earlier, later } => (
            format!("“{}”晚于“{}”", named(*earlier), named(*later)),
            format!("请核对“{}”与“{}”的先后", named(*earlier), named(*later)),
        ),
        Check::NotFuture => {
            (format!("“{title}”晚于接收时间"), "请核对填写内容和业务系统服务器的时钟".to_owned())
        }
        Check::SumEquals { parts, .. } => {
            (format!("“{title}”与各分项之和不相等"), format!("请核对合计与{}", titles(fields, parts)))
        }
        Check::ProductEquals { factors, .. } => {
            let names = titles(fields, factors);
            (format!("“{title}”不等于{names}的乘积"), format!("请核对“{title}”与{names}"))
        }
        Check::CitizenId { .. } => (
            format!("“{title}”不是有效的居民身份证号"),
            "应为 18 位，出生日期有效，末位校验码正确；若是其他证件，请改正证件类型".to_owned(),
        ),
        Check::AgreesWithCitizenId { sex, birth, .. } => {
            let said: Vec<usize> = birth.iter().chain(sex).copied().collect();
            let names = titles(fields, &said);
            (
                format!("{names}与“{title}”中的身份证号不一致"),
                "请对照居民身份证核对，必要时更正登记信息".to_owned(),
            )
        }
        Check::Timely { days } => (
            format!("“{}”之后超过 {days} 天才上传", named(field.unwrap_or(dataset.occurred))),
            format!("请在业务发生后 {days} 天内上传，检查定时上传任务是否正常"),
        ),
        Check::BelongsTo => {
            let keys = dataset.parent.as_ref().map(|p| titles(fields, &p.fields)).unwrap_or_default();
            (
                "找不到所属的上级记录".to_owned(),
                format!(
                    "请核对{keys}，并确认上级数据集“{}”已上传",
                    dataset.parent.as_ref().map_or("", |p| p.dataset.as_str())
                ),
            )
        }
        Check::SumOfChildren { child, .. } => {
            (format!("“{title}”与明细（{child}）合计不相等"), "请核对合计，并确认明细已全部上传".to_owned())
        }
    }
}
