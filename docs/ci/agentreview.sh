#!/bin/sh
# For any CI: judge what is checked out by the rules of what it goes into.
#
#   BASE=origin/main sh agentreview.sh [options of agentreview ci]
#
# Needs git, agentreview on the PATH, and a clone that may fetch. Exits as agentreview does: 0 passed, 1 blocked, 2 needs a
# correction, 3 incomplete. Only 0 is a pass.
set -eu

base=${BASE:-origin/main}
if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    git fetch --quiet --unshallow origin
fi
git fetch --quiet origin "+refs/heads/*:refs/remotes/origin/*"
agentreview receipts fetch || true # without them commits are shown as having none; the policies run all the same
exec agentreview ci "--base=$base" "$@"
