"""Jobs as a pure state machine: states, places, and what may start by itself."""
