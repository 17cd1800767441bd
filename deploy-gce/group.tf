# The machines: what one is, how many there are, and when one is replaced.

locals {
  port           = 9180
  metric         = "custom.googleapis.com/skyferry/backlog"
  package_bucket = split("/", var.package.url)[2]
  secret         = var.keyless ? "" : "${google_secret_manager_secret.keys[0].id}/versions/latest"
  settings = var.settings != null ? var.settings : templatefile("${path.module}/agent.toml.tftpl", {
    keyless            = var.keyless
    role_arn           = var.role_arn
    audience           = var.audience
    secret             = local.secret
    queue              = var.queue
    table              = var.table
    aws_region         = var.aws_region
    source_buckets     = var.source_buckets
    destination_bucket = var.destination_bucket
    destination_prefix = var.destination_prefix
    port               = local.port
    metric             = local.metric
  })
}

resource "google_compute_region_instance_template" "this" {
  project      = var.project
  region       = var.region
  name_prefix  = "${var.name}-"
  machine_type = var.machine_type
  labels       = { fleet = var.name }

  disk {
    source_image = var.image
    auto_delete  = true
    boot         = true
    disk_type    = "pd-balanced"
    disk_size_gb = 10
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id

    dynamic "access_config" {
      for_each = var.nat ? [] : [1]
      content {
        network_tier = "PREMIUM"
      }
    }
  }

  scheduling {
    preemptible                 = var.spot
    automatic_restart           = !var.spot
    provisioning_model          = var.spot ? "SPOT" : "STANDARD"
    instance_termination_action = var.spot ? "STOP" : null
    on_host_maintenance         = var.spot ? "TERMINATE" : "MIGRATE"
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  service_account {
    email  = google_service_account.this.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    startup-script          = file("${path.module}/start-up.sh")
    shutdown-script         = file("${path.module}/shut-down.sh")
    skyferry-package        = var.package.url
    skyferry-package-sha256 = var.package.sha256
    skyferry-settings       = local.settings
    skyferry-health         = "http://127.0.0.1:${local.port}/healthz"
    skyferry-scan           = var.scan_at
    # Empty without one.
    skyferry-ops-agent        = try(var.ops_agent.url, "")
    skyferry-ops-agent-sha256 = try(var.ops_agent.sha256, "")
    enable-oslogin            = "TRUE"
    block-project-ssh-keys    = "TRUE"
    serial-port-enable        = "FALSE"
  }

  lifecycle {
    create_before_destroy = true
    precondition {
      condition     = !var.keyless || var.role_arn != null || var.settings != null
      error_message = "keyless needs role_arn: the AWS role that trusts the service account of this module."
    }
    precondition {
      condition     = try(split("/", var.ops_agent.url)[2], local.package_bucket) == local.package_bucket
      error_message = "ops_agent.url is in the bucket of package.url: machines may read no other."
    }
  }

  # A machine that starts before it may read anything would start in vain.
  depends_on = [
    google_project_iam_member.seen,
    google_storage_bucket_iam_member.destination,
    google_storage_bucket_iam_member.package,
    google_secret_manager_secret_iam_member.keys,
    google_compute_router_nat.this,
  ]
}

# Says only that the process lives: a backlog, or a destination that refuses, is nothing that a new machine would mend.
resource "google_compute_health_check" "this" {
  project             = var.project
  name                = var.name
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 6

  http_health_check {
    port         = local.port
    request_path = "/healthz"
  }
}

resource "google_compute_region_instance_group_manager" "this" {
  project            = var.project
  region             = var.region
  name               = var.name
  base_instance_name = var.name

  version {
    instance_template = google_compute_region_instance_template.this.self_link
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.this.id
    initial_delay_sec = 300
  }

  # New machines first, one a zone; old ones drain when theirs is there.
  update_policy {
    type                         = "PROACTIVE"
    minimal_action               = "REPLACE"
    replacement_method           = "SUBSTITUTE"
    instance_redistribution_type = "PROACTIVE"
    max_surge_fixed              = 3
    max_unavailable_fixed        = 0
  }

  lifecycle {
    ignore_changes = [target_size]
  }
}

# A series for the group and not for a machine: any resource type but gce_instance is taken so by the autoscaler.
resource "google_compute_region_autoscaler" "this" {
  project = var.project
  region  = var.region
  name    = var.name
  target  = google_compute_region_instance_group_manager.this.id

  autoscaling_policy {
    min_replicas    = var.min_instances
    max_replicas    = var.max_instances
    cooldown_period = 120

    metric {
      name                       = google_monitoring_metric_descriptor.backlog.type
      filter                     = "resource.type = \"generic_task\" AND resource.labels.namespace = \"skyferry\" AND resource.labels.job = \"${var.queue}\""
      single_instance_assignment = var.messages_per_instance
    }

    # Scaling in ends transfers: not more than one machine in five minutes.
    scale_in_control {
      time_window_sec = 300
      max_scaled_in_replicas {
        fixed = 1
      }
    }
  }
}
