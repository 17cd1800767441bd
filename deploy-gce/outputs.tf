output "service_account" {
  description = "E-mail of the machines' service account: the interoperability key is made for it."
  value       = google_service_account.this.email
}

output "service_account_id" {
  description = "Its unique id, which the AWS role's trust policy pins."
  value       = google_service_account.this.unique_id
}

output "secret" {
  description = "The secret to which the key pairs are added; null when keyless."
  value       = var.keyless ? null : google_secret_manager_secret.keys[0].id
}

output "group" {
  description = "The managed instance group."
  value       = google_compute_region_instance_group_manager.this.name
}

output "settings" {
  description = "The agent.toml that the machines get."
  value       = local.settings
}
