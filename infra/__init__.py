"""What talks to a cloud: plan, apply, invoke, roll back, delete.

`infra.TARGET.connect(config, name)` gives an OnlineEndpoint (cloud.py). Each cloud's folder reads
its `state`, says what is `desired`, makes a `plan` of both, and executes the steps by `operations`,
when apply.py asks. SDKs are used in clients/ only.
"""
