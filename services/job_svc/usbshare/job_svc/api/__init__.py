"""The RPCs of the job service: gRPC and protobuf stay here."""
