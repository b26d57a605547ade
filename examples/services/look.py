"""Fails unless a page has a text: look.py URL TEXT."""

import sys
from urllib.request import urlopen

url, wanted = sys.argv[1:]
with urlopen(url, timeout=10) as page:
    text = page.read().decode()
if wanted not in text:
    sys.exit(f"{url} does not say {wanted!r}")
print(f"{url}: {len(text)} characters, as it should be")
