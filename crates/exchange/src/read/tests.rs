//! Tables of good and bad files, and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read, Write};

use catalog::{Dataset, Expectation, Field, FieldKind, Sensitivity};
use proptest::prelude::*;

use super::*;

pub(crate) fn field(name: &str, title: &str, element: &str, aliases: &[&str]) -> Field {
    Field {
        name: name.into(),
        title: title.into(),
        element: element.into(),
        kind: FieldKind::Text { max: 50 },
        required: false,
        recommended: false,
        unit: String::new(),
        aliases: aliases.iter().map(|a| a.to_string()).collect(),
        sensitivity: Sensitivity::Ordinary,
        protect: false,
    }
}

pub(crate) fn dataset(fields: Vec<Field>) -> Dataset {
    Dataset {
        number: 1,
        code: "visit".into(),
        name: "门诊就诊".into(),
        aliases: vec![],
        standard: String::new(),
        group: String::new(),
        description: String::new(),
        fields,
        key: vec![0],
        occurred: 0,
        person: None,
        revision: None,
        parent: None,
        rules: vec![],
        record: None,
        expect: Expectation { daily: false, senders: vec![] },
        probe: catalog::probe::Probe::default(),
    }
}

fn visits() -> Dataset {
    dataset(vec![
        field("visit_no", "门诊就诊流水号", "DE01.00.010.00", &["JZLSH"]),
        field("visit_time", "就诊日期时间", "DE06.00.062.00", &["JZKSRQ"]),
        field("name", "姓名", "DE02.01.039.00", &["XM"]),
    ])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gb18030(text: &str) -> Vec<u8> {
    encoding_rs::GB18030.encode(text).0.into_owned()
}

/// Gives one byte, then two, then three … at a time.
struct Dribble<'a>(&'a [u8], usize);
impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let n = self.1.min(self.0.len()).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// What a file gives, as text: rows as `number:cell|cell|cell`, row errors as `number!code`, the end as `#code`.
fn told(source: impl Read + Send) -> String {
    let dataset = visits();
    let mut out = Vec::new();
    let mut say = |rows: &mut Vec<ReadRow>| {
        for row in rows.drain(..) {
            out.push(match row {
                Ok(r) => {
                    let cells: Vec<&str> = r.cells.iter().map(|c| c.as_deref().unwrap_or("-")).collect();
                    format!("{}:{}", r.number, cells.join("|"))
                }
                Err(e) => {
                    assert!(e.message.contains(&e.number.to_string()), "{}", e.message);
                    format!("{}!{}", e.number, e.code)
                }
            });
        }
    };
    let mut rows = Vec::new();
    match open(source, &dataset, None) {
        Err(e) => out.push(format!("#{}", e.code)),
        Ok(mut reader) => loop {
            let result = reader.next_rows(2, &mut rows);
            say(&mut rows);
            match result {
                Ok(0) => break,
                Ok(n) => assert!(n <= 2),
                Err(e) => {
                    assert_eq!(reader.next_rows(2, &mut rows).unwrap_err(), e, "the error stays");
                    out.push(format!("#{}", e.code));
                    break;
                }
            }
        },
    }
    out.join(" ")
}

#[test]
fn files() {
    let text = "就诊时间不详,XM,jzlsh,JZKSRQ\n备注,张三,V1,2025-01-01\n,李四,V2,2025-01-02\n";
    let rows = "1:V1|2025-01-01|张三 2:V2|2025-01-02|李四";
    let stray = format!("{rows} 3!invalid_text 4:V4|t|y");
    let members = format!("{rows} 3:V3|t|y");
    let bom = [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat();
    let mut utf16: Vec<u8> = vec![0xFF, 0xFE];
    utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let mut utf16be: Vec<u8> = vec![0xFE, 0xFF];
    utf16be.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("utf-8", text.into(), rows),
        ("utf-8 with mark", bom, rows),
        ("utf-16le", utf16, rows),
        ("utf-16be", utf16be, rows),
        ("gb18030", gb18030(text), rows),
        ("gb18030 gzip", gzip(&gb18030(text)), rows),
        ("two gzip members", [gzip(text.as_bytes()), gzip(b"x,y,V3,t\n")].concat(), &members),
        ("crlf", text.replace('\n', "\r\n").into(), rows),
        ("old mac", text.replace('\n', "\r").into(), rows),
        ("tabs", text.replace(',', "\t").into(), rows),
        ("semicolons", text.replace(',', ";").into(), rows),
        ("bars, no end", text.trim_end().replace(',', "|").into(), rows),
        ("titles and elements", "门诊就诊流水号,DE06.00.062.00,姓名\nV,T,N".into(), "1:V|T|N"),
        ("full width heading", "ＶＩＳＩＴ_no,XM\nV,N".into(), "1:V|-|N"),
        (
            "quotes",
            "visit_no,name\n\"V,1\",\"a\"\"b\nc\"\nV2,5\" 管\n".into(),
            "1:V,1|-|a\"b\nc 2:V2|-|5\" 管",
        ),
        ("heading only", "visit_no,name\n".into(), ""),
        ("formula kept", "visit_no,name\n1,=1+1\n".into(), "1:1|-|=1+1"),
        ("blank lines count", "visit_no,name\n\n1,a\n,\n\r\n2,b\n".into(), "2:1|-|a 5:2|-|b"),
        ("trailing delimiter", "visit_no,name\n1,a,,\n".into(), "1:1|-|a"),
        // Rows that cannot be read
        ("columns", "visit_no,name\n1\n2,b,c\n3,c\n".into(), "1!column_count 2!column_count 3:3|-|c"),
        ("bad quote", "visit_no,name\n1,\"a\"b\n2,c\n".into(), "1!bad_quote 2:2|-|c"),
        ("nul", b"visit_no,name\n1,a\0\n2,b\n".to_vec(), "1!nul_byte 2:2|-|b"),
        ("stray byte in utf-8", [text.as_bytes(), b"a,b,V3\xFFx,t\nx,y,V4,t\n"].concat(), &stray),
        ("stray byte in gb18030", [&gb18030(&text.repeat(9))[..], b"a,b,V3\xFF,t\nx,y,V4,t\n"].concat(), ""),
        // Files that cannot be read
        ("empty", b"".to_vec(), "#empty_file"),
        ("empty gzip", gzip(b""), "#empty_file"),
        ("blank", b" \r\n\n".to_vec(), "#empty_file"),
        ("mark only", b"\xEF\xBB\xBF".to_vec(), "#empty_file"),
        ("no heading", "V1,2025-01-01,张三\n".into(), "#heading_missing"),
        ("duplicate heading", "visit_no,备注,备注\n".into(), "#duplicate_heading"),
        ("two headings, one field", "visit_no,name,XM\n".into(), "#duplicate_heading"),
        ("no key", "name\na\n".into(), "#heading_invalid"),
        ("10,000 columns", vec!["visit_no"; 10_000].join(",").into(), "#too_many_columns"),
        ("xlsx", b"PK\x03\x04rest of it".to_vec(), "#foreign_format"),
        ("xml", b"<?xml version='1.0'?><a/>".to_vec(), "#foreign_format"),
        ("twice gzip", gzip(&gzip(text.as_bytes())), "#foreign_format"),
        ("binary", vec![0; 100], "#charset_unknown"),
        ("latin-1", b"visit_no,name\n1,Andr\xE9,\n2,Ren\xE9e\n".to_vec(), "#charset_unknown"),
        ("unclosed quote", "visit_no,name\n1,a\n2,\"b\n3,c\n".into(), "1:1|-|a #unclosed_quote"),
        ("gzip of 3 bytes", b"\x1f\x8b\x08".to_vec(), "#gzip_truncated"),
        ("not gzip at all", b"\x1f\x8bxxxxxxxxxxxxxxxxx".to_vec(), "#gzip_corrupt"),
    ];
    for (name, bytes, expected) in cases {
        let whole = told(&bytes[..]);
        assert_eq!(whole, told(Dribble(&bytes, 0)), "{name}: in small pieces");
        if name == "stray byte in gb18030" {
            assert!(whole.ends_with("27!invalid_text 28:V4|t|y"), "{whole}");
        } else {
            assert_eq!(whole, expected, "{name}");
        }
    }
}

#[test]
fn json_files() {
    let deep = format!("{{\"visit_no\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let many = (0..2001).map(|i| format!("\"k{i}\":1")).collect::<Vec<_>>().join(",");
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "lines",
            "{\"visit_no\":\"1\",\"姓名\":\"张三\"}\n{\"XM\":\"b\",\"visit_no\":\"2\"}".into(),
            "1:1|-|张三 2:2|-|b",
        ),
        (
            "numbers as written",
            "{\"visit_no\":12345678901234567890123,\"name\":1.10}\n".into(),
            "1:12345678901234567890123|-|1.10",
        ),
        (
            "null, empty, boolean",
            "{\"visit_no\":true,\"name\":null,\"visit_time\":\"\"}".into(),
            "1:true|-|-",
        ),
        ("escapes", r#"{"visit_no":"a\n\u5f20\ud83d\ude00\"","na\u006de":"x"}"#.into(), "1:a\n张😀\"|-|x"),
        ("unknown members", r#"{"visit_no":"1","x":{"y":[1,{}]}}"#.into(), "1:1|-|-"),
        ("array", r#" [ {"visit_no":"1"} , {"visit_no":"]}"} ] "#.into(), "1:1|-|- 2:]}|-|-"),
        ("empty array", "[]".into(), ""),
        ("blank line", "{\"visit_no\":1}\n\n{\"visit_no\":2}\n".into(), "1:1|-|- 3:2|-|-"),
        (
            "a bad line",
            "{\"visit_no\":1}\n{\"visit_no\":}\nx\n{\"visit_no\":2}\n".into(),
            "1:1|-|- 2!invalid_json 3!invalid_json 4:2|-|-",
        ),
        (
            "bad element",
            r#"[1,"a",{"visit_no":1},[2],{"visit_no":01}]"#.into(),
            "1!invalid_json 2!invalid_json 3:1|-|- 4!invalid_json 5!invalid_json",
        ),
        ("nested", r#"{"visit_no":["1"]}"#.into(), "1!nested_value"),
        ("twice", r#"{"visit_no":"1","JZLSH":"2"}"#.into(), "1!duplicate_heading"),
        ("nul", r#"{"visit_no":"1\u0000"}"#.into(), "1!nul_byte"),
        ("lone surrogate", r#"{"visit_no":"\ud800"}"#.into(), "1!invalid_json"),
        ("nothing known", r#"{"a":1}"#.into(), "1!heading_missing"),
        ("10,000 deep", format!("{deep}\n{{\"visit_no\":2}}"), "1!invalid_json 2:2|-|-"),
        ("10,000 deep in an array", format!("[{deep},{{\"visit_no\":2}}]"), "1!invalid_json 2:2|-|-"),
        ("2,001 members", format!("{{{many}}}\n{{\"visit_no\":2}}"), "1!too_many_columns 2:2|-|-"),
        ("unfinished array", r#"[{"visit_no":1},{"visit_no":"#.into(), "1:1|-|- #unclosed_json"),
        ("array without end", r#"[{"visit_no":1}"#.into(), "1:1|-|- #unclosed_json"),
        ("behind the array", r#"[{"visit_no":1}] {}"#.into(), "1:1|-|- #json_trailing"),
    ];
    for (name, text, expected) in cases {
        assert_eq!(told(text.as_bytes()), expected, "{name}");
        assert_eq!(told(Dribble(text.as_bytes(), 0)), expected, "{name}: in small pieces");
    }
}

#[test]
fn truncated_gzip_keeps_the_rows_before_the_break() {
    let mut text = String::from("visit_no,visit_time,name\n");
    for i in 0..50_000 {
        text.push_str(&format!("{i},2025-01-01 08:{:02},{:x}\n", i % 60, i * 7919));
    }
    let whole = gzip(text.as_bytes());
    let dataset = visits();
    let mut reader = open(&whole[..whole.len() / 2], &dataset, None).unwrap();
    let (mut rows, mut count) = (Vec::new(), 0);
    let fault = loop {
        rows.clear();
        match reader.next_rows(1000, &mut rows) {
            Ok(0) => panic!("the break went unnoticed"),
            Ok(n) => {
                assert!(rows.iter().all(Result::is_ok));
                count += n as u64;
            }
            Err(e) => break e,
        }
    };
    assert_eq!((fault.code, fault.row), ("gzip_truncated", Some(count + 1)));
    assert!(count > 10_000 && fault.message.contains(&format!("第 {} 行", count + 1)), "{}", fault.message);
    assert_eq!(reader.media(), "text/csv; charset=utf-8; gzip");
}

/// `count` bytes `fill` between a head and a tail, none of it in memory.
fn long(head: &'static str, fill: u8, count: u64, tail: &'static str) -> impl Read + Send {
    head.as_bytes().chain(io::repeat(fill).take(count)).chain(tail.as_bytes())
}

#[test]
fn a_line_of_200_mb() {
    const MB200: u64 = 200 * 1024 * 1024;
    const MB40: u64 = 40 * 1024 * 1024;
    for (name, source, expected) in [
        (
            "line",
            Box::new(long("visit_no,name\n1,a\n2,", b'x', MB200, "\n3,c\n")) as Box<dyn Read + Send>,
            "1:1|-|a 2!record_too_long 3:3|-|c",
        ),
        (
            "quoted cell",
            Box::new(long("visit_no,name\n1,\"", b'\n', MB40, "\"\n3,c\n")),
            "1!record_too_long 2:3|-|c",
        ),
        ("quote never closed", Box::new(long("visit_no,name\n1,\"", b'x', MB40, "")), "#unclosed_quote"),
        (
            "object",
            Box::new(long("{\"visit_no\":\"", b'x', MB40, "\"}\n{\"visit_no\":2}")),
            "1!record_too_long 2:2|-|-",
        ),
        (
            "element",
            Box::new(long("[{\"visit_no\":\"", b'x', MB40, "\"},{\"visit_no\":2}]")),
            "1!record_too_long 2:2|-|-",
        ),
        ("no heading", Box::new(long("a", b'x', MB40, "")), "#heading_invalid"),
        ("blank", Box::new(long("", b' ', MB40, "")), "#empty_file"),
    ] {
        assert_eq!(told(source), expected, "{name}");
    }
}

#[test]
fn the_character_set_may_show_late() {
    let mut bytes = b"visit_no,name\n".to_vec();
    for i in 0..20_000 {
        bytes.extend(format!("{i},ascii\n").bytes());
    }
    let ascii = bytes.len();
    bytes.extend(gb18030("20000,张三\n20001,李四\n"));
    assert!(told(&bytes[..]).ends_with("20001:20000|-|张三 20002:20001|-|李四"));
    bytes.truncate(ascii);
    bytes.extend("20000,张三\n".bytes());
    assert!(told(&bytes[..]).ends_with("20001:20000|-|张三"));
}

#[test]
fn positions_are_those_of_the_file() {
    let dataset = visits();
    let text = "visit_no,name\n1,张三张三张三张三张三张三张三张三张三张三张三张三张三张三张三\n2,";
    for (bytes, mark) in [
        (text.as_bytes().to_vec(), 0),
        ([b"\xEF\xBB\xBF", text.as_bytes()].concat(), 3),
        (gb18030(&text.replace("\n2,", &"张三\n2,".repeat(30))), 0),
    ] {
        let at = bytes.len() + 1;
        let whole = [&bytes[..], b"\xFF\n"].concat();
        let mut reader = open(&whole[..], &dataset, None).unwrap();
        let mut rows = Vec::new();
        while reader.next_rows(100, &mut rows).unwrap() > 0 {}
        let error = rows.pop().unwrap().unwrap_err();
        assert!(error.message.contains(&format!("第 {at} 字节")), "{mark}: {at}: {}", error.message);
    }
}

#[test]
fn a_failing_source_is_not_called_a_bad_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection lost"))
        }
    }
    for start in [b"visit_no,name\n1,a\n2,".to_vec(), gzip(b"visit_no\n1\n")[..15].to_vec()] {
        assert!(told(start.chain(Broken)).ends_with("#source_failed"));
    }
    trait Chained {
        fn chain(self, next: Broken) -> impl Read + Send;
    }
    impl Chained for Vec<u8> {
        fn chain(self, next: Broken) -> impl Read + Send {
            io::Cursor::new(self).chain(next)
        }
    }
}

#[test]
fn notes_name_unknown_headings() {
    let dataset = visits();
    let text = "visit_no,科室,xx\n1,a,b\n\n2,a,b\n";
    let mut reader = open(text.as_bytes(), &dataset, None).unwrap();
    while reader.next_rows(10, &mut Vec::new()).unwrap() > 0 {}
    assert_eq!(reader.unknown_headings(), ["科室", "xx"]);
    assert_eq!(reader.notes(), ["2 个列名不属于“门诊就诊”，其内容未入库：科室、xx。", "跳过 1 个空行。"]);
    assert_eq!(reader.source_bytes(), text.len() as u64);
}

#[test]
fn originals_come_back_as_they_were() {
    let text = "visit_no,备注\n1,a\n\n2,\"x,y\"\n3\n4,\"a\"b\n5,z\n";
    let out = rows_by_number(&gzip(&gb18030(text))[..], &[3, 4, 5, 99], None).unwrap();
    assert_eq!(out.headings, ["visit_no", "备注"]);
    let rows: Vec<(u64, Vec<&str>)> =
        out.rows.iter().map(|r| (r.number, r.cells.iter().map(String::as_str).collect())).collect();
    assert_eq!(rows, [(3, vec!["2", "x,y"]), (4, vec!["3"]), (5, vec!["4,\"a\"b"])]);
    let text = "{\"a\":1}\n{\"b\":[1],\"a\":\"x\"}\n{bad\n";
    let out = rows_by_number(text.as_bytes(), &[2, 3], None).unwrap();
    assert_eq!(out.headings, ["b", "a"]);
    assert_eq!(out.rows[0].cells, ["[1]", "x"]);
    assert_eq!(out.rows[1].cells, ["{bad"]);
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"visit_no".to_vec()),
        Just(b"name,".to_vec()),
        Just("姓名".as_bytes().to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(b"{\"visit_no\":".to_vec()),
        Just(b"}\n".to_vec()),
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b"\\u0".to_vec()),
        Just(b"-1.5e3".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|p| p.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_rows_or_errors(bytes in pieces(), hint in 0..4usize, zip in any::<bool>()) {
        let dataset = visits();
        let hint = [None, Some(Format::Csv), Some(Format::Ndjson), Some(Format::JsonArray)][hint];
        let bytes = if zip { gzip(&bytes) } else { bytes };
        if let Ok(mut reader) = open(&bytes[..], &dataset, hint) {
            let mut rows = Vec::new();
            while matches!(reader.next_rows(3, &mut rows), Ok(n) if n > 0) {}
            let numbers: Vec<u64> = rows.iter().map(|r| match r { Ok(r) => r.number, Err(e) => e.number }).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b));
        }
        let _ = rows_by_number(&bytes[..], &[1, 2, 5], hint);
    }

    #[test]
    fn csv_written_by_another_is_read_as_written(
        table in proptest::collection::vec(("[^\\x00]{1,12}", "[^\\x00]{0,12}", "[,\"\n\r;张 a]{0,8}"), 0..20),
        quote in any::<bool>(),
    ) {
        let style = if quote { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer = ::csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(["visit_no", "visit_time", "name"]).unwrap();
        for (a, b, c) in &table {
            writer.write_record([a, b, c]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let dataset = visits();
        let mut reader = open(&bytes[..], &dataset, None).unwrap();
        let mut rows = Vec::new();
        while reader.next_rows(7, &mut rows).unwrap() > 0 {}
        prop_assert_eq!(rows.len(), table.len());
        for (row, (a, b, c)) in rows.iter().zip(&table) {
            let cells = &row.as_ref().unwrap().cells;
            for (cell, text) in cells.iter().zip([a, b, c]) {
                prop_assert_eq!(cell.as_deref().unwrap_or(""), text.as_str());
            }
        }
    }

    #[test]
    fn json_is_judged_as_by_serde(text in "[\\[\\]{}\",:\\\\ truefalsn0-9.eE+-]{0,30}") {
        let ours = super::json::members(&text, |_, _| {}).is_ok();
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        // Numbers beyond the range of a double are well-formed; serde_json refuses them.
        let too_large = matches!(&theirs, Err(e) if e.to_string().contains("number out of range"));
        prop_assert!(too_large || ours == theirs.is_ok(), "{text}: {theirs:?}");
    }
}
