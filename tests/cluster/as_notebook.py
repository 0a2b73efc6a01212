"""Runs a program as the one cell of a notebook in a folder of the shared folder, as JupyterLab would: as_notebook.py <program> <folder>"""

import os
import subprocess
import sys

import nbformat

program, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
with open(program) as file:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(file.read())])
notebook.metadata.kernelspec = {"name": "pyspark", "display_name": "PySpark"}
path = os.path.join(folder, "notebook.ipynb")
nbformat.write(notebook, path)
sys.exit(subprocess.call(["jupyter", "execute", "--timeout=1200", path]))
