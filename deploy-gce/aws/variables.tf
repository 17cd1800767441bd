variable "name" {
  description = "Name of the queue and of the table; others begin with it."
  type        = string
  default     = "skyferry"
}

variable "source_buckets" {
  description = "The S3 buckets that are read. They exist, in the provider's region."
  type        = list(string)
  validation {
    condition     = length(var.source_buckets) > 0
    error_message = "source_buckets names at least one bucket."
  }
}

variable "notify" {
  description = "Let the buckets send their events to the queue. A bucket has one notification configuration, and this REPLACES it: leave it off where a bucket already notifies somebody, and add the trigger to what is there."
  type        = bool
  default     = false
}

variable "keyless" {
  description = "A role for Google's service account instead of a user with a key."
  type        = bool
  default     = false
}

variable "google_service_account_id" {
  description = "Unique id (21 digits) of the service account that may take the role; with keyless."
  type        = string
  default     = null
}

variable "audience" {
  description = "What the identity token must be for."
  type        = string
  default     = "skyferry"
}

variable "kms_key_arns" {
  description = "Keys that encrypt source objects, where SSE-KMS is used."
  type        = list(string)
  default     = []
}
