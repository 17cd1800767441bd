//! The predecessors' bucket pairs, as an SSM parameter or 3GSync's list file holds them, as routes: what to list and where it
//! goes. A JSON array of `{"src_bucket", "src_prefix", "des_bucket", "des_prefix"}`, or one such object a line.

use serde::Deserialize;

use super::settings::RouteSettings;

#[derive(Deserialize)]
struct Pair {
    src_bucket: String,
    #[serde(default)]
    src_prefix: String,
    des_bucket: String,
    #[serde(default)]
    des_prefix: String,
}

/// Reads pairs. The error says which one is wrong, and how.
pub fn parse(text: &str) -> Result<Vec<RouteSettings>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let pairs: Vec<Pair> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| format!("the bucket pairs are wrong: {error}"))?
    } else {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim().trim_end_matches(',')));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let read = |(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {number} of the bucket pairs is wrong: {error}"))
        };
        lines.map(read).collect::<Result<_, _>>()?
    };
    pairs
        .into_iter()
        .enumerate()
        .map(|(index, pair)| pair.route().map_err(|e| format!("bucket pair {}: {e}", index + 1)))
        .collect()
}

impl Pair {
    /// Their jobsender did not take the source's prefix off.
    fn route(self) -> Result<RouteSettings, String> {
        let folder = |prefix: String| if prefix == "/" { String::new() } else { prefix };
        for (name, bucket) in [("src_bucket", &self.src_bucket), ("des_bucket", &self.des_bucket)] {
            if bucket.is_empty() {
                return Err(format!("{name} is empty"));
            }
        }
        Ok(RouteSettings {
            source_bucket: Some(self.src_bucket),
            source_prefix: folder(self.src_prefix),
            bucket: self.des_bucket,
            prefix: folder(self.des_prefix),
            strip_prefix: false,
            options: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_an_array_and_by_the_line() {
        let one = r#"{"src_bucket":"a","src_prefix":"p/","des_bucket":"b","des_prefix":"/"}"#;
        let other = r#"{"src_bucket":"c","des_bucket":"d"}"#;
        let array = parse(&format!("\u{feff}[{one},\n{other}]")).unwrap();
        assert_eq!(parse(&format!("# both\r\n{one},\r\n\r\n{other}\r\n")).unwrap(), array);
        let expected: Vec<_> =
            array.iter().map(|r| (r.source_bucket.as_deref(), &*r.source_prefix, &*r.bucket, &*r.prefix)).collect();
        assert_eq!(expected, [(Some("a"), "p/", "b", ""), (Some("c"), "", "d", "")]);
    }

    #[test]
    fn a_wrong_pair_is_told_by_its_place() {
        assert!(parse("[{\"src_bucket\":\"a\"}]").unwrap_err().contains("des_bucket"));
        assert!(
            parse("\n{\"src_bucket\":\"\",\"des_bucket\":\"b\"}").unwrap_err().contains("pair 1: src_bucket is empty")
        );
        assert!(parse("{\"src_bucket\":\"a\",\"des_bucket\":\"b\"}\nnonsense").unwrap_err().contains("line 2"));
        assert_eq!(parse(" \n").unwrap(), []);
    }
}
