"""Jobs that run: streamed to the serial service line by line, held, resumed and ended."""
