"""Between the messages of page.proto and what they are about."""
