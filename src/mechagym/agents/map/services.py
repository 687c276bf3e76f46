"""What listens in a box: services have no part in a fork, and must not end with the old machine."""

from mechagym.sandbox.base import Box, ExecOptions

_LISTENERS = r"""
for table in tcp tcp6; do
  [ -r /proc/net/$table ] || continue
  while read -r _ local _ state _; do
    if [ "$state" = 0A ]; then echo "$table:$local"; fi
  done < /proc/net/$table
done
[ -r /proc/net/unix ] || exit 0
while read -r _ _ _ flags _ _ _ path; do
  if [ "$flags" = 00010000 ] && [ -n "$path" ]; then echo "unix:$path"; fi
done < /proc/net/unix
"""


async def listening(box: Box) -> frozenset[str]:
    """The sockets that somebody listens on; none where the box does not tell. Raises BoxDied."""
    result = await box.exec(("sh", "-c", _LISTENERS), ExecOptions(cwd="/", timeout_s=30.0))
    return frozenset(result.text.splitlines())
