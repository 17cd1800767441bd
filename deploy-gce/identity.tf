# Who the machines are, and the little that they may: one bucket, one package, one secret, and to be seen.

resource "google_service_account" "this" {
  project      = var.project
  account_id   = var.name
  display_name = "Skyferry's agents"
}

resource "google_project_iam_member" "seen" {
  for_each = toset(["roles/logging.logWriter", "roles/monitoring.metricWriter"])
  project  = var.project
  role     = each.value
  member   = google_service_account.this.member
}

# Objects and their uploads; not the bucket itself.
resource "google_storage_bucket_iam_member" "destination" {
  bucket = var.destination_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.this.member
}

resource "google_storage_bucket_iam_member" "package" {
  bucket = local.package_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.this.member
}

# Empty: its version is added by hand, so that no key is in Terraform's state.
resource "google_secret_manager_secret" "keys" {
  count     = var.keyless ? 0 : 1
  project   = var.project
  secret_id = "${var.name}-keys"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "keys" {
  count     = var.keyless ? 0 : 1
  project   = var.project
  secret_id = google_secret_manager_secret.keys[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}
