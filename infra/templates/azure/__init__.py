"""Azure: ARM templates, as the resource manager and `az deployment` take them."""
