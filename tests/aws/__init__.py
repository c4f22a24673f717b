"""What only the AWS adapters do: errors, expressions, batches."""
