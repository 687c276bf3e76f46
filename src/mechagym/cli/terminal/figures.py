"""Numbers as people read them; every one fits a narrow column."""

from datetime import datetime

from mechagym.records import now


def money(usd: float) -> str:
    """`$0.004`, `$1.25`, `$1,250`: two digits that say something; what is no zero is never one."""
    if usd == 0:
        return "$0"
    if usd < 0.0005:
        return "<$0.001"
    if usd < 0.1:
        return f"${usd:.3f}"
    return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"


def tokens(count: int) -> str:
    """`950`, `12.3k`, `4.1M`."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 100 * size else f"{count // size}{unit}"
    return str(count)


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m05s`, `15m`, `2h07m`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def size(count_bytes: float) -> str:
    """`512 B`, `1.5 MB`, `12 GB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return (
                f"{count_bytes:.1f} {unit}" if 0 < count_bytes < 10 else f"{count_bytes:.0f} {unit}"
            )
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"


def ago(at: datetime) -> str:
    """`now`, `5m ago`, `3d ago`."""
    seconds = (now() - at).total_seconds()
    if seconds < 60:
        return "now"
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "now"


def share(mean: float | None, interval: tuple[float, float] | None = None) -> str:
    """`0.67 [0.35, 0.88]`, or a dash where there is nothing to average."""
    if mean is None:
        return "–"
    return f"{mean:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else f"{mean:.2f}"


def counted(number: int, word: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def shortened(name: str, width: int) -> str:
    """Cut in the middle: both ends of a task's or trial's name tell it from others."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
