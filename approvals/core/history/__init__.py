"""The events that tell what happened, and the state that follows from them."""
