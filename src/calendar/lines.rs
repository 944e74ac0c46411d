//! Content lines of RFC 5545 section 3.1: what a value may not hold is escaped, and what is too long is folded.

/// Section 3.1: octets of a line without its end.
const OCTETS_MAX: usize = 75;

#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A value that needs no escaping: a word, a time, an address. `name` may carry parameters.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        // What would end the line is never part of such a value; if it were, it would begin another one.
        let line: String = format!("{name}:{value}").chars().filter(|c| !c.is_control()).collect();
        self.fold(&line);
    }

    /// A value of the type TEXT (section 3.3.11).
    pub(super) fn text(&mut self, name: &str, value: &str) {
        let mut escaped = String::with_capacity(value.len());
        for c in value.chars() {
            match c {
                '\\' | ';' | ',' => escaped.extend(['\\', c]),
                '\n' => escaped.push_str("\\n"),
                c if c.is_control() => {}
                c => escaped.push(c),
            }
        }
        self.fold(&format!("{name}:{escaped}"));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// A continuation begins with a space, which counts; no character is split.
    fn fold(&mut self, line: &str) {
        let mut octets = 0;
        for c in line.chars() {
            if octets + c.len_utf8() > OCTETS_MAX {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(c);
            octets += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// The value of a parameter (section 3.2). A double quote cannot stand in one, in any form that all programs know.
pub(super) fn quoted(value: &str) -> String {
    let safe = value.chars().filter(|c| !c.is_control()).map(|c| if c == '"' { '\'' } else { c });
    format!("\"{}\"", safe.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Lines)) -> String {
        let mut lines = Lines::default();
        write(&mut lines);
        lines.finish()
    }

    #[test]
    fn nothing_in_a_text_ends_its_line() {
        let text = written(|lines| lines.text("SUMMARY", "a;b,c\\d\r\nATTENDEE:mailto:x@y.z"));
        assert_eq!(text, "SUMMARY:a\\;b\\,c\\\\d\\nATTENDEE:mailto:x@y.z\r\n");
        assert_eq!(written(|lines| lines.plain("URL", "a\r\nb")), "URL:ab\r\n");
        assert_eq!(quoted("Dr \"X\"\r\n: Y"), "\"Dr 'X': Y\"");
    }

    #[test]
    fn a_long_line_is_folded_between_characters() {
        for value in ["x".repeat(300), "é".repeat(200), "👩\u{200d}⚕\u{fe0f}".repeat(40)] {
            let text = written(|lines| lines.text("SUMMARY", &value));
            assert!(text.split("\r\n").all(|line| line.len() <= OCTETS_MAX), "{text}");
            assert_eq!(text.replace("\r\n ", ""), format!("SUMMARY:{value}\r\n"));
        }
        assert_eq!(written(|lines| lines.plain("A", &"x".repeat(73))).matches("\r\n").count(), 1);
    }
}
