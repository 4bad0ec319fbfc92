//! JSON objects as rows: a small scanner that keeps numbers as they were written and never recurses.

use std::borrow::Cow;

use memchr::memchr2;

/// Greatest nesting of a value.
pub const MAX_DEPTH: u32 = 32;

/// The value of one member of an object.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// `null`.
    Null,
    /// A text.
    Text(Cow<'a, str>),
    /// A number, `true` or `false`, as written.
    Literal(&'a str),
    /// An object or an array, as written.
    Nested(&'a str),
}

/// What is wrong with a JSON text, and at which byte of it (from 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// Calls `member` for each member of the object that `text` is, in order.
pub(super) fn members<'a>(
    text: &'a str,
    mut member: impl FnMut(Cow<'a, str>, Cell<'a>),
) -> Result<(), Fault> {
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0 };
    scan.blank();
    if scan.peek() != Some(b'{') {
        return Err(scan.fault("应是一个 JSON 对象（以“{”开头）"));
    }
    scan.at += 1;
    scan.blank();
    if scan.peek() == Some(b'}') {
        scan.at += 1;
        return scan.end();
    }
    loop {
        scan.blank();
        if scan.peek() != Some(b'"') {
            return Err(scan.fault("应是带双引号的字段名"));
        }
        let name = scan.string()?;
        scan.blank();
        if scan.peek() != Some(b':') {
            return Err(scan.fault("字段名之后缺少冒号"));
        }
        scan.at += 1;
        scan.blank();
        let value = scan.value()?;
        member(name, value);
        scan.blank();
        match scan.peek() {
            Some(b',') => scan.at += 1,
            Some(b'}') => {
                scan.at += 1;
                return scan.end();
            }
            None => return Err(scan.fault("对象没有结束，缺少“}”")),
            _ => return Err(scan.fault("应是逗号或“}”")),
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn end(mut self) -> Result<(), Fault> {
        self.blank();
        if self.at < self.bytes.len() { Err(self.fault("对象之后还有多余的内容")) } else { Ok(()) }
    }

    fn value(&mut self) -> Result<Cell<'a>, Fault> {
        let from = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Cell::Text),
            Some(b'{' | b'[') => {
                self.nested()?;
                Ok(Cell::Nested(&self.text[from..self.at]))
            }
            _ => {
                self.literal()?;
                let written = &self.text[from..self.at];
                Ok(if written == "null" { Cell::Null } else { Cell::Literal(written) })
            }
        }
    }

    /// A string, from its opening quote; escapes resolved.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let from = self.at;
        let plain = self.pass_string()?;
        let whole = &self.text[from..self.at];
        if plain {
            return Ok(Cow::Borrowed(&whole[1..whole.len() - 1]));
        }
        match serde_json::from_str::<String>(whole) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(Fault { at: from, what: "文字中的转义写法无效" }),
        }
    }

    /// Passes over a string; whether it is free of escapes.
    fn pass_string(&mut self) -> Result<bool, Fault> {
        let from = self.at;
        let mut plain = true;
        self.at += 1;
        let begin = self.at;
        loop {
            let Some(i) = memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                return Err(Fault { at: from, what: "文字没有结束，缺少右引号" });
            };
            self.at += i;
            if self.bytes[self.at] == b'"' {
                break;
            }
            plain = false;
            self.at = (self.at + 2).min(self.bytes.len());
        }
        if let Some(i) = self.bytes[begin..self.at].iter().position(|b| *b < 0x20) {
            return Err(Fault {
                at: begin + i, what: "文字中有未转义的控制字符（换行、制表符等）"
            });
        }
        self.at += 1;
        Ok(plain)
    }

    fn literal(&mut self) -> Result<(), Fault> {
        for word in ["null", "true", "false"] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        self.number()
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        let fault = Fault {
            at: begin, what: "这里应是值，但不是有效的文字、数字、true、false 或 null"
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || zero && whole > 1 {
            return Err(fault);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(fault);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Passes over an object or array, checking its grammar, with a stack of bits instead of recursion.
    fn nested(&mut self) -> Result<(), Fault> {
        let (mut depth, mut objects) = (0u32, 0u64);
        loop {
            // At the beginning of a value.
            self.blank();
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    depth += 1;
                    // The row itself is the outermost object.
                    if depth + 1 > MAX_DEPTH {
                        return Err(self.fault("嵌套超过 32 层"));
                    }
                    objects = objects << 1 | u64::from(open == b'{');
                    self.at += 1;
                    self.blank();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        if open == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                _ => self.literal()?,
            }
            // Behind a value, or at the closing bracket of an empty one.
            loop {
                self.blank();
                let in_object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if in_object {
                            self.name()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    None => return Err(self.fault("对象或数组没有结束")),
                    _ => return Err(self.fault("应是逗号或右括号")),
                }
                self.at += 1;
                depth -= 1;
                objects >>= 1;
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn name(&mut self) -> Result<(), Fault> {
        self.blank();
        if self.peek() != Some(b'"') {
            return Err(self.fault("应是带双引号的字段名"));
        }
        self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err(self.fault("字段名之后缺少冒号"));
        }
        self.at += 1;
        Ok(())
    }
}
