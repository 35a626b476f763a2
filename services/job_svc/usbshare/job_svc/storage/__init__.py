"""What is kept on the disk: files of G-code by their SHA-256, and the record of the jobs."""
