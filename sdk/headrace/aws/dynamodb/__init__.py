"""The store on DynamoDB: requests made of changes, and items of its format."""
