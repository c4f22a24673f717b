"""What is really built by sam and deployed to an emulated AWS that enforces IAM."""
