//! Chinese words for the codes that the audit trail keeps.

/// Acts: stable code and name, in the order of the filter.
pub const ACTS: &[(&str, &str)] = &[
    ("record.view", "查看健康档案"),
    ("record.print", "打印健康档案"),
    ("record.event", "查看就诊明细"),
    ("record.history", "查看历史版本"),
    ("record.result", "查看检验趋势"),
    ("record.purpose", "填写使用目的"),
    ("person.search", "查找居民"),
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
    ("audit.view", "查看审计日志"),
    ("audit.export", "导出审计日志"),
];

const OUTCOMES: &[(&str, &str)] = &[
    ("ok", "成功"),
    ("wrong_password", "密码错误"),
    ("unknown_login", "登录名不存在"),
    ("locked", "已锁定"),
    ("closed", "账号已停用"),
    ("changed_meanwhile", "账号刚被修改"),
    ("not_found", "未找到"),
    ("refused", "被拒绝"),
    ("purpose_needed", "待填使用目的"),
    ("embed.bad_signature", "签名错误"),
    ("embed.expired", "链接过期"),
    ("embed.malformed", "参数错误"),
    ("embed.used", "链接重复使用"),
];

const PURPOSES: &[(&str, &str)] = &[
    ("care", "诊疗"),
    ("emergency", "急救"),
    ("consultation", "会诊"),
    ("public_health", "公共卫生"),
    ("quality", "质量管理"),
    ("audit", "审计"),
    ("upload", "数据上传"),
    ("administration", "行政管理"),
];

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
