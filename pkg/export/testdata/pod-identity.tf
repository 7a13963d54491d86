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

import {
  to = aws_s3_bucket.issuer
  id = "openirsa-dev-123456789012"
}

resource "aws_s3_bucket" "issuer" {
  bucket = "openirsa-dev-123456789012"

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

import {
  to = aws_s3_bucket_public_access_block.issuer
  id = "openirsa-dev-123456789012"
}

resource "aws_s3_bucket_public_access_block" "issuer" {
  bucket                  = aws_s3_bucket.issuer.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = false
}

import {
  to = aws_s3_bucket_policy.issuer
  id = "openirsa-dev-123456789012"
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
        "arn:aws:s3:::openirsa-dev-123456789012/.well-known/openid-configuration",
        "arn:aws:s3:::openirsa-dev-123456789012/openid/v1/jwks",
      ]
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.issuer]
}

import {
  to = aws_s3_object.jwks
  id = "s3://openirsa-dev-123456789012/openid/v1/jwks"
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

import {
  to = aws_s3_object.discovery
  id = "s3://openirsa-dev-123456789012/.well-known/openid-configuration"
}

resource "aws_s3_object" "discovery" {
  bucket        = aws_s3_bucket.issuer.id
  key           = ".well-known/openid-configuration"
  content       = "{\"issuer\":\"https://openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com\",\"jwks_uri\":\"https://openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com/openid/v1/jwks\",\"authorization_endpoint\":\"urn:kubernetes:programmatic_authorization\",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\"],\"claims_supported\":[\"sub\",\"iss\"]}"
  content_type  = "application/json"
  cache_control = "public, max-age=300"

  # Whoever rotates the cluster's keys writes it.
  lifecycle {
    ignore_changes = [content]
  }
}

import {
  to = aws_iam_openid_connect_provider.cluster
  id = "arn:aws:iam::123456789012:oidc-provider/openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com"
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com"
  client_id_list = ["sts.amazonaws.com"]

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

import {
  to = aws_iam_role.openirsa-dev-default-app
  id = "openirsa-dev-default-app"
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
          "openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com:aud" = "sts.amazonaws.com"
          "openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com:sub" = "system:serviceaccount:default:app"
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

import {
  for_each = toset([
    "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
  ])
  to = aws_iam_role_policy_attachment.openirsa-dev-default-app[each.key]
  id = "openirsa-dev-default-app/${each.key}"
}

resource "aws_iam_role_policy_attachment" "openirsa-dev-default-app" {
  for_each = toset([
    "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
  ])

  role       = aws_iam_role.openirsa-dev-default-app.name
  policy_arn = each.key
}

import {
  to = aws_iam_role_policy.openirsa-dev-default-app-inline
  id = "openirsa-dev-default-app:inline"
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

import {
  to = aws_iam_role.openirsa-pods-dev-team-a-app
  id = "openirsa-pods-dev-team-a-app"
}

resource "aws_iam_role" "openirsa-pods-dev-team-a-app" {
  name = "openirsa-pods-dev-team-a-app"
  path = "/openirsa/dev/"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        Service = "pods.eks.amazonaws.com"
      }
      Action = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:eu-west-1:123456789012:cluster/dev"
          "aws:RequestTag/kubernetes-namespace"       = "team-a"
          "aws:RequestTag/kubernetes-service-account" = "app"
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

import {
  to = aws_iam_role.plain
  id = "plain"
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
          "openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com:aud" = "sts.amazonaws.com"
          "openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com:sub" = "system:serviceaccount:default:app"
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

# Associations of EKS Pod Identity. EKS must know cluster dev by the issuer of its tokens: AWS's own
# knows the clusters alone that it has made.

import {
  to = aws_eks_pod_identity_association.team-a_app
  id = "dev,a-dt1bedfjc72dlwp5n"
}

resource "aws_eks_pod_identity_association" "team-a_app" {
  cluster_name    = "dev"
  namespace       = "team-a"
  service_account = "app"
  role_arn        = aws_iam_role.openirsa-pods-dev-team-a-app.arn

  tags = {
    "openirsa.dev/cluster"     = "dev"
    "openirsa.dev/cluster-uid" = "42"
    "openirsa.dev/owned"       = "true"
  }
}

import {
  to = aws_eks_pod_identity_association.team-a_web_v1
  id = "dev,a-8mvwvh57cu74mgcst"
}

resource "aws_eks_pod_identity_association" "team-a_web_v1" {
  cluster_name         = "dev"
  namespace            = "team-a"
  service_account      = "web.v1"
  role_arn             = "arn:aws:iam::123456789012:role/theirs"
  target_role_arn      = "arn:aws:iam::444455556666:role/target"
  disable_session_tags = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = "*"
    }]
  })
}

output "issuer_url" {
  description = "The API server's --service-account-issuer; keys are at /openid/v1/jwks below it"
  value       = "https://openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com"
}

output "provider_arn" {
  description = "The provider that trust policies name"
  value       = aws_iam_openid_connect_provider.cluster.arn
}
