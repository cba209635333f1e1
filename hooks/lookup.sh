# ---- shared by the hooks; a miss is always safe: it only means that Python decides ----
set -f
unset IFS
NL='
'
copy=

# Hand over to the reviewer. It replaces this shell, so its exit code is the hook's.
review() {
    tidy
    exec "$AGENTREVIEW" hook "$HOOK" "$@"
}

gone() {
    printf '%s\n' "agentreview: the reviewer behind this hook is gone. Reinstall agentreview and run 'agentreview install'; or remove the hook: rm \"\$(git rev-parse --git-path hooks/$HOOK)\"" >&2
    exit 2
}

tidy() {
    [ -z "$copy" ] || command rm -f "$copy" "$copy.lock"
    copy=
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# git as the committing git sees this repository, minus what could show it other objects than the ones it commits.
# Only for command substitutions: it replaces the shell. The reviewer gets the environment as it was.
plain_git() {
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_REPLACE_REF_BASE GIT_GRAFT_FILE \
        GIT_SHALLOW_FILE GIT_NAMESPACE GIT_TRACE GIT_TRACE_SETUP GIT_TRACE2 GIT_TRACE2_EVENT GIT_TRACE2_PERF
    GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 LC_ALL=C
    export GIT_NO_REPLACE_OBJECTS GIT_NO_LAZY_FETCH LC_ALL
    exec git -c core.hooksPath=/dev/null -c core.splitIndex=false -c core.fsmonitor=false "$@"
}

is_oid() {
    case $1 in '' | *[!0123456789abcdef]*) return 1 ;; esac
}

# Set $committer to the git process that is committing: it ties the hooks of one commit together, so that a record
# left by an aborted commit is never taken for this one's. A framework may stand between git and this script.
find_committer() {
    committer=$PPID
    seek=$PPID
    hops=0
    while [ "$hops" -lt 8 ] && [ -r "/proc/$seek/stat" ] && read -r _ name _ up _ <"/proc/$seek/stat"; do
        case $name in '(git)' | '(git-'*')')
            committer=$seek
            return
            ;;
        esac
        case $up in '' | *[!0123456789]*) return ;; esac
        seek=$up
        hops=$((hops + 1))
    done 2>/dev/null
}

# Set $amend when the git that commits may be amending: its command line is all that says so to this hook. Words stand
# together there without a space, so a message can look like it; the reviewer reads more exactly.
find_amend() {
    amend=
    if [ -r "/proc/$committer/cmdline" ]; then
        while IFS= read -r words || [ -n "$words" ]; do
            case $words in *--am*) amend=1 ;; esac
        done <"/proc/$committer/cmdline"
    elif [ ! -e /proc/self/stat ]; then
        case $(command ps -o args= -p "$committer" 2>/dev/null) in *--am*) amend=1 ;; esac
    fi
}

# Set $tree to the tree git would commit. write-tree writes into the index file it is given, hence the copy,
# which lies in this worktree's part of the git directory and goes with it if this is killed. $2 ends its name.
staged_tree() {
    index=${GIT_INDEX_FILE:-$1/index}
    [ -d "$1/agentreview" ] || command mkdir -p "$1/agentreview" 2>/dev/null || return 1
    copy=$1/agentreview/index.$2
    command cp "$index" "$copy" 2>/dev/null || return 1
    tree=$(GIT_INDEX_FILE=$copy && export GIT_INDEX_FILE && plain_git write-tree 2>/dev/null) || return 1
    is_oid "$tree"
}

# Return only when there is no passing verdict for (base tree, tree, version, day): then the reviewer has to look.
# The base of an amended commit is the parent of the one it replaces.
look_up() {
    [ -n "$VERSION_FILE" ] || return 0
    version=
    read -r version 2>/dev/null <"$VERSION_FILE" || [ -n "$version" ] || gone
    case $version in '' | . | .. | */*) return 0 ;; esac
    find_committer
    find_amend
    out=$(plain_git rev-parse --git-dir --git-common-dir "HEAD${amend:+^1}^{tree}" 2>/dev/null) || return 0
    git_dir=${out%%"$NL"*}
    out=${out#*"$NL"}
    as= # a worktree with reviewers of its own keeps its verdicts by their name
    [ ! -e "$git_dir/agentreview-as" ] || { read -r as 2>/dev/null <"$git_dir/agentreview-as" && is_oid "${as#.r}"; } || return 0
    store=${out%%"$NL"*}/agentreview/verdicts/$version$as
    base=${out#*"$NL"}
    if [ -n "$amend" ] && { [ -e "$git_dir/rebase-merge" ] || [ -e "$git_dir/rebase-apply" ]; }; then
        return 0
    fi
    is_oid "$base" && [ -d "$store" ] && staged_tree "$git_dir" "$committer" || return 0
    [ -f "$store/$base-$tree" ] || return 0
    { IFS= read -r word && IFS= read -r seal; } 2>/dev/null <"$store/$base-$tree" || return 0
    case $word in
        pass) ;;
        'pass '[0-9]*) # a waiver begins or ends on that day
            today=$(command date -u +%Y%m%d) && [ "$today" -lt "${word#pass }" ] || return 0 ;;
        *) return 0 ;;
    esac 2>/dev/null
    case $seal in b2:?*) ;; *) return 0 ;; esac
    { printf '%s\n' "$base" "$tree" "pass${amend:+ amend}" "$committer" >"$git_dir/agentreview/judged"; } 2>/dev/null
    copy= # stays for prepare-commit-msg, which compares the index with it
    exit 0
}

# agentreview doctor asks whether git gets here. The answer is a refusal: nothing passes because somebody asked.
if [ -n "${AGENTREVIEW_PROBE-}" ]; then
    printf '%s\n' "agentreview probe: $HOOK" >&2
    exit 1
fi
# A hook that was here before runs first, under the arguments git gave; its failure stops.
previous=$0.agentreview-chained
if [ "$HOOK" != pre-push ] && [ -x "$previous" ]; then
    "$previous" "$@" || exit
fi
command -v "$AGENTREVIEW" >/dev/null 2>&1 || gone
[ -z "$VERSION_FILE" ] || [ -r "$VERSION_FILE" ] || gone
