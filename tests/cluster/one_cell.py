"""Runs one cell in a new kernel with Spark, and prints what its user would see: one_cell.py <code>"""

import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(sys.argv[1])])
NotebookClient(notebook, kernel_name="pyspark", timeout=600).execute()
for output in notebook.cells[0].outputs:
    print(output.get("text") or output.get("data", {}).get("text/plain", ""))
