"""What talks to a cloud: plan, apply, invoke, roll back, delete.

`infra.TARGET.connect(config, name)` gives one endpoint as an OnlineEndpoint (cloud.py). Each
cloud's folder reads its `state`, says what is `desired`, makes a `plan` of both, and executes its
steps by `operations`, when apply.py asks. SDKs are used in clients/ only.
"""
