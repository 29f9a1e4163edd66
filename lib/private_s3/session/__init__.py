"""A session in JupyterLab on copies of the notebooks, which lie in the change folder."""
