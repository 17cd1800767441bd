output "service_account" {
  value = module.google.service_account
}

output "secret" {
  value = module.google.secret
}

output "user" {
  value = module.amazon.user
}

output "queue_arn" {
  value = module.amazon.queue_arn
}

output "settings" {
  value = module.google.settings
}
