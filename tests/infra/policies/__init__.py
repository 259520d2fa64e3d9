"""The policy files of infra/policies/: recorded from the flows of the command line on the fakes of
the clouds, and enforced there.

    python -m tests.infra.policies    # write them and the tables of docs/deploy/permissions.md
"""
