"""A call is submitted; its request is watched, withdrawn or runs out."""
