//! Reads which modules of its own crate a source file names: `use` trees and paths in code alike, by `crate::`, `super::`,
//! `self::` or a child module's name in a `use`. Comments, texts and whatever is only for tests are left out.

use std::collections::BTreeSet;

/// A path from the crate's root, and the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
}

/// What a file says about modules.
#[derive(Debug, Default)]
pub struct Found {
    pub imports: Vec<Import>,
    /// Modules in files of their own that are compiled for tests only, by their paths from the root.
    pub test_modules: Vec<Vec<String>>,
}

type Token = (usize, String);

/// `module`: the file's own path from the crate's root (`["store", "s3"]`).
pub fn read(text: &str, module: &[String]) -> Found {
    let tokens = tokens(text);
    let is = |at: usize, words: &[&str]| {
        words.iter().enumerate().all(|(i, word)| tokens.get(at + i).is_some_and(|(_, token)| token == word))
    };
    let word = |at: usize| tokens.get(at).map_or("", |(_, token)| token.as_str());
    let children: BTreeSet<&str> = (0..tokens.len()).filter(|&at| word(at) == "mod").map(|at| word(at + 1)).collect();
    let (mut found, mut at) = (Found::default(), 0);
    // Inline modules that are open, with the depth of braces outside them.
    let (mut inside, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    while at < tokens.len() {
        let here: Vec<String> = module.iter().cloned().chain(inside.iter().map(|(name, _)| name.clone())).collect();
        if is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            let mut item = at + 7;
            while is(item, &["#", "["]) {
                item = closing(&tokens, item + 1);
            }
            if word(item) == "mod" && word(item + 2) == ";" {
                found.test_modules.push([here, vec![word(item + 1).to_owned()]].concat());
            }
            at = end_of_item(&tokens, item);
            continue;
        }
        match word(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inside.last().is_some_and(|(_, outside)| *outside == depth) {
                    inside.pop();
                }
            }
            "mod" if word(at + 2) == "{" => {
                inside.push((word(at + 1).to_owned(), depth));
                depth += 1;
                at += 3;
                continue;
            }
            first @ ("crate" | "super" | "self") if word(at + 1) == "::" && (at == 0 || word(at - 1) != "::") => {
                let start = match first {
                    "crate" => Vec::new(),
                    "self" => here,
                    _ => here[..here.len().saturating_sub(1)].to_vec(),
                };
                at = tree(&tokens, at + 2, start, &mut found.imports);
                continue;
            }
            "use" if children.contains(word(at + 1)) && word(at + 2) == "::" => {
                at = tree(&tokens, at + 1, here, &mut found.imports);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads what comes after `prefix::`: a name, a path, or a group of such. Gives the place behind it.
fn tree(tokens: &[Token], mut at: usize, mut prefix: Vec<String>, into: &mut Vec<Import>) -> usize {
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    match tokens[at].1.as_str() {
                        "," => at += 1,
                        "as" => at += 2,
                        _ => at = tree(tokens, at, prefix.clone(), into),
                    }
                }
                return at + 1;
            }
            "super" => {
                prefix.pop();
            }
            "self" => {}
            name if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => prefix.push(name.to_owned()),
            // A glob, or the turbofish behind a path.
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|(_, token)| token != "::") {
            into.push(Import { line, path: prefix });
            return at;
        }
        at += 1;
    }
    into.push(Import { line, path: prefix });
    at + 1
}

/// From an opening bracket to behind the one that closes it.
fn closing(tokens: &[Token], mut at: usize) -> usize {
    let mut open = 0;
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            break;
        }
    }
    at
}

/// Behind an item that starts here: its `;`, or its block.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            ";" => return at + 1,
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Words and signs with their lines. Comments are dropped, texts and characters become an empty text.
fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, token) = token(rest, first);
        if let Some(token) = token {
            found.push((line, token));
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn token(rest: &str, first: char) -> (usize, Option<String>) {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let text = || Some("\"".to_owned());
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (comment(rest), None);
    }
    if let Some(length) = raw_text(rest) {
        return (length, text());
    }
    match first {
        '"' => (quoted(rest, 1), text()),
        'b' if rest.starts_with("b\"") => (quoted(rest, 2), text()),
        '\'' => {
            // A lifetime, or a character: 'a' closes after one, '\n' begins with a backslash.
            let mut after = rest[1..].chars();
            match (after.next(), after.next()) {
                (Some('\\'), Some(escaped)) => {
                    let from = 2 + escaped.len_utf8();
                    (rest[from..].find('\'').map_or(rest.len(), |at| from + at + 1), text())
                }
                (Some(one), Some('\'')) => (2 + one.len_utf8(), text()),
                _ => (1 + word(&rest[1..]), None),
            }
        }
        ':' if rest.starts_with("::") => (2, Some("::".to_owned())),
        c if c.is_alphanumeric() || c == '_' => (word(rest), Some(rest[..word(rest)].to_owned())),
        c if c.is_whitespace() => (c.len_utf8(), None),
        c => (c.len_utf8(), Some(c.to_string())),
    }
}

/// Block comments nest.
fn comment(rest: &str) -> usize {
    let (mut open, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (open, at) = (open + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (open, at) = (open - 1, at + 2);
            if open == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn raw_text(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    let body = behind[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn quoted(rest: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(from) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn imports_are_found_wherever_they_hide() {
    let text = r##"
        //! use crate::comment::A; /* crate::comment */
        /* crate::comment /* crate::nested */ crate::comment */
        mod child;
        use crate::one::{A, two::{B, C as D}, self};
        use super::{sibling::E, super::top::F};
        use child::G;
        const TEXT: &str = "crate::text \" crate::text";
        const RAW: &str = r#"crate::raw " crate::raw"#;
        fn f<'a>(c: char) -> bool { c == '"' || c == '\'' || crate::code::path::<'a>(c) }
        mod inline { use super::H; fn g() { self::i() } }
        #[cfg(test)]
        #[allow(unused)]
        mod tests { use crate::tested::J; fn k() {} }
        #[cfg(test)] mod live;
        #[cfg(test)] fn only() -> [u8; 2] { crate::tested::l() }
        pub(crate) use crate::last::*;
    "##;
    let module = ["store".to_owned(), "s3".to_owned()];
    let found = read(text, &module);
    let paths: Vec<(usize, String)> = found.imports.iter().map(|i| (i.line, i.path.join("::"))).collect();
    let expected = [
        (5, "one::A"),
        (5, "one::two::B"),
        (5, "one::two::C"),
        (5, "one"),
        (6, "store::sibling::E"),
        (6, "top::F"),
        (7, "store::s3::child::G"),
        (10, "code::path"),
        (11, "store::s3::H"),
        (11, "store::s3::inline::i"),
        (17, "last"),
    ];
    assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
    assert_eq!(found.test_modules, [["store", "s3", "live"]]);
}
