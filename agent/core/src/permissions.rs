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
    /// The queue of events.
    Queue,
    /// Its dead letters.
    DeadLetters,
    /// The ledger's table.
    Ledger,
    /// What credentials, lists and metrics of a fleet are read from and written to.
    Machine,
    /// A person who sets things up and looks after them.
    Operator,
}

/// What a permission is granted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A bucket itself.
    Bucket,
    /// The objects in a bucket.
    Objects,
    /// The queue of events.
    Queue,
    /// Its dead letters.
    DeadLetters,
    /// The ledger's table.
    Table,
    /// A parameter of SSM.
    Parameter,
    /// A key of KMS.
    KmsKey,
    /// A secret of Secret Manager.
    Secret,
    /// A project of Google Cloud.
    Project,
}

/// One permission of one role.
#[derive(Clone, Copy, Debug)]
pub struct Permission {
    /// Who needs it.
    pub role: Role,
    /// As the service's policies name it.
    pub action: &'static str,
    /// What it is granted on.
    pub on: Resource,
    /// `None`: always. Else the setting or the verb that needs it.
    pub only_for: Option<&'static str>,
    /// What it is for.
    pub purpose: &'static str,
    /// The requests that it allows, as errors name them.
    pub requests: &'static [&'static str],
}

const fn required(
    role: Role,
    on: Resource,
    action: &'static str,
    purpose: &'static str,
    requests: &'static [&'static str],
) -> Permission {
    Permission { role, action, on, only_for: None, purpose, requests }
}

const fn required_for(
    role: Role,
    on: Resource,
    action: &'static str,
    only_for: &'static str,
    purpose: &'static str,
    requests: &'static [&'static str],
) -> Permission {
    Permission { role, action, on, only_for: Some(only_for), purpose, requests }
}

use Resource::{Bucket, KmsKey, Objects, Parameter, Project, Secret, Table};
use Role::{DeadLetters, Destination, Google, Ledger, Machine, Operator, Queue, Source};

/// All of them.
pub const PERMISSIONS: &[Permission] = &[
    required(Source, Objects, "s3:GetObject", "read objects and their headers", &["GetObject", "HeadObject"]),
    required(
        Source,
        Bucket,
        "s3:ListBucket",
        "distinguish a missing object from a denied one; list for `scan`, `verify`, `copy`",
        &["ListObjectsV2"],
    ),
    required_for(Source, Objects, "s3:GetObjectVersion", "versions = \"exact\"", "read a version by its id", &[]),
    required_for(Source, Bucket, "s3:ListBucketVersions", "scan --versions", "list versions", &["ListObjectVersions"]),
    required_for(Source, Objects, "s3:GetObjectTagging", "tags = true", "read tags", &["GetObjectTagging"]),
    required_for(
        Source,
        Objects,
        "s3:GetObjectVersionTagging",
        "tags = true and versions = \"exact\"",
        "read a version's tags",
        &[],
    ),
    required_for(Source, Objects, "s3:RestoreObject", "restore = true", "restore archived objects", &["RestoreObject"]),
    required_for(Source, Objects, "s3:GetObjectRetention", "retention = \"source\"", "see the lock of objects", &[]),
    required_for(Source, KmsKey, "kms:Decrypt", "objects under SSE-KMS", "read them", &[]),
    required(
        Destination,
        Objects,
        "s3:PutObject",
        "write objects, whole and in parts",
        &["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"],
    ),
    required(Destination, Objects, "s3:GetObject", "compare and prove copies", &["HeadObject", "GetObject"]),
    required(
        Destination,
        Bucket,
        "s3:ListBucket",
        "distinguish a missing object from a denied one; `scan`, `verify`",
        &["ListObjectsV2"],
    ),
    required(
        Destination,
        Objects,
        "s3:DeleteObject",
        "remove a copy that failed its check, and with deletes = true what was deleted at the source",
        &["DeleteObject"],
    ),
    required(Destination, Objects, "s3:AbortMultipartUpload", "abort abandoned uploads", &["AbortMultipartUpload"]),
    required(Destination, Objects, "s3:ListMultipartUploadParts", "continue an upload", &["ListParts"]),
    required(
        Destination,
        Bucket,
        "s3:ListBucketMultipartUploads",
        "find uploads of a killed agent",
        &["ListMultipartUploads"],
    ),
    required_for(Destination, Objects, "s3:PutObjectTagging", "tags = true", "write tags", &[]),
    required_for(Destination, Objects, "s3:PutObjectAcl", "acl", "give copies an ACL", &[]),
    required_for(Destination, Objects, "s3:PutObjectRetention", "retention = \"source\"", "lock copies", &[]),
    required_for(
        Destination,
        KmsKey,
        "kms:GenerateDataKey",
        "a bucket under SSE-KMS, and encryption = \"sse-kms\"",
        "write objects",
        &[],
    ),
    required_for(
        Destination,
        KmsKey,
        "kms:Decrypt",
        "a bucket under SSE-KMS, and encryption = \"sse-kms\"",
        "write parts and read copies",
        &[],
    ),
    required(Google, Objects, "storage.objects.create", "write objects", &["PutObject", "CompleteMultipartUpload"]),
    required(Google, Objects, "storage.objects.get", "compare and prove copies", &["HeadObject", "GetObject"]),
    required(
        Google,
        Objects,
        "storage.objects.delete",
        "replace objects, and remove a copy that failed its check",
        &["DeleteObject"],
    ),
    required_for(Google, Objects, "storage.objects.setRetention", "retention = \"source\"", "lock copies", &[]),
    required(Google, Bucket, "storage.objects.list", "`scan`, `verify`", &["ListObjectsV2"]),
    required(
        Google,
        Objects,
        "storage.multipartUploads.create",
        "write in parts",
        &["CreateMultipartUpload", "UploadPart"],
    ),
    required(Google, Objects, "storage.multipartUploads.abort", "abort abandoned uploads", &["AbortMultipartUpload"]),
    required(Google, Objects, "storage.multipartUploads.listParts", "continue an upload", &["ListParts"]),
    required(
        Google,
        Bucket,
        "storage.multipartUploads.list",
        "find uploads of a killed agent",
        &["ListMultipartUploads"],
    ),
    required(Queue, Resource::Queue, "sqs:GetQueueUrl", "find it by its name", &["GetQueueUrl"]),
    required(Queue, Resource::Queue, "sqs:GetQueueAttributes", "read its settings and depth", &["GetQueueAttributes"]),
    required(Queue, Resource::Queue, "sqs:ReceiveMessage", "receive", &["ReceiveMessage"]),
    required(Queue, Resource::Queue, "sqs:DeleteMessage", "end what is done", &["DeleteMessage", "DeleteMessageBatch"]),
    required(
        Queue,
        Resource::Queue,
        "sqs:ChangeMessageVisibility",
        "extend messages in progress, return the others",
        &["ChangeMessageVisibility", "ChangeMessageVisibilityBatch"],
    ),
    required(
        Queue,
        Resource::Queue,
        "sqs:SendMessage",
        "keep a message that came often; jobs of `scan` and `inventory`",
        &["SendMessage", "SendMessageBatch"],
    ),
    required(
        DeadLetters,
        Resource::DeadLetters,
        "sqs:GetQueueAttributes",
        "`check`, `status` and the metrics count them",
        &["GetQueueAttributes"],
    ),
    required(DeadLetters, Resource::DeadLetters, "sqs:SendMessage", "park a record with its reason", &["SendMessage"]),
    required(Ledger, Table, "dynamodb:UpdateItem", "record every step of an object", &["UpdateItem"]),
    required(Ledger, Table, "dynamodb:GetItem", "read a record", &["GetItem"]),
    required(Ledger, Table, "dynamodb:BatchGetItem", "read many for `scan` and `verify`", &["BatchGetItem"]),
    required(Ledger, Table, "dynamodb:Scan", "find leftover uploads; `table dump`", &["Scan"]),
    required_for(Ledger, Table, "dynamodb:DescribeTable", "check", "count its items", &["DescribeTable"]),
    required_for(
        Ledger,
        Table,
        "dynamodb:DescribeTimeToLive",
        "check",
        "see that expiry is on",
        &["DescribeTimeToLive"],
    ),
    required_for(
        Machine,
        Parameter,
        "ssm:GetParameter",
        "the provider ssm, and lists named ssm:…",
        "read the key, the ignore list, the bucket pairs",
        &[],
    ),
    required_for(Machine, KmsKey, "kms:Decrypt", "a parameter under a key of one's own", "read it", &[]),
    required_for(
        Machine,
        Secret,
        "secretmanager.versions.access",
        "the provider secret-manager",
        "read the key pairs",
        &[],
    ),
    required_for(
        Machine,
        Project,
        "monitoring.timeSeries.create",
        "[status] backlog_metric",
        "publish the backlog",
        &[],
    ),
    required_for(Operator, Bucket, "s3:GetBucketNotification", "trigger", "read what the bucket notifies", &[]),
    required_for(Operator, Bucket, "s3:PutBucketNotification", "trigger", "add the queue to it", &[]),
    required_for(
        Operator,
        Resource::Queue,
        "sqs:GetQueueAttributes",
        "trigger, deadletters, status",
        "read policy and depth",
        &[],
    ),
    required_for(Operator, Resource::Queue, "sqs:SetQueueAttributes", "trigger", "let S3 send to it", &[]),
    required_for(Operator, Resource::DeadLetters, "sqs:ReceiveMessage", "deadletters", "read them", &[]),
    required_for(Operator, Resource::DeadLetters, "sqs:ChangeMessageVisibility", "deadletters", "give them back", &[]),
    required_for(
        Operator,
        Resource::DeadLetters,
        "sqs:DeleteMessage",
        "deadletters redrive, drop",
        "remove what was sent again",
        &[],
    ),
    required_for(Operator, Table, "dynamodb:CreateTable", "table create", "create the table", &[]),
    required_for(Operator, Table, "dynamodb:UpdateTable", "table create", "add the index", &[]),
    required_for(Operator, Table, "dynamodb:UpdateTimeToLive", "table create", "switch expiry on", &[]),
    required_for(Operator, Table, "dynamodb:DescribeTable", "table create", "see that it is there", &[]),
    required_for(Operator, Table, "dynamodb:DescribeTimeToLive", "table create", "see whether expiry is on", &[]),
];

/// Of these roles.
pub fn of_role(role: Role) -> impl Iterator<Item = &'static Permission> {
    PERMISSIONS.iter().filter(move |permission| permission.role == role)
}

/// What a role lacks when this request is denied to it.
pub fn missing_for(role: Role, request: &str) -> Option<&'static str> {
    of_role(role).find(|permission| permission.requests.contains(&request)).map(|permission| permission.action)
}
