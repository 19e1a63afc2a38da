"""Training: the loop, what happens around it, how good the result is and how to go on later."""
