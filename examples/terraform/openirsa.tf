# IAM roles for the service accounts of cluster prod: what OpenIRSA makes in AWS account 123456789012.

terraform {
  required_version = ">= 1.7.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0.0"
    }
  }
}

provider "aws" {
  region              = "eu-west-1"
  allowed_account_ids = ["123456789012"]
}

resource "aws_s3_bucket" "issuer" {
  bucket = "openirsa-prod-123456789012"

  tags = {
    "openirsa.dev/cluster" = "prod"
    "openirsa.dev/owned"   = "true"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

resource "aws_s3_bucket_public_access_block" "issuer" {
  bucket                  = aws_s3_bucket.issuer.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = false
}

resource "aws_s3_bucket_policy" "issuer" {
  # Anybody may read the documents, and nothing else.
  bucket = aws_s3_bucket.issuer.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OpenIRSA"
      Effect    = "Allow"
      Principal = "*"
      Action    = "s3:GetObject"
      Resource = [
        "arn:aws:s3:::openirsa-prod-123456789012/.well-known/openid-configuration",
        "arn:aws:s3:::openirsa-prod-123456789012/openid/v1/jwks",
      ]
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.issuer]
}

# The documents hold the cluster's keys, which are not known here: `openirsa up`
# or `openirsa issuer publish` writes them to the bucket.

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com"
  client_id_list = ["sts.amazonaws.com"]

  tags = {
    "openirsa.dev/cluster" = "prod"
    "openirsa.dev/owned"   = "true"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

resource "aws_iam_role" "openirsa-prod-backend-reports" {
  name        = "openirsa-prod-backend-reports"
  path        = "/openirsa/prod/"
  description = "Service account backend/reports of cluster prod"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        Federated = aws_iam_openid_connect_provider.cluster.arn
      }
      Action = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com:aud" = "sts.amazonaws.com"
          "openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com:sub" = "system:serviceaccount:backend:reports"
        }
      }
    }]
  })

  tags = {
    "openirsa.dev/cluster"         = "prod"
    "openirsa.dev/owned"           = "true"
    "openirsa.dev/service-account" = "backend/reports"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

resource "aws_iam_role_policy_attachment" "openirsa-prod-backend-reports" {
  for_each = toset(["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"])

  role       = aws_iam_role.openirsa-prod-backend-reports.name
  policy_arn = each.key
}

resource "aws_iam_role" "openirsa-prod-backend-worker" {
  name        = "openirsa-prod-backend-worker"
  path        = "/openirsa/prod/"
  description = "Service account backend/worker of cluster prod"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        Federated = aws_iam_openid_connect_provider.cluster.arn
      }
      Action = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com:aud" = "sts.amazonaws.com"
          "openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com:sub" = "system:serviceaccount:backend:worker"
        }
      }
    }]
  })

  tags = {
    "openirsa.dev/cluster"         = "prod"
    "openirsa.dev/owned"           = "true"
    "openirsa.dev/service-account" = "backend/worker"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

resource "aws_iam_role_policy" "openirsa-prod-backend-worker-inline" {
  name = "inline"
  role = aws_iam_role.openirsa-prod-backend-worker.name
  policy = jsonencode({
    Statement = [{
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
      Effect   = "Allow"
      Resource = "arn:aws:sqs:eu-west-1:123456789012:jobs"
    }]
    Version = "2012-10-17"
  })
}

output "issuer_url" {
  description = "The API server's --service-account-issuer; keys are at /openid/v1/jwks below it"
  value       = "https://openirsa-prod-123456789012.s3.eu-west-1.amazonaws.com"
}

output "provider_arn" {
  description = "The provider that trust policies name"
  value       = aws_iam_openid_connect_provider.cluster.arn
}
