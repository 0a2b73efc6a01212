# ruff: noqa: F821
# Every `ipython` has spark and sc. A notebook has them with the kernel "PySpark", and not with plain "Python 3".
c.TerminalIPythonApp.extensions = ["triplewide_spark"]  # noqa: F821
c.TerminalInteractiveShell.confirm_exit = False  # noqa: F821
