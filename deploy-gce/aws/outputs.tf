output "queue" {
  value = aws_sqs_queue.this.name
}

output "queue_arn" {
  value = aws_sqs_queue.this.arn
}

output "dead_letters" {
  value = aws_sqs_queue.dead.name
}

output "table" {
  value = aws_dynamodb_table.this.name
}

output "role_arn" {
  description = "Null without keyless."
  value       = var.keyless ? aws_iam_role.this[0].arn : null
}

output "user" {
  description = "The user whose access key goes into the secret; null when keyless."
  value       = var.keyless ? null : aws_iam_user.this[0].name
}
