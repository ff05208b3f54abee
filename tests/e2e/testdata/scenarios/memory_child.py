"""Its child uses more memory than it may; it does not mind."""

import subprocess
import sys

hoard = "hoard = []\nwhile True:\n    hoard.append(b'x' * (8 << 20))\n"
child = subprocess.run([sys.executable, "-c", hoard], check=False)
print("the child ended with", child.returncode)
