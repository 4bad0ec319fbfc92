//! Chinese words for the codes that the audit trail keeps.

/// Acts: stable code and name, in the order of the filter.
const ACTS: &[(&str, &str)] = &[
    ("record.view", "查看健康档案"),
    ("record.print", "打印健康档案"),
    ("record.event", "查看就诊明细"),
    ("record.history", "查看历史版本"),
    ("record.result", "查看检验趋势"),
    ("record.purpose", "填写使用目的"),
    ("person.search", "查找居民"),
    ("person.merge", "合并居民"),
    ("person.split", "拆分居民"),
    ("person.link", "关联登记"),
    ("person.unlink", "解除登记关联"),
    ("person.apart", "确认不是同一人"),
    ("person.disown", "标明证件号码不属本人"),
    ("person.pin", "指定最佳记录取值"),
    ("person.undo", "撤销主索引操作"),
    ("person.review", "核对疑似同一人"),
    ("person.special", "登记特殊人员"),
    ("person.special_list", "查看特殊登记"),
    ("person.special_export", "导出特殊登记"),
    ("person.special_view", "打开特殊登记"),
    ("person.identify", "补登特殊登记的证件"),
    ("person.death", "登记死亡"),
    ("person.death_view", "查看死亡登记"),
    ("person.death_withdraw", "撤销死亡登记"),
    ("person.merge_preview", "预览合并居民"),
    ("person.review_list", "查看待核对登记"),
    ("person.review_export", "导出待核对登记"),
    ("person.review_view", "查看登记对照"),
    ("person.review_decide", "打开登记对照作结论"),
    ("person.review_figures", "查看核对积压与工效"),
    ("person.reveal", "查看登记的完整号码"),
    ("person.ask", "请机构核实登记"),
    ("person.question_list", "查看登记核实请求"),
    ("person.question_view", "查看待核实的登记"),
    ("person.answer", "答复登记核实"),
    ("person.identity_view", "查看居民身份"),
    ("person.operation_list", "查看主索引处理记录"),
    ("person.operation_export", "导出主索引处理记录"),
    ("person.suspect_list", "查看可疑人员"),
    ("person.suspect_export", "导出可疑人员"),
    ("person.explain", "说明可疑人员"),
    ("person.run_view", "查看批量关联"),
    ("person.run_export", "导出模型比较的差异"),
    ("index.run", "主索引批量关联"),
    ("index.model", "主索引比对模型"),
    ("embed.open", "工作站打开档案"),
    ("fhir.search", "接口查找居民"),
    ("fhir.read", "接口读取居民"),
    ("fhir.everything", "接口读取档案"),
    ("batch.receive", "接收数据"),
    ("batch.issues", "查看问题数据"),
    ("batch.repair", "下载待改正的行"),
    ("batch.original", "下载原始文件"),
    ("quality.rows", "查看数据行"),
    ("sign_in", "登录"),
    ("sign_out", "退出"),
    ("session.revoke", "强制退出会话"),
    ("account.create", "开通账号"),
    ("account.close", "停用账号"),
    ("account.reopen", "恢复账号"),
    ("account.unlock", "解锁账号"),
    ("account.reset", "设置演示账号"),
    ("account.reset_password", "重置密码"),
    ("account.change_password", "修改密码"),
    ("client.create", "发放接入凭据"),
    ("client.close", "停用接入凭据"),
    ("setting.change", "修改设置"),
    ("page.export", "导出列表"),
    ("access.refused", "无权访问被拒"),
    ("account.export", "导出账号"),
    ("account.lock", "锁定账号"),
    ("account.confirm", "确认调动后的账号"),
    ("account.dormant", "长期未用停用"),
    ("account.reset_factors", "重置验证方式"),
    ("session.revoke_others", "退出其他会话"),
    ("step_up", "重新验证身份"),
    ("role.give", "授予角色"),
    ("role.withdraw", "收回角色"),
    ("team.create", "建立团队"),
    ("team.join", "加入团队"),
    ("team.leave", "退出团队"),
    ("team.close", "撤销团队"),
    ("policy.change", "修改页面与菜单权限"),
    ("record.reveal", "查看原文"),
    ("record.break_glass", "紧急调阅"),
    ("glass.view", "查看紧急调阅"),
    ("glass.review", "复核紧急调阅"),
    ("restriction.add", "封存档案"),
    ("restriction.lift", "解除封存"),
    ("restriction.list", "查看封存清单"),
    ("restriction.form", "查看封存表单"),
    ("codes.import", "导入代码表"),
    ("codes.validity", "修改代码表有效期"),
    ("codes.map_propose", "提出院内码对照"),
    ("sso.authorize", "单点登录授权"),
    ("sso.token", "发放访问令牌"),
    ("sso.revoke", "撤销令牌"),
    ("sso.launch", "打开应用"),
    ("sso.end", "结束应用授权"),
    ("sso.key", "更换签名密钥"),
    ("sso.key_withdraw", "撤下签名密钥"),
    ("audit.view", "查看审计日志"),
    ("audit.export", "导出审计日志"),
    ("audit.looks", "查看谁看过档案"),
    ("audit.verify_start", "发起日志校验"),
    ("audit.verify", "校验审计日志"),
    ("audit.archive", "归档审计日志"),
    ("audit.alert", "处理异常告警"),
    ("audit.hold", "标记调查中"),
    ("audit.release", "解除调查标记"),
];

const KINDS: &[(&str, &str)] = &[
    ("staff", "工作人员"),
    ("client", "接入程序"),
    ("embedded", "医院工作站"),
    ("resident", "居民"),
    ("system", "平台"),
];

const OBJECTS: &[(&str, &str)] = &[
    ("account", "账号"),
    ("audit", "审计日志"),
    ("audit_entry", "审计记录"),
    ("audit_alert", "异常告警"),
    ("batch", "上传批次"),
    ("client", "接入凭据"),
    ("institution", "机构"),
    ("page", "页面"),
    ("person", "居民"),
    ("index_run", "批量关联"),
    ("index_suspect", "可疑人员"),
    ("person_operation", "主索引处理"),
    ("review_question", "登记核实"),
    ("review_task", "待核对登记"),
    ("search", "查找"),
    ("setting", "设置项"),
];

const DETAILS: &[(&str, &str)] = &[
    ("act", "操作"),
    ("actor", "操作人"),
    ("after", "之后"),
    ("before", "之前"),
    ("care", "有诊疗关系"),
    ("client", "接入客户端"),
    ("dataset", "数据集"),
    ("faults", "不符处数"),
    ("file", "文件"),
    ("found", "找到"),
    ("institution", "单位"),
    ("name", "姓名"),
    ("page", "页"),
    ("query", "条件"),
    ("reason", "原因"),
    ("role", "角色"),
    ("segments", "日志段"),
    ("staff_no", "工号"),
    ("state", "状态"),
    ("tab", "栏目"),
];

const OUTCOMES: &[(&str, &str)] = &[
    ("ok", "成功"),
    ("wrong_password", "密码错误"),
    ("unknown_login", "登录名不存在"),
    ("locked", "已锁定"),
    ("closed", "账号已停用"),
    ("changed_meanwhile", "账号刚被修改"),
    ("first_expired", "初始密码已失效"),
    ("not_found", "未找到"),
    ("refused", "被拒绝"),
    ("purpose_needed", "待填使用目的"),
    ("faults", "发现不符"),
    ("restricted", "已封存或拒绝"),
    ("embed.bad_signature", "签名错误"),
    ("embed.expired", "链接过期"),
    ("embed.malformed", "参数错误"),
    ("embed.used", "链接重复使用"),
];

const PURPOSES: &[(&str, &str)] = &[
    ("identity", "居民主索引"),
    ("care", "诊疗"),
    ("emergency", "急救"),
    ("consultation", "会诊"),
    ("public_health", "公共卫生"),
    ("quality", "质量管理"),
    ("audit", "审计"),
    ("upload", "数据上传"),
    ("administration", "行政管理"),
];

/// The acts, for a choice.
pub(super) fn acts() -> Vec<(String, String)> {
    owned(ACTS)
}

/// The purposes, for a choice.
pub(super) fn purposes() -> Vec<(String, String)> {
    owned(PURPOSES)
}

fn owned(words: &[(&str, &str)]) -> Vec<(String, String)> {
    words.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect()
}

/// The name of a kind of caller.
pub(super) fn kind(code: &str) -> &str {
    name(KINDS, code)
}

/// The name of a kind of object.
pub(super) fn object(code: &str) -> &str {
    name(OBJECTS, code)
}

/// The name of a field of the details.
pub(super) fn detail(code: &str) -> &str {
    name(DETAILS, code)
}

/// How surely the caller was recognised, in words.
pub(super) fn assurance(code: &str) -> String {
    let word = match code.trim_end_matches('+') {
        "single" => "单因素",
        "second" => "双因素",
        "certificate" => "证书或私钥",
        other => other,
    };
    if code.ends_with('+') { format!("{word}（刚验证过）") } else { word.to_owned() }
}

/// The name of an act; the code itself where there is none.
pub fn act(code: &str) -> &str {
    name(ACTS, code)
}

/// The name of a result.
pub fn outcome(code: &str) -> &str {
    name(OUTCOMES, code)
}

/// The name of a purpose.
pub fn purpose(code: &str) -> &str {
    name(PURPOSES, code)
}

/// Where somebody acted from; the program's own acts come from the machine it runs on.
pub fn address(address: &str) -> &str {
    if address == "local" { "本机" } else { address }
}

fn name<'a>(words: &[(&'static str, &'static str)], code: &'a str) -> &'a str {
    words.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_show_themselves() {
        assert_eq!(act("sign_in"), "登录");
        assert_eq!(act("something.new"), "something.new");
        assert_eq!(outcome("ok"), "成功");
    }
}
