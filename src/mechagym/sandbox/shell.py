"""The text that is fed to a shell in a box: POSIX, builtins only but for the command itself.

Every word that comes from outside goes through `shlex.quote`. Variables and functions of ours
start with `__mg_`, so that they meet none of the image's exported ones. `command eval` keeps the
shell alive when the box has no process left for a fork.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

from mechagym.sandbox.base import ExecOptions

PRELUDE = r"""
trap : HUP INT QUIT PIPE TERM USR1 USR2 ALRM
unset CDPATH
__mg_to='>/proc/self/fd/1 2>/proc/self/fd/3'
( : >/proc/self/fd/1 2>/proc/self/fd/2 ) 2>/dev/null || __mg_to='>&1 2>&3'
__mg_holds() {
  for __mg_f in "$1"/fd/*; do
    [ "$__mg_f" -ef /proc/$$/fd/1 ] && return 0
    [ "$__mg_f" -ef /proc/$$/fd/2 ] && return 0
    [ -e "$__mg_f" ] && continue
    [ -L "$__mg_f" ] && return 0
    [ -r "$1/fd" ] && continue
    IFS= read -r __mg_l 2>/dev/null <"$1/stat" || continue
    case ${__mg_l##*) } in Z*|X*) ;; *) return 0 ;; esac
  done
  return 1
}
__mg_scan() {
  __mg_s=0; __mg_ours=" $1 "
  set -- /proc/[0-9]*
  [ "$*" = "$__mg_p" ] && return 0
  [ $# -gt 500 ] && { __mg_s=1; return 0; }
  for __mg_d do
    case " $__mg_p " in *" $__mg_d "*) continue ;; esac
    case $__mg_ours in *" ${__mg_d#/proc/} "*) continue ;; esac
    __mg_holds "$__mg_d" 2>/dev/null && { __mg_s=1; return 0; }
  done
  __mg_p="$*"
}
__mg_say() {
  printf '\036%s %s %s\n' "$2" "$1" "$3"
  printf '\036%s %s %s\n' "$2" "$1" "$3" >&2
}
__mg_tell() { printf '\036%s %s\n' "$__mg_n" "$1"; }
__mg_end() { __mg_scan "$3"; __mg_say "$1" "$2" "$__mg_s"; }
__mg_look() { set -- /proc/[0-9]*; __mg_p="$*"; }
__mg_look
"""
"""Defines `__mg_say CODE NONCE STRAYS`, the end markers, and `__mg_end CODE NONCE OURS`, which
prints them with 1 where a process that the command left behind still holds this shell's output
(or might: it cannot be looked into, or there are too many).

Only processes that were not there at the last clean end are looked at. `__mg_to`: a command gets
the pipes opened anew, since a program that makes them non-blocking would do so for the shell as
well.
"""

GUARD = r"""exec 5<<E 6<<E
.
E
.
E
if [ -p /proc/self/fd/5 ] && [ -w /proc/self/fd/5 ]; then
  exec 7>/proc/self/fd/5 8>/proc/self/fd/6
  read -r __mg_b <&6
  { (
    trap '' HUP INT QUIT PIPE TERM USR1 USR2 ALRM
    exec 3<&- 6<&- 7>&-
    while read -r __mg_b <&5; do
      while __mg_t=; do
        while IFS= read -r __mg_l; do
          case $__mg_l in ': ask') __mg_t=:; continue ;; ': over'|': lane') break ;; esac
          __mg_t="${__mg_t:+$__mg_t
${__mg_l#\#}}"
        done
        case $__mg_l in
          ': over') eval "$__mg_t" ;;
          ': lane') echo >&8; break ;;
          *) exit 0 ;;
        esac
      done
    done
  ) <&3 2>/dev/null & } 3<&0
  exec 5<&- 8>&-
  __mg_look
  __mg_say "$$" "$__mg_n" "0 $!"
  read -r __mg_b <&6
else
  exec 5<&- 6<&-
  __mg_say "$$" "$__mg_n" 0
fi
"""
"""Gives a shell a guard: a second one, on the same stdin and stdout, which serves as control lane
while the first is busy. A program in the box costs an engine 45 ms, this costs a fork.

Two pipes (here-documents, opened anew for writing) pass the right to read stdin: the guard has it,
and runs what comes from `: ask` to `: over`; at the line `: lane` it lets the shell read one
program (`guarded`), which hands it back before it runs. Each holds its own ends only, so that a
shell whose guard was killed goes on reading; what was for the guard, each line behind a `#`, is
nothing to it. Nor is what it reads of a question, all or a part, that comes before it has taken its
program; the rest is without its first line, and nothing to the guard: the question is lost, and no
harm done. A shell that makes its here-documents files has no guard.
"""

BOOT = """while __mg_t=; do
while IFS= read -r __mg_l && [ "$__mg_l" != "$1" ]; do __mg_t="$__mg_t$__mg_l
"; done
[ "$__mg_t" ] || exit 0
eval "$__mg_t"
done
"""
"""For `sh -c BOOT sh END`: read a program up to the line END from stdin and run it, again and
again. It takes no byte more than that: what follows is for the command. And no program stands in
an argument list."""

LINGER = '[ "${__mg_s:-0}" = 0 ] || while sleep 86400; do :; done; exit 0\n'
"""Stay, since an engine closes the pipes of a shell that has ended, and what still writes there
would die."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def hello(nonce: str, *, guard: bool = False) -> str:
    """Make a fresh shell a lane: it answers with its pid in place of an exit code."""
    if guard:
        return f"{PRELUDE}__mg_n={nonce}\n{GUARD}"
    return f'{PRELUDE}__mg_say "$$" {nonce} 0\n'


def said(nonce: str) -> str:
    """The end markers of text that is run by the lane's shell itself."""
    return f"__mg_say 0 {nonce} 0\n"


def telling(text: str, nonce: str) -> str:
    """Text whose `__mg_tell` prints marker lines, with the last one at its end."""
    return f"__mg_n={nonce}\n{text}__mg_tell .\n"


def guarded(text: str) -> str:
    """A program for a shell that has a guard; it is read whole before it runs.

    The empty line ends what the shell may hold of a lost question.
    """
    return f": lane\n\n{{ echo 2>/dev/null >&7\n{text}read -r __mg_b <&6\n}}\n"


def question(text: str) -> str:
    """A program for the guard: comments to the shell, should the guard be dead and the shell read
    them, or what is left of them, in its place.
    """
    return ": ask\n" + "".join(f"#{line}\n" for line in text.splitlines()) + ": over\n"


def body(argv: Sequence[str], options: ExecOptions, subreaper: str | None) -> str:
    """Text that turns a subshell into the command: directory, environment, then `exec`."""
    lines = []
    if options.cwd is not None:
        lines.append(f"cd -- {shlex.quote(options.cwd)} || exit 126")
        lines.append("unset OLDPWD")
    odd = []
    for name, value in options.env.items():
        pair = shlex.quote(f"{name}={value}")
        if _NAME.match(name):
            lines.append(f"export {pair}")
        else:
            odd.append(pair)
    words = ["exec", *(["env", *odd] if odd else [])]
    words += [shlex.quote(subreaper), "-s", "--"] if subreaper else []
    return "\n".join([*lines, " ".join([*words, *map(shlex.quote, argv)])])


def begun(nonce: str) -> str:
    """Print the marker that says that the shell has its program."""
    return f"printf '\\036%s +\\n' {nonce}\n"


def foreground(text: str, nonce: str, ours: Iterable[int], *, stdin: bool = False) -> str:
    """Run `text` in a subshell and print the markers with its exit code.

    `:` comes first since dash forgets the redirections of a subshell that stands alone in braces.
    The shell's own words about a child that a signal ended are not the command's: its stderr is
    away meanwhile.
    """
    source = "" if stdin else "</dev/null "
    ends = "' 3>&- 6<&- 7>&-; } 3>&2 2>/dev/null'"
    run = shlex.quote(f"{{ :; ( {text}\n) {source}") + '"$__mg_to"' + ends
    known = " ".join(map(str, ours))
    return f'command eval {run}\n__mg_end "$?" {nonce} "{known}"\n'


def background(text: str, nonce: str) -> str:
    """Start `text` without output and print the markers with its pid."""
    run = f"{{ ( {text}\n) </dev/null >/dev/null 2>&1 6<&- 7>&- & }}"
    return f'command eval {shlex.quote(run)}\n__mg_say "$!" {nonce} 0\n'
