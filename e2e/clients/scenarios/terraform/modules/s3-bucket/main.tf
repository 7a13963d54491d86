terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "reader" {
  type = string
}

variable "changed" {
  type = bool
}

resource "aws_s3_bucket" "documents" {
  bucket        = "terraform-made"
  force_destroy = true
  tags          = var.changed ? { team = "b" } : { team = "a" }
}

resource "aws_s3_bucket_public_access_block" "documents" {
  bucket                  = aws_s3_bucket.documents.id
  block_public_acls       = !var.changed
  ignore_public_acls      = !var.changed
  block_public_policy     = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "documents" {
  bucket = aws_s3_bucket.documents.id
  rule {
    object_ownership = "BucketOwnerPreferred"
  }
}

resource "aws_s3_bucket_acl" "documents" {
  depends_on = [aws_s3_bucket_ownership_controls.documents, aws_s3_bucket_public_access_block.documents]
  bucket     = aws_s3_bucket.documents.id
  acl        = var.changed ? "public-read" : "private"
}

resource "aws_s3_bucket_server_side_encryption_configuration" "documents" {
  bucket = aws_s3_bucket.documents.id
  rule {
    bucket_key_enabled = var.changed
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "documents" {
  bucket = aws_s3_bucket.documents.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = var.reader }
      Action    = var.changed ? ["s3:GetObject", "s3:GetObjectTagging"] : ["s3:GetObject"]
      Resource  = "${aws_s3_bucket.documents.arn}/*"
    }]
  })
}

resource "aws_s3_object" "jwks" {
  bucket        = aws_s3_bucket.documents.id
  key           = "openid/v1/jwks"
  content       = var.changed ? "{\"keys\": []}\n" : "{\"keys\":[]}"
  content_type  = "application/jwk-set+json"
  cache_control = "public, max-age=300"
  metadata      = { made-by = "terraform" }
}
