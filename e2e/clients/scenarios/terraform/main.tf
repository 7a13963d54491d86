# What people make with Terraform's AWS provider for service accounts: a role and what goes with it, and a bucket for an
# issuer's documents. The variable changed makes the second apply a change of everything that can be changed in place.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  s3_use_path_style       = true
  skip_metadata_api_check = true
}

variable "issuer" {
  type = string
}

variable "changed" {
  type    = bool
  default = false
}

module "iam" {
  source  = "./modules/iam"
  issuer  = var.issuer
  changed = var.changed
}

module "s3_bucket" {
  source  = "./modules/s3-bucket"
  reader  = module.iam.role_arn
  changed = var.changed
}

output "role_arn" {
  value = module.iam.role_arn
}
