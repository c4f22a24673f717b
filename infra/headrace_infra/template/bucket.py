"""The bucket of payloads that are too large for an item of the table."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, att, ref, sub, when

BUCKET = "PayloadBucket"


def bucket(*, ephemeral: bool = False) -> Block:
    """Private, encrypted, reached by TLS only; objects end with the retention, as the runs do. It stays where the table stays."""
    return {
        BUCKET: {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Delete" if ephemeral else "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": sub("${AWS::StackName}-${AWS::AccountId}-${AWS::Region}"),
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {
                            "ServerSideEncryptionByDefault": {
                                "SSEAlgorithm": when("HasKmsKey", "aws:kms", "AES256"),
                                "KMSMasterKeyID": when("HasKmsKey", ref("KmsKeyArn")),
                            },
                            "BucketKeyEnabled": when("HasKmsKey", True, False),
                        }
                    ]
                },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "retention",
                            "Status": "Enabled",
                            "ExpirationInDays": ref("RetentionDays"),
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        }
                    ]
                },
            },
        },
        f"{BUCKET}Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": ref(BUCKET),
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [
                                att(BUCKET, "Arn"),
                                sub(f"${{{BUCKET}.Arn}}/*"),
                            ],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        },
    }
