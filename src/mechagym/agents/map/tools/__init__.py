"""The six tools: what is offered, what they do in the box, and how much of it is shown."""
