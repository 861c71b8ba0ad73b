"""Named cases against named rivals: speed, accuracy and temporary memory beside each other."""
