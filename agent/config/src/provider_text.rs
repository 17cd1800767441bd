//! A provider as one text, as the command line and the environment have it: `environment:SRC_`.

/// The short form as the table that it stands for. What is no provider's name is found out when the table is read.
pub(super) fn fields(text: &str) -> Vec<(&'static str, String)> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let names = match kind {
        "ssm" | "profile" => ("name", None),
        "secret-manager" => ("resource", Some("field")),
        "environment" => ("prefix", None),
        "file" => ("path", Some("field")),
        "web-identity" => ("role_arn", Some("audience")),
        "google" => ("audience", None),
        // Nothing can follow these.
        _ => return vec![("provider", text.to_string())],
    };
    let mut fields = vec![("provider", kind.to_string())];
    let (first, second) = match names.1 {
        Some(_) => rest.split_once('#').unwrap_or((rest, "")),
        None => (rest, ""),
    };
    fields.extend((!first.is_empty()).then(|| (names.0, first.to_string())));
    fields.extend(names.1.filter(|_| !second.is_empty()).map(|name| (name, second.to_string())));
    fields
}
