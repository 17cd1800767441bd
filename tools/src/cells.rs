//! Texts of others in files that a spreadsheet opens: a key may be named so that it becomes a formula there, or turns the line.

use std::borrow::Cow;

use skyferry_core::model::is_unprintable;

/// The text as a cell: what is not printable escaped, and an apostrophe before what would begin a formula.
pub fn cell(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    if !formula && !text.contains(is_unprintable) {
        return text.into();
    }
    let mut safe = String::from(if formula { "'" } else { "" });
    for c in text.chars() {
        match is_unprintable(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_run_no_formula_and_turn_no_line() {
        for (text, safe) in [
            ("photos/a b.jpg", "photos/a b.jpg"),
            ("=cmd()", "'=cmd()"),
            ("@x", "'@x"),
            ("-12.5", "-12.5"),
            ("+a", "'+a"),
            ("a\u{1b}[31m\n", "a\\u{1b}[31m\\n"),
            ("a\u{202e}gpj.exe\u{2028}", "a\\u{202e}gpj.exe\\u{2028}"),
        ] {
            assert_eq!(cell(text), safe);
        }
    }
}
