//! Which permissions each set of keys needs, and for what: one table, from which errors, `skyferry check` and
//! `docs/permissions.md` take them, and by which the templates are tested. Pure data.

/// Whose keys. The same keys may have several of these roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads the source bucket, on S3.
    Source,
    /// Writes the destination bucket, on S3: of this account, of another one, or of a China region.
    Destination,
    /// Writes the destination bucket, on Google Cloud Storage.
    Google,
    Queue,
    DeadLetters,
    Ledger,
    /// What credentials, lists and metrics of a fleet are read from and written to.
    Machine,
    /// A person who sets things up and looks after them.
    Operator,
}

/// What a permission is granted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum On {
    Bucket,
    Objects,
    Queue,
    DeadLetters,
    Table,
    Parameter,
    KmsKey,
    Secret,
    Project,
}

/// One permission of one role.
#[derive(Clone, Copy, Debug)]
pub struct Permission {
    pub role: Role,
    /// As the service's policies name it.
    pub action: &'static str,
    pub on: On,
    /// `None`: always. Else the setting or the verb that needs it.
    pub only_for: Option<&'static str>,
    /// What it is for.
    pub purpose: &'static str,
    /// The requests that it allows, as errors name them.
    pub requests: &'static [&'static str],
}

const fn always(
    role: Role,
    on: On,
    action: &'static str,
    purpose: &'static str,
    requests: &'static [&'static str],
) -> Permission {
    Permission { role, action, on, only_for: None, purpose, requests }
}

const fn only(
    role: Role,
    on: On,
    action: &'static str,
    only_for: &'static str,
    purpose: &'static str,
    requests: &'static [&'static str],
) -> Permission {
    Permission { role, action, on, only_for: Some(only_for), purpose, requests }
}

use On::{Bucket, KmsKey, Objects, Parameter, Project, Secret, Table};
use Role::{DeadLetters, Destination, Google, Ledger, Machine, Operator, Queue, Source};

pub const PERMISSIONS: &[Permission] = &[
    always(Source, Objects, "s3:GetObject", "read objects and their headers", &["GetObject", "HeadObject"]),
    always(
        Source,
        Bucket,
        "s3:ListBucket",
        "tell a missing object from a denied one; list for `scan`, `verify`, `copy`",
        &["ListObjectsV2"],
    ),
    only(Source, Objects, "s3:GetObjectVersion", "versions = \"exact\"", "read a version by its id", &[]),
    only(Source, Bucket, "s3:ListBucketVersions", "scan --versions", "list versions", &["ListObjectVersions"]),
    only(Source, Objects, "s3:GetObjectTagging", "tags = true", "read tags", &["GetObjectTagging"]),
    only(
        Source,
        Objects,
        "s3:GetObjectVersionTagging",
        "tags = true and versions = \"exact\"",
        "read a version's tags",
        &[],
    ),
    only(Source, Objects, "s3:RestoreObject", "restore = true", "restore archived objects", &["RestoreObject"]),
    only(Source, KmsKey, "kms:Decrypt", "objects under SSE-KMS", "read them", &[]),
    always(
        Destination,
        Objects,
        "s3:PutObject",
        "write objects, whole and in parts",
        &["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"],
    ),
    always(Destination, Objects, "s3:GetObject", "compare and prove copies", &["HeadObject", "GetObject"]),
    always(
        Destination,
        Bucket,
        "s3:ListBucket",
        "tell a missing object from a denied one; `scan`, `verify`",
        &["ListObjectsV2"],
    ),
    always(
        Destination,
        Objects,
        "s3:DeleteObject",
        "remove a copy that failed its check, and with deletes = true what was deleted at the source",
        &["DeleteObject"],
    ),
    always(
        Destination,
        Objects,
        "s3:AbortMultipartUpload",
        "end uploads that nobody continues",
        &["AbortMultipartUpload"],
    ),
    always(Destination, Objects, "s3:ListMultipartUploadParts", "continue an upload", &["ListParts"]),
    always(
        Destination,
        Bucket,
        "s3:ListBucketMultipartUploads",
        "find uploads that a killed agent left",
        &["ListMultipartUploads"],
    ),
    only(Destination, Objects, "s3:PutObjectTagging", "tags = true", "write tags", &[]),
    only(Destination, KmsKey, "kms:GenerateDataKey", "a bucket under SSE-KMS", "write objects", &[]),
    only(Destination, KmsKey, "kms:Decrypt", "a bucket under SSE-KMS", "write parts and read copies", &[]),
    always(Google, Objects, "storage.objects.create", "write objects", &["PutObject", "CompleteMultipartUpload"]),
    always(Google, Objects, "storage.objects.get", "compare and prove copies", &["HeadObject", "GetObject"]),
    always(
        Google,
        Objects,
        "storage.objects.delete",
        "replace objects, and remove a copy that failed its check",
        &["DeleteObject"],
    ),
    always(Google, Bucket, "storage.objects.list", "`scan`, `verify`", &["ListObjectsV2"]),
    always(
        Google,
        Objects,
        "storage.multipartUploads.create",
        "write in parts",
        &["CreateMultipartUpload", "UploadPart"],
    ),
    always(
        Google,
        Objects,
        "storage.multipartUploads.abort",
        "end uploads that nobody continues",
        &["AbortMultipartUpload"],
    ),
    always(Google, Objects, "storage.multipartUploads.listParts", "continue an upload", &["ListParts"]),
    always(
        Google,
        Bucket,
        "storage.multipartUploads.list",
        "find uploads that a killed agent left",
        &["ListMultipartUploads"],
    ),
    always(Queue, On::Queue, "sqs:GetQueueUrl", "find it by its name", &["GetQueueUrl"]),
    always(Queue, On::Queue, "sqs:GetQueueAttributes", "read its settings and depth", &["GetQueueAttributes"]),
    always(Queue, On::Queue, "sqs:ReceiveMessage", "receive", &["ReceiveMessage"]),
    always(Queue, On::Queue, "sqs:DeleteMessage", "end what is done", &["DeleteMessage", "DeleteMessageBatch"]),
    always(
        Queue,
        On::Queue,
        "sqs:ChangeMessageVisibility",
        "keep what is being worked on, give back what is not",
        &["ChangeMessageVisibility", "ChangeMessageVisibilityBatch"],
    ),
    always(
        Queue,
        On::Queue,
        "sqs:SendMessage",
        "keep a message that came often; jobs of `scan` and `inventory`",
        &["SendMessage", "SendMessageBatch"],
    ),
    always(
        DeadLetters,
        On::DeadLetters,
        "sqs:GetQueueAttributes",
        "`check` and `status` count them",
        &["GetQueueAttributes"],
    ),
    always(DeadLetters, On::DeadLetters, "sqs:SendMessage", "park a record with its reason", &["SendMessage"]),
    always(Ledger, Table, "dynamodb:UpdateItem", "record every step of an object", &["UpdateItem"]),
    always(Ledger, Table, "dynamodb:GetItem", "read a record", &["GetItem"]),
    always(Ledger, Table, "dynamodb:BatchGetItem", "read many for `scan` and `verify`", &["BatchGetItem"]),
    always(Ledger, Table, "dynamodb:Scan", "find uploads that were left; `table dump`", &["Scan"]),
    only(Ledger, Table, "dynamodb:DescribeTable", "check", "count its items", &["DescribeTable"]),
    only(Ledger, Table, "dynamodb:DescribeTimeToLive", "check", "see that expiry is on", &["DescribeTimeToLive"]),
    only(
        Machine,
        Parameter,
        "ssm:GetParameter",
        "the provider ssm, and lists named ssm:…",
        "read the key, the ignore list, the bucket pairs",
        &[],
    ),
    only(Machine, KmsKey, "kms:Decrypt", "a parameter under a key of one's own", "read it", &[]),
    only(Machine, Secret, "secretmanager.versions.access", "the provider secret-manager", "read the key pairs", &[]),
    only(Machine, Project, "monitoring.timeSeries.create", "[status] backlog_metric", "publish the backlog", &[]),
    only(Operator, Bucket, "s3:GetBucketNotification", "trigger", "read what the bucket notifies", &[]),
    only(Operator, Bucket, "s3:PutBucketNotification", "trigger", "add the queue to it", &[]),
    only(Operator, On::Queue, "sqs:GetQueueAttributes", "trigger, deadletters, status", "read policy and depth", &[]),
    only(Operator, On::Queue, "sqs:SetQueueAttributes", "trigger", "let S3 send to it", &[]),
    only(Operator, On::DeadLetters, "sqs:ReceiveMessage", "deadletters", "read them", &[]),
    only(Operator, On::DeadLetters, "sqs:ChangeMessageVisibility", "deadletters", "give them back", &[]),
    only(
        Operator,
        On::DeadLetters,
        "sqs:DeleteMessage",
        "deadletters redrive, drop",
        "remove what was sent again",
        &[],
    ),
    only(Operator, Table, "dynamodb:CreateTable", "table create", "create the table", &[]),
    only(Operator, Table, "dynamodb:UpdateTable", "table create", "add the index", &[]),
    only(Operator, Table, "dynamodb:UpdateTimeToLive", "table create", "switch expiry on", &[]),
    only(Operator, Table, "dynamodb:DescribeTable", "table create", "see that it is there", &[]),
    only(Operator, Table, "dynamodb:DescribeTimeToLive", "table create", "see whether expiry is on", &[]),
];

/// Of these roles.
pub fn of(role: Role) -> impl Iterator<Item = &'static Permission> {
    PERMISSIONS.iter().filter(move |permission| permission.role == role)
}

/// What a role lacks when this request is denied to it.
pub fn lacking(role: Role, request: &str) -> Option<&'static str> {
    of(role).find(|permission| permission.requests.contains(&request)).map(|permission| permission.action)
}
