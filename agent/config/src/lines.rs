//! Where a setting stands in its file, for errors: the library that merges file and environment forgets it.

use std::path::Path;

use super::{ConfigError, Problem};

/// The same error, each problem of this file with its line.
pub(super) fn with_lines(error: ConfigError, file: &Path, text: &str) -> ConfigError {
    let ConfigError::Invalid(problems) = error else { return error };
    let name = file.display().to_string();
    let placed = problems.into_iter().map(|problem| {
        let line = line_of(text, &problem.setting).filter(|_| problem.origin.as_deref() == Some(&name));
        match line {
            Some(line) => Problem { origin: Some(format!("{name}:{line}")), ..problem },
            None => problem,
        }
    });
    ConfigError::Invalid(placed.collect())
}

/// The line, from 1, of `transfer.part_size`, `routes[1].prefix` or `credentials.source.name`, or of what it lies in.
fn line_of(text: &str, setting: &str) -> Option<usize> {
    let (mut table, mut met, mut best) = (String::new(), Vec::<String>::new(), None::<(usize, usize)>);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let path = if let Some(header) = line.strip_prefix('[') {
            let several = header.starts_with('[');
            let header = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            let index = met.iter().filter(|known| **known == header).count();
            table = if several { format!("{header}[{index}]") } else { header.clone() };
            met.push(header);
            table.clone()
        } else {
            let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
            if table.is_empty() { key.trim().to_owned() } else { format!("{table}.{}", key.trim()) }
        };
        let is_it = setting == path || setting.strip_prefix(&*path).is_some_and(|rest| rest.starts_with(['.', '[']));
        if is_it && best.is_none_or(|(length, _)| path.len() > length) {
            best = Some((path.len(), number + 1));
        }
    }
    best.map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_in_its_table_or_its_inline_table() {
        let text = "mode = \"get\"\n[credentials]\nsource = { provider = \"x\", name = 1 }\n# a = 1\n[[routes]]\n\
            prefix = \"a\"\n[[routes]]\nprefix = \"b\"\n[transfer]\npart_size = 1\n[wrong]\n";
        for (setting, line) in [
            ("mode", Some(1)),
            ("credentials.source.name", Some(3)),
            ("routes[0].prefix", Some(6)),
            ("routes[1].prefix", Some(8)),
            ("transfer.part_size", Some(10)),
            ("transfer.missing", Some(9)),
            ("wrong", Some(11)),
            ("nothing", None),
        ] {
            assert_eq!(line_of(text, setting), line, "{setting}");
        }
    }
}
