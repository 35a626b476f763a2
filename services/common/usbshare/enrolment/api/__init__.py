"""The enrolment service over gRPC, and its listener."""
