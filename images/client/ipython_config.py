# ruff: noqa: F821
# Every `ipython` has spark and sc. Notebooks choose by their kernel ("PySpark" or plain "Python 3").
c.TerminalIPythonApp.extensions = ["triplewide_spark"]  # noqa: F821
c.TerminalInteractiveShell.confirm_exit = False  # noqa: F821
