//! Accounts from a spreadsheet: reading it, judging every row, opening what is good.

use std::collections::{HashMap, HashSet};

use kernel::{Purpose, Reach, Refusal, Result};

use super::{NewAccount, store};
use crate::{Identity, secret, sign_in};

/// Rows of one sheet at most: their passwords are hashed within one request.
pub const MOST: usize = 300;

/// The columns of the template, in order; those of a sheet may stand in any.
pub const HEADS: [&str; 5] = ["姓名", "工号", "登录名", "角色", "机构"];

/// A row as it stands in the sheet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Row number in the sheet.
    pub number: usize,
    /// Real name.
    pub name: String,
    /// Staff number.
    pub staff_no: String,
    /// Login name.
    pub login: String,
    /// Name or code of the role.
    pub role: String,
    /// Name or code of the institution.
    pub institution: String,
}

/// A row after the dry run.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Judged {
    /// Row number in the sheet.
    pub number: usize,
    /// The account to be opened.
    pub account: NewAccount,
    /// Why it cannot be; `None` when it can.
    pub problem: Option<String>,
}

/// Reads an XLSX or CSV file (UTF-8 or GB18030).
pub fn read(bytes: &[u8]) -> Result<Vec<Line>, Refusal> {
    let cells = if bytes.starts_with(b"PK") {
        Some(web::workbook::first_sheet(bytes, MOST + 200)?.rows)
    } else {
        table(bytes)
    };
    let mut rows = cells.ok_or_else(|| {
        Refusal::invalid("import.unreadable", "文件无法读取。请用模板另存为 .xlsx 或 .csv 后重新上传。")
    })?;
    if rows.is_empty() {
        return Err(Refusal::invalid("import.empty", "文件中没有内容。请按模板填写后重新上传。"));
    }
    let heads = rows.remove(0);
    let column = |name: &str| heads.iter().position(|head| head.trim() == name);
    let missing: Vec<&str> =
        ["姓名", "登录名", "角色"].into_iter().filter(|name| column(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(Refusal::invalid(
            "import.columns",
            format!("缺少列：{}。第一行须是列名，请按模板填写。", missing.join("、")),
        ));
    }
    let at = HEADS.map(column);
    let lines: Vec<Line> = (2..)
        .zip(rows)
        .filter(|(_, row)| row.iter().any(|cell| !cell.trim().is_empty()))
        .map(|(number, row)| {
            let cell = |column: Option<usize>| {
                column.and_then(|i| row.get(i)).map(|text| text.trim().to_owned()).unwrap_or_default()
            };
            let [name, staff_no, login, role, institution] = at.map(cell);
            Line { number, name, staff_no, login, role, institution }
        })
        .collect();
    if lines.is_empty() {
        return Err(Refusal::invalid("import.empty", "除列名外没有内容。请按模板填写后重新上传。"));
    }
    if lines.len() > MOST {
        return Err(Refusal::invalid(
            "import.too_many",
            format!("一次最多开通 {MOST} 个账号，文件中有 {} 行。请分成几个文件。", lines.len()),
        ));
    }
    Ok(lines)
}

fn table(bytes: &[u8]) -> Option<Vec<Vec<String>>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let (text, _, broken) = encoding_rs::GB18030.decode(bytes);
            if broken {
                return None;
            }
            text.into_owned()
        }
    };
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
        .records()
        .take(MOST + 200)
        .map(|record| record.ok().map(|record| record.iter().map(str::to_owned).collect()))
        .collect()
}

impl Identity {
    /// Judges every row against the registers, the caller's right, and the other rows.
    pub(crate) async fn judge_lines(&self, reach: &Reach, lines: &[Line]) -> Result<Vec<Judged>> {
        let logins: Vec<String> =
            lines.iter().map(|line| sign_in::rules::normal_login(&line.login)).collect();
        let taken: HashSet<String> = store::taken(self.db.pool(), &logins).await?.into_iter().collect();
        let all = self.institutions.all();
        let mut by_name: HashMap<&str, Vec<&contracts::InstitutionCard>> = HashMap::new();
        for card in all.iter() {
            by_name.entry(card.name.as_str()).or_default().push(card);
        }
        let mut seen = HashSet::new();
        let mut numbers = HashSet::new();
        let mut judged = Vec::with_capacity(lines.len());
        for (line, login) in lines.iter().zip(logins) {
            let role = self.catalog.roles.iter().find(|r| r.code == line.role || r.name == line.role);
            let card = match line.institution.as_str() {
                "" => None,
                text => self.institutions.by_code(text).or_else(|| {
                    by_name
                        .get(text)
                        .filter(|found| found.len() == 1)
                        .and_then(|found| self.institutions.by_id(found[0].id))
                }),
            };
            let account = NewAccount {
                login: login.clone(),
                name: line.name.clone(),
                staff_no: line.staff_no.clone(),
                role: role.map_or_else(|| line.role.clone(), |r| r.code.clone()),
                institution: card.as_ref().map(|c| c.id),
                region: card.as_ref().map_or(reach.caller().region, |c| c.region),
            };
            let problem = if role.is_none() {
                Some(format!("没有角色“{}”", line.role))
            } else if !line.institution.is_empty() && card.is_none() {
                Some(format!("没有机构“{}”，或有同名机构，请填机构编码", line.institution))
            } else if let Err(refusal) = self.check_form(&login, &account) {
                Some(refusal.message)
            } else if !self.may_open(reach.caller(), &account.role, account.institution, &account.region) {
                Some("超出您的管理范围".to_owned())
            } else if taken.contains(&login) {
                Some(format!("登录名“{login}”已被使用"))
            } else if !seen.insert(login.clone()) {
                Some(format!("登录名“{login}”在文件中重复"))
            } else if !account.staff_no.is_empty()
                && !numbers.insert((account.institution, account.staff_no.clone()))
            {
                Some(format!("工号“{}”在文件中重复", account.staff_no))
            } else {
                self.check_staff(&login, &account).await.err().map(|error| match error {
                    kernel::Error::Refused(refusal) => refusal.message,
                    other => {
                        tracing::warn!(error = %other, "look up the register of staff");
                        "人员登记暂时无法核对，请稍后再试".to_owned()
                    }
                })
            };
            judged.push(Judged { number: line.number, account, problem });
        }
        Ok(judged)
    }

    /// Opens accounts in one transaction: all or none. The first passwords, in the order of the accounts.
    pub(crate) async fn open_all(&self, reach: &Reach, accounts: &[NewAccount]) -> Result<Vec<String>> {
        let by = reach.caller();
        for account in accounts {
            // Judged again: rights and registers may have changed since the dry run.
            self.check_form(&sign_in::rules::normal_login(&account.login), account)?;
            if !self.may_open(by, &account.role, account.institution, &account.region) {
                return Err(super::admin_pages::out_of_reach().into());
            }
        }
        let mut firsts = Vec::with_capacity(accounts.len());
        for _ in accounts {
            firsts.push(secret::random_password()?);
        }
        let hashes = self.hasher.hash_all(&firsts).await?;
        self.db
            .transaction(async |tx| {
                for at in 0..accounts.len() {
                    let (account, hash) = (&accounts[at], &hashes[at]);
                    self.open_account(tx, account, &account.login, hash, true, by).await?;
                }
                Ok(())
            })
            .await?;
        Ok(firsts)
    }

    /// The reach of whoever opens accounts.
    pub(crate) fn opening_reach(&self, allowed: &web::route::Allowed) -> Result<Reach, Refusal> {
        allowed.reach(Purpose::of("administration"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_read_in_any_order_of_columns_and_in_gb18030() {
        let text = "登录名,姓名,角色,工号,机构\r\nwang.li,王丽,乡镇卫生院医生,007,明港卫生院\r\n,,,,\r\nli.x,李响,x,,\r\n";
        let expected = Line {
            number: 2,
            name: "王丽".into(),
            staff_no: "007".into(),
            login: "wang.li".into(),
            role: "乡镇卫生院医生".into(),
            institution: "明港卫生院".into(),
        };
        let (gb, ..) = encoding_rs::GB18030.encode(text);
        for bytes in [text.as_bytes(), &gb, [b"\xef\xbb\xbf", text.as_bytes()].concat().as_slice()] {
            let lines = read(bytes).unwrap();
            assert_eq!((lines.len(), lines[1].number), (2, 4), "empty rows keep their numbers");
            assert_eq!(lines[0], expected);
        }
        let (_, xlsx) = crate::page::xlsx(
            "x.xlsx",
            "账号",
            &HEADS,
            &[vec![
                "王丽".into(),
                "007".into(),
                "wang.li".into(),
                "乡镇卫生院医生".into(),
                "明港卫生院".into(),
            ]],
        )
        .unwrap();
        assert_eq!(read(&xlsx).unwrap(), [expected]);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "import.empty"),
            ("姓名,登录名\n王,a".as_bytes(), "import.columns"),
            ("姓名,登录名,角色\n".as_bytes(), "import.empty"),
            (b"PK\x03\x04garbage", "workbook.unreadable"),
            (b"\xff\xff\xff\xff", "import.unreadable"),
        ];
        for (bytes, code) in cases {
            assert_eq!(read(bytes).unwrap_err().code, code);
        }
        let many = format!("姓名,登录名,角色\n{}", "王丽,w,r\n".repeat(MOST + 1));
        assert_eq!(read(many.as_bytes()).unwrap_err().code, "import.too_many");
    }
}
