# Who the agents are at Amazon: a role that Google's service account takes (keyless), or a user whose key is made by hand, so
# that it is not in Terraform's state.

data "aws_iam_policy_document" "agent" {
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging", "s3:RestoreObject"]
    resources = [for arn in local.bucket_arns : "${arn}/*"]
  }
  # Without it a missing key is denied instead of missing.
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = local.bucket_arns
  }
  statement {
    sid = "Queue"
    actions = [
      "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
      "sqs:SendMessage",
    ]
    resources = [aws_sqs_queue.this.arn]
  }
  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]
  }
  statement {
    sid       = "Ledger"
    actions = [
      "dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Scan", "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive",
    ]
    resources = [aws_dynamodb_table.this.arn]
  }
  dynamic "statement" {
    for_each = length(var.kms_key_arns) > 0 ? [1] : []
    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = var.kms_key_arns
    }
  }
}

# Amazon knows accounts.google.com by itself. `aud` is whose token it is, `oaud` what it was made for.
data "aws_iam_policy_document" "trust" {
  count = var.keyless ? 1 : 0
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = ["accounts.google.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "accounts.google.com:aud"
      values   = [var.google_service_account_id]
    }
    condition {
      test     = "StringEquals"
      variable = "accounts.google.com:oaud"
      values   = [var.audience]
    }
    condition {
      test     = "StringEquals"
      variable = "accounts.google.com:sub"
      values   = [var.google_service_account_id]
    }
  }
}

resource "aws_iam_role" "this" {
  count              = var.keyless ? 1 : 0
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust[0].json
}

resource "aws_iam_role_policy" "this" {
  count  = var.keyless ? 1 : 0
  name   = "agent"
  role   = aws_iam_role.this[0].id
  policy = data.aws_iam_policy_document.agent.json
}

resource "aws_iam_user" "this" {
  # checkov:skip=CKV_AWS_273: only for who cannot go keyless, which is the way that is recommended
  count = var.keyless ? 0 : 1
  name  = var.name
}

resource "aws_iam_user_policy" "this" {
  # checkov:skip=CKV_AWS_40: one user with one policy needs no group
  count  = var.keyless ? 0 : 1
  name   = "agent"
  user   = aws_iam_user.this[0].name
  policy = data.aws_iam_policy_document.agent.json
}
