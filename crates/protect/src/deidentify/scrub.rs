//! Free text without what identifies: numbers, addresses of the net, names that are known.
//!
//! What no rule can see (a nickname, "the teacher of the village school") stays: free text is for approved projects
//! only, and the report says which fields held some.

/// Digits in a row from which a number may be of a person: telephones have 7 or more.
const LONG: usize = 7;
/// What stands where something was taken out.
const MARK: &str = "〔略〕";

/// Takes out long numbers (also with spaces and hyphens between, and full-width), mail addresses and known names.
pub fn scrub(text: &str, known: &[&str]) -> String {
    let mut text = text.to_owned();
    for name in known.iter().filter(|n| n.chars().count() >= 2) {
        text = text.replace(name, MARK);
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = mail(&chars, at).or_else(|| number(&chars, at));
        match end {
            Some(end) => {
                out.push_str(MARK);
                at = end;
            }
            None => {
                // The rest of a short run goes with it: a number must not be seen from its second digit on.
                let run = digits(&chars, at).max(1);
                out.extend(&chars[at..at + run]);
                at += run;
            }
        }
    }
    out
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '０'..='９')
}

fn digits(chars: &[char], at: usize) -> usize {
    chars[at..].iter().take_while(|c| is_digit(**c)).count()
}

// A run of digits with single separators between; ends with the check letter of a citizen number.
fn number(chars: &[char], at: usize) -> Option<usize> {
    let (mut count, mut end) = (0, at);
    while end < chars.len() {
        if is_digit(chars[end]) {
            count += 1;
            end += 1;
        } else if count > 0
            && matches!(chars[end], ' ' | '-' | '－' | '—')
            && chars.get(end + 1).is_some_and(|c| is_digit(*c))
        {
            end += 1;
        } else {
            break;
        }
    }
    if count < LONG || date(&chars[at..end]) {
        return None;
    }
    if matches!(chars.get(end), Some('x' | 'X' | 'ｘ' | 'Ｘ')) {
        end += 1;
    }
    Some(end)
}

// `2025-03-04` is a date, not a number of a person; a run without separators may be either and goes.
fn date(run: &[char]) -> bool {
    let text: String = run.iter().collect();
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [y, m, d] if y.len() == 4 && m.len() <= 2 && d.len() <= 2)
}

fn mail(chars: &[char], at: usize) -> Option<usize> {
    let letter = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let name = chars[at..].iter().take_while(|c| letter(c)).count();
    if name == 0 || chars.get(at + name) != Some(&'@') {
        return None;
    }
    let host = chars[at + name + 1..].iter().take_while(|c| letter(c)).count();
    (host > 0).then_some(at + name + 1 + host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_is_taken_out_and_the_rest_stays() {
        for (text, expected) in [
            ("头晕2天，血压160/95", "头晕2天，血压160/95"),
            ("电话13800138000。", "电话〔略〕。"),
            ("电话138 0013-8000。", "电话〔略〕。"),
            ("电话１３８００１３８０００", "电话〔略〕"),
            ("身份证34052419800101001X复印件", "身份证〔略〕复印件"),
            ("2025-03-04 复诊", "2025-03-04 复诊"),
            ("联系wang.li@example.cn或座机0376-6123456", "联系〔略〕或座机〔略〕"),
            ("患者张三丰诉头痛", "患者〔略〕诉头痛"),
            ("张某", "张某"),
            ("", ""),
        ] {
            assert_eq!(scrub(text, &["张三丰", "张"]), expected, "{text}");
        }
    }
}
