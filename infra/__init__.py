"""What talks to a cloud: plan, apply, invoke, roll back, delete.

`infra.TARGET.connect(config, name)` gives the Cloud (cloud.py) of one endpoint. It plans by
reading; plan.py executes the plan with the cloud's operations. The SDKs are behind the doors in
clients/, one for each service.
"""
