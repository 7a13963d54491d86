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

resource "aws_s3_object" "jwks" {
  bucket        = aws_s3_bucket.issuer.id
  key           = "openid/v1/jwks"
  content       = "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"1\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"
  content_type  = "application/jwk-set+json"
  cache_control = "public, max-age=300"

  # Whoever rotates the cluster's keys writes it.
  lifecycle {
    ignore_changes = [content]
  }
}

resource "aws_s3_object" "discovery" {
  bucket        = aws_s3_bucket.issuer.id
  key           = ".well-known/openid-configuration"
  content       = "{\"issuer\":\"https://d111111abcdef8.cloudfront.net\",\"jwks_uri\":\"https://d111111abcdef8.cloudfront.net/openid/v1/jwks\",\"authorization_endpoint\":\"urn:kubernetes:programmatic_authorization\",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\"],\"claims_supported\":[\"sub\",\"iss\"]}"
  content_type  = "application/json"
  cache_control = "public, max-age=300"

  # Whoever rotates the cluster's keys writes it.
  lifecycle {
    ignore_changes = [content]
  }
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://d111111abcdef8.cloudfront.net"
  client_id_list = ["sts.amazonaws.com"]

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

resource "aws_iam_role" "openirsa-dev-default-app" {
  name                 = "openirsa-dev-default-app"
  path                 = "/openirsa/dev/"
  description          = "Service account default/app of cluster dev"
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"

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
          "d111111abcdef8.cloudfront.net:aud" = "sts.amazonaws.com"
          "d111111abcdef8.cloudfront.net:sub" = "system:serviceaccount:default:app"
        }
      }
    }]
  })

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

resource "aws_iam_role_policy_attachment" "openirsa-dev-default-app" {
  for_each = toset([
    "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
  ])

  role       = aws_iam_role.openirsa-dev-default-app.name
  policy_arn = each.key
}

resource "aws_iam_role_policy" "openirsa-dev-default-app-inline" {
  name = "inline"
  role = aws_iam_role.openirsa-dev-default-app.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = "arn:aws:s3:::data/$${aws:PrincipalTag/team}/*"
    }]
  })
}

resource "aws_iam_role" "plain" {
  name = "plain"

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
          "d111111abcdef8.cloudfront.net:aud" = "sts.amazonaws.com"
          "d111111abcdef8.cloudfront.net:sub" = "system:serviceaccount:default:app"
        }
      }
    }]
  })

  tags = {
    "openirsa.dev/cluster" = "dev"
    "openirsa.dev/owned"   = "true"
    team                   = "a"
  }

  lifecycle {
    ignore_changes = [tags["openirsa.dev/cluster-uid"]]
  }
}

output "distribution_arn" {
  description = "The distribution that the bucket's policy lets in, for openirsa where it writes the policy"
  value       = aws_cloudfront_distribution.issuer.arn
}

output "issuer_url" {
  description = "The API server's --service-account-issuer; keys are at /openid/v1/jwks below it"
  value       = "https://d111111abcdef8.cloudfront.net"
}

output "provider_arn" {
  description = "The provider that trust policies name"
  value       = aws_iam_openid_connect_provider.cluster.arn
}
