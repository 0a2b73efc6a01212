"""Adds byte code to zips of Python modules, next to each source file, where zipimport looks for it first.

A Python of another minor version than the one that runs this ignores the byte code and uses the source.

    zip-bytecode.py <zip>...
"""

import os
import py_compile
import re
import sys
import tempfile
import zipfile

RARELY_IMPORTED = re.compile(r"pyspark/(pandas|testing|sql/connect)/")


def add_bytecode(path: str) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path + ".new", "w") as new, tempfile.TemporaryDirectory() as work:
        for entry in old.infolist():
            if entry.filename.endswith(".pyc"):
                continue
            data = old.read(entry)
            new.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
            if not entry.filename.endswith(".py") or RARELY_IMPORTED.search(entry.filename):
                continue
            source, target = os.path.join(work, "module.py"), os.path.join(work, "module.pyc")
            with open(source, "wb") as file:
                file.write(data)
            # Tracebacks name the path inside of the zip. The byte code is not checked against the source: the zip is never edited in place.
            py_compile.compile(source, target, f"{path}/{entry.filename}", True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            compiled = zipfile.ZipInfo(entry.filename + "c", entry.date_time)
            compiled.external_attr = entry.external_attr
            with open(target, "rb") as file:
                new.writestr(compiled, file.read(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    os.replace(path + ".new", path)


for argument in sys.argv[1:]:
    add_bytecode(argument)
