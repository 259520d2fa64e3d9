"""What a target needs, written down: templates for the clouds' own tools, and what is shared by all
that make, preview and deploy them. The files below azure/ are made by azure/examples.py.
"""
