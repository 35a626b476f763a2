"""Who may do what: rights, the policy that gives them, and the gate that checks them."""
