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
  region              = "eusc-de-east-1"
  allowed_account_ids = ["123456789012"]
}

# The documents are served at https://oidc.example.com/dev, not by S3.

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://oidc.example.com/dev"
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
  permissions_boundary = "arn:aws-eusc:iam::123456789012:policy/boundary"

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
          "oidc.example.com/dev:aud" = "sts.amazonaws.com"
          "oidc.example.com/dev:sub" = "system:serviceaccount:default:app"
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
    "arn:aws-eusc:iam::aws:policy/AmazonS3ReadOnlyAccess",
    "arn:aws-eusc:iam::aws:policy/IAMReadOnlyAccess",
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
      Resource = "arn:aws-eusc:s3:::data/$${aws:PrincipalTag/team}/*"
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
          "oidc.example.com/dev:aud" = "sts.amazonaws.com"
          "oidc.example.com/dev:sub" = "system:serviceaccount:default:app"
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

output "issuer_url" {
  description = "The API server's --service-account-issuer; keys are at /openid/v1/jwks below it"
  value       = "https://oidc.example.com/dev"
}

output "provider_arn" {
  description = "The provider that trust policies name"
  value       = aws_iam_openid_connect_provider.cluster.arn
}
