# Both sides: what S3 buckets send to a queue of Amazon is carried into a bucket of Google by a group of machines.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

provider "aws" {
  region = var.aws_region
}

module "amazon" {
  source                    = "../aws"
  source_buckets            = var.source_buckets
  notify                    = var.notify
  keyless                   = var.keyless
  google_service_account_id = module.google.service_account_id
}

module "google" {
  source             = "../"
  project            = var.project
  region             = var.region
  package            = var.package
  queue              = module.amazon.queue
  table              = module.amazon.table
  aws_region         = var.aws_region
  source_buckets     = var.source_buckets
  destination_bucket = var.destination_bucket
  keyless            = var.keyless
  role_arn           = module.amazon.role_arn
  max_instances      = var.max_instances
  ops_agent          = var.ops_agent
  scan_at            = var.scan_at
}
