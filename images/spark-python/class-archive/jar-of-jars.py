"""Writes a jar that holds nothing but the names of the jars of a folder, in their alphabetical order: jar-of-jars.py <folder> <jar>"""

import os
import sys
import zipfile

folder, target = sys.argv[1:]
names = sorted(name for name in os.listdir(folder) if name.endswith(".jar"))
relative = os.path.relpath(folder, os.path.dirname(target))
text = "Class-Path: " + " ".join(f"{relative}/{name}" for name in names)
# A line of a manifest has at most 72 bytes; a line that begins with a blank continues the one before.
lines = [text[:70]] + [" " + text[at : at + 69] for at in range(70, len(text), 69)]
with zipfile.ZipFile(target, "w") as jar:
    jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "\r\n".join(["Manifest-Version: 1.0", *lines, "", ""]))
