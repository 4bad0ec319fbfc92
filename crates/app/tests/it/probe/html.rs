//! Reads an HTML page as far as a probe needs it: tags with their attributes, forms with their fields.

/// A tag with its attributes as a browser would read them.
#[derive(Debug, Clone)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Every tag of a page, in order; end tags begin with `/`.
pub fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') {
            continue;
        }
        let start = usize::from(rest.starts_with('/'));
        let ends = |c: char| c.is_whitespace() || matches!(c, '>' | '/');
        let end = rest[start..].find(ends).map_or(rest.len(), |at| at + start);
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() || rest.starts_with('>') {
                break;
            }
            let end =
                rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len());
            let key = rest[..end.max(1).min(rest.len())].to_ascii_lowercase();
            rest = rest[end.max(1).min(rest.len())..].trim_start();
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
                let (inside, left) = match quote {
                    Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    None => after
                        .split_at(after.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(after.len())),
                };
                value = plain(inside);
                rest = left;
            }
            attributes.push((key, value));
        }
        tags.push(Tag { name, attributes });
    }
    tags
}

/// Text without character references.
fn plain(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// What must stand in no page, whatever was typed: a script of somebody's, a handler inside a tag, an address that runs.
pub fn injected(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in tags(page) {
        if tag.name == "script" && !tag.get("src").is_some_and(|src| src.starts_with("/assets/")) {
            // Data for our own scripts is not run.
            if tag.get("type") != Some("application/json") {
                found.push(format!("a script: {tag:?}"));
            }
        }
        for (name, value) in &tag.attributes {
            if name.starts_with("on") {
                found.push(format!("a handler: {tag:?}"));
            }
            let leads =
                matches!(name.as_str(), "href" | "src" | "action" | "formaction" | "hx-get" | "hx-post");
            let address: String = value.chars().filter(|c| !c.is_ascii_control() && *c != ' ').collect();
            let address = address.to_ascii_lowercase();
            if leads && (address.starts_with("javascript:") || address.starts_with("data:text")) {
                found.push(format!("an address that runs: {tag:?}"));
            }
        }
        if tag.name == "img" && tag.get("src") == Some("x") {
            found.push("a picture of the intruder's".to_owned());
        }
    }
    found
}

/// A form of a page.
#[derive(Debug, Clone, Default)]
pub struct Form {
    pub action: String,
    pub post: bool,
    pub multipart: bool,
    /// Name, value, whether people type it.
    pub fields: Vec<(String, String, bool)>,
}

/// The forms of a page.
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    let mut select: Option<String> = None;
    for tag in tags(page) {
        let get = |name: &str| tag.get(name).unwrap_or_default().to_owned();
        match tag.name.as_str() {
            "form" => {
                open = true;
                forms.push(Form {
                    action: get("action"),
                    post: get("method").eq_ignore_ascii_case("post"),
                    multipart: get("enctype").starts_with("multipart"),
                    fields: Vec::new(),
                });
            }
            "/form" => open = false,
            "select" => select = Some(get("name")),
            "/select" => select = None,
            _ => {}
        }
        let Some(form) = forms.last_mut().filter(|_| open) else { continue };
        let typed = matches!(get("type").as_str(), "" | "text" | "search" | "tel" | "email" | "url");
        match tag.name.as_str() {
            "textarea" => form.fields.push((get("name"), String::new(), true)),
            "input" if matches!(get("type").as_str(), "checkbox" | "radio") => {
                let first = !form.fields.iter().any(|(n, _, _)| *n == get("name"));
                form.fields.extend(
                    (first || tag.get("checked").is_some()).then(|| (get("name"), get("value"), false)),
                );
            }
            "input" if get("type") != "file" => form.fields.push((get("name"), get("value"), typed)),
            "option" => {
                let name = select.clone().unwrap_or_default();
                let value = get("value");
                match form.fields.iter_mut().find(|(n, _, _)| *n == name) {
                    // The first choice that says something, unless the page has chosen.
                    Some(field) if field.1.is_empty() || tag.get("selected").is_some() => field.1 = value,
                    Some(_) => {}
                    None => form.fields.push((name, value, false)),
                }
            }
            _ => {}
        }
        form.fields.retain(|(name, _, _)| !name.is_empty());
    }
    forms
}

#[test]
fn the_reader_sees_what_a_browser_would_run() {
    assert!(injected("<a href=\"/x?q=&lt;script&gt;\" title='on x'>onclick=1</a>").is_empty());
    for bad in [
        "<p>\"><script>alert(1)</script>",
        "<a href='x' onclick=alert(1)>",
        "<a href=\" java\nscript:alert(1)\">",
        "<input value=\"\" onfocus=\"x\">",
        "<img src=x>",
        "<svg/onload=alert(1)>",
    ] {
        assert!(!injected(bad).is_empty(), "{bad}");
    }
    let form = &forms(
        "<form method=post action=/a><input name=b value=c><select name=d><option value=''><option value=e></select><textarea name=f></textarea></form>",
    )[0];
    assert_eq!(form.action, "/a");
    assert_eq!(form.fields.len(), 3);
    assert_eq!(form.fields[1].1, "e");
}
