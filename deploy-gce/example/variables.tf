variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "aws_region" {
  type = string
}

variable "source_buckets" {
  type = list(string)
}

variable "destination_bucket" {
  type = string
}

variable "package" {
  type = object({ url = string, sha256 = string })
}

variable "keyless" {
  type = bool
}

variable "notify" {
  type    = bool
  default = false
}

variable "max_instances" {
  type    = number
  default = 10
}

variable "ops_agent" {
  type    = object({ url = string, sha256 = string })
  default = null
}

variable "scan_at" {
  type    = string
  default = "03:30"
}
