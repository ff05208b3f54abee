"""Uses more memory than it may."""

hoard = []
while True:
    hoard.append(b"x" * (8 << 20))
