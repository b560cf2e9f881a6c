"""`python setup.py install`, as LightLLM is installed: the package of the folder python."""
import os
import pathlib

import setuptools

os.chdir(pathlib.Path(__file__).resolve().parent / "python")
setuptools.setup()
