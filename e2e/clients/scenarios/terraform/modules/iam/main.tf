terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "issuer" {
  type = string
}

variable "changed" {
  type = bool
}

locals {
  host_path = trimprefix(var.issuer, "https://")
  tags      = var.changed ? { team = "b", stage = "prod" } : { team = "a" }
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url             = var.issuer
  client_id_list  = var.changed ? ["sts.amazonaws.com", "other"] : ["sts.amazonaws.com"]
  thumbprint_list = ["0123456789012345678901234567890123456789"]
  tags            = local.tags
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.cluster.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.host_path}:sub"
      values   = var.changed ? ["system:serviceaccount:default:app", "system:serviceaccount:default:b"] : ["system:serviceaccount:default:app"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.host_path}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    actions   = var.changed ? ["s3:GetObject", "s3:PutObject"] : ["s3:GetObject"]
    resources = ["arn:aws:s3:::terraform-made/*"]
  }
}

resource "aws_iam_role" "app" {
  name                 = "terraform-app"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.changed ? 7200 : 3600
  description          = var.changed ? "changed" : "made"
  tags                 = local.tags
}

resource "aws_iam_policy" "read" {
  name   = "terraform-read"
  policy = data.aws_iam_policy_document.read.json
  tags   = local.tags
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.app.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy" "inline" {
  name   = "inline"
  role   = aws_iam_role.app.id
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_user" "operator" {
  name          = var.changed ? "terraform-operator-b" : "terraform-operator"
  force_destroy = true
  tags          = local.tags
}

resource "aws_iam_access_key" "operator" {
  user = aws_iam_user.operator.name
}

resource "aws_iam_group" "operators" {
  name = "terraform-operators"
}

resource "aws_iam_user_group_membership" "operator" {
  user   = aws_iam_user.operator.name
  groups = [aws_iam_group.operators.name]
}

output "role_arn" {
  value = aws_iam_role.app.arn
}
