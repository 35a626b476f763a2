"""What every service and the bridge share; imports none of them."""
