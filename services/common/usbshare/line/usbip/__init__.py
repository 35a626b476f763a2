"""Serial ports of other computers' USB/IP servers, in user space: no driver, no root."""
