"""The script that shows the plan in the pull request: one comment, which each run renews. It talks
to the provider's API by curl, with the job's own token, which is on no command line."""

from __future__ import annotations

import shlex

from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.ci.jobs import PLAN, mark, script

_ASK = """\
ask() {
  curl --silent --show-error --fail-with-body --output /dev/stdout \\
    --header @<(printf 'Authorization: Bearer %s' "$TOKEN") \\
    --header 'Content-Type: application/json' "$@"
}"""
# The variables: TOKEN, NUMBER (the pull request's), and where the API is.
_GITHUB = """\
comments="$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues"
ours='map(select(.user.type == "Bot" and (.body | startswith($mark)))) | .[0].id // empty'
there="$(ask "$comments/$NUMBER/comments?per_page=100")"
found="$(jq --raw-output --arg mark "$mark" "$ours" <<< "$there")"
jq --null-input --rawfile text {plan} '{{body: $text}}' > comment.json
if [ -n "$found" ]; then
  ask --request PATCH --data-binary @comment.json "$comments/comments/$found" > /dev/null
else
  ask --request POST --data-binary @comment.json "$comments/$NUMBER/comments" > /dev/null
fi"""
_AZURE = """\
threads="$COLLECTION$PROJECT/_apis/git/repositories/$REPOSITORY/pullRequests/$NUMBER/threads"
version='api-version=7.1'
ours='[.value[] | select(.comments[0].content // "" | startswith($mark))] | .[0].id // empty'
there="$(ask "$threads?$version")"
found="$(jq --raw-output --arg mark "$mark" "$ours" <<< "$there")"
if [ -n "$found" ]; then
  jq --null-input --rawfile text {plan} '{{content: $text}}' > comment.json
  ask --request PATCH --data-binary @comment.json \\
    "$threads/$found/comments/1?$version" > /dev/null
else
  thread='{{comments: [{{parentCommentId: 0, content: $text, commentType: 1}}], status: 4}}'
  jq --null-input --rawfile text {plan} "$thread" > comment.json
  ask --request POST --data-binary @comment.json "$threads?$version" > /dev/null
fi"""
_SCRIPTS = {"github": _GITHUB, "azure-devops": _AZURE}


def comment(pipeline: DeliveryPipeline) -> str:
    """Put PLAN into the pull request, as a comment of its own."""
    found = f"mark={shlex.quote(mark(pipeline))}"
    return script(found, _ASK, _SCRIPTS[pipeline.provider].format(plan=PLAN))
