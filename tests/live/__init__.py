"""The whole way of a model on a target, through deploy.py: on the fakes always, on a real account
where asked."""
