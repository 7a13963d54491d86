# IAM roles for the service accounts of cluster dev: what OpenIRSA makes in AWS account 123456789012.

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
  bucket = "openirsa-dev-123456789012"

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
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
      Sid    = "OpenIRSA"
      Effect = "Allow"
      Principal = {
        Service = "cloudfront.amazonaws.com"
      }
      Action = "s3:GetObject"
      Resource = [
        "arn:aws:s3:::openirsa-dev-123456789012/.well-known/openid-configuration",
        "arn:aws:s3:::openirsa-dev-123456789012/openid/v1/jwks",
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
  name                              = "openirsa-dev"
  description                       = "Issuer documents of cluster dev"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_distribution" "issuer" {
  enabled         = true
  is_ipv6_enabled = true
  comment         = "Issuer documents of cluster dev"

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
    cloudfront_default_certificate = true
  }

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

output "distribution_arn" {
  description = "The distribution that the bucket's policy lets in, for openirsa where it writes the policy"
  value       = aws_cloudfront_distribution.issuer.arn
}

output "issuer_url" {
  description = "The address of the distribution, which is the issuer URL of the chain"
  value       = "https://${aws_cloudfront_distribution.issuer.domain_name}"
}
