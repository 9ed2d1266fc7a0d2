"""Charts: a support in coordinates that are lines, circles and boxes."""
