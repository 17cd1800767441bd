# A network of its own: Google's services by Private Google Access, Amazon's by NAT, and nothing comes in but health checks.

resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  # checkov:skip=CKV_GCP_26: flow logs of terabytes cost more than they tell; the agents count and log what they carry
  project                  = var.project
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.subnet_cidr
  private_ip_google_access = true
}

resource "google_compute_router" "this" {
  count   = var.nat ? 1 : 0
  project = var.project
  region  = var.region
  name    = var.name
  network = google_compute_network.this.id
}

# All connections of a machine go to a few addresses of S3, so that the usual 64 ports would be its limit.
resource "google_compute_router_nat" "this" {
  count                               = var.nat ? 1 : 0
  project                             = var.project
  region                              = var.region
  name                                = var.name
  router                              = google_compute_router.this[0].name
  nat_ip_allocate_option              = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat  = "LIST_OF_SUBNETWORKS"
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 256
  max_ports_per_vm                    = 8192

  subnetwork {
    name                    = google_compute_subnetwork.this.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# The ranges that Google's health checks come from.
resource "google_compute_firewall" "health" {
  project                 = var.project
  name                    = "${var.name}-health"
  network                 = google_compute_network.this.id
  direction               = "INGRESS"
  source_ranges           = ["35.191.0.0/16", "130.211.0.0/22"]
  target_service_accounts = [google_service_account.this.email]

  allow {
    protocol = "tcp"
    ports    = [local.port]
  }
}
