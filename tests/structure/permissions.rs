//! The documentation's policies and the templates' are those of the code's one table: this compares them, and writes the
//! document again with `UPDATE_DOCS=1`.

use std::collections::BTreeSet;
use std::fmt::Write;

use skyferry_core::permissions::{self, PERMISSIONS, Permission, Resource, Role};

use crate::root;

const DOCUMENT: &str = "docs/permissions.md";

const OPENING: &str = "\
# Permissions

What each set of keys must be allowed, and no more. One identity may have several of these roles: on EC2 the instance role often has
all but the destination's. This page is generated from the code: do not edit it. To regenerate it, run
`UPDATE_DOCS=1 cargo test --test structure`.

`skyferry check` tries what agents will do and names the permission that is missing. What stands in capitals is yours; in China
regions `arn:aws:` is `arn:aws-cn:`. The templates for [EC2](ec2.md) and [Google Compute Engine](gce.md) grant exactly this.
";

const ROLES: &[(Role, &str, &str)] = &[
    (
        Role::Source,
        "Source: reads S3",
        "The instance role, a user or a role of the bucket's account; a bucket of another account needs the same in its bucket policy.",
    ),
    (
        Role::Destination,
        "Destination: writes S3",
        "For China a user of the `aws-cn` account, whose key pair is in SSM.",
    ),
    (
        Role::Google,
        "Destination: writes Google Cloud Storage",
        "For the service account of the machines, or of an interoperability key (HMAC), on the bucket. `roles/storage.objectUser` has \
         all of it; a custom role of these permissions is less.",
    ),
    (Role::Queue, "Queue", "The source's keys, if `[credentials] queue` names no others."),
    (Role::DeadLetters, "Dead-letter queue", "The queue's keys."),
    (Role::Ledger, "Ledger", "The source's keys, if `[credentials] ledger` names no others."),
    (
        Role::Machine,
        "Machine",
        "What reads secrets and lists, with the machine's own identity. On Google `roles/secretmanager.secretAccessor` on the \
      secret and `roles/monitoring.metricWriter` on the project.",
    ),
    (Role::Operator, "Operator", "For who sets up and looks after it, besides the agents' own."),
];

fn arn(on: Resource) -> &'static str {
    match on {
        Resource::Bucket => "arn:aws:s3:::BUCKET",
        Resource::Objects => "arn:aws:s3:::BUCKET/*",
        Resource::Queue => "arn:aws:sqs:REGION:ACCOUNT:QUEUE",
        Resource::DeadLetters => "arn:aws:sqs:REGION:ACCOUNT:DEAD-LETTERS",
        Resource::Table => "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE",
        Resource::Parameter => "arn:aws:ssm:REGION:ACCOUNT:parameter/NAME",
        Resource::KmsKey => "arn:aws:kms:REGION:ACCOUNT:key/ID",
        Resource::Secret => "the secret",
        Resource::Project => "the project",
    }
}

/// What is always needed, as a policy: a statement a resource, in the table's order.
fn policy(role: Role) -> String {
    let needed: Vec<&Permission> =
        permissions::of_role(role).filter(|permission| permission.only_for.is_none()).collect();
    let mut places: Vec<Resource> = Vec::new();
    for permission in &needed {
        if !places.contains(&permission.on) {
            places.push(permission.on);
        }
    }
    let statements = places.iter().map(|on| {
        let here = needed.iter().filter(|permission| permission.on == *on);
        let actions: Vec<String> = here.map(|permission| format!("\"{}\"", permission.action)).collect();
        format!(
            "    {{\"Effect\": \"Allow\", \"Resource\": \"{}\",\n     \"Action\": [{}]}}",
            arn(*on),
            actions.join(", ")
        )
    });
    let statements: Vec<String> = statements.collect();
    format!("{{\"Version\": \"2012-10-17\", \"Statement\": [\n{}\n]}}", statements.join(",\n"))
}

fn document() -> String {
    let mut text = OPENING.to_owned();
    for (role, title, words) in ROLES {
        writeln!(text, "\n## {title}\n\n{words}\n").expect("a String grows");
        let always = permissions::of_role(*role).any(|permission| permission.only_for.is_none());
        if always && *role != Role::Google {
            writeln!(text, "```json\n{}\n```\n", policy(*role)).expect("a String grows");
        }
        text.push_str("| Permission | on | only for | what for |\n|---|---|---|---|\n");
        for Permission { action, on, only_for, purpose, .. } in permissions::of_role(*role) {
            let on = arn(*on).trim_start_matches("arn:aws:");
            let only_for = only_for.map(|only| format!("`{only}`")).unwrap_or_default();
            writeln!(text, "| `{action}` | `{on}` | {only_for} | {purpose} |").expect("a String grows");
        }
    }
    text
}

#[test]
fn the_policies_in_the_documentation_are_the_code_s() {
    let (path, wanted) = (root().join(DOCUMENT), document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("the document can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{DOCUMENT} is not the code's table: write it anew with UPDATE_DOCS=1");
}

/// The actions of some services that stand in a file.
fn granted(file: &str, services: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).expect("a template");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':' || c == '*')));
    let is_action = |word: &&str| {
        word.split_once(':').is_some_and(|(service, verb)| {
            services.contains(&service) && (verb.starts_with(|c: char| c.is_ascii_uppercase()) || verb == "*")
        })
    };
    words.filter(is_action).map(str::to_owned).collect()
}

fn needed(roles: &[Role]) -> BTreeSet<String> {
    let rows = PERMISSIONS.iter().filter(|permission| roles.contains(&permission.role));
    rows.map(|permission| permission.action.to_owned()).filter(|action| !action.contains('.')).collect()
}

#[test]
fn the_templates_grant_what_the_table_names_and_no_more() {
    const AGENTS: [Role; 4] = [Role::Source, Role::Queue, Role::DeadLetters, Role::Ledger];
    // A scan with --versions is a person's; who gives copies an ACL or a lock grants that, too.
    let by_hand = |action: &String| {
        ["s3:ListBucketVersions", "s3:GetObjectRetention", "s3:PutObjectRetention", "s3:PutObjectAcl"]
            .contains(&action.as_str())
    };
    let mut wanted: BTreeSet<String> = needed(&[&AGENTS[..], &[Role::Destination, Role::Machine]].concat());
    wanted.retain(|action| !by_hand(action));
    // The queue's own policies deny everything over plain http.
    wanted.insert("sqs:*".into());
    // Instead of SSH.
    wanted.insert("ssm:UpdateInstanceInformation".into());
    let services = ["s3", "sqs", "dynamodb", "ssm", "kms"];
    assert_eq!(granted("deploy-ec2/skyferry.yaml", &services), wanted);

    let mut wanted: BTreeSet<String> = needed(&AGENTS);
    wanted.retain(|action| !by_hand(action));
    assert_eq!(granted("deploy-gce/aws/identity.tf", &services), wanted);
}

#[test]
fn every_action_is_one_of_its_service_and_stands_once_in_its_role() {
    for (role, ..) in ROLES {
        let rows: Vec<&Permission> = permissions::of_role(*role).collect();
        let names: BTreeSet<(&str, String)> = rows.iter().map(|row| (row.action, format!("{:?}", row.on))).collect();
        assert!(!rows.is_empty() && names.len() == rows.len(), "{role:?}");
    }
    assert!(PERMISSIONS.iter().all(|row| ROLES.iter().any(|(role, ..)| *role == row.role)));
}
