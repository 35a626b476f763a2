"""How a computer enters a site and leaves it: invitations, enrolment, revocation."""
