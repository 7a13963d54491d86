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
  block_public_policy     = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "issuer" {
  # The distribution may read the documents, and nothing else.
  bucket = aws_s3_bucket.issuer.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "OpenIRSA70726f64"
      Effect = "Allow"
      Principal = {
        Service = "cloudfront.amazonaws.com"
      }
      Action = "s3:GetObject"
      Resource = [
        "arn:aws:s3:::openirsa-prod-123456789012/prod/.well-known/openid-configuration",
        "arn:aws:s3:::openirsa-prod-123456789012/prod/openid/v1/jwks",
      ]
      Condition = {
        StringEquals = {
          "AWS:SourceArn" = aws_cloudfront_distribution.issuer.arn
        }
      }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.issuer]
}

resource "aws_cloudfront_origin_access_control" "issuer" {
  name                              = "openirsa-prod"
  description                       = "Issuer documents of cluster prod"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

variable "certificate_arn" {
  type        = string
  description = "ARN of the certificate of oidc.example.com in ACM, in us-east-1"
}

resource "aws_cloudfront_distribution" "issuer" {
  enabled         = true
  is_ipv6_enabled = true
  comment         = "Issuer documents of cluster prod"
  aliases         = ["oidc.example.com"]

  origin {
    domain_name              = aws_s3_bucket.issuer.bucket_regional_domain_name
    origin_id                = "bucket"
    origin_access_control_id = aws_cloudfront_origin_access_control.issuer.id
  }

  default_cache_behavior {
    target_origin_id       = "bucket"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    cache_policy_id        = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  tags = {
    "openirsa.dev/cluster" = "prod"
    "openirsa.dev/owned"   = "true"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

# The documents hold the cluster's keys, which are not known here: `openirsa up`
# or `openirsa issuer publish` writes them to the bucket.

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://oidc.example.com/prod"
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
          "oidc.example.com/prod:aud" = "sts.amazonaws.com"
          "oidc.example.com/prod:sub" = "system:serviceaccount:backend:reports"
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

output "distribution_arn" {
  description = "The distribution that the bucket's policy lets in, for openirsa where it writes the policy"
  value       = aws_cloudfront_distribution.issuer.arn
}

output "issuer_url" {
  description = "The API server's --service-account-issuer; keys are at /openid/v1/jwks below it"
  value       = "https://oidc.example.com/prod"
}

output "provider_arn" {
  description = "The provider that trust policies name"
  value       = aws_iam_openid_connect_provider.cluster.arn
}
