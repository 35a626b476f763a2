"""Jobs as a pure state machine: states, places, and automatic starts."""
