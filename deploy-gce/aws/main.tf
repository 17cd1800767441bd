# Amazon's side: the queue that the buckets' events reach, its dead letters, the ledger, and who may use them.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  bucket_arns = [for bucket in var.source_buckets : "arn:${data.aws_partition.this.partition}:s3:::${bucket}"]
}

resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

# The agent keeps a message invisible while it works, so the visibility is only what a machine that dies costs.
resource "aws_sqs_queue" "this" {
  name                       = var.name
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 300
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 12
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this.arn]
  })
}

# Only these buckets of this account may send events.
data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "Events"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = local.bucket_arns
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
  statement {
    sid       = "NothingInTheClear"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.id
  policy    = data.aws_iam_policy_document.queue.json
}

resource "aws_s3_bucket_notification" "this" {
  for_each = var.notify ? toset(var.source_buckets) : toset([])
  bucket   = each.value

  queue {
    queue_arn = aws_sqs_queue.this.arn
    events    = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:Completed"]
  }

  # S3 sends a test event at once, which the queue must take.
  depends_on = [aws_sqs_queue_policy.this]
}

resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_119: names and checksums, encrypted with a key of DynamoDB's; one of one's own must be granted to the agents and is paid by the request
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "Key"
  deletion_protection_enabled = true

  attribute {
    name = "Key"
    type = "S"
  }
  attribute {
    name = "desBucket"
    type = "S"
  }

  global_secondary_index {
    name               = "desBucket-index"
    hash_key           = "desBucket"
    projection_type    = "INCLUDE"
    non_key_attributes = ["desKey", "versionId"]
  }

  ttl {
    attribute_name = "endTime"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }
}
