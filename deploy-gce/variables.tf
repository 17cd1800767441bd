# What an operator decides. Nothing here is secret, and no secret passes through Terraform's state.

variable "project" {
  description = "Project in which the group runs."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project is the id of a Google Cloud project, like my-project-123456: see `gcloud projects list`."
  }
}

variable "region" {
  description = "Region of the group: best the destination bucket's."
  type        = string
}

variable "name" {
  description = "Every resource's name begins with it."
  type        = string
  default     = "skyferry"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}$", var.name))
    error_message = "name has 3 to 21 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "package" {
  description = "The agent's Debian package in Cloud Storage (gs://bucket/path.deb), and its SHA-256."
  type        = object({ url = string, sha256 = string })
  validation {
    condition     = can(regex("^gs://[a-z0-9._-]+/[A-Za-z0-9._/~-]+\\.deb$", var.package.url)) && can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "package.url is like gs://bucket/path.deb, package.sha256 is what `sha256sum path.deb` prints."
  }
}

variable "queue" {
  description = "Name of the SQS queue that the bucket's events reach."
  type        = string
}

variable "table" {
  description = "Name of the DynamoDB table that is the ledger."
  type        = string
}

variable "aws_region" {
  description = "Region of queue, table and source buckets."
  type        = string
}

variable "source_buckets" {
  description = "The S3 buckets that may be read; events of others are parked."
  type        = list(string)
  validation {
    condition     = length(var.source_buckets) > 0
    error_message = "source_buckets names at least one bucket."
  }
}

variable "destination_bucket" {
  description = "The bucket in Cloud Storage to write to. It exists."
  type        = string
}

variable "destination_prefix" {
  description = "Put before every key, with a slash."
  type        = string
  default     = ""
}

variable "keyless" {
  description = "Take an AWS role with the machine's service account, and write with that account: no key anywhere. False: key pairs of both sides in one secret."
  type        = bool
  default     = false
}

variable "role_arn" {
  description = "The AWS role to take; with keyless."
  type        = string
  default     = null
}

variable "audience" {
  description = "What the identity token is for; the role's trust policy pins it as oaud."
  type        = string
  default     = "skyferry"
}

variable "settings" {
  description = "The whole agent.toml, instead of the one made from these variables."
  type        = string
  default     = null
}

variable "machine_type" {
  description = "The agent needs network rather than memory: e2-highcpu-2 has 4 Gbit/s."
  type        = string
  default     = "e2-highcpu-2"
}

variable "image" {
  description = "Debian, or an image made from it."
  type        = string
  default     = "projects/debian-cloud/global/images/family/debian-12"
}

variable "spot" {
  description = "Spot machines: a third of the price, taken away at 30 seconds' notice, which the agent heeds."
  type        = bool
  default     = true
}

variable "min_instances" {
  description = "At least one: who scales from nothing must be told the backlog by somebody."
  type        = number
  default     = 1
  validation {
    condition     = var.min_instances >= 1
    error_message = "min_instances is at least 1: the agents publish the backlog that the group is scaled by."
  }
}

variable "max_instances" {
  type    = number
  default = 10
}

variable "messages_per_instance" {
  description = "How much of the backlog is one machine's: the group has backlog / this many machines."
  type        = number
  default     = 1000
}

variable "subnet_cidr" {
  description = "The machines' addresses."
  type        = string
  default     = "10.87.0.0/24"
}

variable "nat" {
  description = "Reach Amazon through Cloud NAT, machines without an address of their own. NAT costs by the GiB; false gives every machine an external address instead."
  type        = bool
  default     = true
}

variable "ops_agent" {
  description = "The Debian package of Google's Ops Agent in the package's bucket, and its SHA-256: logs to Cloud Logging, the agent's metrics to Managed Prometheus. Dashboard and alerts need it. Null: not installed."
  type        = object({ url = string, sha256 = string })
  default     = null
  validation {
    condition     = var.ops_agent == null ? true : can(regex("^gs://[a-z0-9._-]+/[A-Za-z0-9._/~-]+\\.deb$", var.ops_agent.url)) && can(regex("^[0-9a-f]{64}$", var.ops_agent.sha256))
    error_message = "ops_agent.url is like gs://bucket/path.deb, ops_agent.sha256 is what `sha256sum path.deb` prints."
  }
}

variable "scan_at" {
  description = "When one machine of the group compares both sides and sends what differs: a time of the day in UTC, hourly, a calendar of systemd (Mon..Fri 06,18:00), or off."
  type        = string
  default     = "03:30"
  validation {
    condition     = can(regex("^[A-Za-z0-9*:,./ ~-]+$", var.scan_at))
    error_message = "scan_at is like 03:30, hourly, Mon..Fri 06:00 (man systemd.time), or off."
  }
}

variable "notification_channels" {
  description = "Where alerts go: ids of Cloud Monitoring notification channels."
  type        = list(string)
  default     = []
}
