"""Sources and checks that call another computer over gRPC."""
