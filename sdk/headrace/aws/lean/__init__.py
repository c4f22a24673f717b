"""The hot operations of DynamoDB and SQS without botocore: a tenth of its CPU a call, and no import of it in a worker.

`configuration` decides whether this process can use it; boto3 serves everything else. docs/decisions says why it exists.
"""
