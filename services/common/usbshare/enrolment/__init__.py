"""How a computer joins and leaves a site: invitations, enrolment, revocation."""
