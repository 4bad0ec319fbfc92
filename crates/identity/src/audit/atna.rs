//! An entry as an AuditMessage after DICOM PS3.15 A.5 (IHE ATNA, ITI-20), and the syslog line that carries it (RFC 5424).

use std::fmt::Write;

use ::store::audit::Content;
use base64::Engine;

use super::words;

/// The event of an act: code of DCM, its meaning, and what is done (C create, R read, U update, D delete, E execute).
pub fn event(act: &str) -> (&'static str, &'static str, &'static str) {
    match act {
        "sign_in" => ("110114", "User Authentication", "E"),
        "sign_out" => ("110114", "User Authentication", "E"),
        "audit.view" | "audit.looks" => ("110101", "Audit Log Used", "R"),
        "person.search" | "fhir.search" => ("110112", "Query", "E"),
        "batch.receive" => ("110107", "Import", "C"),
        _ if act.ends_with(".export") || act.ends_with(".original") || act.ends_with(".repair") => {
            ("110106", "Export", "R")
        }
        _ if act.starts_with("record.") || act.starts_with("fhir.") || act.starts_with("embed.") => {
            ("110110", "Patient Record", "R")
        }
        _ if act.starts_with("account.")
            || act.starts_with("client.")
            || act.starts_with("grant.")
            || act.starts_with("session.") =>
        {
            ("110113", "Security Alert", "U")
        }
        _ => ("110100", "Application Activity", "E"),
    }
}

/// Whether it went well: 0 success, 4 minor failure, 8 serious failure.
pub fn indicator(outcome: &str) -> &'static str {
    match outcome {
        "ok" => "0",
        "locked" | "faults" => "8",
        _ => "4",
    }
}

/// Who acted, as others refer to them.
pub fn user_id(content: &Content) -> String {
    match content.account_id {
        Some(account) => format!("account:{account}"),
        None => format!("{}:{}", content.kind, content.actor),
    }
}

/// The message, without an XML declaration, in one line.
pub fn message(id: i64, content: &Content, source: &str) -> String {
    let (code, meaning, action) = event(&content.act);
    let mut xml = String::with_capacity(1500);
    // Writing to a String cannot fail.
    let _ = write!(
        xml,
        "<AuditMessage><EventIdentification EventActionCode=\"{action}\" EventDateTime=\"{}\" \
         EventOutcomeIndicator=\"{}\">",
        content.at.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
        indicator(&content.outcome)
    );
    coded(&mut xml, "EventID", code, "DCM", meaning);
    coded(&mut xml, "EventTypeCode", &content.act, "MINKANG", words::act(&content.act));
    if content.outcome != "ok" {
        let _ = write!(
            xml,
            "<EventOutcomeDescription>{}</EventOutcomeDescription>",
            escape(words::outcome(&content.outcome))
        );
    }
    if !content.purpose.is_empty() {
        coded(&mut xml, "PurposeOfUse", &content.purpose, "MINKANG", words::purpose(&content.purpose));
    }
    let _ = write!(
        xml,
        "</EventIdentification><ActiveParticipant UserID=\"{}\" UserName=\"{}\" UserIsRequestor=\"true\" \
         NetworkAccessPointID=\"{}\" NetworkAccessPointTypeCode=\"2\">",
        escape(&user_id(content)),
        escape(&content.actor),
        escape(&content.address)
    );
    coded(&mut xml, "RoleIDCode", &content.kind, "MINKANG", &content.role);
    let site = content.institution_id.map_or_else(|| "minkang".to_owned(), |i| format!("institution:{i}"));
    let _ = write!(
        xml,
        "</ActiveParticipant><AuditSourceIdentification AuditSourceID=\"{}\" AuditEnterpriseSiteID=\"{}\">",
        escape(source),
        escape(&site)
    );
    coded(&mut xml, "AuditSourceTypeCode", "4", "DCM", "Application Server Process");
    xml.push_str("</AuditSourceIdentification>");
    if let Some(person) = content.person_id {
        let _ = write!(
            xml,
            "<ParticipantObjectIdentification ParticipantObjectID=\"{person}\" ParticipantObjectTypeCode=\"1\" \
             ParticipantObjectTypeCodeRole=\"1\">"
        );
        coded(&mut xml, "ParticipantObjectIDTypeCode", "2", "RFC-3881", "Patient Number");
        let name = if content.object_kind == "person" { content.object_label.as_str() } else { "" };
        let _ = write!(
            xml,
            "<ParticipantObjectName>{}</ParticipantObjectName></ParticipantObjectIdentification>",
            escape(name)
        );
    }
    let object = content.object_id.map_or_else(|| format!("entry:{id}"), |o| o.to_string());
    let _ = write!(
        xml,
        "<ParticipantObjectIdentification ParticipantObjectID=\"{object}\" ParticipantObjectTypeCode=\"2\" \
         ParticipantObjectTypeCodeRole=\"3\">"
    );
    coded(
        &mut xml,
        "ParticipantObjectIDTypeCode",
        &content.object_kind,
        "MINKANG",
        words::object(&content.object_kind),
    );
    let _ = write!(xml, "<ParticipantObjectName>{}</ParticipantObjectName>", escape(&content.object_label));
    let engine = base64::engine::general_purpose::STANDARD;
    let mut more = |kind: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(
                xml,
                "<ParticipantObjectDetail type=\"{kind}\" value=\"{}\"/>",
                engine.encode(value.as_bytes())
            );
        }
    };
    more("entry", &id.to_string());
    more("note", &content.note);
    more("detail", content.detail.as_deref().unwrap_or(""));
    xml.push_str("</ParticipantObjectIdentification></AuditMessage>");
    xml
}

fn coded(xml: &mut String, element: &str, code: &str, system: &str, text: &str) {
    let _ = write!(
        xml,
        "<{element} csd-code=\"{}\" codeSystemName=\"{system}\" originalText=\"{}\"/>",
        escape(code),
        escape(text)
    );
}

/// A text as XML can carry it: no control characters, five signs by name.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// The syslog line: facility 10 (security), severity 5 (notice) or 4 (warning).
pub fn syslog(id: i64, content: &Content, source: &str, host: &str) -> String {
    let priority = 10 * 8 + if content.outcome == "ok" { 5 } else { 4 };
    format!(
        "<{priority}>1 {} {} minkang - IHE+RFC-3881 - \u{feff}{}",
        content.at.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
        if host.is_empty() { "-" } else { host },
        message(id, content, source)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            actor: "王<丽>华".into(),
            account_id: Some(7),
            kind: "staff".into(),
            role: "医生".into(),
            address: "10.1.1.1".into(),
            act: "record.view".into(),
            object_kind: "person".into(),
            object_id: Some(42),
            object_label: "张\"三\u{1}".into(),
            person_id: Some(42),
            purpose: "care".into(),
            outcome: "ok".into(),
            detail: Some("{}".into()),
            ..Content::default()
        }
    }

    #[test]
    fn a_view_is_a_patient_record_event() {
        let xml = message(9, &content(), "https://m.example");
        for part in [
            "<EventID csd-code=\"110110\" codeSystemName=\"DCM\" originalText=\"Patient Record\"/>",
            "EventActionCode=\"R\"",
            "EventOutcomeIndicator=\"0\"",
            "UserID=\"account:7\" UserName=\"王&lt;丽&gt;华\"",
            "NetworkAccessPointID=\"10.1.1.1\"",
            "ParticipantObjectID=\"42\" ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\"",
            "张&quot;三</ParticipantObjectName>",
            "originalText=\"诊疗\"",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert!(!xml.contains('\u{1}') && !xml.contains('\n'));
    }

    #[test]
    fn a_failed_sign_in_is_told_with_its_reason() {
        let content = Content { act: "sign_in".into(), outcome: "wrong_password".into(), ..content() };
        let xml = message(9, &content, "");
        assert!(
            xml.contains("110114") && xml.contains("EventOutcomeIndicator=\"4\"") && xml.contains("密码错误")
        );
        let line = syslog(9, &content, "", "m1");
        assert!(line.starts_with(
            "<84>1 1970-01-01T00:00:00.000000Z m1 minkang - IHE+RFC-3881 - \u{feff}<AuditMessage>"
        ));
        assert!(
            syslog(9, &self::content(), "", "").starts_with("<85>1 1970-01-01T00:00:00.000000Z - minkang")
        );
    }
}
