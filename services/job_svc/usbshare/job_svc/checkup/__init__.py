"""What `job-svc doctor` looks at."""
