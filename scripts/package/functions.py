"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

host.json and function_app.py are at its root, what scoring imports where the worker looks for it.
"""

from __future__ import annotations

from functools import partial

from onnxferry.scripts.package import wheels
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import PackageLayout

SITE_PACKAGES = ".python_packages/lib/site-packages/"

# what the app imports besides scoring; azure-functions imports werkzeug, and that markupsafe
LIBRARIES = ("azure-functions", "werkzeug", "markupsafe")

LAYOUT = PackageLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    added=partial(wheels.brought, under=SITE_PACKAGES, further=LIBRARIES),
    # "Run your functions from a package file" takes 1 GB, and unpacks it to temporary storage, of
    # which Flex Consumption has 0.8 GB ("Azure Functions scale and hosting", service limits)
    packed=1_000_000_000,
    unpacked=800_000_000,
)
